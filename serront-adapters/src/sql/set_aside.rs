//! Rows that can't be read: they are distinguished from failures of the engine, recorded, and tried again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use serront_core::ports::prelude::*;
use serront_core::snapshots::set_aside::{SetAside, SetAsideKind};

use super::cells::{Cells, Read, Value};
use super::error::Failed;
use super::rows;
use super::tables::Record;
use super::work::{self, TARGET, due, table_of, target};

/// How long a row rests after a failed try, unless a newer version of this code starts.
pub(crate) const REST: Duration = Duration::from_secs(5 * 60);
/// How much later than [`REST`] a postponed effect is due, so that the row is tried again before.
const MARGIN: Duration = Duration::from_secs(60);
/// How often a process looks for rows to try again.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Most rows that one look tries.
pub(crate) const TRIED_MAX: i64 = 100;

/// The version of this reader, which grows with each release. `layout` is the newest migration that it knows.
pub(crate) const fn reader(layout: i64) -> i64 {
    const fn number(text: &str) -> i64 {
        match i64::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => 0,
        }
    }
    let major = number(env!("CARGO_PKG_VERSION_MAJOR"));
    let minor = number(env!("CARGO_PKG_VERSION_MINOR"));
    ((major * 1_000 + minor) * 1_000 + number(env!("CARGO_PKG_VERSION_PATCH"))) * 1_000 + layout
}

/// When an effect that is set aside now is due again.
pub(crate) fn put_off_until(now: Timestamp) -> Timestamp {
    now.plus(REST).plus(MARGIN)
}

/// The part of a row that can't be read. Returns the engine's failure if it is one.
pub(crate) fn part(failed: Failed) -> Read<&'static str> {
    if let Failed::Unreadable(part) = failed {
        return Ok(part);
    }
    if matches!(failed, Failed::Engine(sqlx::Error::ColumnDecode { .. }, _)) { Ok("text") } else { Err(failed) }
}

/// A kind of rows, and the columns that identify one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) kind: SetAsideKind,
    id: &'static str,
    account: &'static str,
}

pub(crate) const DISCARDS: Named = named(SetAsideKind::Discard, "audit_id");
pub(crate) const NOTIFICATIONS: Named = named(SetAsideKind::Notification, "event_id");
pub(crate) const PAYOUTS: Named = named(SetAsideKind::Payout, "payout_id");
pub(crate) const SUBSCRIPTIONS: Named = named(SetAsideKind::Subscription, "subscription_id");
pub(crate) const ENDPOINTS: Named = Named { kind: SetAsideKind::Endpoint, id: "v_account_id", account: "v_account_id" };

const fn named(kind: SetAsideKind, id: &'static str) -> Named {
    Named { kind, id, account: "account_id" }
}

/// The rows of a table of effects.
pub(crate) fn effects(table: &str) -> Named {
    let kind = if table == work::ERRANDS { SetAsideKind::Errand } else { SetAsideKind::Effect };
    named(kind, "effect_id")
}

/// A row that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    pub(crate) kind: SetAsideKind,
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) what: &'static str,
    /// The lease under which it was found; `None` if it was not leased.
    pub(crate) fence: Option<i64>,
}

/// The rows that could be read, and those that could not.
#[derive(Debug)]
pub(crate) struct Found<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) unread: Vec<Unread>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), unread: Vec::new() }
    }
}

impl<T> Found<T> {
    /// Adds a row that was read, or could not be.
    pub(crate) fn add(&mut self, row: &impl Cells, named: Named, read: Read<T>) -> Read<()> {
        match read {
            Ok(value) => self.rows.push(value),
            Err(failed) => {
                let what = part(failed)?;
                // A row without a readable id can't be recorded; it is skipped all the same.
                if let (Ok(id), Ok(account_id)) = (row.text(named.id), row.text(named.account)) {
                    let (id, account_id) = (id.to_owned(), account_id.to_owned());
                    self.unread.push(Unread { kind: named.kind, id, account_id, what, fence: None });
                }
            }
        }
        Ok(())
    }

