//! (e) The library inside a transaction that the host begins on the storage's writer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::accounts::actor::Actor;
use serront_core::policy::Policy;
use serront_core::service::Commands;

use crate::stage::{PageSeen, Request, Trouble, Way, environment};

/// Longer than any of them takes.
const TIME_MAX: Duration = Duration::from_secs(10);

pub(super) struct Bound {
    storage: Arc<SqliteStorage>,
    policy: Policy,
    actor: Actor,
}

impl Bound {
    pub(super) fn new(storage: Arc<SqliteStorage>) -> Result<Self, Trouble> {
        Ok(Self { storage, policy: Policy::default(), actor: Actor::host(crate::hand::ACTOR)? })
    }
}

#[async_trait]
impl Way for Bound {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let transaction = self.storage.begin(TIME_MAX).await?;
        Commands::bound(&transaction, environment(&self.policy))
            .confirm_payment(request.account, request.order, &self.actor, None, None)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn page(&self, _request: &Request) -> Result<PageSeen, Trouble> {
        Err("pages are not read in transactions".into())
    }
}
