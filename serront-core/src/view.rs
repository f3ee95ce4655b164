//! Views: what is shown of the domain, in the wire contract's shapes, and the rules of what is shown to whom.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::{Account, Modules};
use crate::balance::Balance;
use crate::catalog::{Package, PricingType, Service};
use crate::checkout::SessionId;
use crate::effect::{Attempt, DeliveryRecord, EffectStatus};
use crate::event::EventType;
use crate::exception::{ExceptionKind, ExceptionStatus, PaymentException};
use crate::idempotency::Outcome;
use crate::ids::{
    AccountId, AdjustmentId, DeliveryId, EntryId, EventId, ExceptionId, KeyId, OrderId, PayoutId, ServiceId,
    SubscriptionId, TransactionId,
};
use crate::key::{AccessToken, ApiKey, KeyRecord, WebhookSecret};
use crate::ledger::{Adjustment, CodeTotals, Direction, EntryCode, LedgerEntry, SourceType};
use crate::money::Rupiah;
use crate::order::{Order, OrderNumber, WorkStatus};
use crate::page::OrderRow;
use crate::payment::{Payment, PaymentStatus};
use crate::payout::{BankDetails, DefaultDetails, Payout, PayoutStatus};
use crate::ports::{OrderSnapshot, ShopSnapshot};
use crate::storefront::{BankAccount, Storefront};
use crate::subscription::{EventFilter, Subscription};
use crate::text::{Slug, WhatsAppNumber};
use crate::time::Timestamp;

/// A service as an order shows it to the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct OrderedService {
    pub id: ServiceId,
    pub slug: Slug,
    pub name: String,
    pub pricing_type: PricingType,
}

/// An order as its seller sees it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct SellerOrder {
    pub id: OrderId,
    pub account_id: AccountId,
    pub number: OrderNumber,
    pub service_id: ServiceId,
    pub client_id: Option<String>,
    pub status: WorkStatus,
    pub payment_status: PaymentStatus,
    pub package_name: Option<String>,
    pub buyer_name: String,
    pub buyer_email: String,
    pub buyer_phone: Option<String>,
    pub preferred_date: Option<String>,
    pub notes: Option<String>,
    pub quoted_price_idr: Rupiah,
    pub discount_code: Option<String>,
    pub discount_amount_idr: Rupiah,
    pub access_token: AccessToken,
    pub has_proof: bool,
    pub last_message_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub service: OrderedService,
}

impl std::fmt::Debug for SellerOrder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SellerOrder({}, …)", self.id)
    }
}

impl Outcome for SellerOrder {
    const KIND: &'static str = "order";
}

impl SellerOrder {
    /// Of these parts.
    #[must_use]
    pub fn new(order: &Order, number: OrderNumber, payment: &Payment, service: &Service) -> Self {
        Self {
            id: order.id,
            account_id: order.account_id,
            number,
            service_id: order.service_id,
            client_id: None,
            status: order.state.status,
            payment_status: order.state.payment_status,
            package_name: order.package_name.clone(),
            buyer_name: order.buyer.name.clone(),
            buyer_email: order.buyer.email.as_str().to_owned(),
            buyer_phone: order.buyer.phone.clone(),
            preferred_date: order.preferred_date.clone(),
            notes: order.notes.clone(),
            quoted_price_idr: order.state.quoted_price,
            discount_code: None,
            discount_amount_idr: Rupiah::ZERO,
            access_token: order.access_token.clone(),
            has_proof: payment.state.receipt.is_some(),
            last_message_at: None,
            created_at: order.created_at,
            updated_at: order.state.updated_at,
            service: OrderedService {
                id: service.id,
                slug: service.offer.slug.clone(),
                name: service.offer.name.clone(),
                pricing_type: service.offer.pricing.kind(),
            },
        }
    }
}

impl From<&OrderSnapshot> for SellerOrder {
    fn from(snapshot: &OrderSnapshot) -> Self {
        Self::new(&snapshot.order, snapshot.number, &snapshot.payment, &snapshot.service)
    }
}

impl From<&OrderRow> for SellerOrder {
    fn from(row: &OrderRow) -> Self {
        Self::new(&row.order, row.number, &row.payment, &row.service)
    }
}

/// Where the buyer is to pay. Shown only while the payment is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct PaymentInstructions {
    pub bank_accounts: Vec<BankAccount>,
    pub instructions: Option<String>,
    pub whatsapp_number: Option<WhatsAppNumber>,
    pub whatsapp_link: Option<String>,
}

/// A service as a buyer's order shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct BuyerService {
    pub slug: Slug,
    pub name: String,
    pub pricing_type: PricingType,
}

