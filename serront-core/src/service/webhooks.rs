//! Webhook subscriptions and deliveries, and effects that are sent again or discarded.

use super::commands::rounds;
use super::{Answer, Commands, Environment, Failure};
use crate::accounts::actor::Actor;
use crate::accounts::key::WebhookSecret;
use crate::accounts::sealed::{FreshSecret, SecretHolder};
use crate::changes::effect::{EffectId, EffectRecord};
use crate::changes::idempotency::IdempotentRequest;
use crate::decide;
use crate::ports::{PortError, Storage, WorkStorage};
use crate::primitives::ids::{AccountId, DeliveryId, SubscriptionId};
use crate::primitives::page::{self, Limit};
use crate::primitives::rejection::Rejection;
use crate::snapshots::DeliveryFilter;
use crate::views::{DeliveryView, NewSubscriptionView, SubscriptionView};
use crate::webhooks::subscription::SubscriptionInput;

impl<S: Storage + ?Sized> Commands<'_, S> {
    /// Draws a secret for a subscription, and seals it.
    pub(super) fn fresh_secret(&self, account_id: AccountId, id: SubscriptionId) -> Result<FreshSecret, PortError> {
        let Environment { secrets, sealer, .. } = self.environment;
        let secret = WebhookSecret::from_bytes(&secrets.draw()?);
        FreshSecret::new(sealer, SecretHolder::Subscription(account_id, id), secret)
    }

    /// The account's webhook subscriptions, oldest first.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn subscriptions(&self, id: AccountId) -> Result<Vec<SubscriptionView>, Failure> {
        let snapshot = self.account_snapshot(id, None).await?;
        Ok(snapshot.subscriptions.iter().map(SubscriptionView::from).collect())
    }

    /// Changes what a subscription wants, or pauses it. A new address is a remote command
    /// ([`Service::update_subscription`](super::Service::update_subscription)); one given here is not checked, so it is
    /// refused.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Invalid`] for an address; those of [`decide::update_subscription`];
    /// [`Failure::Busy`]; a port's failure.
    pub async fn update_subscription(
        &self,
        account_id: AccountId,
        id: SubscriptionId,
        input: &SubscriptionInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SubscriptionView>, Failure> {
        if input.url.is_some() {
            let known = self.subscriptions(account_id).await?.iter().any(|subscription| subscription.id == id);
            return Err(if known {
                crate::primitives::rejection::Invalid::new("url", "can't be changed inside a transaction").into()
            } else {
                Rejection::NotFound("webhook subscription").into()
            });
        }
        self.write_subscription(account_id, id, input, request).await
    }

    pub(super) async fn write_subscription(
        &self,
        account_id: AccountId,
        id: SubscriptionId,
        input: &SubscriptionInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SubscriptionView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(account_id, request).await?;
            decide::update_subscription(&snapshot, id, input, &mut context)?
        });
        Ok(answer)
    }

    /// Gives a subscription a new secret, shown this once. It signs at once, and the one until now beside it for a while.
    ///
    /// # Errors
    /// Those of [`decide::rotate_secret`]; [`Failure::Busy`]; a port's failure.
    pub async fn rotate_secret(
        &self,
        account_id: AccountId,
        id: SubscriptionId,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<NewSubscriptionView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(account_id, request).await?;
            let secret = self.fresh_secret(account_id, id)?;
            decide::rotate_secret(&snapshot, id, secret, &mut context)?
        });
        Ok(answer)
    }

    /// Deletes a subscription; its delivery log stays.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Failure::Busy`]; a port's failure.
    pub async fn delete_subscription(&self, account_id: AccountId, id: SubscriptionId) -> Result<(), Failure> {
        rounds!(self, None, |context| {
            let snapshot = self.account_snapshot(account_id, None).await?;
            decide::delete_subscription(&snapshot, id, &mut context)?
        });
        Ok(())
    }

    /// A page of the delivery log, newest first, and where the next one begins.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor; a port's failure.
    pub async fn deliveries(
        &self,
        id: AccountId,
        filter: &DeliveryFilter,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<(Vec<DeliveryView>, Option<String>), Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.deliveries(id, filter, after, limit).await?;
        let next = page.position(|row| row.position()).map(|position| page::cursor(id, &position));
        Ok((page.rows.iter().map(DeliveryView::from).collect(), next))
    }

    /// One delivery with its log.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<DeliveryView, Failure> {
        let delivery = self.storage.delivery(account_id, id).await?;
        Ok(DeliveryView::from(&delivery.ok_or(Rejection::NotFound("delivery"))?))
    }

    /// Sends a delivery again at once, whether it was given up or got through.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::retry_delivery`]; [`Failure::Busy`]; a port's failure.
    pub async fn retry_delivery(
        &self,
        account_id: AccountId,
        id: DeliveryId,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<DeliveryView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            // The delivery first: if another request under the same key has queued it, what that one was answered is read.
            let delivery = self.storage.delivery(account_id, id).await?.ok_or(Rejection::NotFound("delivery"))?;
            let snapshot = self.account_snapshot(account_id, request).await?;
            decide::retry_delivery(&snapshot, &delivery, &mut context)?
        });
        Ok(answer)
    }

    /// Tries an effect again at once that was given up, of whatever kind. It is an operator's to ask for; who may do what is
    /// for the caller to know.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::retry_effect`]; [`Failure::Busy`]; a port's failure.
    pub async fn retry_effect(&self, account_id: AccountId, id: EffectId) -> Result<Answer<EffectRecord>, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            let effect = self.storage.effect(account_id, id).await?.ok_or(Rejection::NotFound("effect"))?;
            let snapshot = self.account_snapshot(account_id, None).await?;
            decide::retry_effect(&snapshot, &effect, &mut context)?
        });
        Ok(answer)
    }

    /// Takes an effect that was given up off the operator's list, on record with who did it and why. It is an operator's to ask
    /// for; who may do what is for the caller to know.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::discard_effect`]; [`Failure::Busy`]; a port's failure.
    pub async fn discard_effect(
        &self,
        account_id: AccountId,
        id: EffectId,
        reason: &str,
        actor: &Actor,
    ) -> Result<Answer<EffectRecord>, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            let effect = self.storage.effect(account_id, id).await?.ok_or(Rejection::NotFound("effect"))?;
            decide::discard_effect(&effect, reason, actor, &mut context)?
        });
        Ok(answer)
    }
}

impl<S: WorkStorage + ?Sized> Commands<'_, S> {
    /// Switches a subscription off if its receiver has failed for too long, and tells the account's others. The dispatcher
    /// calls it after each failed attempt; of several hosts, one does it. Answers whether it was done now.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] if there is no such account; [`Failure::Busy`]; a port's failure.
    pub async fn switch_off_if_failing(&self, account_id: AccountId, id: SubscriptionId) -> Result<bool, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            // Read before the streak: who changes the subscription in between, and so begins its streak anew, moves the version
            // that this is decided by.
            let snapshot = self.account_snapshot(account_id, None).await?;
            let streak = self.storage.streak(account_id, id).await?;
            let now = match streak {
                Some(_) => self.storage.now().await?,
                None => context.now,
            };
            decide::switch_off_subscription(
                &snapshot,
                id,
                streak.filter(|streak| context.policy.switches_off(*streak, now)),
                &mut context,
            )
        });
        Ok(answer.value)
    }
}
