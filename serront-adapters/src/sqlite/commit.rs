//! Applies a change set: one statement checks everything that it relies on, then one script writes.
//!
//! No other write can come between them, because there is one writer and it holds the file's write lock.

use serront_core::changes::change::{ClaimName, Duplicate, Guard, Row as Guarded, Write};
use serront_core::funds::ledger::POSTED_WITHIN;
use serront_core::ports::prelude::*;
use serront_core::primitives::version::Version;

use super::connection::Connection;
use super::error::{classified, unique_violation};
use super::script::Script;
use super::{changes, read};
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;
use crate::sql::names::{Place, place};
use crate::sql::work::table_of;
use crate::sql::writes::guarded;

/// Why a change set was not applied.
#[derive(Debug)]
pub(super) enum Refusal {
    Conflict,
    Duplicate(Box<Duplicate>),
    Failed(Failed),
    /// A write failed in [`Mode::Bare`].
    Halfway(Failed),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict => Self::Conflict,
            Refusal::Duplicate(duplicate) => Self::Duplicate(duplicate),
            // A unique constraint is the last guard, so the caller reads and decides again.
            Refusal::Halfway(failed) if unique_violation(&failed) => Self::Conflict,
            Refusal::Failed(failed) | Refusal::Halfway(failed) => classified(failed).into(),
        }
    }
}

type Applied<T> = Result<T, Refusal>;

/// How a change set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// In a savepoint: if a write fails, the transaction is as it was.
    Savepoint,
    /// Without one, which is faster: if a write fails, part of the change set is written, and the transaction must be rolled
    /// back.
    Bare,
}

/// Applies a change set as a whole or not at all; in [`Mode::Bare`], that needs the caller.
///
/// Its times must be by the storage's clock ([`ChangeSet::by_clock_of_storage`]), read after the transaction began.
pub(super) async fn apply(connection: &mut Connection<'_>, change: &ChangeSet, mode: Mode) -> Applied<Committed> {
    if let Some(landed) = admitted(connection, change).await? {
        return Ok(landed);
    }
    let mut script = changes::script(change)?;
    if mode == Mode::Savepoint {
        script.within("serront_change");
    }
    match script.run(connection).await {
        Ok(rows) => {
            let number = rows.first().map(|row| row.int("last_number")).transpose()?;
            Ok(Committed { number: numbered(number.unwrap_or(0))? })
        }
        Err(failed) if mode == Mode::Bare => Err(Refusal::Halfway(failed)),
        Err(failed) => {
            // Fails if the engine has rolled back the transaction already; the caller sees that from the error.
            let mut undo = Script::default();
            undo.add("ROLLBACK TO serront_change").add("RELEASE serront_change");
            let _ = undo.run(connection).await;
            Err(if unique_violation(&failed) { Refusal::Conflict } else { Refusal::Failed(failed) })
        }
    }
}

/// Checks everything that a change set relies on. Returns what it committed if it has landed before.
async fn admitted(connection: &mut Connection<'_>, change: &ChangeSet) -> Applied<Option<Committed>> {
    change.check().map_err(|inconsistent| Failed::Refused(inconsistent.0))?;
    let account = change.account_id;
    let found = look(change).one(connection).await?;
    if let Some(number) = found.optional_int("landed")? {
        return Ok(Some(Committed { number: numbered(number)? }));
    }
    if !found.flag("holds")? {
        return Err(Refusal::Conflict);
    }
    if !found.flag("sound")? {
        return Err(Failed::Refused("a write of a row that is not there").into());
    }
    if let Some(taken) = found.optional_int("taken")? {
        let claim = usize::try_from(taken).ok().and_then(|at| change.claims.get(at));
        let claim = claim.ok_or(Failed::Unreadable("taken"))?.name.clone();
        let kept = if let ClaimName::Idempotency(scope) = claim {
            read::kept(connection, account, scope).await?
        } else {
            None
        };
        return Err(Refusal::Duplicate(Box::new(Duplicate { claim, kept })));
    }
    Ok(None)
}

/// 0 means no number.
fn numbered(number: i64) -> Result<Option<OrderNumber>, Failed> {
    let number = u32::try_from(number).map_err(|_| Failed::Unreadable("number"))?;
    Ok((number > 0).then_some(OrderNumber(number)))
}

