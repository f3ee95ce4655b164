//! Authentication with API keys and operators' keys.

use super::{Commands, Failure};
use crate::accounts::key::{ApiKey, Caller, KeyRecord, OperatorKey};
use crate::ports::WorkStorage;
use crate::primitives::digest::Digest256;
use crate::primitives::ids::{AccountId, KeyId};

impl<S: WorkStorage + ?Sized> Commands<'_, S> {
    /// The account and the key of a bearer token; `None` if it is no account's API key. Updates the key's last use, at
    /// most once per [`Policy::key_touch_interval`](crate::policy::Policy::key_touch_interval).
    pub async fn authenticate(&self, bearer: &str) -> Result<Option<Caller>, Failure> {
        match ApiKey::parse(bearer) {
            Some(key) => self.holder(key.hash()).await,
            None => Ok(None),
        }
    }

    /// As [`Commands::authenticate`], by the key's hash: for a host whose sessions store the hash of the key that
    /// opened them, and end when the key is deleted. The hash grants access, so a host keeps it secret.
    pub async fn holder(&self, hash: Digest256) -> Result<Option<Caller>, Failure> {
        let record = self.used(hash).await?.filter(|record| record.account_id != AccountId::OPERATORS);
        Ok(record.map(|record| Caller { account_id: record.account_id, key_id: record.id }))
    }

    /// The operator's key of a bearer token; `None` if it is none.
    pub async fn authenticate_operator(&self, bearer: &str) -> Result<Option<KeyId>, Failure> {
        match OperatorKey::parse(bearer) {
            Some(key) => self.operator_holder(key.hash()).await,
            None => Ok(None),
        }
    }

    /// As [`Commands::authenticate_operator`], by the key's hash.
    pub async fn operator_holder(&self, hash: Digest256) -> Result<Option<KeyId>, Failure> {
        let record = self.used(hash).await?.filter(|record| record.account_id == AccountId::OPERATORS);
        Ok(record.map(|record| record.id))
    }

    /// Reads a key's record, and updates its last use if that is due.
    async fn used(&self, hash: Digest256) -> Result<Option<KeyRecord>, Failure> {
        let Some(record) = self.storage.key(hash).await? else {
            return Ok(None);
        };
        let now = self.environment.clock.now();
        let pause = self.environment.policy.key_touch_interval;
        if record.last_used_at.is_none_or(|last| now.since(last) >= pause) {
            // A request does not fail because its key's last use could not be updated.
            let _ = self.storage.touch_key(record.account_id, record.id, pause).await;
        }
        Ok(Some(record))
    }
}
