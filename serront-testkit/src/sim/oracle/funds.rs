//! The model of one seller's money: the balance, the payouts that draw on it, where they go by default, operators'
//! adjustments, and the answers kept under idempotency keys.
//!
//! What is in flight is added up from the payouts each time; nothing of it is kept beside them.

use imbl::OrdMap;
use serde_json::Value;

use super::engine::Model;
use super::order::Keyed;
use super::text;
use crate::sim::events::{Step, Verb};

/// What a view shows of a payout, as far as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    amount: i64,
    status: String,
    bank: String,
    reference: Option<String>,
    failure: Option<String>,
    /// Whether an operator has acted on it, and whether it is through.
    at: (bool, bool),
}

impl Shown {
    /// Of a view's JSON.
    pub(super) fn of(view: &Value) -> Option<Self> {
        let text = |field: &str| view.get(field).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            amount: view.get("amount")?.as_i64()?,
            status: text("status")?,
            bank: text("bankAccountNumber")?,
            reference: text("reference"),
            failure: text("failureReason"),
            at: (text("processedAt").is_some(), text("completedAt").is_some()),
        })
    }

    fn is_in_flight(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "in_transit")
    }
}

/// The default bank account: its number, and whether it is whole.
pub(super) type Default = Option<(String, bool)>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Payout(String, Shown),
    Bank(Default),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    body: String,
    answer: Answer,
    /// When the request that is kept was asked, in true time.
    asked_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct State {
    pub(super) ledger: i64,
    /// By the note that each was asked for with.
    pub(super) payouts: OrdMap<String, Shown>,
    pub(super) bank: Default,
    /// By reference: how much.
    adjustments: OrdMap<String, i64>,
    /// By route and key.
    kept: OrdMap<(String, String), Kept>,
}

impl State {
    pub(super) fn in_flight(&self) -> i64 {
        self.payouts.values().filter(|payout| payout.is_in_flight()).map(|payout| payout.amount).sum()
    }
}

/// What moves a payout along.
#[derive(Debug, Clone)]
pub(super) enum Move {
    Cancel,
    Operators(Step, Option<String>),
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    Request {
        keyed: Keyed,
        note: String,
        amount: i64,
        /// The bank account's number, if it is not the default one.
        bank: Option<String>,
    },
    Move {
        keyed: Keyed,
        /// The note of the payout.
        note: String,
        by: Move,
    },
    PatchBank {
        keyed: Keyed,
        number: String,
        whole: bool,
    },
    Adjust {
        reference: String,
        amount: i64,
    },
    /// What was settled is in the ledger: this much of it is the seller's.
    Settle(i64),
    Balance,
    Payouts,
    Payout(String),
    Bank,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Payout { note: String, shown: Shown, replayed: bool },
    Bank { bank: Default, replayed: bool },
    Adjusted { amount: i64, replayed: bool },
    Balance { ledger: i64, in_flight: i64 },
    Payouts(OrdMap<String, Shown>),
    Settled,
    Refused(&'static str),
}

/// Whether these rows are those payouts.
pub(super) fn lists(rows: &[Value], payouts: &OrdMap<String, Shown>) -> bool {
    let known =
        |row: &Value| payouts.get(text(row, "note")).is_some_and(|known| Shown::of(row).as_ref() == Some(known));
    rows.len() == payouts.len() && rows.iter().all(known)
}

/// Whether an answer is the one that the model tells.
pub(super) fn fits(verb: &Verb, data: &Value, replayed: bool, told: &Told) -> bool {
    let number = |field: &str| data.get(field).and_then(Value::as_i64);
    match (verb, told) {
        (Verb::Balance, Told::Balance { ledger, .. }) => number("balance") == Some(*ledger),
        (Verb::PayoutBalance, Told::Balance { ledger, in_flight }) => {
            let expected = [*ledger, *in_flight, *in_flight, ledger - in_flight].map(Some);
            ["ledgerBalance", "pending", "locked", "available"].map(number) == expected
        }
        (Verb::Payouts, Told::Payouts(payouts)) => data.as_array().is_some_and(|rows| lists(rows, payouts)),
        (_, Told::Payout { note, shown, replayed: again }) => {
            note == text(data, "note") && Shown::of(data).as_ref() == Some(shown) && replayed == *again
        }
        (_, Told::Bank { bank, replayed: again }) => {
            let (known, whole) = bank.clone().unwrap_or_default();
            let configured = data.get("configured").and_then(Value::as_bool);
            text(data, "bankAccountNumber") == known && configured == Some(whole) && replayed == *again
        }
        (_, Told::Adjusted { amount, replayed: again }) => {
            let sign = if text(data, "direction") == "credit" { 1 } else { -1 };
            number("amount").map(|told| sign * told) == Some(*amount) && replayed == *again
        }
        (_, Told::Balance { .. } | Told::Payouts(_) | Told::Settled | Told::Refused(_)) => false,
    }
}

/// The model, with how long a key counts, and how exactly that is known.
pub(super) struct FundsModel {
    pub(super) key_kept_ms: i64,
    pub(super) slack_ms: i64,
}

type Outcome = Result<(State, Answer), &'static str>;

fn request(state: &State, note: &str, amount: i64, bank: Option<&String>) -> Outcome {
    let default = state.bank.as_ref().filter(|(_, whole)| *whole).map(|(number, _)| number);
    let bank = bank.or(default).ok_or("BANK_ACCOUNT_REQUIRED")?.clone();
    if amount > state.ledger - state.in_flight() {
        return Err("INSUFFICIENT_BALANCE");
    }
    let status = "pending".to_owned();
    let shown = Shown { amount, status, bank, reference: None, failure: None, at: (false, false) };
    let mut next = state.clone();
    next.payouts.insert(note.to_owned(), shown.clone());
    Ok((next, Answer::Payout(note.to_owned(), shown)))
}

fn step(state: &State, note: &str, by: &Move) -> Outcome {
    let Some(before) = state.payouts.get(note) else { return Err("NOT_FOUND") };
    let (mut next, mut shown) = (state.clone(), before.clone());
    let status = match (before.status.as_str(), by) {
        ("pending", Move::Cancel) => "cancelled",
        ("pending", Move::Operators(Step::InTransit, text)) => {
            shown.reference.clone_from(text);
            shown.at.0 = true;
            "in_transit"
        }
        ("in_transit", Move::Operators(Step::Paid, text)) => {
            shown.reference = text.clone().or(shown.reference);
            shown.at.1 = true;
            next.ledger -= shown.amount;
            "paid"
        }
        ("pending" | "in_transit", Move::Operators(Step::Failed, text)) => {
            shown.failure.clone_from(text);
            shown.at.0 = true;
            "failed"
        }
        _ => return Err("INVALID_TRANSITION"),
    };
    shown.status = status.to_owned();
    next.payouts.insert(note.to_owned(), shown.clone());
    Ok((next, Answer::Payout(note.to_owned(), shown)))
}

fn told(answer: Answer, replayed: bool) -> Told {
    match answer {
        Answer::Payout(note, shown) => Told::Payout { note, shown, replayed },
        Answer::Bank(bank) => Told::Bank { bank, replayed },
    }
}

impl FundsModel {
    fn keyed(
        &self,
        state: &State,
        route: String,
        keyed: &Keyed,
        act: impl Fn(&State) -> Outcome,
    ) -> Vec<(State, Told)> {
        let mut outcomes = Vec::new();
        let scope = keyed.key.clone().map(|key| (route, key));
        let kept = scope.as_ref().and_then(|scope| state.kept.get(scope));
        let age = kept.map_or(i64::MAX, |kept| keyed.asked_at - kept.asked_at);
        if let Some(kept) = kept.filter(|_| age < self.key_kept_ms + self.slack_ms) {
            let told = if kept.body == keyed.body {
                told(kept.answer.clone(), true)
            } else {
                Told::Refused("IDEMPOTENCY_KEY_IN_USE")
            };
            outcomes.push((state.clone(), told));
        }
        if kept.is_none() || age > self.key_kept_ms - self.slack_ms {
            outcomes.push(match act(state) {
                Err(code) => (state.clone(), Told::Refused(code)),
                Ok((mut next, answer)) => {
                    if let Some(scope) = scope {
                        let (body, asked_at) = (keyed.body.clone(), keyed.asked_at);
                        next.kept.insert(scope, Kept { body, answer: answer.clone(), asked_at });
                    }
                    (next, told(answer, false))
                }
            });
        }
        outcomes
    }
}

impl Model for FundsModel {
    type State = State;
    type Command = Command;
    type Told = Told;