/// The statement that checks whether it was applied already, whether its guards hold, whether the rows that it updates
/// exist, and which name is taken.
fn look(change: &ChangeSet) -> Script {
    let account = change.account_id;
    let mut look = Script::default();
    look.add(
        "SELECT (SELECT coalesce(number, 0) FROM change_sets WHERE change_set_id = ? AND account_id = ?) AS landed",
    )
    .bind(change.id.to_string())
    .bind(account.to_string())
    .push(", (1");
    for guard in &change.guards {
        holds(&mut look, account, guard, change.at);
    }
    for name in &change.releases {
        look.push(" AND ");
        held(&mut look, account, &place(name), None);
    }
    for write in &change.writes {
        if let Write::DeleteKey(id) = write {
            look.push(" AND EXISTS (SELECT 1 FROM api_keys WHERE key_id = ? AND account_id = ?)")
                .bind(id.to_string())
                .bind(account.to_string());
        }
        if let Write::Discard(Discard { effect_id: id, .. }) = write {
            let table = table_of(*id);
            look.push(&format!(
                " AND EXISTS (SELECT 1 FROM {table} WHERE effect_id = ? AND account_id = ? AND status = 'failed' \
                 AND NOT discarded)"
            ))
            .bind(id.to_string())
            .bind(account.to_string());
        }
        if let Write::Requeue(id) = write {
            let table = table_of(*id);
            look.push(&format!(
                " AND EXISTS (SELECT 1 FROM {table} WHERE effect_id = ? AND account_id = ? AND status <> 'pending')"
            ))
            .bind(id.to_string())
            .bind(account.to_string());
        }
    }
    look.push(") AS holds, (1");
    for write in &change.writes {
        if let Write::UpdatePayment { id, order_id, .. } = write {
            look.push(" AND EXISTS (SELECT 1 FROM payments WHERE payment_id = ? AND account_id = ? AND order_id = ?)")
                .bind(id.to_string())
                .bind(account.to_string())
                .bind(order_id.to_string());
        }
        if let Write::UpdateCheckout { id, order_id, .. } = write {
            look.push(
                " AND EXISTS (SELECT 1 FROM checkouts WHERE checkout_id = ? AND account_id = ? AND order_id = ?)",
            )
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(order_id.to_string());
        }
        if let Write::UpdateInbox(id, _) = write {
            look.push(" AND EXISTS (SELECT 1 FROM inbox WHERE event_id = ? AND account_id = ?)")
                .bind(id.as_str().to_owned())
                .bind(account.to_string());
        }
    }
    look.push(") AS sound, CASE WHEN 0 THEN 0");
    for (at, claim) in change.claims.iter().enumerate() {
        // A name that the same change set releases is free.
        if !change.releases.contains(&claim.name) {
            look.push(" WHEN ");
            held(&mut look, account, &place(&claim.name), Some(change.at));
            look.push(&format!(" THEN {at}"));
        }
    }
    look.push(" END AS taken");
    look
}

/// The condition that a name is held. With a time it is for a claim: by any account if names are unique across
/// accounts, and only by an outcome that has not expired. Without one it is for a release: by this account.
fn held(look: &mut Script, account: AccountId, place: &Place, at: Option<Timestamp>) {
    match place {
        Place::Directory(kind, name) => {
            look.push("EXISTS (SELECT 1 FROM directory WHERE kind = ? AND name = ?").bind(*kind).bind(name.clone());
            if at.is_none() {
                look.push(" AND account_id = ?").bind(account.to_string());
            }
        }
        Place::Claim(kind, name) => {
            look.push("EXISTS (SELECT 1 FROM claims WHERE kind = ? AND name = ? AND account_id = ?")
                .bind(*kind)
                .bind(name.clone())
                .bind(account.to_string());
        }
        Place::Kept(scope) => {
            look.push("EXISTS (SELECT 1 FROM kept_outcomes WHERE scope = ? AND account_id = ? AND until > ?")
                .bind(scope.clone())
                .bind(account.to_string())
                .bind(at.map_or(i64::MIN, Timestamp::millis));
        }
    }
    look.push(")");
}

fn holds(look: &mut Script, account: AccountId, guard: &Guard, now: Timestamp) {
    match guard {
        Guard::Exact { row, version } => version_is(look, account, row, *version),
        Guard::Settings(version) => version_is(look, account, &Guarded::Account, *version),
        Guard::Fresh(at) => {
            look.push(" AND ? >= ?").bind(at.millis()).bind(now.minus(POSTED_WITHIN).millis());
        }
        Guard::ServicesBelow(limit) => {
            look.push(" AND (SELECT count(*) FROM services WHERE account_id = ?) < ?")
                .bind(account.to_string())
                .bind(*limit);
        }
        Guard::NoOrdersOf(service) => {
            look.push(" AND NOT EXISTS (SELECT 1 FROM orders WHERE account_id = ? AND service_id = ?)")
                .bind(account.to_string())
                .bind(service.to_string());
        }
    }
}

fn version_is(look: &mut Script, account: AccountId, row: &Guarded, version: Version) {
    let (columns, id) = guarded(row);
    look.push(" AND coalesce((SELECT version FROM ").push(columns.table).push(" WHERE account_id = ?");
    look.bind(account.to_string());
    if let (Some(column), Some(id)) = (columns.id(), id) {
        look.push(" AND ").push(column).push(" = ?").bind(id);
    }
    look.push("), 0) = ?").bind(version.0);
}
