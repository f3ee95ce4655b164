//! Every name in the signatures of the storage port and of the receipts' store, for adapters and wrappers:
//! `use serront_core::ports::signatures::*`. [`forward_port!`](crate::forward_port) imports all of it too.

pub use std::time::Duration;

pub use async_trait::async_trait;

pub use super::{
    AccountReads, Bookkeeping, CommitError, Commits, Credentials, FundsReads, OnlineReads, OperatorReads, OrderReads,
    Outbox, PortError, QuarantinedReceipt, Receipts, RecordError, ShopReads, StoredReceipt, Upkeep, WebhookReads,
};
pub use crate::audit::AuditRecord;
pub use crate::books::Verification;
pub use crate::catalog::Service;
pub use crate::change::{ChangeSet, Committed};
pub use crate::checkout::{MerchantId, ProviderEventId, SessionId};
pub use crate::effect::{Attempt, DeliveryRecord, Discard, EffectId, EffectRecord, Lane};
pub use crate::exception::{ExceptionStatus, PaymentException};
pub use crate::idempotency::Scope;
pub use crate::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, InstallationId, KeyId, OrderId, PayoutId, ServiceId,
    SubscriptionId, UploadId,
};
pub use crate::inbox::InboxRecord;
pub use crate::key::KeyRecord;
pub use crate::ledger::{Adjustment, CodeTotals, LedgerEntry};
pub use crate::order::{OrderNumber, WorkCounts};
pub use crate::page::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, Limit,
    OrderFilter, OrderRow, Page, PayoutPosition,
};
pub use crate::payout::{Payout, PayoutAudit, PayoutStatus};
pub use crate::policy::DeliveryShares;
pub use crate::provisioning::Provisioning;
pub use crate::receipt::Digest256;
pub use crate::sealed::SealedSecret;
pub use crate::set_aside::SetAsides;
pub use crate::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, ExceptionSnapshot, Fence, FundsSnapshot, InstallationRow,
    NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot, SessionSnapshot,
    ShopSnapshot, SubscriptionSecrets,
};
pub use crate::subscription::Streak;
pub use crate::text::Slug;
pub use crate::time::Timestamp;
