//! Payouts: transfers of the seller's money to the seller's bank account. The seller requests one, and an operator
//! transfers the money manually and records the result.
//!
//! ```text
//! pending ─▶ in_transit ─▶ paid
//!    │ └─────────┴──▶ failed
//!    └▶ cancelled
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::accounts::actor::Actor;
use crate::orders::instructions::bank_account_number;
use crate::primitives::ids::{AccountId, AuditId, PayoutId};
use crate::primitives::macros::{named_enum, redacted_debug};
use crate::primitives::money::{CURRENCY, Rupiah};
use crate::primitives::patch::given;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

named_enum! {
    /// A payout's status. Mind the spelling: a payout is `cancelled`, an order `canceled`.
    pub enum PayoutStatus {
        /// Requested; no operator has started the transfer.
        Pending = "pending",
        /// An operator is transferring the money.
        InTransit = "in_transit",
        /// An operator transferred the money, and the payout is posted to the ledger. Final.
        Paid = "paid",
        /// The seller cancelled the request. Final.
        Cancelled = "cancelled",
        /// An operator could not transfer the money. Final.
        Failed = "failed",
    }
}

/// An action on a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayoutAct {
    /// The seller cancels the request.
    Cancel,
    /// An operator starts the transfer.
    MarkInTransit,
    /// An operator has transferred the money.
    MarkPaid,
    /// An operator could not transfer the money.
    MarkFailed,
}

impl PayoutAct {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Cancel, Self::MarkInTransit, Self::MarkPaid, Self::MarkFailed];

    const fn target(self) -> PayoutStatus {
        match self {
            Self::Cancel => PayoutStatus::Cancelled,
            Self::MarkInTransit => PayoutStatus::InTransit,
            Self::MarkPaid => PayoutStatus::Paid,
            Self::MarkFailed => PayoutStatus::Failed,
        }
    }
}

impl PayoutStatus {
    /// Whether the amount is reserved: neither available nor posted.
    #[must_use]
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Pending | Self::InTransit)
    }

    /// The transition table of payouts.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`] for every other pair.
    pub const fn apply(self, act: PayoutAct) -> Result<Self, Rejection> {
        match (self, act) {
            (Self::Pending, PayoutAct::Cancel | PayoutAct::MarkInTransit | PayoutAct::MarkFailed)
            | (Self::InTransit, PayoutAct::MarkPaid | PayoutAct::MarkFailed) => Ok(act.target()),
            (Self::Pending, PayoutAct::MarkPaid)
            | (Self::InTransit, PayoutAct::Cancel | PayoutAct::MarkInTransit)
            | (
                Self::Paid | Self::Cancelled | Self::Failed,
                PayoutAct::Cancel | PayoutAct::MarkInTransit | PayoutAct::MarkPaid | PayoutAct::MarkFailed,
            ) => Err(Rejection::InvalidTransition {
                track: "the payout",
                from: self.as_str(),
                to: act.target().as_str(),
            }),
        }
    }
}

/// A payout's destination. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BankDetails {
    /// The bank's code in its clearing system, if the seller gave one.
    pub bank_code: Option<String>,
    /// 1–100 characters.
    pub bank_name: String,
    /// Digits, spaces and dashes, as typed.
    pub bank_account_number: String,
    /// 1–100 characters.
    pub bank_account_holder: String,
}

/// The destination of payouts whose request names none. Complete once all parts except the code are set. `Debug` hides
/// it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of `BankDetails`")]
pub struct DefaultDetails {
    pub bank_code: Option<String>,
    pub bank_name: Option<String>,
    pub bank_account_number: Option<String>,
    pub bank_account_holder: Option<String>,
}

redacted_debug!(BankDetails, DefaultDetails, BankAccountInput);

impl DefaultDetails {
    /// The complete details; `None` if a part except the code is missing.
    #[must_use]
    pub fn complete(&self) -> Option<BankDetails> {
        Some(BankDetails {
            bank_code: self.bank_code.clone(),
            bank_name: self.bank_name.clone()?,
            bank_account_number: self.bank_account_number.clone()?,
            bank_account_holder: self.bank_account_holder.clone()?,
        })
    }
}

/// An account's default destination, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct DefaultBankAccount {
    pub account_id: AccountId,
    pub version: Version,
    pub details: DefaultDetails,
}

