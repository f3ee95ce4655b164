//! Reads. Each statement sees one snapshot; concurrent callers share the frequent ones.

use serront_core::accounts::account::Account;
use serront_core::online::checkout::Checkout;
use serront_core::orders::instructions::PaymentSettings;
use serront_core::orders::order::{Order, SellerProfile};
use serront_core::orders::payment::Payment;
use serront_core::ports::prelude::*;
use serront_core::shop::storefront::Storefront;
use serront_core::webhooks::subscription::Subscription;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _};

use super::statement::{Builder, Relation, Shape};
use crate::sql::cells::{Cells, Read, Value as _};
use crate::sql::error::Failed;
use crate::sql::names::directory;
use crate::sql::pages;
use crate::sql::rows::{self, ORDER_ROW, UNAPPLIED};
use crate::sql::search::{Newest, Way, found_by_number, listed, marked, ways};
use crate::sql::set_aside::{self, Found, Wanted};
use crate::sql::tables::{ORDERED_SERVICE, Record, joined, ordered_service};
use crate::sql::work::{self, SECRETS, effect_statement, given_up_after, given_up_statement, stored_secrets};

/// A statement with its schema filled in and its arguments.
pub(super) struct Query {
    sql: String,
    arguments: PgArguments,
}

impl Query {
    pub(super) fn new(schema: &str, sql: &str) -> Self {
        Self { sql: sql.replace("@.", schema), arguments: PgArguments::default() }
    }

    /// The same, with an SQL expression of the storage's time for `@now`.
    pub(super) fn at((schema, now): (&str, &str), sql: &str) -> Self {
        Self::new(schema, &sql.replace("@now", now))
    }

    pub(super) fn bind<'q, T>(mut self, value: T) -> Read<Self>
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.arguments.add(value).map_err(|_| Failed::Refused("a value that can't be sent"))?;
        Ok(self)
    }

    pub(super) async fn all(self, connection: &mut PgConnection) -> Read<Vec<PgRow>> {
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments).fetch_all(connection).await?)
    }

    pub(super) async fn optional(self, connection: &mut PgConnection) -> Read<Option<PgRow>> {
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), self.arguments).fetch_optional(connection).await?)
    }
}

/// Looks up many things in one statement, and returns what it found for each. `select` writes the query that reads the
/// relation `wanted`.
async fn look_up<T>(
    connection: &mut PgConnection,
    schema: &str,
    relation: &Relation,
    wanted: usize,
    select: impl FnOnce(&mut Builder),
    read: impl Fn(&PgRow) -> Read<T>,
) -> Read<Vec<Read<Option<T>>>> {
    let mut sql = Builder::new();
    sql.relation(relation, wanted > 1)?;
    select(&mut sql);
    let (sql, arguments) = sql.finish(schema);
    let mut found: Vec<Read<Option<T>>> = (0..wanted).map(|_| Ok(None)).collect();
    for row in sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await? {
        let n = rows::whole::<usize>(&row, "n")?;
        *found.get_mut(n).ok_or(Failed::Unreadable("n"))? = read(&row).map(Some);
    }
    Ok(found)
}

/// The subscriptions of the account of a table's rows, as one text.
macro_rules! subscriptions_of {
    ($account:literal) => {
        joined!(
            "array_to_json(ARRAY(SELECT json_build_array(",
            Subscription::SELECT,
            ") FROM @.subscriptions u WHERE u.account_id = ",
            $account,
            " ORDER BY u.subscription_id))::text AS subscriptions"
        )
    };
}

