//! A filled database, the ways to work with it, and the count of the rows that they wrote.

use std::error::Error;

use async_trait::async_trait;
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::orders::order::OrderNumber;
use serront_core::policy::Policy;
use serront_core::ports::NoKeys;
use serront_core::primitives::ids::{AccountId, OrderId};
use serront_core::primitives::page;
use serront_core::service::Environment;
use tokio::sync::oneshot;

use crate::notified::{Notification, Posted};
use crate::scenario::Operation;

/// Why a measurement ended.
pub(crate) type Trouble = Box<dyn Error + Send + Sync>;

/// The way of doing the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Manner {
    /// (a) Hand-written SQL: one read and one write.
    Floor,
    /// (b) The library, through its service.
    Library,
    /// (c) Statement by statement in a transaction, as an ORM does it.
    Orm,
    /// (d) The floor's write without its read: not a correct program, but the upper limit.
    Limit,
    /// (e) The library inside a transaction that the host opens and commits.
    Bound,
    /// (f) Hand-written SQL inside such a transaction.
    FloorInside,
}

impl Manner {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "(a) by hand",
            Self::Library => "(b) library",
            Self::Orm => "(c) as an ORM",
            Self::Limit => "(d) write only",
            Self::Bound => "(e) in a host's transaction",
            Self::FloorInside => "(f) by hand, in a transaction",
        }
    }
}

/// One operation, in all forms that the ways need.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) account: AccountId,
    pub(crate) account_text: String,
    pub(crate) order: OrderId,
    pub(crate) order_text: String,
    pub(crate) payment_text: String,
    pub(crate) number: u32,
    /// A page starts below this order.
    pub(crate) after: Option<OrderNumber>,
    pub(crate) cursor: Option<String>,
    /// A page of a search for these words.
    pub(crate) words: Vec<String>,
    /// The first read of the order is one version behind, as if it was written in between.
    pub(crate) stale: bool,
    /// Plugipay's notification of the payment; `None` without online payment.
    pub(crate) notification: Option<Notification>,
}

/// A page's contents, to compare with the stored rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSeen {
    pub(crate) rows: usize,
    pub(crate) first: u32,
    /// Number of the account's orders, according to its counts.
    pub(crate) orders: u64,
}

/// One way of doing it, over one database.
#[async_trait]
pub(crate) trait Way: Send + Sync {
    /// Confirms the order's payment; returns when it is durable.
    async fn confirm(&self, request: &Request) -> Result<(), Trouble>;

    /// Reads a page of [`PAGE`] orders and the counts that are shown above it.
    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble>;

    /// Processes the notification of the session's payment, possibly a duplicate; returns when its effects are durable.
    async fn notify(&self, _request: &Request) -> Result<(), Trouble> {
        Err("takes no notifications".into())
    }
}

/// Orders on a page. The hand-written side has `LIMIT 51` as a literal, so that a generic plan knows the small number.
pub(crate) const PAGE: usize = 50;

/// Number of stored orders and accounts. Order `n` belongs to account `n % sellers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    pub(crate) orders: i64,
    pub(crate) accounts: i64,
    /// Number of accounts with orders.
    pub(crate) sellers: i64,
    /// Whether the accounts are merchants at Plugipay, and each order has an open checkout.
    pub(crate) online: bool,
}

/// Merchants over which the notifications are spread, at most one per order.
const MERCHANTS: i64 = 10_000;

/// A database with at least this many orders is kept between slices instead of being filled again.
const KEPT_FROM: i64 = 100_000;

impl Size {
    pub(crate) fn of(orders: i64) -> Self {
        Self::among(orders, (orders / 100).clamp(1, 1_000))
    }

    /// This many orders for this many accounts.
    pub(crate) const fn among(orders: i64, accounts: i64) -> Self {
        Self { orders, accounts, sellers: accounts, online: false }
    }

    /// Orders to be paid online, of many merchants or of one of them.
    pub(crate) fn online(orders: i64, one: bool) -> Self {
        let accounts = orders.clamp(1, MERCHANTS);
        Self { orders, accounts, sellers: if one { 1 } else { accounts }, online: true }
    }

    /// Whether every slice begins with it as it was. A large one only grows by what the slices wrote, which is little.
    pub(crate) const fn is_refilled(self) -> bool {
        self.orders < KEPT_FROM
    }

    fn orders_of(self, account: i64, total: i64) -> i64 {
        total / self.sellers + i64::from(account < total % self.sellers)
    }
}

/// Where in an account's list a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    First,
    Middle,
}

/// The text of the id that number `n` has.
pub(crate) fn id_text(prefix: &str, n: i64) -> String {
    format!("{prefix}01k{n:023}")
}

/// A large prime: its multiples visit every order once, far from each other.
const STRIDE: i64 = 2_654_435_761;