    fn apply(&self, state: &State, command: &Command) -> Vec<(State, Told)> {
        let same = |told| vec![(state.clone(), told)];
        match command {
            Command::Request { keyed, note, amount, bank } => {
                self.keyed(state, "request".to_owned(), keyed, |state| request(state, note, *amount, bank.as_ref()))
            }
            // It has to be said why, whatever was asked before.
            Command::Move { by: Move::Operators(Step::Failed, None), .. } => same(Told::Refused("VALIDATION_ERROR")),
            Command::Move { keyed, note, by } => {
                let route = match by {
                    Move::Cancel => format!("cancel {note}"),
                    Move::Operators(step, _) => format!("{step:?} {note}"),
                };
                self.keyed(state, route, keyed, |state| step(state, note, by))
            }
            Command::PatchBank { keyed, number, whole } => self.keyed(state, "bank".to_owned(), keyed, |state| {
                let bank = Some((number.clone(), *whole));
                Ok((State { bank: bank.clone(), ..state.clone() }, Answer::Bank(bank)))
            }),
            Command::Adjust { reference, amount } => match state.adjustments.get(reference) {
                Some(known) if known == amount => same(Told::Adjusted { amount: *amount, replayed: true }),
                Some(_) => same(Told::Refused("CONFLICT")),
                None => {
                    let adjustments = state.adjustments.update(reference.clone(), *amount);
                    let next = State { ledger: state.ledger + amount, adjustments, ..state.clone() };
                    vec![(next, Told::Adjusted { amount: *amount, replayed: false })]
                }
            },
            Command::Settle(amount) => {
                vec![(State { ledger: state.ledger + amount, ..state.clone() }, Told::Settled)]
            }
            Command::Balance => same(Told::Balance { ledger: state.ledger, in_flight: state.in_flight() }),
            Command::Payouts => same(Told::Payouts(state.payouts.clone())),
            Command::Payout(note) => same(match state.payouts.get(note) {
                Some(shown) => Told::Payout { note: note.clone(), shown: shown.clone(), replayed: false },
                None => Told::Refused("NOT_FOUND"),
            }),
            Command::Bank => same(Told::Bank { bank: state.bank.clone(), replayed: false }),
        }
    }
}
