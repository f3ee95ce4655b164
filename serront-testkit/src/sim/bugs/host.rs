//! Planted bugs of a host: in its views, its use of idempotency keys, and the time at which it sends.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serront_core::accounts::sealed::SecretHolder;
use serront_core::ports::{PortError, Sealer};
use serront_core::views::PaymentInstructions;

use super::Bug;
use crate::memory::locked;
use crate::sim::events::{Call, Reply};

/// The bug of this run's hosts, and the state that it needs. The hosts share it, as they would share a cache.
#[derive(Default)]
pub(crate) struct HostBugs {
    bug: Option<Bug>,
    refusals: Mutex<BTreeMap<String, Reply>>,
    instructions: Mutex<BTreeMap<String, PaymentInstructions>>,
}

/// A sealer that does not seal.
pub(crate) struct Bare;

impl Sealer for Bare {
    fn seal(&self, _: SecretHolder, secret: &str) -> Result<String, PortError> {
        Ok(secret.to_owned())
    }

    fn open(&self, _: SecretHolder, sealed: &str) -> Result<String, PortError> {
        Ok(sealed.to_owned())
    }

    fn is_present(&self, _: &str) -> Result<bool, PortError> {
        Ok(true)
    }
}

impl HostBugs {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    pub(crate) fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn scope(call: &Call) -> Option<String> {
        let key = call.idempotency_key.as_ref()?;
        Some(format!("{} {:?} {key}", call.seller, call.verb.route()))
    }

    pub(crate) fn remembered_refusal(&self, call: &Call) -> Option<Reply> {
        self.is(Bug::RefusalsKept).then(|| locked(&self.refusals).get(&Self::scope(call)?).cloned()).flatten()
    }

    pub(crate) fn remember_refusal(&self, call: &Call, reply: &Reply) {
        if let (true, Some(scope), Reply::Refused(_)) = (self.is(Bug::RefusalsKept), Self::scope(call), reply) {
            locked(&self.refusals).insert(scope, reply.clone());
        }
    }

    pub(crate) fn remembered_instructions(&self, token: &str) -> Option<PaymentInstructions> {
        locked(&self.instructions).get(token).cloned()
    }

    pub(crate) fn remember_instructions(&self, token: &str, shown: Option<&PaymentInstructions>) {
        if let (true, Some(shown)) = (self.is(Bug::BankDetailsAfterConfirmation), shown) {
            locked(&self.instructions).insert(token.to_owned(), shown.clone());
        }
    }
}
