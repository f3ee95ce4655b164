//! Orders, as the seller and the buyer see them.

use serde::{Deserialize, Serialize};

use crate::accounts::key::AccessToken;
use crate::changes::idempotency::Outcome;
use crate::orders::instructions::BankAccount;
use crate::orders::order::{Order, OrderNumber, OrderedService, PricingType, WorkStatus};
use crate::orders::payment::{Payment, PaymentStatus};
use crate::primitives::ids::{AccountId, OrderId, ServiceId};
use crate::primitives::money::Rupiah;
use crate::primitives::text::{Slug, WhatsAppNumber};
use crate::primitives::time::Timestamp;
use crate::snapshots::{OrderRow, OrderSnapshot};
use crate::views::accounts::{hides_branding, offers_online_payment};

/// An order as its seller sees it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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
    #[must_use]
    pub fn new(order: &Order, number: OrderNumber, payment: &Payment, service: &OrderedService) -> Self {
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
            service: service.clone(),
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

/// Where and how the buyer pays. Shown only while the payment is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentInstructions {
    pub bank_accounts: Vec<BankAccount>,
    pub instructions: Option<String>,
    pub whatsapp_number: Option<WhatsAppNumber>,
    pub whatsapp_link: Option<String>,
}

/// A service as a buyer's order shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuyerService {
    pub slug: Slug,
    pub name: String,
    pub pricing_type: PricingType,
}

/// A storefront as a buyer's order shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuyerStorefront {
    pub slug: Slug,
    pub display_name: String,
    pub hide_branding: bool,
}

/// An order as its buyer sees it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

impl From<&OrderSnapshot> for BuyerOrder {
    fn from(snapshot: &OrderSnapshot) -> Self {
        let OrderSnapshot { account, seller, order, number, payment, service, .. } = snapshot;
        let state = &order.state;
        let due = payment.state.status != PaymentStatus::PaymentConfirmed;
        let closed = state.status.is_closed();
        let settings = seller.as_ref().map(|seller| seller.payment.clone()).unwrap_or_default();
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
                slug: service.slug.clone(),
                name: service.name.clone(),
                pricing_type: service.pricing_type,
            },
            storefront: seller.as_ref().map(|seller| BuyerStorefront {
                slug: seller.slug.clone(),
                display_name: seller.display_name.clone(),
                hide_branding: hides_branding(account, seller.hide_branding),
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

/// What a buyer receives for placing an order. `number` comes first (see
/// [`crate::orders::marked::MarkedText::from_json`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacedOrder {
    /// `None` only until the commit assigns it.
    pub number: Option<OrderNumber>,
    pub access_token: AccessToken,
    pub quoted_price_idr: Rupiah,
    pub discount_amount_idr: Rupiah,
    /// Not on the wire; for an embedder that uses the order right away.
    #[serde(skip)]
    pub order_id: Option<OrderId>,
}

/// A placed order as an idempotency claim keeps it: with the id, which the wire does not show.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptPlacedOrder {
    // First, because the number's marked place is in it.
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