/// The live checkouts of an order in a table named `o`, as one text.
const LIVE_CHECKOUTS: &str = joined!(
    "array_to_json(ARRAY(SELECT json_build_array(",
    Checkout::SELECT,
    ") FROM @.checkouts h WHERE h.order_id = o.order_id AND h.account_id = o.account_id \
     AND h.status IN ('intended', 'open') ORDER BY h.created_at, h.checkout_id))::text AS checkouts"
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

/// The columns of an order's snapshot in a frequent read, without a kept outcome. Each column is carried through every
/// join, so only those that a snapshot has are read, and what an order shows of its seller and service is an array each.
const SHORT_SNAPSHOT: &str = joined!(
    Account::SELECT,
    ", ",
    Order::SELECT,
    ", o.number, ",
    Payment::SELECT,
    ", (SELECT ARRAY[f.slug, f.display_name, f.hide_branding::text, f.payment] FROM @.storefronts f \
     WHERE f.account_id = o.account_id) AS seller, \
     (SELECT ARRAY[s.service_id, s.slug, s.name, s.pricing] FROM @.services s WHERE s.service_id = o.service_id \
     AND s.account_id = o.account_id) AS service, ",
    LIVE_CHECKOUTS,
    ", ",
    subscriptions_of!("o.account_id")
);

/// Reads [`SHORT_SNAPSHOT`] with a kept outcome.
fn short_snapshot(row: &PgRow) -> Read<OrderSnapshot> {
    let account = Account::read(row)?;
    Ok(OrderSnapshot {
        seller: ArrayRow::optional(row, "seller", &["slug", "display_name", "hide_branding", "payment"])?
            .map(|found| seller(&found))
            .transpose()?,
        order: Order::read(row)?,
        number: rows::number(row)?,
        payment: Payment::read(row)?,
        service: ordered_service(
            &ArrayRow::optional(row, "service", &["s_service_id", "s_slug", "s_name", "s_pricing"])?
                .ok_or(Failed::Unreadable("service"))?,
        )?,
        checkouts: rows::nested(row, "checkouts")?,
        subscriptions: rows::nested(row, "subscriptions")?,
        kept: rows::optional_kept(row)?,
        account,
    })
}

/// What an order shows of its seller, from a row of these columns alone.
fn seller(row: &ArrayRow) -> Read<SellerProfile> {
    Ok(SellerProfile {
        slug: Slug::read(row, "slug")?,
        display_name: String::read(row, "display_name")?,
        hide_branding: bool::read(row, "hide_branding")?,
        payment: PaymentSettings::read(row, "payment")?,
    })
}

/// A row inside another one, as an array of texts.
struct ArrayRow {
    columns: &'static [&'static str],
    cells: Vec<Option<String>>,
}

impl ArrayRow {
    fn optional(row: &PgRow, column: &'static str, columns: &'static [&'static str]) -> Read<Option<Self>> {
        let cells: Option<Vec<Option<String>>> = row.try_get(column)?;
        Ok(cells.map(|cells| Self { columns, cells }))
    }
}

/// The cell is missing, or of another type.
const OTHER: Failed = Failed::Unreadable("text");

impl Cells for ArrayRow {
    fn optional_text(&self, column: &str) -> Read<Option<&str>> {
        let place = self.columns.iter().position(|name| *name == column);
        place.and_then(|place| self.cells.get(place)).map(Option::as_deref).ok_or(OTHER)
    }
    fn optional_int(&self, column: &str) -> Read<Option<i64>> {
        self.optional_text(column)?.map(|text| text.parse().map_err(|_| OTHER)).transpose()
    }
    fn text(&self, column: &str) -> Read<&str> {
        self.optional_text(column)?.ok_or(OTHER)
    }
    fn int(&self, column: &str) -> Read<i64> {
        self.optional_int(column)?.ok_or(OTHER)
    }
    fn flag(&self, column: &str) -> Read<bool> {
        Ok(self.text(column)? == "true")
    }
}

/// The columns of a kept outcome if no key is given.
const NOTHING_KEPT: &str = "NULL::text AS fingerprint, NULL::text AS outcome, NULL::int8 AS until";

/// Joins the tables of an order's snapshot to a table named `o`, which may have no row.
const AROUND: &str = " LEFT JOIN @.accounts a ON a.account_id = o.account_id \
         LEFT JOIN @.services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
         LEFT JOIN @.payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
         LEFT JOIN @.storefronts f ON f.account_id = o.account_id";

pub(super) async fn account(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    id: AccountId,
    scope: Option<Scope>,
) -> Read<Option<AccountSnapshot>> {
    let sql = joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Storefront::SELECT,
        ", ",
        Provisioning::SELECT,
        ", ",
        subscriptions_of!("a.account_id"),
        ", coalesce(c.services, 0) AS services, k.fingerprint, k.outcome, k.until FROM @.accounts a \
             LEFT JOIN @.storefronts f ON f.account_id = a.account_id \
             LEFT JOIN @.provisioning v ON v.account_id = a.account_id \
             LEFT JOIN @.service_counts c ON c.account_id = a.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = a.account_id AND k.scope = $2 AND k.until > @now \
         WHERE a.account_id = $1"
    );
    let query = Query::at((schema, now), sql).bind(id.to_string())?.bind(scope.map(|scope| scope.to_string()))?;
    query.optional(connection).await?.as_ref().map(rows::account_snapshot).transpose()
}

