//! Requests with idempotency keys: the answers kept under them, and how long these count.

use imbl::OrdMap;

use crate::sim::events::{Call, View};

/// Longest duration of a request. Together with the clocks' offsets it bounds the error in a key's known age.
const REQUEST_MS_MAX: i64 = 40 * 60_000;

/// A request that may carry an idempotency key.
#[derive(Debug, Clone)]
pub(super) struct Keyed {
    key: Option<String>,
    body: String,
    /// When the request was sent, in true time.
    asked_at: i64,
}

impl Keyed {
    pub(super) fn of(call: &Call, now: i64) -> Self {
        Self { key: call.idempotency_key.clone(), body: call.verb.body(), asked_at: now }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept<A> {
    body: String,
    answer: A,
    asked_at: i64,
}

/// By route and key.
pub(super) type KeptAnswers<A> = OrdMap<(String, String), Kept<A>>;

/// The answer with whether it is a replay, or the code of the refusal.
pub(super) type KeyedAnswer<A> = Result<(A, bool), &'static str>;

/// How long a key is kept, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyLifetime(i64);

impl KeyLifetime {
    pub(super) fn of(view: &View<'_>) -> Self {
        Self(i64::try_from(view.policy.commits.idempotency_kept.as_millis()).unwrap_or(i64::MAX / 4))
    }

    /// The possible outcomes of a request: the kept answer while its key may count, the command's effect when it may
    /// not.
    pub(super) fn outcomes<S: Clone, A: Clone>(
        self,
        (keyed, route): (&Keyed, &str),
        state: &S,
        kept: impl Fn(&mut S) -> &mut KeptAnswers<A>,
        effect: impl Fn(&S) -> Result<(S, A), &'static str>,
    ) -> Vec<(S, KeyedAnswer<A>)> {
        let mut outcomes = Vec::new();
        let scope = keyed.key.clone().map(|key| (route.to_owned(), key));
        let known = scope.as_ref().and_then(|scope| kept(&mut state.clone()).get(scope).cloned());
        let age = known.as_ref().map_or(i64::MAX, |known| keyed.asked_at - known.asked_at);
        if let Some(known) = known.filter(|_| age < self.0 + REQUEST_MS_MAX) {
            let same = known.body == keyed.body;
            outcomes.push((state.clone(), if same { Ok((known.answer, true)) } else { Err("IDEMPOTENCY_KEY_IN_USE") }));
        }
        if age > self.0 - REQUEST_MS_MAX {
            outcomes.push(match effect(state) {
                Err(code) => (state.clone(), Err(code)),
                Ok((mut next, answer)) => {
                    if let Some(scope) = scope {
                        let (body, asked_at) = (keyed.body.clone(), keyed.asked_at);
                        kept(&mut next).insert(scope, Kept { body, answer: answer.clone(), asked_at });
                    }
                    (next, Ok((answer, false)))
                }
            });
        }
        outcomes
    }
}
