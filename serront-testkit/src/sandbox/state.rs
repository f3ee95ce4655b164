//! The sandbox's state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Number;
use serront_core::accounts::key::WebhookSecret;
use serront_core::funds::ledger::Direction;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::time::Timestamp;

use super::answers::Kept;
use super::ledger::{CLEARING, Entry, SALE, SESSION, SandboxEntry};
use super::sessions::{SandboxSession, SandboxStatus};
use super::switches::{Route, Switches, Trouble};

/// A merchant's workspace.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Workspace {
    /// The merchant's account at Plugipay.
    pub(super) account_id: String,
    pub(super) partner: String,
    /// The JSON number as sent; the sandbox does not calculate with it.
    pub(super) discount_rate: Number,
    pub(super) brand_name: Option<String>,
    pub(super) business_email: Option<String>,
    pub(super) created_at: Timestamp,
}

/// A merchant's notification endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct SandboxEndpoint {
    /// Id at Plugipay.
    pub id: String,
    /// The merchant's account at Plugipay.
    pub account_id: String,
    /// URL for notifications.
    pub url: String,
    /// Subscribed event types.
    pub events: Vec<String>,
    /// Description of the creator.
    pub description: Option<String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Secret that signs its notifications.
    pub secret: WebhookSecret,
}

/// `Debug` shows neither the secret nor the address.
impl fmt::Debug for SandboxEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SandboxEndpoint({} of {})", self.id, self.account_id)
    }
}

/// A queued notification.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) due: Timestamp,
    /// Sequence number: notifications due at the same time are handed out in the order of their events.
    pub(super) number: u64,
    pub(super) endpoint_id: String,
    pub(super) event_id: String,
    pub(super) event_type: &'static str,
    pub(super) body: String,
    pub(super) attempt: u32,
}

pub(super) struct State {
    prefix: String,
    drawn: u64,
    pub(super) pages_at: String,
    pub(super) switches: Switches,
    pub(super) troubles: Vec<(Option<Route>, Trouble)>,
    pub(super) arrived: BTreeMap<Route, u64>,
    /// By the host's account id.
    pub(super) workspaces: BTreeMap<String, Workspace>,
    pub(super) merchants: BTreeSet<String>,
    /// Ids grow, so each of these maps is in order of creation.
    pub(super) endpoints: BTreeMap<String, SandboxEndpoint>,
    pub(super) sessions: BTreeMap<String, SandboxSession>,
    pub(super) entries: BTreeMap<String, Entry>,
    /// Open sessions by their end.
    pub(super) expiring: BTreeSet<(Timestamp, String)>,
    /// Kept answers, by merchant and idempotency key.
    pub(super) kept: BTreeMap<(Option<String>, String), Kept>,
    pub(super) queue: Vec<Queued>,
}

impl State {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            drawn: 0,
            pages_at: "https://plugipay.sandbox.invalid".to_owned(),
            switches: Switches::default(),
            troubles: Vec::new(),
            arrived: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            merchants: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            sessions: BTreeMap::new(),
            entries: BTreeMap::new(),
            expiring: BTreeSet::new(),
            kept: BTreeMap::new(),
            queue: Vec::new(),
        }
    }

    pub(super) const fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.saturating_add(1);
        self.drawn
    }

    /// A new id; later ones sort after earlier ones.
    pub(super) fn id(&mut self, kind: &str) -> String {
        let number = self.draw();
        format!("{kind}_{}{number:010}", self.prefix)
    }

    /// A predictable secret, from the prefix and a counter.
    pub(super) fn secret(&mut self) -> Option<WebhookSecret> {
        let digest = Digest256::of(self.id("secret").as_bytes()).to_string();
        WebhookSecret::parse(&format!("whsec_{}", digest.chars().take(48).collect::<String>()))
    }

    /// Expires sessions after their time to pay.
    pub(super) fn end_overdue(&mut self, now: Timestamp) {
        while let Some((_, id)) = self.expiring.first().filter(|(at, _)| *at <= now).cloned() {
            self.end(&id, SandboxStatus::Expired, now);
        }
    }

    /// Ends an open session without a payment.
    pub(super) fn end(&mut self, id: &str, status: SandboxStatus, now: Timestamp) -> bool {
        let open = self.sessions.get_mut(id).filter(|session| session.status == SandboxStatus::Open);
        let Some(session) = open else { return false };
        session.status = status;
        session.updated_at = now;
        let session = session.clone();
        self.expiring.remove(&(session.expires_at, session.id.clone()));
        self.notify(&session, now);
        true
    }

    /// Completes a session in any state, because a payment can arrive after any end.
    pub(super) fn complete(
        &mut self,
        id: &str,
        other: Option<(i64, &str)>,
        method: Option<&str>,
        now: Timestamp,
    ) -> bool {
        let unpaid = self.sessions.get_mut(id).filter(|session| session.status != SandboxStatus::Completed);
        let Some(session) = unpaid else { return false };
        if let Some((amount, currency)) = other {
            session.amount = amount;
            currency.clone_into(&mut session.currency);
        }
        session.status = SandboxStatus::Completed;
        session.payment_method = method.map(str::to_owned).or_else(|| session.methods.first().cloned());
        session.completed_at = Some(now);
        session.updated_at = now;
        let session = session.clone();
        self.expiring.remove(&(session.expires_at, session.id.clone()));
        self.post(&session, now);
        self.notify(&session, now);
        true
    }

    fn post(&mut self, session: &SandboxSession, now: Timestamp) {
        let tx_id = self.id("tx");
        for (code, direction) in [(CLEARING, Direction::Debit), (SALE, Direction::Credit)] {
            let posted = SandboxEntry {
                code: code.to_owned(),
                direction,
                amount: session.amount,
                currency: session.currency.clone(),
                source_type: SESSION.to_owned(),
                source_id: session.id.clone(),
                memo: None,
            };
            self.post_entry(session.account_id.clone(), tx_id.clone(), posted, now);
        }
    }

    pub(super) fn post_entry(&mut self, account_id: String, tx_id: String, posted: SandboxEntry, posted_at: Timestamp) {
        let id = self.id("le");
        self.entries.insert(id.clone(), Entry { id, account_id, tx_id, posted, posted_at });
    }

    /// Removes a session's entries from the ledger and answers their number.
    pub(super) fn forget_entries(&mut self, session_id: &str) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, Entry { posted, .. }| posted.source_type != SESSION || posted.source_id != session_id);
        before.saturating_sub(self.entries.len())
    }
}
