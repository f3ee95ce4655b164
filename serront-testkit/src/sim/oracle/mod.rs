//! The oracle: what each command may do and tell, modelled without the core's code, from requests and answers alone.
//!
//! ```text
//! asked ─▶ open in each object that it may touch ─▶ told ─▶ which states explain this answer?  none ─▶ violation
//!                                                   lost ─▶ stays open: it may have happened, or may yet
//! ```
//!
//! Money paid online has nobody who asks: a buyer's payment at the hosted page opens it, and its posting tells what it did.
//! To the seller's funds it is the posting itself that happens. So it is with an order's new access token: nobody can know it
//! before it is there.
//!
//! It knows the wire contract and JSON; ids, tokens and keys are text to it. To extend it: a model of the new object
//! beside `order.rs`, its commands here in `opens`, its answers in `fits`.

mod engine;
mod exception;
mod funds;
mod key;
mod order;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::funds::ledger::{Book, Direction, LedgerEntry, SourceType};
use serront_core::primitives::page::Limit;
use serront_core::snapshots::OrderFilter;
use serront_core::views::PayoutView;

use self::engine::Engine;
use self::exception::ExceptionModel;
use self::funds::FundsModel;
use self::key::KeyModel;
use self::order::{Keyed, OrderModel, Shown};
use self::settings::{Front, SettingsModel};
use super::events::{Call, Event, Invariant, Reply, Verb, Verdict, View};
use super::executor::at_once;
use super::host::bank_account;
use crate::sandbox::SandboxSession;

/// What is on its way to the storage arrives within this time after its host is through with it.
const ARRIVES_WITHIN_MS: i64 = 120_000;
/// A request is under way for at most this long; added to what the clocks are off, it says how exactly the age of an
/// idempotency key is known.
const REQUEST_MS_MAX: i64 = 40 * 60_000;

/// Where a command is open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Order(String),
    Key(String),
    Exception(String),
    /// A seller's.
    Funds(usize),
    Settings,
}

/// Money paid online, from its payment at the hosted page until it is in the ledger.
struct Payment {
    order: String,
    /// Its place among the open commands.
    id: u64,
}

/// The commands that nobody asks a host for, and those that are known from their landing, are counted from here.
const PAYMENTS_FROM: u64 = 1 << 40;

struct Pending {
    asked_at: i64,
    at: Vec<At>,
    told_unknown: bool,
    ended: Option<i64>,
}

struct Order {
    engine: Engine<OrderModel>,
    number: i64,
    buyer: String,
}

/// How far a buyer's request for an order has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Placing {
    /// It may be there.
    Open,
    /// It is this order.
    Done(String),
    /// It is not there.
    Never,
}

/// See the module's documentation.
pub(super) struct Oracle {
    orders: BTreeMap<String, Order>,
    tokens: BTreeMap<String, String>,
    /// When each token took another one's place.
    replaced: BTreeMap<String, i64>,
    placings: BTreeMap<(usize, String), Placing>,
    prices: BTreeSet<i64>,
    keys: BTreeMap<String, Engine<KeyModel>>,
    key_ids: BTreeMap<String, String>,
    settings: Engine<SettingsModel>,
    exceptions: BTreeMap<String, Engine<ExceptionModel>>,
    /// By seller.
    funds: BTreeMap<usize, Engine<FundsModel>>,
    /// The seller whose payout it is, and the note that it was asked for with.
    payouts: BTreeMap<String, (usize, String)>,
    /// By session.
    payments: BTreeMap<String, Payment>,
    paid: u64,
    pending: BTreeMap<u64, Pending>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            orders: BTreeMap::new(),
            tokens: BTreeMap::new(),
            replaced: BTreeMap::new(),
            placings: BTreeMap::new(),
            prices: BTreeSet::from([750_000]),
            keys: BTreeMap::new(),
            key_ids: BTreeMap::new(),
            settings: Engine::new(SettingsModel, [settings::State::default()]),
            exceptions: BTreeMap::new(),
            funds: BTreeMap::new(),
            payouts: BTreeMap::new(),
            payments: BTreeMap::new(),
            paid: 0,
            pending: BTreeMap::new(),
        }
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// What a session asks its buyer for.
fn asked_for(session: &SandboxSession) -> i64 {
    session.line_items.iter().map(|item| item.unit_amount.saturating_mul(i64::from(item.quantity))).sum()
}

/// How long an idempotency key counts, and how exactly its age is known, in milliseconds.
fn exactness(view: &View<'_>) -> (i64, i64) {
    let key_kept_ms = i64::try_from(view.policy.commits.idempotency_kept.as_millis()).unwrap_or(i64::MAX / 4);
    (key_kept_ms, REQUEST_MS_MAX)
}

