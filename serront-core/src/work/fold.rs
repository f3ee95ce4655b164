//! The folder: adds the deltas of counts and balances to their totals, so that reads add up few deltas.
//!
//! The more deltas arrive, the sooner the next step is due: about
//! [`FoldingPolicy::backlog`](crate::policy::FoldingPolicy::backlog) of them wait to be folded.

use std::time::Duration;

use crate::policy::Policy;
use crate::ports::{PortError, WorkStorage};
use crate::primitives::time::Timestamp;
use crate::service::Environment;

/// The most deltas of each kind that one step folds.
const BATCH: u32 = 1_000;

/// The shortest pause between two steps, because a statement that folds few deltas is not worth its round trip.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// Deltas folded.
    pub deltas: u64,
    /// When to call again at the latest.
    pub next: Timestamp,
}

/// Folds the deltas of a storage.
#[derive(Debug)]
pub struct Folder<'p, S: ?Sized> {
    storage: &'p S,
    environment: Environment<'p>,
    /// When the last step ran, if it folded all deltas.
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
    /// The storage's failure. Nothing is lost, and the next step continues.
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

/// How long it takes until about [`FoldingPolicy::backlog`](crate::policy::FoldingPolicy::backlog) deltas have arrived,
/// if `deltas` of them arrived `within` this time.
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
    fn the_more_deltas_arrive_the_sooner_the_next_step_is_due() {
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
            // After a full batch, or in the beginning: the rate is unknown.
            (5, None, 10),
        ] {
            let actual = super::pause(&policy, deltas, within.map(millis));
            assert_eq!(actual, millis(pause), "{deltas} within {within:?}");
        }
    }
}