    /// Reads each row; one that can't be read does not fail the others.
    pub(crate) fn of<R: Cells>(rows: &[R], named: Named, read: impl Fn(&R) -> Read<T>) -> Read<Self> {
        let mut found = Self::default();
        for row in rows {
            found.add(row, named, read(row))?;
        }
        Ok(found)
    }

    /// The page, and the rows that it leaves out.
    pub(crate) fn page(self, limit: Limit) -> (Page<T>, Vec<Unread>) {
        (Page::cut(self.rows, limit), self.unread)
    }
}

/// How many rows to select, so that enough of them can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    rows: i64,
    asked: i64,
}

impl Wanted {
    pub(crate) fn rows(rows: u32) -> Self {
        Self { rows: i64::from(rows), asked: i64::from(rows) }
    }

    /// One more than a page holds.
    pub(crate) fn page(limit: Limit) -> Self {
        Self::rows(limit.get().saturating_add(1))
    }

    pub(crate) const fn asked(self) -> i64 {
        self.asked
    }

    /// Whether enough rows could be read, or all were selected. If not, more are selected the next time.
    pub(crate) fn are_met<T>(&mut self, answered: usize, found: &Found<T>) -> bool {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let readable = count(found.rows.len());
        if readable >= self.rows || count(answered) < self.asked {
            return true;
        }
        self.asked = self.rows.saturating_add(count(answered).saturating_sub(readable).saturating_mul(2));
        false
    }
}

/// The times at which a process looks for rows to try again.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    began: OnceLock<i64>,
    last: OnceLock<AtomicI64>,
}

impl Looks {
    /// If it is time to look, when this process started: it tries each row once that was last tried before.
    pub(crate) fn begin(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.millis();
        let began = Timestamp::from_millis(*self.began.get_or_init(|| now));
        let Some(last) = self.last.get() else {
            return self.last.set(AtomicI64::new(now)).is_ok().then_some(began);
        };
        let before = last.load(Ordering::Acquire);
        // Also if the clock was set back.
        if now.abs_diff(before) < u64::try_from(LOOK_EVERY.as_millis()).unwrap_or(u64::MAX) {
            return None;
        }
        last.compare_exchange(before, now, Ordering::AcqRel, Ordering::Acquire).is_ok().then_some(began)
    }
}

/// Counts the rows that are set aside.
pub(crate) const COUNT: &str = "SELECT count(*) AS rows FROM @.set_aside";

/// Lists them; $1 is how many.
pub(crate) const LIST: &str = "SELECT kind, row_id, account_id, what, since, tried_at FROM @.set_aside \
                               ORDER BY since, kind, row_id, account_id LIMIT $1";

/// A row of that list.
pub(crate) fn listed(row: &impl Cells) -> Read<SetAside> {
    Ok(SetAside {
        kind: SetAsideKind::parse(row.text("kind")?),
        id: row.text("row_id")?.to_owned(),
        account_id: row.text("account_id")?.to_owned(),
        what: row.text("what")?.to_owned(),
        since: Value::read(row, "since")?,
        tried_at: Value::read(row, "tried_at")?,
    })
}

/// Follows the values of a record (kind, row_id, account_id, what, since, tried_at, tried_by): the latest try is kept.
pub(crate) const RECORDED: &str = "ON CONFLICT (kind, row_id, account_id) DO UPDATE SET what = excluded.what, \
     tried_at = excluded.tried_at, tried_by = CASE WHEN excluded.tried_by > n.tried_by THEN excluded.tried_by ELSE n.tried_by END";

/// Finds rows to try again: $1 is the latest time of the last try, $2 when this process started, $3 this reader's
/// version and $4 how many.
pub(crate) const RESTED: &str = "SELECT kind, row_id, account_id, tried_at FROM @.set_aside \
     WHERE tried_at <= $1 OR tried_at < $2 OR tried_by < $3 ORDER BY tried_at LIMIT $4";

