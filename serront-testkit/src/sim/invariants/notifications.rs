//! Notifications: accepted only if Plugipay signed them recently. One with a valid signature is refused only for its
//! age. At the end none is parked whose session is known.

use serront_core::online::inbox::InboxStatus;
use serront_core::primitives::time::Timestamp;

use crate::sim::events::{Event, Invariant, Notified, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct Notifications;

fn check(notified: &Notified<'_>, view: &View<'_>) -> Verdict {
    let Notified { genuine, signed_at, during: (from, until), answer, .. } = notified;
    let tolerance = i64::try_from(view.policy.online.notification_tolerance.as_secs()).unwrap_or(i64::MAX);
    let off = |at: &Timestamp| at.unix_seconds().saturating_sub(*signed_at).abs();
    match answer {
        Ok(_) if !genuine => Err("a notification was accepted that Plugipay did not send".to_owned()),
        // The clock may have been set during the request.
        Ok(_) if off(from).min(off(until)) > tolerance => {
            Err(format!("a notification was accepted {} s after it was signed", off(from)))
        }
        Err("INVALID_SIGNATURE" | "INTERNAL_ERROR") | Ok(_) => Ok(()),
        Err(code) => Err(format!("a notification was refused with {code}")),
    }
}

impl Invariant for Notifications {
    fn name(&self) -> &'static str {
        "notifications"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Notified(notified) => check(notified, view),
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        let all = Timestamp::from_millis(view.now.saturating_mul(2));
        let waiting = at_once(view.storage.waiting(all, 1_000)).map_err(|error| error.to_string())?;
        for record in waiting.iter().filter(|record| record.status == InboxStatus::Parked) {
            let Some(session) = &record.session_id else { continue };
            let known =
                at_once(view.storage.session(record.account_id, session, None)).map_err(|error| error.to_string())?;
            if known.checkout.is_some() {
                return Err(format!("{} is parked, but {session} is known", record.event_id));
            }
        }
        Ok(())
    }
}
