//! Reads. Each is one statement, or several whose rows need not be of one snapshot.

use std::cmp::Reverse;

use serront_core::accounts::account::Account;
use serront_core::changes::idempotency::Kept;
use serront_core::online::checkout::Checkout;
use serront_core::orders::order::Order;
use serront_core::orders::payment::Payment;
use serront_core::ports::prelude::*;
use serront_core::shop::storefront::Storefront;
use serront_core::webhooks::subscription::Subscription;

use super::connection::{Connection, query};

use crate::sql::cells::{Cells as _, Read};
use crate::sql::names::directory;
use crate::sql::pages;
use crate::sql::rows::{self, ORDER_ROW, UNAPPLIED};
use crate::sql::search::{Newest, Way, found_by_number, listed, marked, ways};
use crate::sql::set_aside::{self, Found, Wanted};
use crate::sql::tables::{ORDERED_SERVICE, Record as _, joined};
use crate::sql::work::{self, SECRETS, effect_statement, given_up_after, given_up_statement, pending, stored_secrets};

/// The outcome that is stored under an idempotency key.
pub(super) async fn kept(connection: &mut Connection<'_>, account: AccountId, scope: Scope) -> Read<Option<Kept>> {
    query("SELECT fingerprint, outcome, until FROM kept_outcomes WHERE scope = ? AND account_id = ?")
        .bind(scope.to_string())
        .bind(account.to_string())
        .fetch_optional(connection)
        .await?
        .map(|row| rows::optional_kept(&row))
        .transpose()
        .map(Option::flatten)
}

/// The subscriptions of the account of a table's rows, as one text.
macro_rules! subscriptions_of {
    ($account:literal) => {
        joined!(
            "(SELECT json_group_array(json_array(",
            Subscription::SELECT,
            ")) FROM (SELECT * FROM subscriptions WHERE account_id = ",
            $account,
            " ORDER BY subscription_id) u) AS subscriptions"
        )
    };
}

/// The live checkouts of an order in a table named `o`, as one text.
const LIVE_CHECKOUTS: &str = joined!(
    "(SELECT json_group_array(json_array(",
    Checkout::SELECT,
    ")) FROM (SELECT * FROM checkouts WHERE order_id = o.order_id AND account_id = o.account_id \
             AND status IN ('intended', 'open') ORDER BY created_at, checkout_id) h) AS checkouts"
);

/// The columns of an order's snapshot without a kept outcome.
const SNAPSHOT: &str = joined!(
    Account::SELECT,
    ", ",
    Storefront::SELECT,
    ", ",
    ORDERED_SERVICE,
    ", ",
    Order::SELECT,
    ", o.number, ",
    Payment::SELECT,
    ", ",
    LIVE_CHECKOUTS,
    ", ",
    subscriptions_of!("o.account_id")
);

/// Joins the tables of an order's snapshot to a table named `o`, which may have no row.
const AROUND: &str = " LEFT JOIN accounts a ON a.account_id = o.account_id \
         LEFT JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
         LEFT JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
         LEFT JOIN storefronts f ON f.account_id = o.account_id";

/// The columns of a kept outcome if no key is given.
const NOTHING_KEPT: &str = "NULL AS fingerprint, NULL AS outcome, NULL AS until";

pub(super) async fn account(
    connection: &mut Connection<'_>,
    id: AccountId,
    scope: Option<Scope>,
) -> Read<Option<AccountSnapshot>> {
    let row = query(joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Storefront::SELECT,
        ", ",
        Provisioning::SELECT,
        ", ",
        subscriptions_of!("a.account_id"),
        ", (SELECT count(*) FROM services s WHERE s.account_id = a.account_id) AS services, \
         k.fingerprint, k.outcome, k.until FROM accounts a LEFT JOIN storefronts f ON f.account_id = a.account_id \
         LEFT JOIN provisioning v ON v.account_id = a.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ? AND k.account_id = a.account_id WHERE a.account_id = ?"
    ))
    .bind(scope.map(|scope| scope.to_string()))
    .bind(id.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::account_snapshot).transpose()
}

