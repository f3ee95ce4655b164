//! Balance, ledger entries, payouts and adjustments.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::changes::idempotency::Outcome;
use crate::funds::balance::Balance;
use crate::funds::ledger::{Adjustment, CodeTotals, Direction, EntryCode, LedgerEntry, SourceType};
use crate::funds::payout::{BankDetails, DefaultDetails, Payout, PayoutStatus};
use crate::primitives::ids::{AccountId, AdjustmentId, EntryId, PayoutId, TransactionId};
use crate::primitives::money::{CURRENCY, Rupiah};
use crate::primitives::time::Timestamp;

/// The seller's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceView {
    pub balance: i64,
    pub currency: &'static str,
    pub by_code: Vec<CodeBalanceView>,
}

/// The sums of the seller's legs with one code, in rupiah.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CodeBalanceView {
    pub code: EntryCode,
    pub debits: i64,
    pub credits: i64,
    pub balance: i64,
    pub currency: &'static str,
}

impl BalanceView {
    /// The balance of these sums; `None` on overflow.
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

/// A leg of a ledger transaction on the seller's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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

/// A payout, as its seller and the operators see it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

/// Leaves out what people wrote: bank details, notes and references.
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

/// What a seller can have paid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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
    #[serde(flatten)]
    pub details: DefaultDetails,
    /// Whether the details are complete, so that a payout can go there.
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
