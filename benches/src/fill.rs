//! Filling a database: the library writes one account with one order, and set-based statements copy them.
//!
//! So every value is one that the library itself wrote, and a million orders take seconds. Both engines run the same
//! statements, but for how each says a padded number, a series and random digits. The directory is not filled, nor
//! SQLite's index of words: nothing that is measured looks there, and no confirmation writes there.

use std::collections::BTreeMap;
use std::sync::Arc;

use serront_core::ids::AccountId;
use serront_core::ports::WorkStorage;
use serront_testkit::memory::ManualClock;
use serront_testkit::world::World;

use crate::stage::Size;

/// How an engine says what the statements need.
pub(crate) struct Dialect {
    /// The id of this prefix and number.
    pub(crate) id: fn(prefix: &str, n: &str) -> String,
    /// A relation `g (n)` of the numbers from 0 to below this one.
    pub(crate) series: fn(count: i64) -> String,
    /// So many random lower-case hexadecimal digits.
    pub(crate) digits: fn(count: usize) -> String,
    /// The words of the order of the template, `t`, as those of an order of this account.
    pub(crate) words: fn(account: &str) -> String,
    /// Lists a table's columns that are written.
    pub(crate) columns: fn(table: &str) -> String,
}

/// Makes the account and the order that are copied.
pub(crate) async fn template<S: WorkStorage>(storage: Arc<S>) -> AccountId {
    let world = World::over(storage, Arc::new(ManualClock::default()));
    let seller = world.seller("studio").await;
    world.subscribe(&seller, "https://example.com/serront", &["serront.order.*"]).await;
    world.place(&seller, "Budi Santoso").await;
    seller.account_id
}

/// Tables that are emptied before orders are filled in, each after those that refer to it.
pub(crate) const EMPTIED: [&str; 9] =
    ["checkouts", "payments", "orders", "claims", "audit", "effects", "change_sets", "order_counts", "order_numbers"];

/// Tables of which rows are copied: their columns are asked for, so that a new one is copied too.
pub(crate) const COPIED: [&str; 7] =
    ["accounts", "storefronts", "services", "service_counts", "subscriptions", "orders", "payments"];

/// The columns of the tables to copy.
pub(crate) type Columns = BTreeMap<&'static str, Vec<String>>;

/// Copies one table's rows: each column as it is, but for those that `changed` says.
fn copy(columns: &Columns, table: &str, from: &str, changed: impl Fn(&str) -> Option<String>) -> Option<String> {
    let columns = columns.get(table).filter(|columns| !columns.is_empty())?;
    let values: Vec<String> =
        columns.iter().map(|column| changed(column).unwrap_or_else(|| format!("t.{column}"))).collect();
    Some(format!("INSERT INTO {table} ({}) SELECT {} FROM {from}", columns.join(", "), values.join(", ")))
}

/// Copies the account of the template: once for each database.
pub(crate) fn accounts(dialect: &Dialect, columns: &Columns, template: AccountId, size: Size) -> Vec<String> {
    let (series, id) = ((dialect.series)(size.accounts), dialect.id);
    let copied =
        ["accounts", "storefronts", "services", "service_counts", "subscriptions"].into_iter().filter_map(|table| {
            let from = format!("(SELECT * FROM {table} WHERE account_id = '{template}') t, {series}");
            copy(columns, table, &from, |column| match column {
                "account_id" => Some(id("acc_", "g.n")),
                "service_id" => Some(id("svc_", "g.n")),
                "subscription_id" => Some(id("whs_", "g.n")),
                "slug" if table == "storefronts" => Some("t.slug || '-' || g.n".to_owned()),
                _ => None,
            })
        });
    let templates = [
        // What the slices' orders are copied from. Its version leaves room for a stale one before it.
        "CREATE TABLE template_orders AS SELECT * FROM orders".to_owned(),
        "UPDATE template_orders SET version = 3".to_owned(),
        "CREATE TABLE template_payments AS SELECT * FROM payments".to_owned(),
    ];
    templates.into_iter().chain(copied).collect()
}

/// Copies the template's order, into emptied tables.
pub(crate) fn orders(dialect: &Dialect, columns: &Columns, size: Size, total: i64) -> Vec<String> {
    let Dialect { id, series, digits, words, .. } = dialect;
    let (account, series) = (format!("(g.n % {})", size.accounts), series(total));
    let orders = copy(columns, "orders", &format!("template_orders t, {series}"), |column| match column {
        "order_id" => Some(id("ord_", "g.n")),
        "account_id" => Some(id("acc_", &account)),
        "service_id" => Some(id("svc_", &account)),
        "number" => Some(format!("g.n / {} + 1", size.accounts)),
        "access_token" => Some(digits(48)),
        "access_token_hash" => Some(digits(64)),
        "created_at" | "updated_at" => Some(format!("t.{column} + g.n")),
        "search" => Some(words(&id("acc_", &account))),
        _ => None,
    });
    let payments = copy(columns, "payments", &format!("template_payments t, {series}"), |column| match column {
        "payment_id" => Some(id("pay_", "g.n")),
        "account_id" => Some(id("acc_", &account)),
        "order_id" => Some(id("ord_", "g.n")),
        _ => None,
    });
    let counted = [
        "INSERT INTO order_counts (account_id, status, orders) SELECT account_id, status, count(*) FROM orders \
         GROUP BY account_id, status",
        "INSERT INTO order_numbers (account_id, last_number) SELECT account_id, max(number) FROM orders \
         GROUP BY account_id",
    ];
    orders.into_iter().chain(payments).chain(counted.map(str::to_owned)).collect()
}
