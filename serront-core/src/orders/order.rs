//! The order, its work track, and a buyer's input.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounts::key::AccessToken;
use crate::orders::instructions::PaymentSettings;
use crate::orders::payment::PaymentStatus;
use crate::primitives::ids::{AccountId, OrderId, ServiceId};
use crate::primitives::macros::{named_enum, redacted_debug};
use crate::primitives::money::Rupiah;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text::{self, EmailAddress, Slug};
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

named_enum! {
    /// The work track. Mind the spelling: an order is `canceled`, a payout `cancelled`.
    pub enum WorkStatus {
        /// Placed; the seller has not answered yet.
        Requested = "requested",
        /// The seller accepted the order.
        Confirmed = "confirmed",
        /// The seller refused the order. Final.
        Declined = "declined",
        /// The seller is working on it.
        InProgress = "in_progress",
        /// The seller has delivered the work.
        Delivered = "delivered",
        /// The order is finished. Final.
        Completed = "completed",
        /// The order was canceled. Final.
        Canceled = "canceled",
    }
}

impl WorkStatus {
    /// Whether the order was declined or canceled. Closed orders cannot be paid online.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Declined | Self::Canceled)
    }

    /// The transition table of the work track (wire contract, section 2).
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`] for every pair that the contract does not list, and from a status to itself.
    pub fn go(self, to: Self) -> Result<Self, Rejection> {
        use WorkStatus::{Canceled, Completed, Confirmed, Declined, Delivered, InProgress, Requested};
        match (self, to) {
            (Requested, Confirmed | Declined | Canceled)
            | (Confirmed, InProgress | Canceled)
            | (InProgress, Delivered | Canceled)
            | (Delivered, Completed | Canceled) => Ok(to),
            (Requested, Requested | InProgress | Delivered | Completed)
            | (Confirmed, Requested | Confirmed | Declined | Delivered | Completed)
            | (InProgress, Requested | Confirmed | Declined | InProgress | Completed)
            | (Delivered, Requested | Confirmed | Declined | InProgress | Delivered)
            | (Declined | Completed | Canceled, _) => {
                Err(Rejection::InvalidTransition { track: "the order", from: self.as_str(), to: to.as_str() })
            }
        }
    }
}

/// Numbers of an account's orders by work status, updated with each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field counts the status of the same name")]
pub struct WorkCounts {
    pub requested: u64,
    pub confirmed: u64,
    pub declined: u64,
    pub in_progress: u64,
    pub delivered: u64,
    pub completed: u64,
    pub canceled: u64,
}

impl WorkCounts {
    /// The count of one status.
    pub const fn of(&mut self, status: WorkStatus) -> &mut u64 {
        match status {
            WorkStatus::Requested => &mut self.requested,
            WorkStatus::Confirmed => &mut self.confirmed,
            WorkStatus::Declined => &mut self.declined,
            WorkStatus::InProgress => &mut self.in_progress,
            WorkStatus::Delivered => &mut self.delivered,
            WorkStatus::Completed => &mut self.completed,
            WorkStatus::Canceled => &mut self.canceled,
        }
    }
}

/// An order's number, counted from 1 per account without gaps. The storage assigns it inside the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNumber(pub u32);

impl fmt::Display for OrderNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

named_enum! {
    /// The buyer's language: an ISO 639-1 code.
    #[derive(Default)]
    pub enum Language {
        /// Indonesian, the default.
        #[default]
        Id = "id",
        /// English.
        En = "en",
    }
}

/// Who ordered. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Buyer {
    pub name: String,
    /// Receives the payment confirmation.
    pub email: EmailAddress,
    /// As typed, without invisible characters.
    pub phone: Option<String>,
}

redacted_debug!(Buyer);

/// An order as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Order {
    pub id: OrderId,
    pub account_id: AccountId,
    pub service_id: ServiceId,
    /// The buyer's only credential.
    pub access_token: AccessToken,
    pub buyer: Buyer,
    /// `None` if the service has no packages.
    pub package_name: Option<String>,
    /// When the buyer would like it, as typed: a date or an RFC 3339 time.
    pub preferred_date: Option<String>,
    /// The buyer's comment.
    pub notes: Option<String>,
    /// The language of the buyer's mails.
    pub language: Language,
    pub created_at: Timestamp,
    pub state: OrderState,
}

/// The mutable part of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct OrderState {
    /// Counts writes of the order and of everything that belongs to it.
    pub version: Version,
    pub status: WorkStatus,
    /// The status over all payments of the order, stored here so that lists can filter by it.
    pub payment_status: PaymentStatus,
    /// The seller's quote; zero if there is none yet.
    pub quoted_price: Rupiah,
    pub updated_at: Timestamp,
}

/// A buyer's order, not yet validated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderInput {
    /// One of the storefront's services.
    pub service_slug: String,
    /// Required if the service has packages, refused otherwise.
    #[serde(default)]
    pub package_name: Option<String>,
    /// 1–100 characters.
    pub buyer_name: String,
    /// An e-mail address of at most 254 bytes.
    pub buyer_email: String,
    /// Up to 100 characters.
    #[serde(default)]
    pub buyer_phone: Option<String>,
    /// A date (`2026-11-22`) or a point in time (RFC 3339).
    #[serde(default)]
    pub preferred_date: Option<String>,
    /// Up to 2,000 characters.
    #[serde(default)]
    pub notes: Option<String>,
    /// For the marketing module, which is not implemented: refused unless null or blank.
    #[serde(default)]
    pub discount_code: Option<String>,
}

/// The validated part of a buyer's order that does not depend on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of `Order`")]
pub struct OrderRequest {
    pub buyer: Buyer,
    pub preferred_date: Option<String>,
    pub notes: Option<String>,
}

impl OrderInput {
    /// Validates the fields that do not depend on the service.
    ///
    /// # Errors
    /// [`Invalid`] naming the first offending field.
    pub fn validate(&self) -> Result<OrderRequest, Invalid> {
        let buyer = Buyer {
            name: text::name("buyerName", &self.buyer_name)?,
            email: EmailAddress::parse("buyerEmail", &self.buyer_email)?,
            phone: text::optional_name("buyerPhone", self.buyer_phone.as_deref().map(text::visible).as_deref())?,
        };
        let date = self.preferred_date.as_deref().map(text::visible);
        let preferred_date = text::optional_name("preferredDate", date.as_deref())?;
        if preferred_date.as_deref().is_some_and(|date| {
            // chrono also accepts single digits and inner blanks; comparing the formatted date excludes both.
            let is_date = date.parse::<chrono::NaiveDate>().is_ok_and(|day| day.to_string() == date);
            !is_date && chrono::DateTime::parse_from_rfc3339(date).is_err()
        }) {
            return Err(Invalid::new("preferredDate", "must be a date such as 2026-11-22, or RFC 3339"));
        }
        let notes = text::optional_prose("notes", self.notes.as_deref())?;
        if self.discount_code.as_deref().is_some_and(|code| !text::is_blank(code)) {
            return Err(Invalid::new("discountCode", "is not supported: there are no discount codes"));
        }
        Ok(OrderRequest { buyer, preferred_date, notes })
    }
}

/// What an order shows of its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct OrderedService {
    pub id: ServiceId,
    /// Unique within the account.
    pub slug: Slug,
    pub name: String,
    pub pricing_type: PricingType,
}

/// What an order shows of its seller.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct SellerProfile {
    /// The storefront's slug.
    pub slug: Slug,
    pub display_name: String,
    /// Whether the seller wants the branding hidden; effective only on tiers that allow it.
    pub hide_branding: bool,
    pub payment: PaymentSettings,
}

/// The kind of pricing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PricingType {
    /// One price.
    Fixed,
    /// A price per hour.
    Hourly,
    /// One of several packages.
    Package,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_track_follows_the_contract() {
        let table: Vec<String> = WorkStatus::ALL
            .into_iter()
            .map(|from| {
                let reachable: Vec<_> =
                    WorkStatus::ALL.into_iter().filter(|to| from.go(*to).is_ok()).map(WorkStatus::as_str).collect();
                format!("{}: {}", from.as_str(), reachable.join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "requested: confirmed declined canceled",
                "confirmed: in_progress canceled",
                "declined: ",
                "in_progress: delivered canceled",
                "delivered: completed canceled",
                "completed: ",
                "canceled: ",
            ]
        );
    }

    #[test]
    fn the_first_invalid_field_is_named() {
        let good = OrderInput {
            service_slug: "logo".into(),
            buyer_name: "Budi".into(),
            buyer_email: "budi@example.com".into(),
            preferred_date: Some("2026-12-24".into()),
            ..OrderInput::default()
        };
        assert!(good.validate().is_ok());
        // Copied from a contact or a calendar (#16).
        let copied = OrderInput {
            buyer_phone: Some("\u{202a}0812 0000\u{202c}".into()),
            preferred_date: Some("\u{200e}2026\u{200e}-12-24".into()),
            ..good.clone()
        };
        let copied = copied.validate().unwrap();
        assert_eq!(copied.buyer.phone.as_deref(), Some("0812 0000"));
        assert_eq!(copied.preferred_date.as_deref(), Some("2026-12-24"));
        for (bad, param) in [
            (OrderInput { buyer_name: "\u{200b}".into(), ..good.clone() }, "buyerName"),
            (OrderInput { buyer_name: " ".into(), ..good.clone() }, "buyerName"),
            (OrderInput { buyer_email: "budi".into(), ..good.clone() }, "buyerEmail"),
            (OrderInput { buyer_phone: Some("1".repeat(101)), ..good.clone() }, "buyerPhone"),
            (OrderInput { preferred_date: Some("soon".into()), ..good.clone() }, "preferredDate"),
            (OrderInput { preferred_date: Some("2026-1-2".into()), ..good.clone() }, "preferredDate"),
            (OrderInput { notes: Some("\0".into()), ..good.clone() }, "notes"),
            (OrderInput { discount_code: Some("WELCOME10".into()), ..good.clone() }, "discountCode"),
        ] {
            assert_eq!(bad.validate().unwrap_err().param, param);
        }
    }
}
