//! The audit trail explains the state: each record starts in the state in which the previous one ended, and the last
//! one ends in the order's state.

use serront_core::changes::change::Write;
use serront_core::online::exception::ExceptionStatus;
use serront_core::orders::audit::{Act, AuditRecord};
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{AccountId, ExceptionId, OrderId};
use serront_core::primitives::money::Rupiah;
use serront_core::snapshots::OrderKey;

use super::books;
use crate::sim::events::{Event, Invariant, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct Audit;

#[derive(Debug, PartialEq, Eq)]
struct Told {
    status: WorkStatus,
    payment: PaymentStatus,
    quote: Rupiah,
    receipt: Option<Digest256>,
}

fn fold(trail: &[AuditRecord]) -> Result<Told, String> {
    let quote = match trail.first().map(|record| &record.act) {
        Some(Act::Placed { quote }) => *quote,
        _ => return Err("the trail does not start with the placing".to_owned()),
    };
    let mut told = Told { status: WorkStatus::Requested, payment: PaymentStatus::Unpaid, quote, receipt: None };
    for record in trail.iter().skip(1) {
        let follows = match &record.act {
            Act::Payment { from, to, proof_sha256 } => {
                let follows = *from == told.payment && *proof_sha256 == told.receipt;
                told.payment = *to;
                follows
            }
            Act::Receipt { proof_sha256, replaced_sha256 } => {
                let follows = *replaced_sha256 == told.receipt;
                told.receipt = Some(*proof_sha256);
                follows
            }
            Act::Quote { from, to } => {
                let follows = *from == told.quote;
                told.quote = *to;
                follows
            }
            Act::Work { from, to } => {
                let follows = *from == told.status;
                told.status = *to;
                follows
            }
            // Its effect on the payment has a separate record.
            Act::Settled { .. } => true,
            // Does not change the order.
            Act::Resolved { .. } | Act::TokenRotated { .. } => true,
            _ => false,
        };
        if !follows {
            return Err(format!("a record does not follow from the previous one: {:?}", record.act));
        }
    }
    Ok(told)
}

fn check(view: &View<'_>, account: AccountId, id: OrderId) -> Verdict {
    let failed = |error: serront_core::ports::PortError| error.to_string();
    let trail = at_once(view.storage.audit(account, id)).map_err(failed)?;
    let Some(order) = at_once(view.storage.order(OrderKey::Id(account, id), None)).map_err(failed)? else {
        return Ok(());
    };
    let state = Told {
        status: order.order.state.status,
        payment: order.payment.state.status,
        quote: order.order.state.quoted_price,
        receipt: order.payment.state.receipt.map(|receipt| receipt.sha256),
    };
    let folded = fold(&trail).map_err(|what| format!("order {id}: {what}"))?;
    if folded == state { Ok(()) } else { Err(format!("order {id} is {state:?}, and its trail ends in {folded:?}")) }
}

/// A resolved exception is on its order's trail once, with the adjustment that it names.
fn resolved(view: &View<'_>, account: AccountId, id: ExceptionId) -> Verdict {
    let failed = |error: serront_core::ports::PortError| error.to_string();
    let Some(found) = at_once(view.storage.exception(account, id, None)).map_err(failed)? else {
        return Err(format!("exception {id} is not stored"));
    };
    let trail = at_once(view.storage.audit(account, found.exception.order_id)).map_err(failed)?;
    let named = trail.iter().filter_map(|record| match &record.act {
        Act::Resolved { exception_id, adjustment_id } if *exception_id == id => Some(*adjustment_id),
        _ => None,
    });
    let (named, state): (Vec<_>, _) = (named.collect(), &found.exception.state);
    let expected = if state.status == ExceptionStatus::Resolved { vec![state.adjustment_id] } else { Vec::new() };
    if named == expected { Ok(()) } else { Err(format!("exception {id}: its trail names {named:?}, not {expected:?}")) }
}

impl Invariant for Audit {
    fn name(&self) -> &'static str {
        "audit trail"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        let Event::Landed { change, .. } = event else { return Ok(()) };
        for write in &change.writes {
            match write {
                Write::UpdateOrder { id, .. } => check(view, change.account_id, *id)?,
                Write::InsertOrder(order, _) => check(view, change.account_id, order.id)?,
                Write::UpdateException(id, _) => resolved(view, change.account_id, *id)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        books::all_orders(view)?.iter().try_for_each(|row| check(view, row.order.account_id, row.order.id))
    }
}
