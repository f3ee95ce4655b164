//! Values as the cells of the relations that a statement takes in.

use serde_json::to_string;
use serront_core::changes::effect::Discard;
use serront_core::funds::ledger::{Adjustment, LedgerEntry};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutState};
use serront_core::online::checkout::{Checkout, CheckoutState};
use serront_core::online::exception::PaymentException;
use serront_core::online::inbox::InboxRecord;
use serront_core::orders::order::Order;
use serront_core::orders::payment::PaymentState;
use serront_core::primitives::time::Timestamp;
use serront_core::shop::catalog::Service;

use super::statement::Cell;
use crate::sql::error::Failed;
use crate::sql::names::image_word;
use crate::sql::search::indexed;

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<Cell, Failed> {
    Ok(to_string(value).map_err(|_| Failed::Refused("a value that can't be written as JSON"))?.into())
}

pub(super) fn int(value: u32) -> Cell {
    i64::from(value).into()
}

pub(super) fn time(at: Timestamp) -> Cell {
    Cell::Int(Some(at.millis()))
}

pub(super) fn service_cells(service: &Service) -> Result<Vec<Cell>, Failed> {
    let Service { id, account_id, version, offer, created_at, updated_at } = service;
    Ok(vec![
        id.to_string().into(),
        account_id.to_string().into(),
        int(version.0),
        offer.slug.as_str().into(),
        offer.name.as_str().into(),
        (&offer.description).into(),
        json(&offer.pricing)?,
        offer.active.into(),
        i64::from(offer.sort_order).into(),
        time(*created_at),
        time(*updated_at),
    ])
}

pub(super) fn order_cells(order: &Order) -> Vec<Cell> {
    let Order { buyer, state, .. } = order;
    vec![
        order.id.to_string().into(),
        order.account_id.to_string().into(),
        order.service_id.to_string().into(),
        order.access_token.reveal().into(),
        order.access_token.hash().to_string().into(),
        buyer.name.as_str().into(),
        buyer.email.as_str().into(),
        (&buyer.phone).into(),
        (&order.package_name).into(),
        (&order.preferred_date).into(),
        (&order.notes).into(),
        indexed(order).into(),
        order.language.as_str().into(),
        time(order.created_at),
        int(state.version.0),
        state.status.as_str().into(),
        state.payment_status.as_str().into(),
        state.quoted_price.get().into(),
        time(state.updated_at),
    ]
}

pub(super) fn checkout_cells(checkout: &Checkout) -> Vec<Cell> {
    let Checkout { id, account_id, order_id, payment_id, amount, fee_rate, request, created_at, state } = checkout;
    let mut cells = vec![
        id.to_string().into(),
        account_id.to_string().into(),
        order_id.to_string().into(),
        payment_id.to_string().into(),
        amount.get().into(),
        fee_rate.to_string().into(),
        request.as_str().into(),
        time(*created_at),
    ];
    cells.extend(checkout_state_cells(state));
    cells
}

pub(super) fn checkout_state_cells(state: &CheckoutState) -> [Cell; 6] {
    let session = state.session.as_ref();
    [
        state.status.as_str().into(),
        session.map(|session| session.id.to_string()).into(),
        session.map(|session| session.hosted_url.clone()).into(),
        session.map(|session| session.expires_at.millis()).into(),
        state.unneeded.into(),
        state.ended_at.map(Timestamp::millis).into(),
    ]
}

pub(super) fn entry_cells(leg: &LedgerEntry) -> Vec<Cell> {
    vec![
        leg.id.to_string().into(),
        leg.account_id.to_string().into(),
        leg.tx_id.to_string().into(),
        leg.book.as_str().into(),
        leg.code.as_str().into(),
        leg.direction.as_str().into(),
        leg.amount.get().into(),
        leg.source_type.as_str().into(),
        leg.source_id.as_str().into(),
        (&leg.description).into(),
        time(leg.created_at),
    ]
}

