//! Chooses change sets that can share a statement: those that do not write what another one reads or writes.

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
    /// Adds a change set if it is compatible with those added before.
    pub(super) fn admit(&mut self, change: &ChangeSet) -> bool {
        let account = change.account_id;
        let mut guarded = Vec::new();
        let mut written = vec![Touched::Set(change.id)];
        for guard in &change.guards {
            match guard {
                // A row that another transaction has locked would seem absent.
                Guard::Exact { version: Version::ABSENT, .. } => return false,
                Guard::Exact { row, .. } => guarded.push(Touched::Row(account, row.clone())),
                Guard::ServicesBelow(_) => written.push(Touched::Services(account)),
                Guard::NoOrdersOf(_) | Guard::Settings(_) | Guard::Fresh(_) => {}
            }
        }
        for write in &change.writes {
            written.extend(write.row().map(|(row, _)| Touched::Row(account, row)));
            // Of the others, two deletions of one key release the same name; a checkout is written with its order, and
            // deliveries are given up with their subscription.
            if let Write::UpdatePayment { order_id, .. } = write {
                written.push(Touched::Row(account, Row::Order(*order_id)));
            }
            if let Write::UpdateInbox(id, _) = write {
                // As the claim that is made when it is inserted.
                written.push(Touched::Name(Some(account), ClaimName::ProviderEvent(id.clone())));
            }
            if let Write::Requeue(id) | Write::Discard(Discard { effect_id: id, .. }) = write {
                written.push(Touched::Effect(account, *id));
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
