//! Names, and the check of what they resolve to.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;
use serront_core::ports::TargetRefused;
use tokio::time::timeout;

use super::target::{NOT_PUBLIC, Targets, UNRESOLVED};

/// Resolves names. A host may bring its own resolver; a test brings one that it controls.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Every address of this name.
    ///
    /// - Must not check anything: the sink checks every address that it is told.
    /// - May be dropped before it returns.
    ///
    /// # Errors
    /// Any; a name that does not resolve is refused, whatever the reason.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// How long a name server's answer is waited for, and how often the question is asked again, of the next one. Both tries together
/// leave time for a connection.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
const REPEATS: usize = 1;
/// After this long the system's files are read again: name servers move, and nobody restarts a host for that.
const FILES_KEPT: Duration = Duration::from_secs(30);

/// Asks the name servers that the system names (`/etc/resolv.conf`), after a look at its hosts file.
///
/// What it is not: the C library's resolver. A lookup there holds a thread until its time is over, also when nobody waits for it
/// any more, so a few hundred names whose servers are silent would take the threads of everything else. Here a lookup that is
/// dropped has ended. Nothing is remembered, so a name is asked for again each time; a name is absolute, so no search domain
/// is tried; and no other source of names (mDNS, NIS) is known.
#[derive(Clone, Default)]
pub struct SystemResolver {
    /// Those to ask instead of the system's.
    servers: Option<Arc<[SocketAddr]>>,
    read: Arc<Mutex<Option<(Instant, TokioResolver)>>>,
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SystemResolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl SystemResolver {
    /// Asks these name servers instead of those that the system names. The hosts file counts all the same.
    #[must_use]
    pub fn asking(servers: &[SocketAddr]) -> Self {
        Self { servers: Some(servers.into()), read: Arc::default() }
    }

    /// By what the files said a moment ago. Both are small, and read rarely: no thread has to be found for that.
    fn current(&self) -> io::Result<TokioResolver> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, resolver)) = read.as_ref()
            && at.elapsed() < FILES_KEPT
        {
            return Ok(resolver.clone());
        }
        let (config, system) = match &self.servers {
            Some(servers) => (asking(servers), ResolverOpts::default()),
            // As the C library does where the file is missing or names none.
            None => read_system_conf()
                .unwrap_or_else(|_| (asking(&[(Ipv4Addr::LOCALHOST, 53).into()]), ResolverOpts::default())),
        };
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options(system);
        let resolver = builder.build().map_err(io::Error::other)?;
        *read = Some((Instant::now(), resolver.clone()));
        Ok(resolver)
    }
}

fn asking(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

/// What the system says about how its servers are to be asked, and what has to hold here.
fn options(mut options: ResolverOpts) -> ResolverOpts {
    options.timeout = options.timeout.min(ANSWER_TIME_MAX);
    options.attempts = REPEATS;
    // One after the other: a silent name takes three sockets for each of its two questions, and as many again for each
    // further server that is asked at once.
    options.num_concurrent_reqs = 1;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Always;
    options.cache_size = 0;
    options
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut name = Name::from_ascii(name).map_err(io::Error::other)?;
        name.set_fqdn(true);
        let found = self.current()?.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }
}

/// A resolver that answers only names all of whose addresses are allowed.
#[derive(Clone)]
pub(super) struct Guarded {
    resolver: Arc<dyn Resolve>,
    targets: Targets,
    timeout: Duration,
}

impl Guarded {
    pub(super) fn new(resolver: Arc<dyn Resolve>, targets: Targets, timeout: Duration) -> Self {
        Self { resolver, targets, timeout }
    }

    pub(super) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, TargetRefused> {
        let addresses = match timeout(self.timeout, self.resolver.resolve(name)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
            Ok(Ok(_) | Err(_)) | Err(_) => return Err(UNRESOLVED),
        };
        // One bad address spoils the name: which of them a connection takes is not ours to choose.
        if addresses.iter().all(|address| self.targets.allow(*address)) { Ok(addresses) } else { Err(NOT_PUBLIC) }
    }
}
