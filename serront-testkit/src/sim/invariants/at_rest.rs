//! Secrets at rest: after a resealing pass reports completion, every stored secret opens under the key that was present
//! when the pass began, or a later one. No secret is left that can't be opened.

use std::collections::BTreeMap;

use serde_json::Value;
use serront_core::accounts::sealed::SecretHolder;
use serront_core::ports::PortError;
use serront_core::primitives::page::Limit;

use crate::memory::{FIRST_KEY, MemorySealer};
use crate::sim::events::{Event, Invariant, Reply, Verb, Verdict, View};
use crate::sim::executor::at_once;
use crate::sim::plan::KEYS_SETTLE_MS;

pub(super) struct AtRest {
    present: u64,
    added_at: Option<i64>,
    /// The key that certainly sealed everything since before each pass was requested.
    passes: BTreeMap<u64, u64>,
}

impl Default for AtRest {
    fn default() -> Self {
        Self { present: FIRST_KEY, added_at: None, passes: BTreeMap::new() }
    }
}

/// Every stored secret must open under this key, or a later one.
fn sealed_since(key: u64, view: &View<'_>) -> Verdict {
    let failed = |error: PortError| error.to_string();
    let sealer = MemorySealer::from_key(key);
    let subscriptions = at_once(view.storage.subscription_secrets(None, Limit::EXPORT)).map_err(failed)?.rows;
    let endpoints = at_once(view.storage.provisionings(None, Limit::EXPORT)).map_err(failed)?.rows;
    let of_subscriptions = subscriptions.iter().flat_map(|row| {
        let holder = SecretHolder::Subscription(row.account_id, row.id);
        row.previous_secret.iter().chain([&row.secret]).map(move |secret| (holder, secret))
    });
    let of_endpoints = endpoints.iter().flat_map(|row| {
        let holder = SecretHolder::Endpoint(row.account_id);
        row.state.stored_secrets().map(move |secret| (holder, secret))
    });
    let mut stored = of_subscriptions.chain(of_endpoints);
    match stored.find(|(holder, secret)| secret.open(&sealer, *holder).is_err()) {
        Some((holder, _)) => Err(format!("the secret of {holder} is not sealed under key {key} or a later one")),
        None => Ok(()),
    }
}

impl Invariant for AtRest {
    fn name(&self) -> &'static str {
        "secrets at rest"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::KeyAdded => {
                self.present += 1;
                self.added_at = Some(view.now);
                Ok(())
            }
            Event::Requested { id, call } if matches!(call.verb, Verb::Reseal | Verb::ForgetKeys) => {
                // A secret sealed under the previous key may still be on its way.
                let settled = self.added_at.is_some_and(|at| view.now - at >= KEYS_SETTLE_MS);
                self.passes.insert(*id, if settled { self.present } else { FIRST_KEY });
                Ok(())
            }
            Event::Answered { id, reply: Reply::Done { data, .. }, .. } => {
                let Some(key) = self.passes.remove(id) else { return Ok(()) };
                match data.get("unopened").and_then(Value::as_u64) {
                    Some(0) => sealed_since(key, view),
                    count => Err(format!("{count:?} rows have secrets that can't be opened")),
                }
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        sealed_since(FIRST_KEY, view)
    }
}
