//! Plugipay's notifications: receiving them, and applying parked ones.

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
    /// Receives one of Plugipay's notifications. It verifies the signature over the raw bytes, then stores the
    /// notification in the same commit as its consequences. After it returned `Ok`, the host acknowledges the
    /// notification.
    ///
    /// # Errors
    /// [`Rejection::InvalidSignature`]; [`Rejection::Invalid`] for a signed body without an id or type.
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
            // The secret that can't be opened may be the right one, so Plugipay has to send the notification again.
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
        let answer = match &observed {
            Some(Ok(observation)) => rounds!(self, None, |context| {
                let id = &observation.session_id;
                let snapshot = self.storage.session(account_id, id, Some(event_id.clone())).await?;
                let record = record(Some(id.clone()), context.now, InboxStatus::Parked);
                decide::notify(record, Some((observation, &snapshot)), &mut context)
            }),
            other => rounds!(self, None, |context| {
                if let Some(known) = self.storage.inbox(account_id, &event_id).await? {
                    return Ok(known.status);
                }
                let status = if other.is_some() { InboxStatus::Unreadable } else { InboxStatus::Noted };
                decide::notify(record(None, context.now, status), None, &mut context)
            }),
        };
        Ok(answer.value)
    }

    /// Applies a parked notification if its session is known by now. Returns its status and when it was received;
    /// `None` if there is no such notification.
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
        let answer = rounds!(self, None, |context| {
            let snapshot = self.storage.session(account_id, &observation.session_id, Some(event_id.clone())).await?;
            decide::unpark(event_id, &observation, &snapshot, &mut context)
        });
        Ok(Some((answer.value, record.received_at)))
    }
}
