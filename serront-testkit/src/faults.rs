//! Faults as an API: a storage that fails before or after it has done what it was asked, as the test tells it.
//!
//! ```text
//! service ─▶ FaultyStorage ─▶ Faults: does one strike this call? ─▶ the storage within
//!                             FailBefore   never asked, and told so: transient
//!                             LoseRequest  never asked, and nobody knows: outcome unknown
//!                             LoseAnswer   asked and done, and nobody knows: outcome unknown
//!                             Conflict     never asked, a guard is said not to hold
//!                             Busy         never asked, too much is said to be under way
//! ```
//!
//! What strikes is told beforehand, either as a script (the next call fails so, the one after it so) or as a rule that
//! sees each call; nothing here is random, so a test that fails once fails again.
//!
//! ```
//! use std::sync::Arc;
//! use serront_testkit::faults::{Call, Fault, FaultyStorage};
//! use serront_testkit::memory::{ManualClock, MemoryStorage};
//! use serront_testkit::world::World;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = Arc::new(ManualClock::default());
//! let storage = FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone())));
//! let faults = storage.faults();
//! let world = World::over(Arc::new(storage), clock);
//! let (_, order) = world.seller_with_order("studio").await;
//!
//! faults.script(Call::Commit, [Fault::LoseAnswer]);
//! world.local().claim_payment(&order.token).await.unwrap();
//! assert_eq!(faults.struck(), [(Call::Commit, Fault::LoseAnswer)]);
//! # });
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::audit::AuditRecord;
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, Committed};
use serront_core::effect::{Attempt, DeliveryRecord, EffectId};
use serront_core::idempotency::Scope;
use serront_core::ids::{AccountId, ChangeSetId, DeliveryId, KeyId, OrderId, ServiceId, UploadId};
use serront_core::key::KeyRecord;
use serront_core::order::{OrderNumber, WorkCounts};
use serront_core::page::{DeliveryFilter, DeliveryPosition, Limit, OrderFilter, OrderRow, Page};
use serront_core::ports::{
    AccountSnapshot, CommitError, Due, Fence, NextAttempt, OrderKey, OrderSnapshot, PortError, PortErrorKind, Prune,
    Pruned, RecordError, ServiceSnapshot, ShopSnapshot, Storage, WorkStorage,
};
use serront_core::receipt::Digest256;
use serront_core::text::Slug;
use serront_core::time::Timestamp;

use crate::memory::locked;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing happens, and the caller is told that it did not: a transient error.
    FailBefore,
    /// Nothing happens, and the caller is not told: outcome unknown.
    LoseRequest,
    /// It happens, and the caller is not told: outcome unknown. Whatever the answer was, a refusal included, it is lost.
    LoseAnswer,
    /// A commit answers that a guard does not hold, and nothing happens; one that landed before answers what it answered
    /// then, as it must. Any other call fails as with [`Fault::FailBefore`].
    Conflict,
    /// Nothing happens, and the caller is told that too much is under way.
    Busy,
}

/// What a call is, as far as faults tell calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Any read. A read's outcome is never unknown, so each fault but [`Fault::Busy`] makes it fail for now.
    Read,
    /// [`Storage::commit`].
    Commit,
    /// [`WorkStorage::take_due`].
    TakeDue,
    /// [`WorkStorage::record_attempt`].
    RecordAttempt,
    /// [`WorkStorage::fold_deltas`].
    FoldDeltas,
    /// [`WorkStorage::prune`].
    Prune,
    /// [`WorkStorage::touch_key`].
    TouchKey,
}

/// Sees a call and how many of its kind came before it.
type Rule = dyn FnMut(Call, u64) -> Option<Fault> + Send;

#[derive(Default)]
struct Plan {
    scripts: BTreeMap<Call, VecDeque<Fault>>,
    rule: Option<Box<Rule>>,
    calls: BTreeMap<Call, u64>,
    struck: Vec<(Call, Fault)>,
}

