//! Pages of rows, newest first, that are merged from short reads of an index.

use serront_core::changes::effect::EffectRecord;
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::time::Timestamp;

use super::cells::{Cells, Read};
use super::set_aside::{Found, effects};
use super::tables::Record;
use super::work::effect;

/// The rows of a page, of which one more was asked for.
pub(crate) fn page<T: Record, R: Cells>(rows: &[R], limit: Limit) -> Read<Page<T>> {
    Ok(Page::cut(rows.iter().map(T::read).collect::<Read<Vec<_>>>()?, limit))
}

/// How many rows to ask for, to know whether a page is the last.
pub(crate) fn asked(limit: Limit) -> i64 {
    i64::from(limit.get()) + 1
}

/// The names of the states that a page is merged from.
pub(crate) fn states<S: Copy + PartialEq, const N: usize>(
    all: [S; N],
    wanted: Option<S>,
    name: fn(S) -> &'static str,
) -> impl Iterator<Item = &'static str> {
    all.into_iter().filter(move |state| wanted.is_none_or(|wanted| wanted == *state)).map(name)
}

/// The statement that reads a page of one account's rows in some states: the account in its first place, how many rows
/// in the second, and the position after which it starts, a time and an id, in the third and fourth. `@.` stands before
/// the table's name; `table` also has the alias of `T`.
pub(crate) fn by_state<T: Record>(
    table: &str,
    states: impl Iterator<Item = &'static str>,
    after: &Option<(Timestamp, String)>,
) -> String {
    let columns = T::SELECT;
    let id = T::COLUMNS.id().unwrap_or("account_id");
    let position = if after.is_some() { format!(" AND (created_at, {id}) < ($3, $4)") } else { String::new() };
    let newest = format!("ORDER BY created_at DESC, {id} DESC LIMIT $2");
    // The states' names are ours.
    let parts: Vec<_> = states
        .map(|state| {
            format!(
                "SELECT * FROM (SELECT {columns} FROM @.{table} WHERE account_id = $1 AND status = '{state}'{position} \
                 {newest}) of_{state}"
            )
        })
        .collect();
    format!("SELECT * FROM ({}) every {newest}", parts.join(" UNION ALL "))
}

/// Reads the rows of [`given_up_statement`](super::work::given_up_statement).
pub(crate) fn given_up<R: Cells>(rows: &[R]) -> Read<Found<EffectRecord>> {
    let mut found = Found::default();
    for row in rows {
        found.add(row, effects(row.text("place")?), effect(row))?;
    }
    Ok(found)
}
