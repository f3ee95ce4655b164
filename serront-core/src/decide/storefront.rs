//! The decision about the storefront. It needs the account's settings.

use super::{Context, Decision};
use crate::changes::change::{Claim, ClaimName, Guard, Row, Write};
use crate::primitives::rejection::Rejection;
use crate::primitives::version::Version;
use crate::shop::storefront::{Storefront, StorefrontInput};
use crate::snapshots::AccountSnapshot;
use crate::views::StorefrontView;

/// Replaces the storefront. Fields that the input leaves out are cleared.
///
/// # Errors
/// [`Rejection::Invalid`], [`Rejection::IdempotencyKeyInUse`], then [`Rejection::UpgradeRequired`] for hidden branding
/// on a tier without it. If another account has the slug, the commit fails.
pub fn put_storefront(
    snapshot: &AccountSnapshot,
    input: &StorefrontInput,
    context: &mut Context<'_>,
) -> Result<Decision<StorefrontView>, Rejection> {
    let profile = input.validate()?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let account = &snapshot.account;
    let before = snapshot.storefront.as_ref();
    let mut change = context.change_set(account.id);
    let version = before.map_or(Version::ABSENT, |storefront| storefront.version);
    change.guards.push(Guard::Exact { row: Row::Storefront, version });
    if profile.hide_branding {
        if !account.state.tier.terms().branding_removal {
            return Err(Rejection::UpgradeRequired { tier: account.state.tier, feature: "hidden branding" });
        }
        change.guards.push(Guard::Settings(account.state.version));
    }
    let old_slug = before.map(|storefront| &storefront.profile.slug);
    if old_slug != Some(&profile.slug) {
        change.releases.extend(old_slug.cloned().map(ClaimName::StorefrontSlug));
        change.claims.push(Claim::of(ClaimName::StorefrontSlug(profile.slug.clone())));
    }
    let storefront = Storefront {
        account_id: account.id,
        version: version.next(),
        profile,
        created_at: before.map_or(context.now, |storefront| storefront.created_at),
        updated_at: context.now,
    };
    let view = StorefrontView::from(&storefront);
    change.writes.push(Write::PutStorefront(storefront));
    context.conclude(change, view)
}
