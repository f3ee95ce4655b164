//! An order with its payment.

use crate::account::Account;
use crate::catalog::Service;
use crate::checkout::Checkout;
use crate::idempotency::Kept;
use crate::ids::{AccountId, OrderId};
use crate::order::{Order, OrderNumber};
use crate::payment::Payment;
use crate::receipt::Digest256;
use crate::storefront::Storefront;
use crate::subscription::Subscription;

/// What a decision about an order needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSnapshot {
    /// The account that sells.
    pub account: Account,
    /// Its storefront. `None` until the seller has saved one.
    pub storefront: Option<Storefront>,
    /// The order.
    pub order: Order,
    /// The order's number within the account.
    pub number: OrderNumber,
    /// The order's payment.
    pub payment: Payment,
    /// What was ordered.
    pub service: Service,
    /// The order's live checkouts, oldest first.
    pub checkouts: Vec<Checkout>,
    /// The account's webhook subscriptions, oldest first.
    pub subscriptions: Vec<Subscription>,
    /// The outcome stored under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}

/// How to find an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKey {
    /// By account and id: for the seller.
    Id(AccountId, OrderId),
    /// By the hash of the access token: for the buyer.
    Token(Digest256),
}
