//! Payouts: the seller's money on its way to the seller's bank account. The seller asks; an operator transfers by hand and
//! says how it went.
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
use crate::primitives::money::Rupiah;
use crate::primitives::patch::given;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// How far a payout is. Mind the spelling: a payout is `cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    /// Asked for; nobody has begun to transfer it.
    Pending,
    /// An operator is transferring it.
    InTransit,
    /// The money has arrived. It is posted in the ledger from here on.
    Paid,
    /// The seller took it back.
    Cancelled,
    /// It could not be transferred.
    Failed,
}

/// What moves a payout along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayoutAct {
    /// The seller takes it back.
    Cancel,
    /// An operator begins to transfer it.
    MarkInTransit,
    /// An operator has transferred it.
    MarkPaid,
    /// An operator could not transfer it.
    MarkFailed,
}

impl PayoutAct {
    /// Every act.
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
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::InTransit, Self::Paid, Self::Cancelled, Self::Failed];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InTransit => "in_transit",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether its money is neither paid nor available.
    #[must_use]
    pub const fn is_in_flight(self) -> bool {
        matches!(self, Self::Pending | Self::InTransit)
    }

    /// The one table of a payout's life.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`] for every pair that it does not list.
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

/// Where a payout goes. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BankDetails {
    /// The bank's code in its clearing system, where the seller gave one.
    pub bank_code: Option<String>,
    /// The bank.
    pub bank_name: String,
    /// Digits, spaces and dashes, as typed.
    pub bank_account_number: String,
    /// Who holds the account there.
    pub bank_account_holder: String,
}

/// The account that payouts go to if the request names none; incomplete until every part but the code was given. `Debug` shows
/// nothing of it.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultDetails {
    /// The bank's code in its clearing system.
    pub bank_code: Option<String>,
    /// The bank.
    pub bank_name: Option<String>,
    /// Digits, spaces and dashes, as typed.
    pub bank_account_number: Option<String>,
    /// Who holds the account there.
    pub bank_account_holder: Option<String>,
}

impl fmt::Debug for BankDetails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BankDetails(…)")
    }
}

impl fmt::Debug for DefaultDetails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DefaultDetails(…)")
    }
}

impl DefaultDetails {
    /// The details, if they are complete.
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

/// The account that payouts go to by default, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultBankAccount {
    /// Whose.
    pub account_id: AccountId,
    /// How often it was written.
    pub version: Version,
    /// Where payouts go.
    pub details: DefaultDetails,
}

/// Changes to the default account, not yet validated: what is left out stays, null clears. Another bank's name without its code
/// clears the code.
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

impl fmt::Debug for BankAccountInput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BankAccountInput(…)")
    }
}

/// A part of bank details; a blank one counts as none.
fn part(
    param: &str,
    raw: Option<&str>,
    parse: impl FnOnce(&str, &str) -> Result<String, Invalid>,
) -> Result<Option<String>, Invalid> {
    raw.filter(|raw| !text::is_blank(raw)).map(|raw| parse(param, raw)).transpose()
}

impl BankAccountInput {
    /// Validates the changes, and answers the whole of what the account will be.
    ///
    /// # Errors
    /// [`Invalid`] naming the first offending field, or none if no field was given.
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
        // The code is the bank's: another bank does not keep it.
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

/// A request for a payout, not yet validated. Bank details are given whole or left out.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayoutInput {
    /// Whole rupiah, more than nothing.
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
pub struct PayoutRequest {
    /// More than nothing.
    pub amount: Rupiah,
    /// Where to; `None`: the default account.
    pub bank: Option<BankDetails>,
    /// The seller's note.
    pub note: Option<String>,
}

impl PayoutInput {
    /// Validates a request.
    ///
    /// # Errors
    /// [`Invalid`] naming the first offending field: bank details of which a part is missing, too.
    pub fn validate(&self) -> Result<PayoutRequest, Invalid> {
        let amount = Rupiah::new(self.amount).ok().filter(|amount| !amount.is_zero()).ok_or_else(|| {
            Invalid::new("amount", format!("must be a whole number of rupiah from 1 to {}", Rupiah::MAX.get()))
        })?;
        if self.currency.as_deref().is_some_and(|currency| currency != crate::primitives::money::CURRENCY) {
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
                return Err(Invalid::new(param, "is required beside the other bank details"));
            }
            parts.complete()
        };
        Ok(PayoutRequest { amount, bank, note: text::optional_prose("note", self.note.as_deref())? })
    }
}

/// A payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// Which payout.
    pub id: PayoutId,
    /// Whose money.
    pub account_id: AccountId,
    /// How much; never zero.
    pub amount: Rupiah,
    /// Where to, as it was when the payout was asked for.
    pub bank: BankDetails,
    /// The seller's note.
    pub note: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// What may change.
    pub state: PayoutState,
}

/// The part of a payout that may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutState {
    /// How often it was written.
    pub version: Version,
    /// How far it is.
    pub status: PayoutStatus,
    /// The transfer's reference at the bank, once an operator gave it.
    pub reference: Option<String>,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// When an operator first acted on it.
    pub processed_at: Option<Timestamp>,
    /// When it was paid.
    pub completed_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One step of a payout, on record for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutAudit {
    /// Which record.
    pub id: AuditId,
    /// In whose account.
    pub account_id: AccountId,
    /// Of which payout.
    pub payout_id: PayoutId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// From here; `None` where it begins.
    pub from: Option<PayoutStatus>,
    /// To here.
    pub to: PayoutStatus,
    /// The reference, the reason of the failure or the seller's note that came with it.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_of_a_payout_is_one_table() {
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
    fn each_bad_field_of_a_request_is_named() {
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
    fn the_default_account_is_put_together_piece_by_piece() {
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
