//! Rows of the money to domain types: the ledger, exceptions, payouts, adjustments and the pieces of the books.

use serde_json::from_str;
use serront_core::funds::balance::Funds;
use serront_core::funds::books::{BookSums, BooksPiece, FundsSums, Uneven, UnreadableBooks, Verification};
use serront_core::funds::ledger::{Adjustment, Book, CodeTotals, Direction, EntryCode, LedgerEntry, SourceType};
use serront_core::funds::payout::{DefaultBankAccount, Payout, PayoutAudit, PayoutState, PayoutStatus};
use serront_core::online::exception::{ExceptionState, ExceptionStatus, PaymentException};
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::version::Version;
use serront_core::snapshots::{ExceptionSnapshot, FundsSnapshot, PayoutSnapshot};

use super::error::Failed;
use super::rows::{
    Cells, account, id, json, optional_id, optional_kept, optional_time, owned, rupiah, time, version, whole,
};
use super::set_aside::part;

type Read<T> = Result<T, Failed>;

/// Columns of an exception, for a table named `x`.
macro_rules! exception_columns {
    () => {
        "x.exception_id, x.account_id, x.version, x.kind, x.order_id, x.session_id, x.amount, x.created_at, x.status, \
         x.note, x.adjustment_id, x.resolved_at"
    };
}
/// Columns of a payout, for a table named `t`.
macro_rules! payout_columns {
    () => {
        "t.payout_id, t.account_id, t.amount, t.bank, t.note, t.created_at, t.version, t.status, t.reference, \
         t.failure_reason, t.processed_at, t.completed_at, t.updated_at"
    };
}
pub(crate) use {exception_columns, payout_columns};

/// The states whose payouts are in flight, in the words of the index's condition.
pub(crate) const IN_FLIGHT: &str = "status IN ('pending', 'in_transit')";

pub(crate) fn totals(row: &impl Cells) -> Read<CodeTotals> {
    Ok(CodeTotals {
        code: EntryCode::parse(row.text("code")?).ok_or(Failed::Unreadable("code"))?,
        debits: row.int("debits")?,
        credits: row.int("credits")?,
    })
}

pub(crate) fn entry(row: &impl Cells) -> Read<LedgerEntry> {
    Ok(LedgerEntry {
        id: id(row, "entry_id")?,
        tx_id: id(row, "tx_id")?,
        account_id: id(row, "account_id")?,
        book: Book::parse(row.text("book")?).ok_or(Failed::Unreadable("book"))?,
        code: EntryCode::parse(row.text("code")?).ok_or(Failed::Unreadable("code"))?,
        direction: Direction::parse(row.text("direction")?).ok_or(Failed::Unreadable("direction"))?,
        amount: rupiah(row, "amount")?,
        source_type: SourceType::parse(row.text("source_type")?).ok_or(Failed::Unreadable("source_type"))?,
        source_id: row.text("source_id")?.to_owned(),
        description: owned(row.optional_text("description")?),
        created_at: time(row, "created_at")?,
    })
}

pub(crate) fn exception(row: &impl Cells) -> Read<PaymentException> {
    Ok(PaymentException {
        id: id(row, "exception_id")?,
        account_id: id(row, "account_id")?,
        kind: ExceptionKind::parse(row.text("kind")?).ok_or(Failed::Unreadable("kind"))?,
        order_id: id(row, "order_id")?,
        session_id: SessionId::parse(row.text("session_id")?).ok_or(Failed::Unreadable("session_id"))?,
        amount: rupiah(row, "amount")?,
        created_at: time(row, "created_at")?,
        state: ExceptionState {
            version: version(row, "version")?,
            status: ExceptionStatus::parse(row.text("status")?).ok_or(Failed::Unreadable("status"))?,
            note: owned(row.optional_text("note")?),
            adjustment_id: optional_id(row, "adjustment_id")?,
            resolved_at: optional_time(row, "resolved_at")?,
        },
    })
}

/// An exception with its payment and what was kept.
pub(crate) fn exception_snapshot(row: &impl Cells) -> Read<ExceptionSnapshot> {
    Ok(ExceptionSnapshot { exception: exception(row)?, payment_id: id(row, "payment_id")?, kept: optional_kept(row)? })
}

fn payout_status(row: &impl Cells, column: &'static str) -> Read<PayoutStatus> {
    PayoutStatus::parse(row.text(column)?).ok_or(Failed::Unreadable(column))
}

pub(crate) fn payout(row: &impl Cells) -> Read<Payout> {
    Ok(Payout {
        id: id(row, "payout_id")?,
        account_id: id(row, "account_id")?,
        amount: rupiah(row, "amount")?,
        bank: json(row, "bank")?,
        note: owned(row.optional_text("note")?),
        created_at: time(row, "created_at")?,
        state: PayoutState {
            version: version(row, "version")?,
            status: payout_status(row, "status")?,
            reference: owned(row.optional_text("reference")?),
            failure_reason: owned(row.optional_text("failure_reason")?),
            processed_at: optional_time(row, "processed_at")?,
            completed_at: optional_time(row, "completed_at")?,
            updated_at: time(row, "updated_at")?,
        },
    })
}

