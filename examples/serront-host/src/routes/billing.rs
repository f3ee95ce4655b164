//! The account's plan, read only: the operator sets it.

use serde::Serialize;
use serront_core::primitives::tier::{Tier, TierTerms};

use crate::answer::{Answer, Reply};
use crate::auth::Keyed;

#[derive(Serialize)]
struct Subscription {
    tier: Tier,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Billing {
    subscription: Subscription,
    effective_tier: Tier,
    early_access: bool,
    tiers: [TierTerms; 4],
}

pub(super) async fn get(caller: Keyed) -> Reply {
    let tier = caller.commands().account(caller.account()).await?.state.tier;
    Answer::ok(&Billing {
        subscription: Subscription { tier, status: "active" },
        effective_tier: tier,
        early_access: false,
        tiers: Tier::ALL.map(Tier::terms),
    })
}