/// Changes to the default destination, not yet validated: a missing field is kept, null clears it. Changing the bank's
/// name without giving a code clears the code. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BankAccountInput {
    /// 1–100 characters.
    #[serde(default, deserialize_with = "given")]
    pub bank_code: Option<Option<String>>,
    /// 1–100 characters.
    #[serde(default, deserialize_with = "given")]
    pub bank_name: Option<Option<String>>,
    /// Digits, spaces and dashes, 1–100 characters.
    #[serde(default, deserialize_with = "given")]
    pub bank_account_number: Option<Option<String>>,
    /// 1–100 characters.
    #[serde(default, deserialize_with = "given")]
    pub bank_account_holder: Option<Option<String>>,
}

/// Parses a part of bank details; a blank one counts as `None`.
fn part(
    param: &str,
    raw: Option<&str>,
    parse: impl FnOnce(&str, &str) -> Result<String, Invalid>,
) -> Result<Option<String>, Invalid> {
    raw.filter(|raw| !text::is_blank(raw)).map(|raw| parse(param, raw)).transpose()
}

impl BankAccountInput {
    /// Validates the changes and returns the complete new details.
    ///
    /// # Errors
    /// [`Invalid`] naming the first invalid field, or naming none if no field was given.
    pub fn validate(&self, before: &DefaultDetails) -> Result<DefaultDetails, Invalid> {
        if *self == Self::default() {
            return Err(Invalid::new("", "must change something"));
        }
        type Parse = fn(&str, &str) -> Result<String, Invalid>;
        let field = |param: &str, given: &Option<Option<String>>, kept: &Option<String>, parse: Parse| match given {
            Some(raw) => part(param, raw.as_deref(), parse),
            None => Ok(kept.clone()),
        };
        let bank_name = field("bankName", &self.bank_name, &before.bank_name, text::name)?;
        // A code belongs to one bank, so it is not kept for another.
        let kept_code = if bank_name == before.bank_name { before.bank_code.clone() } else { None };
        Ok(DefaultDetails {
            bank_code: field("bankCode", &self.bank_code, &kept_code, text::name)?,
            bank_name,
            bank_account_number: field(
                "bankAccountNumber",
                &self.bank_account_number,
                &before.bank_account_number,
                bank_account_number,
            )?,
            bank_account_holder: field(
                "bankAccountHolder",
                &self.bank_account_holder,
                &before.bank_account_holder,
                text::name,
            )?,
        })
    }
}

/// A request for a payout, not yet validated. Bank details must be complete or left out.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayoutInput {
    /// Whole rupiah, at least 1.
    pub amount: i64,
    /// `IDR`, or left out.
    #[serde(default)]
    pub currency: Option<String>,
    /// 1–100 characters.
    #[serde(default)]
    pub bank_code: Option<String>,
    /// 1–100 characters.
    #[serde(default)]
    pub bank_name: Option<String>,
    /// Digits, spaces and dashes, 1–100 characters.
    #[serde(default)]
    pub bank_account_number: Option<String>,
    /// 1–100 characters.
    #[serde(default)]
    pub bank_account_holder: Option<String>,
    /// Up to 2,000 characters.
    #[serde(default)]
    pub note: Option<String>,
}

impl fmt::Debug for PayoutInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PayoutInput({}, …)", self.amount)
    }
}

/// A request for a payout, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PayoutRequest {
    /// Never zero.
    pub amount: Rupiah,
    /// The destination; `None` for the default one.
    pub bank: Option<BankDetails>,
    pub note: Option<String>,
}

impl PayoutInput {
    /// Validates a request.
    ///
    /// # Errors
    /// [`Invalid`] naming the first invalid field, or the first missing part of incomplete bank details.
    pub fn validate(&self) -> Result<PayoutRequest, Invalid> {
        let amount = Rupiah::new(self.amount).ok().filter(|amount| !amount.is_zero()).ok_or_else(|| {
            Invalid::new("amount", format!("must be a whole number of rupiah from 1 to {}", Rupiah::MAX.get()))
        })?;
        if self.currency.as_deref().is_some_and(|currency| currency != CURRENCY) {
            return Err(Invalid::new("currency", "must be IDR"));
        }
        let parts = DefaultDetails {
            bank_code: part("bankCode", self.bank_code.as_deref(), text::name)?,
            bank_name: part("bankName", self.bank_name.as_deref(), text::name)?,
            bank_account_number: part("bankAccountNumber", self.bank_account_number.as_deref(), bank_account_number)?,
            bank_account_holder: part("bankAccountHolder", self.bank_account_holder.as_deref(), text::name)?,
        };
        let bank = if parts == DefaultDetails::default() {
            None
        } else {
            let DefaultDetails { bank_name, bank_account_number, bank_account_holder, .. } = &parts;
            let missing = [
                ("bankName", bank_name),
                ("bankAccountNumber", bank_account_number),
                ("bankAccountHolder", bank_account_holder),
            ]
            .into_iter()
            .find(|(_, given)| given.is_none());
            if let Some((param, _)) = missing {
                return Err(Invalid::new(param, "is required with the other bank details"));
            }
            parts.complete()
        };
        Ok(PayoutRequest { amount, bank, note: text::optional_prose("note", self.note.as_deref())? })
    }
}