/// The `i`th request over this many stored orders.
pub(crate) fn request(size: Size, total: i64, i: i64, depth: Depth, stale: bool) -> Result<Request, Trouble> {
    let n = i.wrapping_mul(STRIDE).rem_euclid(total);
    let account = n % size.sellers;
    let (account_text, order_text) = (id_text("acc_", account), id_text("ord_", n));
    let account_id: AccountId = account_text.parse()?;
    let after = match depth {
        Depth::First => None,
        Depth::Middle => Some(OrderNumber(u32::try_from(size.orders_of(account, total) / 2)?)),
    };
    Ok(Request {
        account: account_id,
        order: order_text.parse()?,
        payment_text: id_text("pay_", n),
        number: u32::try_from(n / size.sellers + 1)?,
        cursor: after.map(|after| page::cursor(account_id, &after)),
        after,
        words: Vec::new(),
        stale,
        notification: None,
        account_text,
        order_text,
    })
}

/// The expected contents of a page.
pub(crate) fn expected(size: Size, total: i64, request: &Request) -> Result<PageSeen, Trouble> {
    let account = i64::from(request.number - 1);
    let n: i64 = request.order_text.trim_start_matches("ord_01k").parse()?;
    let of_account = size.orders_of(n - account * size.sellers, total);
    let first = request.after.map_or(of_account, |after| i64::from(after.0) - 1);
    Ok(PageSeen {
        rows: usize::try_from(first.clamp(0, i64::try_from(PAGE)?))?,
        first: u32::try_from(first)?,
        orders: u64::try_from(of_account)?,
    })
}

/// The environment of the library's commands.
pub(crate) fn environment(policy: &Policy) -> Environment<'_> {
    Environment { clock: &SystemClock, ids: &RandomIds, secrets: &SystemSecrets, sealer: &NoKeys, policy }
}

/// Conversions of [`Written`] over all its fields, in order of the columns.
macro_rules! columns {
    ($($field:ident),+ $(,)?) => {
        pub(crate) const fn from_columns([$($field),+]: [i64; Self::COLUMNS]) -> Self {
            Self { $($field),+ }
        }

        /// The difference since `before`.
        pub(crate) const fn since(self, before: Self) -> Self {
            Self { $($field: self.$field - before.$field),+ }
        }
    };
}

/// Rows of each kind, rupiah and bytes written by operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Confirmed.
    pub(crate) orders: i64,
    /// Confirmed.
    pub(crate) payments: i64,
    /// Claims of a confirmation whose payment is confirmed.
    pub(crate) confirmations: i64,
    /// Claims of a settlement whose checkout is completed, under an order that is confirmed.
    pub(crate) settlements: i64,
    /// Claims of an event that is applied in the inbox.
    pub(crate) events: i64,
    pub(crate) inbox: i64,
    /// Completed.
    pub(crate) checkouts: i64,
    pub(crate) audit: i64,
    pub(crate) mails: i64,
    pub(crate) deliveries: i64,
    pub(crate) change_sets: i64,
    pub(crate) entries: i64,
    /// Ledger transactions of which debits equal credits, one for each session.
    pub(crate) balanced: i64,
    /// Sum of the seller's legs.
    pub(crate) earned: i64,
    /// Sum of the balances and remaining deltas, of accounts where it equals the sum of the legs.
    pub(crate) balance: i64,
    /// Bytes of the audit records, the effects and the inbox.
    pub(crate) bytes: i64,
}

impl Written {
    /// The number of fields.
    pub(crate) const COLUMNS: usize = 16;

    /// The statement that counts, its columns in the order of the fields; `kept` are the tables that balances are kept in.
    pub(crate) fn sql(kept: &[&str]) -> String {
        let kept: Vec<_> =
            kept.iter().map(|table| format!("SELECT account_id, credits - debits AS kept FROM {table}")).collect();
        format!(
            "SELECT (SELECT count(*) FROM orders WHERE payment_status = 'payment_confirmed'), \
             (SELECT count(*) FROM payments WHERE status = 'payment_confirmed'), \
             (SELECT count(*) FROM claims c JOIN payments p ON p.payment_id = c.name AND p.account_id = c.account_id \
             WHERE c.kind = 'confirmation' AND p.status = 'payment_confirmed'), \
             (SELECT count(*) FROM claims c JOIN sessions n ON n.session_id = c.name AND n.account_id = c.account_id \
             JOIN checkouts h ON h.checkout_id = n.checkout_id AND h.account_id = n.account_id \
             JOIN orders o ON o.order_id = h.order_id AND o.account_id = h.account_id \
             WHERE c.kind = 'settlement' AND h.status = 'completed' AND o.payment_status = 'payment_confirmed'), \
             (SELECT count(*) FROM claims c JOIN inbox i ON i.event_id = c.name AND i.account_id = c.account_id \
             WHERE c.kind = 'provider_event' AND i.status = 'applied'), \
             (SELECT count(*) FROM inbox), \
             (SELECT count(*) FROM checkouts WHERE status = 'completed' AND ended_at IS NOT NULL), \
             (SELECT count(*) FROM audit), \
             (SELECT count(*) FROM effects WHERE kind = 'mail'), \
             (SELECT count(*) FROM effects WHERE kind = 'delivery'), \
             (SELECT count(*) FROM change_sets), \
             (SELECT count(*) FROM ledger_entries), \
             (SELECT count(DISTINCT source_id) FROM (SELECT tx_id, max(source_id) AS source_id FROM ledger_entries \
             GROUP BY tx_id HAVING sum(CASE direction WHEN 'debit' THEN -amount ELSE amount END) = 0) t), \
             CAST((SELECT coalesce(sum(CASE direction WHEN 'debit' THEN -amount ELSE amount END), 0) \
             FROM ledger_entries WHERE book = 'seller') AS bigint), \
             CAST((SELECT coalesce(sum(b.kept), 0) FROM (SELECT account_id, sum(kept) AS kept FROM ({}) k \
             GROUP BY account_id) b JOIN (SELECT account_id, sum(CASE direction WHEN 'debit' THEN -amount ELSE amount END) \
             AS earned FROM ledger_entries WHERE book = 'seller' GROUP BY account_id) e \
             ON e.account_id = b.account_id AND e.earned = b.kept) AS bigint), \
             CAST((SELECT coalesce(sum(length(content)), 0) FROM effects) + \
             (SELECT coalesce(sum(length(actor) + length(act)), 0) FROM audit) + \
             (SELECT coalesce(sum(length(body)), 0) FROM inbox) AS bigint)",
            kept.join(" UNION ALL ")
        )
    }

