//! Applying change sets: one statement, one round trip, for one change set or for many.
//!
//! ```text
//! sets ─▶ landed? ─▶ lock guarded rows ─▶ failed? ─▶ taken? ─▶ good ─▶ writes ─▶ a status for each
//! ```
//!
//! The lock order is: service counts, accounts, storefronts, services, orders, subscriptions, sessions, provisioning,
//! exceptions, payouts, bank accounts, funds, keys, effects, errands, released names, each by key; then order numbers by
//! account. Nothing raises but a bug and a race on a unique constraint; whoever meets one of these gets the statement rolled
//! back, whole.
//!
//! A statement sees one snapshot, taken before it waited for a lock: a guard is compared with the locked row, which is
//! always the latest, but what landed meanwhile is found only by the look at `change_sets` that follows a conflict.

use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Committed, Duplicate};
use serront_core::orders::order::OrderNumber;
use serront_core::ports::CommitError;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::of_write;
use super::input::Input;
use crate::sql::error::{Failed, unique_violation};
use crate::sql::rows::{self, Cells as _};

/// What became of one change set.
#[derive(Debug)]
pub(super) enum Status {
    Committed(Committed),
    Conflict,
    Duplicate(Box<Duplicate>),
    /// Somebody else holds a row that it guards, or it would have waited for another reason: it goes alone.
    Alone,
}

/// How a statement meets rows that somebody else has locked, and what shape it has for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// For many change sets: passes them over.
    Shared,
    /// For one: passes them over.
    Alone,
    /// For one: waits.
    Waiting,
}

/// Applies change sets that contradict each other in nothing, in one statement. `now` is the storage's time, as an expression:
/// due times and ends are moved by the difference between it and when each change set was decided.
/// It waits for a lock for as long as `patience` says; without one, as long as the session does.
///
/// On any error nothing of it is done, unless the connection was lost.
pub(super) async fn apply(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    changes: &[&ChangeSet],
    mode: Mode,
    patience: Option<Duration>,
) -> Result<Vec<Status>, Refusal> {
    let mut input = Input::new();
    for (n, change) in (0_i64..).zip(changes) {
        input.add(n, change)?;
    }
    let (sql, arguments) = input.statement(mode, now, patience)?.finish(schema);
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await?;
    let mut statuses: Vec<Option<Status>> = changes.iter().map(|_| None).collect();
    for row in &rows {
        let n = usize::try_from(row.int("n").map_err(Failed::from)?).map_err(|_| Failed::Unreadable("n"))?;
        let (Some(change), Some(status)) = (changes.get(n), statuses.get_mut(n)) else {
            return Err(Failed::Unreadable("n").into());
        };
        *status = Some(read(row, change)?);
    }
    let statuses: Option<Vec<_>> = statuses.into_iter().collect();
    Ok(statuses.ok_or(Failed::Unreadable("status"))?)
}

fn read(row: &PgRow, change: &ChangeSet) -> Result<Status, Failed> {
    let number = match row.optional_int("number")? {
        None => None,
        Some(number) => Some(OrderNumber(u32::try_from(number).map_err(|_| Failed::Unreadable("number"))?)),
    };
    if row.flag("landed")? {
        return Ok(Status::Committed(Committed { number }));
    }
    if row.flag("failed")? {
        return Ok(if row.flag("alone")? { Status::Alone } else { Status::Conflict });
    }
    if let Some(at) = row.optional_int("taken")? {
        let claim = usize::try_from(at).ok().and_then(|at| change.claims.get(at)).ok_or(Failed::Unreadable("taken"))?;
        let kept = rows::optional_kept(row)?;
        return Ok(Status::Duplicate(Box::new(Duplicate { claim: claim.name.clone(), kept })));
    }
    Ok(Status::Committed(Committed { number }))
}

/// Why a statement did not run.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A unique constraint, the last guard: whoever meets it reads and decides again, alone.
    Raced,
    Failed(Failed),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if unique_violation(&error) { Self::Raced } else { Self::Failed(of_write(error)) }
    }
}

impl From<Status> for Result<Committed, CommitError> {
    fn from(status: Status) -> Self {
        match status {
            Status::Committed(committed) => Ok(committed),
            Status::Conflict | Status::Alone => Err(CommitError::Conflict),
            Status::Duplicate(duplicate) => Err(CommitError::Duplicate(duplicate)),
        }
    }
}
