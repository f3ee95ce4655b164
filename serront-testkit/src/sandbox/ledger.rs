//! The ledger of a merchant: two entries for each paid session, and the entries that a test posts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use serront_core::funds::ledger::Direction;
use serront_core::primitives::time::Timestamp;

/// Code of the merchant's side.
pub(super) const SALE: &str = "sale";
/// Code of the other side.
pub(super) const CLEARING: &str = "clearing";
/// Source of both entries.
pub(super) const SESSION: &str = "checkout_session";

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) account_id: String,
    pub(super) tx_id: String,
    #[serde(flatten)]
    pub(super) posted: SandboxEntry,
    pub(super) posted_at: Timestamp,
}

/// An entry of a merchant's ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxEntry {
    /// Code, such as `sale` or `refund`.
    pub code: String,
    /// Debit or credit.
    pub direction: Direction,
    /// Amount in whole units of the currency.
    pub amount: i64,
    /// Currency, such as `IDR`.
    pub currency: String,
    /// Type of the source, such as `checkout_session`.
    pub source_type: String,
    /// Id of the source.
    pub source_id: String,
    /// Description for people.
    pub memo: Option<String>,
}

/// Totals in rupiah by code. Entries in other currencies are listed but not added.
pub(super) fn balances<'e>(entries: impl Iterator<Item = &'e Entry>) -> Value {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for entry in entries.map(|entry| &entry.posted).filter(|entry| entry.currency == "IDR") {
        let (debits, credits) = sums.entry(&entry.code).or_default();
        let sum = match entry.direction {
            Direction::Debit => debits,
            Direction::Credit => credits,
        };
        *sum = sum.saturating_add(entry.amount);
    }
    sums.into_iter()
        .map(|(code, (debits, credits))| {
            json!({ "code": code, "debits": debits, "credits": credits, "balance": credits.saturating_sub(debits) })
        })
        .collect()
}

/// The balance available for payouts. The sandbox serves no payouts, so nothing is locked.
pub(super) fn payout_balance<'e>(entries: impl Iterator<Item = &'e Entry>) -> Value {
    let sales = entries.map(|entry| &entry.posted).filter(|entry| entry.code == SALE && entry.currency == "IDR");
    let balance = sales.fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
    json!({ "ledgerBalance": balance, "locked": 0, "available": balance, "currency": "IDR" })
}
