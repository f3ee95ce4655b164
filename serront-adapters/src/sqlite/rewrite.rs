//! Rewrites texts that earlier versions stored by other rules: the words by which a search finds orders, and the
//! references of adjustments. It runs when the storage is opened.
//!
//! It works in pieces, each a short transaction, and stores its progress; the next start continues there.

use serront_core::primitives::compare::compared;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use crate::sql::error::Failed;
use crate::sql::names::ADJUSTMENT;
use crate::sql::search::{indexed_before_folding, indexed_texts};

/// How many orders one transaction rewrites.
const PIECE: i64 = 500;

/// Rewrites what earlier versions stored.
pub(super) async fn texts(connection: &mut SqliteConnection) -> Result<(), Failed> {
    while orders(connection).await? {}
    references(connection).await
}

/// Rewrites the words of the next orders, and returns whether more may follow. ASCII words do not change.
async fn orders(connection: &mut SqliteConnection) -> Result<bool, Failed> {
    let is_left = sqlx::query("SELECT 1 FROM rewritten WHERE up_to < last").fetch_optional(&mut *connection).await?;
    if is_left.is_none() {
        return Ok(false);
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let rows = sqlx::query(
        "SELECT o.place, o.account_id, o.buyer_name, o.buyer_email, coalesce(o.notes, '') AS notes \
         FROM rewritten r CROSS JOIN orders o WHERE o.place > r.up_to AND o.place <= r.last \
         AND length(CAST(o.buyer_name || o.buyer_email || coalesce(o.notes, '') AS BLOB)) \
         > length(o.buyer_name || o.buyer_email || coalesce(o.notes, '')) ORDER BY o.place LIMIT ?",
    )
    .bind(PIECE)
    .fetch_all(&mut *transaction)
    .await?;
    let mut last = None;
    for row in &rows {
        let place: i64 = row.try_get("place")?;
        last = Some(place);
        // Skips rows that can't be read.
        let Ok(account) = row.try_get::<String, _>("account_id")?.parse() else { continue };
        let texts = [row.try_get("buyer_name")?, row.try_get("buyer_email")?, row.try_get("notes")?];
        // The index does not store the texts: to delete words, it needs the same words as when they were inserted.
        sqlx::query("INSERT INTO order_words (order_words, rowid, words) VALUES ('delete', ?, ?)")
            .bind(place)
            .bind(indexed_before_folding(account, texts))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO order_words (rowid, words) VALUES (?, ?)")
            .bind(place)
            .bind(indexed_texts(account, texts))
            .execute(&mut *transaction)
            .await?;
    }
    let is_more = i64::try_from(rows.len()).is_ok_and(|rows| rows == PIECE);
    sqlx::query("UPDATE rewritten SET up_to = coalesce(?, last)")
        .bind(last.filter(|_| is_more))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(is_more)
}

/// Rewrites the references of adjustments to the form in which they are compared now. There are few, so it reads all.
/// Two that become equal are left as they are.
async fn references(connection: &mut SqliteConnection) -> Result<(), Failed> {
    let rows = sqlx::query(
        "SELECT account_id, reference FROM adjustments WHERE length(CAST(reference AS BLOB)) > length(reference) \
         ORDER BY account_id, reference",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let (account, before): (String, String) = (row.try_get("account_id")?, row.try_get("reference")?);
        let after = compared(&before);
        if after == before || after.is_empty() {
            continue;
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        // The claim is first, because it makes the name unique.
        let claimed = sqlx::query(
            "INSERT INTO claims (name, kind, account_id) SELECT ?1, ?2, ?3 \
             WHERE NOT EXISTS (SELECT 1 FROM adjustments WHERE reference = ?1 AND account_id = ?3) ON CONFLICT DO NOTHING",
        )
        .bind(&after)
        .bind(ADJUSTMENT)
        .bind(&account)
        .execute(&mut *transaction)
        .await?;
        if claimed.rows_affected() == 1 {
            sqlx::query("UPDATE adjustments SET reference = ? WHERE reference = ? AND account_id = ?")
                .bind(&after)
                .bind(&before)
                .bind(&account)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}
