//! (a) The floor and (d) the limit: one statement that reads what this decision needs, and one, made for nothing but this,
//! that checks the version and writes everything. (f) The floor inside a transaction: the same two statements between
//! `BEGIN` and `COMMIT`.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgExecutor, PgPool, PgRow};
use tokio::sync::OnceCell;

use crate::hand::{Confirmation, Counts, EVENT, SHOWN, Seen, Shown, shown, shown_columns};
use crate::stage::{PAGE, PageSeen, Request, Trouble, Way};

/// What a team would set for these statements: a plan for all arguments, since every one is a few lookups by key, and joins
/// in the order in which they are written, since looking for a better one among nine tables takes a tenth of a second.
pub(super) fn settings(connect: PgConnectOptions, schema: &str) -> PgConnectOptions {
    connect.application_name("by hand").options([
        ("search_path", schema),
        ("plan_cache_mode", "force_generic_plan"),
        ("join_collapse_limit", "1"),
        ("jit", "off"),
    ])
}

pub(super) const READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", coalesce(f.display_name, a.name), u.ids, u.events FROM orders o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
     JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
     JOIN accounts a ON a.account_id = o.account_id LEFT JOIN storefronts f ON f.account_id = o.account_id \
     CROSS JOIN LATERAL (SELECT array_agg(u.subscription_id) AS ids, array_agg(u.events) AS events \
     FROM subscriptions u WHERE u.account_id = o.account_id AND u.active) u \
     WHERE o.order_id = $1 AND o.account_id = $2"
);

const WRITE: &str = "WITH o AS (UPDATE orders SET version = version + 1, payment_status = 'payment_confirmed', \
    updated_at = $4 WHERE order_id = $1 AND account_id = $2 AND version = $3 RETURNING 1), \
    p AS (UPDATE payments SET status = 'payment_confirmed' FROM o WHERE payment_id = $5 AND account_id = $2), \
    c AS (INSERT INTO claims (name, kind, account_id) SELECT $5, 'confirmation', $2 FROM o), \
    a AS (INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act) \
    SELECT $6, $2, $1, $5, $4, $7, $8 FROM o), \
    e AS (INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, created_at, \
    status, due_at) SELECT v.*, $4, 'pending', $4 FROM o, (VALUES ($9, $2, 'mail', $10, NULL, NULL, NULL), \
    ($11, $2, 'delivery', $12, $13, $14, $15)) v), \
    s AS (INSERT INTO change_sets (change_set_id, account_id, at) SELECT $16, $2, $4 FROM o) \
    SELECT count(*) FROM o";

pub(super) const PAGE_COUNTS: &str = "SELECT status, sum(orders)::int8 AS orders FROM (\
    SELECT status, orders FROM order_counts WHERE account_id = $1 UNION ALL \
    SELECT status, delta FROM order_count_deltas WHERE account_id = $1) every GROUP BY status";

const PAGE_READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", (SELECT json_object_agg(status, orders)::text FROM (SELECT status, sum(orders)::int8 AS orders FROM (\
     SELECT status, orders FROM order_counts WHERE account_id = $1 UNION ALL \
     SELECT status, delta FROM order_count_deltas WHERE account_id = $1) every GROUP BY status) counted) \
     FROM (SELECT * FROM orders WHERE account_id = $1 AND number < $2 ORDER BY number DESC LIMIT 51) o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
     JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id ORDER BY o.number DESC"
);

pub(super) fn shown_of(row: &PgRow) -> Result<Shown, sqlx::Error> {
    Ok(shown!(row, try_get))
}

pub(super) fn seen(row: &PgRow) -> Result<Seen, sqlx::Error> {
    let ids: Option<Vec<String>> = row.try_get(SHOWN + 1)?;
    let events: Option<Vec<String>> = row.try_get(SHOWN + 2)?;
    Ok(Seen {
        shown: shown_of(row)?,
        seller_name: row.try_get(SHOWN)?,
        subscriptions: ids.unwrap_or_default().into_iter().zip(events.unwrap_or_default()).collect(),
    })
}

