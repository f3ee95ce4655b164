//! (e) The library inside a transaction of the host's, from the host's own pool.

use std::sync::Arc;

use async_trait::async_trait;
use serront_adapters::postgres::PostgresStorage;
use serront_core::accounts::actor::Actor;
use serront_core::policy::Policy;
use serront_core::service::Commands;
use sqlx::postgres::PgPool;

use crate::stage::{PageSeen, Request, Trouble, Way, environment};

pub(super) struct Bound {
    storage: Arc<PostgresStorage>,
    pool: PgPool,
    policy: Policy,
    actor: Actor,
}

impl Bound {
    pub(super) fn new(storage: Arc<PostgresStorage>, pool: PgPool) -> Result<Self, Trouble> {
        Ok(Self { storage, pool, policy: Policy::default(), actor: Actor::host(crate::hand::ACTOR)? })
    }
}

#[async_trait]
impl Way for Bound {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let mut transaction = self.pool.begin().await?;
        {
            let bound = self.storage.bind(&mut transaction);
            let commands = Commands::bound(&bound, environment(&self.policy));
            commands.confirm_payment(request.account, request.order, &self.actor, None, None).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn page(&self, _request: &Request) -> Result<PageSeen, Trouble> {
        Err("pages are not read in transactions".into())
    }
}
