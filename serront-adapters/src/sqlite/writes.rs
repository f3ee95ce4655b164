//! What a change set writes, as statements of one script.

use serde_json::to_string;
use serront_core::accounts::account::{Account, AccountState};
use serront_core::accounts::key::KeyRecord;
use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{Claim, ClaimName, SessionName, Write};
use serront_core::changes::effect::{Discard, Effect, EffectId};
use serront_core::funds::ledger::LedgerEntry;
use serront_core::online::checkout::{Checkout, CheckoutState};
use serront_core::online::exception::{ExceptionState, PaymentException};
use serront_core::online::inbox::InboxRecord;
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::order::{Order, OrderState, WorkStatus};
use serront_core::orders::payment::{Payment, PaymentState};
use serront_core::primitives::ids::{AccountId, CheckoutId, OrderId, PaymentId};
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::Service;
use serront_core::shop::storefront::Storefront;
use serront_core::webhooks::subscription::{Subscription, SubscriptionState};

use super::payouts;
use super::script::Script;
use crate::sql::error::Failed;
use crate::sql::ledger::{self, ENTRY};
use crate::sql::names::{Place, image_word, place};
use crate::sql::search::indexed;
use crate::sql::work::table;

const STOREFRONT_AGAIN: &str = " ON CONFLICT (account_id) DO UPDATE SET version = excluded.version, \
    slug = excluded.slug, display_name = excluded.display_name, bio = excluded.bio, payment = excluded.payment, \
    hide_branding = excluded.hide_branding, published = excluded.published, updated_at = excluded.updated_at";

const SERVICE_AGAIN: &str = " ON CONFLICT (account_id, service_id) DO UPDATE SET version = excluded.version, \
    slug = excluded.slug, name = excluded.name, description = excluded.description, pricing = excluded.pricing, \
    active = excluded.active, sort_order = excluded.sort_order, updated_at = excluded.updated_at";

