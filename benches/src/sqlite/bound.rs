//! (e) The library inside a transaction of the host, on the storage's writer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::accounts::actor::Actor;
use serront_core::policy::Policy;
use serront_core::service::{Commands, Failure};

use crate::stage::{PageSeen, Request, Trouble, Way, environment};

/// Longer than any of them takes.
const TIME_MAX: Duration = Duration::from_secs(10);

pub(super) struct Bound {
    storage: Arc<SqliteStorage>,
    policy: Arc<Policy>,
    actor: Actor,
}

impl Bound {
    pub(super) fn new(storage: Arc<SqliteStorage>) -> Result<Self, Trouble> {
        Ok(Self { storage, policy: Arc::default(), actor: Actor::host(crate::hand::ACTOR)? })
    }
}

#[async_trait]
impl Way for Bound {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let (policy, actor) = (Arc::clone(&self.policy), self.actor.clone());
        let (account, order) = (request.account, request.order);
        self.storage
            .transaction(TIME_MAX, move |transaction| {
                let commands = Commands::bound(transaction, environment(&policy));
                transaction.complete(commands.confirm_payment(account, order, &actor, None, None)).map(drop)
            })
            .await
            .map_err(|failure: Failure| failure.into())
    }

    async fn page(&self, _request: &Request) -> Result<PageSeen, Trouble> {
        Err("pages are not read in transactions".into())
    }
}
