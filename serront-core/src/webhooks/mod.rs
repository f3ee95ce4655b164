//! Webhooks to the seller's systems: subscriptions, events, and the signatures that receivers verify.
//!
//! It sends nothing: deliveries are [`changes::effect`](crate::changes::effect), and the
//! [dispatcher](crate::work::dispatch) carries them out.

pub mod event;
pub mod signature;
pub mod subscription;
