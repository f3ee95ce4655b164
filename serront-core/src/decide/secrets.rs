//! Decisions about secrets at rest: sealing the same secrets again.

use super::{Context, Decision};
use crate::accounts::sealed::SealedSecret;
use crate::changes::change::{Guard, Row, Write};
use crate::online::provisioning::{Provisioning, ProvisioningState};
use crate::snapshots::SubscriptionSecrets;

/// Replaces the sealed form of a subscription's secrets. The settings epoch stays, because events do not depend on
/// secrets.
#[must_use]
pub fn reseal_subscription(
    before: &SubscriptionSecrets,
    secret: SealedSecret,
    previous_secret: Option<SealedSecret>,
    context: &mut Context<'_>,
) -> Decision<()> {
    let mut change = context.change_set(before.account_id);
    change.guards.push(Guard::Exact { row: Row::Subscription(before.id), version: before.version });
    change.writes.push(Write::ResealSecrets { id: before.id, version: before.version.next(), secret, previous_secret });
    Decision::Change(Box::new(change), ())
}

/// Replaces the sealed form of an endpoint's secrets.
#[must_use]
pub fn reseal_endpoint(before: &Provisioning, state: ProvisioningState, context: &mut Context<'_>) -> Decision<()> {
    let Provisioning { account_id, version, .. } = *before;
    let mut change = context.change_set(account_id);
    change.guards.push(Guard::Exact { row: Row::Provisioning, version });
    change.writes.push(Write::PutProvisioning(Provisioning { account_id, version: version.next(), state }));
    Decision::Change(Box::new(change), ())
}
