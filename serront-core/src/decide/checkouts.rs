//! Decisions about online checkout: beginning one, recording Plugipay's session, and applying what Plugipay reports.

use super::edit::Edit;
use super::{Context, Decision};
use crate::accounts::actor::Actor;
use crate::changes::change::{Claim, ClaimName, Guard, Row, SessionName, Write};
use crate::changes::effect::{Effect, Errand};
use crate::funds::ledger;
use crate::online::checkout::{Checkout, CheckoutState, CheckoutStatus, Session};
use crate::online::exception::{ExceptionState, ExceptionStatus, PaymentException};
use crate::online::inbox::{InboxRecord, InboxStatus};
use crate::online::plugipay::{Minted, Observation, Returns, session_request};
use crate::orders::audit::Act;
use crate::orders::exception_kind::ExceptionKind;
use crate::orders::payment::PaymentAct;
use crate::primitives::money::{CURRENCY, Rupiah};
use crate::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use crate::primitives::rejection::Rejection;
use crate::primitives::version::Version;
use crate::snapshots::{CheckoutSnapshot, OrderSnapshot, SessionSnapshot};
use crate::views::{CheckoutView, offers_online_payment};

/// What to do when a buyer presses "pay online".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Send the buyer to this session.
    Session(CheckoutView),
    /// This session was payable when it was opened, some time ago: ask Plugipay for its state first.
    Known(Box<Checkout>, CheckoutView),
    /// Have Plugipay mint the session for this merchant, with this checkout's request and key.
    Mint(MerchantId, Box<Checkout>),
}

/// Begins to pay an order online. It answers an open session for the same amount again, and resends an intent whose
/// outcome is unknown.
///
/// # Errors
/// In this order: [`Rejection::PaymentModuleDisabled`], [`Rejection::NotConfigured`], [`Rejection::InvalidTransition`]
/// once the payment is confirmed, [`Rejection::OrderClosed`], [`Rejection::NoQuote`].
pub fn begin_checkout(
    snapshot: &OrderSnapshot,
    returns: &Returns,
    context: &mut Context<'_>,
) -> Result<Decision<Begun>, Rejection> {
    let OrderSnapshot { account, order, payment, service, checkouts, .. } = snapshot;
    if !offers_online_payment(account) {
        return Err(Rejection::PaymentModuleDisabled);
    }
    let merchant =
        super::merchant(account).ok_or(Rejection::NotConfigured("online payment is not set up for this account"))?;
    payment.state.status.apply(PaymentAct::PayOnline)?;
    if order.state.status.is_closed() {
        return Err(Rejection::OrderClosed(order.state.status.as_str()));
    }
    let amount = payment.state.amount_due;
    if amount.is_zero() {
        return Err(Rejection::NoQuote);
    }
    let payable = |checkout: &Checkout| {
        let view = CheckoutView::from(checkout.payable(amount, context.now)?);
        let known_for = context.now.since(checkout.created_at);
        Some(if known_for < context.policy.online.poll_first {
            Begun::Session(view)
        } else {
            Begun::Known(Box::new(checkout.clone()), view)
        })
    };
    if let Some(begun) = checkouts.iter().find_map(payable) {
        return Ok(Decision::Unchanged(begun));
    }
    let intended = checkouts.iter().find(|checkout| {
        checkout.state.status == CheckoutStatus::Intended && !checkout.state.unneeded && checkout.amount == amount
    });
    if let Some(checkout) = intended {
        return Ok(Decision::Unchanged(Begun::Mint(merchant, Box::new(checkout.clone()))));
    }
    let id = context.ids.checkout();
    let valid_for = context.policy.online.session_valid_for.as_secs();
    let checkout = Checkout {
        id,
        account_id: account.id,
        order_id: order.id,
        payment_id: payment.id,
        amount,
        fee_rate: context.policy.online.fee,
        request: session_request(id, order.id, amount, &service.name, valid_for, returns),
        created_at: context.now,
        state: CheckoutState { status: CheckoutStatus::Intended, session: None, unneeded: false, ended_at: None },
    };
    let mut edit = Edit::begin(snapshot, context);
    // A payment has one open session. A session that has expired by our clock may still be payable by Plugipay's.
    edit.cancel_checkouts(context, None);
    edit.change.guards.push(Guard::Settings(account.state.version));
    edit.insert_checkout(context, checkout.clone());
    let (change, _) = edit.finish();
    Ok(Decision::Change(Box::new(change), Begun::Mint(merchant, Box::new(checkout))))
}

