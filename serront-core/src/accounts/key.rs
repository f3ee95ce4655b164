//! Credentials: API keys, access tokens and webhook secrets. None of them shows itself in `Debug`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, KeyId};
use crate::primitives::time::Timestamp;

/// 192 bits from the host's generator of secrets.
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
            /// Made from fresh secret bytes.
            #[must_use]
            pub fn from_bytes(bytes: &SecretBytes) -> Self {
                Self(format!(concat!($prefix, "{}"), crate::primitives::digest::hex(bytes)))
            }

            /// Parses one, strictly.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                text.strip_prefix($prefix).filter(|rest| is_hex48(rest)).map(|_| Self(text.to_owned()))
            }

            /// The secret text itself. Never log it.
            #[must_use]
            pub fn reveal(&self) -> &str {
                &self.0
            }

            /// Its SHA-256, under which it is looked up.
            #[must_use]
            pub fn hash(&self) -> Digest256 {
                Digest256::of(self.0.as_bytes())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

credential! {
    /// An account's API key: `sk_live_` and 48 hexadecimal digits. Stored only as its hash.
    ApiKey, "sk_live_"
}
credential! {
    /// An operator's key: `sk_op_` and 48 hexadecimal digits. Stored only as its hash.
    OperatorKey, "sk_op_"
}
credential! {
    /// A buyer's access token: 48 hexadecimal digits (192 bits), the only credential of a public order.
    AccessToken, ""
}
credential! {
    /// The secret that signs a subscription's webhooks: `whsec_` and 48 hexadecimal digits.
    WebhookSecret, "whsec_"
}

impl ApiKey {
    /// What is shown of a key: `sk_live_` and its first four digits.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.chars().take("sk_live_".len() + 4).collect()
    }
}

impl OperatorKey {
    /// What is shown of a key: `sk_op_` and its first four digits.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.0.chars().take("sk_op_".len() + 4).collect()
    }
}

/// What is stored of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Which key.
    pub id: KeyId,
    /// Whose.
    pub account_id: AccountId,
    /// The seller's name for it.
    pub name: String,
    /// What may be shown of it.
    pub prefix: String,
    /// Under which it is found.
    pub hash: Digest256,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Who calls, as told by a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// For which account.
    pub account_id: AccountId,
    /// With which key.
    pub key_id: KeyId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_strict_and_silent() {
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
