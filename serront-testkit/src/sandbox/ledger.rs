//! The ledger of a merchant: two entries for each session that was paid, and what a test posts beside them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use serront_core::funds::ledger::Direction;
use serront_core::primitives::time::Timestamp;

/// What the merchant got.
pub(super) const SALE: &str = "sale";
/// Its counterpart.
pub(super) const CLEARING: &str = "clearing";
/// What both come from.
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

/// What an entry of a merchant's ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxEntry {
    /// What it stands for, such as `sale` or `refund`.
    pub code: String,
    /// On which side.
    pub direction: Direction,
    /// How much, in whole units of the currency.
    pub amount: i64,
    /// Such as `IDR`.
    pub currency: String,
    /// What it comes from, such as `checkout_session`.
    pub source_type: String,
    /// The source's id.
    pub source_id: String,
    /// For people.
    pub memo: Option<String>,
}

/// What there is in rupiah under each code. Other currencies are listed, and not added up with them.
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

/// What could be paid out. The sandbox serves no payouts, so nothing is locked.
pub(super) fn payout_balance<'e>(entries: impl Iterator<Item = &'e Entry>) -> Value {
    let sales = entries.map(|entry| &entry.posted).filter(|entry| entry.code == SALE && entry.currency == "IDR");
    let balance = sales.fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
    json!({ "ledgerBalance": balance, "locked": 0, "available": balance, "currency": "IDR" })
}
