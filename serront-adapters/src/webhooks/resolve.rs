//! Names, and the check of what they resolve to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolving};
use serront_core::ports::TargetRefused;
use tokio::net::lookup_host;
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

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
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

impl reqwest::dns::Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.lookup(name.as_str()).await?;
            // Port 0 stands for the address' own.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
