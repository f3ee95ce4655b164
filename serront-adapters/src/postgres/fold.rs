//! Folding: adds the deltas of counts and balances to their totals, for the folder.

use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::set_aside::SetAsideKind;
use sqlx::postgres::PgConnection;

use super::error::of_write;
use super::migrations::reads;
use super::work::{FOLDER, at};
use crate::sql::cells::Cells as _;
use crate::sql::error::Failed;
use crate::sql::set_aside::RECORDED;

type Worked<T> = Result<T, Failed>;

/// What is folded: its kind, the tables of deltas and totals, the column of the key besides the account, and pairs of a
/// delta's column and its total's.
type Folded = (SetAsideKind, &'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

pub(super) const FOLDED: [Folded; 2] = [
    (SetAsideKind::OrderCount, "order_count_deltas", "order_counts", "status", &[("delta", "orders")]),
    (
        SetAsideKind::Balance,
        "ledger_deltas",
        "ledger_balances",
        "code",
        &[("debits", "debits"), ("credits", "credits")],
    ),
];

/// The condition on a number that fits into an integer.
pub(super) const WITHIN: &str = "BETWEEN -9223372036854775808 AND 9223372036854775807";

/// Folds up to `limit` deltas of each kind, so that many of one do not delay the other.
pub(super) async fn fold_deltas(
    connection: &mut PgConnection,
    schema: &str,
    limit: u32,
    now: Timestamp,
) -> Worked<u64> {
    let mut folded = 0;
    for of in FOLDED {
        folded += fold(connection, schema, of, i64::from(limit), now).await?;
    }
    u64::try_from(folded).map_err(|_| Failed::Unreadable("folded"))
}

/// Deletes deltas and adds them to their totals, in one statement. One host folds at a time; a second one finds
/// nothing.
///
/// Deltas that would overflow their total stay, and the total is set aside until the sum fits.
async fn fold(
    connection: &mut PgConnection,
    schema: &str,
    (kind, deltas, totals, by, sums): Folded,
    limit: i64,
    now: Timestamp,
) -> Worked<i64> {
    let list = |between: &str, of: &dyn Fn(&str, &str) -> String| {
        sums.iter().map(|(delta, total)| of(delta, total)).collect::<Vec<_>>().join(between)
    };
    let kind = kind.as_str();
    let sql = format!(
        "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(hashtext($2), {FOLDER}) AS mine), \
         chosen AS MATERIALIZED (SELECT d.ctid AS place, d.account_id, d.{by}, {} FROM @.{deltas} d \
         WHERE (SELECT mine FROM turn) AND NOT EXISTS (SELECT 1 FROM @.set_aside n WHERE n.kind = '{kind}' \
         AND n.row_id = d.{by} AND n.account_id = d.account_id) LIMIT $1 FOR UPDATE OF d SKIP LOCKED), \
         summed AS (SELECT account_id, {by}, {} FROM chosen GROUP BY account_id, {by}), \
         fitting AS MATERIALIZED (SELECT s.account_id, s.{by}, {} AS fits FROM summed s \
         LEFT JOIN @.{totals} t ON t.account_id = s.account_id AND t.{by} = s.{by}), \
         gone AS (DELETE FROM @.{deltas} WHERE ctid IN (SELECT c.place FROM chosen c JOIN fitting f \
         ON f.account_id = c.account_id AND f.{by} = c.{by} WHERE f.fits) RETURNING account_id, {by}, {}), \
         added AS (INSERT INTO @.{totals} AS t (account_id, {by}, {}) SELECT account_id, {by}, {} FROM gone \
         GROUP BY account_id, {by} ORDER BY account_id, {by} ON CONFLICT (account_id, {by}) DO UPDATE SET {}), \
         aside AS (INSERT INTO @.set_aside AS n (kind, row_id, account_id, what, since, tried_at, tried_by) \
         SELECT '{kind}', {by}, account_id, 'sum', $3, $3, $4 FROM fitting WHERE NOT fits ORDER BY {by}, account_id {RECORDED}) \
         SELECT count(*) AS folded FROM gone",
        list(", ", &|delta, _| format!("d.{delta}")),
        list(", ", &|delta, _| format!("sum({delta}) AS {delta}")),
        list(" AND ", &|delta, total| {
            format!("s.{delta} {WITHIN} AND s.{delta} + coalesce(t.{total}, 0) {WITHIN}")
        }),
        list(", ", &|delta, _| delta.to_owned()),
        list(", ", &|_, total| total.to_owned()),
        list(", ", &|delta, _| format!("sum({delta})::int8")),
        list(", ", &|_, total| format!("{total} = t.{total} + excluded.{total}")),
    );
    let query = sqlx::query(at(schema, &sql)).bind(limit).bind(schema).bind(now.millis()).bind(reads());
    let row = query.fetch_one(connection).await.map_err(of_write)?;
    row.int("folded")
}
