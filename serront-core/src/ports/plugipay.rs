//! Plugipay, the provider of online checkout. Declared here so that the frame has its place; no command of this version
//! calls it.

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

/// Calls Plugipay.
#[async_trait]
pub trait Plugipay: Send + Sync {
    /// Signs and sends one call and answers the envelope's `data` as JSON text.
    ///
    /// - Must send the bytes as they are, and repeat a call by itself only with the same bytes and key.
    /// - Must never put a secret into an error.
    ///
    /// # Errors
    /// Transient, permanent, or outcome unknown whenever the call may have been carried out.
    async fn call(&self, call: &PlugipayCall) -> Result<String, PortError>;
}
