//! (b) The library: its service over one of its storages, with the system's clock, ids and secrets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::accounts::actor::Actor;
use serront_core::forward_port;
use serront_core::online::inbox::InboxStatus;
use serront_core::policy::Policy;
use serront_core::ports::prelude::*;
use serront_core::ports::{Clock, NoKeys, WorkStorage};
use serront_core::primitives::version::Version;
use serront_core::service::{Commands, Environment};
use serront_core::work::fold::Folder;
use tokio::sync::oneshot;

use crate::stage::{PageSeen, Request, Trouble, Way};

/// The library over a storage.
pub(crate) struct Library<S> {
    storage: Arc<S>,
    policy: Policy,
    actor: Actor,
}

impl<S: WorkStorage> Library<S> {
    pub(crate) fn new(storage: Arc<S>) -> Result<Self, Trouble> {
        Ok(Self { storage, policy: Policy::default(), actor: Actor::host(crate::hand::ACTOR)? })
    }

    /// Folds as a host does until the sender is dropped, and returns the number of deltas folded.
    pub(crate) async fn fold(&self, mut end: oneshot::Receiver<()>) -> Result<u64, Trouble> {
        let mut folder = Folder::new(&*self.storage, self.environment());
        let mut deltas = 0;
        loop {
            let now = SystemClock.now();
            let folded = folder.step(now).await?;
            deltas += folded.deltas;
            tokio::select! {
                biased;
                _ = &mut end => return Ok(deltas),
                () = tokio::time::sleep(folded.next.since(now)) => {}
            }
        }
    }

    fn environment(&self) -> Environment<'_> {
        Environment {
            clock: &SystemClock,
            ids: &RandomIds,
            secrets: &SystemSecrets,
            sealer: &NoKeys,
            policy: &self.policy,
        }
    }

    fn commands(&self) -> Commands<'_, S> {
        Commands::new(&*self.storage, self.environment())
    }
}

#[async_trait]
impl<S: WorkStorage> Way for Library<S> {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let Request { account, order, stale, .. } = request;
        if *stale {
            let storage = StaleOnce { storage: &*self.storage, stale: AtomicBool::new(true) };
            let commands = Commands::new(&storage, self.environment());
            commands.confirm_payment(*account, *order, &self.actor, None, None).await?;
        } else {
            self.commands().confirm_payment(*account, *order, &self.actor, None, None).await?;
        }
        Ok(())
    }

    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble> {
        let filter = OrderFilter { words: request.words.clone(), ..OrderFilter::default() };
        let limit = Limit::parse(None)?;
        let page = self.commands().orders(request.account, &filter, request.cursor.as_deref(), limit).await?;
        let WorkCounts { requested, confirmed, declined, in_progress, delivered, completed, canceled } = page.counts;
        let counts = [requested, confirmed, declined, in_progress, delivered, completed, canceled];
        Ok(PageSeen {
            rows: page.orders.len(),
            first: page.orders.first().map_or(0, |order| order.number.0),
            orders: counts.into_iter().sum(),
        })
    }

    async fn notify(&self, request: &Request) -> Result<(), Trouble> {
        let notification = request.notification.as_ref().ok_or("an order without a notification")?;
        let (signature, body) = (Some(notification.signature.as_str()), notification.body.as_bytes());
        let status = self.commands().receive_notification(signature, body).await?;
        if status == InboxStatus::Applied { Ok(()) } else { Err(format!("it became {}", status.as_str()).into()) }
    }
}

/// A storage whose first answer about an order is one version behind, as if another writer had changed the order between this
/// caller's read and its commit. The change set based on it conflicts exactly once.
struct StaleOnce<'s, S: ?Sized> {
    storage: &'s S,
    stale: AtomicBool,
}

impl<S: OrderReads + ?Sized> StaleOnce<'_, S> {
    async fn stale_order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let mut found = self.storage.order(key, scope).await?;
        if let Some(snapshot) = &mut found
            && self.stale.swap(false, Ordering::Relaxed)
        {
            let version = &mut snapshot.order.state.version;
            *version = Version(version.0.saturating_sub(1));
        }
        Ok(found)
    }
}

macro_rules! stale_once {
    ($this:ident.order($($argument:ident),*) $_:tt) => { $this.stale_order($($argument),*).await };
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { $this.storage.$method($($argument),*).await };
}

forward_port! { impl<S> Storage for StaleOnce<'_, S> { stale_once! } }