/// Whether the payment module is looked at first, and something else may refuse after it.
const fn is_behind_the_gate(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Pay { .. }
            | Verb::RequestPayout { .. }
            | Verb::CancelPayout { .. }
            | Verb::PatchBankAccount { .. }
            | Verb::Payout { .. }
    )
}

impl Oracle {
    /// The order that a call is about, as the oracle knows it.
    fn order_of(&self, verb: &Verb) -> Option<String> {
        match verb {
            Verb::Claim { token } | Verb::Upload { token, .. } | Verb::View { token } | Verb::Pay { token } => {
                self.tokens.get(token).cloned()
            }
            Verb::Confirm { order, .. }
            | Verb::Patch { order, .. }
            | Verb::Read { order }
            | Verb::RotateToken { order }
            | Verb::Receipt { order } => self.orders.contains_key(order).then(|| order.clone()),
            _ => None,
        }
    }

    /// Whether the caller's own account has this order: another's is not there for it.
    fn is_foreign(&self, call: &Call, order: &str) -> bool {
        let owner = |placing: &Placing| *placing == Placing::Done(order.to_owned());
        let seller = self.placings.iter().find(|(_, placing)| owner(placing)).map(|((seller, _), _)| *seller);
        call.bearer.is_some() && seller.is_some_and(|seller| seller != call.seller)
    }

    fn order_command(call: &Call, asked_at: i64) -> Option<order::Command> {
        let keyed = || Keyed { key: call.idempotency_key.clone(), body: call.verb.body(), asked_at };
        let by = |token: &str, command| order::Command::By(token.to_owned(), Box::new(command));
        Some(match &call.verb {
            Verb::Claim { token } => by(token, order::Command::Claim),
            Verb::Upload { token, bytes } => by(token, order::Command::Upload(bytes.clone())),
            Verb::View { token } => by(token, order::Command::View),
            Verb::Pay { token } => by(token, order::Command::Pay),
            Verb::RotateToken { .. } => order::Command::RotateToken(keyed()),
            Verb::Confirm { .. } => order::Command::Confirm(keyed()),
            Verb::Patch { status, quote, .. } => {
                order::Command::Patch { keyed: keyed(), status: *status, quote: *quote }
            }
            Verb::Read { .. } => order::Command::View,
            Verb::Receipt { .. } => order::Command::Receipt,
            _ => return None,
        })
    }

    fn settings_command(call: &Call) -> Option<settings::Command> {
        let seller = call.seller;
        Some(match &call.verb {
            Verb::PutStorefront { slug, variant, hide_branding, published } => {
                let (variant, hide_branding, published) = (*variant, *hide_branding, *published);
                settings::Command::Put {
                    seller,
                    front: Front { slug: slug.clone(), variant, hide_branding, published },
                }
            }
            Verb::GetStorefront => settings::Command::Get { seller },
            Verb::Visit { slug } => settings::Command::Visit { slug: slug.clone() },
            Verb::View { .. } => settings::Command::Shown { seller },
            Verb::SetTier { tier, .. } => settings::Command::SetTier { seller, tier },
            Verb::SwitchPayment { on } => settings::Command::SwitchPayment { seller, on: *on },
            Verb::SwitchMarketing { .. } => settings::Command::SwitchMarketing { seller },
            // Operators' requests look at no module.
            Verb::RequestPayout { .. } if call.is_operators() => return None,
            Verb::Pay { .. }
            | Verb::Balance
            | Verb::Entries
            | Verb::RequestPayout { .. }
            | Verb::CancelPayout { .. }
            | Verb::PatchBankAccount { .. }
            | Verb::BankAccount
            | Verb::Payouts
            | Verb::Payout { .. }
            | Verb::PayoutBalance => settings::Command::Money { seller },
            _ => return None,
        })
    }

    /// Whether it is another seller's payout that is asked for: that is not there for a seller.
    fn is_foreign_payout(&self, call: &Call) -> bool {
        let (Verb::Payout { payout } | Verb::CancelPayout { payout }) = &call.verb else { return false };
        self.payouts.get(payout).is_some_and(|(seller, _)| *seller != call.seller)
    }

