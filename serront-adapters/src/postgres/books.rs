//! Adds up the books in pieces: ranges of blocks of the table.

use std::time::Duration;

use serront_core::funds::books::{BooksPiece, Verification};
use serront_core::primitives::ids::AccountId;
use sqlx::postgres::{PgConnection, PgRow};

use super::read::Query;
use crate::sql::books::{funds_statement, piece_statement, take_funds, take_piece, take_totals, totals_statement};
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;

/// Blocks in one piece: about 100,000 entries.
const BLOCKS: i64 = 2_048;

/// The rows of a statement within a time limit, which applies to a piece and not to the whole.
async fn rows(connection: &mut PgConnection, query: Query, time_max: Duration) -> Result<Vec<PgRow>, Failed> {
    tokio::time::timeout(time_max, query.all(connection)).await.unwrap_or(Err(Failed::Lost))
}

/// Reads the books for a verification, inside a transaction that sees one snapshot.
pub(super) async fn books(
    connection: &mut PgConnection,
    (schema, answer_time_max): (&str, Duration),
    account: Option<AccountId>,
    verification: &Verification,
) -> Result<(), Failed> {
    let condition = if account.is_some() { "account_id = $1" } else { "$1::text IS NULL" };
    let account = account.map(|account| account.to_string());
    // The first statement takes the snapshot, which sees no rows in blocks that are added later.
    let sql = "SELECT pg_relation_size(c.oid) / current_setting('block_size')::int8 AS blocks, \
               greatest(c.reltuples, 0)::int8 AS entries FROM pg_class c WHERE c.oid = to_regclass('@.ledger_entries')";
    let size = rows(connection, Query::new(schema, sql), answer_time_max).await?;
    let size = size.first().ok_or(Failed::Unreadable("ledger_entries"))?;
    let blocks = size.int("blocks")?;
    // From the server's statistics; before there are any, as many as fit.
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
