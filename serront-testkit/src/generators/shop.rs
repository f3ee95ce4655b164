//! Storefronts and their catalogs.

use proptest::collection::vec;
use proptest::prelude::*;
use serront_core::orders::instructions::{BANK_ACCOUNTS_MAX, BankAccount, PaymentSettings};
use serront_core::orders::order::PricingType;
use serront_core::shop::catalog::{Offer, PACKAGES_MAX, Package, PackageInput, Pricing, Service, ServiceInput};
use serront_core::shop::storefront::{Profile, Storefront, StorefrontInput};

use super::{
    account_id, account_number, almost_account_number, almost_amount, almost_name, almost_prose, almost_slug,
    almost_whatsapp_number, name, optional_prose, rupiah, service_id, slug, timestamp, version, whatsapp_number,
};

/// Bank accounts.
pub fn bank_account() -> impl Strategy<Value = BankAccount> {
    (name(), account_number(), name())
        .prop_map(|(bank_name, account_number, account_holder)| BankAccount {
            bank_name,
            account_number,
            account_holder,
        })
        .boxed()
}

/// Bank accounts with one field that must be refused.
pub fn almost_bank_account() -> impl Strategy<Value = BankAccount> {
    prop_oneof![
        (bank_account(), almost_name()).prop_map(|(good, bank_name)| BankAccount { bank_name, ..good }),
        (bank_account(), almost_account_number())
            .prop_map(|(good, account_number)| BankAccount { account_number, ..good }),
        (bank_account(), almost_name()).prop_map(|(good, account_holder)| BankAccount { account_holder, ..good }),
    ]
    .boxed()
}

/// Payment details for buyers: up to five accounts, or none.
pub fn payment_settings() -> impl Strategy<Value = PaymentSettings> {
    (vec(bank_account(), 0..=BANK_ACCOUNTS_MAX), optional_prose(), proptest::option::of(whatsapp_number()))
        .prop_map(|(bank_accounts, instructions, whatsapp_number)| PaymentSettings {
            bank_accounts,
            instructions,
            whatsapp_number,
        })
        .boxed()
}

/// A storefront's validated content.
pub fn profile() -> impl Strategy<Value = Profile> {
    (slug(), name(), optional_prose(), payment_settings(), any::<bool>(), any::<bool>())
        .prop_map(|(slug, display_name, bio, payment, hide_branding, published)| Profile {
            slug,
            display_name,
            bio,
            payment,
            hide_branding,
            published,
        })
        .boxed()
}

/// Storefronts as stored.
pub fn storefront() -> impl Strategy<Value = Storefront> {
    (account_id(), version(), profile(), timestamp(), timestamp()).prop_map(
        |(account_id, version, profile, one, other)| Storefront {
            account_id,
            version,
            profile,
            created_at: one.min(other),
            updated_at: one.max(other),
        },
    )
}

/// Valid input for a storefront.
pub fn storefront_input() -> impl Strategy<Value = StorefrontInput> {
    profile()
        .prop_map(|Profile { slug, display_name, bio, payment, hide_branding, published }| StorefrontInput {
            slug: slug.as_str().to_owned(),
            display_name,
            bio,
            whatsapp_number: payment.whatsapp_number.map(|number| number.as_str().to_owned()),
            manual_bank_accounts: Some(payment.bank_accounts),
            manual_instructions: payment.instructions,
            hide_branding: Some(hide_branding),
            published: Some(published),
        })
        .boxed()
}

/// Input for a storefront that must be refused for one field.
pub fn almost_storefront_input() -> impl Strategy<Value = StorefrontInput> {
    let good = || storefront_input();
    prop_oneof![
        (good(), almost_slug()).prop_map(|(good, slug)| StorefrontInput { slug, ..good }),
        (good(), almost_name()).prop_map(|(good, display_name)| StorefrontInput { display_name, ..good }),
        (good(), almost_prose()).prop_map(|(good, bio)| StorefrontInput { bio: Some(bio), ..good }),
        (good(), almost_prose()).prop_map(|(good, text)| StorefrontInput { manual_instructions: Some(text), ..good }),
        (good(), almost_whatsapp_number())
            .prop_map(|(good, number)| StorefrontInput { whatsapp_number: Some(number), ..good }),
        (good(), vec(bank_account(), BANK_ACCOUNTS_MAX + 1))
            .prop_map(|(good, accounts)| StorefrontInput { manual_bank_accounts: Some(accounts), ..good }),
        (good(), vec(bank_account(), 0..BANK_ACCOUNTS_MAX), almost_bank_account()).prop_map(
            |(good, mut accounts, bad)| {
                accounts.push(bad);
                StorefrontInput { manual_bank_accounts: Some(accounts), ..good }
            }
        ),
    ]
}