/// A storefront as a buyer's order shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct BuyerStorefront {
    pub slug: Slug,
    pub display_name: String,
    pub hide_branding: bool,
}

/// An order as its buyer sees it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct BuyerOrder {
    pub number: OrderNumber,
    pub status: WorkStatus,
    pub payment_status: PaymentStatus,
    pub quoted_price_idr: Rupiah,
    pub discount_code: Option<String>,
    pub discount_amount_idr: Rupiah,
    pub online_payment: bool,
    pub package_name: Option<String>,
    pub buyer_name: String,
    pub preferred_date: Option<String>,
    pub notes: Option<String>,
    pub created_at: Timestamp,
    pub service: BuyerService,
    pub storefront: Option<BuyerStorefront>,
    pub payment: Option<PaymentInstructions>,
    pub has_proof: bool,
    pub messages: Vec<()>,
}

impl std::fmt::Debug for BuyerOrder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "BuyerOrder(#{}, …)", self.number)
    }
}

/// Whether the branding is hidden: asked for, and on a tier that allows it (still).
#[must_use]
pub fn hides_branding(account: &Account, storefront: &Storefront) -> bool {
    storefront.profile.hide_branding && account.state.tier.terms().branding_removal
}

/// Whether online payment is offered at all: the module is on.
#[must_use]
pub const fn offers_online_payment(account: &Account) -> bool {
    account.state.modules.payment
}

impl From<&OrderSnapshot> for BuyerOrder {
    fn from(snapshot: &OrderSnapshot) -> Self {
        let OrderSnapshot { account, storefront, order, number, payment, service, .. } = snapshot;
        let state = &order.state;
        let due = payment.state.status != PaymentStatus::PaymentConfirmed;
        let closed = state.status.is_closed();
        let settings = storefront.as_ref().map(|storefront| storefront.profile.payment.clone()).unwrap_or_default();
        Self {
            number: *number,
            status: state.status,
            payment_status: state.payment_status,
            quoted_price_idr: state.quoted_price,
            discount_code: None,
            discount_amount_idr: Rupiah::ZERO,
            online_payment: offers_online_payment(account) && due && !closed && !state.quoted_price.is_zero(),
            package_name: order.package_name.clone(),
            buyer_name: order.buyer.name.clone(),
            preferred_date: order.preferred_date.clone(),
            notes: order.notes.clone(),
            created_at: order.created_at,
            service: BuyerService {
                slug: service.offer.slug.clone(),
                name: service.offer.name.clone(),
                pricing_type: service.offer.pricing.kind(),
            },
            storefront: storefront.as_ref().map(|storefront| BuyerStorefront {
                slug: storefront.profile.slug.clone(),
                display_name: storefront.profile.display_name.clone(),
                hide_branding: hides_branding(account, storefront),
            }),
            payment: due.then(|| PaymentInstructions {
                whatsapp_link: settings.whatsapp_number.as_ref().map(WhatsAppNumber::link),
                bank_accounts: settings.bank_accounts,
                instructions: settings.instructions,
                whatsapp_number: settings.whatsapp_number,
            }),
            has_proof: payment.state.receipt.is_some(),
            messages: Vec::new(),
        }
    }
}

/// What a buyer gets for placing an order. `number` stands first (see [`crate::marked::MarkedText::from_json`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct PlacedOrder {
    /// `None` only until the commit has assigned it.
    pub number: Option<OrderNumber>,
    pub access_token: AccessToken,
    pub quoted_price_idr: Rupiah,
    pub discount_amount_idr: Rupiah,
    /// Not on the wire: for embedders who go on with the order at once.
    #[serde(skip)]
    pub order_id: Option<OrderId>,
}

/// A placed order as it is kept beside an idempotency key: with the id that the wire does not show.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptPlacedOrder {
    // First, since the number's place is in it.
    #[serde(flatten)]
    placed: PlacedOrder,
    #[serde(rename = "orderId")]
    id: Option<OrderId>,
}

impl From<PlacedOrder> for KeptPlacedOrder {
    fn from(placed: PlacedOrder) -> Self {
        Self { id: placed.order_id, placed }
    }
}

impl From<KeptPlacedOrder> for PlacedOrder {
    fn from(kept: KeptPlacedOrder) -> Self {
        Self { order_id: kept.id, ..kept.placed }
    }
}

impl Outcome for KeptPlacedOrder {
    const KIND: &'static str = "placed_order";
}

