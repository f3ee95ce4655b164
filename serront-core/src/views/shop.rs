//! The storefront and the catalog.

use serde::{Deserialize, Serialize};

use crate::changes::idempotency::Outcome;
use crate::orders::instructions::BankAccount;
use crate::orders::order::PricingType;
use crate::primitives::ids::ServiceId;
use crate::primitives::money::Rupiah;
use crate::primitives::text::{Slug, WhatsAppNumber};
use crate::primitives::time::Timestamp;
use crate::shop::catalog::{Package, Service};
use crate::shop::storefront::Storefront;
use crate::snapshots::ShopSnapshot;
use crate::views::accounts::{hides_branding, offers_online_payment};

/// The storefront as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorefrontView {
    pub slug: Slug,
    pub display_name: String,
    pub bio: Option<String>,
    pub whatsapp_number: Option<WhatsAppNumber>,
    pub manual_bank_accounts: Vec<BankAccount>,
    pub manual_instructions: Option<String>,
    pub hide_branding: bool,
    pub published: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Outcome for StorefrontView {
    const KIND: &'static str = "storefront";
}

impl From<&Storefront> for StorefrontView {
    fn from(storefront: &Storefront) -> Self {
        let profile = &storefront.profile;
        Self {
            slug: profile.slug.clone(),
            display_name: profile.display_name.clone(),
            bio: profile.bio.clone(),
            whatsapp_number: profile.payment.whatsapp_number.clone(),
            manual_bank_accounts: profile.payment.bank_accounts.clone(),
            manual_instructions: profile.payment.instructions.clone(),
            hide_branding: profile.hide_branding,
            published: profile.published,
            created_at: storefront.created_at,
            updated_at: storefront.updated_at,
        }
    }
}

/// A service as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    pub id: ServiceId,
    pub slug: Slug,
    pub name: String,
    pub description: Option<String>,
    pub pricing_type: PricingType,
    pub price_idr: Option<Rupiah>,
    pub packages: Option<Vec<Package>>,
    pub active: bool,
    pub sort_order: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Outcome for ServiceView {
    const KIND: &'static str = "service";
}

impl From<&Service> for ServiceView {
    fn from(service: &Service) -> Self {
        let offer = &service.offer;
        Self {
            id: service.id,
            slug: offer.slug.clone(),
            name: offer.name.clone(),
            description: offer.description.clone(),
            pricing_type: offer.pricing.kind(),
            price_idr: offer.pricing.price(),
            packages: offer.pricing.packages().map(<[_]>::to_vec),
            active: offer.active,
            sort_order: offer.sort_order,
            created_at: service.created_at,
            updated_at: service.updated_at,
        }
    }
}

/// A service as the public storefront shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopService {
    pub slug: Slug,
    pub name: String,
    pub description: Option<String>,
    pub pricing_type: PricingType,
    pub price_idr: Option<Rupiah>,
    pub packages: Option<Vec<Package>>,
}

/// The profile as the public storefront shows it, without bank accounts and payment instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShopProfile {
    pub slug: Slug,
    pub display_name: String,
    pub bio: Option<String>,
    pub whatsapp_number: Option<WhatsAppNumber>,
    pub hide_branding: bool,
    pub online_payment: bool,
    pub discount_codes: bool,
}

/// The public storefront.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShopView {
    pub storefront: ShopProfile,
    pub services: Vec<ShopService>,
}

impl From<&ShopSnapshot> for ShopView {
    fn from(snapshot: &ShopSnapshot) -> Self {
        let profile = &snapshot.storefront.profile;
        Self {
            storefront: ShopProfile {
                slug: profile.slug.clone(),
                display_name: profile.display_name.clone(),
                bio: profile.bio.clone(),
                whatsapp_number: profile.payment.whatsapp_number.clone(),
                hide_branding: hides_branding(&snapshot.account, profile.hide_branding),
                online_payment: offers_online_payment(&snapshot.account),
                discount_codes: false,
            },
            services: snapshot
                .services
                .iter()
                .filter(|service| service.offer.active)
                .map(|service| ShopService {
                    slug: service.offer.slug.clone(),
                    name: service.offer.name.clone(),
                    description: service.offer.description.clone(),
                    pricing_type: service.offer.pricing.kind(),
                    price_idr: service.offer.pricing.price(),
                    packages: service.offer.pricing.packages().map(<[_]>::to_vec),
                })
                .collect(),
        }
    }
}