pub(super) async fn service(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    account: AccountId,
    id: ServiceId,
    scope: Option<Scope>,
) -> Read<Option<ServiceSnapshot>> {
    let sql = joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Service::SELECT,
        ", s.has_orders, k.fingerprint, k.outcome, k.until FROM @.services s \
         JOIN @.accounts a ON a.account_id = s.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = a.account_id AND k.scope = $3 AND k.until > @now \
             WHERE s.account_id = $1 AND s.service_id = $2"
    );
    let query = Query::at((schema, now), sql)
        .bind(account.to_string())?
        .bind(id.to_string())?
        .bind(scope.map(|scope| scope.to_string()))?;
    query.optional(connection).await?.as_ref().map(rows::service_snapshot).transpose()
}

pub(super) async fn services(connection: &mut PgConnection, schema: &str, account: AccountId) -> Read<Vec<Service>> {
    let sql = joined!(
        "SELECT ",
        Service::SELECT,
        " FROM @.services s WHERE s.account_id = $1 ORDER BY s.sort_order, s.service_id"
    );
    let rows = Query::new(schema, sql).bind(account.to_string())?.all(connection).await?;
    rows.iter().map(Service::read).collect()
}

pub(super) async fn shop(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    slug: &Slug,
    scope: Option<Scope>,
) -> Read<Option<ShopSnapshot>> {
    // One row for each service, and one without any for an empty catalog.
    let sql = joined!(
        "SELECT ",
        Account::SELECT,
        ", ",
        Storefront::SELECT,
        ", ",
        Service::SELECT,
        ", ",
        subscriptions_of!("d.account_id"),
        ", k.fingerprint, k.outcome, k.until FROM @.directory d JOIN @.accounts a ON a.account_id = d.account_id \
             JOIN @.storefronts f ON f.account_id = d.account_id \
             LEFT JOIN @.services s ON s.account_id = d.account_id \
             LEFT JOIN @.kept_outcomes k ON k.account_id = d.account_id AND k.scope = $3 AND k.until > @now \
             WHERE d.kind = $1 AND d.name = $2 ORDER BY s.sort_order, s.service_id"
    );
    let query = Query::at((schema, now), sql)
        .bind(directory::STOREFRONT_SLUG)?
        .bind(slug.as_str().to_owned())?
        .bind(scope.map(|scope| scope.to_string()))?;
    let rows = query.all(connection).await?;
    rows::shop(&rows)
}

/// An order to be read, and the idempotency key to look up with it.
pub(super) type OrderWanted = (OrderKey, Option<Scope>);

/// Reads orders, all by id or all by token.
pub(super) async fn orders_by_key(
    connection: &mut PgConnection,
    (schema, now): (&str, &str),
    wanted: &[OrderWanted],
) -> Read<Vec<Read<Option<OrderSnapshot>>>> {
    const BY_ID: &Shape<3> = &Shape("wanted", ["account_id", "key", "scope"]);
    const BY_TOKEN: &Shape<2> = &Shape("wanted", ["key", "scope"]);
    let scope = |scope: &Option<Scope>| scope.map(|scope| scope.to_string()).into();
    let by_id = Relation::of(
        BY_ID,
        wanted.iter().filter_map(|(key, kept)| match key {
            OrderKey::Id(account, id) => Some([account.to_string().into(), id.to_string().into(), scope(kept)]),
            OrderKey::Token(_) => None,
        }),
    );
    let by_token = Relation::of(
        BY_TOKEN,
        wanted.iter().filter_map(|(key, kept)| match key {
            OrderKey::Token(hash) => Some([hash.to_string().into(), scope(kept)]),
            OrderKey::Id(..) => None,
        }),
    );
    let (relation, from) = if by_token.is_empty() {
        (by_id, " JOIN @.orders o ON o.order_id = w.key AND o.account_id = w.account_id")
    } else {
        (
            by_token,
            " JOIN @.directory d ON d.kind = 'access_token' AND d.name = w.key \
             JOIN @.orders o ON o.access_token_hash = w.key AND o.account_id = d.account_id",
        )
    };
    let kept = wanted.iter().any(|(_, scope)| scope.is_some());
    let select = |sql: &mut Builder| {
        sql.push(joined!("\nSELECT w.n, ", SHORT_SNAPSHOT, ", "));
        sql.push(if kept { "k.fingerprint, k.outcome, k.until" } else { NOTHING_KEPT });
        sql.push(" FROM wanted w").push(from).push(
            " JOIN @.accounts a ON a.account_id = o.account_id \
             JOIN @.payments p ON p.order_id = o.order_id AND p.account_id = o.account_id",
        );
        if kept {
            sql.push(
                " LEFT JOIN @.kept_outcomes k ON k.account_id = o.account_id AND k.scope = w.scope AND k.until > ",
            )
            .push(now);
        }
    };
    look_up(connection, schema, &relation, wanted.len(), select, short_snapshot).await
}

