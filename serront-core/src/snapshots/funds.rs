//! A seller's balance, payouts and adjustments.

use crate::accounts::account::Account;
use crate::changes::idempotency::Kept;
use crate::funds::balance::Funds;
use crate::funds::ledger::CodeTotals;
use crate::funds::payout::{DefaultBankAccount, Payout};
use crate::primitives::ids::{AccountId, AdjustmentId, PayoutId};

/// What a debit needs, and what the balance page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundsSnapshot {
    /// The account.
    pub account: Account,
    /// The amount in flight.
    pub funds: Funds,
    /// The entries on the seller's balance, summed up as by [`balance`](crate::ports::FundsReads::balance).
    pub totals: Vec<CodeTotals>,
    /// The default destination of payouts. `None` until the seller has saved one.
    pub bank_account: Option<DefaultBankAccount>,
    /// The outcome stored under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}

/// What a step of a payout needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutSnapshot {
    /// The payout's account.
    pub account: Account,
    /// The payout.
    pub payout: Payout,
    /// The amount in flight in its account.
    pub funds: Funds,
    /// The outcome stored in its account under the request's idempotency key, if any.
    pub kept: Option<Kept>,
}

/// How to find a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayoutKey {
    /// By account and id: for the seller.
    Id(AccountId, PayoutId),
    /// By id alone, across all accounts: for an operator.
    Any(PayoutId),
}

/// How to find an adjustment within its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdjustmentKey {
    /// By its id.
    Id(AdjustmentId),
    /// By its reference in the operator's books, normalized by [`compared`](crate::primitives::compare::compared).
    Reference(String),
}
