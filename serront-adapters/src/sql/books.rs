//! The statements that add up the books, and what they answer.

use serront_core::funds::books::{BookSums, BooksPiece, FundsSums, Uneven, UnreadableBooks, Verification};
use serront_core::funds::ledger::{Book, CodeTotals, Direction, EntryCode};

use super::cells::{Cells, Read, Value};
use super::error::Failed;
use super::rows::{IN_FLIGHT, id};
use super::set_aside::part;

/// Sums integers in two columns, one for the upper 32 bits and one for the lower, so that neither overflows. An
/// overflow for one account would fail the statement for all accounts. `CAST` gives every engine's sums one type.
fn halves(value: &str, filter: &str, name: &str) -> String {
    format!(
        "coalesce(CAST(sum({value} >> 32){filter} AS BIGINT), 0) AS {name}_high, \
         coalesce(CAST(sum({value} & 4294967295){filter} AS BIGINT), 0) AS {name}_low"
    )
}

/// Reads the sum from the two columns that [`halves`] names.
fn whole_sum(row: &impl Cells, name: &'static str) -> Read<i64> {
    let half = |which: &str| row.int(&format!("{name}_{which}")).map(i128::from);
    let sum = (half("high")? << 32_u32).checked_add(half("low")?);
    sum.and_then(|sum| i64::try_from(sum).ok()).ok_or(Failed::Unreadable(name))
}

/// The statement that adds up a piece of the entries. It returns a row for each account, book and code, and one for
/// each transaction that does not balance within the piece. It reads the piece twice, which costs less than keeping its
/// rows.
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

/// Records a row that can't be read, so that the others are still verified.
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

/// Gives the verification the rows of [`piece_statement`].
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
                book: Book::read(row, "book")?,
                code: EntryCode::read(row, "code")?,
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

/// The statement that adds up stored totals. `every` selects them, with the deltas that are not folded yet.
pub(crate) fn totals_statement(every: &str) -> String {
    format!(
        "SELECT account_id, code, {}, {} FROM ({every}) every GROUP BY account_id, code",
        halves("debits", "", "debits"),
        halves("credits", "", "credits")
    )
}

/// Gives the verification the rows of [`totals_statement`].
pub(crate) fn take_totals<R: Cells>(verification: &Verification, rows: &[R]) -> Read<()> {
    let (mut totals, mut unreadable) = (Vec::new(), Vec::new());
    let of = |row: &R| {
        let code = EntryCode::read(row, "code")?;
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

/// The statement that compares the stored amount in flight with the payouts in flight. `schema` is the prefix of the
/// tables' names, `condition` selects accounts.
pub(crate) fn funds_statement(schema: &str, condition: &str) -> String {
    format!(
        "SELECT account_id, {}, {} FROM \
         (SELECT account_id, in_flight AS stored, 0 AS counted FROM {schema}funds WHERE {condition} UNION ALL \
         SELECT account_id, 0, amount FROM {schema}payouts WHERE {IN_FLIGHT} AND {condition}) every GROUP BY account_id",
        halves("stored", "", "stored"),
        halves("counted", "", "counted")
    )
}

/// Gives the verification the rows of [`funds_statement`].
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
