//! Mocks of every port, made by mockall: for a test that wants to say which calls are made, and with what.
//!
//! A test that cares about outcomes is better off with [`crate::memory`] and [`crate::faults`], which behave; a mock
//! only answers what it was told.
#![allow(missing_docs, reason = "the methods are mockall's; what they stand for is documented on the ports")]

use std::time::Duration;

use async_trait::async_trait;
use mockall::mock;
use serront_core::accounts::key::{KeyRecord, SecretBytes};
use serront_core::accounts::sealed::{SealedSecret, SecretHolder};
use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::changes::effect::{Attempt, DeliveryRecord, Discard, EffectId, EffectRecord, Lane};
use serront_core::changes::idempotency::Scope;
use serront_core::funds::books::Verification;
use serront_core::funds::ledger::{Adjustment, CodeTotals, LedgerEntry};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::online::exception::{ExceptionStatus, PaymentException};
use serront_core::online::inbox::InboxRecord;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall};
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::mail::MailMessage;
use serront_core::orders::order::{OrderNumber, WorkCounts};
use serront_core::policy::DeliveryShares;
use serront_core::ports::{
    Clock, CommitError, Ids, Mailer, Plugipay, PortError, Post, Posted, QuarantinedReceipt, Receipts, RecordError,
    Sealer, Secrets, Sink, Storage, StoredReceipt, TargetError, WorkStorage,
};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, ExceptionId, IdSequence, InstallationId, KeyId, OrderId, PayoutId,
    ServiceId, SubscriptionId, UploadId,
};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use serront_core::shop::catalog::Service;
use serront_core::snapshots::set_aside::SetAsides;
use serront_core::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, ExceptionSnapshot, Fence, FundsSnapshot, InstallationRow,
    NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot, SessionSnapshot,
    ShopSnapshot, SubscriptionSecrets,
};
use serront_core::snapshots::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, OrderFilter,
    OrderRow, PayoutPosition,
};
use serront_core::webhooks::subscription::Streak;

