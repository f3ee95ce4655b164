//! The commands about orders and their payments.

use super::commands::rounds;
use super::{Answer, Commands, Failure};
use crate::accounts::actor::Actor;
use crate::accounts::key::AccessToken;
use crate::changes::idempotency::IdempotentRequest;
use crate::decide::{self, OrderPatch};
use crate::orders::audit::AuditRecord;
use crate::orders::order::WorkCounts;
use crate::ports::Storage;
use crate::primitives::ids::{AccountId, CheckoutId, OrderId};
use crate::primitives::page::{self, Limit};
use crate::primitives::rejection::Rejection;
use crate::snapshots::{CheckoutSnapshot, OrderFilter, OrderKey, OrderSnapshot};
use crate::views::{BuyerOrder, SellerOrder};

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrdersPage {
    /// The orders, highest number first.
    pub orders: Vec<SellerOrder>,
    /// How many of the account's orders are in each work status; the filter does not apply.
    pub counts: WorkCounts,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

impl<S: Storage + ?Sized> Commands<'_, S> {
    pub(super) async fn order_snapshot(
        &self,
        key: OrderKey,
        request: Option<IdempotentRequest>,
    ) -> Result<OrderSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(self.storage.order(key, scope).await?.ok_or(Rejection::NotFound("order"))?)
    }

    /// A page of the account's orders, highest number first.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor.
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
            cursor: page.position(crate::snapshots::OrderRow::position).map(|position| page::cursor(id, &position)),
            orders: page.rows.iter().map(SellerOrder::from).collect(),
        })
    }

    /// One order, as its seller sees it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn order(&self, account_id: AccountId, id: OrderId) -> Result<SellerOrder, Failure> {
        Ok(SellerOrder::from(&self.order_snapshot(OrderKey::Id(account_id, id), None).await?))
    }

    /// One order, as its buyer sees it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn buyer_order(&self, token: &AccessToken) -> Result<BuyerOrder, Failure> {
        Ok(BuyerOrder::from(&self.order_snapshot(OrderKey::Token(token.hash()), None).await?))
    }

    /// The buyer says that the transfer was made. A repeated claim changes nothing.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::claim_payment`].
    pub async fn claim_payment(&self, token: &AccessToken) -> Result<Answer<BuyerOrder>, Failure> {
        let actor = Actor::buyer(token);
        Ok(rounds!(self, None, |context| {
            let snapshot = self.order_snapshot(OrderKey::Token(token.hash()), None).await?;
            decide::claim_payment(&snapshot, &actor, &mut context)?
        }))
    }

    /// The seller confirms that the money arrived.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::confirm_payment`].
    pub async fn confirm_payment(
        &self,
        account_id: AccountId,
        id: OrderId,
        actor: &Actor,
        note: Option<&str>,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SellerOrder>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.order_snapshot(OrderKey::Id(account_id, id), request).await?;
            decide::confirm_payment(&snapshot, actor, note, &mut context)?
        }))
    }

    /// Moves the work track, sets the quote, or both.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::patch_order`].
    pub async fn patch_order(
        &self,
        account_id: AccountId,
        id: OrderId,
        patch: OrderPatch,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SellerOrder>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.order_snapshot(OrderKey::Id(account_id, id), request).await?;
            decide::patch_order(&snapshot, patch, actor, &mut context)?
        }))
    }

    /// Gives an order a new access token. The previous token stops working immediately, on every host. A repeated
    /// idempotency key answers the token of the first request, which may have been replaced by a later one.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::rotate_token`].
    pub async fn rotate_token(
        &self,
        account_id: AccountId,
        id: OrderId,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<SellerOrder>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.order_snapshot(OrderKey::Id(account_id, id), request).await?;
            let access_token = AccessToken::from_bytes(&self.environment.secrets.draw()?);
            decide::rotate_token(&snapshot, access_token, actor, &mut context)?
        }))
    }

    /// The audit trail of one order, oldest first.
    pub async fn audit(&self, account_id: AccountId, id: OrderId) -> Result<Vec<AuditRecord>, Failure> {
        Ok(self.storage.audit(account_id, id).await?)
    }

    pub(super) async fn checkout_snapshot(
        &self,
        account_id: AccountId,
        id: CheckoutId,
    ) -> Result<CheckoutSnapshot, Failure> {
        Ok(self.storage.checkout(account_id, id).await?.ok_or(Rejection::NotFound("checkout"))?)
    }
}
