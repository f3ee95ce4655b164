//! The account: one seller, its plan, its modules, and the settings epoch that witness guards look at.

use serde::{Deserialize, Serialize};

use crate::primitives::ids::AccountId;
use crate::primitives::tier::Tier;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

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
