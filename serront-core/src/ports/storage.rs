//! Storage: reads, one way to change the domain, and the dispatcher's bookkeeping.
//!
//! [`Storage`] is what a local command needs, so it is also what an adapter can bind to a transaction of the host's own.
//! [`WorkStorage`] adds what the periodic halves need.

use std::time::Duration;

use async_trait::async_trait;

use crate::audit::AuditRecord;
use crate::books::Verification;
use crate::catalog::Service;
use crate::change::{ChangeSet, Committed, Duplicate};
use crate::checkout::{MerchantId, ProviderEventId, SessionId};
use crate::effect::{Attempt, DeliveryRecord, Discard, EffectId, EffectRecord, Lane};
use crate::exception::{ExceptionStatus, PaymentException};
use crate::idempotency::Scope;
use crate::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, InstallationId, KeyId, OrderId, PayoutId, ServiceId,
    SubscriptionId, UploadId,
};
use crate::inbox::InboxRecord;
use crate::key::KeyRecord;
use crate::ledger::{Adjustment, CodeTotals, LedgerEntry};
use crate::order::{OrderNumber, WorkCounts};
use crate::page::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, Limit,
    OrderFilter, OrderRow, Page, PayoutPosition,
};
use crate::payout::{Payout, PayoutAudit, PayoutStatus};
use crate::policy::DeliveryShares;
use crate::ports::PortError;
use crate::provisioning::Provisioning;
use crate::receipt::Digest256;
use crate::sealed::SealedSecret;
use crate::set_aside::SetAsides;
use crate::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, ExceptionSnapshot, Fence, FundsSnapshot, InstallationRow,
    NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot, SessionSnapshot,
    ShopSnapshot, SubscriptionSecrets,
};
use crate::subscription::Streak;
use crate::text::Slug;
use crate::time::Timestamp;

/// Why a commit did not land.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A guard no longer holds: read and decide again.
    #[error("a guard no longer holds")]
    Conflict,
    /// A name is taken: this was done before, or somebody else holds it.
    #[error("a name is claimed already")]
    Duplicate(Box<Duplicate>),
    /// The storage failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Reads, and the one way to change the domain.
///
/// Every read is a consistent snapshot of what was committed before it began. An id of another account reads as not
/// there. What was kept under an idempotency key is answered only while it counts by the storage's clock.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The account's settings, with what was kept under `key`.
    ///
    /// # Errors
    /// Transient or permanent, as for every read.
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError>;

    /// One service of the account.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError>;

    /// The storefront of this slug, published or not. `scope` is looked up in the storefront's account.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError>;

    /// One order. `scope` is looked up in the order's account.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError>;

    /// The API key of this hash.
    ///
    /// Must see a deletion that was committed anywhere before the call.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError>;

    /// The account's API keys, oldest first.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError>;

    /// The account's services, by sort order, then age.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError>;

    /// A page of the account's orders, highest number first, below `after`.
    ///
    /// Unless words are searched for, must touch about as many rows as it answers, however deep the page.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError>;

    /// How many of the account's orders are in each state. Kept, not counted.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError>;

    /// The audit trail of one order, oldest first.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError>;

    /// A page of the account's deliveries, newest first, before `after`.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError>;

    /// One delivery.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError>;

    /// One effect of the account, of whatever kind.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError>;

    /// Who this merchant at Plugipay is.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError>;

    /// One checkout with its order.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError>;

    /// What is known under a session's name, and of one event beside it.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError>;

    /// One notification.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError>;

    /// The legs on the seller's balance, summed up by code, in the order of the codes' names; a code without legs is left
    /// out. What is stored and what is not folded yet are read in one snapshot.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError>;

    /// A page of the legs on the seller's balance, newest first, before `after`.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError>;

    /// A page of the account's exceptions, newest first, before `after`; of this state, if one is given.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError>;

    /// One exception.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError>;

    /// The account's funds: what is in flight, its balance and where payouts go, all of one moment. `None` if there is no such
    /// account.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError>;

    /// One payout. `scope` is looked up in the payout's account.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError>;

    /// A page of the account's payouts, newest first, before `after`; in this state, if one is given.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError>;

    /// The steps of one payout, oldest first.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError>;

    /// One adjustment of the account.
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError>;

    /// What became of a change set; `None` if it did not land (or was pruned since).
    ///
    /// # Errors
    /// As [`Storage::account`].
    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError>;

    /// Applies a change set, all of it or nothing, durably before it answers.
    ///
    /// In this order:
    /// 0. Every time in it that is compared later is moved to the storage's clock: the result is that of
    ///    [`ChangeSet::by_clock_of_storage`]. A resend that lands is moved by the clock of then.
    /// 1. [`ChangeSet::check`]; an inconsistent one is a permanent [`PortError`].
    /// 2. The id: a change set that landed before answers what it answered then, and changes nothing.
    /// 3. The guards: one that does not hold is a [`CommitError::Conflict`]. Exact guards hold until the commit is done;
    ///    two commits that contradict each other's exact guards never both land.
    /// 4. The releases: a name that the account does not hold is a [`CommitError::Conflict`]. Then the claims: the first
    ///    name that is taken is a [`CommitError::Duplicate`] with what was kept. A
    ///    kept outcome whose time ended by the storage's clock does not count and is replaced.
    /// 5. The writes. A new order takes the account's next number: 1, 2, …, without gaps, whatever races or fails. Marked
    ///    places are filled with it.
    /// 6. The effects, made now and due at [`Effect::due_at`](crate::effect::Effect::due_at), both by the storage's clock.
    ///
    /// A change set that fails leaves nothing, and leaves those committed beside it unharmed.
    ///
    /// # Errors
    /// [`CommitError`]. A port error of kind *outcome unknown* means that the change set may or may not have landed; the
    /// identical one can be sent again.
    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError>;
}

