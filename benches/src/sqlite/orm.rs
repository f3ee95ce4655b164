//! (c) As an ORM does it: sqlx, a transaction of single-table statements, on the one connection that writes.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Row as _};

use super::hand::page_seen;
use crate::hand::{Confirmation, Counts, SHOWN, Seen, Shown, order_columns, shown, shown_columns, write_confirmation};
use crate::stage::{PAGE, PageSeen, Request, Trouble, Way};

const READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", coalesce(f.display_name, a.name) FROM orders o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
     JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
     JOIN accounts a ON a.account_id = o.account_id LEFT JOIN storefronts f ON f.account_id = o.account_id \
     WHERE o.order_id = ?1 AND o.account_id = ?2"
);

/// The orders with what each has one of. The services come in a second query, so that there is no query for each row.
const PAGE_ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    ", '', '' FROM (SELECT * FROM orders WHERE account_id = ?1 AND number < ?2 ORDER BY number DESC LIMIT 51) o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id ORDER BY o.number DESC"
);

fn shown_of(row: &SqliteRow) -> Result<Shown, sqlx::Error> {
    Ok(shown!(row, try_get))
}

pub(super) struct Orm {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Orm {
    pub(super) async fn open(path: &Path) -> Result<Self, Trouble> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        Ok(Self {
            writer: SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?,
            readers: SqlitePoolOptions::new().max_connections(8).connect_with(options).await?,
        })
    }

    pub(super) async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

#[async_trait]
impl Way for Orm {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let row = sqlx::query(READ)
            .bind(&request.order_text)
            .bind(&request.account_text)
            .fetch_one(&mut *transaction)
            .await?;
        let subscriptions =
            sqlx::query("SELECT subscription_id, events FROM subscriptions WHERE account_id = ?1 AND active")
                .bind(&request.account_text)
                .fetch_all(&mut *transaction)
                .await?;
        let seen = Seen {
            shown: shown_of(&row)?,
            seller_name: row.try_get(SHOWN)?,
            subscriptions: subscriptions
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, sqlx::Error>>()?,
        };
        let made = Confirmation::of(&seen, request)?;
        write_confirmation!(transaction, made, seen, request);
        transaction.commit().await?;
        Ok(())
    }

    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble> {
        let below = request.after.map_or(i64::MAX, |after| i64::from(after.0));
        let rows = sqlx::query(PAGE_ORDERS).bind(&request.account_text).bind(below).fetch_all(&self.readers).await?;
        let mut shown = rows.iter().take(PAGE).map(shown_of).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&str> = shown.iter().map(|shown| shown.service_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let places = vec!["?"; ids.len()].join(", ");
        let sql =
            format!("SELECT service_id, name, slug FROM services WHERE account_id = ? AND service_id IN ({places})");
        let mut services = sqlx::query(AssertSqlSafe(sql)).bind(&request.account_text);
        for id in ids {
            services = services.bind(id);
        }
        let services: HashMap<String, (String, String)> = services
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
            .collect::<Result<_, sqlx::Error>>()?;
        for shown in &mut shown {
            let (name, slug) = services.get(&shown.service_id).ok_or("an order without a service")?;
            shown.service_name.clone_from(name);
            shown.service_slug.clone_from(slug);
        }
        let mut counts = Counts::default();
        let read = sqlx::query("SELECT status, orders FROM order_counts WHERE account_id = ?1");
        for row in read.bind(&request.account_text).fetch_all(&self.readers).await? {
            counts.set(row.try_get(0)?, row.try_get(1)?)?;
        }
        page_seen(&shown, &counts)
    }
}
