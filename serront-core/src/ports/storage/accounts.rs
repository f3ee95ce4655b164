//! Accounts and their API keys.

use crate::ports::signatures::*;

part! {
    __account_reads!
    /// Reads accounts and their API keys.
    pub trait AccountReads {
        /// The account with its settings, and the outcome stored under `key`.
        async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError>;

        /// The API key with this hash.
        ///
        /// Must see every deletion that was committed before the call, on any host.
        async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError>;

        /// The account's API keys, oldest first.
        async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError>;
    }
}
