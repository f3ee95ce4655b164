//! Plan tiers and their limits (wire contract, section 2).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::primitives::macros::named_enum;

named_enum! {
    /// A plan, cheapest first.
    pub enum Tier {
        /// Without charge: manual transfers, API keys and webhooks.
        Free = "free",
        /// The cheapest tier with modules.
        Starter = "starter",
        /// For a larger catalog.
        Growth = "growth",
        /// The highest limits.
        Business = "business",
    }
}

/// What a tier allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names of the other fields say enough")]
pub struct TierTerms {
    pub id: Tier,
    /// Display name.
    pub name: &'static str,
    /// Rupiah per month.
    pub price_idr: i64,
    /// One line about who the tier suits.
    pub blurb: &'static str,
    /// Display texts.
    pub features: &'static [&'static str],
    /// Most services in the catalog.
    pub service_limit: u32,
    /// Most people who may work in the account.
    pub agent_limit: u32,
    /// Whether the seller may hide the branding.
    pub branding_removal: bool,
    /// Whether modules (online payment, marketing) may be switched on.
    pub module_access: bool,
}

impl Tier {
    /// What the tier allows.
    #[must_use]
    pub const fn terms(self) -> TierTerms {
        match self {
            Self::Free => TierTerms {
                id: self,
                name: "Free",
                price_idr: 0,
                blurb: "Start taking orders and bank transfers.",
                features: &["3 services", "1 seat", "Manual bank transfer", "API keys and webhooks"],
                service_limit: 3,
                agent_limit: 1,
                branding_removal: false,
                module_access: false,
            },
            Self::Starter => TierTerms {
                id: self,
                name: "Starter",
                price_idr: 79_000,
                blurb: "For a business that also wants to be paid online.",
                features: &["10 services", "2 seats", "Hide branding", "Payment module"],
                service_limit: 10,
                agent_limit: 2,
                branding_removal: true,
                module_access: true,
            },
            Self::Growth => TierTerms {
                id: self,
                name: "Growth",
                price_idr: 199_000,
                blurb: "For a team with a wider catalog.",
                features: &["30 services", "5 seats", "Hide branding", "Payment module"],
                service_limit: 30,
                agent_limit: 5,
                branding_removal: true,
                module_access: true,
            },
            Self::Business => TierTerms {
                id: self,
                name: "Business",
                price_idr: 449_000,
                blurb: "For several teams under one name.",
                features: &["100 services", "15 seats", "Hide branding", "Payment module"],
                service_limit: 100,
                agent_limit: 15,
                branding_removal: true,
                module_access: true,
            },
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is not a tier's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of free, starter, growth, business")]
pub struct UnknownTier;

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        Self::parse(text).ok_or(UnknownTier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_match_the_contract() {
        let rows: Vec<_> = Tier::ALL
            .into_iter()
            .map(Tier::terms)
            .map(|t| (t.id.as_str(), t.price_idr, t.service_limit, t.agent_limit, t.branding_removal, t.module_access))
            .collect();
        assert_eq!(
            rows,
            [
                ("free", 0, 3, 1, false, false),
                ("starter", 79_000, 10, 2, true, true),
                ("growth", 199_000, 30, 5, true, true),
                ("business", 449_000, 100, 15, true, true),
            ]
        );
    }
}
