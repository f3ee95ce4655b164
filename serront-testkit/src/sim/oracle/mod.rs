//! The oracle: what each command may do and answer, modelled without the core's code, from requests and answers alone.
//!
//! ```text
//! request ─▶ open in each object that it may change ─▶ answer ─▶ which states explain it?  none ─▶ violation
//!                                                      lost ─▶ stays open: it may have happened, or may yet
//! ```
//!
//! No client requests the posting of an online payment: the buyer's payment at the hosted page opens the command, and
//! the posting is its answer. For the seller's funds the posting itself is the command. The same holds for an order's
//! new access token, which no client can know before it is stored.
//!
//! The oracle knows the wire contract and JSON; ids, tokens and keys are text to it. `learn` reads what answers reveal,
//! `landed` handles the effects without a request, `end` compares the storage at the end. A new object is a model
//! beside `order.rs`, with its `Command::of` and its `explains`, and a variant of [`Object`] here.

mod end;
mod engine;
mod exception;
mod funds;
mod key;
mod keyed;
mod landed;
mod learn;
mod order;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use self::engine::{Commands, Engine};
use self::exception::ExceptionModel;
use self::funds::FundsModel;
use self::key::KeyModel;
use self::keyed::KeyLifetime;
use self::order::Order;
use self::settings::SettingsModel;
use super::events::{Call, Event, Invariant, Reply, Verb, Verdict, View, text};

/// A call that is on its way to the storage arrives within this time after its host has finished the request.
const ARRIVES_WITHIN_MS: i64 = 120_000;

/// The price of every service at first.
const FIRST_PRICE: i64 = 750_000;

/// An object in which a command is open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Object {
    Order(String),
    Key(String),
    Exception(String),
    /// The funds of this seller.
    Funds(usize),
    Settings,
}

/// A request without an answer so far.
struct Pending {
    asked_at: i64,
    objects: Vec<Object>,
    answer_lost: bool,
    ended: Option<i64>,
}

/// The state of a buyer's request for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Placing {
    /// The order may exist.
    Open,
    /// This order was placed.
    Done(String),
    /// No order was placed, and none will be.
    Never,
}

/// A payment online, from the hosted page until it is in the ledger.
struct Payment {
    order: String,
    /// Its id among the open commands.
    id: u64,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Oracle {
    orders: BTreeMap<String, Order>,
    /// Orders by every access token that they ever had.
    tokens: BTreeMap<String, String>,
    /// When each rotated token was stored.
    replaced: BTreeMap<String, i64>,
    /// By seller and buyer.
    placings: BTreeMap<(usize, String), Placing>,
    /// Prices that sellers have set since the first one.
    prices: BTreeSet<i64>,
    keys: BTreeMap<String, Engine<KeyModel>>,
    key_ids: BTreeMap<String, String>,
    settings: Engine<SettingsModel>,
    exceptions: BTreeMap<String, Engine<ExceptionModel>>,
    /// By seller.
    funds: BTreeMap<usize, Engine<FundsModel>>,
    /// The seller and the request's note, by payout.
    payouts: BTreeMap<String, (usize, String)>,
    /// By session.
    payments: BTreeMap<String, Payment>,
    /// Number of commands without a request so far.
    unrequested: u64,
    pending: BTreeMap<u64, Pending>,
}

impl Default for Engine<SettingsModel> {
    fn default() -> Self {
        Self::new(SettingsModel, [settings::State::default()])
    }
}

impl Oracle {
    /// The known order that a call is about.
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

    /// Whether the order belongs to another account than the caller's, which must not see it.
    fn is_foreign(&self, call: &Call, order: &str) -> bool {
        let owner = |placing: &Placing| *placing == Placing::Done(order.to_owned());
        let seller = self.placings.iter().find(|(_, placing)| owner(placing)).map(|((seller, _), _)| *seller);
        call.bearer.is_some() && seller.is_some_and(|seller| seller != call.seller)
    }

