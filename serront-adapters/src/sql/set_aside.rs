//! Rows that can't be read: distinguished from failures of the engine, put on record, and tried again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serront_core::changes::effect::EffectId;
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::set_aside::{SetAside, SetAsideKind};

use super::error::Failed;
use super::money::{self, payout_columns};
use super::rows::{self, Cells, inbox_columns, provisioning_columns};
use super::work::{self, DISCARD, TARGET, due, table_of, target};

type Read<T> = Result<T, Failed>;

/// How long a row rests that was tried in vain, unless a newer version comes.
pub(crate) const REST: Duration = Duration::from_secs(5 * 60);
/// How much later than that an effect that was put off is due. The next try of rows set aside comes before.
const MARGIN: Duration = Duration::from_secs(60);
/// How often a process looks whether there is something to try again.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How many rows one look tries.
pub(crate) const TRIED_MAX: i64 = 100;

/// Who reads: grows with each version. `layout` is the newest migration that it knows.
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

/// When an effect is due again that was set aside now.
pub(crate) fn put_off_until(now: Timestamp) -> Timestamp {
    now.plus(REST).plus(MARGIN)
}

/// Which part of a row can't be read. An engine's failure stays one.
pub(crate) fn part(failed: Failed) -> Read<&'static str> {
    if let Failed::Unreadable(part) = failed {
        return Ok(part);
    }
    if matches!(failed, Failed::Engine(sqlx::Error::ColumnDecode { .. })) { Ok("text") } else { Err(failed) }
}

/// What rows are, and which of their columns name one.
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
    /// The lease that it was found under, if it was put under one.
    pub(crate) fence: Option<i64>,
}

/// What a look at many rows found.
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
    /// Takes in what a row came to.
    pub(crate) fn add(&mut self, row: &impl Cells, named: Named, read: Read<T>) -> Read<()> {
        match read {
            Ok(value) => self.rows.push(value),
            Err(failed) => {
                let what = part(failed)?;
                // A row whose name is no text can't be put on record; it is passed over all the same.
                if let (Ok(id), Ok(account_id)) = (row.text(named.id), row.text(named.account)) {
                    let (id, account_id) = (id.to_owned(), account_id.to_owned());
                    self.unread.push(Unread { kind: named.kind, id, account_id, what, fence: None });
                }
            }
        }
        Ok(())
    }

    /// Reads each row for itself.
    pub(crate) fn of<R: Cells>(rows: &[R], named: Named, read: impl Fn(&R) -> Read<T>) -> Read<Self> {
        let mut found = Self::default();
        for row in rows {
            found.add(row, named, read(row))?;
        }
        Ok(found)
    }

    /// As a page, with what was left out of it.
    pub(crate) fn page(self, limit: Limit) -> (Page<T>, Vec<Unread>) {
        (Page::cut(self.rows, limit), self.unread)
    }
}

/// How many rows to ask for, so that enough of them can be read.
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

    /// Whether that was enough, or all there is. If not, more are asked for the next time.
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

/// When a process looks for rows to try again.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    began: OnceLock<i64>,
    last: OnceLock<AtomicI64>,
}

impl Looks {
    /// If it is time to look: since when this process runs, so that it tries each row once that others have tried before.
    pub(crate) fn begin(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.millis();
        let began = Timestamp::from_millis(*self.began.get_or_init(|| now));
        let Some(last) = self.last.get() else {
            return self.last.set(AtomicI64::new(now)).is_ok().then_some(began);
        };
        let before = last.load(Ordering::Acquire);
        // Also where the clock was put back.
        if now.abs_diff(before) < u64::try_from(LOOK_EVERY.as_millis()).unwrap_or(u64::MAX) {
            return None;
        }
        last.compare_exchange(before, now, Ordering::AcqRel, Ordering::Acquire).is_ok().then_some(began)
    }
}

/// The statement that answers how many rows are set aside.
pub(crate) const COUNT: &str = "SELECT count(*) AS rows FROM @.set_aside";

/// The statement that lists them: by how many are wanted.
pub(crate) const LIST: &str = "SELECT kind, row_id, account_id, what, since, tried_at FROM @.set_aside \
                               ORDER BY since, kind, row_id, account_id LIMIT $1";