pub(super) async fn service(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: ServiceId,
    scope: Option<Scope>,
) -> Read<Option<ServiceSnapshot>> {
    let row = query(joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Service::SELECT,
        ", EXISTS (SELECT 1 FROM orders o WHERE o.account_id = s.account_id AND o.service_id = s.service_id) \
         AS has_orders, k.fingerprint, k.outcome, k.until FROM services s \
         JOIN accounts a ON a.account_id = s.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ? AND k.account_id = s.account_id \
         WHERE s.account_id = ? AND s.service_id = ?"
    ))
    .bind(scope.map(|scope| scope.to_string()))
    .bind(account.to_string())
    .bind(id.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::service_snapshot).transpose()
}

pub(super) async fn services(connection: &mut Connection<'_>, account: AccountId) -> Read<Vec<Service>> {
    query(joined!(
        "SELECT ",
        Service::SELECT,
        " FROM services s WHERE s.account_id = ? ORDER BY s.sort_order, s.service_id"
    ))
    .bind(account.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(Service::read)
    .collect()
}

pub(super) async fn shop(
    connection: &mut Connection<'_>,
    slug: &Slug,
    scope: Option<Scope>,
) -> Read<Option<ShopSnapshot>> {
    // One row for each service, and one without any for an empty catalog.
    let rows = query(joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Storefront::SELECT,
        ", ",
        Service::SELECT,
        ", ",
        subscriptions_of!("d.account_id"),
        ", k.fingerprint, k.outcome, k.until FROM directory d JOIN accounts a ON a.account_id = d.account_id \
         JOIN storefronts f ON f.account_id = d.account_id LEFT JOIN services s ON s.account_id = d.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ? AND k.account_id = d.account_id \
         WHERE d.kind = ? AND d.name = ? ORDER BY s.sort_order, s.service_id"
    ))
    .bind(scope.map(|scope| scope.to_string()))
    .bind(directory::STOREFRONT_SLUG)
    .bind(slug.as_str())
    .fetch_all(connection)
    .await?;
    rows::shop(&rows)
}

pub(super) async fn order(
    connection: &mut Connection<'_>,
    key: OrderKey,
    scope: Option<Scope>,
) -> Read<Option<OrderSnapshot>> {
    const SELECT: &str = joined!(
        "SELECT ",
        SNAPSHOT,
        ", k.fingerprint, k.outcome, k.until FROM orders o JOIN accounts a ON a.account_id = o.account_id \
         JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
         JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
         LEFT JOIN storefronts f ON f.account_id = o.account_id \
         LEFT JOIN kept_outcomes k ON k.scope = ? AND k.account_id = o.account_id"
    );
    let scope = scope.map(|scope| scope.to_string());
    let sql: &'static str;
    let query = match key {
        OrderKey::Id(account, id) => {
            sql = " WHERE o.order_id = ? AND o.account_id = ?";
            query(format!("{SELECT}{sql}")).bind(scope).bind(id.to_string()).bind(account.to_string())
        }
        OrderKey::Token(hash) => {
            sql = " WHERE o.access_token_hash = ? AND o.account_id = \
                   (SELECT d.account_id FROM directory d WHERE d.kind = ? AND d.name = ?)";
            query(format!("{SELECT}{sql}"))
                .bind(scope)
                .bind(hash.to_string())
                .bind(directory::ACCESS_TOKEN)
                .bind(hash.to_string())
        }
    };
    query.fetch_optional(connection).await?.as_ref().map(rows::order_snapshot).transpose()
}

pub(super) async fn checkout(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: CheckoutId,
) -> Read<Option<CheckoutSnapshot>> {
    let row = query(joined!(
        "SELECT ",
        SNAPSHOT,
        ", json_array(json_array(",
        Checkout::SELECT,
        ")) AS checkout, ",
        NOTHING_KEPT,
        " FROM checkouts h JOIN orders o ON o.order_id = h.order_id AND o.account_id = h.account_id",
        AROUND,
        " WHERE h.checkout_id = ? AND h.account_id = ?"
    ))
    .bind(id.to_string())
    .bind(account.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::checkout_snapshot).transpose().map(Option::flatten)
}