    /// Whether the call is about another seller's payout, which the caller must not see.
    fn is_foreign_payout(&self, call: &Call) -> bool {
        let (Verb::Payout { payout } | Verb::CancelPayout { payout }) = &call.verb else { return false };
        self.payouts.get(payout).is_some_and(|(seller, _)| *seller != call.seller)
    }

    fn funds(&mut self, seller: usize, view: &View<'_>) -> &mut Engine<FundsModel> {
        let model = FundsModel(KeyLifetime::of(view));
        self.funds.entry(seller).or_insert_with(|| Engine::new(model, [funds::State::default()]))
    }

    fn commands(&mut self, object: &Object) -> Option<&mut dyn Commands> {
        Some(match object {
            Object::Order(order) => &mut self.orders.get_mut(order)?.engine,
            Object::Key(key) => self.keys.get_mut(key)?,
            Object::Exception(exception) => self.exceptions.get_mut(exception)?,
            Object::Funds(seller) => self.funds.get_mut(seller)?,
            Object::Settings => &mut self.settings,
        })
    }

    /// Opens a command in each object that it may change.
    fn requested(&mut self, id: u64, call: &Call, view: &View<'_>) {
        let mut objects = Vec::new();
        if let Some(bearer) = &call.bearer {
            let key = self.keys.entry(bearer.clone()).or_insert_with(|| Engine::new(KeyModel, [true]));
            key.requested(id, key::Command::Use);
            objects.push(Object::Key(bearer.clone()));
        }
        if let Verb::RevokeKey { id: key_id, .. } = &call.verb
            && let Some(key) = self.key_ids.get(key_id)
            && let Some(engine) = self.keys.get_mut(key)
        {
            engine.requested(id, key::Command::Revoke);
            objects.push(Object::Key(key.clone()));
        }
        if let Some(order) = self.order_of(&call.verb)
            && !self.is_foreign(call, &order)
            && let Some(command) = order::Command::of(call, view.now)
            && let Some(known) = self.orders.get_mut(&order)
        {
            known.engine.requested(id, command);
            objects.push(Object::Order(order));
        }
        if matches!(call.verb, Verb::List) {
            let placings = &self.placings;
            let own = |buyer: &str| placings.contains_key(&(call.seller, buyer.to_owned()));
            for (order, known) in self.orders.iter_mut().filter(|(_, known)| own(&known.buyer)) {
                known.engine.requested(id, order::Command::View);
                objects.push(Object::Order(order.clone()));
            }
        }
        if let Some(command) = settings::Command::of(call) {
            self.settings.requested(id, command);
            objects.push(Object::Settings);
        }
        if let Verb::Resolve { exception, .. } = &call.verb {
            let engine = self.exceptions.entry(exception.clone());
            engine.or_insert_with(|| Engine::new(ExceptionModel, [false])).requested(id, ());
            objects.push(Object::Exception(exception.clone()));
        }
        let note = |payout: &String| self.payouts.get(payout).map(|(_, note)| note.clone());
        if !self.is_foreign_payout(call)
            && let Some(command) = funds::Command::of(call, view.now, note)
        {
            self.funds(call.seller, view).requested(id, command);
            objects.push(Object::Funds(call.seller));
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
        self.pending.insert(id, Pending { asked_at: view.now, objects, answer_lost: false, ended: None });
    }

    fn answered(&mut self, id: u64, call: &Call, reply: &Reply, view: &View<'_>) -> Verdict {
        let Some(mut pending) = self.pending.remove(&id) else { return Ok(()) };
        if *reply == Reply::Unknown {
            pending.answer_lost = true;
            let ended = pending.ended;
            self.pending.insert(id, pending);
            if let Some(ended) = ended {
                self.lose(id, ended);
            }
            return Ok(());
        }
        for object in pending.objects {
            if !self.explains(&object, id, call, reply, view)? {
                return Err(format!("nothing explains the answer to {call:?} at {object:?}: {reply:?}"));
            }
        }
        self.check_unmodelled(call, reply)?;
        if let (Verb::RotateToken { .. }, Reply::Done { data, replayed: false }) = (&call.verb, reply)
            && self.replaced.get(text(data, "accessToken")).is_none_or(|at| *at < pending.asked_at)
        {
            return Err("a rotation of an order's token was answered with an old token".to_owned());
        }
        self.learn(call, reply, view)
    }

    /// Whether a possible state of this object explains the answer.
    fn explains(
        &mut self,
        object: &Object,
        id: u64,
        call: &Call,
        reply: &Reply,
        view: &View<'_>,
    ) -> Result<bool, String> {
        let nothing_done = match reply {
            Reply::NotDone | Reply::Unknown => true,
            // Without a valid key nothing but the key is read.
            Reply::Refused(code) => code == "UNAUTHORIZED" && !matches!(object, Object::Key(_)),
            Reply::Done { .. } | Reply::Bytes(_) => false,
        };
        if nothing_done {
            return Ok(self.commands(object).is_none_or(|commands| commands.did_not_happen(id)));
        }
        Ok(match object {
            Object::Key(key) => self.keys.get_mut(key).is_none_or(|key| key.explains(id, call, reply, view.now)),
            Object::Order(order) => match self.orders.get_mut(order) {
                Some(known) => known.explains(order, (id, call), reply, view)?,
                None => true,
            },
            Object::Exception(exception) => {
                self.exceptions.get_mut(exception).is_none_or(|engine| engine.explains(id, reply, view.now))
            }
            Object::Funds(seller) => {
                self.funds.get_mut(seller).is_none_or(|funds| funds.explains(id, call, reply, view.now))
            }
            Object::Settings => self.settings.explains(id, call, reply, view.now),
        })
    }

    /// Checks answers that no model covers: refused orders, and other accounts' orders and payouts.
    fn check_unmodelled(&mut self, call: &Call, reply: &Reply) -> Verdict {
        match (&call.verb, reply) {
            (Verb::Place { buyer, .. }, Reply::Refused(_) | Reply::NotDone) => {
                self.placings.insert((call.seller, buyer.clone()), Placing::Never);
                match reply {
                    Reply::Refused(code) if code != "NOT_FOUND" => Err(format!("an order was refused with {code}")),
                    _ => Ok(()),
                }
            }
            (
                Verb::Read { order }
                | Verb::RotateToken { order }
                | Verb::Receipt { order }
                | Verb::Confirm { order, .. },
                Reply::Done { .. } | Reply::Bytes(_),
            ) if self.is_foreign(call, order) => Err(format!("another account's order was shown: {call:?}")),
            (_, Reply::Done { .. }) if self.is_foreign_payout(call) => {
                Err(format!("another account's payout was shown: {call:?}"))
            }
            (Verb::MovePayout { .. }, reply) if !call.is_operators() => match reply {
                Reply::Refused(code) if code == "OPERATOR_ONLY" || code == "UNAUTHORIZED" => Ok(()),
                Reply::NotDone | Reply::Unknown => Ok(()),
                _ => Err(format!("a seller moved a payout: {reply:?}")),
            },
            _ => Ok(()),
        }
    }

    fn ended(&mut self, id: u64, now: i64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.ended = Some(now);
        if pending.answer_lost {
            self.lose(id, now);
        }
    }

    /// The command's answer is lost: it may have happened, or may happen until all its calls have arrived.
    fn lose(&mut self, id: u64, ended: i64) {
        let Some(pending) = self.pending.remove(&id) else { return };
        for object in &pending.objects {
            if let Some(commands) = self.commands(object) {
                commands.may_happen_until(id, ended.saturating_add(ARRIVES_WITHIN_MS));
            }
        }
    }
}

impl Invariant for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Requested { id, call } => self.requested(*id, call, view),
            Event::Answered { id, call, reply } => return self.answered(*id, call, reply, view),
            Event::Ended { id } => self.ended(*id, view.now),
            Event::Paid { session, minted } => self.paid(session, *minted),
            Event::Landed { change, .. } => return self.landed(change, view),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        self.check_orders(view)?;
        self.check_funds(view)
    }
}
