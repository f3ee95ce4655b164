//! Every name in the storage port and in the receipts' store, for adapters and wrappers: `use serront_core::ports::prelude::*`.
//! [`forward_port!`](crate::forward_port) imports all of it too.

pub use super::signatures::*;
pub use super::{
    AccountReads, Bookkeeping, CommitError, Commits, Credentials, FundsReads, OnlineReads, OperatorReads, OrderReads,
    Outbox, QuarantinedReceipt, Receipts, RecordError, ShopReads, StoredReceipt, Upkeep, WebhookReads,
};
