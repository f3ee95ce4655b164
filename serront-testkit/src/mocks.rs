//! Mocks of every port, made by mockall, for teams that test their own host or adapter.
//!
//! Use a mock to check which calls are made and with what, or to force one exact answer. To check outcomes, prefer
//! [`crate::memory`] and [`crate::faults`]: they behave like real adapters, while a mock only returns what it was given.
//!
//! A host's report on a balance, tested without any storage:
//!
//! ```
//! use serront_core::primitives::ids::AccountId;
//! use serront_core::funds::ledger::{CodeTotals, EntryCode};
//! use serront_core::ports::{PortError, Storage};
//! use serront_testkit::mocks::MockWorkStorage;
//!
//! /// The host's own code: one line for its daily report.
//! async fn sales_line(storage: &impl Storage, account_id: AccountId) -> String {
//!     match storage.balance(account_id).await {
//!         Ok(totals) => {
//!             let sales = totals.iter().find(|total| total.code == EntryCode::Sale);
//!             format!("sales: Rp{}", sales.map_or(0, |total| total.credits))
//!         }
//!         Err(error) => format!("sales: not known ({error})"),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let account_id = AccountId::from_ulid(ulid::Ulid::from_parts(1, 1));
//! let mut storage = MockWorkStorage::new();
//! storage
//!     .expect_balance()
//!     .once()
//!     .return_once(|_| Ok(vec![CodeTotals { code: EntryCode::Sale, debits: 0, credits: 150_000 }]));
//! assert_eq!(sales_line(&storage, account_id).await, "sales: Rp150000");
//!
//! storage.expect_balance().once().returning(|_| Err(PortError::transient("no connection")));
//! assert_eq!(sales_line(&storage, account_id).await, "sales: not known (a port failed for now)");
//! # });
//! ```
#![allow(missing_docs, reason = "mockall makes the methods; the ports document them")]

use mockall::mock;
use serront_core::accounts::key::SecretBytes;
use serront_core::accounts::sealed::SecretHolder;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall};
use serront_core::orders::mail::MailMessage;
use serront_core::port_signatures;
use serront_core::ports::prelude::*;
use serront_core::ports::{Clock, Ids, Mailer, Plugipay, Post, Posted, Sealer, Secrets, Sink, TargetError};
use serront_core::primitives::ids::IdSequence;

macro_rules! mock_port {
    ($Port:ident $(trait $Part:ident {
        $(async fn $method:ident(&self $($argument:tt)*) -> $answer:ty;)+
    })+) => {
        mock! {
            #[derive(Debug)]
            pub $Port {}

            $(#[async_trait]
            impl $Part for $Port {
                $(async fn $method(&self $($argument)*) -> $answer;)+
            })+
        }
    };
}

port_signatures! { WorkStorage [mock_port] [WorkStorage] }
port_signatures! { Receipts [mock_port] [Receipts] }

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

    /// The calls of a command that meets a conflict: read, commit, wait, read again, commit again.
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