pub(super) async fn checkout(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    id: CheckoutId,
) -> Read<Option<CheckoutSnapshot>> {
    let sql = joined!(
        "SELECT ",
        SNAPSHOT,
        ", json_build_array(json_build_array(",
        Checkout::SELECT,
        "))::text AS checkout, ",
        NOTHING_KEPT,
        " FROM @.checkouts h \
             JOIN @.orders o ON o.order_id = h.order_id AND o.account_id = h.account_id",
        AROUND,
        " \
             WHERE h.checkout_id = $1 AND h.account_id = $2"
    );
    let query = Query::new(schema, sql).bind(id.to_string())?.bind(account.to_string())?;
    let row = query.optional(connection).await?;
    row.as_ref().map(rows::checkout_snapshot).transpose().map(Option::flatten)
}

/// A session to be looked up, and the event to look up with it.
pub(super) type SessionWanted = (AccountId, SessionId, Option<ProviderEventId>);

/// Reads what is stored for these sessions.
pub(super) async fn sessions(
    connection: &mut PgConnection,
    schema: &str,
    wanted: &[SessionWanted],
) -> Read<Vec<Read<Option<SessionSnapshot>>>> {
    const WANTED: &Shape<3> = &Shape("wanted", ["account_id", "session_id", "event_id"]);
    let relation = Relation::of(
        WANTED,
        wanted.iter().map(|(account, session, event)| {
            let event = event.as_ref().map(|event| event.as_str().to_owned());
            [account.to_string().into(), session.as_str().into(), event.into()]
        }),
    );
    let select = |sql: &mut Builder| {
        sql.push(joined!(
            "\nSELECT w.n, coalesce(c.version, 0) AS session_version, \
             (SELECT json_agg(i.event_id ORDER BY i.received_at, i.event_id)::text FROM @.inbox i \
             WHERE i.session_id = w.session_id AND i.account_id = w.account_id AND i.status = 'parked' AND ",
            UNAPPLIED,
            ") AS parked, \
             (SELECT i.status FROM @.inbox i WHERE i.event_id = w.event_id AND i.account_id = w.account_id) \
             AS event_status, CASE WHEN h.checkout_id IS NOT NULL THEN json_build_array(json_build_array(",
            Checkout::SELECT,
            "))::text END AS checkout, ",
            SNAPSHOT,
            ", ",
            NOTHING_KEPT,
            " FROM wanted w LEFT JOIN @.sessions c ON c.session_id = w.session_id AND c.account_id = w.account_id \
             LEFT JOIN @.checkouts h ON h.checkout_id = c.checkout_id AND h.account_id = c.account_id \
             LEFT JOIN @.orders o ON o.order_id = h.order_id AND o.account_id = h.account_id",
            AROUND
        ));
    };
    look_up(connection, schema, &relation, wanted.len(), select, rows::session_snapshot).await
}

/// Reads the accounts of these merchants at Plugipay.
pub(super) async fn merchants(
    connection: &mut PgConnection,
    schema: &str,
    wanted: &[MerchantId],
) -> Read<Vec<Read<Option<Provisioning>>>> {
    let relation = Relation::of(NAMES, wanted.iter().map(|id| [id.as_str().into()]));
    let select = |sql: &mut Builder| {
        sql.push(joined!(
            "\nSELECT w.n, ",
            Provisioning::SELECT,
            " FROM wanted w JOIN @.directory d ON d.kind = 'merchant' AND d.name = w.name \
             JOIN @.provisioning v ON v.account_id = d.account_id"
        ));
    };
    look_up(connection, schema, &relation, wanted.len(), select, Provisioning::read).await
}

const NAMES: &Shape<1> = &Shape("wanted", ["name"]);

