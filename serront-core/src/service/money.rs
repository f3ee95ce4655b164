//! What Plugipay notifies of, and the seller's reads of the money.

use super::{Answer, Failure, Local, rounds};
use crate::audit::Actor;
use crate::checkout::ProviderEventId;
use crate::decide;
use crate::exception::ExceptionStatus;
use crate::idempotency::IdempotentRequest;
use crate::ids::{AccountId, AdjustmentId, CheckoutId, ExceptionId};
use crate::inbox::{InboxRecord, InboxStatus};
use crate::page::{self, EntryFilter, Limit};
use crate::plugipay::{self, EndpointSecret, Notification};
use crate::ports::{AdjustmentKey, CheckoutSnapshot, ExceptionSnapshot, PortError, Storage};
use crate::rejection::{Invalid, Rejection};
use crate::sealed::SecretHolder;
use crate::time::Timestamp;
use crate::view::{BalanceView, EntryView, ExceptionView};

/// A page of ledger entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    /// The entries, newest first.
    pub entries: Vec<EntryView>,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

/// A page of exceptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionsPage {
    /// The exceptions, newest first.
    pub exceptions: Vec<ExceptionView>,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

/// How an exception was resolved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resolution<'r> {
    /// In the seller's words. Required.
    pub note: Option<&'r str>,
    /// The adjustment that settled it.
    pub adjustment_id: Option<AdjustmentId>,
}

