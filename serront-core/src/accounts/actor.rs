//! Actors: who did what an audit record describes.

use serde::{Deserialize, Serialize};

use crate::accounts::key::AccessToken;
use crate::primitives::ids::KeyId;
use crate::primitives::provider::ProviderEventId;
use crate::primitives::rejection::Invalid;
use crate::primitives::text;

/// Who performed an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// A holder of the order's access token.
    Buyer {
        /// The first eight digits of the token's hash.
        token: String,
    },
    /// A holder of an API key.
    Key {
        /// The key's record.
        id: KeyId,
    },
    /// A holder of an operator key.
    Operator {
        /// The key's record.
        id: KeyId,
    },
    /// Plugipay, by a notification or an answer.
    Plugipay {
        /// The notification's event; `None` if Plugipay answered a call.
        event_id: Option<ProviderEventId>,
    },
    /// A user or process of the embedding host.
    Host {
        /// The host's name for it, 1–100 characters.
        name: String,
    },
}

impl Actor {
    /// A holder of this token.
    #[must_use]
    pub fn buyer(token: &AccessToken) -> Self {
        Self::Buyer { token: token_fingerprint(token) }
    }

    /// A user or process of the host.
    ///
    /// # Errors
    /// [`Invalid`] if the name is not 1–100 characters.
    pub fn host(name: &str) -> Result<Self, Invalid> {
        Ok(Self::Host { name: text::name("actor", name)? })
    }
}

/// Identifies a token in records without revealing it: the first eight digits of its hash.
pub(crate) fn token_fingerprint(token: &AccessToken) -> String {
    token.hash().to_string().chars().take(8).collect()
}