pub(super) async fn inbox(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    id: &ProviderEventId,
) -> Read<Option<InboxRecord>> {
    let sql = joined!("SELECT ", InboxRecord::SELECT, " FROM @.inbox i WHERE i.event_id = $1 AND i.account_id = $2");
    let query = Query::new(schema, sql).bind(id.as_str().to_owned())?.bind(account.to_string())?;
    query.optional(connection).await?.as_ref().map(InboxRecord::read).transpose()
}

/// The notifications of all accounts that wait for the operator.
pub(super) async fn waiting(
    connection: &mut PgConnection,
    schema: &str,
    parked_before: Timestamp,
    limit: u32,
) -> Read<Found<InboxRecord>> {
    let sql = joined!(
        "SELECT ",
        InboxRecord::SELECT,
        " FROM @.inbox i WHERE ",
        UNAPPLIED,
        " AND (i.status <> 'parked' OR i.received_at < $1) ORDER BY i.received_at, i.event_id, i.account_id LIMIT $2"
    );
    let mut wanted = Wanted::rows(limit);
    loop {
        let query = Query::new(schema, sql).bind(parked_before.millis())?.bind(wanted.asked())?;
        let rows = query.all(&mut *connection).await?;
        let mut found = Found::of(&rows, set_aside::NOTIFICATIONS, InboxRecord::read)?;
        if wanted.are_met(rows.len(), &found) {
            found.rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok(found);
        }
    }
}

/// Reads API keys by their hashes.
pub(super) async fn keys_by_hash(
    connection: &mut PgConnection,
    schema: &str,
    wanted: &[Digest256],
) -> Read<Vec<Read<Option<KeyRecord>>>> {
    let relation = Relation::of(NAMES, wanted.iter().map(|hash| [hash.to_string().into()]));
    let select = |sql: &mut Builder| {
        sql.push(joined!(
            "\nSELECT w.n, ",
            KeyRecord::SELECT,
            " FROM wanted w JOIN @.directory d ON d.kind = 'key_hash' AND d.name = w.name \
             JOIN @.api_keys k ON k.account_id = d.account_id AND k.hash = w.name"
        ));
    };
    look_up(connection, schema, &relation, wanted.len(), select, KeyRecord::read).await
}

pub(super) async fn keys(connection: &mut PgConnection, schema: &str, account: AccountId) -> Read<Vec<KeyRecord>> {
    let sql = joined!("SELECT ", KeyRecord::SELECT, " FROM @.api_keys k WHERE k.account_id = $1 ORDER BY k.key_id");
    let rows = Query::new(schema, sql).bind(account.to_string())?.all(connection).await?;
    rows.iter().map(KeyRecord::read).collect()
}

/// The names of the account's services, by id.
async fn names(connection: &mut PgConnection, schema: &str, account: AccountId) -> Read<Vec<(String, String)>> {
    let sql = "SELECT service_id, name FROM @.services WHERE account_id = $1";
    let rows = Query::new(schema, sql).bind(account.to_string())?.all(connection).await?;
    rows.iter().map(|row| Ok((row.text("service_id")?.to_owned(), row.text("name")?.to_owned()))).collect()
}

/// The orders of these numbers.
async fn numbered(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    numbers: &[OrderNumber],
) -> Read<Vec<OrderRow>> {
    let sql = format!(
        "SELECT {ORDER_ROW} FROM @.orders o \
         JOIN @.payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
         JOIN @.services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
         WHERE o.account_id = $1 AND o.number IN ({})",
        listed(numbers)
    );
    Query::new(schema, &sql).bind(account.to_string())?.all(connection).await?.iter().map(rows::order_row).collect()
}

/// A page of orders. For a search, separate statements first read the newest orders, the services' names, and the orders that
/// have a number among the words. So an order whose service is renamed between them may be found by either name.
pub(super) async fn orders(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    filter: &OrderFilter,
    after: Option<OrderNumber>,
    limit: Limit,
) -> Read<Page<OrderRow>> {
    let mut newest = Newest::new(filter, after, limit);
    while let Some(asked) = newest.asks() {
        newest.add(matching(connection, schema, account, &newest.ways(), newest.below(), asked).await?);
    }
    if let Some(left) = newest.left() {
        let names = names(connection, schema, account).await?;
        let numbers = match filter.numbers() {
            numbers if numbers.is_empty() => numbers,
            numbers => found_by_number(filter, &numbered(connection, schema, account, &numbers).await?),
        };
        let ways = ways(filter, &names, &numbers);
        newest.finish(matching(connection, schema, account, &ways, newest.below(), left).await?);
    }
    Ok(newest.page())
}

