//! Secrets from the operating system's generator.

use serront_core::accounts::key::SecretBytes;
use serront_core::ports::{PortError, Secrets};

/// Draws from the operating system's generator. There is no fallback: if it fails, no secret is created.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecrets;

impl Secrets for SystemSecrets {
    fn draw(&self) -> Result<SecretBytes, PortError> {
        let mut bytes = SecretBytes::default();
        // The generator may be ready for the next request.
        getrandom::fill(&mut bytes).map_err(PortError::transient)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ() {
        assert_ne!(SystemSecrets.draw().unwrap(), SystemSecrets.draw().unwrap());
    }
}
