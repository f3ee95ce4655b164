//! Registration of webhook subscriptions: the commands that resolve an address, and therefore can't run in a host's
//! transaction.

use super::commands::rounds;
use super::{Answer, Commands, Environment, Failure};
use crate::changes::idempotency::IdempotentRequest;
use crate::decide::{self, Decision};
use crate::ports::{Sink, Storage, TargetError};
use crate::primitives::ids::{AccountId, SubscriptionId};
use crate::primitives::rejection::Invalid;
use crate::views::{NewSubscriptionView, SubscriptionView};
use crate::webhooks::subscription::SubscriptionInput;

/// Registers webhook subscriptions, and changes their addresses.
#[derive(Debug)]
pub struct WebhookRegistration<'p, S: ?Sized, K: ?Sized> {
    commands: Commands<'p, S>,
    sink: &'p K,
}

impl<'p, S: Storage + ?Sized, K: Sink + ?Sized> WebhookRegistration<'p, S, K> {
    /// Over these ports.
    pub const fn new(storage: &'p S, sink: &'p K, environment: Environment<'p>) -> Self {
        Self { commands: Commands::new(storage, environment), sink }
    }

    /// Whether the sink may post to this address.
    ///
    /// Callers decide once before this. So a refused command costs no look-up, and a repeated request gets its first
    /// answer even if the name resolves differently by now.
    async fn check_target(&self, input: &SubscriptionInput) -> Result<(), Failure> {
        let Some(url) = input.address()? else {
            return Ok(());
        };
        self.sink.check_target(url).await.map_err(|error| match error {
            TargetError::Refused(refused) => Invalid::new("url", refused.0).into(),
            TargetError::Busy => Failure::Busy,
        })
    }

    /// Subscribes an address. The secret is never shown again.
    ///
    /// # Errors
    /// [`NotFound`](crate::Rejection::NotFound); those of [`decide::create_subscription`]; [`Invalid`] for an address
    /// that the sink refuses.
    pub async fn create_subscription(
        &self,
        id: AccountId,
        input: &SubscriptionInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<NewSubscriptionView>, Failure> {
        let commands = self.commands;
        let snapshot = commands.account_snapshot(id, request).await?;
        let mut context = commands.context(request);
        let subscription_id = context.ids.subscription();
        let secret = commands.fresh_secret(id, subscription_id)?;
        decide::create_subscription(&snapshot, input, subscription_id, secret, &mut context)?;
        self.check_target(input).await?;
        Ok(rounds!(&commands, request, |context| {
            let snapshot = commands.account_snapshot(id, request).await?;
            let subscription_id = context.ids.subscription();
            let secret = commands.fresh_secret(id, subscription_id)?;
            decide::create_subscription(&snapshot, input, subscription_id, secret, &mut context)?
        }))
    }

    /// Changes a subscription; also its address.
    ///
    /// # Errors
    /// Those of [`decide::update_subscription`]; [`Invalid`] for an address that the sink refuses.
    pub async fn update_subscription(
        &self,
        account_id: AccountId,
        id: SubscriptionId,
        input: &SubscriptionInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SubscriptionView>, Failure> {
        let commands = self.commands;
        let snapshot = commands.account_snapshot(account_id, request).await?;
        let foreseen = decide::update_subscription(&snapshot, id, input, &mut commands.context(request))?;
        if let Decision::Replayed(value) = foreseen {
            return Ok(Answer { value, replayed: true, change_set: None });
        }
        self.check_target(input).await?;
        commands.write_subscription(account_id, id, input, request).await
    }
}
