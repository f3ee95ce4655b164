//! Actors: who did what an audit record reports.

use serde::{Deserialize, Serialize};

use crate::accounts::key::AccessToken;
use crate::primitives::ids::KeyId;
use crate::primitives::provider::ProviderEventId;
use crate::primitives::rejection::Invalid;
use crate::primitives::text;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// Whoever held the order's access token, told apart by the first eight digits of its hash.
    Buyer {
        /// The hash's first eight digits.
        token: String,
    },
    /// Whoever held this API key.
    Key {
        /// Which key.
        id: KeyId,
    },
    /// Whoever held this operator's key.
    Operator {
        /// Which key.
        id: KeyId,
    },
    /// Plugipay told of it.
    Plugipay {
        /// In this notification; `None` if it was asked.
        event_id: Option<ProviderEventId>,
    },
    /// Somebody whom the embedding host knows, by the host's own name for them.
    Host {
        /// The host's name for them, 1–100 characters.
        name: String,
    },
}

impl Actor {
    /// The holder of this token.
    #[must_use]
    pub fn buyer(token: &AccessToken) -> Self {
        Self::Buyer { token: told_apart(token) }
    }

    /// Somebody whom the host knows by this name.
    ///
    /// # Errors
    /// [`Invalid`] if the name is not 1–100 characters.
    pub fn host(name: &str) -> Result<Self, Invalid> {
        Ok(Self::Host { name: text::name("actor", name)? })
    }
}

/// What tells a token apart from others without opening anything: the first eight digits of its hash.
pub(crate) fn told_apart(token: &AccessToken) -> String {
    token.hash().to_string().chars().take(8).collect()
}