/// The lease ran out, and somebody else took the effect or finished it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease was lost")]
pub struct LeaseLost;

/// Why an attempt was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The lease was lost; the attempt belongs to nobody's log.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The storage failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The bookkeeping of the periodic halves: the storage's only writes beside [`Storage::commit`].
///
/// A row that this version can't read stops only itself. What looks at the rows of many accounts ([`WorkStorage::take_due`],
/// the folding, the verification, the lists) goes on with the others and sets such a row aside: it stays as it is, and is on
/// record for [`WorkStorage::set_aside`]. [`WorkStorage::take_due`] tries such rows again: each every five minutes and once
/// after a start, and within ten seconds those that only older versions have tried. A read that answers for one account fails
/// if it needs a row that can't be read, and no other read fails with it.
#[async_trait]
pub trait WorkStorage: Storage {
    /// Takes up to `limit` due effects of one lane under a lease, the longest due first.
    ///
    /// - Due means: pending, due by the storage's own clock, and under no lease that still runs by that clock.
    /// - No effect is held by two leases that both run, however many hosts ask.
    /// - Each lease raises the effect's fence.
    ///
    /// Deliveries are shared out by the leases that run, over all hosts:
    /// - At most [`per_subscription`](DeliveryShares::per_subscription) are held to one subscription, the longest due first.
    /// - A subscription's second, third, … place is only given while fewer than [`per_account`](DeliveryShares::per_account)
    ///   of its account are held. So an account holds no more than that and one for each of its subscriptions.
    /// - Nothing is given to a subscription that is held back while [`failing`](DeliveryShares::failing) to such are held: one
    ///   with a streak, or whose last attempt took as long as [`slow_after`](DeliveryShares::slow_after), counted in whole
    ///   seconds.
    /// - Who holds fewest comes first; among those, who has failed least often in a row; then the longest due. However long a
    ///   queue, it hides no other.
    ///
    /// # Errors
    /// [`PortError`]; what was taken then comes back when its lease runs out.
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError>;

    /// When the lane's earliest pending effect that no lease holds becomes due, by the storage's clock; `None` if there is none.
    ///
    /// # Errors
    /// [`PortError`].
    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError>;

    /// The present time by the storage's clock: the one that every host on this storage shares.
    ///
    /// # Errors
    /// [`PortError`].
    async fn now(&self) -> Result<Timestamp, PortError>;

