//! Shared parts of the hand-written ways: the rows that they read, and the ids and bytes that they write.
//!
//! They are written for this bench's data as a team would for its data: typed structs and `serde_json`, no change set,
//! no guard except the version, and one subscription per account.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::stage::{Request, Trouble};

/// The confirming actor.
pub(crate) const ACTOR: &str = "cashier 7";

/// The seller's view of an order with its payment and service.
#[derive(Debug, Clone)]
#[allow(dead_code, reason = "an answer's fields are made, not looked at")]
pub(crate) struct Shown {
    pub(crate) order_id: String,
    pub(crate) number: i64,
    pub(crate) version: i64,
    pub(crate) status: String,
    pub(crate) payment_status: String,
    pub(crate) access_token: String,
    pub(crate) buyer_name: String,
    pub(crate) buyer_email: String,
    pub(crate) buyer_phone: Option<String>,
    pub(crate) package_name: Option<String>,
    pub(crate) preferred_date: Option<String>,
    pub(crate) notes: Option<String>,
    pub(crate) language: String,
    pub(crate) quoted_price: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) payment_id: String,
    pub(crate) amount_due: i64,
    pub(crate) has_receipt: bool,
    pub(crate) service_id: String,
    pub(crate) service_name: String,
    pub(crate) service_slug: String,
}

/// The columns of [`Shown`] in its order, without the service's.
macro_rules! order_columns {
    () => {
        "o.order_id, o.number, o.version, o.status, o.payment_status, o.access_token, o.buyer_name, o.buyer_email, \
         o.buyer_phone, o.package_name, o.preferred_date, o.notes, o.language, o.quoted_price, o.created_at, \
         o.updated_at, p.payment_id, p.amount_due, p.receipt_upload_id IS NOT NULL, o.service_id"
    };
}
/// The columns of [`Shown`], in its order.
macro_rules! shown_columns {
    () => {
        concat!($crate::hand::order_columns!(), ", s.name, s.slug")
    };
}
/// The single-table statements of a confirmation as an ORM writes them. SQLite and PostgreSQL read the same text.
macro_rules! write_confirmation {
    ($transaction:ident, $made:ident, $seen:ident, $request:ident) => {
        let updated = sqlx::query(
            "UPDATE orders SET version = version + 1, payment_status = 'payment_confirmed', updated_at = $4 \
             WHERE order_id = $1 AND account_id = $2 AND version = $3",
        )
        .bind(&$request.order_text)
        .bind(&$request.account_text)
        .bind($seen.shown.version)
        .bind($made.at)
        .execute(&mut *$transaction)
        .await?;
        if updated.rows_affected() != 1 {
            return Err("a conflict".into());
        }
        sqlx::query("UPDATE payments SET status = 'payment_confirmed' WHERE payment_id = $1 AND account_id = $2")
            .bind(&$seen.shown.payment_id)
            .bind(&$request.account_text)
            .execute(&mut *$transaction)
            .await?;
        sqlx::query("INSERT INTO claims (name, kind, account_id) VALUES ($1, 'confirmation', $2)")
            .bind(&$seen.shown.payment_id)
            .bind(&$request.account_text)
            .execute(&mut *$transaction)
            .await?;
        sqlx::query(
            "INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind($made.audit)
        .bind(&$request.account_text)
        .bind(&$request.order_text)
        .bind(&$seen.shown.payment_id)
        .bind($made.at)
        .bind($made.actor)
        .bind($made.act)
        .execute(&mut *$transaction)
        .await?;
        sqlx::query(
            "INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, \
             created_at, status, due_at) VALUES ($1, $2, 'mail', $3, NULL, NULL, NULL, $4, 'pending', $4), \
             ($5, $2, 'delivery', $6, $7, $8, $9, $4, 'pending', $4)",
        )
        .bind($made.mail)
        .bind(&$request.account_text)
        .bind($made.mail_content)
        .bind($made.at)
        .bind($made.delivery)
        .bind($made.body)
        .bind($made.subscription)
        .bind($made.event)
        .bind($crate::hand::EVENT)
        .execute(&mut *$transaction)
        .await?;
        sqlx::query("INSERT INTO change_sets (change_set_id, account_id, at) VALUES ($1, $2, $3)")
            .bind($made.change_set)
            .bind(&$request.account_text)
            .bind($made.at)
            .execute(&mut *$transaction)
            .await?;
    };
}
pub(crate) use order_columns;
pub(crate) use shown_columns;
pub(crate) use write_confirmation;

/// Number of columns of [`Shown`].
pub(crate) const SHOWN: usize = 22;

/// Reads [`Shown`] from a row of any driver; `$get` is the driver's method for a column by its index.
macro_rules! shown {
    ($row:expr, $get:ident) => {
        $crate::hand::Shown {
            order_id: $row.$get(0)?,
            number: $row.$get(1)?,
            version: $row.$get(2)?,
            status: $row.$get(3)?,
            payment_status: $row.$get(4)?,
            access_token: $row.$get(5)?,
            buyer_name: $row.$get(6)?,
            buyer_email: $row.$get(7)?,
            buyer_phone: $row.$get(8)?,
            package_name: $row.$get(9)?,
            preferred_date: $row.$get(10)?,
            notes: $row.$get(11)?,
            language: $row.$get(12)?,
            quoted_price: $row.$get(13)?,
            created_at: $row.$get(14)?,
            updated_at: $row.$get(15)?,
            payment_id: $row.$get(16)?,
            amount_due: $row.$get(17)?,
            has_receipt: $row.$get(18)?,
            service_id: $row.$get(19)?,
            service_name: $row.$get(20)?,
            service_slug: $row.$get(21)?,
        }
    };
}
pub(crate) use shown;

/// The rows read before an order is confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) shown: Shown,
    pub(crate) seller_name: String,
    /// The account's subscriptions with their filters.
    pub(crate) subscriptions: Vec<(String, String)>,
}

