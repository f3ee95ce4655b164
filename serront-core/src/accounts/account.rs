//! The account: one seller, with a plan, modules, and the settings epoch that witness guards check.

use serde::{Deserialize, Serialize};

use crate::primitives::ids::AccountId;
use crate::primitives::tier::Tier;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// The optional modules; `true` means switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Modules {
    /// Online payment at Plugipay.
    pub payment: bool,
    /// Marketing: not implemented, always `false`.
    pub marketing: bool,
}

/// A seller's account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Account {
    pub id: AccountId,
    /// The seller's name, shown to operators.
    pub name: String,
    pub created_at: Timestamp,
    pub state: AccountState,
}

/// The mutable part of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct AccountState {
    /// The *settings epoch*: changes of tier, modules and subscriptions increment it; order numbers, counts and
    /// delivery streaks do not.
    pub version: Version,
    pub tier: Tier,
    pub modules: Modules,
    /// The merchant's account id at Plugipay; `None` until provisioned.
    pub plugipay_account_id: Option<String>,
}