/// The orders below a number that match in any of these ways, highest first.
///
/// `LIMIT`, `OFFSET 0` and `MATERIALIZED` are optimization fences: with any statistics, the page is read from an index,
/// then each payment by its key. With plain joins, PostgreSQL estimated all of an account's orders of one service as
/// one row.
async fn matching(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    ways: &[Way],
    below: i64,
    wanted: i64,
) -> Read<Vec<OrderRow>> {
    // $1 account, $2 below, $3 how many, then what each way needs.
    let mut texts = Vec::new();
    let mut argument = |text: String| {
        texts.push(text);
        format!("${}", texts.len() + 3)
    };
    let mut parts = Vec::new();
    for way in ways {
        let mut conditions = String::from("o.account_id = $1 AND o.number < $2");
        conditions.push_str(&way.number_condition());
        if let Some(service) = &way.service {
            conditions.push_str(&format!(" AND o.service_id = {}", argument(service.clone())));
        }
        // The states' names are constants of ours.
        if let Some(status) = way.status {
            conditions.push_str(&format!(" AND o.status = '{}'", status.as_str()));
        }
        if let Some(status) = way.payment_status {
            conditions.push_str(&format!(" AND o.payment_status = '{}'", status.as_str()));
        }
        let from = if way.words.is_empty() {
            "@.orders".to_owned()
        } else {
            // All matches, by the index of words only: `OFFSET 0` keeps the other conditions out.
            let query = marked(account, &way.words).map(|word| format!("'{word}':*")).collect::<Vec<_>>().join(" & ");
            format!("(SELECT * FROM @.orders WHERE search @@ {}::text::tsquery OFFSET 0)", argument(query))
        };
        parts.push(format!("(SELECT o.* FROM {from} o WHERE {conditions} ORDER BY o.number DESC LIMIT $3)"));
    }
    // An order that matches in two ways is found twice.
    let sql = format!(
        "WITH catalog AS MATERIALIZED (SELECT * FROM @.services WHERE account_id = $1) SELECT {ORDER_ROW} \
         FROM (SELECT DISTINCT ON (number) * FROM ({}) every ORDER BY number DESC LIMIT $3) o \
         CROSS JOIN LATERAL (SELECT * FROM @.payments p WHERE p.order_id = o.order_id AND p.account_id = $1 LIMIT 1) p \
         JOIN catalog s ON s.service_id = o.service_id ORDER BY o.number DESC",
        parts.join(" UNION ALL ")
    );
    let mut query = Query::new(schema, &sql).bind(account.to_string())?.bind(below)?.bind(wanted)?;
    for text in texts {
        query = query.bind(text)?;
    }
    query.all(connection).await?.iter().map(rows::order_row).collect()
}

/// The totals, with the deltas that are not folded yet, in one snapshot.
pub(super) async fn counts(connection: &mut PgConnection, schema: &str, account: AccountId) -> Read<WorkCounts> {
    let sql = "SELECT status, sum(orders)::int8 AS orders FROM (\
               SELECT status, orders FROM @.order_counts WHERE account_id = $1 UNION ALL \
               SELECT status, delta FROM @.order_count_deltas WHERE account_id = $1) every GROUP BY status";
    let rows = Query::new(schema, sql).bind(account.to_string())?.all(connection).await?;
    rows::counts(&rows)
}

pub(super) async fn audit(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    order: OrderId,
) -> Read<Vec<AuditRecord>> {
    let sql = joined!(
        "SELECT ",
        AuditRecord::SELECT,
        " FROM @.audit t WHERE order_id = $1 AND account_id = $2 ORDER BY at, audit_id"
    );
    let rows = Query::new(schema, sql).bind(order.to_string())?.bind(account.to_string())?.all(connection).await?;
    rows.iter().map(AuditRecord::read).collect()
}