/// Records the session that Plugipay minted. If the payment is no longer needed, it also cancels the session.
///
/// `name` is what is stored under the session's name. This commit and a notification that arrived earlier both write
/// that row, so neither misses the other. The caller applies the parked notifications in it afterwards.
#[must_use]
pub fn record_session(
    snapshot: &CheckoutSnapshot,
    name: &SessionSnapshot,
    minted: &Minted,
    context: &mut Context<'_>,
) -> Decision<()> {
    if name.checkout.is_some() {
        return Decision::Unchanged(());
    }
    let Minted { session, observation } = minted;
    let mut snapshot = snapshot.clone();
    let first = snapshot.checkout.state.status == CheckoutStatus::Intended;
    if !first {
        // Plugipay forgot the key and minted a second session for one intent. No buyer was sent to it. A separate
        // checkout records it, and it is canceled.
        let state = CheckoutState { status: CheckoutStatus::Intended, session: None, unneeded: true, ended_at: None };
        snapshot.checkout = Checkout { id: context.ids.checkout(), state, ..snapshot.checkout };
    }
    let CheckoutSnapshot { order, checkout } = &snapshot;
    let mut edit = Edit::begin(order, context);
    edit.change.guards.push(Guard::Exact { row: Row::Session(session.id.clone()), version: name.version });
    edit.change.writes.push(Write::PutSession(SessionName {
        id: session.id.clone(),
        version: name.version.next(),
        checkout_id: Some(checkout.id),
    }));
    let opened = CheckoutState { session: Some(session.clone()), ..checkout.state.clone() };
    if opened.unneeded {
        edit.errand(context, Errand::Cancel(checkout.id), context.now);
    }
    let opened = Checkout { state: opened, ..checkout.clone() };
    let Applied { state, unbookable } = apply(&mut edit, &opened, observation, None, context);
    let state = state.unwrap_or_else(|| opened.state.clone());
    if first {
        edit.update_checkout(checkout.id, state);
    } else {
        edit.insert_checkout(context, Checkout { state, ..opened });
    }
    finish(edit, checkout, observation, unbookable)
}

/// Ends an intent that Plugipay refused: there is no session, and there will be none.
#[must_use]
pub fn refuse_session(snapshot: &CheckoutSnapshot, context: &mut Context<'_>) -> Decision<()> {
    let CheckoutSnapshot { order, checkout } = snapshot;
    if checkout.state.status != CheckoutStatus::Intended {
        return Decision::Unchanged(());
    }
    let mut edit = Edit::begin(order, context);
    let ended_at = Some(context.now);
    edit.update_checkout(
        checkout.id,
        CheckoutState { status: CheckoutStatus::Refused, ended_at, ..checkout.state.clone() },
    );
    Decision::Change(Box::new(edit.finish().0), ())
}

/// Applies what Plugipay answered when it was asked for a session's state, or to cancel the session.
#[must_use]
pub fn observe(snapshot: &CheckoutSnapshot, observation: &Observation, context: &mut Context<'_>) -> Decision<()> {
    let CheckoutSnapshot { order, checkout } = snapshot;
    let mut edit = Edit::begin(order, context);
    let Applied { state, unbookable } = apply(&mut edit, checkout, observation, None, context);
    let Some(state) = state else { return Decision::Unchanged(()) };
    edit.update_checkout(checkout.id, state);
    finish(edit, checkout, observation, unbookable)
}

