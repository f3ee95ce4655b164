//! Plugipay, the provider of online checkout.

use async_trait::async_trait;

use crate::ports::PortError;

/// The methods that Plugipay's API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlugipayMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

impl PlugipayMethod {
    /// The method's name, as sent and as signed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One call, with the exact bytes that will be signed: a call whose outcome is unknown is sent again byte by byte.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayCall {
    /// Which method.
    pub method: PlugipayMethod,
    /// Path and query.
    pub path: String,
    /// For which merchant; `None` for provisioning.
    pub on_behalf_of: Option<String>,
    /// Our key towards the provider, on calls that create. Not the caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// The body, empty if there is none.
    pub body: String,
}

impl std::fmt::Debug for PlugipayCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PlugipayCall({:?}, …)", self.method)
    }
}

/// What Plugipay answered.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayAnswer {
    /// The envelope's `data`, as JSON text.
    pub data: String,
    /// Where a list goes on; `None` on its last page and for everything else.
    pub cursor: Option<String>,
}

/// `Debug` does not show the data: it may hold a secret.
impl std::fmt::Debug for PlugipayAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PlugipayAnswer(…)")
    }
}

/// Calls Plugipay.
#[async_trait]
pub trait Plugipay: Send + Sync {
    /// Signs and sends one call and answers what is in the envelope.
    ///
    /// - Must send the bytes as they are, and repeat a call by itself only with the same bytes and key.
    /// - Must never put a secret into an error.
    ///
    /// # Errors
    /// - *permanent*: Plugipay refused these bytes, and would again; nothing was done.
    /// - *transient*: nothing was done, and the same call may succeed later (no connection, a refused key, too many calls).
    ///   With [`PortError::retry_after`] where Plugipay says when.
    /// - *outcome unknown*: whenever the call may have been carried out.
    async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError>;
}