/// A row of that list.
pub(crate) fn listed(row: &impl Cells) -> Read<SetAside> {
    Ok(SetAside {
        kind: SetAsideKind::parse(row.text("kind")?),
        id: row.text("row_id")?.to_owned(),
        account_id: row.text("account_id")?.to_owned(),
        what: row.text("what")?.to_owned(),
        since: rows::time(row, "since")?,
        tried_at: rows::time(row, "tried_at")?,
    })
}

/// What comes after the values of a record, (kind, row_id, account_id, what, since, tried_at, tried_by): the latest word counts.
pub(crate) const RECORDED: &str = "ON CONFLICT (kind, row_id, account_id) DO UPDATE SET what = excluded.what, \
     tried_at = excluded.tried_at, tried_by = CASE WHEN excluded.tried_by > n.tried_by THEN excluded.tried_by ELSE n.tried_by END";

/// The statement that finds what to try again: by the time before which it was tried, since when this process runs, who reads,
/// and how many are wanted.
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
        tried_at: rows::time(row, "tried_at")?,
    })
}

/// The statements that find what no read of this version looks for, since its state or kind is not known: where it is, what it
/// is, and the statement; by how many are wanted. The conditions are those of the indexes in the migrations.
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

/// What one of them found.
pub(crate) fn stranger(row: &impl Cells, named: Named, what: &'static str) -> Option<Unread> {
    let (id, account_id) = (row.text(named.id).ok()?.to_owned(), row.text(named.account).ok()?.to_owned());
    Some(Unread { kind: named.kind, id, account_id, what, fence: None })
}

/// The table of an effect that was set aside; `None` of everything else.
pub(crate) fn effects_table(kind: SetAsideKind) -> Option<&'static str> {
    work::TABLES.into_iter().find(|table| effects(table).kind == kind)
}

/// The statement that reads a row again, by its id and its account's; `None` where that is not one row.
pub(crate) fn again_statement(kind: SetAsideKind) -> Option<String> {
    let of = |columns: &str, table: &str, id: &str| {
        Some(format!("SELECT {columns} FROM @.{table} WHERE {id} = $1 AND account_id = $2"))
    };
    match kind {
        SetAsideKind::Effect => Some(work::whole_statement("@.", work::EFFECTS)),
        SetAsideKind::Errand => Some(work::whole_statement("@.", work::ERRANDS)),
        SetAsideKind::Discard => of(DISCARD, "discards", "audit_id"),
        SetAsideKind::Notification => {
            let columns = inbox_columns!();
            Some(format!("SELECT {columns} FROM @.inbox i WHERE i.event_id = $1 AND i.account_id = $2"))
        }
        SetAsideKind::Payout => {
            let columns = payout_columns!();
            Some(format!("SELECT {columns} FROM @.payouts t WHERE t.payout_id = $1 AND t.account_id = $2"))
        }
        SetAsideKind::Subscription => of(TARGET, "subscriptions", "subscription_id"),
        SetAsideKind::Endpoint => {
            let columns = provisioning_columns!();
            Some(format!("SELECT {columns} FROM @.provisioning v WHERE v.account_id = $1 AND v.account_id = $2"))
        }
        SetAsideKind::OrderCount | SetAsideKind::Balance | SetAsideKind::Unknown => None,
    }
}

/// The subscription that a row read again is a delivery to, if it is one.
pub(crate) fn again_to(row: &impl Cells, kind: SetAsideKind) -> Option<&str> {
    if kind == SetAsideKind::Effect { row.optional_text("subscription_id").ok().flatten() } else { None }
}

/// Reads a row again: which part of it still can't be read. `to` is the subscription of a delivery.
pub(crate) fn still_unread<R: Cells>(
    row: &R,
    kind: SetAsideKind,
    to: Option<&R>,
    now: Timestamp,
) -> Read<Option<&'static str>> {
    let read = match kind {
        SetAsideKind::Effect | SetAsideKind::Errand => effect(row, kind, to, now),
        SetAsideKind::Discard => work::discard(row).map(drop),
        SetAsideKind::Notification => rows::notification(row).map(drop),
        SetAsideKind::Payout => money::payout(row).map(drop),
        SetAsideKind::Subscription => target(row, now).map(drop).and(work::stored_secrets(row).map(drop)),
        SetAsideKind::Endpoint => rows::provisioning(row).map(drop),
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