    fn funds_command(&self, call: &Call, asked_at: i64) -> Option<funds::Command> {
        let keyed = || Keyed { key: call.idempotency_key.clone(), body: call.verb.body(), asked_at };
        let note = |payout: &String| self.payouts.get(payout).map(|(_, note)| note.clone());
        Some(match &call.verb {
            Verb::RequestPayout { amount, bank, note, .. } => funds::Command::Request {
                keyed: keyed(),
                note: note.clone(),
                amount: *amount,
                bank: bank.map(|variant| bank_account(call.seller, variant)),
            },
            Verb::CancelPayout { payout } => {
                funds::Command::Move { keyed: keyed(), note: note(payout)?, by: funds::Move::Cancel }
            }
            Verb::MovePayout { payout, step, text } if call.is_operators() => {
                let by = funds::Move::Operators(*step, text.clone());
                funds::Command::Move { keyed: keyed(), note: note(payout)?, by }
            }
            Verb::PatchBankAccount { variant, whole } => {
                let number = bank_account(call.seller, *variant);
                funds::Command::PatchBank { keyed: keyed(), number, whole: *whole }
            }
            Verb::Adjust { amount, reference, .. } => {
                funds::Command::Adjust { reference: reference.clone(), amount: *amount }
            }
            Verb::Balance | Verb::PayoutBalance => funds::Command::Balance,
            Verb::Payouts => funds::Command::Payouts,
            Verb::Payout { payout } => funds::Command::Payout(note(payout)?),
            Verb::BankAccount => funds::Command::Bank,
            _ => return None,
        })
    }

    fn funds(&mut self, seller: usize, view: &View<'_>) -> &mut Engine<FundsModel> {
        let (key_kept_ms, slack_ms) = exactness(view);
        let model = FundsModel { key_kept_ms, slack_ms };
        self.funds.entry(seller).or_insert_with(|| Engine::new(model, [funds::State::default()]))
    }

    /// Opens a command wherever it may do something.
    fn asked(&mut self, id: u64, call: &Call, view: &View<'_>) {
        let mut at = Vec::new();
        if let Some(bearer) = &call.bearer {
            let key = self.keys.entry(bearer.clone()).or_insert_with(|| Engine::new(KeyModel, [true]));
            key.asked(id, key::Command::Use);
            at.push(At::Key(bearer.clone()));
        }
        if let Verb::RevokeKey { id: key_id, .. } = &call.verb
            && let Some(key) = self.key_ids.get(key_id)
            && let Some(engine) = self.keys.get_mut(key)
        {
            engine.asked(id, key::Command::Revoke);
            at.push(At::Key(key.clone()));
        }
        if let Some(order) = self.order_of(&call.verb)
            && !self.is_foreign(call, &order)
            && let Some(command) = Self::order_command(call, view.now)
            && let Some(known) = self.orders.get_mut(&order)
        {
            known.engine.asked(id, command);
            at.push(At::Order(order));
        }
        if matches!(call.verb, Verb::List) {
            let placings = &self.placings;
            let own = |buyer: &str| placings.contains_key(&(call.seller, buyer.to_owned()));
            for (order, known) in self.orders.iter_mut().filter(|(_, known)| own(&known.buyer)) {
                known.engine.asked(id, order::Command::View);
                at.push(At::Order(order.clone()));
            }
        }
        if let Some(command) = Self::settings_command(call) {
            self.settings.asked(id, command);
            at.push(At::Settings);
        }
        if let Verb::Resolve { exception, .. } = &call.verb {
            let engine = self.exceptions.entry(exception.clone());
            engine.or_insert_with(|| Engine::new(ExceptionModel, [false])).asked(id, ());
            at.push(At::Exception(exception.clone()));
        }
        if !self.is_foreign_payout(call)
            && let Some(command) = self.funds_command(call, view.now)
        {
            self.funds(call.seller, view).asked(id, command);
            at.push(At::Funds(call.seller));
        }
        match &call.verb {
            Verb::Place { buyer, .. } => {
                self.placings.insert((call.seller, buyer.clone()), Placing::Open);
            }
            Verb::Reprice { price, .. } => {
                self.prices.insert(*price);
            }
            _ => {}
        }
        self.pending.insert(id, Pending { asked_at: view.now, at, told_unknown: false, ended: None });
    }

    fn told(&mut self, id: u64, call: &Call, reply: &Reply, view: &View<'_>) -> Verdict {
        let Some(mut pending) = self.pending.remove(&id) else { return Ok(()) };
        if *reply == Reply::Unknown {
            pending.told_unknown = true;
            let ended = pending.ended;
            self.pending.insert(id, pending);
            if let Some(ended) = ended {
                self.lose(id, ended);
            }
            return Ok(());
        }
        // Without the right key nothing else is looked at, so nothing else happened.
        let shut = *reply == Reply::Refused("UNAUTHORIZED".to_owned());
        for at in pending.at {
            let fits = match &at {
                At::Key(key) => self.told_key(key, id, call, reply, view),
                At::Order(order) => self.told_order(order, id, call, reply, shut, view)?,
                At::Exception(exception) => self.told_exception(exception, id, reply, shut, view),
                At::Funds(seller) => self.told_funds(*seller, id, call, reply, shut, view),
                At::Settings => self.told_settings(id, call, reply, shut, view),
            };
            if !fits {
                return Err(format!("nothing explains the answer to {call:?} at {at:?}: {reply:?}"));
            }
        }
        self.told_beside(call, reply)?;
        if let (Verb::RotateToken { .. }, Reply::Done { data, replayed: false }) = (&call.verb, reply)
            && self.replaced.get(text(data, "accessToken")).is_none_or(|at| *at < pending.asked_at)
        {
            return Err("an order was to get another token, and the one that is told is not new".to_owned());
        }
        self.learn(call, reply, view)
    }

