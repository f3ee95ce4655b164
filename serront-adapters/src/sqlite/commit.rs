//! Applying a change set, statement by statement, inside the writer's transaction and a savepoint of its own.

use serde_json::to_string;
use serront_core::account::{Account, AccountState, Version};
use serront_core::audit::AuditRecord;
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, Claim, ClaimName, Committed, Duplicate, Guard, Row as Guarded, Write};
use serront_core::effect::Effect;
use serront_core::ids::{AccountId, OrderId, PaymentId};
use serront_core::key::{KeyRecord, WebhookSecret};
use serront_core::order::{Order, OrderNumber, OrderState, WorkStatus};
use serront_core::payment::{Payment, PaymentState};
use serront_core::ports::CommitError;
use serront_core::storefront::Storefront;
use serront_core::subscription::{Subscription, SubscriptionState};
use serront_core::time::Timestamp;
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use crate::sql::error::{Failed, unique_violation};
use crate::sql::names::{Place, image_word, place};
use crate::sql::rows;
use crate::sql::search::indexed;

/// Why a change set was not applied.
#[derive(Debug)]
pub(super) enum Refusal {
    Conflict,
    Duplicate(Box<Duplicate>),
    Failed(Failed),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// A unique constraint is the last guard: whoever meets one reads and decides again.
impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if unique_violation(&error) { Self::Conflict } else { Self::Failed(error.into()) }
    }
}

impl From<Refusal> for CommitError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict => Self::Conflict,
            Refusal::Duplicate(duplicate) => Self::Duplicate(duplicate),
            Refusal::Failed(failed) => failed.into(),
        }
    }
}

type Applied<T> = Result<T, Refusal>;

/// Applies a change set. On any error the caller rolls back to the savepoint before it.
pub(super) async fn apply(connection: &mut SqliteConnection, change: &ChangeSet) -> Applied<Committed> {
    change.check().map_err(|inconsistent| Failed::Refused(inconsistent.0))?;
    if let Some(committed) = super::read::outcome(connection, change.account_id, change.id).await? {
        return Ok(committed);
    }
    let account = change.account_id;
    for guard in &change.guards {
        if !holds(connection, account, guard).await? {
            return Err(Refusal::Conflict);
        }
    }
    let number = if change.places_order() { Some(next_number(connection, account).await?) } else { None };
    for name in &change.releases {
        release(connection, account, name).await?;
    }
    for made in &change.claims {
        claim(connection, account, made, change.at, number).await?;
    }
    for write in &change.writes {
        apply_write(connection, account, write, number).await?;
    }
    for effect in &change.effects {
        insert_effect(connection, account, effect, change.at, number).await?;
    }
    sqlx::query("INSERT INTO change_sets (change_set_id, account_id, at, number) VALUES (?, ?, ?, ?)")
        .bind(change.id.to_string())
        .bind(account.to_string())
        .bind(change.at.millis())
        .bind(number.map(|number| number.0))
        .execute(connection)
        .await?;
    Ok(Committed { number })
}

async fn next_number(connection: &mut SqliteConnection, account: AccountId) -> Applied<OrderNumber> {
    let row = sqlx::query(
        "INSERT INTO order_numbers (account_id, last_number) VALUES (?, 1) \
         ON CONFLICT (account_id) DO UPDATE SET last_number = last_number + 1 RETURNING last_number",
    )
    .bind(account.to_string())
    .fetch_one(connection)
    .await?;
    Ok(OrderNumber(rows::whole(&row, "last_number")?))
}

