//! All memory ports as one bundle, with a seller, a buyer and an order at hand, so that a test says only what it is
//! about.
//!
//! A world is for tests: what a test takes for granted (a seller can be made, an order can be placed) is asserted here.
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failed assumption ends the test")]

use std::fmt;
use std::sync::Arc;

use serront_core::accounts::account::{AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::{AccessToken, ApiKey};
use serront_core::changes::change::{ChangeSet, Guard, Row, Write};
use serront_core::changes::effect::Lane;
use serront_core::orders::instructions::BankAccount;
use serront_core::orders::order::PricingType;
use serront_core::orders::order::{Language, OrderInput, OrderNumber};
use serront_core::policy::Policy;
use serront_core::ports::{Clock, Ids as _, Plugipay, WorkStorage};
use serront_core::primitives::ids::{AccountId, KeyId, OrderId, ServiceId, SubscriptionId};
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Commands, Environment, OnlinePayments, Provider, ReceiptUploads, WebhookRegistration};
use serront_core::shop::catalog::ServiceInput;
use serront_core::shop::storefront::StorefrontInput;
use serront_core::webhooks::subscription::SubscriptionInput;
use serront_core::work::dispatch::Dispatcher;
use serront_core::work::janitor::Janitor;
use serront_core::work::sweep::Sweeper;

use crate::memory::{
    CountingIds, CountingSecrets, Mailbox, ManualClock, MemoryReceipts, MemorySealer, MemoryStorage, RecordingSink,
};

/// Every port that the service and its periodic halves need, over a storage of one's choice.
pub struct World<S: ?Sized = MemoryStorage> {
    /// Where everything is kept.
    pub storage: Arc<S>,
    /// The time, for the service and for the memory adapters.
    pub clock: Arc<ManualClock>,
    /// Ids.
    pub ids: Arc<CountingIds>,
    /// Secrets.
    pub secrets: Arc<CountingSecrets>,
    /// The keys that secrets at rest are sealed under.
    pub sealer: Arc<MemorySealer>,
    /// The host's figures.
    pub policy: Policy,
    /// The receipts' bytes.
    pub receipts: Arc<MemoryReceipts>,
    /// The mails sent.
    pub mailbox: Arc<Mailbox>,
    /// The posts made.
    pub sink: Arc<RecordingSink>,
    /// The provider of online payment, if this installation has one.
    pub plugipay: Option<Arc<dyn Plugipay>>,
}

impl<S: ?Sized> fmt::Debug for World<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("World").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Default for World {
    fn default() -> Self {
        let clock = Arc::new(ManualClock::default());
        Self::over(Arc::new(MemoryStorage::new(clock.clone())), clock)
    }
}

