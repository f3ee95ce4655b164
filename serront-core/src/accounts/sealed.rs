//! Secrets at rest: those that are used again, and so can't be kept as a hash.
//!
//! The service half seals them before a decision sees them and opens them where they are used, by the
//! [`Sealer`] that the host brings. A storage holds a [`SealedSecret`], and no key.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounts::key::WebhookSecret;
use crate::primitives::ids::{AccountId, InstallationId, SubscriptionId};

/// What every sealed text begins with. A secret that was written before there were keys does not.
pub(crate) const SEALED: &str = "sealed:";

/// Which row a secret belongs to. A sealed secret opens for its own holder and for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretHolder {
    /// A webhook subscription: its secret, and the one before.
    Subscription(AccountId, SubscriptionId),
    /// The account's notification endpoint at Plugipay: its secret, and that of the one before.
    Endpoint(AccountId),
    /// The installation's row: a known text, by which a host with other keys is recognized.
    Installation(InstallationId),
}

/// The text that a [`Sealer`] binds a secret to. It never changes, or nothing that is stored could be opened.
impl fmt::Display for SecretHolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(account_id, id) => write!(formatter, "{account_id}/webhook-subscription/{id}"),
            Self::Endpoint(account_id) => write!(formatter, "{account_id}/plugipay-endpoint"),
            Self::Installation(id) => write!(formatter, "{id}/key-check"),
        }
    }
}

/// A secret as a storage holds it: sealed; or in plain, if it was stored by a version that did not seal. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(String);

impl SealedSecret {
    /// As it was stored.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// What is stored.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// Whether it is sealed; if not, it is in plain.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.starts_with(SEALED)
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealedSecret(…)")
    }
}

/// A new webhook secret: as it is shown this once, and as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshSecret {
    /// To be shown.
    pub shown: WebhookSecret,
    /// To be stored.
    pub sealed: SealedSecret,
}