    fn told_key(&mut self, key: &str, id: u64, call: &Call, reply: &Reply, view: &View<'_>) -> bool {
        let Some(engine) = self.keys.get_mut(key) else { return true };
        let expected = match (&call.verb, reply) {
            (_, Reply::NotDone | Reply::Unknown) => return engine.did_not_happen(id),
            (Verb::RevokeKey { .. }, Reply::Done { .. }) => key::Told::Revoked,
            (Verb::RevokeKey { .. }, Reply::Refused(_) | Reply::Bytes(_)) => key::Told::NotFound,
            (_, Reply::Refused(code)) if code == "UNAUTHORIZED" => key::Told::Shut,
            (_, Reply::Refused(_) | Reply::Done { .. } | Reply::Bytes(_)) => key::Told::Open,
        };
        engine.told(id, view.now, |told| *told == expected)
    }

    fn told_order(
        &mut self,
        order: &str,
        id: u64,
        call: &Call,
        reply: &Reply,
        shut: bool,
        view: &View<'_>,
    ) -> Result<bool, String> {
        let Some(known) = self.orders.get_mut(order) else { return Ok(true) };
        let engine = &mut known.engine;
        Ok(match reply {
            _ if shut => engine.did_not_happen(id),
            Reply::NotDone | Reply::Unknown => engine.did_not_happen(id),
            // It is the settings that refuse, or Plugipay. The order was opened.
            Reply::Refused(code) if ["PAYMENT_MODULE_DISABLED", "PLUGIPAY_ERROR"].contains(&code.as_str()) => {
                engine.told(id, view.now, |told| *told != order::Told::Refused("NOT_FOUND"))
            }
            Reply::Done { data, .. } if matches!(call.verb, Verb::Pay { .. }) => {
                let session = view.sandbox.session(text(data, "checkoutSessionId"));
                let own = |session: &SandboxSession| session.metadata.get("orderId").is_some_and(|of| of == order);
                let asked = session.filter(own).map(|session| asked_for(&session));
                engine.told(id, view.now, |told| matches!(told, order::Told::Paying(quote) if asked == Some(*quote)))
            }
            Reply::Bytes(bytes) => engine.told(id, view.now, |told| *told == order::Told::Bytes(bytes.clone())),
            Reply::Refused(code) => {
                engine.told(id, view.now, |told| matches!(told, order::Told::Refused(expected) if expected == code))
            }
            Reply::Done { data, replayed } => {
                let row = match &call.verb {
                    Verb::List => {
                        let rows = data.get("orders").and_then(Value::as_array);
                        rows.into_iter().flatten().find(|row| text(row, "id") == order)
                    }
                    _ => Some(data),
                };
                // A list shows the hundred newest orders, which is all that there are here.
                let Some(row) = row else { return Err(format!("order {order} is missing in the list")) };
                if let Some(number) = row.get("number").and_then(Value::as_i64)
                    && number != known.number
                {
                    return Err(format!("order {order} has number {}, and is shown with {number}", known.number));
                }
                let seen = Shown::of(row);
                let offered = row.get("onlinePayment").and_then(Value::as_bool).unwrap_or(false);
                if offered && seen.as_ref().is_some_and(|seen| !seen.is_payable()) {
                    return Err(format!("order {order} is offered to be paid online, and can't be"));
                }
                engine.told(id, view.now, |told| match (told, &seen) {
                    // An upload shows nothing of the order.
                    (order::Told::Done { .. }, None) => matches!(call.verb, Verb::Upload { .. }),
                    (order::Told::Done { shown, replayed: expected }, Some(seen)) => {
                        shown.is_seen_as(seen) && expected == replayed
                    }
                    (
                        order::Told::Bytes(_)
                        | order::Told::Replaced
                        | order::Told::Refused(_)
                        | order::Told::Paying(_)
                        | order::Told::Settled(_),
                        _,
                    ) => false,
                })
            }
        })
    }

