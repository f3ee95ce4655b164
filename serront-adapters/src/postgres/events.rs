//! Notifications of one event that arrive at the same moment: the first is sent, the others wait for it in memory.
//!
//! ```text
//! first  ─▶ commit ─▶ landed ─▶ the others: `Duplicate`, without a statement
//!                  └▶ anything else, or its caller is gone ─▶ the next of the others is sent
//! ```
//!
//! Each caller has verified its own notification before. Only the claim is shared: if the first one landed, no other one
//! can land, and none has landed before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serront_core::changes::change::{ChangeSet, ClaimName};
use serront_core::primitives::ids::{AccountId, ChangeSetId};
use serront_core::primitives::provider::ProviderEventId;
use tokio::sync::watch;

type Event = (AccountId, ProviderEventId);

/// The events whose first change set is on its way, each with the id of that change set and a channel that tells whether
/// it landed. The channel closes if it did not.
#[derive(Default)]
pub(super) struct Events(Mutex<HashMap<Event, (ChangeSetId, watch::Receiver<bool>)>>);

/// A change set's turn.
pub(super) enum Turn<'e> {
    /// Send it, and report its end.
    First(UnderWay<'e>),
    /// Wait for the first one, which claims this name.
    Later(watch::Receiver<bool>, ClaimName),
    /// Send it: it shares nothing with others.
    Alone,
}

/// The first change set of an event. Dropping it lets the next one be sent.
pub(super) struct UnderWay<'e> {
    events: &'e Events,
    event: Event,
    landed: watch::Sender<bool>,
}

fn event(change: &ChangeSet) -> Option<Event> {
    change.claims.iter().find_map(|claim| match &claim.name {
        ClaimName::ProviderEvent(id) => Some((change.account_id, id.clone())),
        ClaimName::Confirmation(_)
        | ClaimName::ServiceSlug(_)
        | ClaimName::Idempotency(_)
        | ClaimName::Settlement(_)
        | ClaimName::Adjustment(_)
        | ClaimName::Payout(_)
        | ClaimName::StorefrontSlug(_)
        | ClaimName::KeyHash(_)
        | ClaimName::AccessToken(_)
        | ClaimName::Merchant(_) => None,
    })
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, HashMap<Event, (ChangeSetId, watch::Receiver<bool>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a change set. A second sending of the first one does not wait for it: it has the same result.
    pub(super) fn enter(&self, change: &ChangeSet) -> Turn<'_> {
        let Some(event) = event(change).filter(|_| change.check().is_ok()) else { return Turn::Alone };
        let mut under_way = self.lock();
        match under_way.get(&event) {
            Some((id, _)) if *id == change.id => Turn::Alone,
            Some((_, landed)) => Turn::Later(landed.clone(), ClaimName::ProviderEvent(event.1)),
            None => {
                let (landed, told) = watch::channel(false);
                under_way.insert(event.clone(), (change.id, told));
                Turn::First(UnderWay { events: self, event, landed })
            }
        }
    }
}

impl UnderWay<'_> {
    /// The change set landed.
    pub(super) fn landed(self) {
        self.landed.send_replace(true);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.events.lock().remove(&self.event);
    }
}

/// Whether the first one landed.
pub(super) async fn landed(mut told: watch::Receiver<bool>) -> bool {
    told.wait_for(|landed| *landed).await.is_ok()
}
