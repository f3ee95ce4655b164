//! Effects that no client asks for: a buyer's payment at the hosted page, its posting in the ledger, a new access
//! token.

use serront_core::changes::change::{ChangeSet, Write};
use serront_core::funds::ledger::{Book, Direction, LedgerEntry, SourceType};

use super::{Oracle, Payment, funds, order};
use crate::sandbox::SandboxSession;
use crate::sim::events::{Verdict, View};

/// Commands without a request are numbered from here.
const UNREQUESTED_FROM: u64 = 1 << 40;

impl Oracle {
    const fn next_unrequested(&mut self) -> u64 {
        self.unrequested += 1;
        UNREQUESTED_FROM.saturating_add(self.unrequested)
    }

    /// A buyer has paid at the hosted page: the payment may now be settled at any moment.
    pub(super) fn paid(&mut self, session: &SandboxSession, minted: i64) {
        let Some(order) = session.metadata.get("orderId") else { return };
        if session.currency != "IDR" || !self.orders.contains_key(order) {
            return;
        }
        let id = self.next_unrequested();
        let Some(known) = self.orders.get_mut(order) else { return };
        known.engine.requested(id, order::Command::Settle { arrived: session.amount, minted });
        self.payments.insert(session.id.clone(), Payment { order: order.clone(), id });
    }

    /// Checks that each posted payment has an effect on its order that the model allows.
    pub(super) fn landed(&mut self, change: &ChangeSet, view: &View<'_>) -> Verdict {
        let mut kinds = change.writes.iter().filter_map(|write| match write {
            Write::InsertException(exception) => Some(exception.kind.as_str()),
            _ => None,
        });
        let kind = kinds.next().unwrap_or(order::CONFIRMED);
        for write in &change.writes {
            if let Write::RotateToken { id, access_token, .. } = write {
                self.token_replaced(id.to_string(), access_token.reveal(), view);
            }
            let Write::Post(legs) = write else { continue };
            if legs.iter().any(|leg| leg.source_type != SourceType::CheckoutSession) {
                continue;
            }
            if let Some(seller) = view.sellers.iter().position(|seller| seller.account == change.account_id) {
                self.settled(seller, legs, view);
            }
            let session = legs.first().map(|leg| leg.source_id.clone()).unwrap_or_default();
            let Some(Payment { order, id }) = self.payments.remove(&session) else {
                return Err(format!("the ledger has a payment through {session} that no buyer made"));
            };
            let Some(known) = self.orders.get_mut(&order) else { continue };
            if !known.engine.answered(id, view.now, |response| *response == order::Response::Settled(kind)) {
                return Err(format!("nothing explains the effect {kind} of the payment through {session}"));
            }
        }
        Ok(())
    }

    fn token_replaced(&mut self, order: String, token: &str, view: &View<'_>) {
        let id = self.next_unrequested();
        if let Some(known) = self.orders.get_mut(&order) {
            known.engine.requested(id, order::Command::Replace(token.to_owned()));
            known.engine.answered(id, view.now, |response| *response == order::Response::Replaced);
        }
        self.replaced.insert(token.to_owned(), view.now);
        self.tokens.insert(token.to_owned(), order);
    }

    /// Adds the seller's share of a settlement, which counts from the moment of its posting.
    fn settled(&mut self, seller: usize, legs: &[LedgerEntry], view: &View<'_>) {
        let own = legs.iter().filter(|leg| leg.book == Book::Seller);
        let share =
            own.map(|leg| if leg.direction == Direction::Credit { leg.amount.get() } else { -leg.amount.get() });
        let share = share.sum();
        let id = self.next_unrequested();
        let engine = self.funds(seller, view);
        engine.requested(id, funds::Command::Settle(share));
        engine.answered(id, view.now, |response| *response == funds::Response::Settled);
    }
}
