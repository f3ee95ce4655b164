//! The order and its work track.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounts::key::AccessToken;
use crate::orders::instructions::PaymentSettings;
use crate::orders::payment::PaymentStatus;
use crate::primitives::ids::{AccountId, OrderId, ServiceId};
use crate::primitives::money::Rupiah;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text::{self, EmailAddress, Slug};
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// The work track. Mind the spelling: an order is `canceled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkStatus {
    /// Placed; the seller has not answered.
    Requested,
    /// The seller will do it.
    Confirmed,
    /// The seller will not.
    Declined,
    /// Being done.
    InProgress,
    /// Handed over.
    Delivered,
    /// Finished.
    Completed,
    /// Called off.
    Canceled,
}

impl WorkStatus {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Requested,
        Self::Confirmed,
        Self::Declined,
        Self::InProgress,
        Self::Delivered,
        Self::Completed,
        Self::Canceled,
    ];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Confirmed => "confirmed",
            Self::Declined => "declined",
            Self::InProgress => "in_progress",
            Self::Delivered => "delivered",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the order was called off by either side. Closed orders are not paid online.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Declined | Self::Canceled)
    }

    /// The one transition of the work track (wire contract, section 2).
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`] for every pair that the contract does not list, staying put included.
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

/// How many orders of one account are in each state, kept as they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the state of the same name")]
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
    /// The count of one state.
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

/// An order's number: 1, 2, … per account, without gaps, assigned by the storage inside the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNumber(pub u32);

impl fmt::Display for OrderNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// The language that the buyer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Indonesian: the default.
    #[default]
    Id,
    /// English.
    En,
}

impl Language {
    /// The language's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::En => "en",
        }
    }

    /// The language of this code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Id, Self::En].into_iter().find(|language| language.as_str() == code)
    }
}

/// Who ordered. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    /// The buyer's name.
    pub name: String,
    /// Where the confirmation goes.
    pub email: EmailAddress,
    /// As typed.
    pub phone: Option<String>,
}

impl fmt::Debug for Buyer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Buyer(…)")
    }
}

/// An order as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which order.
    pub id: OrderId,
    /// Whose.
    pub account_id: AccountId,
    /// Of which service.
    pub service_id: ServiceId,
    /// The buyer's only credential.
    pub access_token: AccessToken,
    /// Who ordered.
    pub buyer: Buyer,
    /// Which package, where the service has them.
    pub package_name: Option<String>,
    /// When the buyer would like it, as typed: a date or a point in time.
    pub preferred_date: Option<String>,
    /// What the buyer added.
    pub notes: Option<String>,
    /// The language of the buyer's mails.
    pub language: Language,
    /// When it was placed.
    pub created_at: Timestamp,
    /// What may change.
    pub state: OrderState,
}

/// The part of an order that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    /// How often the order or anything under it was written.
    pub version: Version,
    /// The work track.
    pub status: WorkStatus,
    /// The payment track over all of the order's payments, kept here so that lists can filter by it.
    pub payment_status: PaymentStatus,
    /// The quote; zero means: none yet.
    pub quoted_price: Rupiah,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// A buyer's order, not yet validated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderInput {
    /// Which of the storefront's services.
    pub service_slug: String,
    /// Which package; required where the service has packages, and only there.
    #[serde(default)]
    pub package_name: Option<String>,
    /// 1–100 characters.
    pub buyer_name: String,
    /// An e-mail address.
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
    /// Belongs to the marketing module, which is out of scope: refused unless null or blank.
    #[serde(default)]
    pub discount_code: Option<String>,
}

/// The validated part of a buyer's order that does not depend on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    /// Who orders.
    pub buyer: Buyer,
    /// When it is wanted.
    pub preferred_date: Option<String>,
    /// What the buyer added.
    pub notes: Option<String>,
}

impl OrderInput {
    /// Validates what does not depend on the service.
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
            // chrono also reads single digits and blanks in between; a date that is written back the same has neither.
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

/// What an order shows of the service that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderedService {
    /// The service's id.
    pub id: ServiceId,
    /// Unique within the account.
    pub slug: Slug,
    /// The service's name, for people.
    pub name: String,
    /// How the service is priced.
    pub pricing_type: PricingType,
}

/// What an order shows of its seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SellerProfile {
    /// The address of the seller's page.
    pub slug: Slug,
    /// The seller's name, for buyers.
    pub display_name: String,
    /// Whether the seller wants the branding hidden (effective only on a tier that allows it).
    pub hide_branding: bool,
    /// Where the buyer pays by transfer.
    pub payment: PaymentSettings,
}

/// How a service is priced, on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PricingType {
    /// One price.
    Fixed,
    /// A price an hour.
    Hourly,
    /// One of several packages.
    Package,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_track_goes_where_the_contract_says() {
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
    fn an_order_names_its_bad_field() {
        let good = OrderInput {
            service_slug: "logo".into(),
            buyer_name: "Budi".into(),
            buyer_email: "budi@example.com".into(),
            preferred_date: Some("2026-12-24".into()),
            ..OrderInput::default()
        };
        assert!(good.validate().is_ok());
        // Copied out of a contact or a calendar (#16).
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