async fn read(on: impl PgExecutor<'_>, request: &Request) -> Result<Seen, Trouble> {
    let row = sqlx::query(READ).bind(&request.order_text).bind(&request.account_text).fetch_optional(on).await?;
    Ok(seen(&row.ok_or("no such order")?)?)
}

/// `false` if the order is at another version.
async fn write(on: impl PgExecutor<'_>, request: &Request, seen: &Seen, version: i64) -> Result<bool, Trouble> {
    let made = Confirmation::of(seen, request)?;
    let row = sqlx::query(WRITE)
        .bind(&request.order_text)
        .bind(&request.account_text)
        .bind(version)
        .bind(made.at)
        .bind(&seen.shown.payment_id)
        .bind(made.audit)
        .bind(made.actor)
        .bind(made.act)
        .bind(made.mail)
        .bind(made.mail_content)
        .bind(made.delivery)
        .bind(made.body)
        .bind(made.subscription)
        .bind(made.event)
        .bind(EVENT)
        .bind(made.change_set)
        .fetch_one(on)
        .await?;
    Ok(row.try_get::<i64, _>(0)? == 1)
}

/// (a)
pub(super) struct Floor {
    pool: PgPool,
}

impl Floor {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Way for Floor {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let mut stale = i64::from(request.stale);
        loop {
            let seen = read(&self.pool, request).await?;
            if write(&self.pool, request, &seen, seen.shown.version - stale).await? {
                return Ok(());
            }
            stale = 0;
        }
    }

    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble> {
        let below = request.after.map_or(i64::MAX, |after| i64::from(after.0));
        let rows = sqlx::query(PAGE_READ).bind(&request.account_text).bind(below).fetch_all(&self.pool).await?;
        let counts: Option<String> = rows.first().map(|row| row.try_get(SHOWN)).transpose()?.flatten();
        let counts: Counts = serde_json::from_str(counts.as_deref().unwrap_or("{}"))?;
        let shown = rows.iter().take(PAGE).map(shown_of).collect::<Result<Vec<_>, _>>()?;
        page_seen(&shown, &counts)
    }

    async fn notify(&self, request: &Request) -> Result<(), Trouble> {
        super::settle::notify(&self.pool, request).await
    }
}

pub(super) fn page_seen(shown: &[Shown], counts: &Counts) -> Result<PageSeen, Trouble> {
    let first = shown.first().map_or(0, |shown| shown.number);
    Ok(PageSeen { rows: shown.len(), first: u32::try_from(first)?, orders: counts.sum() })
}

/// (d)
pub(super) struct Limit {
    pool: PgPool,
    /// What some order looked like: what is written is made of it.
    assumed: OnceCell<Seen>,
}

impl Limit {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { pool, assumed: OnceCell::const_new() }
    }
}

#[async_trait]
impl Way for Limit {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let seen = self.assumed.get_or_try_init(|| read(&self.pool, request)).await?.assumed_for(request);
        if write(&self.pool, request, &seen, seen.shown.version).await? { Ok(()) } else { Err("a conflict".into()) }
    }

    async fn page(&self, _request: &Request) -> Result<PageSeen, Trouble> {
        Err("a page has no write".into())
    }
}

/// (f)
pub(super) struct FloorInside {
    pool: PgPool,
}

impl FloorInside {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Way for FloorInside {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let mut transaction = self.pool.begin().await?;
        let seen = read(&mut *transaction, request).await?;
        if !write(&mut *transaction, request, &seen, seen.shown.version).await? {
            return Err("a conflict".into());
        }
        Ok(transaction.commit().await?)
    }

    async fn page(&self, _request: &Request) -> Result<PageSeen, Trouble> {
        Err("pages are not read in transactions".into())
    }
}