    fn told_exception(&mut self, exception: &str, id: u64, reply: &Reply, shut: bool, view: &View<'_>) -> bool {
        let Some(engine) = self.exceptions.get_mut(exception) else { return true };
        let expected = match reply {
            _ if shut => return engine.did_not_happen(id),
            Reply::NotDone | Reply::Unknown => return engine.did_not_happen(id),
            Reply::Done { .. } => exception::Told::Resolved,
            Reply::Refused(code) if code == "INVALID_TRANSITION" => exception::Told::Refused,
            Reply::Refused(_) | Reply::Bytes(_) => return false,
        };
        engine.told(id, view.now, |told| *told == expected)
    }

    /// A buyer has paid: from now on the money may become known.
    fn paid(&mut self, session: &SandboxSession, minted: i64) {
        let Some(order) = session.metadata.get("orderId") else { return };
        let Some(known) = self.orders.get_mut(order).filter(|_| session.currency == "IDR") else { return };
        self.paid += 1;
        let id = PAYMENTS_FROM.saturating_add(self.paid);
        known.engine.asked(id, order::Command::Settle { arrived: session.amount, minted });
        self.payments.insert(session.id.clone(), Payment { order: order.clone(), id });
    }

    /// Money is in the ledger: what it did to its order has to be what it could do.
    fn landed(&mut self, change: &ChangeSet, view: &View<'_>) -> Verdict {
        let mut kinds = change.writes.iter().filter_map(|write| match write {
            Write::InsertException(exception) => Some(exception.kind.as_str()),
            _ => None,
        });
        let kind = kinds.next().unwrap_or(order::CONFIRMED);
        for write in &change.writes {
            if let Write::RotateToken { id, access_token, .. } = write {
                self.token_replaced(id.to_string(), access_token.reveal(), view);
            }
            let Write::Post(legs) = write else { continue };
            if legs.iter().any(|leg| leg.source_type != SourceType::CheckoutSession) {
                continue;
            }
            if let Some(seller) = view.sellers.iter().position(|seller| seller.account == change.account_id) {
                self.settled(seller, legs, view);
            }
            let session = legs.first().map(|leg| leg.source_id.clone()).unwrap_or_default();
            let Some(Payment { order, id }) = self.payments.remove(&session) else {
                return Err(format!("the ledger knows of money through {session} that nobody paid"));
            };
            let Some(known) = self.orders.get_mut(&order) else { continue };
            if !known.engine.told(id, view.now, |told| *told == order::Told::Settled(kind)) {
                return Err(format!("nothing explains that the money through {session} is told as {kind}"));
            }
        }
        Ok(())
    }

    fn token_replaced(&mut self, order: String, token: &str, view: &View<'_>) {
        self.paid += 1;
        let id = PAYMENTS_FROM.saturating_add(self.paid);
        if let Some(known) = self.orders.get_mut(&order) {
            known.engine.asked(id, order::Command::Replace(token.to_owned()));
            known.engine.told(id, view.now, |told| *told == order::Told::Replaced);
        }
        self.replaced.insert(token.to_owned(), view.now);
        self.tokens.insert(token.to_owned(), order);
    }

    /// The seller's share of what was settled, known from the very moment at which it is in the ledger.
    fn settled(&mut self, seller: usize, legs: &[LedgerEntry], view: &View<'_>) {
        let own = legs.iter().filter(|leg| leg.book == Book::Seller);
        let share =
            own.map(|leg| if leg.direction == Direction::Credit { leg.amount.get() } else { -leg.amount.get() });
        let share = share.sum();
        self.paid += 1;
        let id = PAYMENTS_FROM.saturating_add(self.paid);
        let engine = self.funds(seller, view);
        engine.asked(id, funds::Command::Settle(share));
        engine.told(id, view.now, |told| *told == funds::Told::Settled);
    }

    fn told_funds(&mut self, seller: usize, id: u64, call: &Call, reply: &Reply, shut: bool, view: &View<'_>) -> bool {
        use funds::Told;
        let Some(engine) = self.funds.get_mut(&seller) else { return true };
        let (data, replayed) = match reply {
            _ if shut => return engine.did_not_happen(id),
            Reply::NotDone | Reply::Unknown => return engine.did_not_happen(id),
            // It is the settings that refuse: a seller, never an operator.
            Reply::Refused(code) if code == "PAYMENT_MODULE_DISABLED" && !call.is_operators() => {
                return engine.did_not_happen(id);
            }
            Reply::Refused(code) => {
                return engine.told(id, view.now, |told| matches!(told, Told::Refused(expected) if expected == code));
            }
            Reply::Bytes(_) => return false,
            Reply::Done { data, replayed } => (data, *replayed),
        };
        engine.told(id, view.now, |told| funds::fits(&call.verb, data, replayed, told))
    }