/// What is known under a session's name.
pub(super) async fn session(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: &SessionId,
    event_id: Option<ProviderEventId>,
) -> Read<SessionSnapshot> {
    let row = query(joined!(
        "SELECT coalesce(c.version, 0) AS session_version, (SELECT json_group_array(p.event_id) FROM \
         (SELECT event_id FROM inbox i WHERE session_id = w.session_id AND account_id = w.account_id \
         AND status = 'parked' AND ",
        UNAPPLIED,
        " ORDER BY received_at, event_id) p) AS parked, \
         (SELECT status FROM inbox WHERE event_id = w.event_id AND account_id = w.account_id) AS event_status, \
         iif(h.checkout_id IS NULL, NULL, json_array(json_array(",
        Checkout::SELECT,
        "))) AS checkout, ",
        SNAPSHOT,
        ", ",
        NOTHING_KEPT,
        " FROM (SELECT ? AS session_id, ? AS account_id, ? AS event_id) w \
         LEFT JOIN sessions c ON c.session_id = w.session_id AND c.account_id = w.account_id \
         LEFT JOIN checkouts h ON h.checkout_id = c.checkout_id AND h.account_id = c.account_id \
         LEFT JOIN orders o ON o.order_id = h.order_id AND o.account_id = h.account_id",
        AROUND
    ))
    .bind(id.as_str())
    .bind(account.to_string())
    .bind(event_id.map(String::from))
    .fetch_one(connection)
    .await?;
    rows::session_snapshot(&row)
}

/// The account of a merchant at Plugipay.
pub(super) async fn merchant(connection: &mut Connection<'_>, id: &MerchantId) -> Read<Option<Provisioning>> {
    let row = query(joined!(
        "SELECT ",
        Provisioning::SELECT,
        " FROM directory d JOIN provisioning v ON v.account_id = d.account_id WHERE d.kind = ? AND d.name = ?"
    ))
    .bind(directory::MERCHANT)
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(Provisioning::read).transpose()
}

pub(super) async fn inbox(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: &ProviderEventId,
) -> Read<Option<InboxRecord>> {
    query(joined!("SELECT ", InboxRecord::SELECT, " FROM inbox i WHERE i.event_id = ? AND i.account_id = ?"))
        .bind(id.as_str())
        .bind(account.to_string())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(InboxRecord::read)
        .transpose()
}

/// The notifications of all accounts that wait for the operator.
pub(super) async fn waiting(
    connection: &mut Connection<'_>,
    parked_before: Timestamp,
    limit: u32,
) -> Read<Found<InboxRecord>> {
    let sql = joined!(
        "SELECT ",
        InboxRecord::SELECT,
        " FROM inbox i WHERE ",
        UNAPPLIED,
        " AND (i.status <> 'parked' OR i.received_at < ?) ORDER BY i.received_at, i.event_id, i.account_id LIMIT ?"
    );
    let mut wanted = Wanted::rows(limit);
    loop {
        let query = query(sql).bind(parked_before.millis()).bind(wanted.asked());
        let rows = query.fetch_all(connection).await?;
        let mut found = Found::of(&rows, set_aside::NOTIFICATIONS, InboxRecord::read)?;
        if wanted.are_met(rows.len(), &found) {
            found.rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok(found);
        }
    }
}

pub(super) async fn key(connection: &mut Connection<'_>, hash: Digest256) -> Read<Option<KeyRecord>> {
    query(joined!(
        "SELECT ",
        KeyRecord::SELECT,
        " FROM directory d JOIN api_keys k ON k.account_id = d.account_id AND k.hash = d.name \
         WHERE d.kind = ? AND d.name = ?"
    ))
    .bind(directory::KEY_HASH)
    .bind(hash.to_string())
    .fetch_optional(connection)
    .await?
    .map(|row| KeyRecord::read(&row))
    .transpose()
}

