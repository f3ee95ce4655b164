//! The commands about webhook subscriptions and deliveries, and about effects that are retried or discarded.

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
use crate::primitives::rejection::{Invalid, Rejection};
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
    /// [`Rejection::NotFound`].
    pub async fn subscriptions(&self, id: AccountId) -> Result<Vec<SubscriptionView>, Failure> {
        let snapshot = self.account_snapshot(id, None).await?;
        Ok(snapshot.subscriptions.iter().map(SubscriptionView::from).collect())
    }

    /// Changes a subscription's events, pauses or resumes it. It refuses a new address, which a sink has to check:
    /// [`WebhookRegistration::update_subscription`](super::WebhookRegistration::update_subscription) does.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Invalid`] for an address; those of [`decide::update_subscription`].
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
                Invalid::new("url", "can't be changed inside a transaction").into()
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
        Ok(rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(account_id, request).await?;
            decide::update_subscription(&snapshot, id, input, &mut context)?
        }))
    }

    /// Gives a subscription a new secret, which is never shown again. It signs immediately; the previous one signs too
    /// for a while.
    ///
    /// # Errors
    /// Those of [`decide::rotate_secret`].
    pub async fn rotate_secret(
        &self,
        account_id: AccountId,
        id: SubscriptionId,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<NewSubscriptionView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(account_id, request).await?;
            let secret = self.fresh_secret(account_id, id)?;
            decide::rotate_secret(&snapshot, id, secret, &mut context)?
        }))
    }

    /// Deletes a subscription; its delivery log stays.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
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
    /// [`Rejection::Invalid`] for the cursor.
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
    /// [`Rejection::NotFound`].
    pub async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<DeliveryView, Failure> {
        let delivery = self.storage.delivery(account_id, id).await?;
        Ok(DeliveryView::from(&delivery.ok_or(Rejection::NotFound("delivery"))?))
    }

    /// Sends a delivery again immediately, whether it succeeded or was given up.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::retry_delivery`].
    pub async fn retry_delivery(
        &self,
        account_id: AccountId,
        id: DeliveryId,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<DeliveryView>, Failure> {
        Ok(rounds!(self, request, |context| {
            // The delivery first: if a concurrent request with the same key queues it between the reads, the account's
            // snapshot has that request's outcome.
            let delivery = self.storage.delivery(account_id, id).await?.ok_or(Rejection::NotFound("delivery"))?;
            let snapshot = self.account_snapshot(account_id, request).await?;
            decide::retry_delivery(&snapshot, &delivery, &mut context)?
        }))
    }

    /// Retries an effect of any kind that was given up. It is for operators; the caller must check permissions.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::retry_effect`].
    pub async fn retry_effect(&self, account_id: AccountId, id: EffectId) -> Result<Answer<EffectRecord>, Failure> {
        Ok(rounds!(self, None, |context| {
            let effect = self.storage.effect(account_id, id).await?.ok_or(Rejection::NotFound("effect"))?;
            let snapshot = self.account_snapshot(account_id, None).await?;
            decide::retry_effect(&snapshot, &effect, &mut context)?
        }))
    }

    /// Takes an effect that was given up off the operators' list, and records who did it and why. It is for operators;
    /// the caller must check permissions.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::discard_effect`].
    pub async fn discard_effect(
        &self,
        account_id: AccountId,
        id: EffectId,
        reason: &str,
        actor: &Actor,
    ) -> Result<Answer<EffectRecord>, Failure> {
        Ok(rounds!(self, None, |context| {
            let effect = self.storage.effect(account_id, id).await?.ok_or(Rejection::NotFound("effect"))?;
            decide::discard_effect(&effect, reason, actor, &mut context)?
        }))
    }
}

impl<S: WorkStorage + ?Sized> Commands<'_, S> {
    /// Switches a subscription off if its receiver has failed for too long, and sends the account's other subscriptions
    /// an event. The dispatcher calls it after each failed attempt. Returns whether this call did it; of several hosts,
    /// only one does.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for the account.
    pub async fn switch_off_if_failing(&self, account_id: AccountId, id: SubscriptionId) -> Result<bool, Failure> {
        let answer = rounds!(self, None, |context| {
            // Read before the streak. A change of the subscription between the reads resets the streak, and advances
            // the version that the commit guards.
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
