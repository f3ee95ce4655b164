//! A storage with one planted bug.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use serront_core::forward_port;
use serront_core::orders::order::WorkStatus;
use serront_core::ports::prelude::*;
use serront_core::ports::{Clock, Mailer, WorkStorage};
use ulid::Ulid;

use super::{Bug, Place};
use crate::memory::locked;

/// The state that the bugs need.
#[derive(Default)]
pub(super) struct Memory {
    /// The number of ids made up so far.
    made: u64,
    pub(super) taken: BTreeMap<EffectId, Due>,
    /// Effects that are never handed out again.
    pub(super) gone: BTreeSet<EffectId>,
    pub(super) pending: BTreeSet<EffectId>,
    /// The present access token of each order.
    pub(super) tokens: BTreeMap<OrderId, Digest256>,
    /// The order of each access token, present or replaced.
    pub(super) opened_by: BTreeMap<Digest256, (AccountId, OrderId)>,
    pub(super) keys: BTreeMap<Digest256, KeyRecord>,
    pub(super) orders: BTreeMap<OrderId, (Timestamp, OrderSnapshot)>,
    pub(super) deltas: Vec<(AccountId, WorkStatus, bool)>,
    pub(super) folded: Vec<(AccountId, WorkStatus, bool)>,
    /// The numbers that were lost: every number from one of them upwards is shown one higher.
    pub(super) gaps: BTreeMap<AccountId, Vec<u32>>,
    pub(super) totals: Totals,
}

/// The state that the bugs of balances need.
#[derive(Default)]
pub(super) struct Totals {
    /// Posted and not folded yet.
    pub(super) unfolded: Vec<(AccountId, CodeTotals)>,
    /// The surplus that is added to each balance.
    pub(super) surplus: Vec<(AccountId, CodeTotals)>,
    /// The amounts that are missing in each balance, until this time.
    pub(super) missing: Vec<(Timestamp, AccountId, CodeTotals)>,
    pub(super) cached: Vec<(Timestamp, AccountId, Vec<CodeTotals>)>,
}

/// The bug of a [`Planted`] storage. Its own methods replace those of the storage within; it derefs to that storage for all
/// other methods.
pub(super) struct Defect {
    pub(super) bug: Bug,
    pub(super) inner: Arc<dyn WorkStorage>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mailer: Option<Arc<dyn Mailer>>,
    pub(super) memory: Mutex<Memory>,
}

impl Defect {
    pub(super) fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// An id that was not used before.
    pub(super) fn fresh(&self) -> Ulid {
        let mut memory = locked(&self.memory);
        memory.made += 1;
        Ulid::from_parts(1, memory.made.into())
    }
}

impl Deref for Defect {
    type Target = dyn WorkStorage;

    fn deref(&self) -> &Self::Target {
        &*self.inner
    }
}

/// A storage with one bug.
struct Planted(Defect);

impl Planted {
    fn new(bug: Bug, inner: Arc<dyn WorkStorage>, clock: Arc<dyn Clock>, mailer: Option<Arc<dyn Mailer>>) -> Self {
        Self(Defect { bug, inner, clock, mailer, memory: Mutex::default() })
    }
}

macro_rules! planted {
    ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { $this.0.$method($($argument),*).await };
}

forward_port! { impl WorkStorage for Planted { planted! } }

impl Bug {
    /// The storage, with this bug if it is a bug of the storage.
    pub(crate) fn plant(self, storage: Arc<dyn WorkStorage>, clock: Arc<dyn Clock>) -> Arc<dyn WorkStorage> {
        match self.place() {
            Place::Storage => Arc::new(Planted::new(self, storage, clock, None)),
            Place::Link | Place::Host => storage,
        }
    }

    /// A host's way to the storage, with this bug if it is a bug of that way.
    pub(crate) fn plant_in_link(
        self,
        storage: Arc<dyn WorkStorage>,
        clock: Arc<dyn Clock>,
        mailer: Arc<dyn Mailer>,
    ) -> Arc<dyn WorkStorage> {
        match self.place() {
            Place::Link => Arc::new(Planted::new(self, storage, clock, Some(mailer))),
            Place::Storage | Place::Host => storage,
        }
    }
}
