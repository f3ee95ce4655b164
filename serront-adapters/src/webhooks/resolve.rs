//! Resolution of names, and the check of their addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

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

/// Resolves names. A host may use another resolver; a test uses one that it controls.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Every address of this name.
    ///
    /// - Must not check the addresses: the sink checks every one.
    /// - May be dropped before it returns.
    ///
    /// # Errors
    /// Any error: a name that does not resolve is refused for every reason.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Time limit of one query, and the number of repetitions with the next name server. All tries together leave time for
/// a connection.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
const REPEATS: usize = 1;
/// The system's files are read again after this time, because name servers change without a restart of the host.
const FILES_KEPT: Duration = Duration::from_secs(30);

/// Queries the system's name servers (`/etc/resolv.conf`), after its hosts file.
///
/// It does not use the C library's resolver, whose lookups block a thread until their time-out, even if the caller has
/// given up: a few hundred names with silent servers would use up the runtime's threads. Here dropping a lookup ends
/// it. There is no cache. Names are absolute, so no search domain is tried, and other sources of names (mDNS, NIS) are
/// not supported.
#[derive(Clone, Default)]
pub struct SystemResolver {
    /// Name servers to use instead of the system's.
    servers: Option<Arc<[SocketAddr]>>,
    read: Arc<Mutex<Option<(Instant, TokioResolver)>>>,
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SystemResolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl SystemResolver {
    /// Queries these name servers instead of the system's. The hosts file is still used.
    #[must_use]
    pub fn asking(servers: &[SocketAddr]) -> Self {
        Self { servers: Some(servers.into()), read: Arc::default() }
    }

    /// The resolver for the system's files. They are small and read rarely, so they are read without another thread.
    fn current(&self) -> io::Result<TokioResolver> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, resolver)) = read.as_ref()
            && at.elapsed() < FILES_KEPT
        {
            return Ok(resolver.clone());
        }
        let (config, system) = match &self.servers {
            Some(servers) => (asking(servers), ResolverOpts::default()),
            // As the C library does if the file is missing or names no server.
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

/// The system's options for queries, with the limits required here.
fn options(mut options: ResolverOpts) -> ResolverOpts {
    options.timeout = options.timeout.min(ANSWER_TIME_MAX);
    options.attempts = REPEATS;
    // One server after the other: a silent name takes three sockets for each of its two queries, and concurrent queries
    // to more servers would multiply them.
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
        // One forbidden address refuses the whole name, because it is not known which address a connection would use.
        if addresses.iter().all(|address| self.targets.allow(*address)) { Ok(addresses) } else { Err(NOT_PUBLIC) }
    }
}
