//! Adds up the books in pieces: ranges of rows of the table, in the order of insertion.
//!
//! The entries are added up here and not in SQL, which would sort them by transaction. The legs of a transaction are
//! inserted one after another, so a transaction is complete when the next one begins, and only uneven ones are kept.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use serront_core::funds::books::{BooksPiece, Verification};
use serront_core::funds::ledger::Direction;
use serront_core::primitives::ids::AccountId;

use super::connection::{Connection, each, query};
use crate::sql::books::{funds_statement, take_funds, take_piece, take_totals, totals_statement};
use crate::sql::cells::{Cells, Read};
use crate::sql::error::Failed;

/// Entries in one piece.
const ROWS: i64 = 50_000;

/// Reads the books for a verification, in one read transaction.
pub(super) async fn books(
    connection: &mut Connection<'_>,
    account: Option<AccountId>,
    verification: &Verification,
) -> Result<(), Failed> {
    let condition = if account.is_some() { "account_id = ?1" } else { "?1 IS NULL" };
    let account = account.map(|account| account.to_string());
    // If this is dropped before the end, the connection is not used again.
    query("BEGIN").execute(connection).await?;
    let last = query("SELECT coalesce(max(rowid), 0) AS last FROM ledger_entries");
    let last = last.fetch_one(connection).await?.int("last")?;
    verification.take(&BooksPiece::Expected(u64::try_from(last).unwrap_or(0)));
    let entries = format!(
        "SELECT account_id, book, code, direction, amount, tx_id FROM ledger_entries \
         WHERE rowid > ?2 AND rowid <= ?3 AND {condition} ORDER BY rowid"
    );
    let mut row = 0;
    while row < last {
        let next = row.saturating_add(ROWS);
        let mut piece = Piece::default();
        let statement = query(entries.as_str()).bind(account.clone()).bind(row).bind(next);
        each(connection, &statement, |[account, book, code, direction, amount, transaction]| {
            piece.add(
                [text(account), text(book), text(code)],
                text(direction),
                amount.as_i64().ok(),
                text(transaction),
            );
        })?;
        take_piece(verification, &piece.sums())?;
        row = next;
    }
    let totals =
        totals_statement(&format!("SELECT account_id, code, debits, credits FROM ledger_balances WHERE {condition}"));
    take_totals(verification, &query(totals).bind(account.clone()).fetch_all(connection).await?)?;
    take_funds(verification, &query(funds_statement("", condition)).bind(account).fetch_all(connection).await?)?;
    query("COMMIT").execute(connection).await?;
    Ok(())
}

/// The text of a column; empty, which no column reads as a value, if it is not UTF-8.
fn text(value: ValueRef<'_>) -> &str {
    value.as_str().unwrap_or_default()
}

/// The sums of a piece of the entries.
#[derive(Debug, Default)]
struct Piece {
    /// By account, book and code.
    groups: HashMap<String, Sum>,
    /// Credits minus debits of transactions that have not balanced yet, by account and transaction.
    uneven: HashMap<String, Sum>,
    /// The transaction of the last entry.
    transaction: Sum,
    /// The last key, kept for its memory.
    key: String,
}

/// A sum over entries, as a row that the verification reads.
#[derive(Debug, Clone, Default)]
struct Sum {
    account: String,
    book: Option<String>,
    code: Option<String>,
    transaction: Option<String>,
    entries: i64,
    debits: i128,
    credits: i128,
    /// Entries whose direction or amount can't be read.
    strange: i64,
}

impl Piece {
    fn add(&mut self, [account, book, code]: [&str; 3], direction: &str, amount: Option<i64>, transaction: &str) {
        let sum = amount.map_or(0, i128::from);
        let credits = if direction == Direction::Credit.as_str() { sum } else { 0 };
        let debits = sum - credits;
        let strange = amount.is_none() || Direction::parse(direction).is_none();

        if self.transaction.account != account || self.transaction.transaction.as_deref() != Some(transaction) {
            self.end_transaction();
            account.clone_into(&mut self.transaction.account);
            transaction.clone_into(self.transaction.transaction.get_or_insert_default());
        }
        self.transaction.credits += credits;
        self.transaction.debits += debits;

        // No id or name has this character.
        self.key.clear();
        for part in [account, "\n", book, "\n", code] {
            self.key.push_str(part);
        }
        if !self.groups.contains_key(&self.key) {
            let (account, book, code) = (account.to_owned(), Some(book.to_owned()), Some(code.to_owned()));
            self.groups.insert(self.key.clone(), Sum { account, book, code, ..Sum::default() });
        }
        if let Some(group) = self.groups.get_mut(&self.key) {
            group.entries += 1;
            group.debits += debits;
            group.credits += credits;
            group.strange += i64::from(strange);
        }
    }

    /// Keeps the last transaction if it is uneven: further legs may follow later.
    fn end_transaction(&mut self) {
        let excess = self.transaction.credits - self.transaction.debits;
        (self.transaction.credits, self.transaction.debits) = (0, 0);
        if excess != 0 {
            let Sum { account, transaction, .. } = &self.transaction;
            let key = format!("{account}\n{}", transaction.as_deref().unwrap_or_default());
            let kept = self.uneven.entry(key).or_insert_with(|| self.transaction.clone());
            kept.credits += excess;
        }
    }

    /// One row for each account, book and code, and one for each uneven transaction.
    fn sums(mut self) -> Vec<Sum> {
        self.end_transaction();
        let uneven = self.uneven.into_values().filter(|sum| sum.credits != 0);
        self.groups.into_values().chain(uneven).collect()
    }
}

impl Cells for Sum {
    fn optional_text(&self, column: &str) -> Read<Option<&str>> {
        match column {
            "account_id" => Ok(Some(&self.account)),
            "book" => Ok(self.book.as_deref()),
            "code" => Ok(self.code.as_deref()),
            "tx_id" => Ok(self.transaction.as_deref()),
            _ => Err(Failed::Refused("a sum has no such text")),
        }
    }

    fn optional_int(&self, column: &str) -> Read<Option<i64>> {
        let half = |sum: i128, name: &str| {
            let half = if name.ends_with("_high") { sum >> 32_u32 } else { sum & 0xffff_ffff };
            // Halves beyond an integer are a sum beyond one, too.
            i64::try_from(half).unwrap_or(i64::MAX)
        };
        match column {
            "entries" => Ok(Some(self.entries)),
            "strange" => Ok(Some(self.strange)),
            "debit_high" | "debit_low" => Ok(Some(half(self.debits, column))),
            "credit_high" | "credit_low" => Ok(Some(half(self.credits, column))),
            "excess_high" | "excess_low" => Ok(Some(half(self.credits - self.debits, column))),
            _ => Err(Failed::Refused("a sum has no such number")),
        }
    }

    fn text(&self, column: &str) -> Read<&str> {
        self.optional_text(column)?.ok_or(Failed::Unreadable("text"))
    }

    fn int(&self, column: &str) -> Read<i64> {
        self.optional_int(column)?.ok_or(Failed::Unreadable("text"))
    }

    fn flag(&self, column: &str) -> Read<bool> {
        self.int(column).map(|flag| flag != 0)
    }
}
