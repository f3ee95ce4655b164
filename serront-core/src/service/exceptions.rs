//! The commands about exceptions: money that arrived and could not confirm its order.

use super::commands::rounds;
use super::{Answer, Commands, Failure};
use crate::accounts::actor::Actor;
use crate::changes::idempotency::IdempotentRequest;
use crate::decide;
use crate::online::exception::ExceptionStatus;
use crate::ports::Storage;
use crate::primitives::ids::{AccountId, AdjustmentId, ExceptionId};
use crate::primitives::page::{self, Limit};
use crate::primitives::rejection::{Invalid, Rejection};
use crate::snapshots::{AdjustmentKey, ExceptionSnapshot};
use crate::views::ExceptionView;

/// A page of exceptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionsPage {
    /// The exceptions, newest first.
    pub exceptions: Vec<ExceptionView>,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

/// How a seller resolved an exception.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resolution<'r> {
    /// The seller's words. Required.
    pub note: Option<&'r str>,
    /// The adjustment that settled it, if there is one.
    pub adjustment_id: Option<AdjustmentId>,
}

impl<S: Storage + ?Sized> Commands<'_, S> {
    /// A page of the account's exceptions, newest first.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor.
    pub async fn exceptions(
        &self,
        id: AccountId,
        status: Option<ExceptionStatus>,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<ExceptionsPage, Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.exceptions(id, status, after, limit).await?;
        let position = page.position(crate::online::exception::PaymentException::position);
        Ok(ExceptionsPage {
            exceptions: page.rows.iter().map(ExceptionView::from).collect(),
            cursor: position.map(|position| page::cursor(id, &position)),
        })
    }

    /// Resolves an exception.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Invalid`] for an adjustment that the account does not have; those of
    /// [`decide::resolve_exception`].
    pub async fn resolve_exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        resolution: Resolution<'_>,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ExceptionView>, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(rounds!(self, request, |context| {
            let snapshot: Option<ExceptionSnapshot> = self.storage.exception(account_id, id, scope).await?;
            let snapshot = snapshot.ok_or(Rejection::NotFound("exception"))?;
            let adjustment = match resolution.adjustment_id {
                None => None,
                Some(id) => {
                    let found = self.storage.adjustment(account_id, &AdjustmentKey::Id(id)).await?;
                    Some(found.ok_or_else(|| Invalid::new("adjustmentId", "must be an adjustment of this account"))?)
                }
            };
            decide::resolve_exception(&snapshot, resolution.note, adjustment.as_ref(), actor, &mut context)?
        }))
    }
}