/// A row that was set aside, to be tried again.
#[derive(Debug, Clone)]
pub(crate) struct Rested {
    pub(crate) kind: SetAsideKind,
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) tried_at: Timestamp,
}

pub(crate) fn rested(row: &impl Cells) -> Read<Rested> {
    Ok(Rested {
        kind: SetAsideKind::parse(row.text("kind")?),
        id: row.text("row_id")?.to_owned(),
        account_id: row.text("account_id")?.to_owned(),
        tried_at: Value::read(row, "tried_at")?,
    })
}

/// The statements that find rows whose state or kind this version does not know, so that no other read finds them: the
/// kind of rows, what is not known, and the statement; $1 is how many. The conditions are those of the indexes in the
/// migrations.
pub(crate) fn strangers() -> [(Named, &'static str, String); 4] {
    let find = |named: Named, what, table: &str, condition: &str| {
        let Named { kind, id, account } = named;
        let kind = kind.as_str();
        let sql = format!(
            "SELECT x.{id}, x.{account} FROM @.{table} x WHERE ({condition}) AND NOT EXISTS (SELECT 1 FROM @.set_aside n \
             WHERE n.kind = '{kind}' AND n.row_id = x.{id} AND n.account_id = x.{account}) LIMIT $1"
        );
        (named, what, sql)
    };
    let over = "status NOT IN ('pending', 'succeeded', 'failed')";
    [
        find(
            effects(work::EFFECTS),
            "kind or status",
            work::EFFECTS,
            &format!("{over} OR kind NOT IN ('mail', 'delivery', 'removal')"),
        ),
        find(effects(work::ERRANDS), "status", work::ERRANDS, over),
        find(PAYOUTS, "status", "payouts", "status NOT IN ('pending', 'in_transit', 'paid', 'cancelled', 'failed')"),
        find(
            NOTIFICATIONS,
            "status",
            "inbox",
            "status NOT IN ('applied', 'noted', 'parked', 'foreign_currency', 'unreadable')",
        ),
    ]
}

/// A row that one of them found.
pub(crate) fn stranger(row: &impl Cells, named: Named, what: &'static str) -> Option<Unread> {
    let (id, account_id) = (row.text(named.id).ok()?.to_owned(), row.text(named.account).ok()?.to_owned());
    Some(Unread { kind: named.kind, id, account_id, what, fence: None })
}

/// The table of an effect that was set aside; `None` for other kinds.
pub(crate) fn effects_table(kind: SetAsideKind) -> Option<&'static str> {
    work::TABLES.into_iter().find(|table| effects(table).kind == kind)
}

/// Reads a row again, by its id and its account's; `None` if the kind is not a single row.
pub(crate) fn again_statement(kind: SetAsideKind) -> Option<String> {
    let of = |columns: &str, from: &str, id: &str| {
        Some(format!("SELECT {columns} FROM @.{from} WHERE {id} = $1 AND account_id = $2"))
    };
    match kind {
        SetAsideKind::Effect => Some(work::whole_statement("@.", work::EFFECTS)),
        SetAsideKind::Errand => Some(work::whole_statement("@.", work::ERRANDS)),
        SetAsideKind::Discard => of(Discard::SELECT, "discards t", "audit_id"),
        SetAsideKind::Notification => of(InboxRecord::SELECT, "inbox i", "event_id"),
        SetAsideKind::Payout => of(Payout::SELECT, "payouts t", "payout_id"),
        SetAsideKind::Subscription => of(TARGET, "subscriptions u", "subscription_id"),
        SetAsideKind::Endpoint => of(Provisioning::SELECT, "provisioning v", "account_id"),
        SetAsideKind::OrderCount | SetAsideKind::Balance | SetAsideKind::Unknown => None,
    }
}

