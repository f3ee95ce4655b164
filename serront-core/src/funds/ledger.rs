//! The ledger: double entry, append only.
//!
//! Each transaction has legs on the seller's book and on counter books, with equal debits and credits. The seller sees
//! only the seller's book. Entries are never changed or deleted.

use std::time::Duration;

use crate::accounts::actor::Actor;
use crate::primitives::ids::{AccountId, AdjustmentId, EntryId, IdSequence, PayoutId, TransactionId};
use crate::primitives::macros::named_enum;
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

named_enum! {
    /// The book of a leg.
    pub enum Book {
        /// The seller's balance, which the seller sees.
        Seller = "seller",
        /// Money that Plugipay holds for the seller.
        PlugipayClearing = "plugipay_clearing",
        /// Earned fees.
        ModuleFeeIncome = "module_fee_income",
        /// Money transferred to the seller's bank.
        PayoutClearing = "payout_clearing",
        /// The counter book of operators' corrections.
        Adjustments = "adjustments",
    }
}

named_enum! {
    /// The purpose of a leg.
    pub enum EntryCode {
        /// A buyer's payment, gross.
        Sale = "sale",
        /// The fee on a buyer's payment.
        ModuleFee = "module_fee",
        /// A paid payout.
        Payout = "payout",
        /// An operator's correction.
        Adjustment = "adjustment",
    }
}

named_enum! {
    /// The side of a leg.
    pub enum Direction {
        /// Decreases the book's balance.
        Debit = "debit",
        /// Increases the book's balance.
        Credit = "credit",
    }
}

named_enum! {
    /// What caused a transaction.
    pub enum SourceType {
        /// A paid checkout session.
        CheckoutSession = "checkout_session",
        /// A paid payout.
        Payout = "payout",
        /// An operator's correction.
        Adjustment = "adjustment",
    }
}

/// One leg of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct LedgerEntry {
    pub id: EntryId,
    pub tx_id: TransactionId,
    pub account_id: AccountId,
    pub book: Book,
    pub code: EntryCode,
    pub direction: Direction,
    /// Never zero.
    pub amount: Rupiah,
    pub source_type: SourceType,
    /// The id of the session, payout or adjustment.
    pub source_id: String,
    /// For people: an order's number, or an adjustment's reason.
    pub description: Option<String>,
    pub created_at: Timestamp,
}

/// Sums of the legs with one code on a seller's book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct CodeTotals {
    pub code: EntryCode,
    /// In rupiah.
    pub debits: i64,
    /// In rupiah.
    pub credits: i64,
}

/// Whether the legs form one balanced transaction of this account, without legs of zero.
#[must_use]
pub fn is_balanced(account_id: AccountId, legs: &[LedgerEntry]) -> bool {
    let Some(first) = legs.first() else { return false };
    let sum = legs.iter().try_fold(0_i64, |sum, leg| {
        let fits = leg.account_id == account_id && leg.tx_id == first.tx_id && !leg.amount.is_zero();
        let signed = match leg.direction {
            Direction::Debit => leg.amount.get().checked_neg(),
            Direction::Credit => Some(leg.amount.get()),
        };
        signed.filter(|_| fits).and_then(|signed| sum.checked_add(signed))
    });
    sum == Some(0)
}

/// The greatest age of an entry's time when the entry is committed, by the storage's clock. It exceeds the allowed
/// clock difference plus the longest wait for a lock. Entries older than this are complete, once no posting transaction
/// is open.
pub const POSTED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The fields that all legs of a transaction share.
struct Source<'a> {
    account_id: AccountId,
    source_type: SourceType,
    source_id: &'a str,
    description: &'a str,
    now: Timestamp,
}

impl Source<'_> {
    /// Builds a transaction; omits legs of zero.
    fn transaction<const LEGS: usize>(
        &self,
        legs: [(Book, EntryCode, Direction, Rupiah); LEGS],
        ids: &mut IdSequence,
    ) -> Vec<LedgerEntry> {
        let tx_id = ids.transaction();
        let legs = legs.into_iter().filter(|(_, _, _, amount)| !amount.is_zero());
        legs.map(|(book, code, direction, amount)| LedgerEntry {
            id: ids.entry(),
            tx_id,
            account_id: self.account_id,
            book,
            code,
            direction,
            amount,
            source_type: self.source_type,
            source_id: self.source_id.to_owned(),
            description: Some(self.description.to_owned()),
            created_at: self.now,
        })
        .collect()
    }
}

