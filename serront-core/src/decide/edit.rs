//! A change of one order, and of what lies under it, being put together.

use super::Context;
use crate::accounts::actor::Actor;
use crate::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use crate::changes::deliveries;
use crate::changes::effect::{Effect, Errand};
use crate::online::checkout::{Checkout, CheckoutState};
use crate::orders::audit::{Act, AuditRecord};
use crate::orders::mail::{ConfirmedBy, Mail, PaymentConfirmed};
use crate::orders::order::OrderState;
use crate::orders::payment::{PaymentAct, PaymentState};
use crate::primitives::ids::CheckoutId;
use crate::primitives::rejection::Rejection;
use crate::primitives::time::Timestamp;
use crate::snapshots::OrderSnapshot;
use crate::webhooks::event::EventData;

/// A change of one order under way: the snapshot as it will be, and the change set that makes it so.
pub(super) struct Edit<'a> {
    pub(super) before: &'a OrderSnapshot,
    pub(super) after: OrderSnapshot,
    pub(super) change: ChangeSet,
    payment_touched: bool,
}

impl<'a> Edit<'a> {
    pub(super) fn begin(before: &'a OrderSnapshot, context: &mut Context<'_>) -> Self {
        let mut change = context.change_set(before.account.id);
        change.guards.push(Guard::Exact { row: Row::Order(before.order.id), version: before.order.state.version });
        let mut after = before.clone();
        after.order.state.version = before.order.state.version.next();
        Self { before, after, change, payment_touched: false }
    }

    /// Makes a checkout under the order.
    pub(super) fn insert_checkout(&mut self, context: &mut Context<'_>, checkout: Checkout) {
        self.errand(context, Errand::Poll(checkout.id), context.now.plus(context.policy.online.poll_first));
        self.change.writes.push(Write::InsertCheckout(checkout));
    }

    /// Writes a checkout's new state.
    pub(super) fn update_checkout(&mut self, id: CheckoutId, state: CheckoutState) {
        self.change.writes.push(Write::UpdateCheckout { id, order_id: self.before.order.id, state });
    }

    /// Has the janitor do something.
    pub(super) fn errand(&mut self, context: &mut Context<'_>, errand: Errand, due_at: Timestamp) {
        self.change.effects.push(Effect::Errand { id: context.ids.errand(), errand, due_at });
    }

    /// Has every live checkout but one called off: there is nothing to pay any more, or no longer that.
    pub(super) fn end_need_to_pay(&mut self, context: &mut Context<'_>, but: Option<CheckoutId>) {
        let mut called_off = Vec::new();
        for Checkout { id, state, .. } in &mut self.after.checkouts {
            if !state.unneeded && Some(*id) != but {
                state.unneeded = true;
                called_off.push((*id, state.clone()));
            }
        }
        for (id, state) in called_off {
            self.update_checkout(id, state);
            self.errand(context, Errand::Cancel(id), context.now);
        }
    }

    /// Confirms the payment for good, with one mail and one event. The claim on the confirmation is the last guard of
    /// "at most once", beside the guard on the order's row.
    pub(super) fn confirm(
        &mut self,
        context: &mut Context<'_>,
        actor: &Actor,
        note: Option<&str>,
    ) -> Result<(), Rejection> {
        self.go(context, actor, PaymentAct::Confirm, note)?;
        let snapshot = self.before;
        self.change.claims.push(Claim::of(ClaimName::Confirmation(snapshot.payment.id)));
        let order = &snapshot.order;
        let seller_name = match &snapshot.seller {
            Some(seller) => seller.display_name.clone(),
            None => snapshot.account.name.clone(),
        };
        self.change.effects.push(Effect::Mail {
            id: context.ids.mail(),
            mail: Mail::PaymentConfirmedV1(PaymentConfirmed {
                to: order.buyer.email.clone(),
                buyer_name: order.buyer.name.clone(),
                language: order.language,
                seller_name,
                number: snapshot.number,
                service_name: snapshot.service.name.clone(),
                amount: snapshot.payment.state.amount_due,
                by: match actor {
                    Actor::Plugipay { .. } => ConfirmedBy::Plugipay,
                    Actor::Buyer { .. } | Actor::Key { .. } | Actor::Operator { .. } | Actor::Host { .. } => {
                        ConfirmedBy::Seller
                    }
                },
            }),
        });
        let confirmed = EventData::OrderPaymentConfirmed {
            order_id: order.id,
            number: snapshot.number,
            quoted_price_idr: order.state.quoted_price,
        };
        self.emit(context, &confirmed);
        Ok(())
    }

    pub(super) fn payment(&mut self) -> &mut PaymentState {
        self.payment_touched = true;
        &mut self.after.payment.state
    }

    /// Records what was done. What is recorded is a change of the order that its readers see; a checkout alone is not.
    pub(super) fn audit(&mut self, context: &mut Context<'_>, actor: &Actor, act: Act, note: Option<&str>) {
        self.after.order.state.updated_at = context.now;
        self.change.writes.push(Write::AppendAudit(AuditRecord {
            id: context.ids.audit(),
            account_id: self.before.account.id,
            order_id: self.before.order.id,
            payment_id: self.before.payment.id,
            at: context.now,
            actor: actor.clone(),
            act,
            note: note.map(str::to_owned),
        }));
    }

    /// Emits an event to the subscriptions in the snapshot, witnessed by the settings epoch.
    pub(super) fn emit(&mut self, context: &mut Context<'_>, data: &EventData) {
        let account = &self.before.account;
        let witness = Guard::Settings(account.state.version);
        if !self.change.guards.contains(&witness) {
            self.change.guards.push(witness);
        }
        let subscriptions = &self.before.subscriptions;
        let deliveries = deliveries(account.id, data, subscriptions, context.now, &mut context.ids);
        self.change.effects.extend(deliveries);
    }

    /// Moves the payment along its track, and the order's summary of it with it.
    pub(super) fn go(
        &mut self,
        context: &mut Context<'_>,
        actor: &Actor,
        act: PaymentAct,
        note: Option<&str>,
    ) -> Result<(), Rejection> {
        let from = self.before.payment.state.status;
        let to = from.apply(act)?;
        self.payment().status = to;
        self.after.order.state.payment_status = to;
        let proof_sha256 = self.before.payment.state.receipt.as_ref().map(|receipt| receipt.sha256);
        self.audit(context, actor, Act::Payment { from, to, proof_sha256 }, note);
        Ok(())
    }

    pub(super) fn finish(self) -> (ChangeSet, OrderSnapshot) {
        let Self { before, after, mut change, payment_touched } = self;
        let id = before.order.id;
        let (state, access_token) = (after.order.state.clone(), &after.order.access_token);
        // One write of one row: another token comes with no other change.
        change.writes.push(if *access_token == before.order.access_token {
            Write::UpdateOrder { id, was: before.order.state.status, state }
        } else {
            let OrderState { version, updated_at, .. } = state;
            Write::RotateToken { id, version, access_token: access_token.clone(), updated_at }
        });
        if payment_touched {
            change.writes.push(Write::UpdatePayment {
                id: before.payment.id,
                order_id: before.order.id,
                state: after.payment.state.clone(),
            });
        }
        (change, after)
    }
}
