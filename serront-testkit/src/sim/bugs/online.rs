//! Planted bugs of online payment, in the storage or on the way to it.

use serde_json::Value;
use serront_core::changes::change::{Claim, ClaimName, Guard, Row, Write};
use serront_core::changes::effect::{Effect, Errand};
use serront_core::funds::ledger::{self, EntryCode};
use serront_core::online::checkout::CheckoutStatus;
use serront_core::online::inbox::InboxStatus;
use serront_core::online::plugipay::EVENTS;
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::IdSequence;
use serront_core::primitives::money::Rupiah;
use serront_core::snapshots::DueEffect;
use ulid::Ulid;

use super::Bug;
use super::storage::Defect;
use crate::memory::locked;

fn gross(legs: &[LedgerEntry]) -> i64 {
    legs.iter().find(|leg| leg.code == EntryCode::Sale).map_or(0, |leg| leg.amount.get())
}

fn put_fee(legs: &mut [LedgerEntry], fee: i64) {
    let Some(fee) = Rupiah::new(fee).ok().filter(|fee| !fee.is_zero()) else { return };
    for leg in legs.iter_mut().filter(|leg| leg.code == EntryCode::ModuleFee) {
        leg.amount = fee;
    }
}

const fn has_ended_unpaid(status: CheckoutStatus) -> bool {
    matches!(status, CheckoutStatus::Expired | CheckoutStatus::Failed | CheckoutStatus::Canceled)
}

const fn names_settlement(claim: &Claim) -> bool {
    matches!(claim.name, ClaimName::Settlement(_))
}

impl Defect {
    pub(super) async fn checkout(
        &self,
        account_id: AccountId,
        id: CheckoutId,
    ) -> Result<Option<CheckoutSnapshot>, PortError> {
        let mut found = self.inner.checkout(account_id, id).await?;
        found.iter_mut().for_each(|found| self.spoil_checkout(found));
        Ok(found)
    }

