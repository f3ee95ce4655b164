//! The decision about exceptions: resolving one with a note, and with the adjustment that settled it.

use super::{Context, Decision};
use crate::accounts::actor::Actor;
use crate::changes::change::{Guard, Row, Write};
use crate::funds::ledger::Adjustment;
use crate::online::exception::{ExceptionState, ExceptionStatus, PaymentException};
use crate::orders::audit::{Act, AuditRecord};
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::snapshots::ExceptionSnapshot;
use crate::views::ExceptionView;

/// Resolves an exception. It stays on record, and its payment's audit trail shows the resolution.
///
/// # Errors
/// [`Rejection::Invalid`] for the note, [`Rejection::IdempotencyKeyInUse`], then [`Rejection::InvalidTransition`] if it
/// was resolved before.
pub fn resolve_exception(
    snapshot: &ExceptionSnapshot,
    note: Option<&str>,
    adjustment: Option<&Adjustment>,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<ExceptionView>, Rejection> {
    let note =
        text::optional_prose("note", note)?.ok_or_else(|| Invalid::new("note", "must say how it was resolved"))?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let exception = &snapshot.exception;
    match exception.state.status {
        ExceptionStatus::Open => {}
        ExceptionStatus::Resolved => {
            return Err(Rejection::InvalidTransition { track: "the exception", from: "resolved", to: "resolved" });
        }
    }
    let adjustment_id = adjustment.map(|adjustment| adjustment.id);
    let state = ExceptionState {
        version: exception.state.version.next(),
        status: ExceptionStatus::Resolved,
        note: Some(note.clone()),
        adjustment_id,
        resolved_at: Some(context.now),
    };
    let mut change = context.change_set(exception.account_id);
    let version = exception.state.version;
    change.guards.push(Guard::Exact { row: Row::Exception(exception.id), version });
    change.writes.push(Write::UpdateException(exception.id, state.clone()));
    change.writes.push(Write::AppendAudit(AuditRecord {
        id: context.ids.audit(),
        account_id: exception.account_id,
        order_id: exception.order_id,
        payment_id: snapshot.payment_id,
        at: context.now,
        actor: actor.clone(),
        act: Act::Resolved { exception_id: exception.id, adjustment_id },
        note: Some(note),
    }));
    context.conclude(change, ExceptionView::from(&PaymentException { state, ..exception.clone() }))
}
