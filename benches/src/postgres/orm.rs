//! (c) As an ORM does it: a transaction of single-table statements, each a round trip.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use super::hand::{PAGE_COUNTS, READ, page_seen, seen, shown_of};
use crate::hand::{Confirmation, Counts, order_columns, write_confirmation};
use crate::stage::{PAGE, PageSeen, Request, Trouble, Way};

pub(super) struct Orm {
    pool: PgPool,
}

impl Orm {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

/// The orders with what each has one of. The services come in a second query, so that there is no query for each row.
const PAGE_ORDERS: &str = concat!(
    "SELECT ",
    order_columns!(),
    ", '', '' FROM (SELECT * FROM orders WHERE account_id = $1 AND number < $2 ORDER BY number DESC LIMIT 51) o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id ORDER BY o.number DESC"
);

#[async_trait]
impl Way for Orm {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query(READ)
            .bind(&request.order_text)
            .bind(&request.account_text)
            .fetch_one(&mut *transaction)
            .await?;
        let seen = seen(&row)?;
        let made = Confirmation::of(&seen, request)?;
        write_confirmation!(transaction, made, seen, request);
        transaction.commit().await?;
        Ok(())
    }

    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble> {
        let below = request.after.map_or(i64::MAX, |after| i64::from(after.0));
        let rows = sqlx::query(PAGE_ORDERS).bind(&request.account_text).bind(below).fetch_all(&self.pool).await?;
        let mut shown = rows.iter().take(PAGE).map(shown_of).collect::<Result<Vec<_>, _>>()?;
        let mut ids: Vec<&str> = shown.iter().map(|shown| shown.service_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let services =
            sqlx::query("SELECT service_id, name, slug FROM services WHERE account_id = $1 AND service_id = ANY($2)")
                .bind(&request.account_text)
                .bind(ids)
                .fetch_all(&self.pool)
                .await?;
        let services: HashMap<String, (String, String)> = services
            .iter()
            .map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?))))
            .collect::<Result<_, sqlx::Error>>()?;
        for shown in &mut shown {
            let (name, slug) = services.get(&shown.service_id).ok_or("an order without a service")?;
            shown.service_name.clone_from(name);
            shown.service_slug.clone_from(slug);
        }
        let mut counts = Counts::default();
        for row in sqlx::query(PAGE_COUNTS).bind(&request.account_text).fetch_all(&self.pool).await? {
            counts.set(row.try_get(0)?, row.try_get(1)?)?;
        }
        page_seen(&shown, &counts)
    }
}