    fn told_settings(&mut self, id: u64, call: &Call, reply: &Reply, shut: bool, view: &View<'_>) -> bool {
        use settings::Told;
        let data = match reply {
            _ if shut => return self.settings.did_not_happen(id),
            Reply::NotDone | Reply::Unknown => return self.settings.did_not_happen(id),
            // Nothing is switched, and nothing said of the switch.
            Reply::Refused(code) if code == "PLUGIPAY_ERROR" => return self.settings.did_not_happen(id),
            // Whoever has an old token does not come as far as to the settings.
            Reply::Refused(code)
                if code == "NOT_FOUND" && matches!(call.verb, Verb::View { .. } | Verb::Pay { .. }) =>
            {
                return self.settings.did_not_happen(id);
            }
            // It is the order or the funds that refuse: the gate was open.
            Reply::Refused(code) if is_behind_the_gate(&call.verb) && code != "PAYMENT_MODULE_DISABLED" => {
                return self.settings.told(id, view.now, |told| *told == Told::Done);
            }
            Reply::Refused(code) => {
                return self.settings.told(
                    id,
                    view.now,
                    |told| matches!(told, Told::Refused(expected) if expected == code),
                );
            }
            Reply::Bytes(_) => return false,
            Reply::Done { data, .. } => data,
        };
        let hidden = |of: &Value| of.get("hideBranding").and_then(Value::as_bool).unwrap_or(false);
        let number = |accounts: Option<&Value>| {
            let account = accounts.and_then(Value::as_array).and_then(|accounts| accounts.first());
            account.map(|account| text(account, "accountNumber").to_owned()).unwrap_or_default()
        };
        self.settings.told(id, view.now, |told| match (&call.verb, told) {
            (Verb::GetStorefront, Told::Front(None)) => data.is_null(),
            (Verb::GetStorefront, Told::Front(Some(front))) => {
                text(data, "slug") == front.slug
                    && number(data.get("manualBankAccounts")) == bank_account(call.seller, front.variant)
                    && hidden(data) == front.hide_branding
                    && data.get("published").and_then(Value::as_bool) == Some(front.published)
            }
            (Verb::Visit { .. }, Told::Shop(seller, hides, on)) => {
                let front = data.get("storefront").unwrap_or(&Value::Null);
                text(front, "displayName") == format!("Studio {seller}")
                    && hidden(front) == *hides
                    && front.get("onlinePayment").and_then(Value::as_bool) == Some(*on)
            }
            (Verb::View { .. }, Told::Shown { on: false, .. })
                if data.get("onlinePayment").and_then(Value::as_bool) == Some(true) =>
            {
                false
            }
            (Verb::View { .. }, Told::Shown { slug, variant, hidden: hides, .. }) => {
                let front = data.get("storefront").unwrap_or(&Value::Null);
                let accounts = data.get("payment").and_then(|payment| payment.get("bankAccounts"));
                text(front, "slug") == slug
                    && hidden(front) == *hides
                    && accounts.is_none_or(|accounts| number(Some(accounts)) == bank_account(call.seller, *variant))
            }
            (_, Told::Done) => true,
            (_, Told::Front(_) | Told::Shop(..) | Told::Shown { .. } | Told::Refused(_)) => false,
        })
    }

    /// Answers to what no object of ours is touched by.
    fn told_beside(&mut self, call: &Call, reply: &Reply) -> Verdict {
        let placing = |oracle: &mut Self, buyer: &str, now: Placing| {
            oracle.placings.insert((call.seller, buyer.to_owned()), now);
        };
        match (&call.verb, reply) {
            (Verb::Place { buyer, .. }, Reply::Refused(code)) => {
                placing(self, buyer, Placing::Never);
                if code == "NOT_FOUND" { Ok(()) } else { Err(format!("an order was refused with {code}")) }
            }
            (Verb::Place { buyer, .. }, Reply::NotDone) => {
                placing(self, buyer, Placing::Never);
                Ok(())
            }
            (
                Verb::Read { order }
                | Verb::RotateToken { order }
                | Verb::Receipt { order }
                | Verb::Confirm { order, .. },
                reply,
            ) if self.is_foreign(call, order) => match reply {
                Reply::Done { .. } | Reply::Bytes(_) => Err(format!("another account's order was given: {call:?}")),
                Reply::Refused(_) | Reply::NotDone | Reply::Unknown => Ok(()),
            },
            (_, Reply::Done { .. }) if self.is_foreign_payout(call) => {
                Err(format!("another account's payout was given: {call:?}"))
            }
            (Verb::MovePayout { .. }, reply) if !call.is_operators() => match reply {
                Reply::Refused(code) if code == "OPERATOR_ONLY" || code == "UNAUTHORIZED" => Ok(()),
                Reply::NotDone | Reply::Unknown => Ok(()),
                _ => Err(format!("a seller moved a payout along: {reply:?}")),
            },
            _ => Ok(()),
        }
    }

