//! Authentication: who calls with a key.

use super::{Commands, Failure};
use crate::accounts::key::{ApiKey, Caller, KeyRecord, OperatorKey};
use crate::ports::WorkStorage;
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, KeyId};

impl<S: WorkStorage + ?Sized> Commands<'_, S> {
    /// Who calls with this bearer key; `None` if nobody does. Notes the use at most once a minute.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn authenticate(&self, bearer: &str) -> Result<Option<Caller>, Failure> {
        match ApiKey::parse(bearer) {
            Some(key) => self.holder(key.hash()).await,
            None => Ok(None),
        }
    }

    /// Who holds the API key of this hash, as [`Commands::authenticate`] answers it: for a host whose sessions remember the
    /// key that they began with, and are not to outlive it. Whoever knows the hash is let in, so a host keeps it to itself.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn holder(&self, hash: Digest256) -> Result<Option<Caller>, Failure> {
        let record = self.used(hash).await?.filter(|record| record.account_id != AccountId::OPERATORS);
        Ok(record.map(|record| Caller { account_id: record.account_id, key_id: record.id }))
    }

    /// Which operator's key this bearer key is; `None` if it is none that is known.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn authenticate_operator(&self, bearer: &str) -> Result<Option<KeyId>, Failure> {
        match OperatorKey::parse(bearer) {
            Some(key) => self.operator_holder(key.hash()).await,
            None => Ok(None),
        }
    }

    /// Which operator's key has this hash, as [`Commands::holder`].
    ///
    /// # Errors
    /// A port's failure.
    pub async fn operator_holder(&self, hash: Digest256) -> Result<Option<KeyId>, Failure> {
        let record = self.used(hash).await?.filter(|record| record.account_id == AccountId::OPERATORS);
        Ok(record.map(|record| record.id))
    }

    /// The record of a key that is being used, which is noted at most once in a while.
    async fn used(&self, hash: Digest256) -> Result<Option<KeyRecord>, Failure> {
        let Some(record) = self.storage.key(hash).await? else {
            return Ok(None);
        };
        let now = self.environment.clock.now();
        let pause = self.environment.policy.key_touch_interval;
        if record.last_used_at.is_none_or(|last| now.since(last) >= pause) {
            // Bookkeeping: a request does not fail because its key's last use could not be noted.
            let _ = self.storage.touch_key(record.account_id, record.id, pause).await;
        }
        Ok(Some(record))
    }
}