    pub(super) async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let asked = event_id.is_some();
        let mut found = self.inner.session(account_id, id, event_id).await?;
        self.spoil_session(&mut found, asked);
        Ok(found)
    }

    pub(super) async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        let mut found = self.inner.exception(account_id, id, key).await?;
        if let (true, Some(found)) = (self.is(Bug::ResolvedAgain), &mut found) {
            found.exception.state.status = ExceptionStatus::Open;
        }
        Ok(found)
    }

    pub(super) async fn spoil_online(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        match self.bug {
            Bug::FeeRoundedTwice => {
                for write in &mut change.writes {
                    if let Write::Post(legs) = write {
                        let tenths = (gross(legs) * 3 + 50) / 100;
                        put_fee(legs, (tenths + 5) / 10);
                    }
                }
            }
            Bug::FeeOfMinted => {
                let settled = change.writes.iter().find_map(|write| match write {
                    Write::UpdateCheckout { id, state, .. } if state.status == CheckoutStatus::Completed => Some(*id),
                    _ => None,
                });
                let Some(settled) = settled else { return Ok(()) };
                let known = self.inner.checkout(change.account_id, settled).await?;
                let minted = known.map_or(0, |known| known.checkout.amount.get());
                for write in &mut change.writes {
                    if let Write::Post(legs) = write {
                        put_fee(legs, (minted * 3 + 500) / 1_000);
                    }
                }
            }
            Bug::SettledByEvent => change.claims.retain(|claim| !names_settlement(claim)),
            Bug::DuplicateBooked => self.take_events_again(change).await?,
            Bug::ExpiryBelieved => self.believe_expiry(change).await?,
            Bug::LateMoneyIgnored => self.ignore_late_money(change).await?,
            Bug::ConfirmedAgain => {
                change.claims.retain(|claim| !matches!(claim.name, ClaimName::Confirmation(_)));
            }
            Bug::ExceptionForgotten => change.writes.retain(|write| !matches!(write, Write::InsertException(_))),
            Bug::ParkedForgotten => {
                change.effects.retain(|effect| !matches!(effect, Effect::Errand { errand: Errand::Unpark(_), .. }))
            }
            Bug::ForeignAsRupiah => self.book_foreign(change),
            Bug::CancelForgotten => {
                let confirms = |write: &Write| matches!(write, Write::UpdatePayment { state, .. } if state.status == PaymentStatus::PaymentConfirmed);
                let by_hand = !change.writes.iter().any(|write| matches!(write, Write::Post(_)));
                if by_hand && change.writes.iter().any(confirms) {
                    change.writes.retain(|write| !matches!(write, Write::UpdateCheckout { .. }));
                    change.effects.retain(|effect| !matches!(effect, Effect::Errand { .. }));
                }
            }
            _ => self.spoil_payouts(change).await?,
        }
        Ok(())
    }

    pub(super) fn spoil_checkout(&self, found: &mut CheckoutSnapshot) {
        if self.is(Bug::ConfirmedAgain) && found.order.payment.state.status == PaymentStatus::PaymentConfirmed {
            found.order.payment.state.status = PaymentStatus::Unpaid;
        }
    }

    /// Changes what was read about a session. `asked` says whether the caller asked for an event.
    pub(super) fn spoil_session(&self, found: &mut SessionSnapshot, asked: bool) {
        let reopens = match self.bug {
            Bug::SettledByEvent => asked && found.event.is_none(),
            Bug::DuplicateBooked => found.event == Some(InboxStatus::Applied),
            _ => false,
        };
        if self.is(Bug::ParkedForgotten) {
            found.parked.clear();
        }
        let Some(checkout) = &mut found.checkout else { return };
        self.spoil_checkout(checkout);
        let state = &mut checkout.checkout.state;
        if reopens && state.status == CheckoutStatus::Completed {
            // An expired checkout changes only when money arrives.
            state.status = CheckoutStatus::Expired;
            found.event = None;
        }
    }

    /// Removes what would stop an event from being applied twice.
    async fn take_events_again(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        let mut again = Vec::new();
        for write in &change.writes {
            if let Write::InsertInbox(InboxRecord { event_id, .. }) = write
                && self.inner.inbox(change.account_id, event_id).await?.is_some()
            {
                again.push(event_id.clone());
            }
        }
        change.writes.retain(|write| !matches!(write, Write::InsertInbox(record) if again.contains(&record.event_id)));
        change.claims.retain(|claim| {
            let again = matches!(&claim.name, ClaimName::ProviderEvent(event_id) if again.contains(event_id));
            !again && !names_settlement(claim)
        });
        Ok(())
    }

    /// Applies the expiry of a session that was paid.
    async fn believe_expiry(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        let [_, expired] = EVENTS;
        let notified = change.writes.iter().find_map(|write| match write {
            Write::InsertInbox(record) if record.event_type == expired => record.session_id.clone(),
            _ => None,
        });
        let Some(session) = notified else { return Ok(()) };
        let known = self.inner.session(change.account_id, &session, None).await?.checkout;
        let Some(CheckoutSnapshot { order, checkout }) = known else { return Ok(()) };
        if checkout.state.status != CheckoutStatus::Completed {
            return Ok(());
        }
        let (id, version) = (order.order.id, order.order.state.version);
        change.guards.push(Guard::Exact { row: Row::Order(id), version });
        let was = order.order.state.status;
        let mut state = order.order.state;
        state.version = version.next();
        change.writes.push(Write::UpdateOrder { id, was, state });
        let mut state = checkout.state;
        state.status = CheckoutStatus::Expired;
        change.writes.push(Write::UpdateCheckout { id: checkout.id, order_id: id, state });
        Ok(())
    }

    /// Drops the settlement of a checkout that had ended unpaid, and keeps only its notification.
    async fn ignore_late_money(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        if !change.writes.iter().any(|write| matches!(write, Write::Post(_))) {
            return Ok(());
        }
        for write in change.writes.clone() {
            let Write::UpdateCheckout { id, .. } = write else { continue };
            let known = self.inner.checkout(change.account_id, id).await?;
            let late = known.is_some_and(|known| has_ended_unpaid(known.checkout.state.status));
            if late {
                change.guards.clear();
                change.effects.clear();
                change.writes.retain(|write| matches!(write, Write::InsertInbox(_)));
                change.claims.retain(|claim| matches!(claim.name, ClaimName::ProviderEvent(_)));
                return Ok(());
            }
        }
        Ok(())
    }

    fn book_foreign(&self, change: &mut ChangeSet) {
        let notified = change.writes.iter().find_map(|write| match write {
            Write::InsertInbox(record) if record.status == InboxStatus::ForeignCurrency => Some(record.clone()),
            _ => None,
        });
        let Some(InboxRecord { account_id, session_id: Some(session), body, .. }) = notified else { return };
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let amount = body.pointer("/data/object/amount").or_else(|| body.get("amount")).and_then(Value::as_i64);
        let Some(amount) = amount.and_then(|amount| Rupiah::new(amount).ok()) else { return };
        let mut ids = IdSequence::from_seed(Ulid(self.fresh().0 << 16));
        let legs = ledger::sale(account_id, &session, amount, Rupiah::default(), "", change.at, &mut ids);
        change.writes.push(Write::Post(legs));
    }

    /// Whether this effect polls a session that ended unpaid.
    pub(super) async fn has_ended_unpaid(&self, account_id: AccountId, id: EffectId) -> Result<bool, PortError> {
        let effect = locked(&self.memory).taken.get(&id).map(|due| due.effect.clone());
        let Some(DueEffect::Errand(Errand::Poll(id))) = effect else { return Ok(false) };
        let known = self.inner.checkout(account_id, id).await?;
        Ok(known.is_some_and(|known| has_ended_unpaid(known.checkout.state.status)))
    }
}
