//! The use of API keys, and the secrets to seal again when the keys of the installation change.

use crate::ports::signatures::*;

part! {
    __credentials!
    /// Records the use of API keys, and lists sealed secrets across all accounts.
    pub trait Credentials {
        /// Records that an API key is used now, by the storage's clock.
        ///
        /// Changes nothing if the recorded time is less than `pause` ago or in the future, so that many uses at the same time
        /// cause one write.
        async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError>;

        /// A page of the subscriptions' secrets after `after`, by subscription id.
        async fn subscription_secrets(
            &self,
            after: Option<SubscriptionId>,
            limit: Limit,
        ) -> Result<Page<SubscriptionSecrets>, PortError>;

        /// A page of the provisioned endpoints after `after`, by account id.
        async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError>;
    }
}
