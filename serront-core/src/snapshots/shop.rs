//! A seller's services, and the storefront that buyers visit.

use crate::account::Account;
use crate::catalog::Service;
use crate::idempotency::Kept;
use crate::storefront::Storefront;
use crate::subscription::Subscription;

/// What a decision about a service needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSnapshot {
    /// The account that offers it.
    pub account: Account,
    /// The service.
    pub service: Service,
    /// Whether any order refers to it.
    pub has_orders: bool,
    /// The outcome stored under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}

/// What a buyer's visit to a storefront needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopSnapshot {
    /// The account that sells here.
    pub account: Account,
    /// The storefront, published or not.
    pub storefront: Storefront,
    /// Every service, by sort order, then age.
    pub services: Vec<Service>,
    /// The account's webhook subscriptions, oldest first.
    pub subscriptions: Vec<Subscription>,
    /// The outcome stored under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}
