//! The request that an entry of the plan stands for.

use super::{Clients, image_bytes};
use crate::memory::locked;
use crate::sim::events::{Call, Verb};
use crate::sim::outside::hook_url;
use crate::sim::plan::{Action, Actor, Item, LATEST, STATUSES, TIERS};
use crate::sim::random::Random;

/// Requested while the available balance is unknown.
const SOME_AMOUNT: i64 = 10_000;

impl Clients {
    /// The request that an entry of the plan stands for; `None` if the object that it needs does not exist.
    pub(super) fn call(&self, item: &Item, random: &mut Random) -> Option<Call> {
        let shops = locked(&self.shops);
        let (seller, device) = match item.actor {
            Actor::Device { seller, device } => (seller, Some(device)),
            Actor::Buyer { seller, .. } => (seller, None),
            Actor::Admin | Actor::Operator { .. } => match item.action {
                Action::SetTier { seller, .. }
                | Action::Rotate { seller }
                | Action::RequestPayout { seller, .. }
                | Action::MovePayout { seller, .. }
                | Action::Adjust { seller, .. } => (seller, None),
                Action::RetryParked
                | Action::RetryGivenUp
                | Action::VerifyBooks
                | Action::Reseal
                | Action::ForgetKeys => (0, None),
                _ => return None,
            },
        };
        let shop = shops.get(seller)?;
        let order = |place: &usize| match *place {
            LATEST => shop.orders.last(),
            place => shop.orders.get(place.checked_rem(shop.orders.len())?),
        };
        // Some buyers keep using an old link after the token was rotated.
        let token = |place: &usize, random: &mut Random| {
            let known = order(place)?;
            let old = known.old.get(random.index(known.old.len())).filter(|_| random.per_mille(500));
            Some(old.unwrap_or(&known.token).clone())
        };
        let subscription = |place: &usize| shop.subscriptions.get(place.checked_rem(shop.subscriptions.len())?);
        let number = item.salt;
        let mut idempotency_key = None;
        let keyed = |key: &Option<u8>| key.map(|key| format!("key-{key}"));
        let by = if device.is_some() { "" } else { "op-" };
        // A key shared by all requests, or a unique one.
        let unique = |key: &Option<u8>| match key {
            None => None,
            Some(0) => Some(format!("{by}key")),
            Some(_) => Some(format!("{by}{:x}", item.salt)),
        };
        let payout = |place: &usize| match *place {
            LATEST => shop.payouts.last(),
            place => shop.payouts.get(place.checked_rem(shop.payouts.len())?),
        };
        let verb = match &item.action {
            // At the slug that no other seller uses.
            Action::Place => Verb::Place {
                slug: shop.facts.slug.clone(),
                buyer: format!("Buyer {number}"),
                email: format!("buyer-{seller}-{number}@example.com"),
            },
            Action::Claim { order: place } => Verb::Claim { token: token(place, random)? },
            Action::Upload { order: place, image } => {
                Verb::Upload { token: token(place, random)?, bytes: image_bytes(seller, *image) }
            }
            Action::View { order: place } => Verb::View { token: token(place, random)? },
            Action::Visit => Verb::Visit { slug: shop.slug.clone() },
            Action::Confirm { order: place, key, note } => {
                idempotency_key = keyed(key);
                let note = (*note > 0).then(|| format!("note {note}"));
                Verb::Confirm { order: order(place)?.id.clone(), note }
            }
            Action::Patch { order: place, status, quote, key } => {
                idempotency_key = keyed(key);
                let status = status.filter(|status| STATUSES.contains(status));
                Verb::Patch { order: order(place)?.id.clone(), status, quote: *quote }
            }
            Action::Read { order: place } => Verb::Read { order: order(place)?.id.clone() },
            Action::RotateToken { order: place, key } => {
                idempotency_key = keyed(key);
                Verb::RotateToken { order: order(place)?.id.clone() }
            }
            Action::List => Verb::List,
            Action::Receipt { order: place } => Verb::Receipt { order: order(place)?.id.clone() },
            Action::Trespass { order: place } => {
                let other = shops.get(seller.checked_add(1)?.checked_rem(shops.len())?)?;
                if other.facts.account == shop.facts.account {
                    return None;
                }
                if let (Some(payout), true) = (other.payouts.first().cloned(), random.per_mille(400)) {
                    return Some(Call {
                        seller,
                        bearer: Some(shop.keys.get(device?)?.key.clone()),
                        idempotency_key: None,
                        verb: if random.per_mille(500) {
                            Verb::Payout { payout }
                        } else {
                            Verb::CancelPayout { payout }
                        },
                    });
                }
                let foreign = other.orders.get(place.checked_rem(other.orders.len())?)?.id.clone();
                match random.below(4) {
                    0 => Verb::Read { order: foreign },
                    1 => Verb::Receipt { order: foreign },
                    2 => Verb::RotateToken { order: foreign },
                    _ => Verb::Confirm { order: foreign, note: None },
                }
            }
            Action::PutStorefront { variant, contended, hide_branding, published } => {
                // A slug that several sellers want, or the seller's unique one.
                let slug = if *contended { "wanted".to_owned() } else { shop.facts.slug.clone() };
                let (hide_branding, published) = (*hide_branding, *published);
                Verb::PutStorefront { slug, variant: *variant, hide_branding, published }
            }
            Action::GetStorefront => Verb::GetStorefront,
            Action::Reprice { price } => Verb::Reprice { service: shop.facts.service.clone(), price: *price },
            Action::AddService => Verb::AddService { slug: format!("extra-{}", number % 4) },
            Action::DropService => {
                let last = shop.services.get(random.index(shop.services.len()))?;
                Verb::DropService { service: last.clone() }
            }
            Action::Subscribe { hook, filter } => {
                Verb::Subscribe { url: hook_url(seller, *hook), events: filters(*filter) }
            }
            Action::Pause { subscription: place, active } => {
                Verb::Pause { subscription: subscription(place)?.clone(), active: *active }
            }
            Action::Unsubscribe { subscription: place } => {
                Verb::Unsubscribe { subscription: subscription(place)?.clone() }
            }
            Action::RotateSecret { subscription: place } => {
                Verb::RotateSecret { subscription: subscription(place)?.clone() }
            }
            Action::Deliveries => Verb::Deliveries,
            Action::Redeliver { delivery: place } => {
                let delivery = shop.deliveries.get(place.checked_rem(shop.deliveries.len())?)?.clone();
                Verb::Redeliver { delivery }
            }
            Action::RetryGivenUp => Verb::RetryGivenUp,
            Action::AddKey => Verb::AddKey { name: format!("key {number}") },
            Action::SwitchPayment { on } => Verb::SwitchPayment { on: *on },
            Action::SwitchMarketing { on } => Verb::SwitchMarketing { on: *on },
            Action::PayOnline { order: place, .. } => Verb::Pay { token: token(place, random)? },
            Action::Balance => Verb::Balance,
            Action::Entries => Verb::Entries,
            Action::Exceptions => Verb::Exceptions,
            Action::Resolve { exception: place } => {
                let exception = shop.exceptions.get(place.checked_rem(shop.exceptions.len())?)?.clone();
                let adjustment = shop.adjustments.last().filter(|_| random.per_mille(500)).cloned();
                Verb::Resolve { exception, note: format!("looked after {number}"), adjustment }
            }
            Action::RequestPayout { share, bank, key, .. } => {
                idempotency_key = unique(key);
                let account = shop.facts.account.to_string();
                let share = |available: i64| available.saturating_mul(i64::from(*share)) / 1_000;
                let amount = shop.available.map_or(SOME_AMOUNT, share).max(1);
                Verb::RequestPayout { account, amount, bank: *bank, note: format!("payout {:x}", item.salt) }
            }
            Action::CancelPayout { payout: place, key } => {
                idempotency_key = unique(key);
                Verb::CancelPayout { payout: payout(place)?.clone() }
            }
            Action::PatchBankAccount { variant, whole, key } => {
                idempotency_key = unique(key);
                Verb::PatchBankAccount { variant: *variant, whole: *whole }
            }
            Action::BankAccount => Verb::BankAccount,
            Action::Payouts => Verb::Payouts,
            Action::Payout { payout: place } => Verb::Payout { payout: payout(place)?.clone() },
            Action::PayoutBalance => Verb::PayoutBalance,
            Action::MovePayout { payout: place, step, text, key, .. } => {
                idempotency_key = unique(key);
                let text = text.map(|text| format!("transfer {text}"));
                Verb::MovePayout { payout: payout(place)?.clone(), step: *step, text }
            }
            Action::Adjust { amount, reference, .. } => {
                let (account, reference) = (shop.facts.account.to_string(), format!("ref-{reference}"));
                Verb::Adjust { account, amount: *amount, reference }
            }
            Action::VerifyBooks => Verb::VerifyBooks,
            Action::Rotate { .. } => Verb::Rotate { account: shop.facts.account.to_string() },
            Action::RetryParked => Verb::RetryParked,
            Action::Reseal => Verb::Reseal,
            Action::ForgetKeys => Verb::ForgetKeys,
            Action::SetTier { seller, tier } => {
                let account = shops.get(*seller)?.facts.account.to_string();
                Verb::SetTier { account, tier: TIERS.get(*tier).copied()? }
            }
            Action::Again | Action::RevokeKey { .. } | Action::HostedPage { .. } | Action::AddKeyAtRest => return None,
        };
        let bearer = match (device, item.actor) {
            (None, Actor::Operator { operator }) => Some(locked(&self.operators).get(operator)?.clone()),
            (None, _) => None,
            (Some(device), _) => {
                // Sometimes a device still uses a revoked key.
                let old = shop.revoked.last().filter(|_| random.per_mille(250)).cloned();
                Some(match old {
                    Some(old) => old,
                    None => shop.keys.get(device)?.key.clone(),
                })
            }
        };
        Some(Call { seller, bearer, idempotency_key, verb })
    }
}

fn filters(which: usize) -> Vec<&'static str> {
    match which {
        0 => vec!["*"],
        1 => vec!["serront.order.payment_confirmed.v1"],
        2 => vec!["serront.order.*"],
        _ => vec!["serront.billing.subscribed.v1", "serront.order.created.v1"],
    }
}
