//! The local commands, and every read.

use super::{Answer, Environment, Failure, Local, rounds};
use crate::account::Account;
use crate::audit::{Actor, AuditRecord};
use crate::catalog::ServiceInput;
use crate::change::Committed;
use crate::decide::{self, OrderPatch, PlaceOrder};
use crate::effect::{EffectId, EffectRecord};
use crate::idempotency::IdempotentRequest;
use crate::ids::{AccountId, ChangeSetId, DeliveryId, KeyId, OrderId, ServiceId, SubscriptionId};
use crate::key::{AccessToken, ApiKey, WebhookSecret};
use crate::order::{Language, OrderInput, WorkCounts};
use crate::page::{self, DeliveryFilter, Limit, OrderFilter};
use crate::ports::{
    AccountSnapshot, OrderKey, OrderSnapshot, PortError, ServiceSnapshot, ShopSnapshot, Storage, WorkStorage,
};
use crate::rejection::Rejection;
use crate::sealed::{FreshSecret, SecretHolder};
use crate::storefront::StorefrontInput;
use crate::subscription::SubscriptionInput;
use crate::text::Slug;
use crate::tier::Tier;
use crate::view::{
    BuyerOrder, DeliveryView, KeyView, NewKeyView, NewSubscriptionView, PlacedOrder, SellerOrder, ServiceView,
    ShopView, StorefrontView, SubscriptionView,
};

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersPage {
    /// The orders, highest number first.
    pub orders: Vec<SellerOrder>,
    /// How many orders of the whole account are in each state.
    pub counts: WorkCounts,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

impl<S: WorkStorage + ?Sized> Local<'_, S> {
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
                streak.filter(|streak| streak.is_over(context.policy, now)),
                &mut context,
            )
        });
        Ok(answer.value)
    }
}