    /// What an answer tells of things that were not known before.
    fn learn(&mut self, call: &Call, reply: &Reply, view: &View<'_>) -> Verdict {
        let Reply::Done { data, .. } = reply else { return Ok(()) };
        match &call.verb {
            Verb::Place { buyer, .. } => {
                let order = text(data, "orderId").to_owned();
                let number = data.get("number").and_then(Value::as_i64).unwrap_or(-1);
                let quote = data.get("quotedPriceIdr").and_then(Value::as_i64).unwrap_or(-1);
                let token = text(data, "accessToken");
                self.tokens.insert(token.to_owned(), order.clone());
                self.learn_order(call.seller, buyer, &order, number, Shown::placed(quote, token), view)
            }
            Verb::List => {
                for row in data.get("orders").and_then(Value::as_array).into_iter().flatten() {
                    let (order, buyer) = (text(row, "id"), text(row, "buyerName"));
                    let number = row.get("number").and_then(Value::as_i64).unwrap_or(-1);
                    let shown = Shown::of(row).unwrap_or_else(|| Shown::placed(-1, ""));
                    self.tokens.insert(text(row, "accessToken").to_owned(), order.to_owned());
                    // One that is known by now is compared by its own views.
                    if !self.orders.contains_key(order) {
                        self.learn_order(call.seller, buyer, order, number, shown, view)?;
                    }
                }
                Ok(())
            }
            Verb::IssueKey { .. } | Verb::AddKey { .. } => {
                let (id, key) = (text(data, "id").to_owned(), text(data, "key").to_owned());
                self.keys.insert(key.clone(), Engine::new(KeyModel, [true]));
                self.key_ids.insert(id, key);
                Ok(())
            }
            Verb::RequestPayout { .. } => self.learn_payout(call.seller, data),
            Verb::Payouts => {
                let mut rows = data.as_array().into_iter().flatten();
                rows.try_for_each(|row| self.learn_payout(call.seller, row))
            }
            _ => Ok(()),
        }
    }

    /// Which payout a request made: one and no other.
    fn learn_payout(&mut self, seller: usize, shown: &Value) -> Verdict {
        let (id, of) = (text(shown, "id").to_owned(), (seller, text(shown, "note").to_owned()));
        if self.payouts.iter().any(|(other, known)| *other != id && *known == of) {
            return Err(format!("one request made two payouts, {id} and another"));
        }
        self.payouts.insert(id, of);
        Ok(())
    }

    fn learn_order(
        &mut self,
        seller: usize,
        buyer: &str,
        order: &str,
        number: i64,
        shown: Shown,
        view: &View<'_>,
    ) -> Verdict {
        let place = (seller, buyer.to_owned());
        match self.placings.get(&place) {
            None => return Err(format!("order {order} was placed by nobody")),
            Some(Placing::Never) => {
                return Err(format!("order {order} is there, and its buyer was told that it is not"));
            }
            Some(Placing::Done(other)) if other != order => {
                return Err(format!("one request placed two orders, {other} and {order}"));
            }
            Some(Placing::Done(_) | Placing::Open) => {}
        }
        // Nobody but its buyer and its seller can have touched it, and neither knew of it.
        if shown != Shown::placed(shown.quote, &shown.token) || !self.prices.contains(&shown.quote) {
            return Err(format!("a new order looks like {shown:?}"));
        }
        self.placings.insert(place, Placing::Done(order.to_owned()));
        if self.orders.contains_key(order) {
            return Ok(());
        }
        let (key_kept_ms, slack_ms) = exactness(view);
        let model = OrderModel { key_kept_ms, slack_ms };
        let engine = Engine::new(model, [order::State::new(shown)]);
        self.orders.insert(order.to_owned(), Order { engine, number, buyer: buyer.to_owned() });
        Ok(())
    }

    fn ended(&mut self, id: u64, now: i64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.ended = Some(now);
        if pending.told_unknown {
            self.lose(id, now);
        }
    }