/// The storefront as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct StorefrontView {
    pub slug: Slug,
    pub display_name: String,
    pub bio: Option<String>,
    pub whatsapp_number: Option<WhatsAppNumber>,
    pub manual_bank_accounts: Vec<BankAccount>,
    pub manual_instructions: Option<String>,
    pub hide_branding: bool,
    pub published: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Outcome for StorefrontView {
    const KIND: &'static str = "storefront";
}

impl From<&Storefront> for StorefrontView {
    fn from(storefront: &Storefront) -> Self {
        let profile = &storefront.profile;
        Self {
            slug: profile.slug.clone(),
            display_name: profile.display_name.clone(),
            bio: profile.bio.clone(),
            whatsapp_number: profile.payment.whatsapp_number.clone(),
            manual_bank_accounts: profile.payment.bank_accounts.clone(),
            manual_instructions: profile.payment.instructions.clone(),
            hide_branding: profile.hide_branding,
            published: profile.published,
            created_at: storefront.created_at,
            updated_at: storefront.updated_at,
        }
    }
}

/// A service as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct ServiceView {
    pub id: ServiceId,
    pub slug: Slug,
    pub name: String,
    pub description: Option<String>,
    pub pricing_type: PricingType,
    pub price_idr: Option<Rupiah>,
    pub packages: Option<Vec<Package>>,
    pub active: bool,
    pub sort_order: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Outcome for ServiceView {
    const KIND: &'static str = "service";
}

impl From<&Service> for ServiceView {
    fn from(service: &Service) -> Self {
        let offer = &service.offer;
        Self {
            id: service.id,
            slug: offer.slug.clone(),
            name: offer.name.clone(),
            description: offer.description.clone(),
            pricing_type: offer.pricing.kind(),
            price_idr: offer.pricing.price(),
            packages: offer.pricing.packages().map(<[_]>::to_vec),
            active: offer.active,
            sort_order: offer.sort_order,
            created_at: service.created_at,
            updated_at: service.updated_at,
        }
    }
}

/// A service as the public storefront shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct ShopService {
    pub slug: Slug,
    pub name: String,
    pub description: Option<String>,
    pub pricing_type: PricingType,
    pub price_idr: Option<Rupiah>,
    pub packages: Option<Vec<Package>>,
}

/// The profile as the public storefront shows it: never a bank account, never instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct ShopProfile {
    pub slug: Slug,
    pub display_name: String,
    pub bio: Option<String>,
    pub whatsapp_number: Option<WhatsAppNumber>,
    pub hide_branding: bool,
    pub online_payment: bool,
    pub discount_codes: bool,
}

/// The public storefront.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct ShopView {
    pub storefront: ShopProfile,
    pub services: Vec<ShopService>,
}

impl From<&ShopSnapshot> for ShopView {
    fn from(snapshot: &ShopSnapshot) -> Self {
        let profile = &snapshot.storefront.profile;
        Self {
            storefront: ShopProfile {
                slug: profile.slug.clone(),
                display_name: profile.display_name.clone(),
                bio: profile.bio.clone(),
                whatsapp_number: profile.payment.whatsapp_number.clone(),
                hide_branding: hides_branding(&snapshot.account, &snapshot.storefront),
                online_payment: offers_online_payment(&snapshot.account),
                discount_codes: false,
            },
            services: snapshot
                .services
                .iter()
                .filter(|service| service.offer.active)
                .map(|service| ShopService {
                    slug: service.offer.slug.clone(),
                    name: service.offer.name.clone(),
                    description: service.offer.description.clone(),
                    pricing_type: service.offer.pricing.kind(),
                    price_idr: service.offer.pricing.price(),
                    packages: service.offer.pricing.packages().map(<[_]>::to_vec),
                })
                .collect(),
        }
    }
}

/// An API key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct KeyView {
    pub id: KeyId,
    pub name: String,
    pub key_prefix: String,
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl From<&KeyRecord> for KeyView {
    fn from(key: &KeyRecord) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            key_prefix: key.prefix.clone(),
            last_used_at: key.last_used_at,
            created_at: key.created_at,
        }
    }
}

/// A new API key, with the key itself, this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct NewKeyView {
    #[serde(flatten)]
    pub shown: KeyView,
    pub key: ApiKey,
}

impl Outcome for NewKeyView {
    const KIND: &'static str = "new_key";
    const REPEATABLE: bool = false;
}

/// A subscription as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct SubscriptionView {
    pub id: SubscriptionId,
    pub url: String,
    pub events: Vec<EventFilter>,
    pub active: bool,
    pub created_at: Timestamp,
}

impl Outcome for SubscriptionView {
    const KIND: &'static str = "subscription";
}

