//! Rule 9: a repeated request with the same idempotency key has the same answer and no second effect, also when the first
//! answer was lost. A key's lifetime follows the storage's clock, regardless of the hosts' clocks.

use std::collections::BTreeMap;

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, ClaimName};
use serront_core::changes::idempotency::Scope;
use serront_core::primitives::time::Timestamp;

use crate::sim::events::{Call, Event, Invariant, Reply, Verdict, View};

/// Longest duration of a request.
const REQUEST_MS_MAX: i64 = 40 * 60_000;

struct Answered {
    body: String,
    data: Value,
    at: i64,
}

#[derive(Default)]
pub(super) struct Idempotency {
    answered: BTreeMap<String, Answered>,
    /// When each key's last change expires, by the storage's clock.
    landed: BTreeMap<Scope, i64>,
}

impl Idempotency {
    fn told(&mut self, call: &Call, data: &Value, replayed: bool, view: &View<'_>) -> Verdict {
        let Some(key) = &call.idempotency_key else { return Ok(()) };
        let scope = format!("{} {:?} {key}", call.seller, call.verb.route());
        let kept_ms = i64::try_from(view.policy.commits.idempotency_kept.as_millis()).unwrap_or(i64::MAX / 4);
        let counts = kept_ms - REQUEST_MS_MAX;
        if let Some(first) = self.answered.get(&scope).filter(|first| view.now - first.at < counts) {
            if first.body != call.verb.body() {
                return Err(format!("key {key} was answered for another body"));
            }
            if first.data != *data {
                return Err(format!("key {key} has two answers: {} and {data}", first.data));
            }
            return Ok(());
        }
        if !replayed {
            let answered = Answered { body: call.verb.body(), data: data.clone(), at: view.now };
            self.answered.insert(scope, answered);
        }
        Ok(())
    }

    fn landed(&mut self, change: &ChangeSet, view: &View<'_>) -> Verdict {
        let now = Timestamp::from_millis(view.now);
        for claim in &change.claims {
            let (ClaimName::Idempotency(scope), Some(_)) = (&claim.name, &claim.kept) else { continue };
            let until = now.plus(view.policy.commits.idempotency_kept).millis();
            if let Some(before) = self.landed.insert(*scope, until).filter(|before| view.now < *before) {
                let early = before - view.now;
                return Err(format!("a second change landed under one key, {early} ms before the key expired"));
            }
        }
        Ok(())
    }
}

impl Invariant for Idempotency {
    fn name(&self) -> &'static str {
        "rule 9: idempotency"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Answered { call, reply: Reply::Done { data, replayed }, .. } => {
                self.told(call, data, *replayed, view)
            }
            Event::Landed { change, .. } => self.landed(change, view),
            _ => Ok(()),
        }
    }
}
