//! The storage behind the simulated network.
//!
//! A call is a message that arrives later, even if its caller has given up or died. It takes effect at one moment, and its
//! answer is another message. A write may arrive twice. Deltas are folded when a host asks for it, and sometimes right before
//! another call.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use serront_core::forward_port;
use serront_core::ports::prelude::*;
use serront_core::ports::{PortErrorKind, WorkStorage};

use super::events::Event;
use super::executor::{answer, at_once};
use super::network::Fate;
use super::plan::Link;
use super::random::Random;
use super::world::World;
use crate::memory::locked;

/// How long a caller waits for an answer.
const GIVE_UP_MS: u64 = 10_000;

/// The far end of the network. Its own methods record what the storage does; it derefs to the storage for all other calls.
pub(crate) struct Server {
    world: Arc<World>,
    landed: Mutex<BTreeSet<ChangeSetId>>,
    sent: Mutex<BTreeSet<ChangeSetId>>,
    folding: Mutex<Random>,
}

impl Deref for Server {
    type Target = dyn WorkStorage;

    fn deref(&self) -> &Self::Target {
        &*self.world.storage
    }
}

impl Server {
    /// `folding` decides when deltas are folded without a host's request.
    pub(crate) fn new(world: Arc<World>, folding: Random) -> Self {
        Self { world, landed: Mutex::default(), sent: Mutex::default(), folding: Mutex::new(folding) }
    }

    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        let folded = self.world.storage.fold_deltas(limit).await?;
        if folded > 0 {
            self.world.line(&format!("fold {folded}"));
            self.world.see(&Event::Folded);
        }
        Ok(folded)
    }

    /// Folds a few deltas before some of the calls, because folding may happen at any moment.
    fn fold_now_and_then(&self) {
        let limit = {
            let mut random = locked(&self.folding);
            random.per_mille(40).then(|| random.pick(&[1, 2, 1_000], 1))
        };
        if let Some(limit) = limit {
            let _ = at_once(self.fold_deltas(limit));
        }
    }

    fn commit(&self, change: &ChangeSet, conflict: bool) -> Result<Committed, CommitError> {
        if conflict {
            return Err(CommitError::Conflict);
        }
        let result = at_once(self.world.storage.commit(change));
        let text = match &result {
            Ok(committed) => format!("landed {:?}", committed.number.map(|number| number.0)),
            Err(error) => error.to_string(),
        };
        self.world.line(&format!("commit {} {text}", change.id));
        match &result {
            Ok(committed) => {
                if locked(&self.landed).insert(change.id) {
                    self.world.see(&Event::Landed { change, committed: *committed });
                    self.world.see(&Event::Said(&format!("{change:?}")));
                }
            }
            Err(error) => self.world.see(&Event::Said(&format!("{error} {error:?}"))),
        }
        result
    }

    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let due = self.world.storage.take_due(lane, limit, shares, lease).await?;
        if !due.is_empty() {
            self.world.line(&format!("take {:?}", due.iter().map(|due| due.id.to_string()).collect::<Vec<_>>()));
            self.world.see(&Event::Said(&format!("{due:?}")));
            self.world.see(&Event::Taken { due: &due, lease });
        }
        Ok(due)
    }

    async fn record_attempt(
        &self,
        account: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        let result = self.world.storage.record_attempt(account, id, fence, attempt, next).await;
        self.world.line(&format!("record {id} {} {next:?} {}", attempt.attempt_number, result.is_ok()));
        if result.is_ok() {
            self.world.see(&Event::Said(&format!("{attempt:?}")));
            self.world.see(&Event::Recorded { id, fence, attempt, next });
        }
        result
    }
}

/// One host's connection to the storage.
#[derive(Clone)]
pub(crate) struct NetStorage {
    server: Arc<Server>,
}

const ON_ITS_WAY: &str = "lost on its way";

impl NetStorage {
    pub(crate) const fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    fn fate(&self) -> Fate {
        let world = &self.server.world;
        locked(&world.network).fate(Link::Storage, world.handle.now())
    }