/// A delivery's columns, with its log as one text.
const DELIVERY: &str = "e.effect_id, e.subscription_id, e.event_id, e.event_type, e.content, e.status, e.created_at, \
    e.due_at, (SELECT json_agg(json_build_object('attemptNumber', t.attempt_number, 'status', t.status, \
    'responseCode', t.response_code, 'error', t.error, 'durationMs', t.duration_ms, 'attemptedAt', t.attempted_at, \
    'nextRetryAt', t.next_retry_at) ORDER BY t.attempt_number)::text FROM @.attempts t \
    WHERE t.effect_id = e.effect_id AND t.account_id = e.account_id) AS log FROM @.effects e WHERE e.kind = 'delivery'";

pub(super) async fn deliveries(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    filter: &DeliveryFilter,
    after: Option<DeliveryPosition>,
    limit: Limit,
) -> Read<Page<DeliveryRecord>> {
    let mut sql = format!("SELECT {DELIVERY} AND e.account_id = $1");
    let mut texts = Vec::new();
    for (column, value) in [
        ("subscription_id", filter.subscription_id.map(|id| id.to_string())),
        ("status", filter.status.map(|status| status.as_str().to_owned())),
        ("event_type", filter.event_type.map(|event_type| event_type.as_str().to_owned())),
        ("event_id", filter.event_id.map(|id| id.to_string())),
    ] {
        if let Some(value) = value {
            texts.push(value);
            sql.push_str(&format!(" AND e.{column} = ${}", texts.len() + 2));
        }
    }
    if after.is_some() {
        sql.push_str(&format!(" AND (e.created_at, e.effect_id) < (${}, ${})", texts.len() + 3, texts.len() + 4));
    }
    sql.push_str(" ORDER BY e.created_at DESC, e.effect_id DESC LIMIT $2");
    let mut query = Query::new(schema, &sql).bind(account.to_string())?.bind(i64::from(limit.get()) + 1)?;
    for text in texts {
        query = query.bind(text)?;
    }
    if let Some(after) = after {
        query = query.bind(after.created_at.millis())?.bind(after.id.to_string())?;
    }
    let rows = query.all(connection).await?;
    Ok(Page::cut(rows.iter().map(rows::logged_delivery).collect::<Read<Vec<_>>>()?, limit))
}

pub(super) async fn delivery(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    id: DeliveryId,
) -> Read<Option<DeliveryRecord>> {
    let sql = format!("SELECT {DELIVERY} AND e.effect_id = $1 AND e.account_id = $2");
    let query = Query::new(schema, &sql).bind(id.to_string())?.bind(account.to_string())?;
    query.optional(connection).await?.as_ref().map(rows::logged_delivery).transpose()
}

pub(super) async fn effect(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    id: EffectId,
) -> Read<Option<EffectRecord>> {
    let query =
        Query::new(schema, &effect_statement("@.", id.lane())).bind(id.to_string())?.bind(account.to_string())?;
    query.optional(connection).await?.as_ref().map(work::effect).transpose()
}

pub(super) async fn streak(
    connection: &mut PgConnection,
    schema: &str,
    account: AccountId,
    id: SubscriptionId,
) -> Read<Option<Streak>> {
    let sql = "SELECT failures, failing_since FROM @.subscriptions \
               WHERE subscription_id = $1 AND account_id = $2 AND failing_since IS NOT NULL";
    let rows = Query::new(schema, sql).bind(id.to_string())?.bind(account.to_string())?.all(connection).await?;
    rows.first().map(rows::streak).transpose()
}