    /// The command's answer is lost: it may have happened, or may until what is on its way has arrived.
    fn lose(&mut self, id: u64, ended: i64) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let until = ended.saturating_add(ARRIVES_WITHIN_MS);
        for at in pending.at {
            match at {
                At::Order(order) => {
                    if let Some(known) = self.orders.get_mut(&order) {
                        known.engine.may_happen_until(id, until);
                    }
                }
                At::Key(key) => {
                    if let Some(engine) = self.keys.get_mut(&key) {
                        engine.may_happen_until(id, until);
                    }
                }
                At::Exception(exception) => {
                    if let Some(engine) = self.exceptions.get_mut(&exception) {
                        engine.may_happen_until(id, until);
                    }
                }
                At::Funds(seller) => {
                    if let Some(engine) = self.funds.get_mut(&seller) {
                        engine.may_happen_until(id, until);
                    }
                }
                At::Settings => self.settings.may_happen_until(id, until),
            }
        }
    }

    /// The money as it is in the storage at the end has to be a state that explains every answer.
    fn check_funds(&mut self, view: &View<'_>) -> Verdict {
        let failed = |error: serront_core::ports::PortError| error.to_string();
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        self.funds.values_mut().for_each(Engine::settle);
        for (seller, facts) in view.sellers.iter().enumerate() {
            let Some(engine) = self.funds.get(&seller).filter(|engine| !engine.gave_up()) else { continue };
            let rows = at_once(view.storage.payouts(facts.account, None, None, limit)).map_err(failed)?.rows;
            let rows: Vec<_> = rows.iter().map(|row| serde_json::to_value(PayoutView::from(row))).collect();
            let rows: Vec<_> = rows.into_iter().map(Result::unwrap_or_default).collect();
            let snapshot = at_once(view.storage.funds(facts.account, None)).map_err(failed)?;
            let Some(snapshot) = snapshot else { return Err(format!("seller {seller} has no funds")) };
            let ledger: i64 = snapshot.totals.iter().map(|of| of.credits - of.debits).sum();
            let in_flight = snapshot.funds.in_flight.get();
            let bank = snapshot.bank_account.and_then(|account| account.details.bank_account_number);
            let explains = |state: &funds::State| {
                (state.ledger, state.in_flight()) == (ledger, in_flight)
                    && funds::lists(&rows, &state.payouts)
                    && state.bank.as_ref().map(|(number, _)| number) == bank.as_ref()
            };
            if !engine.states().any(explains) {
                return Err(format!(
                    "seller {seller} ends with {ledger} and {in_flight} in flight, which nothing explains"
                ));
            }
        }
        Ok(())
    }

    fn check_books(&mut self, view: &View<'_>) -> Verdict {
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        let mut there = BTreeSet::new();
        self.orders.values_mut().for_each(|known| known.engine.settle());
        for seller in view.sellers {
            let rows = at_once(view.storage.orders(seller.account, &OrderFilter::default(), None, limit));
            for row in rows.map_err(|error| error.to_string())?.rows {
                let order = row.order.id.to_string();
                let shown = Shown {
                    status: row.order.state.status.as_str().to_owned(),
                    payment: row.payment.state.status.as_str().to_owned(),
                    quote: row.order.state.quoted_price.get(),
                    proof: row.payment.state.receipt.is_some(),
                    token: row.order.access_token.reveal().to_owned(),
                };
                let Some(known) = self.orders.get(&order) else {
                    return Err(format!("order {order} is in the books, and nobody knows of it"));
                };
                if !known.engine.gave_up() && !known.engine.states().any(|state| state.shown == shown) {
                    return Err(format!("order {order} ends as {shown:?}, which nothing explains"));
                }
                there.insert(order);
            }
        }
        match self.orders.keys().find(|order| !there.contains(*order)) {
            Some(order) => Err(format!("order {order} was acknowledged and is not in the books")),
            None => Ok(()),
        }
    }
}

impl Invariant for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Asked { id, call } => {
                self.asked(*id, call, view);
                Ok(())
            }
            Event::Told { id, call, reply } => self.told(*id, call, reply, view),
            Event::Ended { id } => {
                self.ended(*id, view.now);
                Ok(())
            }
            Event::Paid { session, minted } => {
                self.paid(session, *minted);
                Ok(())
            }
            Event::Landed { change, .. } => self.landed(change, view),
            Event::Called { .. }
            | Event::KeysForgotten
            | Event::KeyAdded
            | Event::Notified(_)
            | Event::Taken { .. }
            | Event::Folded
            | Event::Hindered
            | Event::Recorded { .. }
            | Event::Mailed(_)
            | Event::MailRefused(_)
            | Event::Posted { .. }
            | Event::Removed { .. }
            | Event::Quarantined { .. }
            | Event::Discarded { .. }
            | Event::Said(_)
            | Event::Secret(_) => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        self.check_books(view)?;
        self.check_funds(view)
    }
}
