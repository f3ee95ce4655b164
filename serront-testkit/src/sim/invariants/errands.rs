//! Errands: each ends only when no work is left. A session is polled until it is paid, or for a period after it ended;
//! a canceled session has ended; an unparked notification is not parked.

use std::collections::BTreeMap;

use serront_core::changes::effect::{Attempt, Effect, EffectId, Errand};
use serront_core::online::checkout::CheckoutStatus;
use serront_core::online::inbox::InboxStatus;
use serront_core::primitives::ids::AccountId;
use serront_core::snapshots::NextAttempt;

use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct Errands {
    known: BTreeMap<EffectId, (AccountId, Errand)>,
}

impl Errands {
    fn ended(&self, id: EffectId, attempt: &Attempt, next: NextAttempt, view: &View<'_>) -> Verdict {
        let Some((account, errand)) = self.known.get(&id) else { return Ok(()) };
        let failed = |error: serront_core::ports::PortError| error.to_string();
        match errand {
            Errand::Poll(checkout) | Errand::Cancel(checkout) => {
                if next == NextAttempt::Failed {
                    return Err(format!("{errand:?} was given up"));
                }
                let found = at_once(view.storage.checkout(*account, *checkout)).map_err(failed)?;
                let Some(state) = found.map(|found| found.checkout.state) else { return Ok(()) };
                if state.status.is_live() {
                    return Err(format!("{errand:?} is done, but its session is {:?}", state.status));
                }
                let over = matches!(state.status, CheckoutStatus::Completed | CheckoutStatus::Refused);
                let asked_for =
                    view.policy.online.poll_after_end_for.saturating_sub(view.policy.online.poll_after_end_pause);
                let until = state.ended_at.map_or(0, |ended| ended.plus(asked_for).millis());
                if matches!(errand, Errand::Poll(_)) && !over && view.now < until.saturating_sub(view.skew_ms) {
                    return Err(format!("{errand:?} ends before its time, after {} polls", attempt.attempt_number));
                }
                Ok(())
            }
            Errand::Unpark(event) => {
                let found = at_once(view.storage.inbox(*account, event)).map_err(failed)?;
                let Some(record) = found else { return Ok(()) };
                let until = record.received_at.plus(view.policy.online.unpark_for).millis();
                // The last pause may end after the period.
                let sure =
                    until - i64::try_from(view.policy.online.poll_pause_max.as_millis()).unwrap_or(0) - view.skew_ms;
                if record.status == InboxStatus::Parked && (next == NextAttempt::Succeeded || view.now < sure) {
                    return Err(format!("{event} is not retried, but is still parked"));
                }
                Ok(())
            }
        }
    }
}

impl Invariant for Errands {
    fn name(&self) -> &'static str {
        "errands"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => {
                for effect in &change.effects {
                    if let Effect::Errand { errand, .. } = effect {
                        self.known.insert(effect.id(), (change.account_id, errand.clone()));
                    }
                }
                Ok(())
            }
            Event::Recorded { next: NextAttempt::At(_), .. } => Ok(()),
            Event::Recorded { id, attempt, next, .. } => self.ended(*id, attempt, *next, view),
            _ => Ok(()),
        }
    }
}
