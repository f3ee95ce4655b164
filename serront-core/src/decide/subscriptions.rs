//! Decisions about webhook subscriptions. They need the account's settings, and advance the settings epoch, because the
//! subscriptions determine which deliveries an event causes.

use super::account::settings_change;
use super::{Context, Decision};
use crate::accounts::sealed::FreshSecret;
use crate::changes::change::{Guard, Row, Write};
use crate::changes::deliveries;
use crate::primitives::ids::SubscriptionId;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::version::Version;
use crate::snapshots::AccountSnapshot;
use crate::views::{NewSubscriptionView, SubscriptionView};
use crate::webhooks::event::EventData;
use crate::webhooks::subscription::{
    EventFilter, SUBSCRIPTIONS_MAX, Streak, Subscription, SubscriptionInput, SubscriptionState,
};

/// Subscribes an address that the sink has checked. The secret was sealed for `id`, and is never shown again.
///
/// # Errors
/// [`Rejection::Invalid`], [`Rejection::IdempotencyKeyInUse`], then [`Rejection::LimitReached`].
pub fn create_subscription(
    snapshot: &AccountSnapshot,
    input: &SubscriptionInput,
    id: SubscriptionId,
    secret: FreshSecret,
    context: &mut Context<'_>,
) -> Result<Decision<NewSubscriptionView>, Rejection> {
    let url = input.address()?.ok_or_else(|| Invalid::new("url", "is required"))?.to_owned();
    let events = match input.filters()? {
        Some(events) => events,
        None => vec![EventFilter::parse("events", "*")?],
    };
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    if u32::try_from(snapshot.subscriptions.len()).unwrap_or(u32::MAX) >= SUBSCRIPTIONS_MAX {
        return Err(Rejection::LimitReached { limit: SUBSCRIPTIONS_MAX, things: "webhook subscriptions" });
    }
    let (mut change, settings) = settings_change(&snapshot.account, context);
    let subscription = Subscription {
        id,
        account_id: snapshot.account.id,
        created_at: context.now,
        state: SubscriptionState { version: Version::FIRST, url, events, active: input.active.unwrap_or(true) },
    };
    let shown = SubscriptionView::from(&subscription);
    let FreshSecret { shown: secret, sealed } = secret;
    change.writes = vec![Write::UpdateAccount(settings), Write::InsertSubscription(subscription, sealed)];
    context.conclude(change, NewSubscriptionView { shown, secret })
}

fn find(snapshot: &AccountSnapshot, id: SubscriptionId) -> Result<&Subscription, Rejection> {
    snapshot
        .subscriptions
        .iter()
        .find(|subscription| subscription.id == id)
        .ok_or(Rejection::NotFound("webhook subscription"))
}

/// Changes a subscription. Pausing it gives up its pending deliveries.
///
/// # Errors
/// [`Rejection::NotFound`], [`Rejection::Invalid`], then [`Rejection::IdempotencyKeyInUse`].
pub fn update_subscription(
    snapshot: &AccountSnapshot,
    id: SubscriptionId,
    input: &SubscriptionInput,
    context: &mut Context<'_>,
) -> Result<Decision<SubscriptionView>, Rejection> {
    let before = find(snapshot, id)?;
    if *input == SubscriptionInput::default() {
        return Err(Invalid::new("", "url, events or active must be given").into());
    }
    let url = input.address()?.map_or_else(|| before.state.url.clone(), str::to_owned);
    let events = input.filters()?.unwrap_or_else(|| before.state.events.clone());
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let (mut change, settings) = settings_change(&snapshot.account, context);
    change.guards.push(Guard::Exact { row: Row::Subscription(id), version: before.state.version });
    let state = SubscriptionState {
        version: before.state.version.next(),
        url,
        events,
        active: input.active.unwrap_or(before.state.active),
    };
    let view = SubscriptionView::from(&Subscription { state: state.clone(), ..before.clone() });
    let pauses = !state.active;
    change.writes = vec![Write::UpdateAccount(settings), Write::UpdateSubscription(id, state)];
    if pauses {
        change.writes.push(Write::GiveUpDeliveries(id));
    }
    context.conclude(change, view)
}

/// Gives a subscription a new secret, which is never shown again. It signs immediately. The previous one signs too for
/// [`WebhookPolicy::secret_kept`](crate::policy::WebhookPolicy::secret_kept).
///
/// # Errors
/// [`Rejection::NotFound`], then [`Rejection::IdempotencyKeyInUse`].
pub fn rotate_secret(
    snapshot: &AccountSnapshot,
    id: SubscriptionId,
    secret: FreshSecret,
    context: &mut Context<'_>,
) -> Result<Decision<NewSubscriptionView>, Rejection> {
    let before = find(snapshot, id)?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let mut change = context.change_set(snapshot.account.id);
    // Events do not depend on secrets, so the settings epoch stays.
    change.guards.push(Guard::Exact { row: Row::Subscription(id), version: before.state.version });
    change.writes = vec![Write::RotateSecret {
        id,
        version: before.state.version.next(),
        secret: secret.sealed,
        previous_until: context.now.plus(context.policy.webhooks.secret_kept),
    }];
    context.conclude(change, NewSubscriptionView { shown: SubscriptionView::from(before), secret: secret.shown })
}

/// Switches a subscription off if its receiver has failed for too long: if there is a streak for which
/// [`Policy::switches_off`] holds by the storage's clock. Gives up its pending deliveries, and sends the account's
/// other subscriptions an event. Returns `false` if there is no such streak or the subscription is already off.
///
/// [`Policy::switches_off`]: crate::policy::Policy::switches_off
#[must_use]
pub fn switch_off_subscription(
    snapshot: &AccountSnapshot,
    id: SubscriptionId,
    streak: Option<Streak>,
    context: &mut Context<'_>,
) -> Decision<bool> {
    let mut subscriptions = snapshot.subscriptions.iter();
    let before = subscriptions.find(|subscription| subscription.id == id && subscription.state.active);
    let Some((before, streak)) = before.zip(streak) else { return Decision::Unchanged(false) };
    let (mut change, settings) = settings_change(&snapshot.account, context);
    change.guards.push(Guard::Exact { row: Row::Subscription(id), version: before.state.version });
    let state = SubscriptionState { version: before.state.version.next(), active: false, ..before.state.clone() };
    change.writes =
        vec![Write::UpdateAccount(settings), Write::UpdateSubscription(id, state), Write::GiveUpDeliveries(id)];
    let others: Vec<_> = snapshot.subscriptions.iter().filter(|other| other.id != id).cloned().collect();
    let event = EventData::SubscriptionDisabled {
        subscription_id: id,
        failed_attempts: streak.failures,
        failing_since: streak.since,
    };
    change.effects = deliveries(snapshot.account.id, &event, &others, context.now, &mut context.ids);
    Decision::Change(Box::new(change), true)
}

/// Deletes a subscription, and gives up its pending deliveries. Its delivery log stays.
///
/// # Errors
/// [`Rejection::NotFound`].
pub fn delete_subscription(
    snapshot: &AccountSnapshot,
    id: SubscriptionId,
    context: &mut Context<'_>,
) -> Result<Decision<()>, Rejection> {
    let before = find(snapshot, id)?;
    let (mut change, settings) = settings_change(&snapshot.account, context);
    change.guards.push(Guard::Exact { row: Row::Subscription(id), version: before.state.version });
    change.writes = vec![Write::UpdateAccount(settings), Write::DeleteSubscription(id), Write::GiveUpDeliveries(id)];
    Ok(Decision::Change(Box::new(change), ()))
}