    columns!(
        orders,
        payments,
        confirmations,
        settlements,
        events,
        inbox,
        checkouts,
        audit,
        mails,
        deliveries,
        change_sets,
        entries,
        balanced,
        earned,
        balance,
        bytes
    );

    /// The rows that this many operations leave, each on a different order.
    const fn of(operation: Operation, done: i64) -> Self {
        let (settled, audit) = match operation {
            Operation::Page => return Self::from_columns([0; Self::COLUMNS]),
            Operation::Confirm => (0, done),
            // One record of the payment's arrival, and one of the confirmation.
            Operation::Notify => (done, 2 * done),
        };
        Self {
            orders: done,
            payments: done,
            confirmations: done,
            settlements: settled,
            events: settled,
            inbox: settled,
            checkouts: settled,
            audit,
            mails: done,
            deliveries: done,
            change_sets: done,
            entries: 4 * settled,
            balanced: settled,
            earned: settled * EARNED,
            balance: settled * EARNED,
            bytes: 0,
        }
    }

    /// Checks that these operations wrote exactly the expected rows.
    pub(crate) fn check(self, operation: Operation, done: i64) -> Result<(), Trouble> {
        let expected = Self { bytes: self.bytes, ..Self::of(operation, done) };
        if self == expected {
            return Ok(());
        }
        Err(format!("{done} times {operation:?} were promised, {expected:?}, and written were {self:?}").into())
    }
}

/// What a seller keeps of one order: its price, less 0.3 %.
const EARNED: i64 = 750_000 - 2_250;

/// A database, filled.
#[async_trait]
pub(crate) trait Stage: Send + Sync {
    fn size(&self) -> Size;

    fn way(&self, manner: Manner) -> &dyn Way;

    /// Fills the database again with this many unconfirmed orders.
    async fn refill(&self, total: i64) -> Result<(), Trouble>;

    /// Lets the engine finish what it put off: nothing of one slice is left to the next one.
    async fn rest(&self) -> Result<(), Trouble>;

    /// What Plugipay posted of the order that all others are copied from, if it can be paid online.
    fn posted(&self) -> Option<&Posted>;

    /// Folds as a host does, until the sender goes; answers how many deltas it were.
    async fn fold(&self, end: oneshot::Receiver<()>) -> Result<u64, Trouble>;

    async fn written(&self) -> Result<Written, Trouble>;

    /// Closes it, and removes what would stay.
    async fn close(&self) -> Result<(), Trouble>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_off_by_one_is_seen() {
        let earned = 3 * EARNED;
        let promised = [3, 3, 3, 3, 3, 3, 3, 6, 3, 3, 3, 12, 3, earned, earned, 5_000];
        assert!(Written::from_columns(promised).check(Operation::Notify, 3).is_ok());
        for column in 0..Written::COLUMNS - 1 {
            for by in [-1, 1] {
                let mut written = promised;
                written[column] += by;
                assert!(Written::from_columns(written).check(Operation::Notify, 3).is_err(), "{column} by {by}");
            }
        }
        // A confirmation leaves nothing of what a settlement leaves.
        let confirmed = [3, 3, 3, 0, 0, 0, 0, 3, 3, 3, 3, 0, 0, 0, 0, 5_000];
        assert!(Written::from_columns(confirmed).check(Operation::Confirm, 3).is_ok());
        assert!(Written::from_columns(promised).check(Operation::Confirm, 3).is_err());
    }
}
