//! The ledger of a merchant: two entries for each session that was paid.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use serront_core::time::Timestamp;

/// What the merchant got.
pub(super) const SALE: &str = "sale";
/// Its counterpart.
pub(super) const CLEARING: &str = "clearing";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    Debit,
    Credit,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) account_id: String,
    pub(super) tx_id: String,
    pub(super) code: &'static str,
    pub(super) direction: Direction,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) source_type: &'static str,
    pub(super) source_id: String,
    pub(super) memo: Option<String>,
    pub(super) posted_at: Timestamp,
}

/// What there is in rupiah under each code. Other currencies are listed, and not added up with them.
pub(super) fn balances<'e>(entries: impl Iterator<Item = &'e Entry>) -> Value {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for entry in entries.filter(|entry| entry.currency == "IDR") {
        let (debits, credits) = sums.entry(entry.code).or_default();
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
    let sales = entries.filter(|entry| entry.code == SALE && entry.currency == "IDR");
    let balance = sales.fold(0_i64, |sum, entry| sum.saturating_add(entry.amount));
    json!({ "ledgerBalance": balance, "locked": 0, "available": balance, "currency": "IDR" })
}
