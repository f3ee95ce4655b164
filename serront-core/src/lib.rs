//! Serront's payment library, its pure half: types, decisions, ports, and the service that ties them.
//!
//! A backend team embeds this crate to be paid by bank transfer with a receipt as proof, and online at Plugipay. The one idea is that
//! *a change is a value*:
//!
//! ```text
//! request ─▶ service ─▶ storage.read ─▶ decide(snapshot, command, now) ─▶ ChangeSet ─▶ storage.commit
//!                                       pure; or a Rejection                one atomic write
//! effects in the same commit ─▶ dispatcher ─▶ mail · webhook sink · receipts ─▶ storage.record_attempt
//!                            janitor ─▶ Plugipay
//! ```
//!
//! - [`decide`] holds the decisions: synchronous, pure functions that name no port.
//! - [`change`] is what they answer: a [`change::ChangeSet`] with guards, writes, claims and effects.
//! - [`ports`] are the traits that a host implements or takes from `serront-adapters`.
//! - [`service`] reads, decides, commits and tries again; [`dispatch`], [`janitor`], [`fold`] and [`sweep`] are its
//!   periodic halves, each as `step(now)`.
//!
//! This crate does no I/O, starts no task and reads neither a clock nor a random source.
#![deny(missing_docs)]

pub mod account;
pub mod audit;
pub mod balance;
pub mod books;
pub mod catalog;
pub mod change;
pub mod checkout;
pub mod compare;
pub mod decide;
pub mod dispatch;
pub mod effect;
pub mod event;
pub mod exception;
pub mod fold;
pub mod idempotency;
pub mod ids;
mod image;
pub mod inbox;
pub mod installation;
pub mod janitor;
pub mod key;
pub mod ledger;
pub mod mail;
pub mod marked;
pub mod money;
pub mod order;
pub mod page;
pub mod payment;
pub mod payout;
pub mod plugipay;
pub mod policy;
pub mod ports;
pub mod provisioning;
pub mod receipt;
pub mod reconcile;
pub mod rejection;
pub mod sealed;
pub mod service;
pub mod set_aside;
pub mod signature;
pub mod snapshots;
pub mod storefront;
pub mod subscription;
pub mod sweep;
pub mod text;
pub mod tier;
pub mod time;
pub mod view;