async fn holds(connection: &mut SqliteConnection, account: AccountId, guard: &Guard) -> Applied<bool> {
    Ok(match guard {
        Guard::Exact { row, version } => version_of(connection, account, *row).await? == *version,
        Guard::Settings(version) => version_of(connection, account, Guarded::Account).await? == *version,
        Guard::ServicesBelow(limit) => {
            let row = sqlx::query("SELECT count(*) AS services FROM services WHERE account_id = ?")
                .bind(account.to_string())
                .fetch_one(connection)
                .await?;
            rows::whole::<u32>(&row, "services")? < *limit
        }
        Guard::NoOrdersOf(service) => {
            let row = sqlx::query("SELECT 1 FROM orders WHERE account_id = ? AND service_id = ? LIMIT 1")
                .bind(account.to_string())
                .bind(service.to_string())
                .fetch_optional(connection)
                .await?;
            row.is_none()
        }
    })
}

async fn version_of(connection: &mut SqliteConnection, account: AccountId, row: Guarded) -> Applied<Version> {
    let account = account.to_string();
    let query = match row {
        Guarded::Account => sqlx::query("SELECT version FROM accounts WHERE account_id = ?").bind(account),
        Guarded::Storefront => sqlx::query("SELECT version FROM storefronts WHERE account_id = ?").bind(account),
        Guarded::Service(id) => sqlx::query("SELECT version FROM services WHERE service_id = ? AND account_id = ?")
            .bind(id.to_string())
            .bind(account),
        Guarded::Order(id) => sqlx::query("SELECT version FROM orders WHERE order_id = ? AND account_id = ?")
            .bind(id.to_string())
            .bind(account),
        Guarded::Subscription(id) => {
            sqlx::query("SELECT version FROM subscriptions WHERE subscription_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account)
        }
    };
    match query.fetch_optional(connection).await? {
        None => Ok(Version::ABSENT),
        Some(row) => Ok(Version(rows::whole(&row, "version")?)),
    }
}

async fn release(connection: &mut SqliteConnection, account: AccountId, name: &ClaimName) -> Applied<()> {
    let account = account.to_string();
    let query = match place(name) {
        Place::Directory(kind, name) => {
            sqlx::query("DELETE FROM directory WHERE kind = ? AND name = ? AND account_id = ?").bind(kind).bind(name)
        }
        Place::Claim(kind, name) => {
            sqlx::query("DELETE FROM claims WHERE kind = ? AND name = ? AND account_id = ?").bind(kind).bind(name)
        }
        Place::Kept(scope) => sqlx::query("DELETE FROM kept_outcomes WHERE scope = ? AND account_id = ?").bind(scope),
    };
    let gone = query.bind(account).execute(connection).await?.rows_affected();
    if gone == 0 { Err(Refusal::Conflict) } else { Ok(()) }
}

async fn claim(
    connection: &mut SqliteConnection,
    account: AccountId,
    claim: &Claim,
    at: Timestamp,
    number: Option<OrderNumber>,
) -> Applied<()> {
    let query = match place(&claim.name) {
        Place::Directory(kind, name) => {
            sqlx::query("INSERT INTO directory (account_id, kind, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(account.to_string())
                .bind(kind)
                .bind(name)
        }
        Place::Claim(kind, name) => {
            sqlx::query("INSERT INTO claims (account_id, kind, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(account.to_string())
                .bind(kind)
                .bind(name)
        }
        Place::Kept(scope) => {
            let kept = claim.kept.as_ref().ok_or(Failed::Refused("an idempotency key with nothing kept"))?;
            let outcome = kept.outcome.fill(number).ok_or(Failed::Refused("a place without a number"))?;
            sqlx::query(
                "INSERT INTO kept_outcomes (account_id, scope, fingerprint, outcome, until) VALUES (?, ?, ?, ?, ?) \
                 ON CONFLICT (scope, account_id) DO UPDATE SET fingerprint = excluded.fingerprint, \
                 outcome = excluded.outcome, until = excluded.until WHERE kept_outcomes.until <= ?",
            )
            .bind(account.to_string())
            .bind(scope)
            .bind(kept.fingerprint.to_string())
            .bind(outcome)
            .bind(kept.until.millis())
            .bind(at.millis())
        }
    };
    if query.execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(());
    }
    let kept = match &claim.name {
        ClaimName::Idempotency(scope) => {
            sqlx::query("SELECT fingerprint, outcome, until FROM kept_outcomes WHERE scope = ? AND account_id = ?")
                .bind(scope.to_string())
                .bind(account.to_string())
                .fetch_optional(connection)
                .await?
                .map(|row| rows::kept(&row))
                .transpose()?
        }
        ClaimName::Confirmation(_)
        | ClaimName::ServiceSlug(_)
        | ClaimName::StorefrontSlug(_)
        | ClaimName::KeyHash(_)
        | ClaimName::AccessToken(_) => None,
    };
    Err(Refusal::Duplicate(Box::new(Duplicate { claim: claim.name.clone(), kept })))
}

fn json(value: &impl serde::Serialize) -> Applied<String> {
    to_string(value).map_err(|_| Failed::Refused("a value that is no JSON").into())
}

type Statement<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Executes a statement that must write one row.
async fn one(connection: &mut SqliteConnection, statement: Statement<'_>) -> Applied<()> {
    match statement.execute(connection).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(Failed::Refused("a write of a row that is not there").into()),
    }
}

async fn apply_write(
    connection: &mut SqliteConnection,
    account: AccountId,
    write: &Write,
    number: Option<OrderNumber>,
) -> Applied<()> {
    match write {
        Write::InsertAccount(new) => insert_account(connection, new).await,
        Write::UpdateAccount(state) => update_account(connection, account, state).await,
        Write::PutStorefront(storefront) => put_storefront(connection, storefront).await,
        Write::PutService(service) => put_service(connection, service).await,
        Write::DeleteService(id) => {
            let statement = sqlx::query("DELETE FROM services WHERE service_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account.to_string());
            one(connection, statement).await
        }
        Write::InsertOrder(order, payment) => {
            let number = number.ok_or(Failed::Refused("an order without a number"))?;
            insert_order(connection, order, number).await?;
            insert_payment(connection, account, payment).await?;
            count(connection, account, order.state.status, 1).await
        }
        Write::UpdateOrder { id, was, state } => {
            update_order(connection, account, *id, state).await?;
            if *was == state.status {
                return Ok(());
            }
            count(connection, account, *was, -1).await?;
            count(connection, account, state.status, 1).await
        }
        Write::UpdatePayment { id, order_id, state } => {
            update_payment(connection, account, *id, *order_id, state).await
        }
        Write::InsertKey(key) => insert_key(connection, key).await,
        Write::DeleteKey(id) => {
            let gone = sqlx::query("DELETE FROM api_keys WHERE key_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account.to_string())
                .execute(connection)
                .await?
                .rows_affected();
            if gone == 0 { Err(Refusal::Conflict) } else { Ok(()) }
        }
        Write::InsertSubscription(subscription, secret) => insert_subscription(connection, subscription, secret).await,
        Write::UpdateSubscription(id, SubscriptionState { version, url, events, active }) => {
            let statement = sqlx::query(
                "UPDATE subscriptions SET version = ?, url = ?, events = ?, active = ? \
                 WHERE subscription_id = ? AND account_id = ?",
            )
            .bind(version.0)
            .bind(url)
            .bind(json(events)?)
            .bind(active)
            .bind(id.to_string())
            .bind(account.to_string());
            one(connection, statement).await
        }
        Write::DeleteSubscription(id) => {
            let statement = sqlx::query("DELETE FROM subscriptions WHERE subscription_id = ? AND account_id = ?")
                .bind(id.to_string())
                .bind(account.to_string());
            one(connection, statement).await
        }
        Write::AppendAudit(record) => append_audit(connection, record).await,
    }
}

async fn insert_account(connection: &mut SqliteConnection, account: &Account) -> Applied<()> {
    let Account { id, name, created_at, state } = account;
    let statement = sqlx::query(
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
    one(connection, statement).await
}

async fn update_account(connection: &mut SqliteConnection, account: AccountId, state: &AccountState) -> Applied<()> {
    let statement = sqlx::query(
        "UPDATE accounts SET version = ?, tier = ?, modules = ?, plugipay_account_id = ? WHERE account_id = ?",
    )
    .bind(state.version.0)
    .bind(state.tier.as_str())
    .bind(json(&state.modules)?)
    .bind(&state.plugipay_account_id)
    .bind(account.to_string());
    one(connection, statement).await
}

async fn put_storefront(connection: &mut SqliteConnection, storefront: &Storefront) -> Applied<()> {
    let Storefront { account_id, version, profile, created_at, updated_at } = storefront;
    let statement = sqlx::query(
        "INSERT INTO storefronts (account_id, version, slug, display_name, bio, payment, hide_branding, published, \
         created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account_id) DO UPDATE SET \
         version = excluded.version, slug = excluded.slug, display_name = excluded.display_name, bio = excluded.bio, \
         payment = excluded.payment, hide_branding = excluded.hide_branding, published = excluded.published, \
         updated_at = excluded.updated_at",
    )
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
    one(connection, statement).await
}

async fn put_service(connection: &mut SqliteConnection, service: &Service) -> Applied<()> {
    let Service { id, account_id, version, offer, created_at, updated_at } = service;
    // A first write has no version before it to guard on; a row that is there already is a conflict.
    let statement = sqlx::query(
        "INSERT INTO services (service_id, account_id, version, slug, name, description, pricing, active, \
         sort_order, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (account_id, service_id) DO UPDATE SET version = excluded.version, slug = excluded.slug, \
         name = excluded.name, description = excluded.description, \
         pricing = excluded.pricing, active = excluded.active, sort_order = excluded.sort_order, \
         updated_at = excluded.updated_at WHERE excluded.version > 1",
    )
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
    let written = statement.execute(connection).await?.rows_affected();
    if written == 0 { Err(Refusal::Conflict) } else { Ok(()) }
}

async fn insert_order(connection: &mut SqliteConnection, order: &Order, number: OrderNumber) -> Applied<()> {
    let Order { buyer, state, .. } = order;
    let statement = sqlx::query(
        "INSERT INTO orders (order_id, account_id, number, service_id, access_token, access_token_hash, buyer_name, \
         buyer_email, buyer_phone, package_name, preferred_date, notes, language, created_at, version, \
         status, payment_status, quoted_price, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(order.id.to_string())
    .bind(order.account_id.to_string())
    .bind(number.0)
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
    one(connection, statement).await?;
    let statement =
        sqlx::query("INSERT INTO order_words (rowid, words) VALUES (last_insert_rowid(), ?)").bind(indexed(order));
    one(connection, statement).await
}

async fn update_order(
    connection: &mut SqliteConnection,
    account: AccountId,
    id: OrderId,
    state: &OrderState,
) -> Applied<()> {
    let statement = sqlx::query(
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
    one(connection, statement).await
}

fn bind_payment_state<'q>(statement: Statement<'q>, state: &'q PaymentState) -> Statement<'q> {
    let receipt = state.receipt.as_ref();
    statement
        .bind(state.status.as_str())
        .bind(state.amount_due.get())
        .bind(receipt.map(|receipt| receipt.upload_id.to_string()))
        .bind(receipt.map(|receipt| image_word(receipt.image_type)))
        .bind(receipt.map(|receipt| receipt.bytes))
        .bind(receipt.map(|receipt| receipt.sha256.to_string()))
        .bind(receipt.map(|receipt| receipt.uploaded_at.millis()))
}

async fn insert_payment(connection: &mut SqliteConnection, account: AccountId, payment: &Payment) -> Applied<()> {
    let statement = sqlx::query(
        "INSERT INTO payments (status, amount_due, receipt_upload_id, receipt_type, receipt_bytes, receipt_sha256, \
         receipt_at, payment_id, account_id, order_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let statement = bind_payment_state(statement, &payment.state)
        .bind(payment.id.to_string())
        .bind(account.to_string())
        .bind(payment.order_id.to_string());
    one(connection, statement).await
}

async fn update_payment(
    connection: &mut SqliteConnection,
    account: AccountId,
    id: PaymentId,
    order: OrderId,
    state: &PaymentState,
) -> Applied<()> {
    let statement = sqlx::query(
        "UPDATE payments SET status = ?, amount_due = ?, receipt_upload_id = ?, receipt_type = ?, receipt_bytes = ?, \
         receipt_sha256 = ?, receipt_at = ? WHERE payment_id = ? AND account_id = ? AND order_id = ?",
    );
    let statement =
        bind_payment_state(statement, state).bind(id.to_string()).bind(account.to_string()).bind(order.to_string());
    one(connection, statement).await
}

async fn count(connection: &mut SqliteConnection, account: AccountId, status: WorkStatus, by: i64) -> Applied<()> {
    let statement = if by > 0 {
        sqlx::query(
            "INSERT INTO order_counts (orders, account_id, status) VALUES (?, ?, ?) \
             ON CONFLICT (account_id, status) DO UPDATE SET orders = orders + excluded.orders",
        )
    } else {
        sqlx::query("UPDATE order_counts SET orders = orders + ? WHERE account_id = ? AND status = ?")
    };
    one(connection, statement.bind(by).bind(account.to_string()).bind(status.as_str())).await
}

async fn insert_key(connection: &mut SqliteConnection, key: &KeyRecord) -> Applied<()> {
    let statement = sqlx::query(
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
    one(connection, statement).await
}

async fn insert_subscription(
    connection: &mut SqliteConnection,
    subscription: &Subscription,
    secret: &WebhookSecret,
) -> Applied<()> {
    let Subscription { id, account_id, created_at, state } = subscription;
    let statement = sqlx::query(
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
    .bind(secret.reveal());
    one(connection, statement).await
}

async fn append_audit(connection: &mut SqliteConnection, record: &AuditRecord) -> Applied<()> {
    let statement = sqlx::query(
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
    one(connection, statement).await
}

async fn insert_effect(
    connection: &mut SqliteConnection,
    account: AccountId,
    effect: &Effect,
    at: Timestamp,
    number: Option<OrderNumber>,
) -> Applied<()> {
    let (kind, content, delivery) = match effect {
        Effect::Mail { mail, .. } => ("mail", json(mail)?, None),
        Effect::Removal { upload_id, .. } => ("removal", upload_id.to_string(), None),
        Effect::Delivery(delivery) => {
            let body = delivery.body.fill(number).ok_or(Failed::Refused("a place without a number"))?;
            ("delivery", body, Some(delivery))
        }
    };
    let statement = sqlx::query(
        "INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, created_at, \
         status, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
    )
    .bind(effect.id().to_string())
    .bind(account.to_string())
    .bind(kind)
    .bind(content)
    .bind(delivery.map(|delivery| delivery.subscription_id.to_string()))
    .bind(delivery.map(|delivery| delivery.event_id.to_string()))
    .bind(delivery.map(|delivery| delivery.event_type.as_str()))
    .bind(at.millis())
    .bind(at.millis());
    one(connection, statement).await
}

/// The savepoint around one piece of work in a group.
pub(super) async fn savepoint(connection: &mut SqliteConnection) -> Result<(), Failed> {
    sqlx::query("SAVEPOINT work").execute(connection).await?;
    Ok(())
}

/// Ends the savepoint, keeping the work or undoing it.
pub(super) async fn release_savepoint(connection: &mut SqliteConnection, keep: bool) -> Result<(), Failed> {
    if !keep {
        sqlx::query("ROLLBACK TO work").execute(&mut *connection).await?;
    }
    sqlx::query("RELEASE work").execute(connection).await?;
    Ok(())
}