/// An account's funds, joined from the left as `funds_version` and `in_flight`.
fn funds(row: &impl Cells, account_id: AccountId) -> Read<Funds> {
    Ok(match row.optional_int("funds_version")? {
        None => Funds::none(account_id),
        Some(_) => Funds { account_id, version: version(row, "funds_version")?, in_flight: rupiah(row, "in_flight")? },
    })
}

/// A payout with its account's funds and what was kept.
pub(crate) fn payout_snapshot(row: &impl Cells) -> Read<PayoutSnapshot> {
    let payout = payout(row)?;
    Ok(PayoutSnapshot {
        account: account(row)?,
        funds: funds(row, payout.account_id)?,
        payout,
        kept: optional_kept(row)?,
    })
}

/// An account's funds, its totals as one text of arrays, the default account and what was kept.
pub(crate) fn funds_snapshot(row: &impl Cells) -> Read<FundsSnapshot> {
    let account = account(row)?;
    let account_id = account.id;
    let totals: Vec<(EntryCode, i64, i64)> = match row.optional_text("totals")? {
        None => Vec::new(),
        Some(text) => from_str(text).map_err(|_| Failed::Unreadable("totals"))?,
    };
    let bank_account = match row.optional_int("bank_version")? {
        None => None,
        Some(_) => Some(DefaultBankAccount {
            account_id,
            version: Version(whole(row, "bank_version")?),
            details: json(row, "details")?,
        }),
    };
    Ok(FundsSnapshot {
        account,
        funds: funds(row, account_id)?,
        totals: totals.into_iter().map(|(code, debits, credits)| CodeTotals { code, debits, credits }).collect(),
        bank_account,
        kept: optional_kept(row)?,
    })
}

pub(crate) fn payout_audit(row: &impl Cells) -> Read<PayoutAudit> {
    let from = row.optional_text("from_status")?;
    Ok(PayoutAudit {
        id: id(row, "audit_id")?,
        account_id: id(row, "account_id")?,
        payout_id: id(row, "payout_id")?,
        at: time(row, "at")?,
        actor: json(row, "actor")?,
        from: from.map(|from| PayoutStatus::parse(from).ok_or(Failed::Unreadable("from_status"))).transpose()?,
        to: payout_status(row, "to_status")?,
        note: owned(row.optional_text("note")?),
    })
}

pub(crate) fn adjustment(row: &impl Cells) -> Read<Adjustment> {
    Ok(Adjustment {
        id: id(row, "adjustment_id")?,
        account_id: id(row, "account_id")?,
        direction: Direction::parse(row.text("direction")?).ok_or(Failed::Unreadable("direction"))?,
        amount: rupiah(row, "amount")?,
        reason: row.text("reason")?.to_owned(),
        reference: row.text("reference")?.to_owned(),
        actor: json(row, "actor")?,
        created_at: time(row, "created_at")?,
    })
}

/// A sum of an engine's integers in two columns, neither of which can be beyond an integer: of the upper 32 bits, and of the
/// lower. One account's sum must not end the statement that adds up everybody's. `CAST` makes the engines' sums one type.
fn halves(value: &str, filter: &str, name: &str) -> String {
    format!(
        "coalesce(CAST(sum({value} >> 32){filter} AS BIGINT), 0) AS {name}_high, \
         coalesce(CAST(sum({value} & 4294967295){filter} AS BIGINT), 0) AS {name}_low"
    )
}

/// The sum in the two columns that [`halves`] names.
fn whole_sum(row: &impl Cells, name: &'static str) -> Read<i64> {
    let half = |which: &str| row.int(&format!("{name}_{which}")).map(i128::from);
    let sum = (half("high")? << 32_u32).checked_add(half("low")?);
    sum.and_then(|sum| i64::try_from(sum).ok()).ok_or(Failed::Unreadable(name))
}

/// The statement that adds up a piece of the entries: a row for each account, book and code, and one for each transaction
/// that may not balance within the piece. The piece is read twice: keeping its rows for the second time costs more than
/// that.
pub(crate) fn piece_statement(entries: &str, condition: &str) -> String {
    let sum = |direction: Direction| {
        halves("amount", &format!(" FILTER (WHERE direction = '{}')", direction.as_str()), direction.as_str())
    };
    let credit = Direction::Credit.as_str();
    let excess =
        |half: &str| format!("sum(CASE direction WHEN '{credit}' THEN amount {half} ELSE -(amount {half}) END)");
    let (high, low) = (excess(">> 32"), excess("& 4294967295"));
    format!(
        "SELECT account_id, book, code, NULL AS tx_id, count(*) AS entries, {}, {}, 0 AS excess_high, 0 AS excess_low, \
         sum(CASE WHEN direction IN ('{}', '{credit}') THEN 0 ELSE 1 END) AS strange \
         FROM {entries} WHERE {condition} GROUP BY account_id, book, code \
         UNION ALL SELECT account_id, NULL, NULL, tx_id, 0, 0, 0, 0, 0, CAST({high} AS BIGINT), CAST({low} AS BIGINT), 0 \
         FROM {entries} WHERE {condition} GROUP BY account_id, tx_id HAVING {high} <> 0 OR {low} <> 0",
        sum(Direction::Debit),
        sum(Direction::Credit),
        Direction::Debit.as_str(),
    )
}

