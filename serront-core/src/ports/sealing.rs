//! Sealing and opening secrets by the host's [`Sealer`].

use crate::accounts::key::WebhookSecret;
use crate::accounts::sealed::{FreshSecret, SEALED, SealedSecret, SecretHolder};
use crate::ports::{PortError, Sealer};

impl SealedSecret {
    /// Seals a secret for its holder.
    ///
    /// # Errors
    /// The sealer's.
    pub fn seal(sealer: &dyn Sealer, holder: SecretHolder, secret: &str) -> Result<Self, PortError> {
        Ok(Self::stored(format!("{SEALED}{}", sealer.seal(holder, secret)?)))
    }

    /// Opens it for its holder.
    ///
    /// # Errors
    /// The sealer's.
    pub fn open(&self, sealer: &dyn Sealer, holder: SecretHolder) -> Result<String, PortError> {
        match self.as_stored().strip_prefix(SEALED) {
            Some(sealed) => sealer.open(holder, sealed),
            None => Ok(self.as_stored().to_owned()),
        }
    }

    /// Whether it is in plain, or sealed under another key than the present one.
    ///
    /// # Errors
    /// The sealer's.
    pub fn is_outdated(&self, sealer: &dyn Sealer) -> Result<bool, PortError> {
        self.as_stored().strip_prefix(SEALED).map_or(Ok(true), |sealed| Ok(!sealer.is_present(sealed)?))
    }

    /// Opens it and seals it anew, under the present key.
    ///
    /// # Errors
    /// The sealer's.
    pub fn resealed(&self, sealer: &dyn Sealer, holder: SecretHolder) -> Result<Self, PortError> {
        Self::seal(sealer, holder, &self.open(sealer, holder)?)
    }
}

/// No keys: nothing is sealed, and nothing opens. For a process that meets no secrets at rest; one that does is refused, rather
/// than that a secret is stored in plain.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl NoKeys {
    fn refusal() -> PortError {
        PortError::permanent("this process was given no keys for secrets at rest")
    }
}

impl Sealer for NoKeys {
    fn seal(&self, _: SecretHolder, _: &str) -> Result<String, PortError> {
        Err(Self::refusal())
    }

    fn open(&self, _: SecretHolder, _: &str) -> Result<String, PortError> {
        Err(Self::refusal())
    }

    fn is_present(&self, _: &str) -> Result<bool, PortError> {
        Err(Self::refusal())
    }
}

impl FreshSecret {
    /// Of a secret that was just drawn.
    ///
    /// # Errors
    /// The sealer's.
    pub fn new(sealer: &dyn Sealer, holder: SecretHolder, shown: WebhookSecret) -> Result<Self, PortError> {
        let sealed = SealedSecret::seal(sealer, holder, shown.reveal())?;
        Ok(Self { shown, sealed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns texts around, and forgets whom they are for.
    struct Around;

    impl Sealer for Around {
        fn seal(&self, _: SecretHolder, secret: &str) -> Result<String, PortError> {
            Ok(secret.chars().rev().collect())
        }

        fn open(&self, _: SecretHolder, sealed: &str) -> Result<String, PortError> {
            Ok(sealed.chars().rev().collect())
        }

        fn is_present(&self, sealed: &str) -> Result<bool, PortError> {
            Ok(sealed.starts_with('a'))
        }
    }

    #[test]
    fn what_was_stored_in_plain_is_read_and_wants_to_be_sealed() {
        let account = "acc_01jtestvect0r0000000000000".parse().unwrap();
        let holder = SecretHolder::Endpoint(account);
        let plain = SealedSecret::stored("whsec_a".to_owned());
        assert_eq!((plain.is_sealed(), plain.is_outdated(&Around).unwrap()), (false, true));
        assert_eq!(plain.open(&Around, holder).unwrap(), "whsec_a");
        let sealed = plain.resealed(&Around, holder).unwrap();
        assert_eq!(sealed.as_stored(), "sealed:a_ceshw");
        assert_eq!((sealed.is_sealed(), sealed.is_outdated(&Around).unwrap()), (true, false));
        assert_eq!(sealed.open(&Around, holder).unwrap(), "whsec_a");
        assert_eq!(format!("{sealed:?}"), "SealedSecret(…)");
    }

    #[test]
    fn holders_keep_their_names() {
        let account = "acc_01jtestvect0r0000000000000".parse().unwrap();
        let subscription = "whs_01jtestvect0r0000000000000".parse().unwrap();
        assert_eq!(
            [
                SecretHolder::Endpoint(account),
                SecretHolder::Subscription(account, subscription),
                SecretHolder::Installation("ins_01jtestvect0r0000000000000".parse().unwrap()),
            ]
            .map(|h| h.to_string()),
            [
                "acc_01jtestvect0r0000000000000/plugipay-endpoint",
                "acc_01jtestvect0r0000000000000/webhook-subscription/whs_01jtestvect0r0000000000000",
                "ins_01jtestvect0r0000000000000/key-check",
            ]
        );
    }
}