/// The subscription of a row that was read again; `None` if it is not a delivery.
pub(crate) fn again_to(row: &impl Cells, kind: SetAsideKind) -> Option<&str> {
    if kind == SetAsideKind::Effect { row.optional_text("subscription_id").ok().flatten() } else { None }
}

/// The part of a row that still can't be read; `None` if all can. `to` is the subscription of a delivery.
pub(crate) fn still_unread<R: Cells>(
    row: &R,
    kind: SetAsideKind,
    to: Option<&R>,
    now: Timestamp,
) -> Read<Option<&'static str>> {
    let read = match kind {
        SetAsideKind::Effect | SetAsideKind::Errand => effect(row, kind, to, now),
        SetAsideKind::Discard => Discard::read(row).map(drop),
        SetAsideKind::Notification => InboxRecord::read(row).map(drop),
        SetAsideKind::Payout => Payout::read(row).map(drop),
        SetAsideKind::Subscription => target(row, now).map(drop).and(work::stored_secrets(row).map(drop)),
        SetAsideKind::Endpoint => Provisioning::read(row).map(drop),
        SetAsideKind::OrderCount | SetAsideKind::Balance | SetAsideKind::Unknown => Err(Failed::Unreadable("kind")),
    };
    read.err().map(part).transpose()
}

fn effect<R: Cells>(row: &R, kind: SetAsideKind, to: Option<&R>, now: Timestamp) -> Read<()> {
    let id: EffectId = rows::id(row, "effect_id")?;
    if effects_table(kind) != Some(table_of(id)) {
        return Err(Failed::Unreadable("effect_id"));
    }
    if kind == SetAsideKind::Effect && !matches!(row.text("kind")?, "mail" | "delivery" | "removal") {
        return Err(Failed::Unreadable("kind"));
    }
    if row.text("status")? == "pending" {
        let target = to.map(|to| target(to, now)).transpose()?;
        return due(row, target).map(drop);
    }
    work::effect(row).map(drop)
}

#[cfg(test)]
mod tests {
    use serront_core::changes::effect::EffectStatus;
    use serront_core::funds::payout::PayoutStatus;
    use serront_core::online::inbox::InboxStatus;

    use super::*;

    /// A new state must be added there, and to the index in a new migration.
    #[test]
    fn strangers_are_in_states_that_are_not_known() {
        let list = |names: Vec<&str>| format!("status NOT IN ('{}')", names.join("', '"));
        let effects = list(EffectStatus::ALL.map(EffectStatus::as_str).to_vec());
        let payouts = list(PayoutStatus::ALL.map(PayoutStatus::as_str).to_vec());
        let notifications = list(InboxStatus::ALL.map(InboxStatus::as_str).to_vec());
        for ((_, _, sql), condition) in strangers().iter().zip([&effects, &effects, &payouts, &notifications]) {
            assert!(sql.contains(condition.as_str()), "{sql}");
        }
    }

    #[test]
    fn a_page_is_filled_whatever_cannot_be_read() {
        let mut wanted = Wanted::rows(3);
        let found = |readable: usize| Found { rows: vec![(); readable], unread: Vec::new() };
        assert_eq!(wanted.asked(), 3);
        assert!(!wanted.are_met(3, &found(0)));
        assert_eq!(wanted.asked(), 9);
        assert!(!wanted.are_met(9, &found(2)));
        assert_eq!(wanted.asked(), 17);
        assert!(wanted.are_met(17, &found(3)), "enough");
        assert!(Wanted::rows(3).are_met(2, &found(0)), "all there is");
    }

    #[test]
    fn rows_are_tried_again_once_in_a_while() {
        let looks = Looks::default();
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let began = Some(at(100));
        assert_eq!(
            [100, 100, 109, 110, 111, 50].map(|now| looks.begin(at(now))),
            [began, None, None, began, None, began]
        );
    }
}
