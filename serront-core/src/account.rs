//! The account: one seller, its plan, its modules, and the settings epoch that witness guards look at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::AccountId;
use crate::tier::Tier;
use crate::time::Timestamp;

/// How often a row has been written. 0 stands for a row that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl Version {
    /// The row does not exist.
    pub const ABSENT: Self = Self(0);
    /// The row as first written.
    pub const FIRST: Self = Self(1);

    /// The version that a write of this row makes.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// The optional modules and their switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Modules {
    /// Online payment at Plugipay.
    pub payment: bool,
    /// Marketing: out of scope, always off.
    pub marketing: bool,
}

/// A seller's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Which account.
    pub id: AccountId,
    /// The seller's name, for the operator.
    pub name: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// What may change.
    pub state: AccountState,
}

/// The part of an account that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    /// How often the settings were written: the account's *settings epoch*. Tier, modules and subscriptions share it;
    /// numbering, counts and delivery streaks never move it.
    pub version: Version,
    /// The plan.
    pub tier: Tier,
    /// The modules' switches.
    pub modules: Modules,
    /// The merchant's account at Plugipay, once provisioned.
    pub plugipay_account_id: Option<String>,
}