/// A payout as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Payout {
    pub id: PayoutId,
    pub account_id: AccountId,
    /// Never zero.
    pub amount: Rupiah,
    /// A copy of the destination at the time of the request.
    pub bank: BankDetails,
    pub note: Option<String>,
    pub created_at: Timestamp,
    pub state: PayoutState,
}

/// The mutable part of a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PayoutState {
    pub version: Version,
    pub status: PayoutStatus,
    /// The bank transfer's reference; `None` until an operator gives one.
    pub reference: Option<String>,
    /// The operator's reason, if the payout failed and one was given.
    pub failure_reason: Option<String>,
    /// When an operator first acted on it.
    pub processed_at: Option<Timestamp>,
    /// When it was paid.
    pub completed_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

/// One step of a payout, recorded permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct PayoutAudit {
    pub id: AuditId,
    pub account_id: AccountId,
    pub payout_id: PayoutId,
    pub at: Timestamp,
    pub actor: Actor,
    /// `None` for the request.
    pub from: Option<PayoutStatus>,
    pub to: PayoutStatus,
    /// The reference, the reason for the failure or the note given with this step.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payouts_follow_one_table() {
        let table: Vec<String> = PayoutStatus::ALL
            .into_iter()
            .map(|from| {
                let row = PayoutAct::ALL.map(|act| from.apply(act).map_or("-", PayoutStatus::as_str));
                format!("{}: {}", from.as_str(), row.join(" "))
            })
            .collect();
        let expected = [
            "pending: cancelled in_transit - failed",
            "in_transit: - - paid failed",
            "paid: - - - -",
            "cancelled: - - - -",
            "failed: - - - -",
        ];
        assert_eq!(table, expected);
    }

    fn input(amount: i64) -> PayoutInput {
        PayoutInput { amount, ..PayoutInput::default() }
    }

    #[test]
    fn the_first_invalid_field_of_a_request_is_named() {
        let whole = PayoutInput {
            bank_name: Some("BCA".into()),
            bank_account_number: Some("123-456".into()),
            bank_account_holder: Some("Renata".into()),
            ..input(1)
        };
        assert!(whole.validate().unwrap().bank.is_some());
        assert_eq!(input(1).validate().unwrap().bank, None);
        for (bad, param) in [
            (input(0), "amount"),
            (input(-1), "amount"),
            (input(1 << 53), "amount"),
            (PayoutInput { currency: Some("USD".into()), ..input(1) }, "currency"),
            (PayoutInput { bank_account_number: Some("12a".into()), ..whole.clone() }, "bankAccountNumber"),
            (PayoutInput { bank_account_holder: None, ..whole.clone() }, "bankAccountHolder"),
            (PayoutInput { bank_code: Some("014".into()), ..input(1) }, "bankName"),
            (PayoutInput { note: Some("x".repeat(2_001)), ..whole.clone() }, "note"),
        ] {
            assert_eq!(bad.validate().unwrap_err().param, param);
        }
        let shown = format!("{whole:?} {:?}", whole.validate().unwrap());
        assert!(!shown.contains("123-456") && !shown.contains("Renata"), "{shown}");
    }

    #[test]
    fn the_default_details_are_completed_step_by_step() {
        let change = |json: &str| serde_json::from_str::<BankAccountInput>(json).unwrap();
        let first =
            change(r#"{"bankName":"BCA","bankAccountNumber":"123"}"#).validate(&DefaultDetails::default()).unwrap();
        assert_eq!(first.complete(), None);
        let second = change(r#"{"bankAccountHolder":"Renata"}"#).validate(&first).unwrap();
        assert!(second.complete().is_some());
        let third = change(r#"{"bankAccountHolder":null}"#).validate(&second).unwrap();
        assert_eq!(third, first);
        assert!(change("{}").validate(&second).is_err());
        let coded = change(r#"{"bankCode":"014"}"#).validate(&second).unwrap();
        let codes = [r#"{"bankName":"BCA"}"#, r#"{"bankName":"BRI"}"#, r#"{"bankName":"BRI","bankCode":"002"}"#]
            .map(|json| change(json).validate(&coded).unwrap().bank_code);
        assert_eq!(codes, [Some("014".into()), None, Some("002".into())]);
        assert_eq!(change(r#"{"bankAccountNumber":"x"}"#).validate(&second).unwrap_err().param, "bankAccountNumber");
    }
}
