//! The commands about the storefront and the catalog, and placing an order.

use super::commands::{committed, rounds};
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
    /// [`Rejection::NotFound`].
    pub async fn storefront(&self, id: AccountId) -> Result<Option<StorefrontView>, Failure> {
        let snapshot = self.account_snapshot(id, None).await?;
        Ok(snapshot.storefront.as_ref().map(StorefrontView::from))
    }

    /// Replaces the storefront. Fields that the input leaves out are cleared.
    ///
    /// # Errors
    /// Those of [`decide::put_storefront`]; [`Rejection::Conflict`] for a slug that is in use.
    pub async fn put_storefront(
        &self,
        id: AccountId,
        input: &StorefrontInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<StorefrontView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            decide::put_storefront(&snapshot, input, &mut context)?
        }))
    }

    /// The public storefront. It must be published.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn shop(&self, slug: &str) -> Result<ShopView, Failure> {
        Ok(ShopView::from(&self.shop_snapshot(slug, None).await?))
    }

    /// The account's services, by sort order.
    pub async fn services(&self, id: AccountId) -> Result<Vec<ServiceView>, Failure> {
        Ok(self.storage.services(id).await?.iter().map(ServiceView::from).collect())
    }

    /// One service.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn service(&self, account_id: AccountId, id: ServiceId) -> Result<ServiceView, Failure> {
        Ok(ServiceView::from(&self.service_snapshot(account_id, id, None).await?.service))
    }

    /// Creates a service.
    ///
    /// # Errors
    /// Those of [`decide::create_service`]; [`Rejection::Conflict`] for a slug that is in use.
    pub async fn create_service(
        &self,
        id: AccountId,
        input: &ServiceInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ServiceView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            decide::create_service(&snapshot, input, &mut context)?
        }))
    }

    /// Changes a service.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::update_service`]; [`Rejection::Conflict`] for a slug that is in use.
    pub async fn update_service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        input: &ServiceInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ServiceView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.service_snapshot(account_id, id, request).await?;
            decide::update_service(&snapshot, input, &mut context)?
        }))
    }

    /// Deletes a service without orders.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::Conflict`] if it has orders.
    pub async fn delete_service(&self, account_id: AccountId, id: ServiceId) -> Result<(), Failure> {
        rounds!(self, None, |context| {
            let snapshot = self.service_snapshot(account_id, id, None).await?;
            decide::delete_service(&snapshot, &mut context)?
        });
        Ok(())
    }

    /// Places a buyer's order at a published storefront. Buyers have no account, so the idempotency key's scope is the
    /// storefront ([`IdempotentRequest::of_shop`]). A replayed answer has the first order's access token.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::place_order`].
    pub async fn place_order(
        &self,
        slug: &str,
        input: &OrderInput,
        language: Language,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PlacedOrder>, Failure> {
        let (answer, committed) = committed!(self, request, |context| {
            let snapshot = self.shop_snapshot(slug, request).await?;
            let access_token = AccessToken::from_bytes(&self.environment.secrets.draw()?);
            decide::place_order(&snapshot, &PlaceOrder { input, language, access_token }, &mut context)?
        });
        let number = committed.and_then(|committed| committed.number);
        Ok(answer.map(|placed| PlacedOrder { number: number.or(placed.number), ..placed }))
    }
}