/// The secrets of all accounts, by id.
pub(super) async fn subscription_secrets(
    connection: &mut PgConnection,
    schema: &str,
    after: Option<SubscriptionId>,
    limit: Limit,
) -> Read<Found<SubscriptionSecrets>> {
    let sql =
        format!("SELECT {SECRETS} FROM @.subscriptions WHERE subscription_id > $1 ORDER BY subscription_id LIMIT $2");
    let after = after.map(|after| after.to_string()).unwrap_or_default();
    let mut wanted = Wanted::page(limit);
    loop {
        let query = Query::new(schema, &sql).bind(after.clone())?.bind(wanted.asked())?;
        let rows = query.all(&mut *connection).await?;
        let found = Found::of(&rows, set_aside::SUBSCRIPTIONS, stored_secrets)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

/// The endpoints of all accounts, by account.
pub(super) async fn provisionings(
    connection: &mut PgConnection,
    schema: &str,
    after: Option<AccountId>,
    limit: Limit,
) -> Read<Found<Provisioning>> {
    let sql = joined!(
        "SELECT ",
        Provisioning::SELECT,
        " FROM @.provisioning v WHERE v.account_id > $1 ORDER BY v.account_id LIMIT $2"
    );
    let after = after.map(|after| after.to_string()).unwrap_or_default();
    let mut wanted = Wanted::page(limit);
    loop {
        let query = Query::new(schema, sql).bind(after.clone())?.bind(wanted.asked())?;
        let rows = query.all(&mut *connection).await?;
        let found = Found::of(&rows, set_aside::ENDPOINTS, Provisioning::read)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

pub(super) async fn discards(connection: &mut PgConnection, schema: &str, limit: u32) -> Read<Found<Discard>> {
    let statement = joined!("SELECT ", Discard::SELECT, " FROM @.discards t ORDER BY at DESC, audit_id DESC LIMIT $1");
    let mut wanted = Wanted::rows(limit);
    loop {
        let rows = Query::new(schema, statement).bind(wanted.asked())?.all(&mut *connection).await?;
        let mut found = Found::of(&rows, set_aside::DISCARDS, Discard::read)?;
        if wanted.are_met(rows.len(), &found) {
            found.rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok(found);
        }
    }
}

/// Failed effects of all accounts that are not discarded, newest first.
pub(super) async fn given_up(
    connection: &mut PgConnection,
    schema: &str,
    after: Option<EffectPosition>,
    limit: Limit,
) -> Read<Found<EffectRecord>> {
    let (created_at, id) = given_up_after(after);
    let mut wanted = Wanted::page(limit);
    loop {
        let query = Query::new(schema, &given_up_statement("@.")).bind(created_at)?.bind(id.clone())?;
        let rows = query.bind(wanted.asked())?.all(&mut *connection).await?;
        let found = pages::given_up(&rows)?;
        if wanted.are_met(rows.len(), &found) {
            return Ok(found);
        }
    }
}

/// The outcomes of these change sets, in their order; `None` if one has not landed.
pub(super) async fn outcomes(
    connection: &mut PgConnection,
    schema: &str,
    wanted: &[(AccountId, ChangeSetId)],
) -> Read<Vec<Option<Committed>>> {
    let mut found: Vec<Option<Committed>> = wanted.iter().map(|_| None).collect();
    let sql = "SELECT w.n, c.number FROM unnest($1::int8[], $2::text[], $3::text[]) AS w (n, account_id, id) \
               CROSS JOIN LATERAL (SELECT number FROM @.change_sets c WHERE c.change_set_id = w.id \
               AND c.account_id = w.account_id LIMIT 1) c";
    let rows = Query::new(schema, sql)
        .bind((0_i64..).take(wanted.len()).collect::<Vec<_>>())?
        .bind(wanted.iter().map(|(account, _)| account.to_string()).collect::<Vec<_>>())?
        .bind(wanted.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>())?
        .all(connection)
        .await?;
    for row in &rows {
        let n = rows::whole::<usize>(row, "n")?;
        let number = rows::optional_number(row)?;
        *found.get_mut(n).ok_or(Failed::Unreadable("n"))? = Some(Committed { number });
    }
    Ok(found)
}

pub(super) async fn named_uploads(
    connection: &mut PgConnection,
    schema: &str,
    uploads: &[(AccountId, UploadId)],
) -> Read<Vec<UploadId>> {
    let sql = "SELECT p.receipt_upload_id AS upload_id FROM unnest($1::text[], $2::text[]) AS w (account_id, id) \
               CROSS JOIN LATERAL (SELECT receipt_upload_id FROM @.payments p WHERE p.receipt_upload_id = w.id \
               AND p.account_id = w.account_id LIMIT 1) p";
    let rows = Query::new(schema, sql)
        .bind(uploads.iter().map(|(account, _)| account.to_string()).collect::<Vec<_>>())?
        .bind(uploads.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>())?
        .all(connection)
        .await?;
    rows.iter().map(|row| rows::id(row, "upload_id")).collect()
}

/// The newest migration that was applied.
pub(super) async fn schema_version(connection: &mut PgConnection, schema: &str) -> Read<(i64, bool)> {
    let sql = "SELECT coalesce(max(version), 0) AS version, \
               NOT current_setting('transaction_read_only')::bool AS takes_writes FROM @._sqlx_migrations WHERE success";
    let row = Query::new(schema, sql).optional(connection).await?.ok_or(Failed::Unreadable("version"))?;
    Ok((row.int("version")?, row.flag("takes_writes")?))
}
