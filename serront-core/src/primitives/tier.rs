//! Plan tiers and their gates (table of the wire contract, section 2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Costs nothing; manual transfer, API keys and webhooks.
    Free,
    /// The first tier with modules.
    Starter,
    /// For a growing catalog.
    Growth,
    /// The largest.
    Business,
}

/// What a tier allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TierTerms {
    /// Which tier.
    pub id: Tier,
    /// Its name, for people.
    pub name: &'static str,
    /// Rupiah a month.
    pub price_idr: i64,
    /// One line that says whom it suits.
    pub blurb: &'static str,
    /// What it includes, for people.
    pub features: &'static [&'static str],
    /// How many services the catalog may hold.
    pub service_limit: u32,
    /// How many people may work in the account.
    pub agent_limit: u32,
    /// Whether the branding may be hidden.
    pub branding_removal: bool,
    /// Whether modules (online payment, marketing) may be switched on.
    pub module_access: bool,
}

impl Tier {
    /// Every tier, cheapest first.
    pub const ALL: [Self; 4] = [Self::Free, Self::Starter, Self::Growth, Self::Business];

    /// The tier's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starter => "starter",
            Self::Growth => "growth",
            Self::Business => "business",
        }
    }

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

/// A text that names no tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of free, starter, growth, business")]
pub struct UnknownTier;

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or(UnknownTier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_contracts() {
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
