//! Plugipay, the provider of online checkout.

use async_trait::async_trait;

use crate::online::plugipay::{PlugipayAnswer, PlugipayCall};
use crate::ports::PortError;

/// Calls Plugipay.
#[async_trait]
pub trait Plugipay: Send + Sync {
    /// Signs and sends one call, and returns the content of the envelope.
    ///
    /// - Must send the bytes unchanged. May repeat a call only with the same bytes and key.
    /// - Must never put a secret into an error.
    ///
    /// # Errors
    /// - *permanent*: Plugipay refused these bytes and would refuse them again; nothing was done.
    /// - *transient*: nothing was done, and the same call may succeed later (no connection, a refused key, too many calls).
    ///   With [`PortError::retry_after`] if Plugipay sent it.
    /// - *outcome unknown*: the call may have been carried out.
    async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError>;
}