impl Seen {
    /// The same, as if it was read for this request.
    pub(crate) fn assumed_for(&self, request: &Request) -> Self {
        let mut seen = self.clone();
        seen.shown.order_id.clone_from(&request.order_text);
        seen.shown.payment_id.clone_from(&request.payment_text);
        seen.shown.number = i64::from(request.number);
        for (id, _) in &mut seen.subscriptions {
            *id = format!("whs_{}", request.account_text.trim_start_matches("acc_"));
        }
        seen
    }
}

/// The rows that one confirmation writes, except the new states.
#[derive(Debug)]
pub(crate) struct Confirmation {
    pub(crate) at: i64,
    pub(crate) change_set: String,
    pub(crate) audit: String,
    pub(crate) actor: String,
    pub(crate) act: String,
    pub(crate) mail: String,
    pub(crate) mail_content: String,
    pub(crate) delivery: String,
    pub(crate) subscription: String,
    pub(crate) event: String,
    pub(crate) body: String,
}

pub(crate) const EVENT: &str = "serront.order.payment_confirmed.v1";

#[derive(Serialize)]
struct Actor<'a> {
    kind: &'static str,
    name: &'a str,
}

#[derive(Serialize)]
struct AuditAct<'a> {
    kind: &'static str,
    from: &'a str,
    to: &'static str,
    proof_sha256: Option<&'a str>,
}

#[derive(Serialize)]
struct Mail<'a> {
    kind: &'static str,
    to: &'a str,
    buyer_name: &'a str,
    language: &'a str,
    seller_name: &'a str,
    number: i64,
    service_name: &'a str,
    amount: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: &'a str,
    r#type: &'static str,
    occurred_at: &'a str,
    account_id: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    order_id: &'a str,
    number: i64,
    quoted_price_idr: i64,
}

/// A counter, so that ids also ascend within a millisecond.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Sixteen ids of one operation, from the present time.
pub(crate) struct Ids {
    at: u64,
    next: u128,
}

