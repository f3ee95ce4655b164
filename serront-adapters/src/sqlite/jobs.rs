//! The jobs for the writer.

use serront_core::ports::LeaseLost;
use serront_core::ports::prelude::*;
use tokio::sync::oneshot;

use super::commit::Refusal;
use super::transaction::Work;
use crate::sql::error::Failed;
use crate::sql::set_aside::Unread;

/// Most jobs in the queue; further callers wait until there is room.
pub(super) const QUEUE: usize = 1_024;

/// Where a job's result is sent.
pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A job for the writer.
pub(super) enum Job {
    Commit(Box<ChangeSet>, Reply<Committed, Refusal>),
    TakeDue {
        lane: Lane,
        now: Timestamp,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
        reply: Reply<Vec<Due>, Failed>,
    },
    RecordAttempt(Box<Record>, Reply<Result<(), LeaseLost>, Failed>),
    /// Records rows that can't be read.
    SetAside(Vec<Unread>, Timestamp, Reply<(), Failed>),
    /// Tries rows again that were set aside: when this process started, and the time.
    LookAgain(Timestamp, Timestamp, Reply<(), Failed>),
    Prune(Prune, Timestamp, Reply<Pruned, Failed>),
    BeginInstallation(InstallationId, Reply<InstallationId, Failed>),
    PutKeyCheck(Option<SealedSecret>, SealedSecret, Reply<bool, Failed>),
    TouchKey((AccountId, KeyId), (Timestamp, Duration), Reply<(), Failed>),
    /// Does nothing. When it is answered, all transactions that began before it have ended.
    Turn(Reply<(), Failed>),
    /// A transaction of the host.
    Transaction(Work),
    Close(oneshot::Sender<()>),
}

/// An attempt to be recorded.
pub(super) struct Record {
    pub(super) account: AccountId,
    pub(super) id: EffectId,
    pub(super) fence: Fence,
    pub(super) attempt: Attempt,
    pub(super) next: NextAttempt,
    pub(super) now: Timestamp,
}
