//! Filling a database: the library writes one account with one order, and set-based statements copy them.
//!
//! So the library wrote every value, and a million orders take seconds. Both engines run the same statements except for
//! padded numbers, series and random digits. The directory and SQLite's index of words are not filled, because no
//! measured operation reads or writes them. Merchants at Plugipay are filled, because every notification reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serront_core::decide::ModuleSwitches;
use serront_core::ports::{Plugipay, WorkStorage};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::provider::MerchantId;
use serront_testkit::memory::ManualClock;
use serront_testkit::sandbox::Sandbox;
use serront_testkit::world::{Placed, Seller, World};

use crate::notified::{Named, Posted};
use crate::stage::{Size, Trouble};

/// An engine's SQL for parts of the statements.
pub(crate) struct Dialect {
    /// The id of this prefix and number.
    pub(crate) id: fn(prefix: &str, n: &str) -> String,
    /// A relation `g (n)` of the numbers from 0 to below this one.
    pub(crate) series: fn(count: i64) -> String,
    /// This many random lower-case hexadecimal digits.
    pub(crate) digits: fn(count: usize) -> String,
    /// The search words of the template's order `t`, for an order of this account.
    pub(crate) words: fn(account: &str) -> String,
    /// Lists a table's writable columns.
    pub(crate) columns: fn(table: &str) -> String,
}

/// The template to copy.
pub(crate) struct Template {
    account: AccountId,
    /// Plugipay's notification of the order's payment, if it can be paid online.
    pub(crate) posted: Option<Posted>,
}

/// Creates the account and the order to copy.
pub(crate) async fn template<S: WorkStorage>(storage: Arc<S>, size: Size) -> Result<Template, Trouble> {
    let mut world = World::over(storage, Arc::new(ManualClock::default()));
    let sandbox = Arc::new(Sandbox::new(world.clock.clone()));
    world.plugipay = Some(Arc::clone(&sandbox) as Arc<dyn Plugipay>);
    let seller = world.seller("studio").await;
    world.subscribe(&seller, "https://example.com/serront", &["serront.order.*"]).await;
    let placed = world.place(&seller, "Budi Santoso").await;
    let posted = if size.online { Some(pay(&world, &sandbox, &seller, &placed).await?) } else { None };
    Ok(Template { account: seller.account_id, posted })
}

/// Pays the order's checkout without notifying the library.
async fn pay<S: WorkStorage>(
    world: &World<S>,
    sandbox: &Sandbox,
    seller: &Seller,
    placed: &Placed,
) -> Result<Posted, Trouble> {
    let on = ModuleSwitches { payment: Some(true), marketing: None };
    world.online().switch_modules(seller.account_id, on, None).await?;
    let session = world.online().pay(&placed.token).await?.checkout_session_id;
    let snapshot = world.storage.session(seller.account_id, &session, None).await?;
    let checkout = snapshot.checkout.ok_or("a session without a checkout")?.checkout.id;
    sandbox.pay(session.as_str());
    let notification = sandbox.take_notifications().pop().ok_or("a payment without a notification")?;
    let merchant = sandbox.merchant_of(&seller.account_id.to_string()).ok_or("an account without a workspace")?;
    let provisioned = world.storage.merchant(&MerchantId::parse(&merchant).ok_or("a malformed merchant")?).await?;
    let endpoint = provisioned.and_then(|provisioned| provisioned.state.endpoint).ok_or("no endpoint")?;
    Ok(Posted {
        named: Named {
            event: notification.event_id,
            merchant,
            session: session.to_string(),
            checkout: checkout.to_string(),
            order: placed.id.to_string(),
        },
        // Copies get another secret in plain text, which both sides can read.
        secret: endpoint.secret.as_stored().to_owned(),
        body: notification.body,
    })
}

/// Tables emptied before orders are filled in, each after the tables that refer to it.
pub(crate) const EMPTIED: [&str; 14] = [
    "sessions",
    "checkouts",
    "payments",
    "orders",
    "claims",
    "audit",
    "effects",
    "errands",
    "inbox",
    "ledger_entries",
    "ledger_balances",
    "change_sets",
    "order_counts",
    "order_numbers",
];

/// Tables whose rows are copied. Their columns are read from the database, so that a new one is copied too.
pub(crate) const COPIED: [&str; 12] = [
    "accounts",
    "storefronts",
    "services",
    "service_counts",
    "subscriptions",
    "provisioning",
    "directory",
    "orders",
    "payments",
    "checkouts",
    "sessions",
    "errands",
];

/// The columns of the tables to copy.
pub(crate) type Columns = BTreeMap<&'static str, Vec<String>>;

/// Copies one table's rows, with the columns in `changed` replaced.
fn copy(columns: &Columns, table: &str, from: &str, changed: impl Fn(&str) -> Option<String>) -> Option<String> {
    let columns = columns.get(table).filter(|columns| !columns.is_empty())?;
    let values: Vec<String> =
        columns.iter().map(|column| changed(column).unwrap_or_else(|| format!("t.{column}"))).collect();
    Some(format!("INSERT INTO {table} ({}) SELECT {} FROM {from}", columns.join(", "), values.join(", ")))
}

