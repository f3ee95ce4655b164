//! What is measured on: a filled database, the ways to work with it, and the count of what they wrote.

use std::error::Error;

use async_trait::async_trait;
use serront_core::ids::{AccountId, OrderId};
use serront_core::order::OrderNumber;
use serront_core::page;

/// Why a measurement ended.
pub(crate) type Trouble = Box<dyn Error + Send + Sync>;

/// How the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Manner {
    /// (a) Hand-written SQL: one read and one write.
    Floor,
    /// (b) The library, through its service.
    Library,
    /// (c) Statement by statement in a transaction, as an ORM does it.
    Orm,
    /// (d) The floor's write without its read: no correct program, only the limit.
    Limit,
    /// (e) The library inside a transaction that the host opens and commits.
    Bound,
}

impl Manner {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "(a) by hand",
            Self::Library => "(b) library",
            Self::Orm => "(c) as an ORM",
            Self::Limit => "(d) write only",
            Self::Bound => "(e) in a host's transaction",
        }
    }
}

/// One operation to be done, in all the forms in which the ways want it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) account: AccountId,
    pub(crate) account_text: String,
    pub(crate) order: OrderId,
    pub(crate) order_text: String,
    pub(crate) payment_text: String,
    pub(crate) number: u32,
    /// A page begins below this order.
    pub(crate) after: Option<OrderNumber>,
    pub(crate) cursor: Option<String>,
    /// The first read of the order is one version behind, as if somebody had written it since.
    pub(crate) stale: bool,
}

/// What a page told: compared with what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageSeen {
    pub(crate) rows: usize,
    pub(crate) first: u32,
    /// How many orders the account has, as its counts say.
    pub(crate) orders: u64,
}

/// One way of doing it, over one database.
#[async_trait]
pub(crate) trait Way: Send + Sync {
    /// Confirms the order's payment; returns when it is durable.
    async fn confirm(&self, request: &Request) -> Result<(), Trouble>;

    /// Reads a page of [`PAGE`] orders and the counts that are shown above it.
    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble>;
}

/// Orders on a page. By hand it is read with `LIMIT 51`, a figure in the text, so that a generic plan knows how few it is.
pub(crate) const PAGE: usize = 50;

/// How many orders are stored, for how many accounts. Order `n` belongs to account `n % accounts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    pub(crate) orders: i64,
    pub(crate) accounts: i64,
}

/// From how many orders on a database is kept between slices instead of being filled anew.
const KEPT_FROM: i64 = 100_000;

impl Size {
    pub(crate) fn of(orders: i64) -> Self {
        Self { orders, accounts: (orders / 100).clamp(1, 1_000) }
    }

    /// Whether every slice begins with it as it was. A large one only grows by what the slices wrote, which is little.
    pub(crate) const fn is_refilled(self) -> bool {
        self.orders < KEPT_FROM
    }

    fn orders_of(self, account: i64, total: i64) -> i64 {
        total / self.accounts + i64::from(account < total % self.accounts)
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
    let account = n % size.accounts;
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
        number: u32::try_from(n / size.accounts + 1)?,
        cursor: after.map(|after| page::cursor(account_id, &after)),
        after,
        stale,
        account_text,
        order_text,
    })
}

/// What a page must tell.
pub(crate) fn expected(size: Size, total: i64, request: &Request) -> Result<PageSeen, Trouble> {
    let account = i64::from(request.number - 1);
    let n: i64 = request.order_text.trim_start_matches("ord_01k").parse()?;
    let of_account = size.orders_of(n - account * size.accounts, total);
    let first = request.after.map_or(of_account, |after| i64::from(after.0) - 1);
    Ok(PageSeen {
        rows: usize::try_from(first.clamp(0, i64::try_from(PAGE)?))?,
        first: u32::try_from(first)?,
        orders: u64::try_from(of_account)?,
    })
}

/// How many rows of each kind confirmations have left, and how many bytes in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    pub(crate) orders: i64,
    pub(crate) payments: i64,
    /// Claims of a confirmation whose payment is confirmed.
    pub(crate) claims: i64,
    pub(crate) audit: i64,
    pub(crate) mails: i64,
    pub(crate) deliveries: i64,
    pub(crate) change_sets: i64,
    /// In the audit records and the effects.
    pub(crate) bytes: i64,
}

impl Written {
    /// The columns of the statement that counts, in the order of the fields.
    pub(crate) const SQL: &str = "SELECT (SELECT count(*) FROM orders WHERE payment_status = 'payment_confirmed'), \
        (SELECT count(*) FROM payments WHERE status = 'payment_confirmed'), \
        (SELECT count(*) FROM claims c JOIN payments p ON p.payment_id = c.name AND p.account_id = c.account_id \
        WHERE c.kind = 'confirmation' AND p.status = 'payment_confirmed'), \
        (SELECT count(*) FROM audit), \
        (SELECT count(*) FROM effects WHERE kind = 'mail'), \
        (SELECT count(*) FROM effects WHERE kind = 'delivery'), \
        (SELECT count(*) FROM change_sets), \
        CAST((SELECT coalesce(sum(length(content)), 0) FROM effects) + \
        (SELECT coalesce(sum(length(actor) + length(act)), 0) FROM audit) AS bigint)";

    pub(crate) const fn from_columns(columns: [i64; 8]) -> Self {
        let [orders, payments, claims, audit, mails, deliveries, change_sets, bytes] = columns;
        Self { orders, payments, claims, audit, mails, deliveries, change_sets, bytes }
    }

    /// What has come since.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            orders: self.orders - before.orders,
            payments: self.payments - before.payments,
            claims: self.claims - before.claims,
            audit: self.audit - before.audit,
            mails: self.mails - before.mails,
            deliveries: self.deliveries - before.deliveries,
            change_sets: self.change_sets - before.change_sets,
            bytes: self.bytes - before.bytes,
        }
    }

    /// That each of these confirmations left one row of each kind.
    pub(crate) fn check(self, confirmed: i64) -> Result<(), Trouble> {
        let Self { orders, payments, claims, audit, mails, deliveries, change_sets, bytes: _ } = self;
        let counts = [orders, payments, claims, audit, mails, deliveries, change_sets];
        if counts.iter().all(|count| *count == confirmed) {
            return Ok(());
        }
        Err(format!("{confirmed} confirmations were promised, and written were {self:?}").into())
    }
}

/// A database, filled.
#[async_trait]
pub(crate) trait Stage: Send + Sync {
    fn size(&self) -> Size;

    fn way(&self, manner: Manner) -> &dyn Way;

    /// Fills it anew with this many orders, none of them confirmed.
    async fn refill(&self, total: i64) -> Result<(), Trouble>;

    /// Lets the engine finish what it put off: nothing of one slice is left to the next one.
    async fn settle(&self) -> Result<(), Trouble>;

    async fn written(&self) -> Result<Written, Trouble>;

    /// Closes it, and removes what would stay.
    async fn close(&self) -> Result<(), Trouble>;
}
