//! (c) As an ORM does it: a transaction of single-table statements, each a round trip.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgPool;

use super::hand::{PAGE_COUNTS, READ, page_seen, seen, shown_of};
use crate::hand::{Confirmation, Counts, EVENT, order_columns};
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
        let updated = sqlx::query(
            "UPDATE orders SET version = version + 1, payment_status = 'payment_confirmed', updated_at = $4 \
             WHERE order_id = $1 AND account_id = $2 AND version = $3",
        )
        .bind(&request.order_text)
        .bind(&request.account_text)
        .bind(seen.shown.version)
        .bind(made.at)
        .execute(&mut *transaction)
        .await?;
        if updated.rows_affected() != 1 {
            return Err("a conflict".into());
        }
        sqlx::query("UPDATE payments SET status = 'payment_confirmed' WHERE payment_id = $1 AND account_id = $2")
            .bind(&seen.shown.payment_id)
            .bind(&request.account_text)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO claims (name, kind, account_id) VALUES ($1, 'confirmation', $2)")
            .bind(&seen.shown.payment_id)
            .bind(&request.account_text)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(made.audit)
        .bind(&request.account_text)
        .bind(&request.order_text)
        .bind(&seen.shown.payment_id)
        .bind(made.at)
        .bind(made.actor)
        .bind(made.act)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, \
             created_at, status, due_at) VALUES ($1, $2, 'mail', $3, NULL, NULL, NULL, $4, 'pending', $4), \
             ($5, $2, 'delivery', $6, $7, $8, $9, $4, 'pending', $4)",
        )
        .bind(made.mail)
        .bind(&request.account_text)
        .bind(made.mail_content)
        .bind(made.at)
        .bind(made.delivery)
        .bind(made.body)
        .bind(made.subscription)
        .bind(made.event)
        .bind(EVENT)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("INSERT INTO change_sets (change_set_id, account_id, at) VALUES ($1, $2, $3)")
            .bind(made.change_set)
            .bind(&request.account_text)
            .bind(made.at)
            .execute(&mut *transaction)
            .await?;
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
