//! Decisions about online checkout: beginning one, what the minting call answered, and what is observed of a session.

use super::edit::Edit;
use super::{Context, Decision};
use crate::accounts::actor::Actor;
use crate::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, SessionName, Write};
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

/// What a press of "pay online" comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// There is a session that can be paid.
    Session(CheckoutView),
    /// There is a session that could be paid when it was last heard of, which is a while ago: ask first.
    Known(Box<Checkout>, CheckoutView),
    /// The session is to be minted, for this merchant, with this checkout's bytes and key.
    Mint(MerchantId, Box<Checkout>),
}

/// Begins to pay an order online, or goes on with what was begun: an open session for the same quote is answered again, an
/// intent whose outcome is not known is sent again.
///
/// # Errors
/// In this order: [`Rejection::PaymentModuleDisabled`], [`Rejection::NotConfigured`], [`Rejection::InvalidTransition`] once
/// the payment is confirmed, [`Rejection::OrderClosed`], [`Rejection::NoQuote`].
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
    // One open session for each payment: what is past its time by our clock may still be payable by theirs.
    edit.end_need_to_pay(context, None);
    edit.change.guards.push(Guard::Settings(account.state.version));
    edit.insert_checkout(context, checkout.clone());
    let (change, _) = edit.finish();
    Ok(Decision::Change(Box::new(change), Begun::Mint(merchant, Box::new(checkout))))
}

