//! A call and its answer, as values.

use crate::primitives::macros::redacted_debug;

/// The HTTP methods of Plugipay's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the method of the same name")]
pub enum PlugipayMethod {
    Get,
    Post,
    Delete,
}

impl PlugipayMethod {
    /// The method's name, which is sent and signed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A call with the exact bytes to sign: a call with an unknown outcome must be repeated unchanged. `Debug` shows only
/// the method.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PlugipayCall {
    pub method: PlugipayMethod,
    /// Path and query.
    pub path: String,
    /// The merchant's account id; `None` for creating a workspace.
    pub on_behalf_of: Option<String>,
    /// Our key at Plugipay, for calls that create something. It is not the idempotency key of our own client.
    pub idempotency_key: Option<String>,
    /// JSON; empty if there is none.
    pub body: String,
}

impl std::fmt::Debug for PlugipayCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PlugipayCall({:?}, …)", self.method)
    }
}

/// A successful answer. `Debug` hides it, because the data may contain a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayAnswer {
    /// The envelope's `data`, as JSON text.
    pub data: String,
    /// The cursor of a list's next page; `None` on the last page, and if the answer is not a list.
    pub cursor: Option<String>,
}

redacted_debug!(PlugipayAnswer);