/// Ends a decision about an answer of Plugipay. Money that can't be booked goes to the inbox, where an operator sees
/// it, as if a notification had reported it.
fn finish(
    edit: Edit<'_>,
    checkout: &Checkout,
    observation: &Observation,
    unbookable: Option<InboxStatus>,
) -> Decision<()> {
    let (mut change, _) = edit.finish();
    let event_id = ProviderEventId::parse(&format!("asked-{}", checkout.id));
    let Some((status, event_id)) = unbookable.zip(event_id) else { return Decision::Change(Box::new(change), ()) };
    let Observation { session_id, amount, currency, .. } = observation;
    change.claims.push(Claim::of(ClaimName::ProviderEvent(event_id.clone())));
    change.writes.push(Write::InsertInbox(InboxRecord {
        account_id: checkout.account_id,
        event_id,
        event_type: "asked".to_owned(),
        session_id: Some(session_id.clone()),
        body: serde_json::json!({ "id": session_id, "amount": amount, "currency": currency }).to_string(),
        received_at: change.at,
        status,
    }));
    Decision::Change(Box::new(change), ())
}

/// Stores a verified notification and applies it, once for each event id.
///
/// `observed` is what it reports, and what is known of the session that it names; `None` if it is of an unknown type or
/// unreadable.
#[must_use]
pub fn notify(
    record: InboxRecord,
    observed: Option<(&Observation, &SessionSnapshot)>,
    context: &mut Context<'_>,
) -> Decision<InboxStatus> {
    let claim = Claim::of(ClaimName::ProviderEvent(record.event_id.clone()));
    let Some((observation, snapshot)) = observed else {
        let mut change = context.change_set(record.account_id);
        let status = record.status;
        change.claims.push(claim);
        change.writes.push(Write::InsertInbox(record));
        return Decision::Change(Box::new(change), status);
    };
    if let Some(status) = snapshot.event {
        return Decision::Unchanged(status);
    }
    let Some(CheckoutSnapshot { order, checkout }) = &snapshot.checkout else {
        return park(record, observation, snapshot, claim, context);
    };
    let mut edit = Edit::begin(order, context);
    let Applied { state, unbookable } = apply(&mut edit, checkout, observation, Some(&record.event_id), context);
    let status = unbookable.unwrap_or(InboxStatus::Applied);
    let mut change = match state {
        // It changes nothing, so it needs no guards.
        None => context.change_set(record.account_id),
        Some(state) => {
            edit.update_checkout(checkout.id, state);
            edit.finish().0
        }
    };
    change.claims.push(claim);
    change.writes.push(Write::InsertInbox(InboxRecord { status, ..record }));
    Decision::Change(Box::new(change), status)
}

/// Stores a notification of an unknown session, to be applied when the session is known.
fn park(
    record: InboxRecord,
    observation: &Observation,
    snapshot: &SessionSnapshot,
    claim: Claim,
    context: &mut Context<'_>,
) -> Decision<InboxStatus> {
    let id = observation.session_id.clone();
    let mut change = context.change_set(record.account_id);
    change.guards.push(Guard::Exact { row: Row::Session(id.clone()), version: snapshot.version });
    let version = snapshot.version.next();
    change.writes.push(Write::PutSession(SessionName { id, version, checkout_id: None }));
    change.effects.push(Effect::Errand {
        id: context.ids.errand(),
        errand: Errand::Unpark(record.event_id.clone()),
        due_at: context.now.plus(context.policy.online.poll_first),
    });
    change.claims.push(claim);
    change.writes.push(Write::InsertInbox(InboxRecord { status: InboxStatus::Parked, ..record }));
    Decision::Change(Box::new(change), InboxStatus::Parked)
}

