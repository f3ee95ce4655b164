//! Credentials: API keys, access tokens and webhook secrets. `Debug` hides all of them.

use serde::{Deserialize, Serialize};

use crate::primitives::digest::{Digest256, hex};
use crate::primitives::ids::{AccountId, KeyId};
use crate::primitives::macros::redacted_debug;
use crate::primitives::time::Timestamp;

/// 192 bits from the host's secret generator.
pub type SecretBytes = [u8; 24];

const HEX_LENGTH: usize = 48;

fn is_hex48(text: &str) -> bool {
    text.len() == HEX_LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

macro_rules! credential {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Encodes fresh secret bytes.
            #[must_use]
            pub fn from_bytes(bytes: &SecretBytes) -> Self {
                Self(format!(concat!($prefix, "{}"), hex(bytes)))
            }

            /// Parses the prefix and 48 lowercase hexadecimal digits; `None` for any other text.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                text.strip_prefix($prefix).filter(|rest| is_hex48(rest)).map(|_| Self(text.to_owned()))
            }

            /// The secret text. Never log it.
            #[must_use]
            pub fn reveal(&self) -> &str {
                &self.0
            }

            /// Its SHA-256, the key for lookups.
            #[must_use]
            pub fn hash(&self) -> Digest256 {
                Digest256::of(self.0.as_bytes())
            }
        }

        redacted_debug!($name);
    };
}

credential! {
    /// An account's API key: `sk_live_` and 48 hexadecimal digits. Stored only as its hash.
    ApiKey, "sk_live_"
}
credential! {
    /// An operator key: `sk_op_` and 48 hexadecimal digits. Stored only as its hash.
    OperatorKey, "sk_op_"
}
credential! {
    /// A buyer's access token: 48 hexadecimal digits, the only credential for an order's public pages.
    AccessToken, ""
}
credential! {
    /// The secret that signs a subscription's webhooks: `whsec_` and 48 hexadecimal digits.
    WebhookSecret, "whsec_"
}

impl ApiKey {
    /// The part that may be shown: `sk_live_` and its first four digits.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.chars().take("sk_live_".len() + 4).collect()
    }
}

impl OperatorKey {
    /// The part that may be shown: `sk_op_` and its first four digits.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.chars().take("sk_op_".len() + 4).collect()
    }
}

/// A stored API key or operator key, without the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct KeyRecord {
    pub id: KeyId,
    pub account_id: AccountId,
    /// The owner's label for the key.
    pub name: String,
    /// The part of the key that may be shown.
    pub prefix: String,
    /// SHA-256 of the key, for lookups.
    pub hash: Digest256,
    pub created_at: Timestamp,
    /// To the minute; `None` if it was never used.
    pub last_used_at: Option<Timestamp>,
}

/// The account and key of an authenticated request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Caller {
    pub account_id: AccountId,
    pub key_id: KeyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_parse_strictly_and_debug_hides_them() {
        let key = ApiKey::from_bytes(&[0xab; 24]);
        assert_eq!(key.reveal(), format!("sk_live_{}", "ab".repeat(24)));
        assert_eq!(key.prefix(), "sk_live_abab");
        assert_eq!(ApiKey::parse(key.reveal()), Some(key.clone()));
        for bad in ["", "sk_live_", &key.reveal().to_uppercase(), &format!("{}0", key.reveal()), &"g".repeat(48)] {
            assert_eq!(ApiKey::parse(bad), None);
            assert_eq!(AccessToken::parse(bad), None);
        }
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }
}