mock! {
    /// A mock of [`WorkStorage`], and so of [`Storage`] too.
    #[derive(Debug)]
    pub WorkStorage {}

    #[async_trait]
    impl Storage for WorkStorage {
        async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError>;
        async fn service(
            &self,
            account_id: AccountId,
            id: ServiceId,
            key: Option<Scope>,
        ) -> Result<Option<ServiceSnapshot>, PortError>;
        async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError>;
        async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError>;
        async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError>;
        async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError>;
        async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError>;
        async fn orders(
            &self,
            account_id: AccountId,
            filter: &OrderFilter,
            after: Option<OrderNumber>,
            limit: Limit,
        ) -> Result<Page<OrderRow>, PortError>;
        async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError>;
        async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError>;
        async fn deliveries(
            &self,
            account_id: AccountId,
            filter: &DeliveryFilter,
            after: Option<DeliveryPosition>,
            limit: Limit,
        ) -> Result<Page<DeliveryRecord>, PortError>;
        async fn delivery(
            &self,
            account_id: AccountId,
            id: DeliveryId,
        ) -> Result<Option<DeliveryRecord>, PortError>;
        async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError>;
        async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError>;
        async fn checkout(
            &self,
            account_id: AccountId,
            id: CheckoutId,
        ) -> Result<Option<CheckoutSnapshot>, PortError>;
        async fn session(
            &self,
            account_id: AccountId,
            id: &SessionId,
            event_id: Option<ProviderEventId>,
        ) -> Result<SessionSnapshot, PortError>;
        async fn inbox(
            &self,
            account_id: AccountId,
            id: &ProviderEventId,
        ) -> Result<Option<InboxRecord>, PortError>;
        async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError>;
        async fn entries(
            &self,
            account_id: AccountId,
            filter: &EntryFilter,
            after: Option<EntryPosition>,
            limit: Limit,
        ) -> Result<Page<LedgerEntry>, PortError>;
        async fn exceptions(
            &self,
            account_id: AccountId,
            status: Option<ExceptionStatus>,
            after: Option<ExceptionPosition>,
            limit: Limit,
        ) -> Result<Page<PaymentException>, PortError>;
        async fn exception(
            &self,
            account_id: AccountId,
            id: ExceptionId,
            key: Option<Scope>,
        ) -> Result<Option<ExceptionSnapshot>, PortError>;
        async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError>;
        async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError>;
        async fn payouts(
            &self,
            account_id: AccountId,
            status: Option<PayoutStatus>,
            after: Option<PayoutPosition>,
            limit: Limit,
        ) -> Result<Page<Payout>, PortError>;
        async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError>;
        async fn adjustment(
            &self,
            account_id: AccountId,
            key: &AdjustmentKey,
        ) -> Result<Option<Adjustment>, PortError>;
        async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError>;
        async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError>;
    }

    #[async_trait]
    impl WorkStorage for WorkStorage {
        async fn take_due(
            &self,
            lane: Lane,
            limit: u32,
            shares: DeliveryShares,
            lease: Duration,
        ) -> Result<Vec<Due>, PortError>;
        async fn complete_before(&self) -> Result<Timestamp, PortError>;
        async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError>;
        async fn record_attempt(
            &self,
            account_id: AccountId,
            id: EffectId,
            fence: Fence,
            attempt: &Attempt,
            next: NextAttempt,
        ) -> Result<(), RecordError>;
        async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError>;
        async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError>;
        async fn payouts_in_flight(
            &self,
            after: Option<PayoutPosition>,
            limit: Limit,
        ) -> Result<Page<Payout>, PortError>;
        async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError>;
        async fn subscription_secrets(
            &self,
            after: Option<SubscriptionId>,
            limit: Limit,
        ) -> Result<Page<SubscriptionSecrets>, PortError>;
        async fn provisionings(
            &self,
            after: Option<AccountId>,
            limit: Limit,
        ) -> Result<Page<Provisioning>, PortError>;
        async fn given_up(
            &self,
            after: Option<EffectPosition>,
            limit: Limit,
        ) -> Result<Page<EffectRecord>, PortError>;
        async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError>;
        async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError>;
        async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError>;
        async fn prune(&self, prune: Prune) -> Result<Pruned, PortError>;
        async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError>;
        async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError>;
        async fn now(&self) -> Result<Timestamp, PortError>;
        async fn installation(&self) -> Result<InstallationRow, PortError>;
        async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError>;
        async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError>;
        async fn ready(&self) -> Result<(), PortError>;
    }
}

mock! {
    /// A mock of [`Receipts`].
    #[derive(Debug)]
    pub Receipts {}

    #[async_trait]
    impl Receipts for Receipts {
        async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError>;
        async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError>;
        async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;
        async fn list(
            &self,
            before: Timestamp,
            after: Option<(AccountId, UploadId)>,
            limit: u32,
        ) -> Result<Vec<StoredReceipt>, PortError>;
        async fn quarantine(
            &self,
            account_id: AccountId,
            upload_id: UploadId,
            since: Timestamp,
        ) -> Result<(), PortError>;
        async fn quarantined(
            &self,
            before: Timestamp,
            after: Option<(AccountId, UploadId)>,
            limit: u32,
        ) -> Result<Vec<QuarantinedReceipt>, PortError>;
        async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;
        async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError>;
        async fn installation(&self) -> Result<Option<InstallationId>, PortError>;
        async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError>;
        async fn adopt(&self, id: InstallationId) -> Result<(), PortError>;
    }
}

mock! {
    /// A mock of [`Mailer`].
    #[derive(Debug)]
    pub Mailer {}

    #[async_trait]
    impl Mailer for Mailer {
        async fn send(&self, message: &MailMessage) -> Result<(), PortError>;
    }
}

