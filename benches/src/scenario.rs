//! What is measured: scenarios, each a few contenders that are interleaved in one run.

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

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Confirm,
    Page,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Question {
    /// How fast an order's payment is confirmed.
    Confirm,
    /// How fast a page of 50 orders is read.
    Page,
    /// What is lost when 5 % of the change sets conflict.
    Conflicts,
    /// Whether a page's time depends on how deep it is.
    Depth,
}

impl Question {
    pub(crate) const ALL: [Self; 4] = [Self::Confirm, Self::Page, Self::Conflicts, Self::Depth];

    pub(crate) const fn operation(self) -> Operation {
        match self {
            Self::Confirm | Self::Conflicts => Operation::Confirm,
            Self::Page | Self::Depth => Operation::Page,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Confirm => "confirming an order",
            Self::Page => "a page of 50 orders",
            Self::Conflicts => "confirming, with conflicts",
            Self::Depth => "a page by its depth",
        }
    }
}

/// One of those that take turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) manner: Manner,
    /// How many orders are stored where it works.
    pub(crate) orders: i64,
    pub(crate) depth: Depth,
    /// Every so many operations begin with a stale read; 0: none.
    pub(crate) stale_every: usize,
    /// The contender to whose throughput this one's is compared, by its place.
    pub(crate) against: usize,
    /// What tells it apart from the same manner's others.
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
/// The number of orders of the one account whose pages are read at two depths.
const DEEP: i64 = 100_000;

impl Contender {
    const fn new(manner: Manner, orders: i64) -> Self {
        Self { manner, orders, depth: Depth::First, stale_every: 0, against: 0, remark: "" }
    }

    /// The size of the database where it works.
    pub(crate) fn size(self, question: Question) -> Size {
        match question {
            Question::Depth => Size { orders: self.orders, accounts: 1 },
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
                    contenders.push(Contender::new(Manner::Bound, orders));
                }
                if orders > SMALL {
                    // The same beside it on the small database, in the same run: what does size cost?
                    for (way, against) in [(Manner::Floor, 0), (Manner::Library, 1)] {
                        contenders.push(Contender { against, remark: "1,000 orders", ..Contender::new(way, SMALL) });
                    }
                }
                contenders
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

    /// Everything that is wanted.
    pub(crate) fn all(engine: Engine, question: Question) -> Vec<Self> {
        match question {
            Question::Confirm | Question::Page => [(1, SMALL), (32, SMALL), (256, SMALL), (32, LARGE)]
                .map(|(callers, orders)| Self::new(engine, question, callers, orders))
                .into(),
            Question::Conflicts => vec![Self::new(engine, question, 32, SMALL)],
            Question::Depth => vec![Self::new(engine, question, 1, DEEP)],
        }
    }

    /// Those with so many callers and orders, if any are named.
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
