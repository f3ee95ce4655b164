//! What a host does with each request, by the credential that it carries: none, an operator's key, a seller's key.

use serde_json::Value;
use serront_core::accounts::account::Modules;
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::{AccessToken, Caller};
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{
    AdjustmentInput, Context, Decision, ModuleSwitches, OrderPatch, PayoutStep, Requester, switch_modules,
};
use serront_core::funds::books::Verification;
use serront_core::orders::order::{Language, OrderInput, WorkStatus};
use serront_core::ports::{Clock as _, Ids as _, PortError};
use serront_core::primitives::ids::{AccountId, KeyId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::{Answer, Failure, Resealed, Resolution, WebhookRegistration, verify};
use serront_core::shop::catalog::ServiceInput;
use serront_core::snapshots::{DeliveryFilter, EntryFilter, OrderFilter, PayoutKey};
use serront_core::views::{AdjustmentView, ShopView};
use serront_core::webhooks::subscription::SubscriptionInput;

use super::inputs::{bank_account_input, payout_input, storefront};
use super::{Host, Served};
use crate::sim::bugs::Bug;
use crate::sim::events::{Call, Event, Step, Verb};
use crate::world::{order_input, service_input, storefront_input};

/// Passes over the secrets at rest before giving up on one that finds nothing to do.
const RESEALS_MAX: usize = 8;

impl Host {
    /// Requests of buyers and the admin, without an API key.
    pub(super) async fn carry_out_public(&self, call: &Call) -> Served {
        let commands = self.commands();
        match &call.verb {
            Verb::Place { slug, buyer, email } => {
                let input = OrderInput { buyer_email: email.clone(), ..order_input(buyer) };
                let answer = commands.place_order(slug, &input, Language::Id, None).await?;
                let id = answer.value.order_id.map(|id| id.to_string());
                let (mut data, replayed) = self.shown(&answer);
                if let (Value::Object(fields), Some(id)) = (&mut data, id) {
                    fields.insert("orderId".to_owned(), Value::String(id));
                }
                Ok((data, replayed))
            }
            Verb::Claim { token } => Ok(self.shown(&commands.claim_payment(&parse_token(token)?).await?)),
            Verb::Upload { token, bytes } => {
                let answer = self.receipt_uploads().upload(&parse_token(token)?, "image/jpeg", bytes).await?;
                Ok(self.shown(&answer))
            }
            Verb::View { token } => {
                let mut view = commands.buyer_order(&parse_token(token)?).await?;
                if self.bugs.is(Bug::BankDetailsAfterConfirmation) && view.payment.is_none() {
                    view.payment = self.bugs.remembered_instructions(token);
                } else {
                    self.bugs.remember_instructions(token, view.payment.as_ref());
                }
                Ok(self.seen(&view))
            }
            Verb::Pay { token } => Ok(self.seen(&self.online().pay(&parse_token(token)?).await?)),
            Verb::Rotate { account } => {
                self.online().rotate_endpoint(parse(account)?).await?;
                Ok((Value::Null, false))
            }
            Verb::RetryParked => {
                for parked in self.storage.waiting(self.clock.now(), 100).await? {
                    commands.retry_notification(parked.account_id, &parked.event_id).await?;
                }
                Ok((Value::Null, false))
            }
            Verb::Reseal => Ok((resealed_json(commands.reseal().await?), false)),
            Verb::ForgetKeys => self.forget_keys().await,
            Verb::Visit { slug } => Ok(self.shown_shop(commands.shop(slug).await?)),
            Verb::RevokeKey { account, id } => {
                commands.delete_key(parse(account)?, parse(id)?).await?;
                Ok((Value::Null, false))
            }
            Verb::IssueKey { account } => {
                let answer = commands.create_key(parse(account)?, "issued", None).await?;
                self.world.see(&Event::Secret(answer.value.key.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::SetTier { account, tier } => {
                let tier = tier.parse().map_err(|_| not_found())?;
                let answer = commands.set_tier(parse(account)?, tier).await?;
                self.world.see(&Event::Said(&format!("{answer:?}")));
                Ok((Value::String(answer.value.state.tier.as_str().to_owned()), answer.replayed))
            }
            other => Err(unexpected(other)),
        }
    }

    /// Operators' requests, which do not depend on the module.
    pub(super) async fn carry_out_operators(&self, call: &Call, key_id: KeyId) -> Served {
        let commands = self.commands();
        let actor = Actor::Operator { id: key_id };
        match &call.verb {
            Verb::MovePayout { payout, .. } => {
                let key = PayoutKey::Any(parse(payout)?);
                if self.bugs.is(Bug::OperatorsGated) {
                    commands.payment_module(commands.payout(key).await?.account_id).await?;
                }
                self.move_payout(call, key, &actor, AccountId::OPERATORS).await
            }
            Verb::RequestPayout { account, .. } => {
                let request = self.request(call, AccountId::OPERATORS)?;
                let input = payout_input(call.seller, &call.verb);
                Ok(self.shown(
                    &commands.request_payout(parse(account)?, &input, (Requester::Operator, &actor), request).await?,
                ))
            }
            Verb::Adjust { account, amount, reference } => {
                let reason = "as agreed".to_owned();
                let input = AdjustmentInput { amount: *amount, reason, reference: reference.clone() };
                let Answer { value, replayed, .. } = commands.adjust(parse(account)?, &input, &actor).await?;
                Ok((self.seen(&AdjustmentView::from(&value)).0, replayed))
            }
            Verb::RetryGivenUp => {
                for given_up in self.storage.given_up(None, Limit::parse(Some("100"))?).await?.rows {
                    // A delivery's subscription may be deleted, or another operator may have retried it.
                    if let Err(failure) = commands.retry_effect(given_up.account_id, given_up.id).await {
                        self.failed(&failure);
                    }
                }
                Ok((Value::Null, false))
            }
            Verb::VerifyBooks => Ok(self.seen(&verify(&*self.storage, None, &Verification::default()).await?)),
            other => Err(unexpected(other)),
        }
    }

    async fn move_payout(&self, call: &Call, key: PayoutKey, actor: &Actor, account: AccountId) -> Served {
        let Verb::MovePayout { step, text, .. } = &call.verb else { return Err(unexpected(&call.verb)) };
        let (request, text) = (self.request(call, account)?, text.clone());
        let step = match step {
            Step::InTransit => PayoutStep::MarkInTransit { reference: text },
            Step::Paid => PayoutStep::MarkPaid { reference: text },
            Step::Failed => PayoutStep::MarkFailed { failure_reason: text },
        };
        Ok(self.shown(&self.commands().move_payout(key, &step, actor, request).await?))
    }

    /// As `secrets forget` of the reference host.
    async fn forget_keys(&self) -> Served {
        for _ in 0..RESEALS_MAX {
            let pass = if self.bugs.is(Bug::KeysForgottenEarly) {
                Resealed::default()
            } else {
                self.commands().reseal().await?
            };
            if pass.unopened > 0 {
                return Ok((resealed_json(pass), false));
            }
            if pass.resealed == 0 {
                self.world.line("old keys for secrets at rest are forgotten");
                self.world.sealer.forget();
                return Ok((resealed_json(pass), false));
            }
        }
        Err(Failure::Busy)
    }

    fn shown_shop(&self, mut shop: ShopView) -> (Value, bool) {
        if self.bugs.is(Bug::BankDetailsOnStorefront) {
            // As a careless page that prints everything that the seller typed.
            let typed = storefront_input(shop.storefront.slug.as_str()).manual_instructions;
            shop.storefront.bio = typed.or(shop.storefront.bio);
        }
        self.seen(&shop)
    }

    pub(super) async fn carry_out_keyed(&self, call: &Call, caller: Caller) -> Served {
        let commands = self.commands();
        let account = caller.account_id;
        let actor = Actor::Key { id: caller.key_id };
        let request = self.request(call, account)?;
        let limit = Limit::parse(Some("100"))?;
        if call.verb.uses_payment_module() {
            commands.payment_module(account).await?;
        }
        match &call.verb {
            Verb::Confirm { order, note } => {
                let answer = commands.confirm_payment(account, parse(order)?, &actor, note.as_deref(), request).await?;
                Ok(self.shown(&answer))
            }
            Verb::Patch { order, status, quote } => {
                let patch = OrderPatch { status: status.and_then(WorkStatus::parse), quoted_price_idr: *quote };
                let answer = commands.patch_order(account, parse(order)?, patch, &actor, request).await?;
                Ok(self.shown(&answer))
            }
            Verb::Read { order } => Ok(self.seen(&commands.order(account, parse(order)?).await?)),
            Verb::RotateToken { order } => {
                Ok(self.shown(&commands.rotate_token(account, parse(order)?, &actor, request).await?))
            }
            Verb::List => {
                let page = commands.orders(account, &OrderFilter::default(), None, limit).await?;
                Ok((serde_json::json!({"orders": self.seen(&page.orders).0, "counts": page.counts}), false))
            }
            Verb::PutStorefront { slug, variant, hide_branding, published } => {
                let input = storefront(call.seller, slug, *variant, *hide_branding, *published);
                Ok(self.shown(&commands.put_storefront(account, &input, request).await?))
            }
            Verb::GetStorefront => Ok(self.seen(&commands.storefront(account).await?)),
            Verb::Reprice { service, price } => {
                let input = ServiceInput { price_idr: Some(Some(*price)), ..ServiceInput::default() };
                Ok(self.shown(&commands.update_service(account, parse(service)?, &input, request).await?))
            }
            Verb::AddService { slug } => {
                Ok(self.shown(&commands.create_service(account, &service_input(slug, 5_000), request).await?))
            }
            Verb::Services => Ok(self.seen(&commands.services(account).await?)),
            Verb::DropService { service } => {
                commands.delete_service(account, parse(service)?).await?;
                Ok((Value::Null, false))
            }
            Verb::Subscribe { url, events } => {
                let events = Some(events.iter().map(|event| (*event).to_owned()).collect());
                let input = SubscriptionInput { url: Some(url.clone()), events, active: None };
                let answer = WebhookRegistration::new(&*self.storage, &*self.sink, self.environment())
                    .create_subscription(account, &input, request)
                    .await?;
                self.world.see(&Event::Secret(answer.value.secret.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::Pause { subscription, active } => {
                let input = SubscriptionInput { active: Some(*active), ..SubscriptionInput::default() };
                let answer = commands.update_subscription(account, parse(subscription)?, &input, request).await?;
                Ok(self.shown(&answer))
            }
            Verb::Unsubscribe { subscription } => {
                commands.delete_subscription(account, parse(subscription)?).await?;
                Ok((Value::Null, false))
            }
            Verb::RotateSecret { subscription } => {
                let answer = commands.rotate_secret(account, parse(subscription)?, request).await?;
                self.world.see(&Event::Secret(answer.value.secret.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::Redeliver { delivery } => {
                Ok(self.shown(&commands.retry_delivery(account, parse(delivery)?, request).await?))
            }
            Verb::Subscriptions => Ok(self.seen(&commands.subscriptions(account).await?)),
            Verb::Deliveries => {
                let (log, _) = commands.deliveries(account, &DeliveryFilter::default(), None, limit).await?;
                Ok(self.seen(&log))
            }
            Verb::AddKey { name } => {
                let answer = commands.create_key(account, name, request).await?;
                self.world.see(&Event::Secret(answer.value.key.reveal()));
                Ok(self.shown(&answer))
            }
            Verb::SwitchPayment { on } => {
                let switches = ModuleSwitches { payment: Some(*on), marketing: None };
                Ok(self.shown(&self.online().switch_modules(account, switches, request).await?))
            }
            Verb::SwitchMarketing { on } => {
                let switches = ModuleSwitches { payment: None, marketing: Some(*on) };
                if self.bugs.is(Bug::ModuleAlwaysAvailable) {
                    return self.switch_unavailable_modules(account, switches).await;
                }
                Ok(self.shown(&self.online().switch_modules(account, switches, request).await?))
            }
            Verb::RequestPayout { .. } => {
                let input = payout_input(call.seller, &call.verb);
                Ok(self.shown(&commands.request_payout(account, &input, (Requester::Seller, &actor), request).await?))
            }
            Verb::CancelPayout { payout } => {
                let key = PayoutKey::Id(account, parse(payout)?);
                Ok(self.shown(&commands.move_payout(key, &PayoutStep::Cancel, &actor, request).await?))
            }
            Verb::MovePayout { payout, .. } => {
                self.move_payout(call, PayoutKey::Any(parse(payout)?), &actor, account).await
            }
            Verb::PatchBankAccount { variant, whole } => {
                let input = bank_account_input(call.seller, *variant, *whole);
                Ok(self.shown(&commands.patch_bank_account(account, &input, request).await?))
            }
            Verb::BankAccount => Ok(self.seen(&commands.bank_account(account).await?)),
            Verb::Payouts => Ok(self.seen(&commands.payouts(account, None, None, limit).await?.payouts)),
            Verb::Payout { payout } => Ok(self.seen(&commands.payout(PayoutKey::Id(account, parse(payout)?)).await?)),
            Verb::PayoutBalance => Ok(self.seen(&commands.payout_balance(account).await?)),
            Verb::Balance => Ok(self.seen(&commands.balance(account).await?)),
            Verb::Entries => {
                Ok(self.seen(&commands.entries(account, &EntryFilter::default(), None, limit).await?.entries))
            }
            Verb::Exceptions => Ok(self.seen(&commands.exceptions(account, None, None, limit).await?.exceptions)),
            Verb::Resolve { exception, note, adjustment } => {
                let adjustment_id = adjustment.as_deref().map(parse).transpose()?;
                let resolution = Resolution { note: Some(note), adjustment_id };
                let answer =
                    commands.resolve_exception(account, parse(exception)?, resolution, &actor, request).await?;
                Ok(self.shown(&answer))
            }
            other => Err(unexpected(other)),
        }
    }

    /// A planted bug: switches as if every module were available.
    async fn switch_unavailable_modules(&self, account: AccountId, switches: ModuleSwitches) -> Served {
        let snapshot = self.storage.account(account, None).await?.ok_or_else(not_found)?;
        let now = self.clock.now();
        let ids = self.ids.sequence(now);
        let mut context = Context { now, ids, policy: &self.world.policy, request: None };
        let available = Modules { payment: true, marketing: true };
        if let Decision::Change(change, _) = switch_modules(&snapshot, switches, available, &mut context)? {
            self.storage.commit(&change).await.map_err(|_| Failure::Busy)?;
        }
        Ok((serde_json::json!({"modules": {"marketing": switches.marketing}}), false))
    }

    fn request(&self, call: &Call, account: AccountId) -> Result<Option<IdempotentRequest>, Failure> {
        let Some(key) = &call.idempotency_key else { return Ok(None) };
        let (method, path) = call.verb.route();
        let body = if self.bugs.is(Bug::IdempotencyByKeyOnly) { String::new() } else { call.verb.body() };
        Ok(Some(IdempotentRequest::new(account, method, &path, key, body.as_bytes())?))
    }
}

fn resealed_json(Resealed { seen, resealed, unopened }: Resealed) -> Value {
    serde_json::json!({"seen": seen, "resealed": resealed, "unopened": unopened})
}

fn not_found() -> Rejection {
    Rejection::NotFound("thing")
}

/// As in the reference host, a malformed id is not found.
fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| not_found().into())
}

fn parse_token(text: &str) -> Result<AccessToken, Failure> {
    AccessToken::parse(text).ok_or_else(|| not_found().into())
}

fn unexpected(_verb: &Verb) -> Failure {
    PortError::permanent("a request without its credential").into()
}