impl<S: Storage + ?Sized> Local<'_, S> {
    pub(super) async fn account_snapshot(
        &self,
        id: AccountId,
        request: Option<IdempotentRequest>,
    ) -> Result<AccountSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(self.storage.account(id, scope).await?.ok_or(Rejection::NotFound("account"))?)
    }

    /// Draws a secret for a subscription, and seals it.
    pub(super) fn fresh_secret(&self, account_id: AccountId, id: SubscriptionId) -> Result<FreshSecret, PortError> {
        let Environment { secrets, sealer, .. } = self.environment;
        let secret = WebhookSecret::from_bytes(&secrets.draw()?);
        FreshSecret::new(sealer, SecretHolder::Subscription(account_id, id), secret)
    }

    async fn service_snapshot(
        &self,
        account_id: AccountId,
        id: ServiceId,
        request: Option<IdempotentRequest>,
    ) -> Result<ServiceSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(self.storage.service(account_id, id, scope).await?.ok_or(Rejection::NotFound("service"))?)
    }

    pub(super) async fn order_snapshot(
        &self,
        key: OrderKey,
        request: Option<IdempotentRequest>,
    ) -> Result<OrderSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(self.storage.order(key, scope).await?.ok_or(Rejection::NotFound("order"))?)
    }

    async fn shop_snapshot(&self, slug: &str, request: Option<IdempotentRequest>) -> Result<ShopSnapshot, Failure> {
        let slug = Slug::parse("slug", slug).map_err(|_| Rejection::NotFound("storefront"))?;
        let scope = request.map(|request| request.scope);
        let shop = self.storage.shop(&slug, scope).await?.filter(|shop| shop.storefront.profile.published);
        Ok(shop.ok_or(Rejection::NotFound("storefront"))?)
    }

    /// The account, with its tier and modules.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn account(&self, id: AccountId) -> Result<Account, Failure> {
        Ok(self.account_snapshot(id, None).await?.account)
    }

    /// Opens an account with its first API key.
    ///
    /// # Errors
    /// [`Rejection::Invalid`]; a port's failure.
    pub async fn open_account(&self, name: &str, tier: Tier) -> Result<Answer<(Account, NewKeyView)>, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            let key = ApiKey::from_bytes(&self.environment.secrets.draw()?);
            decide::open_account(name, tier, key, &mut context)?
        });
        Ok(answer)
    }

    /// Puts the account on another tier.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Failure::Busy`]; a port's failure.
    pub async fn set_tier(&self, id: AccountId, tier: Tier) -> Result<Answer<Account>, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            let snapshot = self.account_snapshot(id, None).await?;
            if id == AccountId::OPERATORS {
                return Err(Rejection::NotFound("account").into());
            }
            decide::set_tier(&snapshot, tier, &mut context)?
        });
        Ok(answer)
    }

    /// The storefront's settings; `None` before the first [`Local::put_storefront`].
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn storefront(&self, id: AccountId) -> Result<Option<StorefrontView>, Failure> {
        let snapshot = self.account_snapshot(id, None).await?;
        Ok(snapshot.storefront.as_ref().map(StorefrontView::from))
    }

    /// Puts the storefront: a full replacement.
    ///
    /// # Errors
    /// Those of [`decide::put_storefront`]; [`Rejection::Conflict`] for a slug that is taken; [`Failure::Busy`]; a port's
    /// failure.
    pub async fn put_storefront(
        &self,
        id: AccountId,
        input: &StorefrontInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<StorefrontView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            decide::put_storefront(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// The public storefront, if it is published.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn shop(&self, slug: &str) -> Result<ShopView, Failure> {
        Ok(ShopView::from(&self.shop_snapshot(slug, None).await?))
    }

    /// The catalog, by sort order.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn services(&self, id: AccountId) -> Result<Vec<ServiceView>, Failure> {
        Ok(self.storage.services(id).await?.iter().map(ServiceView::from).collect())
    }

    /// One service.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn service(&self, account_id: AccountId, id: ServiceId) -> Result<ServiceView, Failure> {
        Ok(ServiceView::from(&self.service_snapshot(account_id, id, None).await?.service))
    }

    /// Creates a service.
    ///
    /// # Errors
    /// Those of [`decide::create_service`]; [`Rejection::Conflict`] for a slug that is taken; [`Failure::Busy`]; a port's
    /// failure.
    pub async fn create_service(
        &self,
        id: AccountId,
        input: &ServiceInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ServiceView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            decide::create_service(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// Changes a service.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::update_service`]; [`Rejection::Conflict`] for a slug that is taken;
    /// [`Failure::Busy`]; a port's failure.
    pub async fn update_service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        input: &ServiceInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ServiceView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.service_snapshot(account_id, id, request).await?;
            decide::update_service(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// Deletes a service that no order names.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Conflict`] if it has orders; [`Failure::Busy`]; a port's failure.
    pub async fn delete_service(&self, account_id: AccountId, id: ServiceId) -> Result<(), Failure> {
        rounds!(self, None, |context| {
            let snapshot = self.service_snapshot(account_id, id, None).await?;
            decide::delete_service(&snapshot, &mut context)?
        });
        Ok(())
    }

    /// Places a buyer's order at a published storefront. The idempotency key's scope is the storefront
    /// ([`IdempotentRequest::of_shop`]): its buyers have no account. A replayed answer holds the first one's access token.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::place_order`]; [`Failure::Busy`]; a port's failure.
    pub async fn place_order(
        &self,
        slug: &str,
        input: &OrderInput,
        language: Language,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PlacedOrder>, Failure> {
        let (answer, committed) = rounds!(self, request, |context| {
            let snapshot = self.shop_snapshot(slug, request).await?;
            let access_token = AccessToken::from_bytes(&self.environment.secrets.draw()?);
            decide::place_order(&snapshot, &PlaceOrder { input, language, access_token }, &mut context)?
        });
        let number = committed.and_then(|committed| committed.number);
        Ok(answer.map(|placed| PlacedOrder { number: number.or(placed.number), ..placed }))
    }

    /// A page of orders, with the counts of the whole account.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor; a port's failure.
    pub async fn orders(
        &self,
        id: AccountId,
        filter: &OrderFilter,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<OrdersPage, Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.orders(id, filter, after, limit).await?;
        Ok(OrdersPage {
            counts: self.storage.counts(id).await?,
            cursor: page.position(page::OrderRow::position).map(|position| page::cursor(id, &position)),
            orders: page.rows.iter().map(SellerOrder::from).collect(),
        })
    }

    /// One order, as its seller sees it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn order(&self, account_id: AccountId, id: OrderId) -> Result<SellerOrder, Failure> {
        Ok(SellerOrder::from(&self.order_snapshot(OrderKey::Id(account_id, id), None).await?))
    }

    /// One order, as its buyer sees it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn buyer_order(&self, token: &AccessToken) -> Result<BuyerOrder, Failure> {
        Ok(BuyerOrder::from(&self.order_snapshot(OrderKey::Token(token.hash()), None).await?))
    }

    /// The buyer says that the transfer was made. A repeated claim changes nothing.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::claim_payment`]; [`Failure::Busy`]; a port's failure.
    pub async fn claim_payment(&self, token: &AccessToken) -> Result<Answer<BuyerOrder>, Failure> {
        let actor = Actor::buyer(token);
        let (answer, _) = rounds!(self, None, |context| {
            let snapshot = self.order_snapshot(OrderKey::Token(token.hash()), None).await?;
            decide::claim_payment(&snapshot, &actor, &mut context)?
        });
        Ok(answer)
    }

    /// The seller has seen the money.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::confirm_payment`]; [`Failure::Busy`]; a port's failure.
    pub async fn confirm_payment(
        &self,
        account_id: AccountId,
        id: OrderId,
        actor: &Actor,
        note: Option<&str>,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SellerOrder>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.order_snapshot(OrderKey::Id(account_id, id), request).await?;
            decide::confirm_payment(&snapshot, actor, note, &mut context)?
        });
        Ok(answer)
    }

    /// Moves the work track, sets the quote, or both.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::patch_order`]; [`Failure::Busy`]; a port's failure.
    pub async fn patch_order(
        &self,
        account_id: AccountId,
        id: OrderId,
        patch: OrderPatch,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SellerOrder>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.order_snapshot(OrderKey::Id(account_id, id), request).await?;
            decide::patch_order(&snapshot, patch, actor, &mut context)?
        });
        Ok(answer)
    }

    /// Gives an order another access token; the one until now opens nothing from then on, on every host. A repeated
    /// idempotency key answers the token of the first request, which may have been replaced since.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::rotate_token`]; [`Failure::Busy`]; a port's failure.
    pub async fn rotate_token(
        &self,
        account_id: AccountId,
        id: OrderId,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SellerOrder>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.order_snapshot(OrderKey::Id(account_id, id), request).await?;
            let access_token = AccessToken::from_bytes(&self.environment.secrets.draw()?);
            decide::rotate_token(&snapshot, access_token, actor, &mut context)?
        });
        Ok(answer)
    }

    /// The audit trail of one order, oldest first.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn audit(&self, account_id: AccountId, id: OrderId) -> Result<Vec<AuditRecord>, Failure> {
        Ok(self.storage.audit(account_id, id).await?)
    }

    /// The account's API keys, oldest first.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn keys(&self, id: AccountId) -> Result<Vec<KeyView>, Failure> {
        Ok(self.storage.keys(id).await?.iter().map(KeyView::from).collect())
    }

    /// Makes an API key, which is shown this once.
    ///
    /// # Errors
    /// Those of [`decide::create_key`]; [`Failure::Busy`]; a port's failure.
    pub async fn create_key(
        &self,
        id: AccountId,
        name: &str,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<NewKeyView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            let key = ApiKey::from_bytes(&self.environment.secrets.draw()?);
            decide::create_key(&snapshot, name, key, &mut context)?
        });
        Ok(answer)
    }

    /// Deletes an API key.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Failure::Busy`]; a port's failure.
    pub async fn delete_key(&self, account_id: AccountId, id: KeyId) -> Result<(), Failure> {
        rounds!(self, None, |context| {
            let keys = self.storage.keys(account_id).await?;
            let key = keys.iter().find(|key| key.id == id).ok_or(Rejection::NotFound("API key"))?;
            decide::delete_key(key, &mut context)?
        });
        Ok(())
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
                crate::rejection::Invalid::new("url", "can't be changed inside a transaction").into()
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

    /// What became of a change set; `None` if it did not land.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, Failure> {
        Ok(self.storage.outcome(account_id, id).await?)
    }
}