pub(super) async fn keys(connection: &mut Connection<'_>, account: AccountId) -> Read<Vec<KeyRecord>> {
    query(joined!("SELECT ", KeyRecord::SELECT, " FROM api_keys k WHERE k.account_id = ? ORDER BY k.key_id"))
        .bind(account.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(KeyRecord::read)
        .collect()
}

/// The names of the account's services, by id.
async fn names(connection: &mut Connection<'_>, account: AccountId) -> Read<Vec<(String, String)>> {
    let rows = query("SELECT service_id, name FROM services WHERE account_id = ?")
        .bind(account.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.text("service_id")?.to_owned(), row.text("name")?.to_owned()))).collect()
}

/// The orders of these numbers.
async fn numbered(connection: &mut Connection<'_>, account: AccountId, numbers: &[OrderNumber]) -> Read<Vec<OrderRow>> {
    let sql = format!(
        "SELECT {ORDER_ROW} FROM orders o JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
             JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
             WHERE o.account_id = ? AND o.number IN ({})",
        listed(numbers)
    );
    let rows = query(sql).bind(account.to_string()).fetch_all(connection).await?;
    rows.iter().map(rows::order_row).collect()
}

pub(super) async fn orders(
    connection: &mut Connection<'_>,
    account: AccountId,
    filter: &OrderFilter,
    after: Option<OrderNumber>,
    limit: Limit,
) -> Read<Page<OrderRow>> {
    let mut newest = Newest::new(filter, after, limit);
    while let Some(asked) = newest.asks() {
        newest.add(matching(connection, account, &newest.ways(), newest.below(), asked).await?);
    }
    if let Some(left) = newest.left() {
        let names = names(connection, account).await?;
        let numbers = match filter.numbers() {
            numbers if numbers.is_empty() => numbers,
            numbers => found_by_number(filter, &numbered(connection, account, &numbers).await?),
        };
        let ways = ways(filter, &names, &numbers);
        newest.finish(matching(connection, account, &ways, newest.below(), left).await?);
    }
    Ok(newest.page())
}

/// The orders below a number that match in any of these ways, highest first.
async fn matching(
    connection: &mut Connection<'_>,
    account: AccountId,
    ways: &[Way],
    below: i64,
    wanted: i64,
) -> Read<Vec<OrderRow>> {
    let mut selects = Vec::new();
    for way in ways {
        // Of one account, places grow with the numbers. So the index of words gives the newest matches first, and the others
        // are not read.
        let (from, newest) = if way.words.is_empty() {
            ("orders o WHERE", "o.number")
        } else {
            ("order_words w CROSS JOIN orders o ON o.place = w.rowid WHERE order_words MATCH ? AND", "w.rowid")
        };
        let mut select = format!("SELECT o.* FROM {from} o.account_id = ? AND o.number < ?");
        for (condition, given) in [
            (" AND o.service_id = ?", way.service.is_some()),
            (" AND o.status = ?", way.status.is_some()),
            (" AND o.payment_status = ?", way.payment_status.is_some()),
        ] {
            if given {
                select.push_str(condition);
            }
        }
        select.push_str(&way.number_condition());
        selects.push(format!("SELECT * FROM ({select} ORDER BY {newest} DESC LIMIT ?)"));
    }
    let found = match selects.as_slice() {
        [only] => only.clone(),
        // An order that matches in two ways is found twice.
        several => format!("SELECT DISTINCT * FROM ({}) ORDER BY number DESC LIMIT ?", several.join(" UNION ALL ")),
    };
    let mut statement = query(format!(
        "SELECT {ORDER_ROW} FROM ({found}) o \
         CROSS JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
         CROSS JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id"
    ));
    for way in ways {
        if !way.words.is_empty() {
            let words: Vec<_> = marked(account, &way.words).map(|word| format!("\"{word}\"*")).collect();
            statement.add(words.join(" AND "));
        }
        statement.add(account.to_string());
        statement.add(below);
        if let Some(service) = &way.service {
            statement.add(service);
        }
        if let Some(status) = way.status {
            statement.add(status.as_str());
        }
        if let Some(payment_status) = way.payment_status {
            statement.add(payment_status.as_str());
        }
        statement.add(wanted);
    }
    if ways.len() > 1 {
        statement.add(wanted);
    }
    let mut rows =
        statement.fetch_all(connection).await?.iter().map(rows::order_row).collect::<Read<Vec<OrderRow>>>()?;
    rows.sort_unstable_by_key(|row| Reverse(row.number));
    Ok(rows)
}

