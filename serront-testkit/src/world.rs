//! All memory ports in one bundle, with helpers for a seller, a buyer and an order, so that a test contains only its
//! subject.
//!
//! For tests only: the helpers assert what a test takes for granted (a seller can be created, an order can be placed).
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failed assumption ends the test")]

use std::fmt;
use std::sync::Arc;

use serront_core::accounts::account::{AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::{AccessToken, ApiKey};
use serront_core::changes::change::{ChangeSet, Guard, Row, Write};
use serront_core::changes::effect::Lane;
use serront_core::orders::instructions::BankAccount;
use serront_core::orders::order::{Language, OrderInput, OrderNumber, PricingType};
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

/// Every port that the service and its background loops need, over any storage.
pub struct World<S: ?Sized = MemoryStorage> {
    /// The storage.
    pub storage: Arc<S>,
    /// The clock of the service and of the memory adapters.
    pub clock: Arc<ManualClock>,
    /// The source of ids.
    pub ids: Arc<CountingIds>,
    /// The source of secrets.
    pub secrets: Arc<CountingSecrets>,
    /// The keys for secrets at rest.
    pub sealer: Arc<MemorySealer>,
    /// The host's policy.
    pub policy: Policy,
    /// The store of receipts.
    pub receipts: Arc<MemoryReceipts>,
    /// The mails sent.
    pub mailbox: Arc<Mailbox>,
    /// The posts made.
    pub sink: Arc<RecordingSink>,
    /// The provider of online payment; `None` for an installation without one.
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
    /// The key's record.
    pub key_id: KeyId,
    /// The storefront's slug.
    pub slug: String,
    /// The service.
    pub service_id: ServiceId,
}

/// A placed order.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The seller's account.
    pub account_id: AccountId,
    /// The order's id.
    pub id: OrderId,
    /// The order's number.
    pub number: OrderNumber,
    /// The buyer's access token.
    pub token: AccessToken,
}

/// The public URL of a world's installation.
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

/// A subscription's URL and event filters.
#[must_use]
pub fn subscription_input(url: &str, events: &[&str]) -> SubscriptionInput {
    SubscriptionInput {
        url: Some(url.to_owned()),
        events: Some(events.iter().map(|event| (*event).to_owned()).collect()),
        active: None,
    }
}

/// An actor of the host.
#[must_use]
pub fn host() -> Actor {
    Actor::host("tester").expect("a well-formed name")
}

impl<S: WorkStorage + ?Sized> World<S> {
    /// Creates a world over this storage. `clock` is the world's; a storage with another clock keeps that one.
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

    /// The environment of the commands.
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

    /// The commands and reads that need the storage only.
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

    /// The commands that call the provider.
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

    /// A new sweeper.
    #[must_use]
    pub fn sweeper(&self) -> Sweeper<'_, S, MemoryReceipts> {
        Sweeper::new(&self.storage, &self.receipts, self.environment())
    }

    /// Switches on an account's payment module, as if it was provisioned before.
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

    /// When the dispatcher's next work is due.
    pub async fn next_due(&self) -> Option<Timestamp> {
        let mut first = None;
        for lane in Lane::OUTBOX {
            let next = self.storage.next_due(lane).await.expect("a read");
            first = first.into_iter().chain(next).min();
        }
        first
    }

    /// Attempts effects until none is due, and answers the number of attempts.
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