impl From<&Subscription> for SubscriptionView {
    fn from(subscription: &Subscription) -> Self {
        Self {
            id: subscription.id,
            url: subscription.state.url.clone(),
            events: subscription.state.events.clone(),
            active: subscription.state.active,
            created_at: subscription.created_at,
        }
    }
}

/// A new subscription, with its secret, this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct NewSubscriptionView {
    #[serde(flatten)]
    pub shown: SubscriptionView,
    pub secret: WebhookSecret,
}

impl Outcome for NewSubscriptionView {
    const KIND: &'static str = "new_subscription";
    const REPEATABLE: bool = false;
}

/// A delivery with its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct DeliveryView {
    pub id: DeliveryId,
    pub subscription_id: SubscriptionId,
    pub event_id: EventId,
    pub r#type: EventType,
    pub body: String,
    pub status: EffectStatus,
    pub attempts: u32,
    pub next_retry_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub response_code: Option<u16>,
    pub last_error: Option<String>,
    pub attempt_log: Vec<Attempt>,
}

impl Outcome for DeliveryView {
    const KIND: &'static str = "delivery";
}

impl From<&DeliveryRecord> for DeliveryView {
    fn from(record: &DeliveryRecord) -> Self {
        let last = record.attempts.last();
        let delivered = record.attempts.iter().rfind(|attempt| attempt.status == EffectStatus::Succeeded);
        Self {
            id: record.id,
            subscription_id: record.subscription_id,
            event_id: record.event_id,
            r#type: record.event_type,
            body: record.body.clone(),
            status: record.status,
            attempts: last.map_or(0, |attempt| attempt.attempt_number),
            next_retry_at: record.next_attempt_at,
            last_attempt_at: last.map(|attempt| attempt.attempted_at),
            delivered_at: delivered
                .map(|attempt| attempt.attempted_at.plus(std::time::Duration::from_millis(attempt.duration_ms))),
            response_code: last.and_then(|attempt| attempt.response_code),
            last_error: last.and_then(|attempt| attempt.error.clone()),
            attempt_log: record.attempts.clone(),
        }
    }
}

/// The modules, their switches and whether they can be switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModulesView {
    /// The switches.
    pub modules: Modules,
    /// The merchant's account at Plugipay, once provisioned.
    pub plugipay_account_id: Option<String>,
    /// Always null: marketing is out of scope.
    pub ripplo_account_id: Option<String>,
    /// Whether this installation has what the module needs.
    pub available: Modules,
}

impl Outcome for ModulesView {
    const KIND: &'static str = "modules";
}

impl ModulesView {
    /// Of this account, on an installation with these modules.
    #[must_use]
    pub fn new(account: &Account, available: Modules) -> Self {
        Self {
            modules: account.state.modules,
            plugipay_account_id: account.state.plugipay_account_id.clone(),
            ripplo_account_id: None,
            available,
        }
    }
}

/// A checkout session to send the buyer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckoutView {
    /// Its id at Plugipay.
    pub checkout_session_id: SessionId,
    /// Where the buyer pays.
    pub hosted_url: String,
}

/// The seller's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct BalanceView {
    pub balance: i64,
    pub currency: &'static str,
    pub by_code: Vec<CodeBalanceView>,
}

/// The legs of one code on the seller's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct CodeBalanceView {
    pub code: EntryCode,
    pub debits: i64,
    pub credits: i64,
    pub balance: i64,
    pub currency: &'static str,
}

/// The currency of everything.
pub const CURRENCY: &str = "IDR";

impl BalanceView {
    /// Of these sums; `None` if they are larger than can be told.
    #[must_use]
    pub fn of(totals: &[CodeTotals]) -> Option<Self> {
        let by_code: Option<Vec<_>> = totals
            .iter()
            .map(|CodeTotals { code, debits, credits }| {
                let balance = credits.checked_sub(*debits)?;
                Some(CodeBalanceView { code: *code, debits: *debits, credits: *credits, balance, currency: CURRENCY })
            })
            .collect();
        let by_code = by_code?;
        let balance = by_code.iter().try_fold(0_i64, |sum, code| sum.checked_add(code.balance))?;
        Some(Self { balance, currency: CURRENCY, by_code })
    }
}

/// A leg on the seller's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct EntryView {
    pub id: EntryId,
    pub tx_id: TransactionId,
    pub code: EntryCode,
    pub direction: Direction,
    pub amount: Rupiah,
    pub currency: &'static str,
    pub source_type: SourceType,
    pub source_id: String,
    pub description: Option<String>,
    pub created_at: Timestamp,
}