impl World {
    /// A fresh world in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// A seller with a published storefront, a bank account and one service at Rp 750.000.
#[derive(Debug, Clone)]
pub struct Seller {
    /// The seller's account.
    pub account_id: AccountId,
    /// The first API key.
    pub key: ApiKey,
    /// Its record.
    pub key_id: KeyId,
    /// The storefront's slug.
    pub slug: String,
    /// The service.
    pub service_id: ServiceId,
}

/// An order as its buyer and its seller hold it.
#[derive(Debug, Clone)]
pub struct Placed {
    /// In whose account.
    pub account_id: AccountId,
    /// Which order.
    pub id: OrderId,
    /// Its number.
    pub number: OrderNumber,
    /// The buyer's credential.
    pub token: AccessToken,
}

/// Under which address a world's installation is reached.
pub const PUBLIC_URL: &str = "https://seller.example";

/// The slug of the service that every [`Seller`] has.
pub const SERVICE_SLUG: &str = "logo";

/// A storefront that can take orders, under this slug.
#[must_use]
pub fn storefront_input(slug: &str) -> StorefrontInput {
    StorefrontInput {
        slug: slug.to_owned(),
        display_name: format!("Studio {slug}"),
        bio: Some("Logo dan cetak.".to_owned()),
        whatsapp_number: Some("+628120000000".to_owned()),
        manual_bank_accounts: Some(vec![BankAccount {
            bank_name: "Bank Contoh".to_owned(),
            account_number: "123-456 789".to_owned(),
            account_holder: "Renata".to_owned(),
        }]),
        manual_instructions: Some("Tulis nomor pesanan.".to_owned()),
        hide_branding: None,
        published: Some(true),
    }
}

/// A service with one price, under this slug.
#[must_use]
pub fn service_input(slug: &str, price_idr: i64) -> ServiceInput {
    ServiceInput {
        slug: Some(slug.to_owned()),
        name: Some(format!("Jasa {slug}")),
        pricing_type: Some(PricingType::Fixed),
        price_idr: Some(Some(price_idr)),
        ..ServiceInput::default()
    }
}

/// An order of the service that every [`Seller`] has.
#[must_use]
pub fn order_input(buyer_name: &str) -> OrderInput {
    OrderInput {
        service_slug: SERVICE_SLUG.to_owned(),
        buyer_name: buyer_name.to_owned(),
        buyer_email: "budi@example.com".to_owned(),
        ..OrderInput::default()
    }
}

/// An address and what it wants.
#[must_use]
pub fn subscription_input(url: &str, events: &[&str]) -> SubscriptionInput {
    SubscriptionInput {
        url: Some(url.to_owned()),
        events: Some(events.iter().map(|event| (*event).to_owned()).collect()),
        active: None,
    }
}

/// Somebody whom the host knows.
#[must_use]
pub fn host() -> Actor {
    Actor::host("tester").expect("a well-formed name")
}

impl<S: WorkStorage + ?Sized> World<S> {
    /// Over this storage. The clock is the world's; a storage with a clock of its own keeps that.
    #[must_use]
    pub fn over(storage: Arc<S>, clock: Arc<ManualClock>) -> Self {
        Self {
            storage,
            ids: Arc::default(),
            secrets: Arc::default(),
            sealer: Arc::default(),
            policy: Policy::default(),
            receipts: Arc::new(MemoryReceipts::new(clock.clone())),
            mailbox: Arc::default(),
            sink: Arc::default(),
            plugipay: None,
            clock,
        }
    }

    /// The same world over another storage.
    #[must_use]
    pub fn with_storage<T: WorkStorage + ?Sized>(self, storage: Arc<T>) -> World<T> {
        let Self { storage: _, clock, ids, secrets, sealer, policy, receipts, mailbox, sink, plugipay } = self;
        World { storage, clock, ids, secrets, sealer, policy, receipts, mailbox, sink, plugipay }
    }

    /// What every command is given.
    #[must_use]
    pub fn environment(&self) -> Environment<'_> {
        Environment {
            clock: &*self.clock,
            ids: &*self.ids,
            secrets: &*self.secrets,
            sealer: &*self.sealer,
            policy: &self.policy,
        }
    }