/// Applies a parked notification. While its session is unknown, nothing changes.
#[must_use]
pub fn unpark(
    event_id: &ProviderEventId,
    observation: &Observation,
    snapshot: &SessionSnapshot,
    context: &mut Context<'_>,
) -> Decision<InboxStatus> {
    match (&snapshot.checkout, snapshot.event) {
        (Some(CheckoutSnapshot { order, checkout }), Some(InboxStatus::Parked)) => {
            let mut edit = Edit::begin(order, context);
            let Applied { state, unbookable } = apply(&mut edit, checkout, observation, Some(event_id), context);
            let status = unbookable.unwrap_or(InboxStatus::Applied);
            edit.update_checkout(checkout.id, state.unwrap_or_else(|| checkout.state.clone()));
            let (mut change, _) = edit.finish();
            change.writes.push(Write::UpdateInbox(event_id.clone(), status));
            Decision::Change(Box::new(change), status)
        }
        (_, status) => Decision::Unchanged(status.unwrap_or(InboxStatus::Parked)),
    }
}

/// The effect of an observation.
struct Applied {
    /// The checkout's new state, which the caller writes; `None` if nothing changes.
    state: Option<CheckoutState>,
    /// Why the money can't be booked: another currency, or no amount. An operator handles it.
    unbookable: Option<InboxStatus>,
}

/// Moves a checkout to the observed state. Money that arrived is booked once for each session, with the amount that
/// arrived. It confirms its order, or opens an exception.
fn apply(
    edit: &mut Edit<'_>,
    checkout: &Checkout,
    observation: &Observation,
    event_id: Option<&ProviderEventId>,
    context: &mut Context<'_>,
) -> Applied {
    let before = checkout.state.status;
    let to = before.observe(observation.status);
    if to == before {
        return Applied { state: None, unbookable: None };
    }
    let ended_at = if to.is_live() { None } else { checkout.state.ended_at.or(Some(context.now)) };
    let state = Some(CheckoutState { status: to, ended_at, ..checkout.state.clone() });
    if to != CheckoutStatus::Completed {
        return Applied { state, unbookable: None };
    }
    if observation.currency != CURRENCY {
        return Applied { state, unbookable: Some(InboxStatus::ForeignCurrency) };
    }
    let Some(arrived) = Rupiah::new(observation.amount).ok().filter(|amount| !amount.is_zero()) else {
        return Applied { state, unbookable: Some(InboxStatus::Unreadable) };
    };
    settle(edit, checkout, &observation.session_id, arrived, event_id, context);
    Applied { state, unbookable: None }
}

fn settle(
    edit: &mut Edit<'_>,
    checkout: &Checkout,
    session_id: &SessionId,
    arrived: Rupiah,
    event_id: Option<&ProviderEventId>,
    context: &mut Context<'_>,
) {
    let OrderSnapshot { account, order, number, payment, .. } = edit.before;
    let fee = checkout.fee_rate.of(arrived);
    let description = format!("Order {number}");
    let legs = ledger::sale(account.id, session_id, arrived, fee, &description, context.now, &mut context.ids);
    edit.change.claims.push(Claim::of(ClaimName::Settlement(session_id.clone())));
    edit.change.guards.push(Guard::Fresh(context.now));
    edit.change.writes.push(Write::Post(legs));
    let (paid, due) = (payment.state.status, payment.state.amount_due);
    let exception = ExceptionKind::of(paid, order.state.status, arrived, checkout.amount, due);
    let actor = Actor::Plugipay { event_id: event_id.cloned() };
    edit.audit(context, &actor, Act::Settled { session_id: session_id.clone(), amount: arrived, fee, exception }, None);
    match exception {
        None => {
            edit.confirm(context, &actor, None);
            edit.cancel_checkouts(context, Some(checkout.id));
        }
        Some(kind) => {
            let exception = PaymentException {
                id: context.ids.exception(),
                account_id: account.id,
                kind,
                order_id: order.id,
                session_id: session_id.clone(),
                amount: arrived,
                created_at: context.now,
                state: ExceptionState {
                    version: Version::FIRST,
                    status: ExceptionStatus::Open,
                    note: None,
                    adjustment_id: None,
                    resolved_at: None,
                },
            };
            edit.change.writes.push(Write::InsertException(exception));
        }
    }
}

impl From<&Session> for CheckoutView {
    fn from(session: &Session) -> Self {
        Self { checkout_session_id: session.id.clone(), hosted_url: session.hosted_url.clone() }
    }
}