/// The transaction for a paid session: credits the seller with the gross and debits the fee. A fee of zero posts no
/// leg.
#[must_use]
pub fn sale(
    account_id: AccountId,
    session: &SessionId,
    gross: Rupiah,
    fee: Rupiah,
    description: &str,
    now: Timestamp,
    ids: &mut IdSequence,
) -> Vec<LedgerEntry> {
    let source_id = session.as_str();
    let source = Source { account_id, source_type: SourceType::CheckoutSession, source_id, description, now };
    let legs = [
        (Book::PlugipayClearing, EntryCode::Sale, Direction::Debit, gross),
        (Book::Seller, EntryCode::Sale, Direction::Credit, gross),
        (Book::Seller, EntryCode::ModuleFee, Direction::Debit, fee),
        (Book::ModuleFeeIncome, EntryCode::ModuleFee, Direction::Credit, fee),
    ];
    source.transaction(legs, ids)
}

/// The transaction for a paid payout: debits the seller.
#[must_use]
pub fn payout(
    account_id: AccountId,
    payout: PayoutId,
    amount: Rupiah,
    now: Timestamp,
    ids: &mut IdSequence,
) -> Vec<LedgerEntry> {
    let source_id = payout.to_string();
    let (source_type, description) = (SourceType::Payout, "Payout");
    let source = Source { account_id, source_type, source_id: &source_id, description, now };
    let legs = [
        (Book::Seller, EntryCode::Payout, Direction::Debit, amount),
        (Book::PayoutClearing, EntryCode::Payout, Direction::Credit, amount),
    ];
    source.transaction(legs, ids)
}

/// An operator's correction of a seller's balance, such as a refund made at Plugipay, or a paid payout that the bank
/// sent back. It is recorded permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Adjustment {
    pub id: AdjustmentId,
    pub account_id: AccountId,
    /// A credit adds to the seller's balance.
    pub direction: Direction,
    /// Never zero.
    pub amount: Rupiah,
    /// The operator's explanation, which the seller sees.
    pub reason: String,
    /// The operator's reference, normalized by [`compared`](crate::primitives::compare::compared); unique per account.
    pub reference: String,
    pub actor: Actor,
    pub created_at: Timestamp,
}

impl Adjustment {
    /// The transaction that posts the adjustment.
    #[must_use]
    pub fn transaction(&self, ids: &mut IdSequence) -> Vec<LedgerEntry> {
        let source_id = self.id.to_string();
        let source = Source {
            account_id: self.account_id,
            source_type: SourceType::Adjustment,
            source_id: &source_id,
            description: &self.reason,
            now: self.created_at,
        };
        let other = match self.direction {
            Direction::Debit => Direction::Credit,
            Direction::Credit => Direction::Debit,
        };
        let legs = [
            (Book::Seller, EntryCode::Adjustment, self.direction, self.amount),
            (Book::Adjustments, EntryCode::Adjustment, other, self.amount),
        ];
        source.transaction(legs, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sale_balances_and_a_fee_of_zero_posts_no_leg() {
        let account = "acc_01jtestvect0r0000000000000".parse().unwrap();
        let session = SessionId::parse("cs_1").unwrap();
        let mut ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        let now = Timestamp::from_millis(0);
        for (gross, fee, legs) in [(125_000, 375, 4), (100, 0, 2)] {
            let (gross, fee) = (Rupiah::new(gross).unwrap(), Rupiah::new(fee).unwrap());
            let sale = sale(account, &session, gross, fee, "Order 1", now, &mut ids);
            assert_eq!(sale.len(), legs);
            assert!(is_balanced(account, &sale));
            assert!(!is_balanced(account, &sale[1..]));
        }
    }
}