pub(super) async fn counts(connection: &mut Connection<'_>, account: AccountId) -> Read<WorkCounts> {
    let rows = query("SELECT status, orders FROM order_counts WHERE account_id = ?")
        .bind(account.to_string())
        .fetch_all(connection)
        .await?;
    rows::counts(&rows)
}

pub(super) async fn audit(
    connection: &mut Connection<'_>,
    account: AccountId,
    order: OrderId,
) -> Read<Vec<AuditRecord>> {
    query(joined!(
        "SELECT ",
        AuditRecord::SELECT,
        " FROM audit t WHERE order_id = ? AND account_id = ? ORDER BY at, audit_id"
    ))
    .bind(order.to_string())
    .bind(account.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(AuditRecord::read)
    .collect()
}

/// A delivery's columns, with its log as one text.
const DELIVERY: &str = "effect_id, subscription_id, event_id, event_type, content, status, created_at, due_at, \
    (SELECT json_group_array(json_object('attemptNumber', t.attempt_number, 'status', t.status, \
    'responseCode', t.response_code, 'error', t.error, 'durationMs', t.duration_ms, 'attemptedAt', t.attempted_at, \
    'nextRetryAt', t.next_retry_at)) FROM (SELECT * FROM attempts a WHERE a.effect_id = e.effect_id \
    AND a.account_id = e.account_id ORDER BY a.attempt_number) t) AS log FROM effects e WHERE kind = 'delivery'";

pub(super) async fn deliveries(
    connection: &mut Connection<'_>,
    account: AccountId,
    filter: &DeliveryFilter,
    after: Option<DeliveryPosition>,
    limit: Limit,
) -> Read<Page<DeliveryRecord>> {
    let mut sql = format!("SELECT {DELIVERY} AND account_id = ?");
    let filters = [
        (" AND subscription_id = ?", filter.subscription_id.map(|id| id.to_string())),
        (" AND status = ?", filter.status.map(|status| status.as_str().to_owned())),
        (" AND event_type = ?", filter.event_type.map(|event_type| event_type.as_str().to_owned())),
        (" AND event_id = ?", filter.event_id.map(|id| id.to_string())),
    ];
    for (condition, value) in &filters {
        if value.is_some() {
            sql.push_str(condition);
        }
    }
    if after.is_some() {
        sql.push_str(" AND (created_at, effect_id) < (?, ?)");
    }
    sql.push_str(" ORDER BY created_at DESC, effect_id DESC LIMIT ?");
    let mut query = query(sql).bind(account.to_string());
    for value in filters.into_iter().filter_map(|(_, value)| value) {
        query = query.bind(value);
    }
    if let Some(after) = after {
        query = query.bind(after.created_at.millis()).bind(after.id.to_string());
    }
    let rows = query.bind(i64::from(limit.get()) + 1).fetch_all(connection).await?;
    Ok(Page::cut(rows.iter().map(rows::logged_delivery).collect::<Read<Vec<_>>>()?, limit))
}

pub(super) async fn delivery(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: DeliveryId,
) -> Read<Option<DeliveryRecord>> {
    query(format!("SELECT {DELIVERY} AND effect_id = ? AND account_id = ?"))
        .bind(id.to_string())
        .bind(account.to_string())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(rows::logged_delivery)
        .transpose()
}

pub(super) async fn effect(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: EffectId,
) -> Read<Option<EffectRecord>> {
    query(effect_statement("", id.lane()))
        .bind(id.to_string())
        .bind(account.to_string())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(work::effect)
        .transpose()
}

/// A subscription's streak of failed attempts; `None` if the last one succeeded.
pub(super) async fn streak(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: SubscriptionId,
) -> Read<Option<Streak>> {
    let row = query(
        "SELECT failures, failing_since FROM subscriptions \
         WHERE subscription_id = ? AND account_id = ? AND failing_since IS NOT NULL",
    )
    .bind(id.to_string())
    .bind(account.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(rows::streak).transpose()
}

pub(super) async fn discards(connection: &mut Connection<'_>, limit: u32) -> Read<Found<Discard>> {
    let statement = joined!("SELECT ", Discard::SELECT, " FROM discards t ORDER BY at DESC, audit_id DESC LIMIT ?");
    let mut wanted = Wanted::rows(limit);
    loop {
        let query = query(statement).bind(wanted.asked());
        let rows = query.fetch_all(connection).await?;
        let mut found = Found::of(&rows, set_aside::DISCARDS, Discard::read)?;
        if wanted.are_met(rows.len(), &found) {
            found.rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok(found);
        }
    }
}

/// The secrets of all accounts, by id.
pub(super) async fn subscription_secrets(
    connection: &mut Connection<'_>,
    after: Option<SubscriptionId>,
    limit: Limit,
) -> Read<Found<SubscriptionSecrets>> {
    let sql = format!("SELECT {SECRETS} FROM subscriptions WHERE subscription_id > ? ORDER BY subscription_id LIMIT ?");
    let mut wanted = Wanted::page(limit);
    loop {
        let rows = query(sql.clone())
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(wanted.asked())
            .fetch_all(connection)
            .await?;
        let found = Found::of(&rows, set_aside::SUBSCRIPTIONS, stored_secrets)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

/// The endpoints of all accounts, by account.
pub(super) async fn provisionings(
    connection: &mut Connection<'_>,
    after: Option<AccountId>,
    limit: Limit,
) -> Read<Found<Provisioning>> {
    let sql = joined!(
        "SELECT ",
        Provisioning::SELECT,
        " FROM provisioning v WHERE v.account_id > ? ORDER BY v.account_id LIMIT ?"
    );
    let mut wanted = Wanted::page(limit);
    loop {
        let rows = query(sql)
            .bind(after.map(|after| after.to_string()).unwrap_or_default())
            .bind(wanted.asked())
            .fetch_all(connection)
            .await?;
        let found = Found::of(&rows, set_aside::ENDPOINTS, Provisioning::read)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

/// Failed effects of all accounts that are not discarded, newest first.
pub(super) async fn given_up(
    connection: &mut Connection<'_>,
    after: Option<EffectPosition>,
    limit: Limit,
) -> Read<Found<EffectRecord>> {
    let (created_at, id) = given_up_after(after);
    let mut wanted = Wanted::page(limit);
    loop {
        let rows = query(given_up_statement(""))
            .bind(created_at)
            .bind(id.clone())
            .bind(wanted.asked())
            .fetch_all(connection)
            .await?;
        let found = pages::given_up(&rows)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

pub(super) async fn outcome(
    connection: &mut Connection<'_>,
    account: AccountId,
    id: ChangeSetId,
) -> Read<Option<Committed>> {
    let row = query("SELECT number FROM change_sets WHERE change_set_id = ? AND account_id = ?")
        .bind(id.to_string())
        .bind(account.to_string())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Committed { number: rows::optional_number(&row)? }))
}

pub(super) async fn next_due(connection: &mut Connection<'_>, lane: Lane, now: Timestamp) -> Read<Option<Timestamp>> {
    let (table, pending) = pending(lane);
    let sql =
        format!("SELECT due_at FROM {table} WHERE {pending} AND lease_until <= ? ORDER BY due_at, effect_id LIMIT 1");
    let row = query(sql).bind(now.millis()).fetch_optional(connection).await?;
    Ok(row.map(|row| row.int("due_at")).transpose()?.map(Timestamp::from_millis))
}

pub(super) async fn named_uploads(
    connection: &mut Connection<'_>,
    uploads: &[(AccountId, UploadId)],
) -> Read<Vec<UploadId>> {
    let mut named = Vec::new();
    for (account, upload) in uploads {
        let row = query("SELECT 1 FROM payments WHERE receipt_upload_id = ? AND account_id = ?")
            .bind(upload.to_string())
            .bind(account.to_string())
            .fetch_optional(connection)
            .await?;
        if row.is_some() {
            named.push(*upload);
        }
    }
    Ok(named)
}

pub(super) async fn schema_version(connection: &mut Connection<'_>) -> Read<i64> {
    let row = query("SELECT coalesce(max(version), 0) AS version FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await?;
    row.int("version")
}
