//! An order with its payment.

use crate::accounts::account::Account;
use crate::changes::idempotency::Kept;
use crate::online::checkout::Checkout;
use crate::orders::order::{Order, OrderNumber, OrderedService, SellerProfile};
use crate::orders::payment::Payment;
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, OrderId};
use crate::webhooks::subscription::Subscription;

/// What a decision about an order needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSnapshot {
    /// The account that sells.
    pub account: Account,
    /// The seller's profile. `None` until the seller has saved one.
    pub seller: Option<SellerProfile>,
    /// The order.
    pub order: Order,
    /// The order's number within the account.
    pub number: OrderNumber,
    /// The order's payment.
    pub payment: Payment,
    /// What was ordered.
    pub service: OrderedService,
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
