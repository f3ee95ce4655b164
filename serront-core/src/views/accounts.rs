//! API keys and modules.

use serde::{Deserialize, Serialize};

use crate::accounts::account::{Account, Modules};
use crate::accounts::key::{ApiKey, KeyRecord};
use crate::changes::idempotency::Outcome;
use crate::primitives::ids::KeyId;
use crate::primitives::time::Timestamp;

/// An API key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    pub id: KeyId,
    pub name: String,
    pub key_prefix: String,
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl From<&KeyRecord> for KeyView {
    fn from(key: &KeyRecord) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            key_prefix: key.prefix.clone(),
            last_used_at: key.last_used_at,
            created_at: key.created_at,
        }
    }
}

/// A new API key and the key itself, which is never shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKeyView {
    #[serde(flatten)]
    pub shown: KeyView,
    pub key: ApiKey,
}

impl Outcome for NewKeyView {
    const KIND: &'static str = "new_key";
    const REPEATABLE: bool = false;
}

/// The modules' switches, and which modules can be switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModulesView {
    pub modules: Modules,
    /// The merchant's account at Plugipay; `None` until it is provisioned.
    pub plugipay_account_id: Option<String>,
    /// Always null: marketing is out of scope.
    pub ripplo_account_id: Option<String>,
    /// Whether this installation has what the module needs.
    pub available: Modules,
}

impl Outcome for ModulesView {
    const KIND: &'static str = "modules";
}

impl ModulesView {
    #[must_use]
    pub fn new(account: &Account, available: Modules) -> Self {
        Self {
            modules: account.state.modules,
            plugipay_account_id: account.state.plugipay_account_id.clone(),
            ripplo_account_id: None,
            available,
        }
    }
}

/// Whether the account offers online payment: its payment module is on.
#[must_use]
pub const fn offers_online_payment(account: &Account) -> bool {
    account.state.modules.payment
}

/// Whether the branding is hidden: the seller wants that, and the account's present tier allows it.
#[must_use]
pub const fn hides_branding(account: &Account, wanted: bool) -> bool {
    wanted && account.state.tier.terms().branding_removal
}
