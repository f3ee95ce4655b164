//! Applies one or many change sets in one statement and one round trip.
//!
//! ```text
//! sets ─▶ landed? ─▶ lock guarded rows ─▶ failed? ─▶ taken? ─▶ good ─▶ writes ─▶ a status for each
//! ```
//!
//! The lock order is: service counts, accounts, storefronts, services, orders, subscriptions, sessions, provisioning,
//! exceptions, payouts, bank accounts, funds, keys, effects, errands, released names, each by key; then order numbers
//! by account. Only a bug or a race on a unique constraint raises an error, which rolls back the whole statement.
//!
//! A statement sees one snapshot, taken before it waited for locks. A guard is compared with the locked row, which is
//! the latest version. But a change set that landed after the snapshot is found only by reading `change_sets` again
//! after a conflict.

use serront_core::changes::change::{ChangeSet, Committed, Duplicate};
use serront_core::ports::CommitError;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::of_write;
use super::input::Input;
use super::statement::Patience;
use crate::sql::cells::Cells as _;
use crate::sql::error::{Failed, unique_violation};
use crate::sql::rows;

/// The outcome of one change set.
#[derive(Debug)]
pub(super) enum Status {
    Committed(Committed),
    Conflict,
    Duplicate(Box<Duplicate>),
    /// Another transaction has locked a row that it needs: it must be applied alone.
    Alone,
}

/// How many change sets a statement applies, and what it does about rows that others have locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Many change sets; skips locked rows.
    Shared,
    /// One change set, which did not land together with others; skips locked rows.
    Alone,
    /// One change set, which probably lands; skips locked rows.
    Lone,
    /// One change set; waits for locked rows.
    Waiting,
}

impl Mode {
    /// Whether the shortest statement is worth a try.
    const fn hopes(self) -> bool {
        matches!(self, Self::Lone | Self::Waiting)
    }
}

/// Applies compatible change sets in one statement. `now` is the storage's time, as an SQL expression: due times and
/// expiry times are moved by the difference between it and the time of each decision. `patience` limits the wait for
/// each lock.
///
/// On an error nothing is changed, unless the connection was lost.
pub(super) async fn apply(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    changes: &[&ChangeSet],
    mode: Mode,
    patience: Patience,
) -> Result<Vec<Status>, Refusal> {
    let mut input = Input::default();
    for (n, change) in (0_i64..).zip(changes) {
        input.add(n, change)?;
    }
    if mode.hopes()
        && let Some(lone) = input.lone(mode, now, patience)?
    {
        let (sql, arguments) = lone.finish(schema);
        let row = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_one(&mut *connection).await?;
        if row.flag("landed")? {
            let number = rows::optional_number(&row)?;
            return Ok(changes.iter().map(|_| Status::Committed(Committed { number })).collect());
        }
    }
    let (sql, arguments) = input.statement(mode, now, patience)?.finish(schema);
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await?;
    let mut statuses: Vec<Option<Status>> = changes.iter().map(|_| None).collect();
    for row in &rows {
        let n = usize::try_from(row.int("n")?).map_err(|_| Failed::Unreadable("n"))?;
        let (Some(change), Some(status)) = (changes.get(n), statuses.get_mut(n)) else {
            return Err(Failed::Unreadable("n").into());
        };
        *status = Some(read(row, change)?);
    }
    let statuses: Option<Vec<_>> = statuses.into_iter().collect();
    Ok(statuses.ok_or(Failed::Unreadable("status"))?)
}

fn read(row: &PgRow, change: &ChangeSet) -> Result<Status, Failed> {
    let number = rows::optional_number(row)?;
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

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A unique constraint was violated, which is the last guard: each change set is tried again alone.
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
