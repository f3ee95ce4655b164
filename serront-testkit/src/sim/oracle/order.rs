//! The model of one order: its two tracks, its quote, its receipt, its access token, and the answers kept under idempotency keys.
//!
//! The rules are those of the wire contract, written down a second time.

use serde_json::Value;

use super::engine::{Engine, Model};
use super::keyed::{KeptAnswers, KeyLifetime, Keyed};
use crate::sandbox::SandboxSession;
use crate::sim::events::{Call, Reply, Verb, View, text};

/// The part of an order's view that the model knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    pub(super) status: String,
    pub(super) payment: String,
    pub(super) quote: i64,
    pub(super) proof: bool,
    /// The access token; empty in the buyer's view.
    pub(super) token: String,
}

impl Shown {
    /// Reads a view's JSON, the seller's or the buyer's.
    pub(super) fn of(view: &Value) -> Option<Self> {
        Some(Self {
            status: view.get("status")?.as_str()?.to_owned(),
            payment: view.get("paymentStatus")?.as_str()?.to_owned(),
            quote: view.get("quotedPriceIdr")?.as_i64()?,
            proof: view.get("hasProof")?.as_bool()?,
            token: view.get("accessToken").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
    }

    /// Whether a view shows this order.
    pub(super) fn is_seen_as(&self, seen: &Self) -> bool {
        let token = if seen.token.is_empty() { String::new() } else { self.token.clone() };
        Self { token, ..self.clone() } == *seen
    }

    fn is_closed(&self) -> bool {
        matches!(self.status.as_str(), "declined" | "canceled")
    }

    /// Whether the order's state allows an online payment.
    pub(super) fn is_payable(&self) -> bool {
        !self.is_closed() && self.payment != "payment_confirmed" && self.quote > 0
    }

    pub(super) fn placed(quote: i64, token: &str) -> Self {
        let (status, payment) = ("requested".to_owned(), "unpaid".to_owned());
        Self { status, payment, quote, proof: false, token: token.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) shown: Shown,
    receipt: Option<Vec<u8>>,
    kept: KeptAnswers<Shown>,
}

impl State {
    pub(super) fn new(shown: Shown) -> Self {
        Self { shown, receipt: None, kept: KeptAnswers::new() }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    // The command, sent with this access token.
    By(String, Box<Self>),
    Claim,
    Upload(Vec<u8>),
    Confirm(Keyed),
    Patch { keyed: Keyed, status: Option<&'static str>, quote: Option<i64> },
    View,
    // Requests a new token. `Replace` is the moment at which it is stored.
    RotateToken(Keyed),
    // Stores a new token; the previous one stops working immediately.
    Replace(String),
    Receipt,
    Pay,
    // Settles an online payment.
    Settle { arrived: i64, minted: i64 },
}

impl Command {
    /// What a call does to its order; `None` if it does nothing to orders.
    pub(super) fn of(call: &Call, now: i64) -> Option<Self> {
        let keyed = || Keyed::of(call, now);
        let by = |token: &str, command| Self::By(token.to_owned(), Box::new(command));
        Some(match &call.verb {
            Verb::Claim { token } => by(token, Self::Claim),
            Verb::Upload { token, bytes } => by(token, Self::Upload(bytes.clone())),
            Verb::View { token } => by(token, Self::View),
            Verb::Pay { token } => by(token, Self::Pay),
            Verb::RotateToken { .. } => Self::RotateToken(keyed()),
            Verb::Confirm { .. } => Self::Confirm(keyed()),
            Verb::Patch { status, quote, .. } => Self::Patch { keyed: keyed(), status: *status, quote: *quote },
            Verb::Read { .. } => Self::View,
            Verb::Receipt { .. } => Self::Receipt,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Response {
    Done { shown: Shown, replayed: bool },
    Bytes(Vec<u8>),
    Refused(&'static str),
    // A session for this amount.
    Paying(i64),
    Replaced,
    // `CONFIRMED`, or the kind of the payment's exception.
    Settled(&'static str),
}

/// The effect of a payment that confirmed its order.
pub(super) const CONFIRMED: &str = "confirmed";

pub(super) struct OrderModel(pub(super) KeyLifetime);

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

/// The state after a command, or the code of its refusal.
type Effect = Result<State, &'static str>;

fn confirm(state: &State) -> Effect {
    if state.shown.payment == "payment_confirmed" {
        return Err("INVALID_TRANSITION");
    }
    let mut next = state.clone();
    next.shown.payment = "payment_confirmed".to_owned();
    Ok(next)
}

fn patch(state: &State, status: Option<&str>, quote: Option<i64>) -> Effect {
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
        route: &str,
        keyed: &Keyed,
        effect: impl Fn(&State) -> Effect,
    ) -> Vec<(State, Response)> {
        let effect = |state: &State| effect(state).map(|next| (next.clone(), next.shown));
        let outcomes = self.0.outcomes((keyed, route), state, |state| &mut state.kept, effect);
        let respond = |answer| match answer {
            Ok((shown, replayed)) => Response::Done { shown, replayed },
            Err(code) => Response::Refused(code),
        };
        outcomes.into_iter().map(|(state, answer)| (state, respond(answer))).collect()
    }
}

impl Model for OrderModel {
    type State = State;
    type Command = Command;
    type Response = Response;

    fn apply(&self, state: &State, command: &Command) -> Vec<(State, Response)> {
        let confirmed = state.shown.payment == "payment_confirmed";
        let refused = |code| vec![(state.clone(), Response::Refused(code))];
        let done = |next: State| {
            let shown = next.shown.clone();
            vec![(next, Response::Done { shown, replayed: false })]
        };
        match command {
            Command::By(token, _) if *token != state.shown.token => refused("NOT_FOUND"),
            Command::By(_, command) => self.apply(state, command),
            Command::RotateToken(keyed) => self.keyed(state, "rotate-token", keyed, |state| Ok(state.clone())),
            Command::Replace(token) => {
                let mut next = state.clone();
                next.shown.token.clone_from(token);
                vec![(next, Response::Replaced)]
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
                let response = match &state.shown {
                    _ if confirmed => Response::Refused("INVALID_TRANSITION"),
                    shown if shown.is_closed() => Response::Refused("ORDER_CLOSED"),
                    shown if shown.quote == 0 => Response::Refused("NO_QUOTE"),
                    shown => Response::Paying(shown.quote),
                };
                vec![(state.clone(), response)]
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
                vec![(next, Response::Settled(kind))]
            }
            Command::Receipt => match &state.receipt {
                Some(bytes) => vec![(state.clone(), Response::Bytes(bytes.clone()))],
                None => refused("NOT_FOUND"),
            },
        }
    }
}

/// The amount that a session asks its buyer for.
fn amount_asked(session: &SandboxSession) -> i64 {
    session.line_items.iter().map(|item| item.unit_amount.saturating_mul(i64::from(item.quantity))).sum()
}

pub(super) struct Order {
    pub(super) engine: Engine<OrderModel>,
    pub(super) number: i64,
    pub(super) buyer: String,
}

impl Order {
    /// Whether a possible state of the order explains this answer. An error for what no state could explain.
    pub(super) fn explains(
        &mut self,
        order: &str,
        (id, call): (u64, &Call),
        reply: &Reply,
        view: &View<'_>,
    ) -> Result<bool, String> {
        let engine = &mut self.engine;
        Ok(match reply {
            Reply::NotDone | Reply::Unknown => true,
            // The settings or Plugipay refuse, after the order was found.
            Reply::Refused(code) if ["PAYMENT_MODULE_DISABLED", "PLUGIPAY_ERROR"].contains(&code.as_str()) => {
                engine.answered(id, view.now, |response| *response != Response::Refused("NOT_FOUND"))
            }
            Reply::Done { data, .. } if matches!(call.verb, Verb::Pay { .. }) => {
                let session = view.sandbox.session(text(data, "checkoutSessionId"));
                let own = |session: &SandboxSession| session.metadata.get("orderId").is_some_and(|of| of == order);
                let asked = session.filter(own).map(|session| amount_asked(&session));
                engine.answered(
                    id,
                    view.now,
                    |response| matches!(response, Response::Paying(quote) if asked == Some(*quote)),
                )
            }
            Reply::Bytes(bytes) => {
                engine.answered(id, view.now, |response| *response == Response::Bytes(bytes.clone()))
            }
            Reply::Refused(code) => engine.answered(
                id,
                view.now,
                |response| matches!(response, Response::Refused(expected) if expected == code),
            ),
            Reply::Done { data, replayed } => {
                let row = match &call.verb {
                    Verb::List => {
                        let rows = data.get("orders").and_then(Value::as_array);
                        rows.into_iter().flatten().find(|row| text(row, "id") == order)
                    }
                    _ => Some(data),
                };
                // A list shows the hundred newest orders; no run has more.
                let Some(row) = row else { return Err(format!("order {order} is missing from the list")) };
                if let Some(number) = row.get("number").and_then(Value::as_i64)
                    && number != self.number
                {
                    return Err(format!("order {order} has number {}, and is shown with {number}", self.number));
                }
                let seen = Shown::of(row);
                let offered = row.get("onlinePayment").and_then(Value::as_bool).unwrap_or(false);
                if offered && seen.as_ref().is_some_and(|seen| !seen.is_payable()) {
                    return Err(format!("order {order} is offered for online payment although it is not payable"));
                }
                engine.answered(id, view.now, |response| match (response, &seen) {
                    // An upload's answer shows no order.
                    (Response::Done { .. }, None) => matches!(call.verb, Verb::Upload { .. }),
                    (Response::Done { shown, replayed: expected }, Some(seen)) => {
                        shown.is_seen_as(seen) && expected == replayed
                    }
                    (
                        Response::Bytes(_)
                        | Response::Replaced
                        | Response::Refused(_)
                        | Response::Paying(_)
                        | Response::Settled(_),
                        _,
                    ) => false,
                })
            }
        })
    }
}