/// Adds what a write does.
pub(super) fn write(script: &mut Script, account: AccountId, write: &Write, at: Timestamp) -> Result<(), Failed> {
    match write {
        Write::InsertAccount(new) => insert_account(script, new),
        Write::UpdateAccount(state) => update_account(script, account, state),
        Write::PutStorefront(storefront) => put_storefront(script, storefront),
        Write::PutService(service) => put_service(script, service),
        Write::DeleteService(id) => {
            script
                .add("DELETE FROM services WHERE service_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::InsertOrder(order, payment) => {
            insert_order(script, order);
            insert_payment(script, account, payment);
            count(script, account, order.state.status, 1);
            Ok(())
        }
        Write::UpdateOrder { id, was, state } => {
            update_order(script, account, *id, state);
            if *was != state.status {
                count(script, account, *was, -1);
                count(script, account, state.status, 1);
            }
            Ok(())
        }
        Write::UpdatePayment { id, order_id, state } => {
            update_payment(script, account, *id, *order_id, state);
            Ok(())
        }
        Write::InsertKey(key) => {
            insert_key(script, key);
            Ok(())
        }
        Write::DeleteKey(id) => {
            script
                .add("DELETE FROM api_keys WHERE key_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::InsertSubscription(subscription, secret) => insert_subscription(script, subscription, secret),
        Write::UpdateSubscription(id, SubscriptionState { version, url, events, active }) => {
            script
                .add(
                    "UPDATE subscriptions SET version = ?, url = ?, events = ?, active = ?, failures = 0, failing_since = NULL \
                 WHERE subscription_id = ? AND account_id = ?",
                )
                .bind(version.0)
                .bind(url)
                .bind(json(events)?)
                .bind(active)
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::DeleteSubscription(id) => {
            script
                .add("DELETE FROM subscriptions WHERE subscription_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::RotateSecret { id, version, secret, previous_until } => {
            script
                .add(
                    "UPDATE subscriptions SET version = ?, previous_secret = secret, previous_until = ?, secret = ? \
                     WHERE subscription_id = ? AND account_id = ?",
                )
                .bind(version.0)
                .bind(previous_until.millis())
                .bind(secret.as_stored())
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::ResealSecrets { id, version, secret, previous_secret } => {
            script
                .add(
                    "UPDATE subscriptions SET version = ?, secret = ?, previous_secret = ? \
                     WHERE subscription_id = ? AND account_id = ?",
                )
                .bind(version.0)
                .bind(secret.as_stored())
                .bind(previous_secret.as_ref().map(SealedSecret::as_stored))
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::RotateToken { id, version, access_token, updated_at } => {
            script
                .add(
                    "UPDATE orders SET version = ?, access_token = ?, access_token_hash = ?, updated_at = ? \
                     WHERE order_id = ? AND account_id = ?",
                )
                .bind(version.0)
                .bind(access_token.reveal())
                .bind(access_token.hash().to_string())
                .bind(updated_at.millis())
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::AppendAudit(record) => append_audit(script, record),
        Write::InsertCheckout(checkout) => {
            insert_checkout(script, checkout);
            Ok(())
        }
        Write::UpdateCheckout { id, order_id, state } => {
            update_checkout(script, account, *id, *order_id, state);
            Ok(())
        }
        Write::PutSession(name) => {
            put_session(script, account, name);
            Ok(())
        }
        Write::PutProvisioning(provisioning) => put_provisioning(script, provisioning),
        Write::Post(legs) => {
            post(script, legs);
            Ok(())
        }
        Write::InsertException(exception) => {
            insert_exception(script, exception);
            Ok(())
        }
        Write::UpdateException(id, ExceptionState { version, status, note, adjustment_id, resolved_at }) => {
            script
                .add(
                    "UPDATE exceptions SET version = ?, status = ?, note = ?, adjustment_id = ?, resolved_at = ? \
                     WHERE exception_id = ? AND account_id = ?",
                )
                .bind(version.0)
                .bind(status.as_str())
                .bind(note)
                .bind(adjustment_id.map(|id| id.to_string()))
                .bind(resolved_at.map(Timestamp::millis))
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
        Write::InsertInbox(record) => {
            insert_inbox(script, record);
            Ok(())
        }
        Write::UpdateInbox(id, status) => {
            script
                .add("UPDATE inbox SET status = ? WHERE event_id = ? AND account_id = ?")
                .bind(status.as_str())
                .bind(id.as_str())
                .bind(account.to_string());
            Ok(())
        }
        Write::PutFunds(funds) => {
            payouts::put_funds(script, funds);
            Ok(())
        }
        Write::PutBankAccount(bank_account) => payouts::put_bank_account(script, bank_account),
        Write::InsertPayout(payout) => payouts::insert(script, payout),
        Write::UpdatePayout(id, state) => {
            payouts::update(script, account, *id, state);
            Ok(())
        }
        Write::AppendPayoutAudit(record) => payouts::append_audit(script, record),
        Write::InsertAdjustment(adjustment) => payouts::insert_adjustment(script, adjustment),
        Write::Requeue(id) => {
            requeue(script, account, *id, at);
            Ok(())
        }
        Write::Discard(record) => discard(script, record),
        Write::GiveUpDeliveries(id) => {
            script
                .add(
                    "UPDATE effects SET status = 'failed', discarded = 1, lease_until = 0 \
                     WHERE subscription_id = ? AND account_id = ? AND status = 'pending'",
                )
                .bind(id.to_string())
                .bind(account.to_string());
            Ok(())
        }
    }
}

fn insert_account(script: &mut Script, account: &Account) -> Result<(), Failed> {
    let Account { id, name, created_at, state } = account;
    script
        .add(
            "INSERT INTO accounts (account_id, name, created_at, version, tier, modules, plugipay_account_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(name)
        .bind(created_at.millis())
        .bind(state.version.0)
        .bind(state.tier.as_str())
        .bind(json(&state.modules)?)
        .bind(&state.plugipay_account_id);
    Ok(())
}

fn update_account(script: &mut Script, account: AccountId, state: &AccountState) -> Result<(), Failed> {
    script
        .add("UPDATE accounts SET version = ?, tier = ?, modules = ?, plugipay_account_id = ? WHERE account_id = ?")
        .bind(state.version.0)
        .bind(state.tier.as_str())
        .bind(json(&state.modules)?)
        .bind(&state.plugipay_account_id)
        .bind(account.to_string());
    Ok(())
}

fn put_storefront(script: &mut Script, storefront: &Storefront) -> Result<(), Failed> {
    let Storefront { account_id, version, profile, created_at, updated_at } = storefront;
    let again = if *version == Version::FIRST { "" } else { STOREFRONT_AGAIN };
    script
        .add(&format!(
            "INSERT INTO storefronts (account_id, version, slug, display_name, bio, payment, hide_branding, published, \
         created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?){again}"
        ))
        .bind(account_id.to_string())
        .bind(version.0)
        .bind(profile.slug.as_str())
        .bind(&profile.display_name)
        .bind(&profile.bio)
        .bind(json(&profile.payment)?)
        .bind(profile.hide_branding)
        .bind(profile.published)
        .bind(created_at.millis())
        .bind(updated_at.millis());
    Ok(())
}

fn put_service(script: &mut Script, service: &Service) -> Result<(), Failed> {
    let Service { id, account_id, version, offer, created_at, updated_at } = service;
    // A first write has no version before it to guard on: a row that is there already is told by the constraint.
    let again = if *version == Version::FIRST { "" } else { SERVICE_AGAIN };
    script
        .add(&format!(
            "INSERT INTO services (service_id, account_id, version, slug, name, description, pricing, active, \
         sort_order, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?){again}"
        ))
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(version.0)
        .bind(offer.slug.as_str())
        .bind(&offer.name)
        .bind(&offer.description)
        .bind(json(&offer.pricing)?)
        .bind(offer.active)
        .bind(offer.sort_order)
        .bind(created_at.millis())
        .bind(updated_at.millis());
    Ok(())
}

fn insert_order(script: &mut Script, order: &Order) {
    let Order { buyer, state, .. } = order;
    script.add(
        "INSERT INTO orders (order_id, account_id, number, service_id, access_token, access_token_hash, buyer_name, \
         buyer_email, buyer_phone, package_name, preferred_date, notes, language, created_at, version, \
         status, payment_status, quoted_price, updated_at) \
         VALUES (?, ?, (SELECT last_number FROM order_numbers WHERE account_id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
         ?, ?, ?, ?, ?)",
    )
    .bind(order.id.to_string())
    .bind(order.account_id.to_string())
    .bind(order.account_id.to_string())
    .bind(order.service_id.to_string())
    .bind(order.access_token.reveal())
    .bind(order.access_token.hash().to_string())
    .bind(&buyer.name)
    .bind(buyer.email.as_str())
    .bind(&buyer.phone)
    .bind(&order.package_name)
    .bind(&order.preferred_date)
    .bind(&order.notes)
    .bind(order.language.as_str())
    .bind(order.created_at.millis())
    .bind(state.version.0)
    .bind(state.status.as_str())
    .bind(state.payment_status.as_str())
    .bind(state.quoted_price.get())
    .bind(state.updated_at.millis());
    script.add("INSERT INTO order_words (rowid, words) VALUES (last_insert_rowid(), ?)").bind(indexed(order));
}

fn update_order(script: &mut Script, account: AccountId, id: OrderId, state: &OrderState) {
    script
        .add(
            "UPDATE orders SET version = ?, status = ?, payment_status = ?, quoted_price = ?, updated_at = ? \
         WHERE order_id = ? AND account_id = ?",
        )
        .bind(state.version.0)
        .bind(state.status.as_str())
        .bind(state.payment_status.as_str())
        .bind(state.quoted_price.get())
        .bind(state.updated_at.millis())
        .bind(id.to_string())
        .bind(account.to_string());
}

fn bind_payment_state<'s>(script: &'s mut Script, state: &PaymentState) -> &'s mut Script {
    let receipt = state.receipt.as_ref();
    script
        .bind(state.status.as_str())
        .bind(state.amount_due.get())
        .bind(receipt.map(|receipt| receipt.upload_id.to_string()))
        .bind(receipt.map(|receipt| image_word(receipt.image_type)))
        .bind(receipt.map(|receipt| receipt.bytes))
        .bind(receipt.map(|receipt| receipt.sha256.to_string()))
        .bind(receipt.map(|receipt| receipt.uploaded_at.millis()))
}

fn insert_payment(script: &mut Script, account: AccountId, payment: &Payment) {
    script.add(
        "INSERT INTO payments (status, amount_due, receipt_upload_id, receipt_type, receipt_bytes, receipt_sha256, \
         receipt_at, payment_id, account_id, order_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    bind_payment_state(script, &payment.state)
        .bind(payment.id.to_string())
        .bind(account.to_string())
        .bind(payment.order_id.to_string());
}

fn update_payment(script: &mut Script, account: AccountId, id: PaymentId, order: OrderId, state: &PaymentState) {
    script.add(
        "UPDATE payments SET status = ?, amount_due = ?, receipt_upload_id = ?, receipt_type = ?, receipt_bytes = ?, \
         receipt_sha256 = ?, receipt_at = ? WHERE payment_id = ? AND account_id = ? AND order_id = ?",
    );
    bind_payment_state(script, state).bind(id.to_string()).bind(account.to_string()).bind(order.to_string());
}

fn count(script: &mut Script, account: AccountId, status: WorkStatus, by: i64) {
    script
        .add(if by > 0 {
            "INSERT INTO order_counts (orders, account_id, status) VALUES (?, ?, ?) \
             ON CONFLICT (account_id, status) DO UPDATE SET orders = orders + excluded.orders"
        } else {
            "UPDATE order_counts SET orders = orders + ? WHERE account_id = ? AND status = ?"
        })
        .bind(by)
        .bind(account.to_string())
        .bind(status.as_str());
}

fn insert_key(script: &mut Script, key: &KeyRecord) {
    script
        .add(
            "INSERT INTO api_keys (key_id, account_id, name, prefix, hash, created_at, last_used_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(key.id.to_string())
        .bind(key.account_id.to_string())
        .bind(&key.name)
        .bind(&key.prefix)
        .bind(key.hash.to_string())
        .bind(key.created_at.millis())
        .bind(key.last_used_at.map(Timestamp::millis));
}

fn insert_subscription(script: &mut Script, subscription: &Subscription, secret: &SealedSecret) -> Result<(), Failed> {
    let Subscription { id, account_id, created_at, state } = subscription;
    script
        .add(
            "INSERT INTO subscriptions (subscription_id, account_id, created_at, version, url, events, active, secret) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(created_at.millis())
        .bind(state.version.0)
        .bind(&state.url)
        .bind(json(&state.events)?)
        .bind(state.active)
        .bind(secret.as_stored());
    Ok(())
}

fn append_audit(script: &mut Script, record: &AuditRecord) -> Result<(), Failed> {
    script
        .add(
            "INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act, note) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(record.id.to_string())
        .bind(record.account_id.to_string())
        .bind(record.order_id.to_string())
        .bind(record.payment_id.to_string())
        .bind(record.at.millis())
        .bind(json(&record.actor)?)
        .bind(json(&record.act)?)
        .bind(&record.note);
    Ok(())
}

fn bind_checkout_state<'s>(script: &'s mut Script, state: &CheckoutState) -> &'s mut Script {
    let session = state.session.as_ref();
    script
        .bind(state.status.as_str())
        .bind(session.map(|session| session.id.to_string()))
        .bind(session.map(|session| session.hosted_url.clone()))
        .bind(session.map(|session| session.expires_at.millis()))
        .bind(state.unneeded)
        .bind(state.ended_at.map(Timestamp::millis))
}

fn insert_checkout(script: &mut Script, checkout: &Checkout) {
    let Checkout { id, account_id, order_id, payment_id, amount, fee_rate, request, created_at, state } = checkout;
    script.add(
        "INSERT INTO checkouts (status, session_id, hosted_url, expires_at, unneeded, ended_at, checkout_id, account_id, \
         order_id, payment_id, amount, fee_rate, request, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    bind_checkout_state(script, state)
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(order_id.to_string())
        .bind(payment_id.to_string())
        .bind(amount.get())
        .bind(fee_rate.to_string())
        .bind(request)
        .bind(created_at.millis());
}

fn update_checkout(script: &mut Script, account: AccountId, id: CheckoutId, order: OrderId, state: &CheckoutState) {
    script.add(
        "UPDATE checkouts SET status = ?, session_id = ?, hosted_url = ?, expires_at = ?, unneeded = ?, ended_at = ? \
         WHERE checkout_id = ? AND account_id = ? AND order_id = ?",
    );
    bind_checkout_state(script, state).bind(id.to_string()).bind(account.to_string()).bind(order.to_string());
}

fn put_session(script: &mut Script, account: AccountId, name: &SessionName) {
    let SessionName { id, version, checkout_id } = name;
    script
        .add(
            "INSERT INTO sessions (session_id, account_id, version, checkout_id) VALUES (?, ?, ?, ?) \
             ON CONFLICT (session_id, account_id) DO UPDATE SET version = excluded.version, \
             checkout_id = excluded.checkout_id",
        )
        .bind(id.as_str())
        .bind(account.to_string())
        .bind(version.0)
        .bind(checkout_id.map(|id| id.to_string()));
}

fn put_provisioning(script: &mut Script, provisioning: &Provisioning) -> Result<(), Failed> {
    let Provisioning { account_id, version, state } = provisioning;
    script
        .add(
            "INSERT INTO provisioning (account_id, version, state) VALUES (?, ?, ?) \
             ON CONFLICT (account_id) DO UPDATE SET version = excluded.version, state = excluded.state",
        )
        .bind(account_id.to_string())
        .bind(version.0)
        .bind(json(state)?);
    Ok(())
}

fn post(script: &mut Script, legs: &[LedgerEntry]) {
    let places = format!("({})", vec!["?"; ENTRY.len()].join(", "));
    let rows = vec![places.as_str(); legs.len()].join(", ");
    script.add(&format!("INSERT INTO ledger_entries ({}) VALUES {rows}", ENTRY.join(", ")));
    for leg in legs {
        script
            .bind(leg.id.to_string())
            .bind(leg.account_id.to_string())
            .bind(leg.tx_id.to_string())
            .bind(leg.book.as_str())
            .bind(leg.code.as_str())
            .bind(leg.direction.as_str())
            .bind(leg.amount.get())
            .bind(leg.source_type.as_str())
            .bind(&leg.source_id)
            .bind(&leg.description)
            .bind(leg.created_at.millis());
    }
}

/// Adds what the postings among these writes do to the seller's totals.
pub(super) fn balances(script: &mut Script, account: AccountId, writes: &[Write]) -> Result<(), Failed> {
    for (code, added) in ledger::added(writes)? {
        script
            .add(
                "INSERT INTO ledger_balances (account_id, code, debits, credits) VALUES (?, ?, ?, ?) \
                 ON CONFLICT (account_id, code) DO UPDATE SET debits = debits + excluded.debits, \
                 credits = credits + excluded.credits",
            )
            .bind(account.to_string())
            .bind(code.as_str())
            .bind(added.debits)
            .bind(added.credits);
    }
    Ok(())
}

fn insert_exception(script: &mut Script, exception: &PaymentException) {
    let PaymentException { id, account_id, kind, order_id, session_id, amount, created_at, state } = exception;
    script
        .add(
            "INSERT INTO exceptions (exception_id, account_id, version, kind, order_id, session_id, amount, created_at, \
             status, note, adjustment_id, resolved_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(state.version.0)
        .bind(kind.as_str())
        .bind(order_id.to_string())
        .bind(session_id.as_str())
        .bind(amount.get())
        .bind(created_at.millis())
        .bind(state.status.as_str())
        .bind(&state.note)
        .bind(state.adjustment_id.map(|id| id.to_string()))
        .bind(state.resolved_at.map(Timestamp::millis));
}

fn insert_inbox(script: &mut Script, record: &InboxRecord) {
    let InboxRecord { account_id, event_id, event_type, session_id, body, received_at, status } = record;
    script
        .add(
            "INSERT INTO inbox (event_id, account_id, event_type, session_id, body, received_at, status) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(event_id.as_str())
        .bind(account_id.to_string())
        .bind(event_type)
        .bind(session_id.as_ref().map(|id| id.as_str().to_owned()))
        .bind(body)
        .bind(received_at.millis())
        .bind(status.as_str());
}

fn errand(script: &mut Script, account: AccountId, effect: &Effect, content: String, at: Timestamp) {
    script
        .add(
            "INSERT INTO errands (effect_id, account_id, content, created_at, status, due_at) \
             VALUES (?, ?, ?, ?, 'pending', ?)",
        )
        .bind(effect.id().to_string())
        .bind(account.to_string())
        .bind(content)
        .bind(at.millis())
        .bind(effect.due_at(at).millis());
}

/// Adds an effect, with the number of a new order in its marked place.
pub(super) fn effect(script: &mut Script, account: AccountId, effect: &Effect, at: Timestamp) -> Result<(), Failed> {
    let (kind, before, after, delivery) = match effect {
        Effect::Mail { mail, .. } => ("mail", json(mail)?, None, None),
        Effect::Removal { upload_id, .. } => ("removal", upload_id.to_string(), None, None),
        Effect::Delivery(delivery) => {
            let (before, after) = delivery.body.parts();
            ("delivery", before.to_owned(), after, Some(delivery))
        }
        Effect::Errand { errand: of, .. } => {
            errand(script, account, effect, json(of)?, at);
            return Ok(());
        }
    };
    script
        .add(&format!(
            "INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, \
             created_at, status, due_at) VALUES (?, ?, ?, {}, ?, ?, ?, ?, 'pending', ?)",
            place_for(after)
        ))
        .bind(effect.id().to_string())
        .bind(account.to_string())
        .bind(kind)
        .marked(account, before, after)
        .bind(delivery.map(|delivery| delivery.subscription_id.to_string()))
        .bind(delivery.map(|delivery| delivery.event_id.to_string()))
        .bind(delivery.map(|delivery| delivery.event_type.as_str()))
        .bind(at.millis())
        .bind(at.millis());
    Ok(())
}

fn requeue(script: &mut Script, account: AccountId, id: EffectId, at: Timestamp) {
    let table = table(id.lane());
    script
        .add(&format!(
            "UPDATE {table} SET status = 'pending', discarded = 0, due_at = ?, lease_until = 0 \
             WHERE effect_id = ? AND account_id = ?"
        ))
        .bind(at.millis())
        .bind(id.to_string())
        .bind(account.to_string());
}

fn discard(script: &mut Script, record: &Discard) -> Result<(), Failed> {
    let Discard { id, account_id, effect_id, at, actor, reason } = record;
    let table = table(effect_id.lane());
    script
        .add(&format!("UPDATE {table} SET discarded = 1 WHERE effect_id = ? AND account_id = ?"))
        .bind(effect_id.to_string())
        .bind(account_id.to_string());
    script
        .add("INSERT INTO discards (audit_id, account_id, effect_id, at, actor, reason) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(id.to_string())
        .bind(account_id.to_string())
        .bind(effect_id.to_string())
        .bind(at.millis())
        .bind(json(actor)?)
        .bind(reason);
    Ok(())
}

/// Adds the claim of a name.
pub(super) fn claim(script: &mut Script, account: AccountId, claim: &Claim) -> Result<(), Failed> {
    match place(&claim.name) {
        Place::Directory(kind, name) => script
            .add("INSERT INTO directory (account_id, kind, name) VALUES (?, ?, ?)")
            .bind(account.to_string())
            .bind(kind)
            .bind(name),
        Place::Claim(kind, name) => script
            .add("INSERT INTO claims (account_id, kind, name) VALUES (?, ?, ?)")
            .bind(account.to_string())
            .bind(kind)
            .bind(name),
        Place::Kept(scope) => {
            let kept = claim.kept.as_ref().ok_or(Failed::Refused("an idempotency key with nothing kept"))?;
            let (before, after) = kept.outcome.parts();
            // What is there already has ended: it was looked at.
            script
                .add(&format!(
                    "INSERT INTO kept_outcomes (account_id, scope, fingerprint, outcome, until) VALUES (?, ?, ?, {}, ?) \
                     ON CONFLICT (scope, account_id) DO UPDATE SET fingerprint = excluded.fingerprint, \
                     outcome = excluded.outcome, until = excluded.until",
                    place_for(after)
                ))
                .bind(account.to_string())
                .bind(scope)
                .bind(kept.fingerprint.to_string())
                .marked(account, before.to_owned(), after)
                .bind(kept.until.millis())
        }
    };
    Ok(())
}

/// Adds the release of a name.
pub(super) fn release(script: &mut Script, account: AccountId, name: &ClaimName) {
    match place(name) {
        Place::Directory(kind, name) => {
            script.add("DELETE FROM directory WHERE kind = ? AND name = ? AND account_id = ?").bind(kind).bind(name)
        }
        Place::Claim(kind, name) => {
            script.add("DELETE FROM claims WHERE kind = ? AND name = ? AND account_id = ?").bind(kind).bind(name)
        }
        Place::Kept(scope) => script.add("DELETE FROM kept_outcomes WHERE scope = ? AND account_id = ?").bind(scope),
    }
    .bind(account.to_string());
}

const fn place_for(after: Option<&str>) -> &'static str {
    if after.is_some() { "? || (SELECT last_number FROM order_numbers WHERE account_id = ?) || ?" } else { "?" }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, Failed> {
    to_string(value).map_err(|_| Failed::Refused("a value that can't be written as JSON"))
}
