//! Every type in the signatures of the storage port and of the receipts' store.

pub use std::time::Duration;

pub use async_trait::async_trait;

pub use super::PortError;
pub use crate::accounts::key::KeyRecord;
pub use crate::accounts::sealed::SealedSecret;
pub use crate::changes::change::{ChangeSet, Committed};
pub use crate::changes::effect::{Attempt, DeliveryRecord, Discard, EffectId, EffectRecord, Lane};
pub use crate::changes::idempotency::Scope;
pub use crate::funds::books::Verification;
pub use crate::funds::ledger::{Adjustment, CodeTotals, LedgerEntry};
pub use crate::funds::payout::{Payout, PayoutAudit, PayoutStatus};
pub use crate::online::exception::{ExceptionStatus, PaymentException};
pub use crate::online::inbox::InboxRecord;
pub use crate::online::provisioning::Provisioning;
pub use crate::orders::audit::AuditRecord;
pub use crate::orders::order::{OrderNumber, WorkCounts};
pub use crate::policy::DeliveryShares;
pub use crate::primitives::digest::Digest256;
pub use crate::primitives::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, InstallationId, KeyId, OrderId, PayoutId, ServiceId,
    SubscriptionId, UploadId,
};
pub use crate::primitives::page::{Limit, Page};
pub use crate::primitives::provider::{MerchantId, ProviderEventId, SessionId};
pub use crate::primitives::text::Slug;
pub use crate::primitives::time::Timestamp;
pub use crate::shop::catalog::Service;
pub use crate::snapshots::set_aside::SetAsides;
pub use crate::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, ExceptionSnapshot, Fence, FundsSnapshot, InstallationRow,
    NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot, SessionSnapshot,
    ShopSnapshot, SubscriptionSecrets,
};
pub use crate::snapshots::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, OrderFilter,
    OrderRow, PayoutPosition,
};
pub use crate::webhooks::subscription::Streak;
