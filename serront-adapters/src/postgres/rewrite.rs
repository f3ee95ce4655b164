//! Rewrites texts that earlier versions stored by other rules: the words by which a search finds orders, and the
//! references of adjustments. It runs when the storage is opened.
//!
//! It works in pieces, each a short transaction, and stores its progress; the next start continues there. Hosts of the
//! previous version can run at the same time; the next start rewrites what they wrote.

use serront_core::primitives::compare::compared;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::error::{busy, passes};
use crate::sql::error::Failed;
use crate::sql::names::ADJUSTMENT;
use crate::sql::search::indexed_texts;

/// How many orders one transaction rewrites.
const PIECE: i64 = 500;

/// Rewrites what earlier versions stored. It stops early if it waits for a row for more than 5 s, so that a start never
/// waits long.
pub(super) async fn texts(connection: &mut PgConnection, schema: &str) -> Result<(), Failed> {
    let outcome = async {
        while orders(connection, schema).await? {}
        references(connection, schema).await
    };
    match outcome.await {
        Err(Failed::Engine(error, _)) if busy(&error) || passes(&error) => Ok(()),
        outcome => outcome,
    }
}

/// Rewrites the words of the next orders, and returns whether more may follow. ASCII words do not change.
async fn orders(connection: &mut PgConnection, schema: &str) -> Result<bool, Failed> {
    let sql = |text: &str| AssertSqlSafe(text.replace("@.", schema));
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    // Hosts that start at the same time take turns.
    let taken = sqlx::query(sql("SELECT up_to FROM @.rewritten FOR UPDATE")).fetch_optional(&mut *transaction).await?;
    let Some(taken) = taken else { return Ok(false) };
    let rows = sqlx::query(sql("SELECT order_id, account_id, buyer_name, buyer_email, coalesce(notes, '') AS notes \
         FROM @.orders WHERE order_id > $1 AND octet_length(buyer_name || buyer_email || coalesce(notes, '')) \
         > char_length(buyer_name || buyer_email || coalesce(notes, '')) \
         ORDER BY order_id LIMIT $2 FOR NO KEY UPDATE"))
    .bind(taken.try_get::<String, _>("up_to")?)
    .bind(PIECE)
    .fetch_all(&mut *transaction)
    .await?;
    let (mut orders, mut accounts, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let account: String = row.try_get("account_id")?;
        // Skips rows that can't be read.
        let Ok(parsed) = account.parse() else { continue };
        words.push(indexed_texts(
            parsed,
            [row.try_get("buyer_name")?, row.try_get("buyer_email")?, row.try_get("notes")?],
        ));
        orders.push(row.try_get::<String, _>("order_id")?);
        accounts.push(account);
    }
    sqlx::query(sql("UPDATE @.orders o SET search = array_to_tsvector(string_to_array(n.words, ' ')) \
         FROM unnest($1::text[], $2::text[], $3::text[]) n (order_id, account_id, words) \
         WHERE o.order_id = n.order_id AND o.account_id = n.account_id \
         AND o.search IS DISTINCT FROM array_to_tsvector(string_to_array(n.words, ' '))"))
    .bind(orders)
    .bind(accounts)
    .bind(words)
    .execute(&mut *transaction)
    .await?;
    let is_more = i64::try_from(rows.len()).is_ok_and(|rows| rows == PIECE);
    // At the end the newest orders are left for the next start, since ids do not land in their order.
    let last = rows.last().map(|row| row.try_get::<String, _>("order_id")).transpose()?;
    sqlx::query(sql("UPDATE @.rewritten SET up_to = greatest(up_to, $1, CASE WHEN NOT $2 THEN \
         (SELECT order_id FROM @.orders ORDER BY order_id DESC OFFSET $3 LIMIT 1) END)"))
    .bind(last)
    .bind(is_more)
    .bind(PIECE)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(is_more)
}

/// Rewrites the references of adjustments to the form in which they are compared now. There are few, so it reads all.
/// Two that become equal are left as they are.
async fn references(connection: &mut PgConnection, schema: &str) -> Result<(), Failed> {
    let sql = |text: &str| AssertSqlSafe(text.replace("@.", schema));
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *transaction).await?;
    sqlx::query(sql("SELECT up_to FROM @.rewritten FOR UPDATE")).fetch_optional(&mut *transaction).await?;
    let rows = sqlx::query(sql("SELECT account_id, reference FROM @.adjustments \
         WHERE octet_length(reference) > char_length(reference) ORDER BY account_id, reference"))
    .fetch_all(&mut *transaction)
    .await?;
    for row in &rows {
        let (account, before): (String, String) = (row.try_get("account_id")?, row.try_get("reference")?);
        let after = compared(&before);
        if after == before || after.is_empty() {
            continue;
        }
        // The claim is first, because it makes the name unique.
        let claimed = sqlx::query(sql("INSERT INTO @.claims (name, kind, account_id) SELECT $1, $2, $3 \
             WHERE NOT EXISTS (SELECT FROM @.adjustments WHERE reference = $1 AND account_id = $3) ON CONFLICT DO NOTHING"))
        .bind(&after)
        .bind(ADJUSTMENT)
        .bind(&account)
        .execute(&mut *transaction)
        .await?;
        if claimed.rows_affected() == 1 {
            // The old name stays claimed, so that a host of the previous version does not book it again.
            sqlx::query(sql("UPDATE @.adjustments SET reference = $1 WHERE reference = $2 AND account_id = $3"))
                .bind(&after)
                .bind(&before)
                .bind(&account)
                .execute(&mut *transaction)
                .await?;
        }
    }
    Ok(transaction.commit().await?)
}
