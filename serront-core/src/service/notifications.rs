//! What Plugipay notifies of, and the seller's reads of the money.

use super::commands::rounds;
use super::{Commands, Failure};
use crate::accounts::sealed::SecretHolder;
use crate::decide;
use crate::online::inbox::{InboxRecord, InboxStatus};
use crate::online::plugipay::{self, EndpointSecret, Notification};
use crate::ports::Storage;
use crate::primitives::ids::AccountId;
use crate::primitives::provider::ProviderEventId;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::time::Timestamp;

impl<S: Storage + ?Sized> Commands<'_, S> {
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
        let tolerance = self.environment.policy.online.notification_tolerance;
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
}
