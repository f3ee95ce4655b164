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

pub mod accounts;
pub mod changes;
pub mod decide;
pub mod funds;
pub mod online;
pub mod orders;
pub mod policy;
pub mod ports;
pub mod primitives;
pub mod service;
pub mod shop;
pub mod snapshots;
pub mod views;
pub mod webhooks;
pub mod work;