    /// The local commands and the reads.
    #[must_use]
    pub fn commands(&self) -> Commands<'_, S> {
        Commands::new(&self.storage, self.environment())
    }

    /// The commands on receipts.
    #[must_use]
    pub fn receipt_uploads(&self) -> ReceiptUploads<'_, S, MemoryReceipts> {
        ReceiptUploads::new(&self.storage, &self.receipts, self.environment())
    }

    /// The commands on webhook subscriptions' addresses.
    #[must_use]
    pub fn webhook_registration(&self) -> WebhookRegistration<'_, S, RecordingSink> {
        WebhookRegistration::new(&self.storage, &self.sink, self.environment())
    }

    /// The commands that wait for the provider.
    #[must_use]
    pub fn online(&self) -> OnlinePayments<'_, S> {
        let provider = Provider { plugipay: self.plugipay.as_deref(), public_url: PUBLIC_URL };
        OnlinePayments::new(&self.storage, provider, self.environment())
    }

    /// The janitor.
    #[must_use]
    pub fn janitor(&self) -> Janitor<'_, S> {
        Janitor::new(self.online())
    }

    /// The dispatcher.
    #[must_use]
    pub fn dispatcher(&self) -> Dispatcher<'_, S, Mailbox, RecordingSink, MemoryReceipts> {
        Dispatcher::new(&self.storage, &self.mailbox, &self.sink, &self.receipts, self.environment())
    }

    /// The sweeper, at its beginning.
    #[must_use]
    pub fn sweeper(&self) -> Sweeper<'_, S, MemoryReceipts> {
        Sweeper::new(&self.storage, &self.receipts, self.environment())
    }

    /// Switches an account's payment module on, as if it had been provisioned before.
    pub async fn switch_payment_on(&self, account_id: AccountId) {
        let account = self.storage.account(account_id, None).await.expect("a read").expect("an account").account;
        let (now, version) = (self.clock.now(), account.state.version);
        let state = AccountState {
            version: version.next(),
            modules: Modules { payment: true, ..account.state.modules },
            ..account.state
        };
        let change = ChangeSet {
            guards: vec![Guard::Exact { row: Row::Account, version }],
            writes: vec![Write::UpdateAccount(state)],
            ..ChangeSet::new(self.ids.sequence(now).change_set(), account_id, now)
        };
        self.storage.commit(&change).await.expect("a switch");
    }

    /// When the first of what the dispatcher has to do is due.
    pub async fn next_due(&self) -> Option<Timestamp> {
        let mut first = None;
        for lane in Lane::OUTBOX {
            let next = self.storage.next_due(lane).await.expect("a read");
            first = first.into_iter().chain(next).min();
        }
        first
    }

    /// Attempts effects until none is due, and answers how many attempts that took.
    pub async fn dispatch_all(&self) -> usize {
        let mut attempted = 0;
        loop {
            let step = self.dispatcher().step(self.clock.now(), 16).await.expect("a step of the dispatcher");
            if step.attempted == 0 {
                return attempted;
            }
            attempted += step.attempted;
        }
    }

    /// Opens an account on the largest plan, with a storefront and a service.
    pub async fn seller(&self, slug: &str) -> Seller {
        let commands = self.commands();
        let (account, key) = commands.open_account(slug, Tier::Business).await.expect("an account").value;
        commands.put_storefront(account.id, &storefront_input(slug), None).await.expect("a storefront");
        let input = service_input(SERVICE_SLUG, 750_000);
        let service = commands.create_service(account.id, &input, None).await.expect("a service").value;
        Seller {
            account_id: account.id,
            key: key.key,
            key_id: key.shown.id,
            slug: slug.to_owned(),
            service_id: service.id,
        }
    }

    /// Places an order at a seller's storefront.
    pub async fn place(&self, seller: &Seller, buyer_name: &str) -> Placed {
        self.place_with(seller, &order_input(buyer_name)).await
    }

    /// Places this order at a seller's storefront.
    pub async fn place_with(&self, seller: &Seller, input: &OrderInput) -> Placed {
        let placed =
            self.commands().place_order(&seller.slug, input, Language::Id, None).await.expect("an order").value;
        Placed {
            account_id: seller.account_id,
            id: placed.order_id.expect("an id"),
            number: placed.number.expect("a number"),
            token: placed.access_token,
        }
    }

    /// A seller with one order.
    pub async fn seller_with_order(&self, slug: &str) -> (Seller, Placed) {
        let seller = self.seller(slug).await;
        let placed = self.place(&seller, "Budi").await;
        (seller, placed)
    }

    /// Subscribes an address to these events of a seller.
    pub async fn subscribe(&self, seller: &Seller, url: &str, events: &[&str]) -> SubscriptionId {
        let input = subscription_input(url, events);
        let answer = self.webhook_registration().create_subscription(seller.account_id, &input, None).await;
        answer.expect("a subscription").value.shown.id
    }
}
