//! The jobs for the writer.

use std::sync::Arc;

use serront_core::ports::prelude::*;
use serront_core::ports::{Clock, LeaseLost};
use tokio::sync::oneshot;

use super::commit::Refusal;
use super::gate::Gate;
use crate::sql::error::Failed;
use crate::sql::set_aside::Unread;

/// Most jobs in the queue; further callers wait until there is room.
pub(super) const QUEUE: usize = 1_024;

/// Where a job's result is sent.
pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// How the transaction of a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Committed,
    RolledBack,
    /// It did not begin, because another process wrote for too long.
    Busy,
    Unknown,
}

impl Ended {
    /// The failure of a job whose changes were part of it; `None` if they are on the disk.
    pub(super) const fn failure(self) -> Option<Failed> {
        match self {
            Self::Committed => None,
            Self::RolledBack => Some(Failed::RolledBack),
            Self::Busy => Some(Failed::Busy),
            Self::Unknown => Some(Failed::Lost),
        }
    }
}

/// Answers a job once its transaction has ended.
pub(super) type Answer = Box<dyn FnOnce(Ended) + Send>;

/// The host's work, to be run on the writer's thread in a savepoint: with the connection, or without one if the transaction
/// can't be used. Returns whether to keep what it wrote, and how to answer.
pub(super) type Work =
    Box<dyn FnOnce(Option<(&mut rusqlite::Connection, &Gate)>, Arc<dyn Clock>) -> (bool, Answer) + Send>;

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
