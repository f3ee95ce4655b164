//! Planted bugs of commits: in what is written, and in what is answered.

use serront_core::changes::change::{ClaimName, Guard, Row, Write};
use serront_core::changes::effect::Effect;
use serront_core::orders::mail::{BuiltInTemplates, render};
use serront_core::ports::PortErrorKind;
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::MailId;
use serront_core::webhooks::event::EventType;

use super::Bug;
use super::storage::Defect;
use crate::memory::locked;

impl Defect {
    pub(super) async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let begins = change.writes.iter().any(|write| matches!(write, Write::InsertCheckout(_)));
        if begins && self.is(Bug::IntentNotCommitted) {
            return Ok(Committed { number: None });
        }
        let spoilt = self.spoilt(change).await?;
        if self.is(Bug::SentBeforeCommit) {
            self.send_early(change).await;
        }
        let result = self.inner.commit(&spoilt).await;
        match (self.bug, result) {
            (_, Ok(mut committed)) => {
                self.remember(change);
                self.remember_posted(change);
                committed.number = committed.number.map(|number| self.shifted(change.account_id, number));
                Ok(committed)
            }
            (Bug::ConflictSwallowed, Err(CommitError::Conflict)) => Ok(Committed { number: None }),
            (Bug::NumberBeforeCommit, Err(CommitError::Conflict)) if change.places_order() => {
                self.lose_number(change.account_id).await?;
                Err(CommitError::Conflict)
            }
            (bug, Err(CommitError::Port(error))) if error.kind() == PortErrorKind::OutcomeUnknown => match bug {
                Bug::UnknownIsConflict => Err(CommitError::Conflict),
                Bug::UnknownIsSuccess => Ok(Committed { number: None }),
                Bug::UnknownIsFailure => Err(PortError::transient("it surely did not happen").into()),
                _ => Err(error.into()),
            },
            (_, Err(error)) => Err(error),
        }
    }

    /// Adjusts guards and writes to the present order, so that a stale decision lands.
    async fn without_order_guards(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        for guard in &mut change.guards {
            let Guard::Exact { row: Row::Order(id), version } = guard else { continue };
            let Some(order) = self.inner.order(OrderKey::Id(change.account_id, *id), None).await? else { continue };
            *version = order.order.state.version;
            for write in &mut change.writes {
                if let Write::UpdateOrder { was, state, .. } = write {
                    *was = order.order.state.status;
                    state.version = order.order.state.version.next();
                }
            }
        }
        Ok(())
    }

    /// The change set as the bug changes it.
    async fn spoilt(&self, change: &ChangeSet) -> Result<ChangeSet, PortError> {
        let mut change = change.clone();
        let places = change.places_order();
        match self.bug {
            Bug::OrderGuardDropped => self.without_order_guards(&mut change).await?,
            Bug::WitnessDropped => change.guards.retain(|guard| !matches!(guard, Guard::Settings(_))),
            Bug::IdempotencyNotStored => {
                change.claims.retain(|claim| !matches!(claim.name, ClaimName::Idempotency(_)));
            }
            Bug::ChangeSetIdForgotten => change.id = ChangeSetId::from_ulid(self.fresh()),
            Bug::PausedPosted => change.writes.retain(|write| !matches!(write, Write::GiveUpDeliveries(_))),
            // The storage then assumes that the host's clock shows the same time as its own.
            Bug::DueByHostClock => change.at = self.clock.now(),
            Bug::KeyEndsByHostClock => {
                let off = change.at.millis() - self.clock.now().millis();
                for kept in change.claims.iter_mut().filter_map(|claim| claim.kept.as_mut()) {
                    kept.until = Timestamp::from_millis(kept.until.millis().saturating_add(off.saturating_mul(100)));
                }
            }
            Bug::OldSecretKept => {
                for write in &mut change.writes {
                    if let Write::RotateSecret { previous_until, .. } = write {
                        *previous_until = previous_until.plus(Duration::from_secs(1_000_000_000));
                    }
                }
            }
            Bug::SwitchOffUntold => change.effects.retain(
                |effect| !matches!(effect, Effect::Delivery(of) if of.event_type == EventType::SubscriptionDisabled),
            ),
            Bug::RequeueForgotten => change.writes.retain(|write| !matches!(write, Write::Requeue(_))),
            Bug::ResealForgotten => change.writes.retain(|write| !matches!(write, Write::ResealSecrets { .. })),
            Bug::MailForgotten => change.effects.retain(|effect| !matches!(effect, Effect::Mail { .. })),
            Bug::MailTwice => {
                let mut copies = Vec::new();
                for effect in &change.effects {
                    if let Effect::Mail { mail, .. } = effect {
                        copies.push(Effect::Mail { id: MailId::from_ulid(self.fresh()), mail: mail.clone() });
                    }
                }
                change.effects.extend(copies);
            }
            Bug::AuditForgotten if !places => {
                change.writes.retain(|write| !matches!(write, Write::AppendAudit(_)));
            }
            _ => self.spoil_online(&mut change).await?,
        }
        Ok(change)
    }

    fn remember(&self, change: &ChangeSet) {
        let mut memory = locked(&self.memory);
        memory.pending.extend(change.effects.iter().map(Effect::id));
        for write in &change.writes {
            match write {
                Write::InsertOrder(order, _) => {
                    memory.tokens.insert(order.id, order.access_token.hash());
                    memory.opened_by.insert(order.access_token.hash(), (change.account_id, order.id));
                    memory.deltas.push((change.account_id, order.state.status, true));
                }
                Write::RotateToken { id, access_token, .. } => {
                    memory.tokens.insert(*id, access_token.hash());
                    memory.opened_by.insert(access_token.hash(), (change.account_id, *id));
                }
                Write::UpdateOrder { was, state, .. } if *was != state.status => {
                    memory.deltas.push((change.account_id, *was, false));
                    memory.deltas.push((change.account_id, state.status, true));
                }
                _ => {}
            }
        }
    }

    /// The number that is shown instead of this one.
    pub(super) fn shifted(&self, account: AccountId, number: OrderNumber) -> OrderNumber {
        let memory = locked(&self.memory);
        let gaps = memory.gaps.get(&account).into_iter().flatten().filter(|from| **from <= number.0).count();
        OrderNumber(number.0.saturating_add(u32::try_from(gaps).unwrap_or(0)))
    }

    /// Loses the next number, as if it had been drawn before the commit failed.
    async fn lose_number(&self, account: AccountId) -> Result<(), PortError> {
        let limit = Limit::parse(None).map_err(PortError::permanent)?;
        let newest = self.inner.orders(account, &OrderFilter::default(), None, limit).await?;
        let next = newest.rows.first().map_or(1, |row| row.number.0.saturating_add(1));
        locked(&self.memory).gaps.entry(account).or_default().push(next);
        Ok(())
    }

    /// Sends the mails of a change set before it lands, if it does.
    async fn send_early(&self, change: &ChangeSet) {
        for effect in &change.effects {
            if let (Effect::Mail { id, mail }, Some(mailer)) = (effect, &self.mailer) {
                let _ = mailer.send(&render(&BuiltInTemplates, *id, mail)).await;
            }
        }
    }
}
