//! The model of one order: its two tracks, its quote, its receipt, its access token, and the answers kept under idempotency keys.
//!
//! The rules are those of the wire contract, written down a second time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::engine::Model;

/// What a view shows of an order, as far as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    pub(super) status: String,
    pub(super) payment: String,
    pub(super) quote: i64,
    pub(super) proof: bool,
    /// What opens it to its buyer; empty in the buyer's own view.
    pub(super) token: String,
}

impl Shown {
    /// Of a view's JSON, the seller's or the buyer's.
    pub(super) fn of(view: &Value) -> Option<Self> {
        Some(Self {
            status: view.get("status")?.as_str()?.to_owned(),
            payment: view.get("paymentStatus")?.as_str()?.to_owned(),
            quote: view.get("quotedPriceIdr")?.as_i64()?,
            proof: view.get("hasProof")?.as_bool()?,
            token: view.get("accessToken").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    }

    /// Whether this is what a view shows.
    pub(super) fn is_seen_as(&self, seen: &Self) -> bool {
        let token = if seen.token.is_empty() { String::new() } else { self.token.clone() };
        Self { token, ..self.clone() } == *seen
    }

    fn is_closed(&self) -> bool {
        matches!(self.status.as_str(), "declined" | "canceled")
    }

    /// Whether it could be paid online, as far as the order goes.
    pub(super) fn is_payable(&self) -> bool {
        !self.is_closed() && self.payment != "payment_confirmed" && self.quote > 0
    }

    pub(super) fn placed(quote: i64, token: &str) -> Self {
        let (status, payment) = ("requested".to_owned(), "unpaid".to_owned());
        Self { status, payment, quote, proof: false, token: token.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    body: String,
    answer: Shown,
    /// When the request that is kept was asked, in true time.
    asked_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) shown: Shown,
    receipt: Option<Vec<u8>>,
    kept: BTreeMap<(&'static str, String), Kept>,
}

impl State {
    pub(super) const fn new(shown: Shown) -> Self {
        Self { shown, receipt: None, kept: BTreeMap::new() }
    }
}

/// A request with its idempotency key.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    pub(super) key: Option<String>,
    pub(super) body: String,
    pub(super) asked_at: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    /// Somebody does this who has this token.
    By(String, Box<Self>),
    Claim,
    Upload(Vec<u8>),
    Confirm(Keyed),
    Patch {
        keyed: Keyed,
        status: Option<&'static str>,
        quote: Option<i64>,
    },
    View,
    /// Asks for another token. That it is there now is told by `Replace`.
    RotateToken(Keyed),
    /// From this very moment another token opens the order, and the one before nothing.
    Replace(String),
    Receipt,
    Pay,
    /// The money that a buyer paid online becomes known, whenever that is.
    Settle {
        arrived: i64,
        minted: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Done {
        shown: Shown,
        replayed: bool,
    },
    Bytes(Vec<u8>),
    Refused(&'static str),
    /// It is to be paid online, and this much.
    Paying(i64),
    Replaced,
    /// What the money did: it confirmed the order, or is an exception of this kind.
    Settled(&'static str),
}

/// What money is told to have done that confirmed its order.
pub(super) const CONFIRMED: &str = "confirmed";

/// The model, with how long a key counts, and how exactly that is known.
pub(super) struct OrderModel {
    pub(super) key_kept_ms: i64,
    pub(super) slack_ms: i64,
}

const WORK: [(&str, &str); 9] = [
    ("requested", "confirmed"),
    ("requested", "declined"),
    ("requested", "canceled"),
    ("confirmed", "in_progress"),
    ("confirmed", "canceled"),
    ("in_progress", "delivered"),
    ("in_progress", "canceled"),
    ("delivered", "completed"),
    ("delivered", "canceled"),
];

type Outcome = Result<State, &'static str>;

fn confirm(state: &State) -> Outcome {
    if state.shown.payment == "payment_confirmed" {
        return Err("INVALID_TRANSITION");
    }
    let mut next = state.clone();
    next.shown.payment = "payment_confirmed".to_owned();
    Ok(next)
}

fn patch(state: &State, status: Option<&str>, quote: Option<i64>) -> Outcome {
    if status.is_none() && quote.is_none() {
        return Err("VALIDATION_ERROR");
    }
    let mut next = state.clone();
    if let Some(quote) = quote {
        if state.shown.payment == "payment_confirmed" {
            return Err("INVALID_TRANSITION");
        }
        next.shown.quote = quote;
    }
    if let Some(to) = status {
        if !WORK.contains(&(state.shown.status.as_str(), to)) {
            return Err("INVALID_TRANSITION");
        }
        next.shown.status = to.to_owned();
    }
    Ok(next)
}

impl OrderModel {
    fn keyed(
        &self,
        state: &State,
        route: &'static str,
        keyed: &Keyed,
        act: impl Fn(&State) -> Outcome,
    ) -> Vec<(State, Told)> {
        let mut outcomes = Vec::new();
        let scope = keyed.key.clone().map(|key| (route, key));
        let kept = scope.as_ref().and_then(|scope| state.kept.get(scope));
        let age = kept.map_or(i64::MAX, |kept| keyed.asked_at - kept.asked_at);
        if let Some(kept) = kept.filter(|_| age < self.key_kept_ms + self.slack_ms) {
            let told = if kept.body == keyed.body {
                Told::Done { shown: kept.answer.clone(), replayed: true }
            } else {
                Told::Refused("IDEMPOTENCY_KEY_IN_USE")
            };
            outcomes.push((state.clone(), told));
        }
        if kept.is_none() || age > self.key_kept_ms - self.slack_ms {
            outcomes.push(match act(state) {
                Err(code) => (state.clone(), Told::Refused(code)),
                Ok(mut next) => {
                    let shown = next.shown.clone();
                    if let Some(scope) = scope {
                        let (body, asked_at) = (keyed.body.clone(), keyed.asked_at);
                        next.kept.insert(scope, Kept { body, answer: shown.clone(), asked_at });
                    }
                    (next, Told::Done { shown, replayed: false })
                }
            });
        }
        outcomes
    }
}

impl Model for OrderModel {
    type State = State;
    type Command = Command;
    type Told = Told;

    fn apply(&self, state: &State, command: &Command) -> Vec<(State, Told)> {
        let confirmed = state.shown.payment == "payment_confirmed";
        let refused = |code| vec![(state.clone(), Told::Refused(code))];
        let done = |next: State| {
            let shown = next.shown.clone();
            vec![(next, Told::Done { shown, replayed: false })]
        };
        match command {
            Command::By(token, _) if *token != state.shown.token => refused("NOT_FOUND"),
            Command::By(_, command) => self.apply(state, command),
            Command::RotateToken(keyed) => self.keyed(state, "rotate-token", keyed, |state| Ok(state.clone())),
            Command::Replace(token) => {
                let mut next = state.clone();
                next.shown.token.clone_from(token);
                vec![(next, Told::Replaced)]
            }
            Command::Claim | Command::Upload(_) if confirmed => refused("INVALID_TRANSITION"),
            Command::Claim => {
                let mut next = state.clone();
                next.shown.payment = "payment_claimed".to_owned();
                done(next)
            }
            Command::Upload(bytes) => {
                let mut next = state.clone();
                next.receipt = Some(bytes.clone());
                next.shown.proof = true;
                done(next)
            }
            Command::Confirm(keyed) => self.keyed(state, "confirm", keyed, confirm),
            Command::Patch { keyed, status, quote } => {
                self.keyed(state, "patch", keyed, |state| patch(state, *status, *quote))
            }
            Command::View => done(state.clone()),
            Command::Pay => {
                let told = match &state.shown {
                    _ if confirmed => Told::Refused("INVALID_TRANSITION"),
                    shown if shown.is_closed() => Told::Refused("ORDER_CLOSED"),
                    shown if shown.quote == 0 => Told::Refused("NO_QUOTE"),
                    shown => Told::Paying(shown.quote),
                };
                vec![(state.clone(), told)]
            }
            Command::Settle { arrived, minted } => {
                let kind = match &state.shown {
                    _ if confirmed => "already_confirmed",
                    shown if shown.is_closed() => "order_closed",
                    shown if arrived != minted || *arrived != shown.quote => "amount_mismatch",
                    _ => CONFIRMED,
                };
                let mut next = state.clone();
                if kind == CONFIRMED {
                    next.shown.payment = "payment_confirmed".to_owned();
                }
                vec![(next, Told::Settled(kind))]
            }
            Command::Receipt => match &state.receipt {
                Some(bytes) => vec![(state.clone(), Told::Bytes(bytes.clone()))],
                None => refused("NOT_FOUND"),
            },
        }
    }
}