/// What is to go wrong, and what did. Clones share one plan.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = locked(&self.plan);
        formatter
            .debug_struct("Faults")
            .field("scripts", &plan.scripts)
            .field("struck", &plan.struck)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// Lets the next calls of this kind fail, one after the other. Added to what was told before.
    pub fn script(&self, call: Call, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.plan).scripts.entry(call).or_default().extend(faults);
    }

    /// Asks this rule about every call for which nothing is scripted. It is given the kind of call, and how many of that
    /// kind came before. Replaces the rule before it.
    pub fn rule(&self, rule: impl FnMut(Call, u64) -> Option<Fault> + Send + 'static) {
        locked(&self.plan).rule = Some(Box::new(rule));
    }

    /// Forgets scripts and rule: nothing fails any more.
    pub fn heal(&self) {
        let mut plan = locked(&self.plan);
        plan.scripts.clear();
        plan.rule = None;
    }

    /// How many calls of this kind there were, those that failed included.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        locked(&self.plan).calls.get(&call).copied().unwrap_or(0)
    }

    /// Every fault that struck, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<(Call, Fault)> {
        locked(&self.plan).struck.clone()
    }

    fn next(&self, call: Call) -> Option<Fault> {
        let Plan { scripts, rule, calls, struck } = &mut *locked(&self.plan);
        let count = calls.entry(call).or_default();
        let before = *count;
        *count = before.saturating_add(1);
        let scripted = scripts.get_mut(&call).and_then(VecDeque::pop_front);
        let fault = scripted.or_else(|| rule.as_mut().and_then(|rule| rule(call, before)))?;
        struck.push((call, fault));
        Some(fault)
    }

    /// A read that may fail.
    async fn read<T>(&self, read: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        match self.next(Call::Read) {
            None => read.await,
            Some(Fault::Busy) => Err(PortError::new(PortErrorKind::Busy, TOLD)),
            Some(_) => Err(PortError::transient(TOLD)),
        }
    }

    /// A write that may fail. An `async fn` does nothing until it is polled, so one that is dropped here has not begun.
    async fn write<T, E: From<PortError>>(
        &self,
        call: Call,
        write: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        told(self.next(call), write).await
    }
}

const TOLD: &str = "told to fail";

async fn told<T, E: From<PortError>>(fault: Option<Fault>, write: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    match fault {
        None => write.await,
        Some(Fault::FailBefore | Fault::Conflict) => Err(PortError::transient(TOLD).into()),
        Some(Fault::Busy) => Err(PortError::new(PortErrorKind::Busy, TOLD).into()),
        Some(Fault::LoseRequest) => Err(PortError::outcome_unknown(TOLD).into()),
        Some(Fault::LoseAnswer) => {
            let _lost = write.await;
            Err(PortError::outcome_unknown(TOLD).into())
        }
    }
}

/// A storage around another one, which fails as told by its [`Faults`] and remembers what was sent to it.
#[derive(Debug)]
pub struct FaultyStorage<S: ?Sized> {
    faults: Faults,
    sent: Mutex<Vec<ChangeSet>>,
    inner: Arc<S>,
}

impl<S: ?Sized> FaultyStorage<S> {
    /// Around this storage, with nothing told yet.
    #[must_use]
    pub fn new(inner: Arc<S>) -> Self {
        Self { faults: Faults::default(), sent: Mutex::default(), inner }
    }

    /// The plan, to tell what is to fail.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The storage within, which never fails.
    #[must_use]
    pub fn inner(&self) -> &Arc<S> {
        &self.inner
    }

    /// Every change set that was sent, in order, also those that did not land.
    #[must_use]
    pub fn sent(&self) -> Vec<ChangeSet> {
        locked(&self.sent).clone()
    }
}

