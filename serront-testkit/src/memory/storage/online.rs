//! Checkouts, sessions, notifications and exceptions.

use serront_core::changes::change::ClaimName;
use serront_core::online::inbox::InboxStatus;
use serront_core::ports::prelude::*;
use serront_core::primitives::version::Version;

use super::orders::order_snapshot;
use super::{MemoryStorage, kept, newest_first};
use crate::memory::state::State;

fn checkout_snapshot(state: &State, account_id: AccountId, id: CheckoutId) -> Option<CheckoutSnapshot> {
    let checkout = state.checkouts.get(&(account_id, id))?.clone();
    Some(CheckoutSnapshot { order: order_snapshot(state, account_id, checkout.order_id, None)?, checkout })
}

/// The wanted notifications of all accounts, in order of arrival.
pub(super) fn inbox(state: &State, wanted: impl Fn(&InboxRecord) -> bool) -> Vec<InboxRecord> {
    let mut rows: Vec<_> = state.inbox.values().filter(|(_, record)| wanted(record)).collect();
    rows.sort_by_key(|(came, record)| (record.received_at, *came));
    rows.into_iter().map(|(_, record)| record.clone()).collect()
}

#[async_trait]
impl OnlineReads for MemoryStorage {
    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        let state = self.read().await;
        let holder = state.holder(ClaimName::Merchant(id.clone()));
        Ok(holder.and_then(|account_id| state.provisioning.get(&account_id).cloned()))
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        Ok(checkout_snapshot(&self.read().await, account_id, id))
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let state = self.read().await;
        let name = state.sessions.get(&(account_id, id.clone()));
        let parked = inbox(&state, |record| {
            record.account_id == account_id
                && record.session_id.as_ref() == Some(id)
                && record.status == InboxStatus::Parked
        });
        let event = event_id.and_then(|event_id| state.inbox.get(&(account_id, event_id)));
        Ok(SessionSnapshot {
            version: name.map_or(Version::ABSENT, |name| name.version),
            checkout: name
                .and_then(|name| name.checkout_id)
                .and_then(|checkout_id| checkout_snapshot(&state, account_id, checkout_id)),
            parked: parked.into_iter().map(|record| record.event_id).collect(),
            event: event.map(|(_, record)| record.status),
        })
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        Ok(self.read().await.inbox.get(&(account_id, id.clone())).map(|(_, record)| record.clone()))
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        let state = self.read().await;
        let lowest = ExceptionId::from_ulid(ulid::Ulid::nil());
        let rows = State::of_account(&state.exceptions, account_id, lowest)
            .filter(|row| status.is_none_or(|status| status == row.state.status));
        Ok(newest_first(rows.cloned(), PaymentException::position, after, limit))
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        let state = self.read().await;
        let Some(exception) = state.exceptions.get(&(account_id, id)).cloned() else { return Ok(None) };
        let payment = state.payments.get(&(account_id, exception.order_id));
        Ok(payment.map(|payment| ExceptionSnapshot {
            exception,
            payment_id: payment.id,
            kept: kept(&state, account_id, self.lookup(key)),
        }))
    }
}
