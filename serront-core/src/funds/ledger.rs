//! The ledger: double entry, append only.
//!
//! A transaction's legs lie on the seller's own balance and on counter accounts; debits equal credits in each. The seller
//! sees the legs on the own balance. Entries are never changed or deleted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::accounts::actor::Actor;
use crate::primitives::ids::{AccountId, AdjustmentId, EntryId, IdSequence, PayoutId, TransactionId};
use crate::primitives::money::Rupiah;
use crate::primitives::provider::SessionId;
use crate::primitives::time::Timestamp;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every one of them.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The name on the wire and in storage.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The one of this name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == name)
            }
        }
    };
}

names! {
    /// On which book a leg lies.
    Book {
        /// The seller's own balance: what the seller sees.
        Seller = "seller",
        /// Money that Plugipay holds for the seller.
        PlugipayClearing = "plugipay_clearing",
        /// Fees earned.
        ModuleFeeIncome = "module_fee_income",
        /// Money on its way to the seller's bank.
        PayoutClearing = "payout_clearing",
        /// The other side of an operator's corrections.
        Adjustments = "adjustments",
    }
}

names! {
    /// What a transaction's leg stands for.
    EntryCode {
        /// A buyer's payment, gross.
        Sale = "sale",
        /// The fee on it.
        ModuleFee = "module_fee",
        /// A payout that was paid.
        Payout = "payout",
        /// An operator's correction.
        Adjustment = "adjustment",
    }
}

names! {
    /// Which side.
    Direction {
        /// Takes from the book's balance.
        Debit = "debit",
        /// Adds to the book's balance.
        Credit = "credit",
    }
}

names! {
    /// What a transaction comes from.
    SourceType {
        /// A checkout session that was paid.
        CheckoutSession = "checkout_session",
        /// A payout.
        Payout = "payout",
        /// An operator's correction.
        Adjustment = "adjustment",
    }
}

/// One leg of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Which entry.
    pub id: EntryId,
    /// Of which transaction.
    pub tx_id: TransactionId,
    /// In whose account.
    pub account_id: AccountId,
    /// On which book.
    pub book: Book,
    /// What it stands for.
    pub code: EntryCode,
    /// On which side.
    pub direction: Direction,
    /// How much; never zero.
    pub amount: Rupiah,
    /// What the transaction comes from.
    pub source_type: SourceType,
    /// The source's id.
    pub source_id: String,
    /// For people.
    pub description: Option<String>,
    /// When it was posted.
    pub created_at: Timestamp,
}

/// The legs on the seller's balance of one code, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeTotals {
    /// Of which code.
    pub code: EntryCode,
    /// The sum of the debits, in rupiah.
    pub debits: i64,
    /// The sum of the credits, in rupiah.
    pub credits: i64,
}

/// Whether debits equal credits, within one transaction of one account with legs of more than nothing.
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

/// How old the time of an entry may be when the entry lands, by the storage's clock. It is more than a host's clock may be slow
/// and a commit may wait for a lock. What was posted before then is complete, once no transaction is open that posted.
pub const POSTED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// What a transaction is about: the part that its legs have in common.
struct Source<'a> {
    account_id: AccountId,
    source_type: SourceType,
    source_id: &'a str,
    description: &'a str,
    now: Timestamp,
}

impl Source<'_> {
    /// The transaction of these legs; a leg of nothing is left out.
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

/// The transaction of a session that was paid: the gross to the seller, the fee from the seller. A fee of zero posts no leg.
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

/// The transaction of a payout that was paid: from the seller.
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

/// An operator's correction of the seller's balance: a refund made at Plugipay, a paid payout that the bank sent back. It is
/// on record for good, with who made it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Which adjustment.
    pub id: AdjustmentId,
    /// In whose account.
    pub account_id: AccountId,
    /// To the seller or from the seller.
    pub direction: Direction,
    /// How much; never zero.
    pub amount: Rupiah,
    /// Why, in the operator's words. The seller sees it.
    pub reason: String,
    /// What it is about, in the operator's books, as [`compared`](crate::primitives::compare::compared) makes it: no two adjustments of an
    /// account have the same.
    pub reference: String,
    /// Who made it.
    pub actor: Actor,
    /// When.
    pub created_at: Timestamp,
}

impl Adjustment {
    /// Its transaction.
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