/// Copies the account of the template: once for each database.
pub(crate) fn accounts(dialect: &Dialect, columns: &Columns, template: &Template, size: Size) -> Vec<String> {
    let Template { account: template, posted } = template;
    let (series, id) = ((dialect.series)(size.accounts), dialect.id);
    let copied =
        ["accounts", "storefronts", "services", "service_counts", "subscriptions", "provisioning", "directory"]
            .into_iter()
            .filter_map(|table| {
                // Only the merchants of the directory.
                let kind = if table == "directory" { " AND kind = 'merchant'" } else { "" };
                let from = format!("(SELECT * FROM {table} WHERE account_id = '{template}'{kind}) t, {series}");
                copy(columns, table, &from, |column| match column {
                    "account_id" => Some(id("acc_", "g.n")),
                    "service_id" => Some(id("svc_", "g.n")),
                    "subscription_id" => Some(id("whs_", "g.n")),
                    "slug" if table == "storefronts" => Some("t.slug || '-' || g.n".to_owned()),
                    "plugipay_account_id" => posted.as_ref().map(|_| id("mer_", "g.n")),
                    "name" if table == "directory" => Some(id("mer_", "g.n")),
                    "state" => posted.as_ref().map(|posted| {
                        // As `notified::secret`.
                        format!("replace(t.state, '{}', {})", posted.secret, id("whsec_", "g.n"))
                    }),
                    _ => None,
                })
            });
    let templates = [
        // The template of the slices' orders. Its version leaves room for an older one.
        "CREATE TABLE template_orders AS SELECT * FROM orders".to_owned(),
        "UPDATE template_orders SET version = 3".to_owned(),
        "CREATE TABLE template_payments AS SELECT * FROM payments".to_owned(),
        // Empty without online payments.
        "CREATE TABLE template_checkouts AS SELECT * FROM checkouts".to_owned(),
        "CREATE TABLE template_sessions AS SELECT * FROM sessions".to_owned(),
        "CREATE TABLE template_errands AS SELECT * FROM errands".to_owned(),
    ];
    templates.into_iter().chain(copied).collect()
}

/// Copies the template's order, into emptied tables.
pub(crate) fn orders(dialect: &Dialect, columns: &Columns, size: Size, total: i64) -> Vec<String> {
    let Dialect { id, series, digits, words, .. } = dialect;
    let (account, series) = (format!("(g.n % {})", size.sellers), series(total));
    let ids = |column: &str| match column {
        "order_id" => Some(id("ord_", "g.n")),
        "payment_id" => Some(id("pay_", "g.n")),
        "checkout_id" => Some(id("chk_", "g.n")),
        "session_id" => Some(id("cs_", "g.n")),
        "account_id" => Some(id("acc_", &account)),
        "service_id" => Some(id("svc_", &account)),
        _ => None,
    };
    let orders = copy(columns, "orders", &format!("template_orders t, {series}"), |column| match column {
        "number" => Some(format!("g.n / {} + 1", size.sellers)),
        "access_token" => Some(digits(48)),
        "access_token_hash" => Some(digits(64)),
        "created_at" | "updated_at" => Some(format!("t.{column} + g.n")),
        "search" => Some(words(&id("acc_", &account))),
        column => ids(column),
    });
    let payments = copy(columns, "payments", &format!("template_payments t, {series}"), ids);
    let checkouts = copy(columns, "checkouts", &format!("template_checkouts t, {series}"), |column| match column {
        "request" => Some(format!(
            "replace(replace(t.request, t.checkout_id, {}), t.order_id, {})",
            id("chk_", "g.n"),
            id("ord_", "g.n")
        )),
        "hosted_url" => Some(format!("replace(t.hosted_url, t.session_id, {})", id("cs_", "g.n"))),
        column => ids(column),
    });
    let sessions = copy(columns, "sessions", &format!("template_sessions t, {series}"), ids);
    let errands = copy(columns, "errands", &format!("template_errands t, {series}"), |column| match column {
        "effect_id" => Some(id("erd_", "g.n")),
        "content" => {
            Some(format!("replace(t.content, (SELECT checkout_id FROM template_checkouts), {})", id("chk_", "g.n")))
        }
        column => ids(column),
    });
    let counted = [
        "INSERT INTO order_counts (account_id, status, orders) SELECT account_id, status, count(*) FROM orders \
         GROUP BY account_id, status",
        "INSERT INTO order_numbers (account_id, last_number) SELECT account_id, max(number) FROM orders \
         GROUP BY account_id",
    ];
    let copied = [orders, payments, checkouts, sessions, errands].into_iter().flatten();
    copied.chain(counted.map(str::to_owned)).collect()
}
