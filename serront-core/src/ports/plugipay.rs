//! Plugipay, the provider of online checkout.

use async_trait::async_trait;

use crate::online::plugipay::{PlugipayAnswer, PlugipayCall};
use crate::ports::PortError;

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
