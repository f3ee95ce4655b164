//! The scenarios to measure, each with a few contenders that are interleaved in one run.

use serde::Serialize;

use crate::stage::{Depth, Manner, Size};

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Postgres, Self::Sqlite];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// The measured operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Confirm,
    Page,
    /// Processing a notification of a session's payment.
    Notify,
}

impl Operation {
    /// Whether each order can be used once only.
    pub(crate) const fn writes(self) -> bool {
        !matches!(self, Self::Page)
    }
}

/// How often a notification is delivered, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deliveries {
    Once,
    /// Five times, a while after each other.
    Repeated,
    /// Five times at the same moment.
    Together,
}

impl Deliveries {
    /// Number of deliveries.
    pub(crate) const fn each(self) -> usize {
        match self {
            Self::Once => 1,
            Self::Repeated | Self::Together => 5,
        }
    }
}

/// The question of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Question {
    /// How fast an order's payment is confirmed.
    Confirm,
    /// How fast a page of 50 orders is read.
    Page,
    /// How fast a search is that finds every order.
    Search,
    /// How much throughput is lost when 5 % of the change sets conflict.
    Conflicts,
    /// Whether a page's time depends on how deep it is.
    Depth,
    /// How fast notifications settle sessions, a duplicate's cost, and the effect of one merchant getting all of them.
    Settle,
}

impl Question {
    pub(crate) const ALL: [Self; 6] =
        [Self::Confirm, Self::Page, Self::Search, Self::Conflicts, Self::Depth, Self::Settle];

    pub(crate) const fn operation(self) -> Operation {
        match self {
            Self::Confirm | Self::Conflicts => Operation::Confirm,
            Self::Page | Self::Search | Self::Depth => Operation::Page,
            Self::Settle => Operation::Notify,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Confirm => "confirming an order",
            Self::Page => "a page of 50 orders",
            Self::Search => "the first page of a search that finds every order",
            Self::Conflicts => "confirming, with conflicts",
            Self::Depth => "a page by its depth",
            Self::Settle => "settling by notifications",
        }
    }
}

/// One of the ways that take turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) manner: Manner,
    /// Number of orders in its database.
    pub(crate) orders: i64,
    pub(crate) depth: Depth,
    /// One in this many operations begins with a stale read; 0: none.
    pub(crate) stale_every: usize,
    pub(crate) deliveries: Deliveries,
    /// Whether one merchant gets all of them.
    pub(crate) one_merchant: bool,
    /// The words of a search that every order has.
    pub(crate) search: &'static [&'static str],
    /// Index of the contender to compare with.
    pub(crate) against: usize,
    /// Distinguishes it from others of the same manner.
    pub(crate) remark: &'static str,
}

/// Contenders that take turns in one run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) engine: Engine,
    pub(crate) question: Question,
    pub(crate) callers: usize,
    pub(crate) orders: i64,
    pub(crate) contenders: Vec<Contender>,
}

/// The number of orders that a small database holds.
pub(crate) const SMALL: i64 = 1_000;
/// The number of orders that a large one holds.
pub(crate) const LARGE: i64 = 1_000_000;
/// Number of orders paid online, one per merchant. Slices that settle more have more.
pub(crate) const PAID: i64 = 10_000;
/// The number of orders of the one account whose pages are read at two depths.
const DEEP: i64 = 100_000;

/// Remarks on the settling contenders.
pub(crate) const REPEATED: &str = "each five times";
pub(crate) const TOGETHER: &str = "each five times at once";
pub(crate) const ONE_MERCHANT: &str = "one merchant";

impl Contender {
    const fn new(manner: Manner, orders: i64) -> Self {
        Self {
            manner,
            orders,
            depth: Depth::First,
            stale_every: 0,
            deliveries: Deliveries::Once,
            one_merchant: false,
            search: &[],
            against: 0,
            remark: "",
        }
    }

    /// The size of the database where it works.
    pub(crate) fn size(self, question: Question) -> Size {
        match question {
            Question::Depth | Question::Search => Size::among(self.orders, 1),
            Question::Settle => Size::online(self.orders, self.one_merchant),
            Question::Confirm | Question::Page | Question::Conflicts => Size::of(self.orders),
        }
    }
}

