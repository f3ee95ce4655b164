//! (a) A notification by hand: one statement that reads everything, the merchant's secret too, and one, made for nothing but
//! this, that checks the order's version and writes everything.

use sqlx::Row as _;
use sqlx::postgres::PgPool;

use super::hand::seen;
use crate::hand::{EVENT, SHOWN, shown_columns};
use crate::notified::{Notification, Paid, Settlement, Told, paid_columns, paid_tables, verify};
use crate::stage::{Request, Trouble};

const READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", coalesce(f.display_name, a.name), u.ids, u.events, ",
    paid_columns!("$2"),
    " FROM ",
    paid_tables!("$3"),
    " CROSS JOIN LATERAL (SELECT array_agg(u.subscription_id) AS ids, array_agg(u.events) AS events \
     FROM subscriptions u WHERE u.account_id = o.account_id AND u.active) u \
     WHERE d.kind = 'merchant' AND d.name = $1"
);

/// Deltas are appended, and folded later: a balance that each settlement writes would be what all of them wait for.
const WRITE: &str = "WITH o AS (UPDATE orders SET version = version + 1, payment_status = 'payment_confirmed', \
    updated_at = $4 WHERE order_id = $1 AND account_id = $2 AND version = $3 RETURNING 1), \
    p AS (UPDATE payments SET status = 'payment_confirmed' FROM o WHERE payment_id = $5 AND account_id = $2), \
    h AS (UPDATE checkouts SET status = 'completed', ended_at = $4 FROM o WHERE checkout_id = $17 AND account_id = $2), \
    c AS (INSERT INTO claims (name, kind, account_id) SELECT v.*, $2 FROM o, (VALUES ($5, 'confirmation'), \
    ($18, 'settlement'), ($19, 'provider_event')) v), \
    a AS (INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act) \
    SELECT v.id, $2, $1, $5, $4, $7, v.act FROM o, (VALUES ($20, $21), ($6, $8)) v (id, act)), \
    e AS (INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, created_at, \
    status, due_at) SELECT v.*, $4, 'pending', $4 FROM o, (VALUES ($9, $2, 'mail', $10, NULL, NULL, NULL), \
    ($11, $2, 'delivery', $12, $13, $14, $15)) v), \
    i AS (INSERT INTO inbox (event_id, account_id, event_type, session_id, body, received_at, status) \
    SELECT $19, $2, $22, $18, $23, $4, 'applied' FROM o), \
    l AS (INSERT INTO ledger_entries (entry_id, account_id, tx_id, book, code, direction, amount, source_type, source_id, \
    description, created_at) SELECT v.id, $2, $24, v.book, v.code, v.direction, v.amount, 'checkout_session', $18, $25, $4 \
    FROM o, (VALUES ($26, 'plugipay_clearing', 'sale', 'debit', $30::int8), ($27, 'seller', 'sale', 'credit', $30), \
    ($28, 'seller', 'module_fee', 'debit', $31::int8), ($29, 'module_fee_income', 'module_fee', 'credit', $31)) \
    v (id, book, code, direction, amount)), \
    d AS (INSERT INTO ledger_deltas (change_set_id, account_id, code, debits, credits) \
    SELECT $16, $2, v.* FROM o, (VALUES ('sale', 0, $30), ('module_fee', $31, 0)) v), \
    s AS (INSERT INTO change_sets (change_set_id, account_id, at) SELECT $16, $2, $4 FROM o) \
    SELECT count(*) FROM o";

async fn read(pool: &PgPool, told: &Told) -> Result<Paid, Trouble> {
    let row = sqlx::query(READ)
        .bind(&told.account_id)
        .bind(&told.id)
        .bind(&told.data.object.id)
        .fetch_optional(pool)
        .await?
        .ok_or("no such session")?;
    Ok(Paid {
        seen: seen(&row)?,
        account: row.try_get(SHOWN + 3)?,
        endpoint: row.try_get(SHOWN + 4)?,
        event: row.try_get(SHOWN + 5)?,
        checkout: row.try_get(SHOWN + 6)?,
        checkout_status: row.try_get(SHOWN + 7)?,
        amount: row.try_get(SHOWN + 8)?,
        fee_rate: row.try_get(SHOWN + 9)?,
    })
}

/// `false` if the order is at another version.
async fn write(pool: &PgPool, notification: &Notification, told: &Told, paid: &Paid) -> Result<bool, Trouble> {
    let Settlement { confirmation: made, audit, act, transaction, entries, description, amount, fee } =
        Settlement::of(paid, told)?;
    let shown = &paid.seen.shown;
    let mut query = sqlx::query(WRITE)
        .bind(&shown.order_id)
        .bind(&paid.account)
        .bind(shown.version)
        .bind(made.at)
        .bind(&shown.payment_id)
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
        .bind(&paid.checkout)
        .bind(&told.data.object.id)
        .bind(&told.id)
        .bind(audit)
        .bind(act)
        .bind(&told.r#type)
        .bind(&notification.body)
        .bind(transaction)
        .bind(description);
    for entry in entries {
        query = query.bind(entry);
    }
    let row = query.bind(amount).bind(fee).fetch_one(pool).await?;
    Ok(row.try_get::<i64, _>(0)? == 1)
}

pub(super) async fn notify(pool: &PgPool, request: &Request) -> Result<(), Trouble> {
    let notification = request.notification.as_ref().ok_or("an order without a notification")?;
    let told: Told = serde_json::from_str(&notification.body)?;
    loop {
        let paid = read(pool, &told).await?;
        verify(notification, &paid.endpoint)?;
        // A concurrent delivery of the same event finds another version, and the stored event.
        if paid.event.is_some() || write(pool, notification, &told, &paid).await? {
            return Ok(());
        }
    }
}
