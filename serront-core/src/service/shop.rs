//! The storefront, the catalog, and placing an order there.

use super::commands::rounds;
use super::{Answer, Commands, Failure};
use crate::accounts::key::AccessToken;
use crate::changes::idempotency::IdempotentRequest;
use crate::decide::{self, PlaceOrder};
use crate::orders::order::{Language, OrderInput};
use crate::ports::Storage;
use crate::primitives::ids::{AccountId, ServiceId};
use crate::primitives::rejection::Rejection;
use crate::primitives::text::Slug;
use crate::shop::catalog::ServiceInput;
use crate::shop::storefront::StorefrontInput;
use crate::snapshots::{ServiceSnapshot, ShopSnapshot};
use crate::views::{PlacedOrder, ServiceView, ShopView, StorefrontView};

impl<S: Storage + ?Sized> Commands<'_, S> {
    async fn service_snapshot(
        &self,
        account_id: AccountId,
        id: ServiceId,
        request: Option<IdempotentRequest>,
    ) -> Result<ServiceSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(self.storage.service(account_id, id, scope).await?.ok_or(Rejection::NotFound("service"))?)
    }

    async fn shop_snapshot(&self, slug: &str, request: Option<IdempotentRequest>) -> Result<ShopSnapshot, Failure> {
        let slug = Slug::parse("slug", slug).map_err(|_| Rejection::NotFound("storefront"))?;
        let scope = request.map(|request| request.scope);
        let shop = self.storage.shop(&slug, scope).await?.filter(|shop| shop.storefront.profile.published);
        Ok(shop.ok_or(Rejection::NotFound("storefront"))?)
    }

    /// The storefront's settings; `None` before the first [`Commands::put_storefront`].
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn storefront(&self, id: AccountId) -> Result<Option<StorefrontView>, Failure> {
        let snapshot = self.account_snapshot(id, None).await?;
        Ok(snapshot.storefront.as_ref().map(StorefrontView::from))
    }

    /// Puts the storefront: a full replacement.
    ///
    /// # Errors
    /// Those of [`decide::put_storefront`]; [`Rejection::Conflict`] for a slug that is taken; [`Failure::Busy`]; a port's
    /// failure.
    pub async fn put_storefront(
        &self,
        id: AccountId,
        input: &StorefrontInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<StorefrontView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            decide::put_storefront(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// The public storefront, if it is published.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn shop(&self, slug: &str) -> Result<ShopView, Failure> {
        Ok(ShopView::from(&self.shop_snapshot(slug, None).await?))
    }

    /// The catalog, by sort order.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn services(&self, id: AccountId) -> Result<Vec<ServiceView>, Failure> {
        Ok(self.storage.services(id).await?.iter().map(ServiceView::from).collect())
    }

    /// One service.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn service(&self, account_id: AccountId, id: ServiceId) -> Result<ServiceView, Failure> {
        Ok(ServiceView::from(&self.service_snapshot(account_id, id, None).await?.service))
    }

    /// Creates a service.
    ///
    /// # Errors
    /// Those of [`decide::create_service`]; [`Rejection::Conflict`] for a slug that is taken; [`Failure::Busy`]; a port's
    /// failure.
    pub async fn create_service(
        &self,
        id: AccountId,
        input: &ServiceInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ServiceView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            decide::create_service(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// Changes a service.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::update_service`]; [`Rejection::Conflict`] for a slug that is taken;
    /// [`Failure::Busy`]; a port's failure.
    pub async fn update_service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        input: &ServiceInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ServiceView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.service_snapshot(account_id, id, request).await?;
            decide::update_service(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// Deletes a service that no order names.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Conflict`] if it has orders; [`Failure::Busy`]; a port's failure.
    pub async fn delete_service(&self, account_id: AccountId, id: ServiceId) -> Result<(), Failure> {
        rounds!(self, None, |context| {
            let snapshot = self.service_snapshot(account_id, id, None).await?;
            decide::delete_service(&snapshot, &mut context)?
        });
        Ok(())
    }

    /// Places a buyer's order at a published storefront. The idempotency key's scope is the storefront
    /// ([`IdempotentRequest::of_shop`]): its buyers have no account. A replayed answer holds the first one's access token.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::place_order`]; [`Failure::Busy`]; a port's failure.
    pub async fn place_order(
        &self,
        slug: &str,
        input: &OrderInput,
        language: Language,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PlacedOrder>, Failure> {
        let (answer, committed) = rounds!(self, request, |context| {
            let snapshot = self.shop_snapshot(slug, request).await?;
            let access_token = AccessToken::from_bytes(&self.environment.secrets.draw()?);
            decide::place_order(&snapshot, &PlaceOrder { input, language, access_token }, &mut context)?
        });
        let number = committed.and_then(|committed| committed.number);
        Ok(answer.map(|placed| PlacedOrder { number: number.or(placed.number), ..placed }))
    }
}
