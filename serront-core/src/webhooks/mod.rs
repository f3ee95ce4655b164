//! Webhooks to the seller's systems: subscriptions, events, and the signatures that receivers verify.
//!
//! This room sends nothing: deliveries are [effects](crate::changes::effect), which the
//! [dispatcher](crate::work::dispatch) sends.

pub mod event;
pub mod signature;
pub mod subscription;