impl Ids {
    pub(crate) fn draw() -> Result<Self, Trouble> {
        let at = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        Ok(Self { at, next: u128::from(COUNTER.fetch_add(1, Ordering::Relaxed)) << 4 })
    }

    pub(crate) fn next(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}{}", Ulid::from_parts(self.at, self.next).to_string().to_ascii_lowercase())
    }
}

impl Confirmation {
    /// The writes of `decide::confirm_payment`, hand-written.
    pub(crate) fn of(seen: &Seen, request: &Request) -> Result<Self, Trouble> {
        let actor = serde_json::to_string(&Actor { kind: "host", name: ACTOR })?;
        Self::made(seen, &request.account_text, actor, &mut Ids::draw()?)
    }

    /// The same for another actor, given as JSON.
    pub(crate) fn made(seen: &Seen, account: &str, actor: String, ids: &mut Ids) -> Result<Self, Trouble> {
        let Seen { shown, seller_name, subscriptions } = seen;
        if shown.payment_status == "payment_confirmed" {
            return Err("confirmed already".into());
        }
        let wanting: Vec<_> = subscriptions.iter().filter(|(_, events)| wants(events)).collect();
        let [(subscription, _)] = wanting.as_slice() else {
            return Err("written for one subscription in each account".into());
        };
        let at = i64::try_from(ids.at)?;
        let event = ids.next("evt_");
        let time: DateTime<Utc> = DateTime::from_timestamp_millis(at).unwrap_or_default();
        let body = Body {
            id: &event,
            r#type: EVENT,
            occurred_at: &time.to_rfc3339_opts(SecondsFormat::Millis, true),
            account_id: account,
            data: Data { order_id: &shown.order_id, number: shown.number, quoted_price_idr: shown.quoted_price },
        };
        let mail = Mail {
            kind: "payment_confirmed_v1",
            to: &shown.buyer_email,
            buyer_name: &shown.buyer_name,
            language: &shown.language,
            seller_name,
            number: shown.number,
            service_name: &shown.service_name,
            amount: shown.amount_due,
        };
        let act =
            AuditAct { kind: "payment", from: &shown.payment_status, to: "payment_confirmed", proof_sha256: None };
        Ok(Self {
            at,
            change_set: ids.next("chg_"),
            audit: ids.next("aud_"),
            actor,
            act: serde_json::to_string(&act)?,
            mail: ids.next("mail_"),
            mail_content: serde_json::to_string(&mail)?,
            delivery: ids.next("whd_"),
            subscription: subscription.clone(),
            body: serde_json::to_string(&body)?,
            event,
        })
    }
}

/// Whether a subscription with these filters, as JSON, wants the event.
fn wants(events: &str) -> bool {
    serde_json::from_str::<Vec<&str>>(events).is_ok_and(|filters| {
        filters.iter().any(|filter| match filter.strip_suffix('*') {
            Some(prefix) => EVENT.starts_with(prefix),
            None => *filter == EVENT,
        })
    })
}

/// Counts by status, as the page shows them above its rows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) requested: u64,
    pub(crate) confirmed: u64,
    pub(crate) declined: u64,
    pub(crate) in_progress: u64,
    pub(crate) delivered: u64,
    pub(crate) completed: u64,
    pub(crate) canceled: u64,
}

impl Counts {
    pub(crate) const fn sum(&self) -> u64 {
        let Self { requested, confirmed, declined, in_progress, delivered, completed, canceled } = self;
        *requested + *confirmed + *declined + *in_progress + *delivered + *completed + *canceled
    }

    /// From the rows that an ORM read.
    pub(crate) fn set(&mut self, status: &str, orders: i64) -> Result<(), Trouble> {
        let orders = u64::try_from(orders)?;
        match status {
            "requested" => self.requested = orders,
            "confirmed" => self.confirmed = orders,
            "declined" => self.declined = orders,
            "in_progress" => self.in_progress = orders,
            "delivered" => self.delivered = orders,
            "completed" => self.completed = orders,
            "canceled" => self.canceled = orders,
            _ => return Err(format!("an unknown state, {status}").into()),
        }
        Ok(())
    }
}
