//! Secrets at rest that are needed in plain text later, so a hash is not enough.
//!
//! The service seals them before a decision sees them and opens them where they are used, with the host's
//! [`Sealer`](crate::ports::Sealer). A storage holds a [`SealedSecret`], never a key.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounts::key::WebhookSecret;
use crate::primitives::ids::{AccountId, InstallationId, SubscriptionId};
use crate::primitives::macros::redacted_debug;

/// The prefix of every sealed text. Secrets stored by versions without sealing lack it.
pub(crate) const SEALED: &str = "sealed:";

/// The row that a secret belongs to. A sealed secret can be opened for its holder only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretHolder {
    /// A webhook subscription: its current and previous secret.
    Subscription(AccountId, SubscriptionId),
    /// The account's notification endpoint at Plugipay: its secret and the previous endpoint's.
    Endpoint(AccountId),
    /// The installation: a known text, which reveals a host with other keys.
    Installation(InstallationId),
}

/// The text that a [`Sealer`](crate::ports::Sealer) binds a secret to. It must never change: stored secrets would not
/// open.
impl fmt::Display for SecretHolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(account_id, id) => write!(formatter, "{account_id}/webhook-subscription/{id}"),
            Self::Endpoint(account_id) => write!(formatter, "{account_id}/plugipay-endpoint"),
            Self::Installation(id) => write!(formatter, "{id}/key-check"),
        }
    }
}

/// A stored secret: sealed, or in plain text if stored by a version without sealing. `Debug` hides both.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(String);

impl SealedSecret {
    /// Wraps the stored text.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The stored text.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// Whether the text is sealed; otherwise it is plain text.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.starts_with(SEALED)
    }
}

redacted_debug!(SealedSecret);

/// A new webhook secret, in two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshSecret {
    /// Plain text for the response. It is shown only once.
    pub shown: WebhookSecret,
    /// For the storage.
    pub sealed: SealedSecret,
}
