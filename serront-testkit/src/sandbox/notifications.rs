//! Notifications: queued for every subscribed endpoint, signed when they are taken.

use std::fmt;

use serde_json::json;
use serront_core::online::plugipay::EVENTS;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature;

use super::sessions::{SandboxSession, SandboxStatus};
use super::state::{Queued, SandboxEndpoint, State};

/// Attempts per notification.
const ATTEMPTS_MAX: u32 = 8;

/// One notification on its way to one endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// Id of the event, the same for every copy and every attempt.
    pub event_id: String,
    /// Type of the event.
    pub event_type: &'static str,
    /// Id of the endpoint.
    pub endpoint_id: String,
    /// The endpoint's URL.
    pub url: String,
    /// Notification headers, by name.
    pub headers: [(&'static str, String); 2],
    /// The exact body.
    pub body: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// `Debug` shows neither the signature nor the body.
impl fmt::Debug for Notification {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_id, event_type, endpoint_id, attempt, .. } = self;
        write!(formatter, "Notification({event_id}, {event_type}, to {endpoint_id}, attempt {attempt})")
    }
}

impl Notification {
    /// The value of `X-Plugipay-Signature`.
    #[must_use]
    pub fn signature(&self) -> &str {
        let [_, (_, signature)] = &self.headers;
        signature
    }
}

impl SandboxEndpoint {
    fn wants(&self, event_type: &str) -> bool {
        self.events.iter().any(|wanted| {
            wanted == event_type || wanted.strip_suffix('*').is_some_and(|prefix| event_type.starts_with(prefix))
        })
    }
}

impl State {
    /// Queues the notifications of an ended session, if its end has an event.
    pub(super) fn notify(&mut self, session: &SandboxSession, now: Timestamp) {
        let [completed, expired] = EVENTS;
        let event_type = match session.status {
            SandboxStatus::Completed => completed,
            SandboxStatus::Expired => expired,
            SandboxStatus::Open | SandboxStatus::Failed | SandboxStatus::Canceled => return,
        };
        let event_id = self.id("evt");
        if self.switches.lose_notifications {
            return;
        }
        let body = json!({
            "id": event_id,
            "type": event_type,
            "accountId": session.account_id,
            "occurredAt": now,
            "data": { "object": session },
        })
        .to_string();
        let due = now.plus(self.switches.notification_delay);
        let listening =
            |endpoint: &&SandboxEndpoint| endpoint.account_id == session.account_id && endpoint.wants(event_type);
        let endpoints: Vec<_> = self.endpoints.values().filter(listening).map(|endpoint| endpoint.id.clone()).collect();
        for endpoint_id in endpoints {
            for _ in 0..self.switches.copies {
                let (endpoint_id, event_id, body) = (endpoint_id.clone(), event_id.clone(), body.clone());
                let number = self.draw();
                self.queue.push(Queued { due, number, endpoint_id, event_id, event_type, body, attempt: 1 });
            }
        }
    }

    pub(super) fn take_notifications(&mut self, now: Timestamp) -> Vec<Notification> {
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|queued| queued.due <= now);
        self.queue = later;
        due.sort_by_key(|queued| (queued.due, queued.number));
        if self.switches.reorder {
            due.reverse();
        }
        // Notifications to a deleted endpoint are dropped.
        due.into_iter().filter_map(|queued| self.signed(queued, now)).collect()
    }

    fn signed(&self, queued: Queued, now: Timestamp) -> Option<Notification> {
        let Queued { endpoint_id, event_id, event_type, body, attempt, .. } = queued;
        let endpoint = self.endpoints.get(&endpoint_id)?;
        let signature = signature::sign(&endpoint.secret, now, &body);
        let headers = [("Content-Type", "application/json".to_owned()), ("X-Plugipay-Signature", signature)];
        Some(Notification { event_id, event_type, endpoint_id, url: endpoint.url.clone(), headers, body, attempt })
    }

    pub(super) fn give_back(&mut self, notification: Notification, due: Timestamp) {
        let Notification { event_id, event_type, endpoint_id, body, attempt, .. } = notification;
        if attempt < ATTEMPTS_MAX {
            let number = self.draw();
            self.queue.push(Queued { due, number, endpoint_id, event_id, event_type, body, attempt: attempt + 1 });
        }
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let expiry = self.expiring.first().map(|(at, _)| *at);
        self.queue.iter().map(|queued| queued.due).chain(expiry).min()
    }
}