// A method that a port gains with a default would go past the faults.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: Storage + ?Sized> Storage for FaultyStorage<S> {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        self.faults.read(self.inner.account(id, key)).await
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        self.faults.read(self.inner.service(account_id, id, key)).await
    }

    async fn shop(&self, slug: &Slug) -> Result<Option<ShopSnapshot>, PortError> {
        self.faults.read(self.inner.shop(slug)).await
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        self.faults.read(self.inner.order(key, scope)).await
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        self.faults.read(self.inner.key(hash)).await
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        self.faults.read(self.inner.keys(account_id)).await
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        self.faults.read(self.inner.services(account_id)).await
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        self.faults.read(self.inner.orders(account_id, filter, after, limit)).await
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        self.faults.read(self.inner.counts(account_id)).await
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        self.faults.read(self.inner.audit(account_id, order_id)).await
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        self.faults.read(self.inner.deliveries(account_id, filter, after, limit)).await
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        self.faults.read(self.inner.delivery(account_id, id)).await
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        self.faults.read(self.inner.outcome(account_id, id)).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        locked(&self.sent).push(change.clone());
        let commit = self.inner.commit(change);
        match self.faults.next(Call::Commit) {
            Some(Fault::Conflict) => {
                // A change set's id is tested before its guards: one that landed is never in conflict with itself.
                let landed = self.inner.outcome(change.account_id, change.id).await?;
                landed.ok_or(CommitError::Conflict)
            }
            fault => told(fault, commit).await,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: WorkStorage + ?Sized> WorkStorage for FaultyStorage<S> {
    async fn take_due(&self, limit: u32, per_subscription: u32, lease: Duration) -> Result<Vec<Due>, PortError> {
        self.faults.write(Call::TakeDue, self.inner.take_due(limit, per_subscription, lease)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, PortError> {
        self.faults.read(self.inner.next_due()).await
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let record = self.inner.record_attempt(account_id, id, fence, attempt, next);
        self.faults.write(Call::RecordAttempt, record).await
    }

    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        self.faults.write(Call::FoldDeltas, self.inner.fold_deltas(limit)).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        self.faults.write(Call::Prune, self.inner.prune(prune)).await
    }

    async fn touch_key(&self, account_id: AccountId, id: KeyId, at: Timestamp) -> Result<(), PortError> {
        self.faults.write(Call::TouchKey, self.inner.touch_key(account_id, id, at)).await
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        self.faults.read(self.inner.named_uploads(uploads)).await
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.faults.read(self.inner.ready()).await
    }
}

#[cfg(test)]
mod tests {
    use serront_core::account::{Account, AccountState, Modules, Version};
    use serront_core::change::Write;
    use serront_core::tier::Tier;

    use super::*;
    use crate::memory::{ManualClock, MemoryStorage};

    fn storage() -> FaultyStorage<MemoryStorage> {
        FaultyStorage::new(Arc::new(MemoryStorage::new(Arc::new(ManualClock::default()))))
    }

    fn change(nth: u64) -> ChangeSet {
        let ulid = ulid::Ulid::from_parts(nth, 1);
        let (id, at) = (AccountId::from_ulid(ulid), Timestamp::from_millis(0));
        let state = AccountState {
            version: Version::FIRST,
            tier: Tier::Free,
            modules: Modules::default(),
            plugipay_account_id: None,
        };
        let account = Account { id, name: "Studio".to_owned(), created_at: at, state };
        ChangeSet {
            writes: vec![Write::InsertAccount(account)],
            ..ChangeSet::new(ChangeSetId::from_ulid(ulid), id, at)
        }
    }

    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        let storage = storage();
        let faults = storage.faults();
        for (nth, (fault, kind, landed)) in [
            (Fault::FailBefore, Some(PortErrorKind::Transient), false),
            (Fault::LoseRequest, Some(PortErrorKind::OutcomeUnknown), false),
            (Fault::LoseAnswer, Some(PortErrorKind::OutcomeUnknown), true),
            (Fault::Conflict, None, false),
            (Fault::Busy, Some(PortErrorKind::Busy), false),
        ]
        .into_iter()
        .enumerate()
        {
            let change = change(nth as u64);
            faults.script(Call::Commit, [fault]);
            let told = match storage.commit(&change).await {
                Err(CommitError::Port(error)) => Some(error.kind()),
                Err(CommitError::Conflict) => None,
                other => panic!("{fault:?}: {other:?}"),
            };
            assert_eq!(told, kind, "{fault:?}");
            let outcome = storage.outcome(change.account_id, change.id).await.unwrap();
            assert_eq!(outcome.is_some(), landed, "{fault:?}");
        }
        assert_eq!(storage.sent().len(), 5);
        assert!(storage.commit(&change(9)).await.is_ok(), "nothing more was told");
    }

    #[tokio::test]
    async fn a_script_goes_before_the_rule_and_healing_ends_both() {
        let storage = storage();
        let faults = storage.faults();
        faults.rule(|call, before| (call == Call::Read && before % 2 == 1).then_some(Fault::FailBefore));
        faults.script(Call::Read, [Fault::FailBefore]);
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(storage.ready().await.is_ok());
        }
        assert_eq!(answers, [false, false, true, false]);
        assert_eq!(faults.calls(Call::Read), 4);
        assert_eq!(faults.struck(), [(Call::Read, Fault::FailBefore); 3]);
        assert!(storage.take_due(1, 1, Duration::ZERO).await.is_ok(), "the rule is about reads");
        faults.script(Call::Read, [Fault::LoseAnswer]);
        faults.heal();
        for _ in 0..4 {
            assert!(storage.ready().await.is_ok());
        }
    }
}
