//! Which change sets can share a statement: those that contradict each other in nothing.

use std::collections::HashSet;

use serront_core::changes::change::{ChangeSet, ClaimName, Guard, Row, Write};
use serront_core::changes::effect::{Discard, EffectId};
use serront_core::primitives::ids::{AccountId, ChangeSetId};
use serront_core::primitives::version::Version;

use crate::sql::names::{Place, place};

/// What two change sets of one statement must not both touch.
#[derive(PartialEq, Eq, Hash)]
enum Touched {
    Set(ChangeSetId),
    Row(AccountId, Row),
    Services(AccountId),
    Name(Option<AccountId>, ClaimName),
    Effect(AccountId, EffectId),
}

/// Chooses change sets that can share a statement.
#[derive(Default)]
pub(super) struct Batch {
    guarded: HashSet<Touched>,
    written: HashSet<Touched>,
}

impl Batch {
    /// Takes a change set in, if it contradicts nothing that is in already.
    pub(super) fn admit(&mut self, change: &ChangeSet) -> bool {
        let account = change.account_id;
        let mut guarded = Vec::new();
        let mut written = vec![Touched::Set(change.id)];
        for guard in &change.guards {
            match guard {
                // A row that is locked by somebody else would look as if it was not there.
                Guard::Exact { version: Version::ABSENT, .. } => return false,
                Guard::Exact { row, .. } => guarded.push(Touched::Row(account, row.clone())),
                Guard::ServicesBelow(_) => written.push(Touched::Services(account)),
                Guard::NoOrdersOf(_) | Guard::Settings(_) | Guard::Fresh(_) => {}
            }
        }
        for write in &change.writes {
            match write {
                Write::UpdateAccount(_) | Write::InsertAccount(_) => written.push(Touched::Row(account, Row::Account)),
                Write::PutStorefront(_) => written.push(Touched::Row(account, Row::Storefront)),
                Write::PutService(service) => written.push(Touched::Row(account, Row::Service(service.id))),
                Write::DeleteService(id) => written.push(Touched::Row(account, Row::Service(*id))),
                Write::UpdateOrder { id, .. } | Write::RotateToken { id, .. } => {
                    written.push(Touched::Row(account, Row::Order(*id)));
                }
                Write::UpdatePayment { order_id, .. } => written.push(Touched::Row(account, Row::Order(*order_id))),
                Write::UpdateSubscription(id, _)
                | Write::DeleteSubscription(id)
                | Write::RotateSecret { id, .. }
                | Write::ResealSecrets { id, .. } => {
                    written.push(Touched::Row(account, Row::Subscription(*id)));
                }
                Write::PutSession(name) => written.push(Touched::Row(account, Row::Session(name.id.clone()))),
                Write::PutProvisioning(_) => written.push(Touched::Row(account, Row::Provisioning)),
                Write::UpdateException(id, _) => written.push(Touched::Row(account, Row::Exception(*id))),
                Write::PutFunds(_) => written.push(Touched::Row(account, Row::Funds)),
                Write::PutBankAccount(_) => written.push(Touched::Row(account, Row::BankAccount)),
                Write::UpdatePayout(id, _) => written.push(Touched::Row(account, Row::Payout(*id))),
                // As the claim that goes with its insertion.
                Write::UpdateInbox(id, _) => {
                    written.push(Touched::Name(Some(account), ClaimName::ProviderEvent(id.clone())));
                }
                Write::Requeue(id) | Write::Discard(Discard { effect_id: id, .. }) => {
                    written.push(Touched::Effect(account, *id))
                }
                // Two deletions of one key release the same name; a checkout goes with a write of its order, and what is given
                // up with one of its subscription.
                Write::InsertOrder(..)
                | Write::InsertKey(_)
                | Write::DeleteKey(_)
                | Write::InsertSubscription(..)
                | Write::AppendAudit(_)
                | Write::InsertCheckout(_)
                | Write::UpdateCheckout { .. }
                | Write::Post(_)
                | Write::InsertException(_)
                | Write::InsertInbox(_)
                | Write::InsertPayout(_)
                | Write::AppendPayoutAudit(_)
                | Write::InsertAdjustment(_)
                | Write::GiveUpDeliveries(_) => {}
            }
        }
        for name in change.releases.iter().chain(change.claims.iter().map(|claim| &claim.name)) {
            let within = !matches!(place(name), Place::Directory(..));
            written.push(Touched::Name(within.then_some(account), name.clone()));
        }
        let clashes = written.iter().any(|touched| self.written.contains(touched) || self.guarded.contains(touched))
            || guarded.iter().any(|touched| self.written.contains(touched));
        if clashes {
            return false;
        }
        self.guarded.extend(guarded);
        self.written.extend(written);
        true
    }
}