    /// Writes an attempt into the effect's log, ends the lease and sets what comes next, all at once. The log keeps the latest
    /// [`ATTEMPTS_KEPT`](crate::effect::ATTEMPTS_KEPT); their numbers and the effect's count go on.
    ///
    /// An attempt at a delivery also goes on with its subscription's streak: one that failed is counted, one that succeeded
    /// ends it. How long it took is kept beside that, in whole seconds. Neither moves a version.
    ///
    /// # Errors
    /// [`LeaseLost`] if the fence is not the effect's present one; nothing is written then. Sending the same record again
    /// after an unknown outcome answers [`LeaseLost`] if it had landed.
    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError>;

    /// A subscription's streak of failed attempts; `None` if the last one succeeded, if there was none since the subscription
    /// was last changed, or if there is no such subscription.
    ///
    /// # Errors
    /// [`PortError`].
    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError>;

    /// Moves the deltas of kept counts and balances into their totals, up to `limit` of each kind, and answers how many they were.
    ///
    /// Must delete in the same statement what it adds, so that no delta counts twice. A storage that keeps no deltas
    /// answers 0.
    ///
    /// # Errors
    /// [`PortError`].
    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError>;

    /// The time before which the ledger is complete: no entry of any account that carries an earlier time will land any more.
    ///
    /// - It is [`POSTED_WITHIN`](crate::ledger::POSTED_WITHIN) before the storage's present time, or before the beginning of the
    ///   oldest transaction that is open and has posted something, whichever is earlier.
    /// - It is looked up before what it is to hold for is read.
    ///
    /// # Errors
    /// [`PortError`].
    async fn complete_before(&self) -> Result<Timestamp, PortError>;

    /// The notifications that wait for the operator: parked ones that came before `parked_before`, and all in foreign
    /// currency or unreadable; of every account, oldest first.
    ///
    /// # Errors
    /// [`PortError`].
    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError>;

    /// The payouts that are pending or in transit, of every account, oldest first, after this one.
    ///
    /// # Errors
    /// [`PortError`].
    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError>;

    /// A page of the effects that were given up and not discarded, of every account and every kind, newest first, before `after`.
    ///
    /// Must touch about as many rows as it answers, however many effects there are.
    ///
    /// # Errors
    /// [`PortError`].
    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError>;

    /// The records of discarded effects, of every account, the latest first, up to so many.
    ///
    /// # Errors
    /// [`PortError`].
    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError>;

    /// What was set aside because this version can't read it: up to so many rows, the oldest first, and how many there are.
    ///
    /// # Errors
    /// [`PortError`].
    async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError>;

    /// A page of what the subscriptions of every account hold of their secrets, by id, after this one.
    ///
    /// # Errors
    /// [`PortError`].
    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError>;

    /// A page of the endpoints of every account, by account, after this one.
    ///
    /// # Errors
    /// [`PortError`].
    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError>;

    /// Hands the books of one account, or of all, to a verification.
    ///
    /// In pieces: every entry in one of them, the stored totals with what is not folded yet, and the payouts in flight. All of
    /// it is of one moment, however long it takes; commits go on meanwhile.
    ///
    /// # Errors
    /// [`PortError`]; what was handed over until then is no whole.
    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError>;

    /// Deletes what is old enough by the storage's clock. Pending effects and claims other than idempotency keys always stay.
    ///
    /// # Errors
    /// [`PortError`].
    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError>;

    /// Notes that a key is used now, by the storage's clock. Sooner than `pause` after the time that is noted, or before it, it
    /// changes nothing: of many uses at once one is written.
    ///
    /// # Errors
    /// [`PortError`].
    async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError>;

    /// Which of these uploads some payment names.
    ///
    /// # Errors
    /// [`PortError`].
    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError>;

    /// What the storage knows of its installation.
    ///
    /// # Errors
    /// [`PortError`].
    async fn installation(&self) -> Result<InstallationRow, PortError>;

    /// Writes the installation's id unless there is one, and answers the one that counts. Of several callers at once one's id
    /// is kept, and all are answered that.
    ///
    /// # Errors
    /// [`PortError`]; calling again is harmless.
    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError>;

    /// Puts this key check in the place of `was`, and answers whether it did: not if another one is there, or if the
    /// installation has no id yet.
    ///
    /// # Errors
    /// [`PortError`]. After an unknown outcome, read what is there.
    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError>;

    /// Whether the storage can be reached and its layout is the one that this code expects.
    ///
    /// # Errors
    /// [`PortError`] if not.
    async fn ready(&self) -> Result<(), PortError>;
}
