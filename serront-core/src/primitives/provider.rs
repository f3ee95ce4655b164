//! Ids assigned by Plugipay, which this library treats as opaque text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest accepted id, in bytes.
pub const OPAQUE_BYTES_MAX: usize = 255;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Accepts 1–255 printable ASCII characters without spaces (`!` to `~`).
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let fits = (1..=OPAQUE_BYTES_MAX).contains(&text.len());
                (fits && text.bytes().all(|byte| matches!(byte, b'!'..=b'~'))).then(|| Self(text.to_owned()))
            }

            /// The id as Plugipay wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or("must be 1 to 255 characters from ! to ~")
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )+};
}

opaque! {
    /// A checkout session's id at Plugipay.
    SessionId;
    /// A merchant's account id at Plugipay.
    MerchantId;
    /// The id of an event in a notification from Plugipay.
    ProviderEventId;
    /// A notification endpoint's id at Plugipay.
    EndpointId;
}