impl From<&LedgerEntry> for EntryView {
    fn from(entry: &LedgerEntry) -> Self {
        Self {
            id: entry.id,
            tx_id: entry.tx_id,
            code: entry.code,
            direction: entry.direction,
            amount: entry.amount,
            currency: CURRENCY,
            source_type: entry.source_type,
            source_id: entry.source_id.clone(),
            description: entry.description.clone(),
            created_at: entry.created_at,
        }
    }
}

/// An exception as its seller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct ExceptionView {
    pub id: ExceptionId,
    pub kind: ExceptionKind,
    pub order_id: OrderId,
    pub checkout_session_id: SessionId,
    pub amount: Rupiah,
    pub status: ExceptionStatus,
    pub note: Option<String>,
    pub created_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// The adjustment that settled it; left out where none was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adjustment_id: Option<AdjustmentId>,
}

impl Outcome for ExceptionView {
    const KIND: &'static str = "exception";
}

impl From<&PaymentException> for ExceptionView {
    fn from(exception: &PaymentException) -> Self {
        let PaymentException { id, kind, order_id, session_id, amount, created_at, state, .. } = exception;
        Self {
            id: *id,
            kind: *kind,
            order_id: *order_id,
            checkout_session_id: session_id.clone(),
            amount: *amount,
            status: state.status,
            note: state.note.clone(),
            created_at: *created_at,
            resolved_at: state.resolved_at,
            adjustment_id: state.adjustment_id,
        }
    }
}

/// A payout, as its seller and the operators see it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct PayoutView {
    pub id: PayoutId,
    pub account_id: AccountId,
    pub amount: Rupiah,
    pub currency: Cow<'static, str>,
    pub status: PayoutStatus,
    pub method: Cow<'static, str>,
    #[serde(flatten)]
    pub bank: BankDetails,
    pub note: Option<String>,
    pub reference: Option<String>,
    pub failure_reason: Option<String>,
    pub processed_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Outcome for PayoutView {
    const KIND: &'static str = "payout";
}

/// Without what people wrote: bank details, notes and references.
impl fmt::Debug for PayoutView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, amount, status, .. } = self;
        write!(formatter, "PayoutView({id}, {amount}, {}, …)", status.as_str())
    }
}

impl From<&Payout> for PayoutView {
    fn from(payout: &Payout) -> Self {
        let Payout { id, account_id, amount, bank, note, created_at, state } = payout;
        Self {
            id: *id,
            account_id: *account_id,
            amount: *amount,
            currency: CURRENCY.into(),
            status: state.status,
            method: "manual".into(),
            bank: bank.clone(),
            note: note.clone(),
            reference: state.reference.clone(),
            failure_reason: state.failure_reason.clone(),
            processed_at: state.processed_at,
            completed_at: state.completed_at,
            created_at: *created_at,
            updated_at: state.updated_at,
        }
    }
}

/// What a seller can draw on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the wire contract's, and are documented on the domain's types")]
pub struct PayoutBalanceView {
    pub ledger_balance: i64,
    pub pending: Rupiah,
    pub locked: Rupiah,
    pub available: i64,
    pub currency: &'static str,
}

impl From<Balance> for PayoutBalanceView {
    fn from(balance: Balance) -> Self {
        Self {
            ledger_balance: balance.ledger,
            pending: balance.in_flight,
            locked: balance.in_flight,
            available: balance.available(),
            currency: CURRENCY,
        }
    }
}

/// The account that payouts go to by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BankAccountView {
    /// Where payouts go, as far as it is known.
    #[serde(flatten)]
    pub details: DefaultDetails,
    /// Whether a payout can go there.
    pub configured: bool,
}

impl Outcome for BankAccountView {
    const KIND: &'static str = "bank_account";
}

impl From<DefaultDetails> for BankAccountView {
    fn from(details: DefaultDetails) -> Self {
        Self { configured: details.complete().is_some(), details }
    }
}

/// An adjustment, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "documented on the domain's type")]
pub struct AdjustmentView {
    pub id: AdjustmentId,
    pub account_id: AccountId,
    pub direction: Direction,
    pub amount: Rupiah,
    pub currency: &'static str,
    pub reason: String,
    pub reference: String,
    pub created_at: Timestamp,
}

impl From<&Adjustment> for AdjustmentView {
    fn from(adjustment: &Adjustment) -> Self {
        let Adjustment { id, account_id, direction, amount, reason, reference, created_at, .. } = adjustment;
        Self {
            id: *id,
            account_id: *account_id,
            direction: *direction,
            amount: *amount,
            currency: CURRENCY,
            reason: reason.clone(),
            reference: reference.clone(),
            created_at: *created_at,
        }
    }
}
