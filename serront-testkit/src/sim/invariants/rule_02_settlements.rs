//! Rule 2: every checkout of the host's in rupiah that Plugipay reported as completed is in the ledger exactly once,
//! with the amount that arrived, in every state of the order. The fee is that amount times the noted rate, rounded
//! once. A payment that does not confirm its order records one exception.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::funds::ledger::{Book, Direction, EntryCode, LedgerEntry, SourceType};
use serront_core::online::inbox::InboxStatus;
use serront_core::online::plugipay::EVENTS;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::{AccountId, CheckoutId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::time::Timestamp;

use crate::sandbox::{SandboxSession, SandboxStatus};
use crate::sim::events::{Event, Invariant, Notified, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct Settlements {
    posted: BTreeSet<String>,
    /// Number of exceptions of each account.
    exceptions: BTreeMap<AccountId, usize>,
    /// Sessions completed according to an accepted notification.
    told: BTreeSet<String>,
    /// Plugipay forgot its keys, so that one intent may have several sessions. The host polls only one; a notification
    /// of another one waits for the operator.
    keys_forgotten: bool,
}

/// The account of a session's merchant.
pub(super) fn account_of(session: &SandboxSession, view: &View<'_>) -> Option<AccountId> {
    let of = |account: &AccountId| view.sandbox.merchant_of(&account.to_string()).as_ref() == Some(&session.account_id);
    view.sellers.iter().map(|seller| seller.account).find(of)
}

/// The checkout that a session was created for, if it is one of the host's.
pub(super) fn checkout_of(session: &SandboxSession) -> Option<CheckoutId> {
    session.metadata.get("checkoutId")?.parse().ok()
}

/// The fee, rounded half away from zero, in integer arithmetic: the rate is a decimal fraction as text.
fn fee(amount: i64, rate: &str) -> Option<i64> {
    let (whole, fraction) = rate.split_once('.').unwrap_or((rate, ""));
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let twice = i128::from(amount).checked_mul(digits)?.checked_mul(2)?;
    i64::try_from(twice.checked_add(scale)?.checked_div(scale.checked_mul(2)?)?).ok()
}

fn expected(gross: i64, fee: i64) -> Vec<(Book, EntryCode, Direction, i64)> {
    let legs = [
        (Book::PlugipayClearing, EntryCode::Sale, Direction::Debit, gross),
        (Book::Seller, EntryCode::Sale, Direction::Credit, gross),
        (Book::Seller, EntryCode::ModuleFee, Direction::Debit, fee),
        (Book::ModuleFeeIncome, EntryCode::ModuleFee, Direction::Credit, fee),
    ];
    let mut legs: Vec<_> = legs.into_iter().filter(|(.., amount)| *amount != 0).collect();
    legs.sort_unstable();
    legs
}

impl Settlements {
    fn post(&mut self, account: AccountId, legs: &[LedgerEntry], view: &View<'_>) -> Verdict {
        let id = legs.first().map(|leg| leg.source_id.clone()).unwrap_or_default();
        if legs.iter().any(|leg| leg.source_type != SourceType::CheckoutSession || leg.source_id != id) {
            return Err(format!("a posting through {id} belongs to several sessions"));
        }
        let Some(session) = view.sandbox.session(&id) else {
            return Err(format!("{id} is booked, but is not a session"));
        };
        if session.status != SandboxStatus::Completed || session.currency != "IDR" || checkout_of(&session).is_none() {
            return Err(format!("{id} is booked, but is {:?} in {}", session.status, session.currency));
        }
        if account_of(&session, view) != Some(account) {
            return Err(format!("{id} is booked in another account"));
        }
        if !self.posted.insert(id.clone()) {
            return Err(format!("{id} is booked twice"));
        }
        let rate = view.policy.online.fee.to_string();
        let fee = fee(session.amount, &rate).ok_or_else(|| format!("no fee can be computed at {rate}"))?;
        let mut found: Vec<_> = legs.iter().map(|leg| (leg.book, leg.code, leg.direction, leg.amount.get())).collect();
        found.sort_unstable();
        let expected = expected(session.amount, fee);
        if found == expected { Ok(()) } else { Err(format!("{id} is booked as {found:?}, not {expected:?}")) }
    }

    fn landed(&mut self, change: &ChangeSet, view: &View<'_>) -> Verdict {
        let mut posts = 0;
        let (mut confirms, mut exceptions) = (0, 0);
        for write in &change.writes {
            match write {
                Write::Post(legs) if legs.iter().all(|leg| leg.source_type != SourceType::CheckoutSession) => {}
                Write::Post(legs) => {
                    posts += 1;
                    self.post(change.account_id, legs, view)?;
                }
                Write::UpdatePayment { state, .. } if state.status == PaymentStatus::PaymentConfirmed => confirms += 1,
                Write::InsertException(exception) => {
                    exceptions += 1;
                    *self.exceptions.entry(exception.account_id).or_default() += 1;
                }
                _ => {}
            }
        }
        if posts > 0 && (posts, confirms + exceptions) != (1, 1) || posts == 0 && exceptions > 0 {
            return Err(format!("{posts} postings with {confirms} confirmations and {exceptions} exceptions"));
        }
        Ok(())
    }

    fn notified(&mut self, notified: &Notified<'_>, view: &View<'_>) -> Verdict {
        let Ok(status) = notified.answer else { return Ok(()) };
        let body: Value = serde_json::from_str(notified.body).unwrap_or_default();
        let [completed, _] = EVENTS;
        if body.get("type").and_then(Value::as_str) != Some(completed) {
            return Ok(());
        }
        let id = body.pointer("/data/object/id").and_then(Value::as_str).unwrap_or_default();
        let Some(session) = view.sandbox.session(id) else { return Ok(()) };
        self.told.insert(id.to_owned());
        let ours = checkout_of(&session).is_some();
        let fits = match (ours, session.currency.as_str(), status) {
            (_, _, InboxStatus::Parked) => true,
            (true, "IDR", InboxStatus::Applied) => self.posted.contains(id),
            // Polling may have found it before the notification was repeated.
            (true, currency, InboxStatus::ForeignCurrency | InboxStatus::Applied) => currency != "IDR",
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(format!("{id} was reported as completed, became {}, and is not booked", status.as_str()))
        }
    }

    /// Whether polling had stopped when the session was paid, and no notification of it was accepted.
    fn came_too_late(&self, session: &SandboxSession, ended_at: Option<Timestamp>, view: &View<'_>) -> bool {
        let (Some(ended_at), Some(completed_at)) = (ended_at, session.completed_at) else { return false };
        let asked_for = view.policy.online.poll_after_end_for.saturating_sub(view.policy.online.poll_after_end_pause);
        let sure_until = ended_at.plus(asked_for).millis() - view.skew_ms;
        !self.told.contains(&session.id) && completed_at.millis() > sure_until
    }
}

impl Invariant for Settlements {
    fn name(&self) -> &'static str {
        "rule 2: settlements"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => self.landed(change, view),
            Event::Notified(notified) => self.notified(notified, view),
            Event::KeysForgotten => {
                self.keys_forgotten = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        for seller in view.sellers {
            let listed = at_once(view.storage.exceptions(seller.account, None, None, limit));
            let listed = listed.map_err(|error| error.to_string())?.rows.len();
            let recorded = self.exceptions.get(&seller.account).copied().unwrap_or(0);
            if listed != recorded.min(100) {
                return Err(format!("{recorded} exceptions were recorded, but {listed} are listed"));
            }
        }
        let all = Timestamp::from_millis(view.now.saturating_mul(2));
        let waiting = at_once(view.storage.waiting(all, 1_000)).map_err(|error| error.to_string())?;
        for session in view.sandbox.sessions() {
            let (Some(_), Some(account)) = (checkout_of(&session), account_of(&session, view)) else { continue };
            let Some(name) = SessionId::parse(&session.id).filter(|_| session.status == SandboxStatus::Completed)
            else {
                continue;
            };
            let known = at_once(view.storage.session(account, &name, None)).map_err(|error| error.to_string())?;
            let waits = |status: InboxStatus| {
                waiting.iter().any(|record| {
                    record.status == status && record.session_id.as_ref().is_some_and(|of| of.as_str() == session.id)
                })
            };
            let listed = !self.told.contains(&session.id) || waits(InboxStatus::Parked);
            let orphaned = self.keys_forgotten && known.checkout.is_none() && listed;
            let ended_at = known.checkout.and_then(|known| known.checkout.state.ended_at);
            let kept = match session.currency.as_str() {
                "IDR" => self.posted.contains(&session.id),
                _ => waits(InboxStatus::ForeignCurrency),
            };
            if !kept && !orphaned && !self.came_too_late(&session, ended_at, view) {
                return Err(format!("{} was paid, and is not booked", session.id));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::fee;

    #[test]
    fn the_models_fee_is_rounded_half_away_from_zero() {
        for (amount, rate, expected) in
            [(166, "0.003", 0), (167, "0.003", 1), (500, "0.003", 2), (125_000, "0.003", 375), (7, "1", 7)]
        {
            assert_eq!(fee(amount, rate), Some(expected), "{amount} at {rate}");
        }
    }
}
