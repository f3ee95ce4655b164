//! Webhook subscriptions and their delivery log.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use serront_core::changes::effect::EffectStatus;
use serront_core::primitives::ids::{DeliveryId, SubscriptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::Failure;
use serront_core::snapshots::DeliveryFilter;
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::SubscriptionInput;

use crate::answer::{Answer, Reply};
use crate::auth::{Id, Keyed, existing};
use crate::body::Intake;
use crate::problem::Problem;
use crate::query::Query;

pub(super) async fn list(caller: Keyed) -> Reply {
    Answer::ok(&BTreeMap::from([("subscriptions", caller.commands().subscriptions(caller.account()).await?)]))
}

pub(super) async fn create(caller: Keyed, intake: Intake) -> Reply {
    let (input, request) = caller.input::<SubscriptionInput>(&intake).await?;
    Answer::created(&caller.webhook_registration().create_subscription(caller.account(), &input, request).await?)
}

pub(super) async fn patch(caller: Keyed, Id(id): Id<SubscriptionId>, intake: Intake) -> Reply {
    let input = caller.input::<SubscriptionInput>(&intake).await;
    let (input, request) = existing(input, look_for(&caller, id)).await?;
    Answer::done(&caller.webhook_registration().update_subscription(caller.account(), id, &input, request).await?)
}

/// Only this answer contains the new secret.
pub(super) async fn rotate_secret(caller: Keyed, Id(id): Id<SubscriptionId>, intake: Intake) -> Reply {
    let request = existing(caller.no_input(&intake).await, look_for(&caller, id)).await?;
    Answer::done(&caller.commands().rotate_secret(caller.account(), id, request).await?)
}

async fn look_for(caller: &Keyed, id: SubscriptionId) -> Result<(), Failure> {
    let subscriptions = caller.commands().subscriptions(caller.account()).await?;
    let found = subscriptions.iter().any(|subscription| subscription.id == id);
    found.then_some(()).ok_or_else(|| Rejection::NotFound("webhook subscription").into())
}

pub(super) async fn delete(caller: Keyed, Id(id): Id<SubscriptionId>) -> Reply {
    caller.commands().delete_subscription(caller.account(), id).await?;
    Answer::deleted()
}

#[derive(Serialize)]
struct DescribedType {
    r#type: &'static str,
    description: &'static str,
}

pub(super) async fn event_types(_: Keyed) -> Reply {
    let described =
        |event_type: EventType| DescribedType { r#type: event_type.as_str(), description: event_type.description() };
    Answer::ok(&BTreeMap::from([("types", EventType::ALL.into_iter().map(described).collect::<Vec<_>>())]))
}

pub(super) async fn deliveries(caller: Keyed, query: Query) -> Reply {
    let filter = DeliveryFilter {
        subscription_id: query.id("subscriptionId")?,
        status: query.filter("status", EffectStatus::parse, "must be one of all, pending, succeeded, failed")?,
        event_type: query.filter("type", EventType::parse, "must be an event type, or all")?,
        event_id: query.id("eventId")?,
    };
    let limit = Limit::parse(query.one("limit")?)?;
    let (deliveries, cursor) =
        caller.commands().deliveries(caller.account(), &filter, query.one("cursor")?, limit).await?;
    Answer::page(&deliveries, cursor)
}

pub(super) async fn delivery(caller: Keyed, Id(id): Id<DeliveryId>) -> Reply {
    Answer::ok(&caller.commands().delivery(caller.account(), id).await?)
}

/// 202: the delivery is queued again but not sent yet.
pub(super) async fn retry_delivery(
    caller: Keyed,
    Id(id): Id<DeliveryId>,
    intake: Intake,
) -> Result<(StatusCode, Answer), Problem> {
    let (commands, account) = (caller.commands(), caller.account());
    let request = existing(caller.no_input(&intake).await, commands.delivery(account, id)).await?;
    Ok((StatusCode::ACCEPTED, Answer::done(&commands.retry_delivery(account, id, request).await?)?))
}