pub(super) fn exception_cells(exception: &PaymentException) -> Vec<Cell> {
    let PaymentException { id, account_id, kind, order_id, session_id, amount, created_at, state } = exception;
    vec![
        id.to_string().into(),
        account_id.to_string().into(),
        int(state.version.0),
        kind.as_str().into(),
        order_id.to_string().into(),
        session_id.as_str().into(),
        amount.get().into(),
        time(*created_at),
        state.status.as_str().into(),
        (&state.note).into(),
        state.adjustment_id.map(|id| id.to_string()).into(),
        state.resolved_at.map(Timestamp::millis).into(),
    ]
}

pub(super) fn inbox_cells(record: &InboxRecord) -> Vec<Cell> {
    vec![
        record.event_id.as_str().into(),
        record.account_id.to_string().into(),
        record.event_type.as_str().into(),
        record.session_id.as_ref().map(|id| id.as_str().to_owned()).into(),
        record.body.as_str().into(),
        time(record.received_at),
        record.status.as_str().into(),
    ]
}

pub(super) fn payment_cells(id: String, account: &str, order: String, state: &PaymentState) -> Vec<Cell> {
    let receipt = state.receipt.as_ref();
    vec![
        id.into(),
        account.into(),
        order.into(),
        state.status.as_str().into(),
        state.amount_due.get().into(),
        receipt.map(|receipt| receipt.upload_id.to_string()).into(),
        receipt.map(|receipt| image_word(receipt.image_type).to_owned()).into(),
        receipt.map(|receipt| i64::from(receipt.bytes)).into(),
        receipt.map(|receipt| receipt.sha256.to_string()).into(),
        receipt.map(|receipt| receipt.uploaded_at.millis()).into(),
    ]
}

pub(super) fn payout_cells(payout: &Payout) -> Result<Vec<Cell>, Failed> {
    let Payout { id, account_id, amount, bank, note, created_at, state } = payout;
    let mut cells = vec![
        id.to_string().into(),
        account_id.to_string().into(),
        amount.get().into(),
        json(bank)?,
        note.into(),
        time(*created_at),
    ];
    cells.extend(payout_state_cells(state));
    Ok(cells)
}

pub(super) fn payout_state_cells(state: &PayoutState) -> [Cell; 7] {
    [
        int(state.version.0),
        state.status.as_str().into(),
        (&state.reference).into(),
        (&state.failure_reason).into(),
        state.processed_at.map(Timestamp::millis).into(),
        state.completed_at.map(Timestamp::millis).into(),
        time(state.updated_at),
    ]
}

pub(super) fn payout_audit_cells(record: &PayoutAudit) -> Result<Vec<Cell>, Failed> {
    let PayoutAudit { id, account_id, payout_id, at, actor, from, to, note } = record;
    Ok(vec![
        id.to_string().into(),
        account_id.to_string().into(),
        payout_id.to_string().into(),
        time(*at),
        json(actor)?,
        from.map(|from| from.as_str().to_owned()).into(),
        to.as_str().into(),
        note.into(),
    ])
}

pub(super) fn discard_cells(record: &Discard) -> Result<Vec<Cell>, Failed> {
    let Discard { id, account_id, effect_id, at, actor, reason } = record;
    Ok(vec![
        id.to_string().into(),
        account_id.to_string().into(),
        effect_id.to_string().into(),
        time(*at),
        json(actor)?,
        reason.as_str().into(),
    ])
}

pub(super) fn adjustment_cells(adjustment: &Adjustment) -> Result<Vec<Cell>, Failed> {
    let Adjustment { id, account_id, direction, amount, reason, reference, actor, created_at } = adjustment;
    Ok(vec![
        id.to_string().into(),
        account_id.to_string().into(),
        direction.as_str().into(),
        amount.get().into(),
        reason.as_str().into(),
        reference.as_str().into(),
        json(actor)?,
        time(*created_at),
    ])
}