/// What can't be read is named, and the rest goes on.
fn or_unreadable<T>(row: &impl Cells, read: Read<T>, unreadable: &mut Vec<UnreadableBooks>) -> Read<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(failed) => {
            let what = part(failed)?;
            unreadable.push(UnreadableBooks { account_id: id(row, "account_id").ok(), what });
            Ok(None)
        }
    }
}

/// Hands over what [`piece_statement`] answered.
pub(crate) fn take_piece<R: Cells>(verification: &Verification, rows: &[R]) -> Read<()> {
    let (mut count, mut sums, mut uneven, mut unreadable) = (0_u64, Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        if row.optional_text("tx_id")?.is_some() {
            let of = |row: &R| {
                let excess = whole_sum(row, "excess")?;
                Ok(Uneven { account_id: id(row, "account_id")?, tx_id: id(row, "tx_id")?, excess })
            };
            uneven.extend(or_unreadable(row, of(row), &mut unreadable)?.filter(|uneven| uneven.excess != 0));
            continue;
        }
        count = count.saturating_add(u64::try_from(row.int("entries")?).unwrap_or(0));
        let of = |row: &R| {
            if row.int("strange")? > 0 {
                return Err(Failed::Unreadable("direction"));
            }
            Ok(BookSums {
                account_id: id(row, "account_id")?,
                book: Book::parse(row.text("book")?).ok_or(Failed::Unreadable("book"))?,
                code: EntryCode::parse(row.text("code")?).ok_or(Failed::Unreadable("code"))?,
                debits: whole_sum(row, "debit")?,
                credits: whole_sum(row, "credit")?,
            })
        };
        sums.extend(or_unreadable(row, of(row), &mut unreadable)?);
    }
    verification.take(&BooksPiece::Entries { count, sums, uneven });
    verification.take(&BooksPiece::Unreadable(unreadable));
    Ok(())
}

/// The statement that adds up stored totals, with what is not folded yet: `every` is what selects both.
pub(crate) fn totals_statement(every: &str) -> String {
    format!(
        "SELECT account_id, code, {}, {} FROM ({every}) every GROUP BY account_id, code",
        halves("debits", "", "debits"),
        halves("credits", "", "credits")
    )
}

/// Hands over what [`totals_statement`] answered.
pub(crate) fn take_totals<R: Cells>(verification: &Verification, rows: &[R]) -> Read<()> {
    let (mut totals, mut unreadable) = (Vec::new(), Vec::new());
    let of = |row: &R| {
        let code = EntryCode::parse(row.text("code")?).ok_or(Failed::Unreadable("code"))?;
        let (debits, credits) = (whole_sum(row, "debits")?, whole_sum(row, "credits")?);
        Ok((id(row, "account_id")?, CodeTotals { code, debits, credits }))
    };
    for row in rows {
        totals.extend(or_unreadable(row, of(row), &mut unreadable)?);
    }
    verification.take(&BooksPiece::Totals(totals));
    verification.take(&BooksPiece::Unreadable(unreadable));
    Ok(())
}

/// The statement that puts what is stored as in flight beside the payouts that are. `schema` stands before the tables' names,
/// `condition` is on the account.
pub(crate) fn funds_statement(schema: &str, condition: &str) -> String {
    format!(
        "SELECT account_id, {}, {} FROM \
         (SELECT account_id, in_flight AS stored, 0 AS counted FROM {schema}funds WHERE {condition} UNION ALL \
         SELECT account_id, 0, amount FROM {schema}payouts WHERE {IN_FLIGHT} AND {condition}) every GROUP BY account_id",
        halves("stored", "", "stored"),
        halves("counted", "", "counted")
    )
}

/// Hands over what [`funds_statement`] answered.
pub(crate) fn take_funds<R: Cells>(verification: &Verification, rows: &[R]) -> Read<()> {
    let (mut funds, mut unreadable) = (Vec::new(), Vec::new());
    let of = |row: &R| {
        let (stored, counted) = (whole_sum(row, "stored")?, whole_sum(row, "counted")?);
        Ok(FundsSums { account_id: id(row, "account_id")?, stored, counted })
    };
    for row in rows {
        funds.extend(or_unreadable(row, of(row), &mut unreadable)?);
    }
    verification.take(&BooksPiece::Funds(funds));
    verification.take(&BooksPiece::Unreadable(unreadable));
    Ok(())
}
