//! Adds up the books in pieces: ranges of rows of the table, in the order of insertion.

use serront_core::funds::books::{BooksPiece, Verification};
use serront_core::primitives::ids::AccountId;

use super::connection::{Connection, query};

use crate::sql::books::{funds_statement, piece_statement, take_funds, take_piece, take_totals, totals_statement};
use crate::sql::cells::Cells as _;
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
    let entries = piece_statement("ledger_entries", &format!("rowid > ?2 AND rowid <= ?3 AND {condition}"));
    let mut row = 0;
    while row < last {
        let next = row.saturating_add(ROWS);
        let query = query(entries.clone()).bind(account.clone()).bind(row).bind(next);
        take_piece(verification, &query.fetch_all(connection).await?)?;
        row = next;
    }
    let totals =
        totals_statement(&format!("SELECT account_id, code, debits, credits FROM ledger_balances WHERE {condition}"));
    let totals = query(totals).bind(account.clone()).fetch_all(connection).await?;
    take_totals(verification, &totals)?;
    let funds = query(funds_statement("", condition)).bind(account);
    take_funds(verification, &funds.fetch_all(connection).await?)?;
    query("COMMIT").execute(connection).await?;
    Ok(())
}
