//! The model of one seller's funds: the balance, the payouts that draw on it, the default bank account, operators'
//! adjustments, and the answers kept under idempotency keys.
//!
//! The amount in flight is summed from the payouts each time, not stored.

use imbl::OrdMap;
use serde_json::Value;

use super::engine::{Commands as _, Engine, Model};
use super::keyed::{KeptAnswers, KeyLifetime, Keyed};
use crate::sim::events::{Call, Reply, Step, Verb, text};
use crate::sim::host::bank_account;

/// The part of a payout's view that the model knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shown {
    amount: i64,
    status: String,
    bank: String,
    reference: Option<String>,
    failure: Option<String>,
    /// Whether `processedAt` and `completedAt` are set.
    at: (bool, bool),
}

impl Shown {
    /// Reads a view's JSON.
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

/// The default bank account: its number, and whether it is complete.
pub(super) type Default = Option<(String, bool)>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Payout(String, Shown),
    Bank(Default),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct State {
    pub(super) ledger: i64,
    /// By the note of each request.
    pub(super) payouts: OrdMap<String, Shown>,
    pub(super) bank: Default,
    /// Amounts by reference.
    adjustments: OrdMap<String, i64>,
    kept: KeptAnswers<Answer>,
}

impl State {
    pub(super) fn in_flight(&self) -> i64 {
        self.payouts.values().filter(|payout| payout.is_in_flight()).map(|payout| payout.amount).sum()
    }
}

/// A step of a payout.
#[derive(Debug, Clone)]
pub(super) enum Move {
    Cancel,
    Operators(Step, Option<String>),
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    // `bank` is the account's number; `None` for the default account.
    Request { keyed: Keyed, note: String, amount: i64, bank: Option<String> },
    // `note` is the payout's.
    Move { keyed: Keyed, note: String, by: Move },
    PatchBank { keyed: Keyed, number: String, whole: bool },
    Adjust { reference: String, amount: i64 },
    // The seller's share of a settlement enters the ledger.
    Settle(i64),
    Balance,
    Payouts,
    Payout(String),
    Bank,
}

impl Command {
    /// What a call does to its seller's funds; `None` if nothing. `note` finds a payout's note by its id.
    pub(super) fn of(call: &Call, now: i64, note: impl Fn(&String) -> Option<String>) -> Option<Self> {
        let keyed = || Keyed::of(call, now);
        Some(match &call.verb {
            Verb::RequestPayout { amount, bank, note, .. } => Self::Request {
                keyed: keyed(),
                note: note.clone(),
                amount: *amount,
                bank: bank.map(|variant| bank_account(call.seller, variant)),
            },
            Verb::CancelPayout { payout } => Self::Move { keyed: keyed(), note: note(payout)?, by: Move::Cancel },
            Verb::MovePayout { payout, step, text } if call.is_operators() => {
                let by = Move::Operators(*step, text.clone());
                Self::Move { keyed: keyed(), note: note(payout)?, by }
            }
            Verb::PatchBankAccount { variant, whole } => {
                let number = bank_account(call.seller, *variant);
                Self::PatchBank { keyed: keyed(), number, whole: *whole }
            }
            Verb::Adjust { amount, reference, .. } => Self::Adjust { reference: reference.clone(), amount: *amount },
            Verb::Balance | Verb::PayoutBalance => Self::Balance,
            Verb::Payouts => Self::Payouts,
            Verb::Payout { payout } => Self::Payout(note(payout)?),
            Verb::BankAccount => Self::Bank,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Response {
    Payout { note: String, shown: Shown, replayed: bool },
    Bank { bank: Default, replayed: bool },
    Adjusted { amount: i64, replayed: bool },
    Balance { ledger: i64, in_flight: i64 },
    Payouts(OrdMap<String, Shown>),
    Settled,
    Refused(&'static str),
}

/// Whether these rows show exactly these payouts.
pub(super) fn lists(rows: &[Value], payouts: &OrdMap<String, Shown>) -> bool {
    let known =
        |row: &Value| payouts.get(text(row, "note")).is_some_and(|known| Shown::of(row).as_ref() == Some(known));
    rows.len() == payouts.len() && rows.iter().all(known)
}

/// Whether an answer equals the model's response.
fn fits(verb: &Verb, data: &Value, replayed: bool, response: &Response) -> bool {
    let number = |field: &str| data.get(field).and_then(Value::as_i64);
    match (verb, response) {
        (Verb::Balance, Response::Balance { ledger, .. }) => number("balance") == Some(*ledger),
        (Verb::PayoutBalance, Response::Balance { ledger, in_flight }) => {
            let expected = [*ledger, *in_flight, *in_flight, ledger - in_flight].map(Some);
            ["ledgerBalance", "pending", "locked", "available"].map(number) == expected
        }
        (Verb::Payouts, Response::Payouts(payouts)) => data.as_array().is_some_and(|rows| lists(rows, payouts)),
        (_, Response::Payout { note, shown, replayed: again }) => {
            note == text(data, "note") && Shown::of(data).as_ref() == Some(shown) && replayed == *again
        }
        (_, Response::Bank { bank, replayed: again }) => {
            let (known, whole) = bank.clone().unwrap_or_default();
            let configured = data.get("configured").and_then(Value::as_bool);
            text(data, "bankAccountNumber") == known && configured == Some(whole) && replayed == *again
        }
        (_, Response::Adjusted { amount, replayed: again }) => {
            let sign = if text(data, "direction") == "credit" { 1 } else { -1 };
            number("amount").map(|amount| sign * amount) == Some(*amount) && replayed == *again
        }
        (_, Response::Balance { .. } | Response::Payouts(_) | Response::Settled | Response::Refused(_)) => false,
    }
}

pub(super) struct FundsModel(pub(super) KeyLifetime);

/// The state after a command and the answer to keep, or the code of the refusal.
type Effect = Result<(State, Answer), &'static str>;

fn request(state: &State, note: &str, amount: i64, bank: Option<&String>) -> Effect {
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

fn step(state: &State, note: &str, by: &Move) -> Effect {
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

fn respond(answer: Result<(Answer, bool), &'static str>) -> Response {
    match answer {
        Ok((Answer::Payout(note, shown), replayed)) => Response::Payout { note, shown, replayed },
        Ok((Answer::Bank(bank), replayed)) => Response::Bank { bank, replayed },
        Err(code) => Response::Refused(code),
    }
}

impl FundsModel {
    fn keyed(
        &self,
        state: &State,
        route: &str,
        keyed: &Keyed,
        effect: impl Fn(&State) -> Effect,
    ) -> Vec<(State, Response)> {
        let outcomes = self.0.outcomes((keyed, route), state, |state| &mut state.kept, effect);
        outcomes.into_iter().map(|(state, answer)| (state, respond(answer))).collect()
    }
}

impl Model for FundsModel {
    type State = State;
    type Command = Command;
    type Response = Response;

    fn apply(&self, state: &State, command: &Command) -> Vec<(State, Response)> {
        let same = |response| vec![(state.clone(), response)];
        match command {
            Command::Request { keyed, note, amount, bank } => {
                self.keyed(state, "request", keyed, |state| request(state, note, *amount, bank.as_ref()))
            }
            // A reason is required, even for a repeated key.
            Command::Move { by: Move::Operators(Step::Failed, None), .. } => {
                same(Response::Refused("VALIDATION_ERROR"))
            }
            Command::Move { keyed, note, by } => {
                let route = match by {
                    Move::Cancel => format!("cancel {note}"),
                    Move::Operators(step, _) => format!("{step:?} {note}"),
                };
                self.keyed(state, &route, keyed, |state| step(state, note, by))
            }
            Command::PatchBank { keyed, number, whole } => self.keyed(state, "bank", keyed, |state| {
                let bank = Some((number.clone(), *whole));
                Ok((State { bank: bank.clone(), ..state.clone() }, Answer::Bank(bank)))
            }),
            Command::Adjust { reference, amount } => match state.adjustments.get(reference) {
                Some(known) if known == amount => same(Response::Adjusted { amount: *amount, replayed: true }),
                Some(_) => same(Response::Refused("CONFLICT")),
                None => {
                    let adjustments = state.adjustments.update(reference.clone(), *amount);
                    let next = State { ledger: state.ledger + amount, adjustments, ..state.clone() };
                    vec![(next, Response::Adjusted { amount: *amount, replayed: false })]
                }
            },
            Command::Settle(amount) => {
                vec![(State { ledger: state.ledger + amount, ..state.clone() }, Response::Settled)]
            }
            Command::Balance => same(Response::Balance { ledger: state.ledger, in_flight: state.in_flight() }),
            Command::Payouts => same(Response::Payouts(state.payouts.clone())),
            Command::Payout(note) => same(match state.payouts.get(note) {
                Some(shown) => Response::Payout { note: note.clone(), shown: shown.clone(), replayed: false },
                None => Response::Refused("NOT_FOUND"),
            }),
            Command::Bank => same(Response::Bank { bank: state.bank.clone(), replayed: false }),
        }
    }
}

impl Engine<FundsModel> {
    pub(super) fn explains(&mut self, id: u64, call: &Call, reply: &Reply, now: i64) -> bool {
        let (data, replayed) = match reply {
            // The settings refuse sellers, never operators.
            Reply::Refused(code) if code == "PAYMENT_MODULE_DISABLED" && !call.is_operators() => {
                return self.did_not_happen(id);
            }
            Reply::Refused(code) => {
                return self.answered(
                    id,
                    now,
                    |response| matches!(response, Response::Refused(expected) if expected == code),
                );
            }
            Reply::Bytes(_) | Reply::NotDone | Reply::Unknown => return false,
            Reply::Done { data, replayed } => (data, *replayed),
        };
        self.answered(id, now, |response| fits(&call.verb, data, replayed, response))
    }
}
