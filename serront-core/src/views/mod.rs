//! Views: what the API and the pages show, in the wire contract's shapes, and who may see which fields.
//!
//! They are built from snapshots and domain values, and hold no other rules. Decisions return them, so that a claim can
//! keep an outcome under its idempotency key. Most fields have no doc here: the wire contract and the domain's types
//! describe them.
#![allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]

mod accounts;
mod funds;
mod online;
mod orders;
mod shop;
mod webhooks;

pub use accounts::{KeyView, ModulesView, NewKeyView, hides_branding, offers_online_payment};
pub use funds::{
    AdjustmentView, BalanceView, BankAccountView, CodeBalanceView, EntryView, PayoutBalanceView, PayoutView,
};
pub use online::{CheckoutView, ExceptionView};
pub(crate) use orders::KeptPlacedOrder;
pub use orders::{BuyerOrder, BuyerService, BuyerStorefront, PaymentInstructions, PlacedOrder, SellerOrder};
pub use shop::{ServiceView, ShopProfile, ShopService, ShopView, StorefrontView};
pub use webhooks::{DeliveryView, NewSubscriptionView, SubscriptionView};