impl<S: Storage + ?Sized> Local<'_, S> {
    pub(super) async fn checkout_snapshot(
        &self,
        account_id: AccountId,
        id: CheckoutId,
    ) -> Result<CheckoutSnapshot, Failure> {
        Ok(self.storage.checkout(account_id, id).await?.ok_or(Rejection::NotFound("checkout"))?)
    }

    /// Takes one of Plugipay's notifications: verified over the raw bytes before anything in it is believed, then stored
    /// in the same commit as what it causes. Once this answers, Plugipay may forget it.
    ///
    /// # Errors
    /// [`Rejection::InvalidSignature`]; [`Rejection::Invalid`] for what is signed and has no id or type; [`Failure::Busy`]; a
    /// port's failure.
    pub async fn receive_notification(&self, signature: Option<&str>, body: &[u8]) -> Result<InboxStatus, Failure> {
        let merchant = plugipay::named_merchant(body).ok_or(Rejection::InvalidSignature)?;
        let provisioning = self.storage.merchant(&merchant).await?.ok_or(Rejection::InvalidSignature)?;
        let now = self.environment.clock.now();
        let tolerance = self.environment.policy.notification_tolerance;
        let holder = SecretHolder::Endpoint(provisioning.account_id);
        let mut secrets = Vec::new();
        let mut unopened = None;
        for sealed in provisioning.state.secrets(now) {
            match sealed.open(self.environment.sealer, holder) {
                Ok(secret) => secrets.extend(EndpointSecret::parse(&secret)),
                Err(error) => unopened = Some(error),
            }
        }
        plugipay::verify(signature, body, &secrets, now, tolerance).map_err(|rejection| match unopened {
            // It may be signed with the one that could not be looked at: it is to come again.
            Some(error) => Failure::from(error),
            None => rejection.into(),
        })?;
        let unreadable = || Invalid::new("", "must be a notification with an id and a type");
        let body = std::str::from_utf8(body).map_err(|_| unreadable())?;
        let Notification { event_id, event_type, observed } = Notification::read(body).map_err(|_| unreadable())?;
        let account_id = provisioning.account_id;
        let record = |session_id, received_at, status| InboxRecord {
            account_id,
            event_id: event_id.clone(),
            event_type: event_type.clone(),
            session_id,
            body: body.to_owned(),
            received_at,
            status,
        };
        let (answer, _) = match &observed {
            Some(Ok(observation)) => rounds!(self, None, |context| {
                let id = &observation.session_id;
                let snapshot = self.storage.session(account_id, id, Some(event_id.clone())).await?;
                let record = record(Some(id.clone()), context.now, InboxStatus::Parked);
                decide::notify(record, Some((observation, &snapshot)), &mut context)?
            }),
            other => rounds!(self, None, |context| {
                if let Some(known) = self.storage.inbox(account_id, &event_id).await? {
                    return Ok(known.status);
                }
                let status = if other.is_some() { InboxStatus::Unreadable } else { InboxStatus::Noted };
                decide::notify(record(None, context.now, status), None, &mut context)?
            }),
        };
        Ok(answer.value)
    }

    /// Tries a parked notification again, and answers what became of it, and when it came; `None` if there is no such
    /// notification.
    ///
    /// # Errors
    /// [`Failure::Busy`]; a port's failure.
    pub async fn retry_notification(
        &self,
        account_id: AccountId,
        event_id: &ProviderEventId,
    ) -> Result<Option<(InboxStatus, Timestamp)>, Failure> {
        let Some(record) = self.storage.inbox(account_id, event_id).await? else { return Ok(None) };
        let read = Notification::read(&record.body).ok().and_then(|notification| notification.observed);
        let (InboxStatus::Parked, Some(Ok(observation))) = (record.status, read) else {
            return Ok(Some((record.status, record.received_at)));
        };
        let (answer, _) = rounds!(self, None, |context| {
            let snapshot = self.storage.session(account_id, &observation.session_id, Some(event_id.clone())).await?;
            decide::unpark(event_id, &observation, &snapshot, &mut context)?
        });
        Ok(Some((answer.value, record.received_at)))
    }

    /// The gate of every money route: the account's payment module is on.
    ///
    /// # Errors
    /// [`Rejection::PaymentModuleDisabled`]; a port's failure.
    pub async fn payment_module(&self, id: AccountId) -> Result<(), Failure> {
        if self.account(id).await?.state.modules.payment {
            Ok(())
        } else {
            Err(Rejection::PaymentModuleDisabled.into())
        }
    }

    /// The seller's balance, by code. Asks no switch: see [`Local::payment_module`].
    ///
    /// # Errors
    /// A port's failure.
    pub async fn balance(&self, id: AccountId) -> Result<BalanceView, Failure> {
        let totals = self.storage.balance(id).await?;
        Ok(BalanceView::of(&totals).ok_or_else(|| PortError::permanent("a balance larger than can be told"))?)
    }

    /// A page of the legs on the seller's balance, newest first. Asks no switch: see [`Local::payment_module`].
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor; a port's failure.
    pub async fn entries(
        &self,
        id: AccountId,
        filter: &EntryFilter,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<EntriesPage, Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.entries(id, filter, after, limit).await?;
        let position = page.position(crate::ledger::LedgerEntry::position);
        Ok(EntriesPage {
            entries: page.rows.iter().map(EntryView::from).collect(),
            cursor: position.map(|position| page::cursor(id, &position)),
        })
    }

    /// A page of the account's exceptions, newest first.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor; a port's failure.
    pub async fn exceptions(
        &self,
        id: AccountId,
        status: Option<ExceptionStatus>,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<ExceptionsPage, Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.exceptions(id, status, after, limit).await?;
        let position = page.position(crate::exception::PaymentException::position);
        Ok(ExceptionsPage {
            exceptions: page.rows.iter().map(ExceptionView::from).collect(),
            cursor: position.map(|position| page::cursor(id, &position)),
        })
    }

    /// Resolves an exception with a note, and the adjustment that settled it, if there is one.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Invalid`] for an adjustment that the account does not have; those of
    /// [`decide::resolve_exception`]; [`Failure::Busy`]; a port's failure.
    pub async fn resolve_exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        resolution: Resolution<'_>,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ExceptionView>, Failure> {
        let scope = request.map(|request| request.scope);
        let (answer, _) = rounds!(self, request, |context| {
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
        });
        Ok(answer)
    }
}