/// Single packages; [`pricing`] generates several with different names.
pub fn package() -> impl Strategy<Value = Package> {
    (name(), rupiah(), optional_prose()).prop_map(|(name, price_idr, description)| Package {
        name,
        price_idr,
        description,
    })
}

/// Kinds of pricing.
pub fn pricing_type() -> impl Strategy<Value = PricingType> {
    proptest::sample::select(vec![PricingType::Fixed, PricingType::Hourly, PricingType::Package])
}

/// Prices of each kind; packages are one to five with different names.
pub fn pricing() -> impl Strategy<Value = Pricing> {
    prop_oneof![
        rupiah().prop_map(Pricing::Fixed),
        rupiah().prop_map(Pricing::Hourly),
        vec(package(), 1..=PACKAGES_MAX).prop_map(|mut packages| {
            packages.sort_by(|one, other| one.name.cmp(&other.name));
            packages.dedup_by(|one, other| one.name == other.name);
            Pricing::Package(packages)
        }),
    ]
    .boxed()
}

/// A service's validated content.
pub fn offer() -> impl Strategy<Value = Offer> {
    (slug(), name(), optional_prose(), pricing(), any::<bool>(), any::<i32>())
        .prop_map(|(slug, name, description, pricing, active, sort_order)| Offer {
            slug,
            name,
            description,
            pricing,
            active,
            sort_order,
        })
        .boxed()
}

/// Services as stored.
pub fn service() -> impl Strategy<Value = Service> {
    (service_id(), account_id(), version(), offer(), timestamp(), timestamp()).prop_map(
        |(id, account_id, version, offer, one, other)| Service {
            id,
            account_id,
            version,
            offer,
            created_at: one.min(other),
            updated_at: one.max(other),
        },
    )
}

/// The input for exactly this offer.
#[must_use]
pub fn service_input_of(offer: &Offer) -> ServiceInput {
    ServiceInput {
        slug: Some(offer.slug.as_str().to_owned()),
        name: Some(offer.name.clone()),
        description: Some(offer.description.clone()),
        pricing_type: Some(offer.pricing.kind()),
        price_idr: offer.pricing.price().map(|price| Some(price.get())),
        packages: offer.pricing.packages().map(|packages| {
            Some(
                packages
                    .iter()
                    .map(|package| PackageInput {
                        name: package.name.clone(),
                        price_idr: package.price_idr.get(),
                        description: package.description.clone(),
                    })
                    .collect(),
            )
        }),
        active: Some(offer.active),
        sort_order: Some(offer.sort_order),
    }
}

/// New services.
pub fn service_input() -> impl Strategy<Value = ServiceInput> {
    offer().prop_map(|offer| service_input_of(&offer)).boxed()
}

/// New services that must be refused for one field.
pub fn almost_service_input() -> impl Strategy<Value = ServiceInput> {
    let good = || service_input();
    prop_oneof![
        (good(), almost_slug()).prop_map(|(good, slug)| ServiceInput { slug: Some(slug), ..good }),
        (good(), almost_name()).prop_map(|(good, name)| ServiceInput { name: Some(name), ..good }),
        (good(), almost_prose()).prop_map(|(good, text)| ServiceInput { description: Some(Some(text)), ..good }),
        good().prop_map(|good| ServiceInput { slug: None, ..good }),
        good().prop_map(|good| ServiceInput { name: None, ..good }),
        good().prop_map(|good| ServiceInput { pricing_type: None, ..good }),
        good().prop_map(|good| ServiceInput { price_idr: None, packages: None, ..good }),
        (good(), almost_amount()).prop_map(|(good, amount)| ServiceInput {
            pricing_type: Some(PricingType::Fixed),
            price_idr: Some(Some(amount)),
            packages: None,
            ..good
        }),
        (good(), almost_packages()).prop_map(|(good, packages)| ServiceInput {
            pricing_type: Some(PricingType::Package),
            price_idr: None,
            packages: Some(Some(packages)),
            ..good
        }),
    ]
}

fn almost_packages() -> impl Strategy<Value = Vec<PackageInput>> {
    let plain = |name: String, price_idr: i64| PackageInput { name, price_idr, description: None };
    let many = (0..=PACKAGES_MAX).map(|index| plain(format!("Paket {index}"), 1)).collect();
    prop_oneof![
        Just(Vec::new()),
        Just(many),
        name().prop_map(move |name| vec![plain(name.clone(), 1), plain(name, 2)]),
        almost_name().prop_map(move |name| vec![plain(name, 1)]),
        (name(), almost_amount()).prop_map(move |(name, amount)| vec![plain(name, amount)]),
    ]
}
