//! Decisions about services. They need the account, or an existing service and whether it has orders.

use super::{Context, Decision};
use crate::changes::change::{Claim, ClaimName, Guard, Row, Write};
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::version::Version;
use crate::shop::catalog::{Service, ServiceInput};
use crate::snapshots::{AccountSnapshot, ServiceSnapshot};
use crate::views::ServiceView;

/// Creates a service. An exact guard keeps concurrent commands from exceeding the tier's limit together.
///
/// # Errors
/// [`Rejection::Invalid`], [`Rejection::IdempotencyKeyInUse`], then [`Rejection::LimitReached`]. If another service has
/// the slug, the commit fails.
pub fn create_service(
    snapshot: &AccountSnapshot,
    input: &ServiceInput,
    context: &mut Context<'_>,
) -> Result<Decision<ServiceView>, Rejection> {
    let offer = input.validate(None)?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let account = &snapshot.account;
    let limit = account.state.tier.terms().service_limit;
    if snapshot.services >= limit {
        return Err(Rejection::LimitReached { limit, things: "services" });
    }
    let mut change = context.change_set(account.id);
    change.guards = vec![Guard::Settings(account.state.version), Guard::ServicesBelow(limit)];
    change.claims.push(Claim::of(ClaimName::ServiceSlug(offer.slug.clone())));
    let service = Service {
        id: context.ids.service(),
        account_id: account.id,
        version: Version::FIRST,
        offer,
        created_at: context.now,
        updated_at: context.now,
    };
    let view = ServiceView::from(&service);
    change.writes.push(Write::PutService(service));
    context.conclude(change, view)
}

/// Changes a service.
///
/// # Errors
/// [`Rejection::Invalid`], then [`Rejection::IdempotencyKeyInUse`]. If another service has the slug, the commit fails.
pub fn update_service(
    snapshot: &ServiceSnapshot,
    input: &ServiceInput,
    context: &mut Context<'_>,
) -> Result<Decision<ServiceView>, Rejection> {
    let before = &snapshot.service;
    if input.is_empty() {
        return Err(Invalid::new("", "at least one field must be given").into());
    }
    let offer = input.validate(Some(&before.offer))?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let mut change = context.change_set(before.account_id);
    change.guards.push(Guard::Exact { row: Row::Service(before.id), version: before.version });
    if offer.slug != before.offer.slug {
        change.releases.push(ClaimName::ServiceSlug(before.offer.slug.clone()));
        change.claims.push(Claim::of(ClaimName::ServiceSlug(offer.slug.clone())));
    }
    let service = Service { version: before.version.next(), offer, updated_at: context.now, ..before.clone() };
    let view = ServiceView::from(&service);
    change.writes.push(Write::PutService(service));
    context.conclude(change, view)
}

/// Deletes a service without orders.
///
/// # Errors
/// [`Rejection::Conflict`] if it has orders.
pub fn delete_service(snapshot: &ServiceSnapshot, context: &mut Context<'_>) -> Result<Decision<()>, Rejection> {
    if snapshot.has_orders {
        return Err(Rejection::Conflict("the service has orders; deactivate it instead"));
    }
    let service = &snapshot.service;
    let mut change = context.change_set(service.account_id);
    change.guards =
        vec![Guard::Exact { row: Row::Service(service.id), version: service.version }, Guard::NoOrdersOf(service.id)];
    change.releases.push(ClaimName::ServiceSlug(service.offer.slug.clone()));
    change.writes.push(Write::DeleteService(service.id));
    Ok(Decision::Change(Box::new(change), ()))
}
