//! Services and storefronts.

use crate::ports::signatures::*;

part! {
    __shop_reads!
    /// Reads services and storefronts.
    pub trait ShopReads {
        /// One service of the account.
        async fn service(
            &self,
            account_id: AccountId,
            id: ServiceId,
            key: Option<Scope>,
        ) -> Result<Option<ServiceSnapshot>, PortError>;

        /// The account's services, by sort order, then age.
        async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError>;

        /// The storefront with this slug, published or not. `scope` belongs to the storefront's account.
        async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError>;
    }
}
