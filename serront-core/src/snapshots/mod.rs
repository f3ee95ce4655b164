//! Snapshots: the rows that a storage's reads return, each read at one moment.
//!
//! This module holds plain values only: no trait, no error, and no decision. A storage builds them, the service reads them,
//! and [`decide`](crate::decide) takes them as arguments. The reads themselves are methods of the [`ports`](crate::ports).

mod accounts;
mod funds;
mod online;
mod orders;
mod shop;
mod work;

pub use accounts::{AccountSnapshot, InstallationRow};
pub use funds::{AdjustmentKey, FundsSnapshot, PayoutKey, PayoutSnapshot};
pub use online::{CheckoutSnapshot, ExceptionSnapshot, SessionSnapshot};
pub use orders::{OrderKey, OrderSnapshot};
pub use shop::{ServiceSnapshot, ShopSnapshot};
pub use work::{Due, DueEffect, Fence, NextAttempt, Prune, Pruned, SubscriptionSecrets, Target};