/// Records the session that the minting call answered. If the need to pay has ended meanwhile, it is called off.
///
/// `name` is what is known under the session's name: both this commit and a notification that came before it write that row,
/// so that neither misses the other. The parked notifications in it are to be tried again afterwards.
///
/// # Errors
/// Those of [`observe`].
pub fn record_session(
    snapshot: &CheckoutSnapshot,
    name: &SessionSnapshot,
    minted: &Minted,
    context: &mut Context<'_>,
) -> Result<Decision<()>, Rejection> {
    if name.checkout.is_some() {
        return Ok(Decision::Unchanged(()));
    }
    let Minted { session, observation } = minted;
    let mut snapshot = snapshot.clone();
    let first = snapshot.checkout.state.status == CheckoutStatus::Intended;
    if !first {
        // The key was forgotten at Plugipay, and a second session minted for one intent. Nobody was sent there; it is kept
        // in sight under a checkout of its own, and called off.
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
    let Applied { state, unbookable } = apply(&mut edit, &opened, observation, None, context)?;
    let state = state.unwrap_or_else(|| opened.state.clone());
    if first {
        edit.update_checkout(checkout.id, state);
    } else {
        edit.insert_checkout(context, Checkout { state, ..opened });
    }
    let (mut change, _) = edit.finish();
    if let Some(status) = unbookable {
        keep_unbookable(&mut change, checkout, observation, status);
    }
    Ok(Decision::Change(Box::new(change), ()))
}

/// Ends an intent whose bytes Plugipay refused: there is no session, and there will be none.
///
/// # Errors
/// None; the type leaves room for them.
pub fn refuse_session(snapshot: &CheckoutSnapshot, context: &mut Context<'_>) -> Result<Decision<()>, Rejection> {
    let CheckoutSnapshot { order, checkout } = snapshot;
    if checkout.state.status != CheckoutStatus::Intended {
        return Ok(Decision::Unchanged(()));
    }
    let mut edit = Edit::begin(order, context);
    let ended_at = Some(context.now);
    edit.update_checkout(
        checkout.id,
        CheckoutState { status: CheckoutStatus::Refused, ended_at, ..checkout.state.clone() },
    );
    let (change, _) = edit.finish();
    Ok(Decision::Change(Box::new(change), ()))
}

/// What Plugipay answered when asked about a checkout's session, or to call it off.
///
/// # Errors
/// None; the type leaves room for them.
pub fn observe(
    snapshot: &CheckoutSnapshot,
    observation: &Observation,
    context: &mut Context<'_>,
) -> Result<Decision<()>, Rejection> {
    let CheckoutSnapshot { order, checkout } = snapshot;
    let mut edit = Edit::begin(order, context);
    let Applied { state, unbookable } = apply(&mut edit, checkout, observation, None, context)?;
    let Some(state) = state else { return Ok(Decision::Unchanged(())) };
    edit.update_checkout(checkout.id, state);
    let (mut change, _) = edit.finish();
    if let Some(status) = unbookable {
        keep_unbookable(&mut change, checkout, observation, status);
    }
    Ok(Decision::Change(Box::new(change), ()))
}

/// Keeps what was seen and can't be booked for the operator, as if a notification had told of it: none did.
fn keep_unbookable(change: &mut ChangeSet, checkout: &Checkout, observation: &Observation, status: InboxStatus) {
    let Observation { session_id, amount, currency, .. } = observation;
    let Some(event_id) = ProviderEventId::parse(&format!("asked-{}", checkout.id)) else { return };
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
}

/// A notification that was verified, and has not been stored: stored, with what it causes, once.
///
/// `snapshot` is what is known of the session that it names, if it is of a type that we know and readable.
///
/// # Errors
/// None; the type leaves room for them.
pub fn notify(
    record: InboxRecord,
    observed: Option<(&Observation, &SessionSnapshot)>,
    context: &mut Context<'_>,
) -> Result<Decision<InboxStatus>, Rejection> {
    let claim = Claim::of(ClaimName::ProviderEvent(record.event_id.clone()));
    let Some((observation, snapshot)) = observed else {
        let mut change = context.change_set(record.account_id);
        let status = record.status;
        change.claims.push(claim);
        change.writes.push(Write::InsertInbox(record));
        return Ok(Decision::Change(Box::new(change), status));
    };
    if let Some(status) = snapshot.event {
        return Ok(Decision::Unchanged(status));
    }
    let Some(CheckoutSnapshot { order, checkout }) = &snapshot.checkout else {
        return Ok(park(record, observation, snapshot, claim, context));
    };
    let mut edit = Edit::begin(order, context);
    let Applied { state, unbookable } = apply(&mut edit, checkout, observation, Some(&record.event_id), context)?;
    let status = unbookable.unwrap_or(InboxStatus::Applied);
    let mut change = match state {
        // What changes nothing relies on nothing.
        None => context.change_set(record.account_id),
        Some(state) => {
            edit.update_checkout(checkout.id, state);
            edit.finish().0
        }
    };
    change.claims.push(claim);
    change.writes.push(Write::InsertInbox(InboxRecord { status, ..record }));
    Ok(Decision::Change(Box::new(change), status))
}

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

/// Tries a parked notification again. While its session is not known, nothing changes.
///
/// # Errors
/// None; the type leaves room for them.
pub fn unpark(
    event_id: &ProviderEventId,
    observation: &Observation,
    snapshot: &SessionSnapshot,
    context: &mut Context<'_>,
) -> Result<Decision<InboxStatus>, Rejection> {
    match (&snapshot.checkout, snapshot.event) {
        (Some(CheckoutSnapshot { order, checkout }), Some(InboxStatus::Parked)) => {
            let mut edit = Edit::begin(order, context);
            let Applied { state, unbookable } = apply(&mut edit, checkout, observation, Some(event_id), context)?;
            let status = unbookable.unwrap_or(InboxStatus::Applied);
            edit.update_checkout(checkout.id, state.unwrap_or_else(|| checkout.state.clone()));
            let (mut change, _) = edit.finish();
            change.writes.push(Write::UpdateInbox(event_id.clone(), status));
            Ok(Decision::Change(Box::new(change), status))
        }
        (_, status) => Ok(Decision::Unchanged(status.unwrap_or(InboxStatus::Parked))),
    }
}

/// What an observation came to.
struct Applied {
    /// The checkout's new state, still to be written; `None` if it changes nothing.
    state: Option<CheckoutState>,
    /// Why what was paid can't be booked: another currency, or no amount. The operator looks after it.
    unbookable: Option<InboxStatus>,
}

/// Moves a checkout as observed. Money that arrived is booked, with the amount that arrived, once for each session; it
/// confirms its order, or leaves an exception.
fn apply(
    edit: &mut Edit<'_>,
    checkout: &Checkout,
    observation: &Observation,
    event_id: Option<&ProviderEventId>,
    context: &mut Context<'_>,
) -> Result<Applied, Rejection> {
    let before = checkout.state.status;
    let to = before.observe(observation.status);
    if to == before {
        return Ok(Applied { state: None, unbookable: None });
    }
    let ended_at = if to.is_live() { None } else { checkout.state.ended_at.or(Some(context.now)) };
    let state = Some(CheckoutState { status: to, ended_at, ..checkout.state.clone() });
    if to != CheckoutStatus::Completed {
        return Ok(Applied { state, unbookable: None });
    }
    if observation.currency != CURRENCY {
        return Ok(Applied { state, unbookable: Some(InboxStatus::ForeignCurrency) });
    }
    let Some(arrived) = Rupiah::new(observation.amount).ok().filter(|amount| !amount.is_zero()) else {
        return Ok(Applied { state, unbookable: Some(InboxStatus::Unreadable) });
    };
    settle(edit, checkout, &observation.session_id, arrived, event_id, context)?;
    Ok(Applied { state, unbookable: None })
}

fn settle(
    edit: &mut Edit<'_>,
    checkout: &Checkout,
    session_id: &SessionId,
    arrived: Rupiah,
    event_id: Option<&ProviderEventId>,
    context: &mut Context<'_>,
) -> Result<(), Rejection> {
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
            edit.confirm(context, &actor, None)?;
            edit.end_need_to_pay(context, Some(checkout.id));
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
    Ok(())
}

impl From<&Session> for CheckoutView {
    fn from(session: &Session) -> Self {
        Self { checkout_session_id: session.id.clone(), hosted_url: session.hosted_url.clone() }
    }
}