mock! {
    /// A mock of [`Sink`].
    #[derive(Debug)]
    pub Sink {}

    #[async_trait]
    impl Sink for Sink {
        async fn check_target(&self, url: &str) -> Result<(), TargetError>;
        async fn post(&self, post: &Post) -> Posted;
    }
}

mock! {
    /// A mock of [`Plugipay`].
    #[derive(Debug)]
    pub Plugipay {}

    #[async_trait]
    impl Plugipay for Plugipay {
        async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, PortError>;
    }
}

mock! {
    /// A mock of [`Clock`].
    #[derive(Debug)]
    pub Clock {}

    #[async_trait]
    impl Clock for Clock {
        fn now(&self) -> Timestamp;
        async fn sleep(&self, duration: Duration);
    }
}

mock! {
    /// A mock of [`Ids`].
    #[derive(Debug)]
    pub Ids {}

    impl Ids for Ids {
        fn sequence(&self, now: Timestamp) -> IdSequence;
    }
}

mock! {
    /// A mock of [`Secrets`].
    #[derive(Debug)]
    pub Secrets {}

    impl Secrets for Secrets {
        fn draw(&self) -> Result<SecretBytes, PortError>;
    }
}

mock! {
    /// A mock of [`Sealer`].
    #[derive(Debug)]
    pub Sealer {}

    impl Sealer for Sealer {
        fn seal(&self, holder: SecretHolder, secret: &str) -> Result<String, PortError>;
        fn open(&self, holder: SecretHolder, sealed: &str) -> Result<String, PortError>;
        fn is_present(&self, sealed: &str) -> Result<bool, PortError>;
    }
}

#[cfg(test)]
mod tests {
    use mockall::Sequence;
    use mockall::predicate::eq;
    use serront_core::changes::change::ClaimName;
    use serront_core::policy::Policy;
    use serront_core::service::{Commands, Environment};
    use ulid::Ulid;

    use super::*;
    use crate::world::{self, World};

    /// What the service does with its ports, call by call: it reads, commits, meets a conflict, waits, and does it again.
    #[tokio::test]
    async fn a_conflict_is_read_and_decided_anew() {
        let world = World::new();
        let (_, placed) = world.seller_with_order("studio").await;
        let key = OrderKey::Id(placed.account_id, placed.id);
        let snapshot = world.storage.order(key, None).await.unwrap();
        let now = world.clock.now();
        let confirms = move |change: &ChangeSet| {
            change.account_id == placed.account_id
                && matches!(change.claims.as_slice(), [claim] if matches!(claim.name, ClaimName::Confirmation(_)))
        };

        let mut order = Sequence::new();
        let mut storage = MockWorkStorage::new();
        let mut clock = MockClock::new();
        let first = snapshot.clone();
        storage
            .expect_order()
            .with(eq(key), eq(None))
            .once()
            .in_sequence(&mut order)
            .return_once(move |_, _| Ok(first));
        let conflict = storage.expect_commit().withf(confirms).once().in_sequence(&mut order);
        conflict.return_once(|_| Err(CommitError::Conflict));
        clock.expect_sleep().once().in_sequence(&mut order).return_const(());
        storage.expect_order().once().in_sequence(&mut order).return_once(move |_, _| Ok(snapshot));
        let landing = storage.expect_commit().withf(confirms).once().in_sequence(&mut order);
        landing.return_once(|_| Ok(Committed { number: None }));
        clock.expect_now().return_const(now);
        let mut ids = MockIds::new();
        ids.expect_sequence().returning(|_| IdSequence::from_seed(Ulid::from_parts(1, 1)));
        // A confirmation draws no secret: no expectation, no call.
        let secrets = MockSecrets::new();
        let policy = Policy::default();
        let sealer = MockSealer::new();
        let environment = Environment { clock: &clock, ids: &ids, secrets: &secrets, sealer: &sealer, policy: &policy };
        let commands = Commands::new(&storage, environment);

        let confirmed = commands.confirm_payment(placed.account_id, placed.id, &world::host(), None, None).await;
        assert_eq!(confirmed.unwrap().value.id, placed.id);
    }
}
