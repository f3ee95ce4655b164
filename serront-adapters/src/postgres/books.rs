//! The books, added up by the server in pieces: blocks of the table, in the order in which they lie on the disk.

use std::time::Duration;

use serront_core::funds::books::{BooksPiece, Verification};
use serront_core::primitives::ids::AccountId;
use sqlx::postgres::{PgConnection, PgRow};

use super::read::Query;
use crate::sql::error::Failed;
use crate::sql::money::{funds_statement, piece_statement, take_funds, take_piece, take_totals, totals_statement};
use crate::sql::rows::Cells as _;

/// How many blocks a piece has: about a hundred thousand entries.
const BLOCKS: i64 = 2_048;

/// A statement's rows, if the server answers in time: the whole may take long, a piece may not.
async fn rows(connection: &mut PgConnection, query: Query, time_max: Duration) -> Result<Vec<PgRow>, Failed> {
    tokio::time::timeout(time_max, query.all(connection)).await.unwrap_or(Err(Failed::Lost))
}

/// Hands the books to a verification, inside a transaction that sees one snapshot.
pub(super) async fn books(
    connection: &mut PgConnection,
    (schema, answer_time_max): (&str, Duration),
    account: Option<AccountId>,
    verification: &Verification,
) -> Result<(), Failed> {
    let condition = if account.is_some() { "account_id = $1" } else { "$1::text IS NULL" };
    let account = account.map(|account| account.to_string());
    // The first statement takes the snapshot; blocks that are added later hold nothing that it sees.
    let sql = "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int8 AS blocks, \
               greatest(c.reltuples, 0)::int8 AS entries FROM pg_class c WHERE c.oid = to_regclass('@.ledger_entries')";
    let size = rows(connection, Query::new(schema, sql), answer_time_max).await?;
    let size = size.first().ok_or(Failed::Unreadable("ledger_entries"))?;
    let blocks = size.int("blocks")?;
    // What the server's statistics know; before they know anything, about what fits.
    let expected = match size.int("entries")? {
        0 => blocks.saturating_mul(40),
        entries => entries,
    };
    verification.take(&BooksPiece::Expected(u64::try_from(expected).unwrap_or(0)));
    let entries =
        piece_statement("@.ledger_entries", &format!("ctid >= $2::text::tid AND ctid < $3::text::tid AND {condition}"));
    let mut block = 0;
    while block < blocks {
        let next = block.saturating_add(BLOCKS);
        let query = Query::new(schema, &entries).bind(account.clone())?;
        let query = query.bind(format!("({block},0)"))?.bind(format!("({next},0)"))?;
        take_piece(verification, &rows(connection, query, answer_time_max).await?)?;
        block = next;
    }
    let totals = totals_statement(&format!(
        "SELECT account_id, code, debits, credits FROM @.ledger_balances WHERE {condition} UNION ALL \
         SELECT account_id, code, debits, credits FROM @.ledger_deltas WHERE {condition}"
    ));
    let totals = Query::new(schema, &totals).bind(account.clone())?;
    take_totals(verification, &rows(connection, totals, answer_time_max).await?)?;
    let funds = Query::new(schema, &funds_statement("@.", condition)).bind(account)?;
    take_funds(verification, &rows(connection, funds, answer_time_max).await?)
}
