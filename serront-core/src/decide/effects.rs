//! Decisions about effects: sending one again by hand, which did not get through or has to go out once more; or wanting no more
//! of one that was given up.
//!
//! They continue the count of attempts. If the schedule is used up, the attempt by hand is the only one: an effect whose
//! attempt fails then is given up again at once.

use super::{Context, Decision};
use crate::accounts::actor::Actor;
use crate::changes::change::{ChangeSet, Guard, Write};
use crate::changes::effect::{DeliveryRecord, Discard, EffectId, EffectRecord, EffectStatus};
use crate::primitives::ids::SubscriptionId;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::snapshots::AccountSnapshot;
use crate::views::DeliveryView;

/// The change that queues an effect again. A delivery needs a subscription that is active, which the settings epoch
/// witnesses: nothing is queued after the subscription was paused that was decided before.
fn requeue(
    snapshot: &AccountSnapshot,
    id: EffectId,
    subscription_id: Option<SubscriptionId>,
    context: &mut Context<'_>,
) -> Result<ChangeSet, Rejection> {
    let mut change = context.change_set(snapshot.account.id);
    if let Some(subscription_id) = subscription_id {
        let mut subscriptions = snapshot.subscriptions.iter();
        match subscriptions.find(|subscription| subscription.id == subscription_id) {
            None => return Err(Rejection::EndpointDisabled("was deleted")),
            Some(subscription) if !subscription.state.active => {
                return Err(Rejection::EndpointDisabled("is inactive"));
            }
            Some(_) => change.guards.push(Guard::Settings(snapshot.account.state.version)),
        }
    }
    change.writes.push(Write::Requeue(id));
    Ok(change)
}

/// Sends a delivery again, whether it was given up or got through.
///
/// # Errors
/// In this order: [`Rejection::IdempotencyKeyInUse`], [`Rejection::AlreadyQueued`], [`Rejection::EndpointDisabled`].
pub fn retry_delivery(
    snapshot: &AccountSnapshot,
    delivery: &DeliveryRecord,
    context: &mut Context<'_>,
) -> Result<Decision<DeliveryView>, Rejection> {
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    match delivery.status {
        EffectStatus::Succeeded | EffectStatus::Failed => {}
        EffectStatus::Pending => return Err(Rejection::AlreadyQueued),
    }
    let change = requeue(snapshot, EffectId::Delivery(delivery.id), Some(delivery.subscription_id), context)?;
    let queued =
        DeliveryRecord { status: EffectStatus::Pending, next_attempt_at: Some(context.now), ..delivery.clone() };
    context.conclude(change, DeliveryView::from(&queued))
}

/// Tries an effect again that was given up: an operator's, of whatever kind it is. What got through stays as it is, for a
/// second mail would be one too many.
///
/// # Errors
/// In this order: [`Rejection::NotFound`] for one that succeeded, [`Rejection::AlreadyQueued`],
/// [`Rejection::EndpointDisabled`] for a delivery.
pub fn retry_effect(
    snapshot: &AccountSnapshot,
    effect: &EffectRecord,
    context: &mut Context<'_>,
) -> Result<Decision<EffectRecord>, Rejection> {
    given_up(effect)?;
    let subscription_id = effect.delivery.map(|delivery| delivery.subscription_id);
    let change = requeue(snapshot, effect.id, subscription_id, context)?;
    let queued = EffectRecord { status: EffectStatus::Pending, discarded: false, ..effect.clone() };
    Ok(Decision::Change(Box::new(change), queued))
}

/// Takes an effect that was given up off the operator's list, and puts on record who wants no more of it, and why. It can still
/// be tried again, which undoes that.
///
/// # Errors
/// In this order: [`Rejection::Invalid`] for a reason that says nothing or is too long; [`Rejection::NotFound`] for one that
/// succeeded or is discarded already, [`Rejection::AlreadyQueued`].
pub fn discard_effect(
    effect: &EffectRecord,
    reason: &str,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<EffectRecord>, Rejection> {
    let reason = text::optional_prose("reason", Some(reason))?.ok_or_else(|| Invalid::new("reason", "must say why"))?;
    given_up(effect)?;
    if effect.discarded {
        return Err(NOT_GIVEN_UP);
    }
    let mut change = context.change_set(effect.account_id);
    change.writes.push(Write::Discard(Discard {
        id: context.ids.audit(),
        account_id: effect.account_id,
        effect_id: effect.id,
        at: context.now,
        actor: actor.clone(),
        reason,
    }));
    Ok(Decision::Change(Box::new(change), EffectRecord { discarded: true, ..effect.clone() }))
}

const NOT_GIVEN_UP: Rejection = Rejection::NotFound("effect that was given up");

const fn given_up(effect: &EffectRecord) -> Result<(), Rejection> {
    match effect.status {
        EffectStatus::Failed => Ok(()),
        EffectStatus::Succeeded => Err(NOT_GIVEN_UP),
        EffectStatus::Pending => Err(Rejection::AlreadyQueued),
    }
}