    /// Sends one call. The outer result is the network's, the inner one the storage's.
    async fn call<T: Send + 'static>(
        &self,
        fate: Fate,
        work: impl Fn(&Server) -> T + Send + Sync + 'static,
        again: impl Fn(&Server) + Send + Sync + 'static,
    ) -> Result<T, PortError> {
        let handle = &self.server.world.handle;
        if fate.refused || fate.busy {
            handle.sleep_ms(fate.request_ms).await;
            self.server.world.see(&Event::Hindered);
            let kind = if fate.busy { PortErrorKind::Busy } else { PortErrorKind::Transient };
            return Err(PortError::new(kind, "turned away"));
        }
        let (answerer, awaited) = answer();
        let server = Arc::clone(&self.server);
        handle.spawn(None, async move {
            let handle = server.world.handle.clone();
            handle.sleep_ms(fate.request_ms).await;
            if !fate.loses_request {
                server.fold_now_and_then();
                let result = work(&server);
                handle.sleep_ms(fate.answer_ms).await;
                if fate.loses_answer {
                    drop(answerer);
                } else {
                    answerer.answer(result);
                }
                if let Some(pause) = fate.again_after {
                    handle.sleep_ms(pause).await;
                    again(&server);
                }
            }
        });
        let answered = handle.within(GIVE_UP_MS, awaited).await;
        answered.flatten().ok_or_else(|| {
            self.server.world.see(&Event::Hindered);
            PortError::outcome_unknown(ON_ITS_WAY)
        })
    }

    /// A read. Its outcome never matters, so a lost one counts as failed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Server) -> Result<T, PortError> + Send + Sync + 'static,
    ) -> Result<T, PortError> {
        let fate = Fate { again_after: None, ..self.fate() };
        let result = self.call(fate, read, |_| {}).await;
        result.map_err(|error| PortError::new(known(error.kind()), ON_ITS_WAY))?
    }

    /// A write, which may arrive a second time.
    async fn write<T: Send + 'static, E: From<PortError> + Send + 'static>(
        &self,
        write: impl Fn(&Server) -> Result<T, E> + Clone + Send + Sync + 'static,
    ) -> Result<T, E> {
        let again = write.clone();
        self.call(self.fate(), write, move |server| drop(again(server))).await?
    }

    async fn send_commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let mut fate = self.fate();
        // Only a first sending gets a false conflict: an earlier one that is still under way could land after it.
        let first = locked(&self.server.sent).insert(change.id);
        fate.conflict &= first;
        let (change, copy) = (change.clone(), change.clone());
        let again = move |server: &Server| {
            // No storage's protocol repeats a request that was answered with a refusal.
            if locked(&server.landed).contains(&copy.id) {
                let _ = server.commit(&copy, false);
            }
        };
        let committed = self.call(fate, move |server| server.commit(&change, fate.conflict), again).await?;
        if committed.is_err() {
            self.server.world.see(&Event::Hindered);
        }
        committed
    }
}

const fn known(kind: PortErrorKind) -> PortErrorKind {
    match kind {
        PortErrorKind::Busy => PortErrorKind::Busy,
        PortErrorKind::Transient | PortErrorKind::Permanent | PortErrorKind::OutcomeUnknown => PortErrorKind::Transient,
    }
}

/// The body of every method: the call at the server, sent over the network. What is not named here is a read.
macro_rules! sent {
    ($this:ident.commit($change:ident) $_:tt) => { $this.send_commit($change).await };
    ($this:ident.take_due $arguments:tt $borrowed:tt) => { sent!(@write $this.take_due $arguments $borrowed) };
    ($this:ident.record_attempt $arguments:tt $borrowed:tt) => { sent!(@write $this.record_attempt $arguments $borrowed) };
    ($this:ident.fold_deltas $arguments:tt $borrowed:tt) => { sent!(@write $this.fold_deltas $arguments $borrowed) };
    ($this:ident.prune $arguments:tt $borrowed:tt) => { sent!(@write $this.prune $arguments $borrowed) };
    ($this:ident.touch_key $arguments:tt $borrowed:tt) => { sent!(@write $this.touch_key $arguments $borrowed) };
    ($this:ident.begin_installation $arguments:tt $borrowed:tt) => {
        sent!(@write $this.begin_installation $arguments $borrowed)
    };
    ($this:ident.put_key_check $arguments:tt $borrowed:tt) => { sent!(@write $this.put_key_check $arguments $borrowed) };
    ($this:ident.$method:ident $arguments:tt $borrowed:tt) => {
        sent!(@call read, $this.$method $arguments $borrowed)
    };
    (@write $this:ident.$method:ident $arguments:tt $borrowed:tt) => {
        sent!(@call write, $this.$method $arguments $borrowed)
    };
    // The call outlives its caller, so it owns its arguments.
    (@call $kind:ident, $this:ident.$method:ident($($argument:ident),*) [$($borrowed:ident: $type:ty,)*]) => {{
        $(let $borrowed = <$type as ToOwned>::to_owned($borrowed);)*
        $this.$kind(move |server| {
            $(let $borrowed = Borrow::<$type>::borrow(&$borrowed);)*
            at_once(server.$method($(Clone::clone(&$argument)),*))
        }).await
    }};
}

forward_port! { impl WorkStorage for NetStorage { sent! } }
