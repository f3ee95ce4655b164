//! Views: what the API and the pages show, in the wire contract's shapes, and the rules of what is shown to whom.
//!
//! They are made of snapshots and domain values, and hold no rule but that one. Decisions return them, so that an outcome can
//! be kept under its idempotency key.

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
