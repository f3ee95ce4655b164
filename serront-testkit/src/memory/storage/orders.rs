//! Orders, their counts and audit trails.

use serront_core::changes::change::ClaimName;
use serront_core::orders::order::Order;
use serront_core::ports::prelude::*;

use super::{Lookup, MemoryStorage, kept, subscriptions};
use crate::memory::state::State;

fn row(state: &State, number: OrderNumber, order: &Order) -> Option<OrderRow> {
    let payment = state.payments.get(&(order.account_id, order.id))?.clone();
    let service = state.services.get(&(order.account_id, order.service_id))?.ordered();
    Some(OrderRow { order: order.clone(), number, payment, service })
}

pub(super) fn order_snapshot(
    state: &State,
    account_id: AccountId,
    id: OrderId,
    lookup: Lookup,
) -> Option<OrderSnapshot> {
    let row = state.order(account_id, id).and_then(|(number, order)| row(state, number, order))?;
    let lowest = CheckoutId::from_ulid(ulid::Ulid::nil());
    let mut checkouts: Vec<_> = State::of_account(&state.checkouts, account_id, lowest)
        .filter(|checkout| checkout.order_id == id && checkout.state.status.is_live())
        .cloned()
        .collect();
    checkouts.sort_by_key(|checkout| (checkout.created_at, checkout.id));
    Some(OrderSnapshot {
        account: state.accounts.get(&account_id)?.clone(),
        seller: state.storefronts.get(&account_id).map(|storefront| storefront.profile.seller()),
        order: row.order,
        number: row.number,
        payment: row.payment,
        service: row.service,
        checkouts,
        subscriptions: subscriptions(state, account_id),
        kept: kept(state, account_id, lookup),
    })
}

fn matches(filter: &OrderFilter, row: &OrderRow) -> bool {
    let state = &row.order.state;
    filter.status.is_none_or(|status| status == state.status)
        && filter.payment_status.is_none_or(|status| status == state.payment_status)
        && filter.service_id.is_none_or(|id| id == row.order.service_id)
        && filter.has_words(&row.order, row.number, &row.service.name)
}

#[async_trait]
impl OrderReads for MemoryStorage {
    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let state = self.read().await;
        let found = match key {
            OrderKey::Id(account_id, id) => Some((account_id, id)),
            OrderKey::Token(hash) => state
                .holder(ClaimName::AccessToken(hash))
                .and_then(|holder| state.tokens.get(&hash).copied().filter(|(account_id, _)| *account_id == holder)),
        };
        let Some((account_id, id)) = found else { return Ok(None) };
        Ok(order_snapshot(&state, account_id, id, self.lookup(scope)))
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        let state = self.read().await;
        let one_more = usize::try_from(limit.get()).unwrap_or(usize::MAX).saturating_add(1);
        let below = (account_id, after.unwrap_or(OrderNumber(u32::MAX)));
        let rows = state
            .orders
            .range((account_id, OrderNumber(0))..below)
            .rev()
            .filter_map(|((_, number), order)| row(&state, *number, order))
            .filter(|row| matches(filter, row))
            .take(one_more)
            .collect();
        Ok(Page::cut(rows, limit))
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        Ok(self.read().await.counts.get(&account_id).copied().unwrap_or_default())
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        let state = self.read().await;
        Ok(state.audit.get(&(account_id, order_id)).into_iter().flatten().cloned().collect())
    }
}
