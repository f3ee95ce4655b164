//! Decisions about effects: retrying one manually, or discarding one that was given up.
//!
//! A manual retry continues the count of attempts. If the schedule is used up and the attempt fails, the effect is
//! given up again immediately.

use super::{Context, Decision};
use crate::accounts::actor::Actor;
use crate::changes::change::{ChangeSet, Guard, Write};
use crate::changes::effect::{DeliveryRecord, Discard, EffectId, EffectRecord, EffectStatus};
use crate::primitives::ids::SubscriptionId;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::snapshots::AccountSnapshot;
use crate::views::DeliveryView;

/// Queues an effect again. A delivery needs an active subscription. A guard on the settings epoch ensures that the
/// subscription is not paused between the decision and the commit.
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

/// Sends a delivery again, whether it succeeded or was given up.
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

/// Retries an effect of any kind that was given up; for operators. It refuses one that succeeded, because a buyer must
/// not receive a mail twice.
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

/// Takes an effect that was given up off the operators' list, and records who discarded it and why. A retry undoes
/// this.
///
/// # Errors
/// In this order: [`Rejection::Invalid`] for a reason that is blank or too long; [`Rejection::NotFound`] for one that
/// succeeded or is already discarded, [`Rejection::AlreadyQueued`].
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