impl Scenario {
    fn new(engine: Engine, question: Question, callers: usize, orders: i64) -> Self {
        let contenders = match question {
            Question::Confirm | Question::Page => {
                let mut contenders: Vec<_> =
                    [Manner::Floor, Manner::Library, Manner::Orm].map(|way| Contender::new(way, orders)).into();
                if question == Question::Confirm {
                    contenders.push(Contender::new(Manner::Limit, orders));
                    // Compared in the same shape.
                    let against = contenders.len() + 1;
                    contenders.push(Contender { against, ..Contender::new(Manner::Bound, orders) });
                    contenders.push(Contender::new(Manner::FloorInside, orders));
                }
                if orders > SMALL {
                    // The same on the small database in the same run, to show the cost of size.
                    for (way, against) in [(Manner::Floor, 0), (Manner::Library, 1)] {
                        contenders.push(Contender { against, remark: "1,000 orders", ..Contender::new(way, SMALL) });
                    }
                }
                contenders
            }
            Question::Search => {
                let page = Contender::new(Manner::Library, orders);
                vec![page, Contender { search: &["santoso"], remark: "a word of every order", ..page }]
            }
            Question::Conflicts => [(Manner::Floor, 0), (Manner::Library, 2)]
                .into_iter()
                .flat_map(|(way, against)| {
                    let alone = Contender { against, ..Contender::new(way, orders) };
                    [alone, Contender { stale_every: 20, remark: "5 % conflict", ..alone }]
                })
                .collect(),
            Question::Depth => [(Manner::Floor, 0), (Manner::Library, 2), (Manner::Orm, 4)]
                .into_iter()
                .flat_map(|(way, against)| {
                    let first = Contender { against, ..Contender::new(way, orders) };
                    [first, Contender { depth: Depth::Middle, remark: "half-way down", ..first }]
                })
                .collect(),
            Question::Settle => [(Manner::Floor, 0), (Manner::Library, 4)]
                .into_iter()
                .flat_map(|(way, against)| {
                    let new = Contender::new(way, orders);
                    let other = Contender { against, ..new };
                    [
                        new,
                        Contender { deliveries: Deliveries::Repeated, remark: REPEATED, ..other },
                        Contender { deliveries: Deliveries::Together, remark: TOGETHER, ..other },
                        Contender { one_merchant: true, remark: ONE_MERCHANT, ..other },
                    ]
                })
                .collect(),
        };
        Self { engine, question, callers, orders, contenders }
    }

    /// The same with one way only.
    pub(crate) fn only(&self, way: Manner) -> Self {
        let mut one = self.clone();
        one.contenders.retain(|contender| contender.manner == way);
        for contender in &mut one.contenders {
            contender.against = 0;
        }
        one
    }

    /// Every target.
    pub(crate) fn all(engine: Engine, question: Question) -> Vec<Self> {
        match question {
            Question::Confirm | Question::Page => [(1, SMALL), (32, SMALL), (256, SMALL), (32, LARGE)]
                .map(|(callers, orders)| Self::new(engine, question, callers, orders))
                .into(),
            Question::Search => vec![Self::new(engine, question, 1, LARGE)],
            Question::Conflicts => vec![Self::new(engine, question, 32, SMALL)],
            Question::Depth => vec![Self::new(engine, question, 1, DEEP)],
            Question::Settle => vec![Self::new(engine, question, 32, PAID)],
        }
    }

    /// The scenarios with these numbers of callers and orders, if any are given.
    pub(crate) fn chosen(engine: Engine, question: Question, callers: &[usize], orders: &[i64]) -> Vec<Self> {
        let all = Self::all(engine, question);
        if callers.is_empty() && orders.is_empty() {
            return all;
        }
        let usual = all.first().map_or(SMALL, |scenario| scenario.orders);
        let callers = if callers.is_empty() { &[32] } else { callers };
        let orders = if orders.is_empty() { &[usual] } else { orders };
        let pairs = orders.iter().flat_map(|orders| callers.iter().map(move |callers| (*callers, *orders)));
        pairs.map(|(callers, orders)| Self::new(engine, question, callers, orders)).collect()
    }
}
