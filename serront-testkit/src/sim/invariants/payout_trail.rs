//! A payout's records explain its state: they start with the request, each starts where the previous one ended, each
//! step is allowed by the table for its actor, and the last one ends in the payout's state.

use serront_core::accounts::actor::Actor;
use serront_core::changes::change::Write;
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::primitives::ids::{AccountId, PayoutId};
use serront_core::primitives::page::Limit;
use serront_core::snapshots::PayoutKey;

use super::rule_04_payouts::may_go;
use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct PayoutTrail;

fn explains(trail: &[PayoutAudit], payout: &Payout) -> Verdict {
    let mut at: Option<PayoutStatus> = None;
    for PayoutAudit { from, to, actor, payout_id, .. } in trail {
        let on_path = match (at, from) {
            (None, None) => *to == PayoutStatus::Pending,
            (Some(at), Some(from)) => at == *from && may_go(at, *to),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let by = match to {
            PayoutStatus::Pending => matches!(actor, Actor::Key { .. } | Actor::Operator { .. }),
            PayoutStatus::Cancelled => matches!(actor, Actor::Key { .. }),
            PayoutStatus::InTransit | PayoutStatus::Paid | PayoutStatus::Failed => {
                matches!(actor, Actor::Operator { .. })
            }
        };
        if !on_path || !by || *payout_id != payout.id {
            return Err(format!("{} was at {at:?} when {actor:?} moved it from {from:?} to {to:?}", payout.id));
        }
        at = Some(*to);
    }
    let status = payout.state.status;
    if at == Some(status) { Ok(()) } else { Err(format!("{} is {status:?}, but its trail ends at {at:?}", payout.id)) }
}

fn check(view: &View<'_>, account: AccountId, payout: &Payout) -> Verdict {
    let trail = at_once(view.storage.payout_audit(account, payout.id)).map_err(|error| error.to_string())?;
    explains(&trail, payout)
}

fn check_id(view: &View<'_>, account: AccountId, id: PayoutId) -> Verdict {
    let found = at_once(view.storage.payout(PayoutKey::Id(account, id), None)).map_err(|error| error.to_string())?;
    found.map_or_else(|| Err(format!("{id} is not stored")), |found| check(view, account, &found.payout))
}

impl Invariant for PayoutTrail {
    fn name(&self) -> &'static str {
        "payouts' trail"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        let Event::Landed { change, .. } = event else { return Ok(()) };
        change.writes.iter().try_for_each(|write| match write {
            Write::InsertPayout(payout) => check_id(view, change.account_id, payout.id),
            Write::UpdatePayout(id, _) => check_id(view, change.account_id, *id),
            _ => Ok(()),
        })
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        let limit = Limit::parse(Some("100")).map_err(|error| error.to_string())?;
        for seller in view.sellers {
            let rows = at_once(view.storage.payouts(seller.account, None, None, limit));
            let rows = rows.map_err(|error| error.to_string())?.rows;
            rows.iter().try_for_each(|payout| check(view, seller.account, payout))?;
        }
        Ok(())
    }
}
