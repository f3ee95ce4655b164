//! The folder: moves the deltas of kept counts and balances into their totals, so that what a read adds up stays short.
//!
//! As the dispatcher, it is a `step(now)`: it does a bounded piece of work and says when to be called next. The busier commits
//! are, the sooner that is: what waits to be folded stays around [`Policy::folding`].

use std::time::Duration;

use crate::policy::Policy;
use crate::ports::{PortError, WorkStorage};
use crate::primitives::time::Timestamp;
use crate::service::Environment;

/// Most deltas of each kind that one step folds.
const BATCH: u32 = 1_000;

/// The shortest pause: a statement that finds little is not worth its round trip.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// How many deltas were folded.
    pub deltas: u64,
    /// When to call again at the latest.
    pub next: Timestamp,
}

/// Folds, over a borrowed storage.
#[derive(Debug)]
pub struct Folder<'p, S: ?Sized> {
    storage: &'p S,
    environment: Environment<'p>,
    /// Since when the deltas come that the next step finds, if the last one left none behind.
    since: Option<Timestamp>,
}

impl<'p, S: WorkStorage + ?Sized> Folder<'p, S> {
    /// Over this storage.
    pub const fn new(storage: &'p S, environment: Environment<'p>) -> Self {
        Self { storage, environment, since: None }
    }

    /// Folds once.
    ///
    /// # Errors
    /// The storage's failure; nothing is lost by it, and the next step goes on.
    pub async fn step(&mut self, now: Timestamp) -> Result<Folded, PortError> {
        let deltas = self.storage.fold_deltas(BATCH).await?;
        if deltas >= u64::from(BATCH) {
            self.since = None;
            return Ok(Folded { deltas, next: now });
        }
        let since = self.since.replace(now);
        Ok(Folded {
            deltas,
            next: now.plus(pause(self.environment.policy, deltas, since.map(|since| now.since(since)))),
        })
    }
}

/// How long it takes until about as many have come as may wait.
fn pause(policy: &Policy, deltas: u64, within: Option<Duration>) -> Duration {
    let (Some(within), Ok(deltas)) = (within, u32::try_from(deltas)) else { return PAUSE_MIN };
    let Some(each) = within.checked_div(deltas) else { return policy.folding.interval };
    each.saturating_mul(policy.folding.backlog).max(PAUSE_MIN).min(policy.folding.interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::FoldingPolicy;

    #[test]
    fn the_busier_commits_are_the_sooner_it_is_called_again() {
        let policy = Policy::default()
            .with(|policy| policy.folding = FoldingPolicy { backlog: 1_000, interval: Duration::from_millis(500) });
        let millis = Duration::from_millis;
        for (deltas, within, pause) in [
            (0, Some(500), 500),
            (1, Some(500), 500),
            (999, Some(500), 500),
            (800, Some(100), 125),
            (500, Some(100), 200),
            (999, Some(1), 10),
            // After a batch that was full, or at the beginning: nobody knows how fast they come.
            (5, None, 10),
        ] {
            let told = super::pause(&policy, deltas, within.map(millis));
            assert_eq!(told, millis(pause), "{deltas} within {within:?}");
        }
    }
}
