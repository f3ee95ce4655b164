//! Services and storefronts.

use serront_core::changes::change::ClaimName;
use serront_core::ports::prelude::*;

use super::{MemoryStorage, kept, subscriptions};
use crate::memory::state::State;

fn services(state: &State, account_id: AccountId) -> Vec<Service> {
    let mut rows: Vec<_> = state.services_of(account_id).cloned().collect();
    rows.sort_by_key(|row| (row.offer.sort_order, row.created_at, row.id));
    rows
}

#[async_trait]
impl ShopReads for MemoryStorage {
    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        let state = self.read().await;
        let found = (state.accounts.get(&account_id), state.services.get(&(account_id, id)));
        let (Some(account), Some(service)) = found else { return Ok(None) };
        Ok(Some(ServiceSnapshot {
            account: account.clone(),
            service: service.clone(),
            has_orders: state.has_orders_of(account_id, id),
            kept: kept(&state, account_id, self.lookup(key)),
        }))
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        Ok(services(&self.read().await, account_id))
    }

    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
        let state = self.read().await;
        let Some(id) = state.holder(ClaimName::StorefrontSlug(slug.clone())) else { return Ok(None) };
        let storefront = state.storefronts.get(&id).filter(|storefront| storefront.profile.slug == *slug);
        let (Some(account), Some(storefront)) = (state.accounts.get(&id), storefront) else { return Ok(None) };
        Ok(Some(ShopSnapshot {
            account: account.clone(),
            storefront: storefront.clone(),
            services: services(&state, id),
            subscriptions: subscriptions(&state, id),
            kept: kept(&state, id, self.lookup(scope)),
        }))
    }
}
