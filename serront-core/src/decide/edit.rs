//! Builds a change of one order, its payment and its checkouts.

use super::Context;
use crate::accounts::actor::Actor;
use crate::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use crate::changes::deliveries;
use crate::changes::effect::{Effect, Errand};
use crate::online::checkout::{Checkout, CheckoutState};
use crate::orders::audit::{Act, AuditRecord};
use crate::orders::mail::{ConfirmedBy, Mail, PaymentConfirmed};
use crate::orders::order::OrderState;
use crate::orders::payment::{PaymentState, PaymentStatus};
use crate::primitives::ids::CheckoutId;
use crate::primitives::time::Timestamp;
use crate::snapshots::OrderSnapshot;
use crate::webhooks::event::EventData;

/// A change of one order: the snapshots before and after it, and the change set so far.
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

    /// Inserts a checkout of the order, and has the janitor poll it.
    pub(super) fn insert_checkout(&mut self, context: &mut Context<'_>, checkout: Checkout) {
        self.errand(context, Errand::Poll(checkout.id), context.now.plus(context.policy.online.poll_first));
        self.change.writes.push(Write::InsertCheckout(checkout));
    }

    pub(super) fn update_checkout(&mut self, id: CheckoutId, state: CheckoutState) {
        self.change.writes.push(Write::UpdateCheckout { id, order_id: self.before.order.id, state });
    }

    pub(super) fn errand(&mut self, context: &mut Context<'_>, errand: Errand, due_at: Timestamp) {
        self.change.effects.push(Effect::Errand { id: context.ids.errand(), errand, due_at });
    }

    /// Cancels every checkout except this one, because nothing is due any longer, or another amount.
    pub(super) fn cancel_checkouts(&mut self, context: &mut Context<'_>, except: Option<CheckoutId>) {
        let mut canceled = Vec::new();
        for Checkout { id, state, .. } in &mut self.after.checkouts {
            if !state.unneeded && Some(*id) != except {
                state.unneeded = true;
                canceled.push((*id, state.clone()));
            }
        }
        for (id, state) in canceled {
            self.update_checkout(id, state);
            self.errand(context, Errand::Cancel(id), context.now);
        }
    }

    /// Confirms the payment, with one mail and one event. The caller has checked that the payment is not confirmed yet.
    /// The claim of the confirmation and the guard on the order's row each ensure that this happens at most once.
    pub(super) fn confirm(&mut self, context: &mut Context<'_>, actor: &Actor, note: Option<&str>) {
        self.move_payment(context, actor, PaymentStatus::PaymentConfirmed, note);
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
    }

    pub(super) fn payment(&mut self) -> &mut PaymentState {
        self.payment_touched = true;
        &mut self.after.payment.state
    }

    /// Records what was done, and sets the order's `updated_at`. A change of a checkout alone is not recorded.
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

    /// Emits an event to the subscriptions in the snapshot, and guards the settings epoch.
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

    /// Moves the payment to this status, which its track allows, and updates the status on its order.
    pub(super) fn move_payment(
        &mut self,
        context: &mut Context<'_>,
        actor: &Actor,
        to: PaymentStatus,
        note: Option<&str>,
    ) {
        let from = self.before.payment.state.status;
        self.payment().status = to;
        self.after.order.state.payment_status = to;
        let proof_sha256 = self.before.payment.state.receipt.as_ref().map(|receipt| receipt.sha256);
        self.audit(context, actor, Act::Payment { from, to, proof_sha256 }, note);
    }

    pub(super) fn finish(self) -> (ChangeSet, OrderSnapshot) {
        let Self { before, after, mut change, payment_touched } = self;
        let id = before.order.id;
        let (state, access_token) = (after.order.state.clone(), &after.order.access_token);
        // A change set writes a row once. A new token never comes with another change of the order.
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
