//! The key that sessions at the pages are encrypted with.

use cookie::Key;
use serront_core::accounts::key::SecretBytes;
use serront_core::ports::{PortError, Secrets};

/// Encrypts and authenticates the session cookies.
#[derive(Clone)]
pub struct SessionKey(pub(crate) Key);

impl SessionKey {
    /// Bytes of a key.
    pub const BYTES: usize = 64;

    /// A key from secret bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self(Key::from(bytes))
    }

    /// Draws the bytes of a new key.
    ///
    /// # Errors
    /// The generator's.
    pub fn draw_bytes(secrets: &dyn Secrets) -> Result<[u8; Self::BYTES], PortError> {
        let parts: [SecretBytes; 3] = [secrets.draw()?, secrets.draw()?, secrets.draw()?];
        let mut bytes = [0; Self::BYTES];
        for (to, from) in bytes.iter_mut().zip(parts.as_flattened()) {
            *to = *from;
        }
        Ok(bytes)
    }
}

/// `Debug` does not show the key.
impl std::fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SessionKey(…)")
    }
}
