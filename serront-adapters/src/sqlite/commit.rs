//! Applying a change set: one look at everything that it relies on, then one script that writes.
//!
//! Nothing can come in between, for there is one writer and it has the file's write lock.

use serront_core::changes::change::{ChangeSet, ClaimName, Committed, Duplicate, Guard, Row as Guarded, Write};
use serront_core::changes::effect::Discard;
use serront_core::funds::ledger::POSTED_WITHIN;
use serront_core::orders::order::OrderNumber;
use serront_core::ports::CommitError;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use sqlx::sqlite::SqliteConnection;

use super::script::Script;
use super::{read, writes};
use crate::sql::error::{Failed, unique_violation};
use crate::sql::names::{Place, place};
use crate::sql::rows::Cells as _;
use crate::sql::work::table;

/// Why a change set was not applied.
#[derive(Debug)]
pub(super) enum Refusal {
    Conflict,
    Duplicate(Box<Duplicate>),
    Failed(Failed),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// A unique constraint is the last guard: whoever meets one reads and decides again.
impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if unique_violation(&error) { Self::Conflict } else { Self::Failed(error.into()) }
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict => Self::Conflict,
            Refusal::Duplicate(duplicate) => Self::Duplicate(duplicate),
            Refusal::Failed(failed) => failed.into(),
        }
    }
}

type Applied<T> = Result<T, Refusal>;

/// Applies a change set, all of it or nothing.
///
/// Its times are the storage's ([`ChangeSet::by_clock_of_storage`]), of a moment at which the transaction had begun.
pub(super) async fn apply(connection: &mut SqliteConnection, change: &ChangeSet) -> Applied<Committed> {
    change.check().map_err(|inconsistent| Failed::Refused(inconsistent.0))?;
    let account = change.account_id;
    let found = look(change).row(connection).await?;
    if let Some(number) = found.optional_int("landed")? {
        return Ok(Committed { number: numbered(number)? });
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
    match script(change)?.run(connection).await {
        Ok(rows) => {
            let number = rows.first().map(|row| row.int("last_number")).transpose()?;
            Ok(Committed { number: numbered(number.unwrap_or(0))? })
        }
        Err(error) => {
            // Fails where the engine has rolled everything back already; the error tells the caller which it was.
            let mut undo = Script::default();
            undo.add("ROLLBACK TO change").add("RELEASE change");
            let _ = undo.run(connection).await;
            Err(error.into())
        }
    }
}

/// 0 stands for no number.
fn numbered(number: i64) -> Result<Option<OrderNumber>, Failed> {
    let number = u32::try_from(number).map_err(|_| Failed::Unreadable("number"))?;
    Ok((number > 0).then_some(OrderNumber(number)))
}

/// One statement that answers: did it land, do its guards hold, are the rows there that it writes, which name is taken.
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
            let table = table(id.lane());
            look.push(&format!(
                " AND EXISTS (SELECT 1 FROM {table} WHERE effect_id = ? AND account_id = ? AND status = 'failed' \
                 AND NOT discarded)"
            ))
            .bind(id.to_string())
            .bind(account.to_string());
        }
        if let Write::Requeue(id) = write {
            let table = table(id.lane());
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
        // A name given up by the same change set is free.
        if !change.releases.contains(&claim.name) {
            look.push(" WHEN ");
            held(&mut look, account, &place(&claim.name), Some(change.at));
            look.push(&format!(" THEN {at}"));
        }
    }
    look.push(" END AS taken");
    look
}

/// A condition: the name is held. With a time it asks for a claim (by whomever, where names are unique across accounts, and
/// only by an outcome that still counts); without one for a release.
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
    let (of, id) = match row {
        Guarded::Account => ("accounts WHERE account_id = ?", None),
        Guarded::Storefront => ("storefronts WHERE account_id = ?", None),
        Guarded::Service(id) => ("services WHERE account_id = ? AND service_id = ?", Some(id.to_string())),
        Guarded::Order(id) => ("orders WHERE account_id = ? AND order_id = ?", Some(id.to_string())),
        Guarded::Subscription(id) => {
            ("subscriptions WHERE account_id = ? AND subscription_id = ?", Some(id.to_string()))
        }
        Guarded::Provisioning => ("provisioning WHERE account_id = ?", None),
        Guarded::Session(id) => ("sessions WHERE account_id = ? AND session_id = ?", Some(id.to_string())),
        Guarded::Exception(id) => ("exceptions WHERE account_id = ? AND exception_id = ?", Some(id.to_string())),
        Guarded::Funds => ("funds WHERE account_id = ?", None),
        Guarded::BankAccount => ("bank_accounts WHERE account_id = ?", None),
        Guarded::Payout(id) => ("payouts WHERE account_id = ? AND payout_id = ?", Some(id.to_string())),
    };
    look.push(&format!(" AND coalesce((SELECT version FROM {of}), 0) = ?")).bind(account.to_string());
    if let Some(id) = id {
        look.bind(id);
    }
    look.bind(version.0);
}

/// Everything that it writes, in a savepoint. Its one row is the number of a new order.
fn script(change: &ChangeSet) -> Result<Script, Failed> {
    let account = change.account_id;
    let mut script = Script::default();
    script.add("SAVEPOINT change");
    if change.places_order() {
        script
            .add(
                "INSERT INTO order_numbers (account_id, last_number) VALUES (?, 1) \
                 ON CONFLICT (account_id) DO UPDATE SET last_number = last_number + 1 RETURNING last_number",
            )
            .bind(account.to_string());
    }
    for name in &change.releases {
        writes::release(&mut script, account, name);
    }
    for claim in &change.claims {
        writes::claim(&mut script, account, claim)?;
    }
    for write in &change.writes {
        writes::write(&mut script, account, write, change.at)?;
    }
    writes::balances(&mut script, account, &change.writes)?;
    for effect in &change.effects {
        writes::effect(&mut script, account, effect, change.at)?;
    }
    script
        .add("INSERT INTO change_sets (change_set_id, account_id, at, number) VALUES (?, ?, ?, ")
        .bind(change.id.to_string())
        .bind(account.to_string())
        .bind(change.at.millis());
    if change.places_order() {
        script.push("(SELECT last_number FROM order_numbers WHERE account_id = ?))").bind(account.to_string());
    } else {
        script.push("NULL)");
    }
    script.add("RELEASE change");
    Ok(script)
}

/// The savepoint around one piece of work in a group.
pub(super) async fn savepoint(connection: &mut SqliteConnection) -> Result<(), Failed> {
    sqlx::query("SAVEPOINT work").execute(connection).await?;
    Ok(())
}

/// Ends the savepoint, keeping the work or undoing it.
pub(super) async fn release_savepoint(connection: &mut SqliteConnection, keep: bool) -> Result<(), Failed> {
    if !keep {
        sqlx::query("ROLLBACK TO work").execute(&mut *connection).await?;
    }
    sqlx::query("RELEASE work").execute(connection).await?;
    Ok(())
}
