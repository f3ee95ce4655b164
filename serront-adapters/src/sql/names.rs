//! Where unique names are stored.

use serront_core::changes::change::ClaimName;

/// The kinds of name in the directory.
pub(crate) mod directory {
    pub(crate) const STOREFRONT_SLUG: &str = "storefront_slug";
    pub(crate) const KEY_HASH: &str = "key_hash";
    pub(crate) const ACCESS_TOKEN: &str = "access_token";
    pub(crate) const MERCHANT: &str = "merchant";
    pub(crate) const PAYOUT: &str = "payout";
}

/// The kind of an adjustment's reference.
pub(crate) const ADJUSTMENT: &str = "adjustment";

/// Where a name is stored, with its kind and its text. Names in the directory are unique across accounts, the others
/// within one.
pub(crate) enum Place {
    Directory(&'static str, String),
    Claim(&'static str, String),
    Kept(String),
}

pub(crate) fn place(name: &ClaimName) -> Place {
    match name {
        ClaimName::StorefrontSlug(slug) => Place::Directory(directory::STOREFRONT_SLUG, slug.to_string()),
        ClaimName::KeyHash(hash) => Place::Directory(directory::KEY_HASH, hash.to_string()),
        ClaimName::AccessToken(hash) => Place::Directory(directory::ACCESS_TOKEN, hash.to_string()),
        ClaimName::Merchant(id) => Place::Directory(directory::MERCHANT, id.to_string()),
        ClaimName::Payout(id) => Place::Directory(directory::PAYOUT, id.to_string()),
        ClaimName::Adjustment(reference) => Place::Claim(ADJUSTMENT, reference.clone()),
        ClaimName::Confirmation(payment) => Place::Claim("confirmation", payment.to_string()),
        ClaimName::ServiceSlug(slug) => Place::Claim("service_slug", slug.to_string()),
        ClaimName::Settlement(session) => Place::Claim("settlement", session.to_string()),
        ClaimName::ProviderEvent(event) => Place::Claim("provider_event", event.to_string()),
        ClaimName::Idempotency(scope) => Place::Kept(scope.to_string()),
    }
}
