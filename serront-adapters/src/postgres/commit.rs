//! Applying change sets: one statement, one round trip, for one change set or for many.
//!
//! ```text
//! sets ─▶ landed? ─▶ lock guarded rows ─▶ failed? ─▶ taken? ─▶ good ─▶ writes ─▶ a status for each
//! ```
//!
//! The lock order is: service counts, accounts, storefronts, services, orders, subscriptions, keys, released names, each by
//! key; then order numbers by account. Nothing raises but a bug and a race on a unique constraint; whoever meets one of
//! these gets the statement rolled back, whole.
//!
//! A statement sees one snapshot, taken before it waited for a lock: a guard is compared with the locked row, which is
//! always the latest, but what landed meanwhile is found only by the look at `change_sets` that follows a conflict.

use std::collections::HashSet;

use serde_json::to_string;
use serront_core::account::{Account, Version};
use serront_core::catalog::Service;
use serront_core::change::{ChangeSet, ClaimName, Committed, Duplicate, Guard, Row, Write};
use serront_core::effect::Effect;
use serront_core::idempotency::Kept;
use serront_core::ids::{AccountId, ChangeSetId};
use serront_core::order::{Order, OrderNumber};
use serront_core::payment::PaymentState;
use serront_core::ports::CommitError;
use serront_core::receipt::Digest256;
use serront_core::storefront::Storefront;
use serront_core::time::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::of_write;
use super::statement::{Builder, Cell, Relation};
use crate::sql::error::{Failed, unique_violation};
use crate::sql::names::{Place, image_word, place};
use crate::sql::rows::Cells as _;

/// What became of one change set.
#[derive(Debug)]
pub(super) enum Status {
    Committed(Committed),
    Conflict,
    Duplicate(Box<Duplicate>),
    /// Somebody else holds a row that it guards, or it would have waited for another reason: it goes alone.
    Alone,
}

/// What two change sets of one statement must not both touch.
#[derive(PartialEq, Eq, Hash)]
enum Touched {
    Set(ChangeSetId),
    Row(AccountId, Row),
    Services(AccountId),
    Name(Option<AccountId>, ClaimName),
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
                Guard::Exact { row, .. } => guarded.push(Touched::Row(account, *row)),
                Guard::ServicesBelow(_) => written.push(Touched::Services(account)),
                Guard::NoOrdersOf(_) | Guard::Settings(_) => {}
            }
        }
        for write in &change.writes {
            match write {
                Write::UpdateAccount(_) | Write::InsertAccount(_) => written.push(Touched::Row(account, Row::Account)),
                Write::PutStorefront(_) => written.push(Touched::Row(account, Row::Storefront)),
                Write::PutService(service) => written.push(Touched::Row(account, Row::Service(service.id))),
                Write::DeleteService(id) => written.push(Touched::Row(account, Row::Service(*id))),
                Write::UpdateOrder { id, .. } => written.push(Touched::Row(account, Row::Order(*id))),
                Write::UpdatePayment { order_id, .. } => written.push(Touched::Row(account, Row::Order(*order_id))),
                Write::UpdateSubscription(id, _) | Write::DeleteSubscription(id) => {
                    written.push(Touched::Row(account, Row::Subscription(*id)));
                }
                // Two deletions of one key release the same name.
                Write::InsertOrder(..)
                | Write::InsertKey(_)
                | Write::DeleteKey(_)
                | Write::InsertSubscription(..)
                | Write::AppendAudit(_) => {}
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

/// Everything that a statement takes in.
struct Input {
    sets: Relation,
    storefront_guards: Relation,
    service_guards: Relation,
    order_guards: Relation,
    subscription_guards: Relation,
    account_guards: Relation,
    settings: Relation,
    services_below: Relation,
    no_orders_of: Relation,
    directory_releases: Relation,
    claim_releases: Relation,
    kept_releases: Relation,
    directory_claims: Relation,
    claims: Relation,
    kept_claims: Relation,
    new_accounts: Relation,
    accounts: Relation,
    new_storefronts: Relation,
    storefronts: Relation,
    new_services: Relation,
    services: Relation,
    deleted_services: Relation,
    service_deltas: Relation,
    new_orders: Relation,
    orders: Relation,
    new_payments: Relation,
    payments: Relation,
    keys: Relation,
    deleted_keys: Relation,
    new_subscriptions: Relation,
    subscriptions: Relation,
    deleted_subscriptions: Relation,
    audit: Relation,
    effects: Relation,
    deltas: Relation,
}

const GUARD: &[&str] = &["account_id", "id", "version"];
const OWNED: &[&str] = &["account_id", "id"];
const PLACE: &[&str] = &["i", "account_id", "kind", "name"];
const PAYMENT: &[&str] = &[
    "payment_id",
    "account_id",
    "order_id",
    "status",
    "amount_due",
    "receipt_upload_id",
    "receipt_type",
    "receipt_bytes",
    "receipt_sha256",
    "receipt_at",
];
const STOREFRONT: &[&str] = &[
    "account_id",
    "version",
    "slug",
    "display_name",
    "bio",
    "payment",
    "hide_branding",
    "published",
    "created_at",
    "updated_at",
];
const SERVICE: &[&str] = &[
    "service_id",
    "account_id",
    "version",
    "slug",
    "name",
    "search_text",
    "description",
    "pricing",
    "active",
    "sort_order",
    "created_at",
    "updated_at",
];

fn json<T: serde::Serialize>(value: &T) -> Result<Cell, Failed> {
    Ok(to_string(value).map_err(|_| Failed::Refused("a value that can't be written as JSON"))?.into())
}

fn int(value: u32) -> Cell {
    i64::from(value).into()
}

fn time(at: Timestamp) -> Cell {
    Cell::Int(Some(at.millis()))
}

impl Input {
    fn new() -> Self {
        Self {
            sets: Relation::new("sets", &["id", "account_id", "at"]),
            storefront_guards: Relation::new("storefront_guards", &["account_id", "version"]),
            service_guards: Relation::new("service_guards", GUARD),
            order_guards: Relation::new("order_guards", GUARD),
            subscription_guards: Relation::new("subscription_guards", GUARD),
            account_guards: Relation::new("account_guards", &["account_id", "version"]),
            settings: Relation::new("settings", &["account_id", "version"]),
            services_below: Relation::new("services_below", &["account_id", "below"]),
            no_orders_of: Relation::new("no_orders_of", OWNED),
            directory_releases: Relation::new("directory_releases", PLACE),
            claim_releases: Relation::new("claim_releases", PLACE),
            kept_releases: Relation::new("kept_releases", &["account_id", "scope"]),
            directory_claims: Relation::new("directory_claims", PLACE),
            claims: Relation::new("new_claims", PLACE),
            kept_claims: Relation::new(
                "kept_claims",
                &["i", "account_id", "scope", "fingerprint", "before", "after", "until"],
            ),
            new_accounts: Relation::new(
                "new_accounts",
                &["account_id", "name", "created_at", "version", "tier", "modules", "plugipay_account_id"],
            ),
            accounts: Relation::new(
                "set_accounts",
                &["account_id", "version", "tier", "modules", "plugipay_account_id"],
            ),
            new_storefronts: Relation::new("new_storefronts", STOREFRONT),
            storefronts: Relation::new("set_storefronts", STOREFRONT),
            new_services: Relation::new("new_services", SERVICE),
            services: Relation::new("set_services", SERVICE),
            deleted_services: Relation::new("deleted_services", OWNED),
            service_deltas: Relation::new("service_deltas", &["account_id", "delta"]),
            new_orders: Relation::new(
                "new_orders",
                &[
                    "order_id",
                    "account_id",
                    "service_id",
                    "access_token",
                    "access_token_hash",
                    "buyer_name",
                    "buyer_email",
                    "buyer_phone",
                    "package_name",
                    "preferred_date",
                    "notes",
                    "search_text",
                    "language",
                    "created_at",
                    "version",
                    "status",
                    "payment_status",
                    "quoted_price",
                    "updated_at",
                ],
            ),
            orders: Relation::new(
                "set_orders",
                &["order_id", "account_id", "version", "status", "payment_status", "quoted_price", "updated_at"],
            ),
            new_payments: Relation::new("new_payments", PAYMENT),
            payments: Relation::new("set_payments", PAYMENT),
            keys: Relation::new(
                "new_keys",
                &["key_id", "account_id", "name", "prefix", "hash", "created_at", "last_used_at"],
            ),
            deleted_keys: Relation::new("deleted_keys", OWNED),
            new_subscriptions: Relation::new(
                "new_subscriptions",
                &["subscription_id", "account_id", "created_at", "version", "url", "events", "active", "secret"],
            ),
            subscriptions: Relation::new(
                "set_subscriptions",
                &["subscription_id", "account_id", "version", "url", "events", "active"],
            ),
            deleted_subscriptions: Relation::new("deleted_subscriptions", OWNED),
            audit: Relation::new(
                "new_audit",
                &["audit_id", "account_id", "order_id", "payment_id", "at", "actor", "act", "note"],
            ),
            effects: Relation::new(
                "new_effects",
                &[
                    "effect_id",
                    "account_id",
                    "kind",
                    "before",
                    "after",
                    "subscription_id",
                    "event_id",
                    "event_type",
                    "created_at",
                ],
            ),
            deltas: Relation::new("deltas", &["change_set_id", "account_id", "status", "delta"]),
        }
    }

    /// Takes in the `n`th change set.
    fn add(&mut self, n: i64, change: &ChangeSet) -> Result<(), Failed> {
        change.check().map_err(|inconsistent| Failed::Refused(inconsistent.0))?;
        let account = change.account_id.to_string();
        self.sets.push(n, vec![change.id.to_string().into(), account.clone().into(), time(change.at)]);
        for guard in &change.guards {
            self.add_guard(n, &account, guard);
        }
        for (i, name) in (0_i64..).zip(&change.releases) {
            match place(name) {
                Place::Directory(kind, name) => {
                    self.directory_releases.push(n, vec![i.into(), account.clone().into(), kind.into(), name.into()])
                }
                Place::Claim(kind, name) => {
                    self.claim_releases.push(n, vec![i.into(), account.clone().into(), kind.into(), name.into()]);
                }
                Place::Kept(scope) => self.kept_releases.push(n, vec![account.clone().into(), scope.into()]),
            }
        }
        for (i, claim) in (0_i64..).zip(&change.claims) {
            match place(&claim.name) {
                Place::Directory(kind, name) => {
                    self.directory_claims.push(n, vec![i.into(), account.clone().into(), kind.into(), name.into()]);
                }
                Place::Claim(kind, name) => {
                    self.claims.push(n, vec![i.into(), account.clone().into(), kind.into(), name.into()]);
                }
                Place::Kept(scope) => {
                    let kept = claim.kept.as_ref().ok_or(Failed::Refused("an idempotency key with nothing kept"))?;
                    let (before, after) = kept.outcome.parts();
                    self.kept_claims.push(
                        n,
                        vec![
                            i.into(),
                            account.clone().into(),
                            scope.into(),
                            kept.fingerprint.to_string().into(),
                            before.into(),
                            after.map(str::to_owned).into(),
                            time(kept.until),
                        ],
                    );
                }
            }
        }
        for write in &change.writes {
            self.add_write(n, &account, change, write)?;
        }
        for effect in &change.effects {
            self.add_effect(n, &account, change.at, effect)?;
        }
        Ok(())
    }

    fn add_guard(&mut self, n: i64, account: &str, guard: &Guard) {
        let account = Cell::from(account);
        match guard {
            Guard::Exact { row, version } => {
                let version = int(version.0);
                match row {
                    Row::Account => self.account_guards.push(n, vec![account, version]),
                    Row::Storefront => self.storefront_guards.push(n, vec![account, version]),
                    Row::Service(id) => self.service_guards.push(n, vec![account, id.to_string().into(), version]),
                    Row::Order(id) => self.order_guards.push(n, vec![account, id.to_string().into(), version]),
                    Row::Subscription(id) => {
                        self.subscription_guards.push(n, vec![account, id.to_string().into(), version]);
                    }
                }
            }
            Guard::ServicesBelow(limit) => self.services_below.push(n, vec![account, i64::from(*limit).into()]),
            Guard::NoOrdersOf(id) => self.no_orders_of.push(n, vec![account, id.to_string().into()]),
            Guard::Settings(version) => self.settings.push(n, vec![account, int(version.0)]),
        }
    }

    fn add_write(&mut self, n: i64, account: &str, change: &ChangeSet, write: &Write) -> Result<(), Failed> {
        let owned = |id: String| vec![Cell::from(account), id.into()];
        match write {
            Write::InsertAccount(Account { id, name, created_at, state }) => {
                self.new_accounts.push(
                    n,
                    vec![
                        id.to_string().into(),
                        name.as_str().into(),
                        time(*created_at),
                        int(state.version.0),
                        state.tier.as_str().into(),
                        json(&state.modules)?,
                        (&state.plugipay_account_id).into(),
                    ],
                );
                // The row to lock has to be there before the first service.
                self.service_deltas.push(n, vec![account.into(), 0_i64.into()]);
            }
            Write::UpdateAccount(state) => self.accounts.push(
                n,
                vec![
                    account.into(),
                    int(state.version.0),
                    state.tier.as_str().into(),
                    json(&state.modules)?,
                    (&state.plugipay_account_id).into(),
                ],
            ),
            Write::PutStorefront(Storefront { account_id, version, profile, created_at, updated_at }) => {
                // A first write has nothing before it: a row that is there already is told by the constraint.
                let relation =
                    if *version == Version::FIRST { &mut self.new_storefronts } else { &mut self.storefronts };
                relation.push(
                    n,
                    vec![
                        account_id.to_string().into(),
                        int(version.0),
                        profile.slug.as_str().into(),
                        profile.display_name.as_str().into(),
                        (&profile.bio).into(),
                        json(&profile.payment)?,
                        profile.hide_branding.into(),
                        profile.published.into(),
                        time(*created_at),
                        time(*updated_at),
                    ],
                );
            }
            Write::PutService(service) => {
                let cells = service_cells(service)?;
                if service.version == Version::FIRST {
                    self.new_services.push(n, cells);
                    self.service_deltas.push(n, vec![account.into(), 1_i64.into()]);
                } else {
                    self.services.push(n, cells);
                }
            }
            Write::DeleteService(id) => {
                self.deleted_services.push(n, owned(id.to_string()));
                self.service_deltas.push(n, vec![account.into(), (-1_i64).into()]);
            }
            Write::InsertOrder(order, payment) => {
                self.new_orders.push(n, order_cells(order));
                let (payment_id, order_id) = (payment.id.to_string(), payment.order_id.to_string());
                self.new_payments.push(n, payment_cells(payment_id, account, order_id, &payment.state));
                self.delta(n, change, order.state.status.as_str(), 1);
            }
            Write::UpdateOrder { id, was, state } => {
                self.orders.push(
                    n,
                    vec![
                        id.to_string().into(),
                        account.into(),
                        int(state.version.0),
                        state.status.as_str().into(),
                        state.payment_status.as_str().into(),
                        state.quoted_price.get().into(),
                        time(state.updated_at),
                    ],
                );
                if *was != state.status {
                    self.delta(n, change, was.as_str(), -1);
                    self.delta(n, change, state.status.as_str(), 1);
                }
            }
            Write::UpdatePayment { id, order_id, state } => {
                self.payments.push(n, payment_cells(id.to_string(), account, order_id.to_string(), state));
            }
            Write::InsertKey(key) => self.keys.push(
                n,
                vec![
                    key.id.to_string().into(),
                    key.account_id.to_string().into(),
                    key.name.as_str().into(),
                    key.prefix.as_str().into(),
                    key.hash.to_string().into(),
                    time(key.created_at),
                    key.last_used_at.map(Timestamp::millis).into(),
                ],
            ),
            Write::DeleteKey(id) => self.deleted_keys.push(n, owned(id.to_string())),
            Write::InsertSubscription(subscription, secret) => self.new_subscriptions.push(
                n,
                vec![
                    subscription.id.to_string().into(),
                    subscription.account_id.to_string().into(),
                    time(subscription.created_at),
                    int(subscription.state.version.0),
                    subscription.state.url.as_str().into(),
                    json(&subscription.state.events)?,
                    subscription.state.active.into(),
                    secret.reveal().into(),
                ],
            ),
            Write::UpdateSubscription(id, state) => self.subscriptions.push(
                n,
                vec![
                    id.to_string().into(),
                    account.into(),
                    int(state.version.0),
                    state.url.as_str().into(),
                    json(&state.events)?,
                    state.active.into(),
                ],
            ),
            Write::DeleteSubscription(id) => self.deleted_subscriptions.push(n, owned(id.to_string())),
            Write::AppendAudit(record) => self.audit.push(
                n,
                vec![
                    record.id.to_string().into(),
                    record.account_id.to_string().into(),
                    record.order_id.to_string().into(),
                    record.payment_id.to_string().into(),
                    time(record.at),
                    json(&record.actor)?,
                    json(&record.act)?,
                    (&record.note).into(),
                ],
            ),
        }
        Ok(())
    }

    fn delta(&mut self, n: i64, change: &ChangeSet, status: &str, by: i64) {
        let cells = vec![change.id.to_string().into(), change.account_id.to_string().into(), status.into(), by.into()];
        self.deltas.push(n, cells);
    }

    fn add_effect(&mut self, n: i64, account: &str, at: Timestamp, effect: &Effect) -> Result<(), Failed> {
        let (kind, before, after, delivery) = match effect {
            Effect::Mail { mail, .. } => ("mail", json(mail)?, None, None),
            Effect::Removal { upload_id, .. } => ("removal", upload_id.to_string().into(), None, None),
            Effect::Delivery(delivery) => {
                let (before, after) = delivery.body.parts();
                ("delivery", before.into(), after.map(str::to_owned), Some(delivery))
            }
        };
        self.effects.push(
            n,
            vec![
                effect.id().to_string().into(),
                account.into(),
                kind.into(),
                before,
                after.into(),
                delivery.map(|delivery| delivery.subscription_id.to_string()).into(),
                delivery.map(|delivery| delivery.event_id.to_string()).into(),
                delivery.map(|delivery| delivery.event_type.as_str().to_owned()).into(),
                time(at),
            ],
        );
        Ok(())
    }

    /// Writes the statement. `many`: it is shared, so rows that others hold are passed over instead of waited for.
    fn statement(&self, many: bool) -> Result<Builder, Failed> {
        let mut sql = Builder::new();
        for relation in self.relations().into_iter().filter(|relation| !relation.is_empty()) {
            sql.relation(relation, many)?;
        }
        sql.step("landed").push(
            "(SELECT s.n, c.number FROM sets s CROSS JOIN LATERAL (SELECT number FROM @.change_sets c \
             WHERE c.change_set_id = s.id AND c.account_id = s.account_id LIMIT 1) c)",
        );
        let failed = self.failed(&mut sql, many);
        let taken = self.taken(&mut sql);
        sql.step("good").push("MATERIALIZED (SELECT s.n FROM sets s WHERE s.n NOT IN (SELECT n FROM landed)");
        if failed {
            sql.push(" AND s.n NOT IN (SELECT n FROM failed)");
        }
        if taken {
            sql.push(" AND s.n NOT IN (SELECT n FROM taken)");
        }
        sql.push(")");
        self.numbers(&mut sql);
        self.names(&mut sql);
        self.rows(&mut sql);
        sql.push("\nSELECT s.n, l.n IS NOT NULL AS landed");
        let numbered = !self.new_orders.is_empty();
        sql.push(if numbered { ", coalesce(l.number, m.number) AS number" } else { ", l.number AS number" });
        sql.push(if failed {
            ", f.n IS NOT NULL AS failed, coalesce(f.alone, false) AS alone"
        } else {
            ", false AS failed, false AS alone"
        });
        sql.push(if taken {
            ", t.i AS taken, t.fingerprint, t.outcome, t.until"
        } else {
            ", NULL::int8 AS taken, NULL::text AS fingerprint, NULL::text AS outcome, NULL::int8 AS until"
        });
        if !self.payments.is_empty() {
            // Dividing by zero rolls back what wrote less than it should: a bug in the decision.
            sql.push(
                ", 1 / (CASE WHEN (SELECT count(*) FROM payments_written) = (SELECT count(*) FROM set_payments \
                 JOIN good USING (n)) THEN 1 ELSE 0 END) AS whole",
            );
        }
        sql.push(" FROM sets s LEFT JOIN landed l USING (n)");
        if failed {
            sql.push(" LEFT JOIN (SELECT n, bool_or(alone) AS alone FROM failed GROUP BY n) f USING (n)");
        }
        if taken {
            sql.push(" LEFT JOIN (SELECT DISTINCT ON (n) * FROM taken ORDER BY n, i) t USING (n)");
        }
        if numbered {
            sql.push(" LEFT JOIN numbers m USING (n)");
        }
        Ok(sql)
    }

    fn relations(&self) -> [&Relation; 35] {
        [
            &self.sets,
            &self.storefront_guards,
            &self.service_guards,
            &self.order_guards,
            &self.subscription_guards,
            &self.account_guards,
            &self.settings,
            &self.services_below,
            &self.no_orders_of,
            &self.directory_releases,
            &self.claim_releases,
            &self.kept_releases,
            &self.directory_claims,
            &self.claims,
            &self.kept_claims,
            &self.new_accounts,
            &self.accounts,
            &self.new_storefronts,
            &self.storefronts,
            &self.new_services,
            &self.services,
            &self.deleted_services,
            &self.service_deltas,
            &self.new_orders,
            &self.orders,
            &self.new_payments,
            &self.payments,
            &self.keys,
            &self.deleted_keys,
            &self.new_subscriptions,
            &self.subscriptions,
            &self.deleted_subscriptions,
            &self.audit,
            &self.effects,
            &self.deltas,
        ]
    }

    /// Locks what is guarded and finds the change sets whose guards do not hold. `false` if there is nothing to find.
    fn failed(&self, sql: &mut Builder, many: bool) -> bool {
        let lock = if many { "FOR NO KEY UPDATE OF r SKIP LOCKED" } else { "FOR NO KEY UPDATE OF r" };
        let lock_gone = if many { "FOR UPDATE OF r SKIP LOCKED" } else { "FOR UPDATE OF r" };
        let mut branches = Vec::new();
        if !self.services_below.is_empty() {
            sql.step("count_locks").push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.services FROM @.service_counts r WHERE r.account_id IN \
                 (SELECT g.account_id FROM services_below g) ORDER BY r.account_id {lock})"
            ));
            branches.push(
                "SELECT g.n, l.account_id IS NULL AS alone FROM services_below g LEFT JOIN count_locks l USING (account_id) \
                 WHERE l.services < g.below IS NOT TRUE"
                    .to_owned(),
            );
        }
        // The account's row is locked only by what writes it; a witness reads it.
        for (guards, table, locks) in [
            (&self.account_guards, "accounts", "account_locks"),
            (&self.storefront_guards, "storefronts", "storefront_locks"),
        ] {
            if guards.is_empty() {
                continue;
            }
            let name = guards.name;
            sql.step(locks).push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.version FROM @.{table} r WHERE r.account_id IN \
                 (SELECT g.account_id FROM {name} g) ORDER BY r.account_id {lock})"
            ));
            branches.push(format!(
                "SELECT g.n, l.account_id IS NULL FROM {name} g LEFT JOIN {locks} l USING (account_id) \
                 WHERE coalesce(l.version, 0) <> g.version"
            ));
        }
        for (guards, table, key, locks) in [
            (&self.service_guards, "services", "service_id", "service_locks"),
            (&self.order_guards, "orders", "order_id", "order_locks"),
            (&self.subscription_guards, "subscriptions", "subscription_id", "subscription_locks"),
        ] {
            if guards.is_empty() {
                continue;
            }
            let name = guards.name;
            let more = if table == "services" { ", r.has_orders" } else { "" };
            sql.step(locks).push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.{key} AS id, r.version{more} FROM @.{table} r \
                 WHERE (r.{key}, r.account_id) IN (SELECT g.id, g.account_id FROM {name} g) \
                 ORDER BY r.{key}, r.account_id {lock})"
            ));
            branches.push(format!(
                "SELECT g.n, l.id IS NULL FROM {name} g LEFT JOIN {locks} l USING (id, account_id) \
                 WHERE coalesce(l.version, 0) <> g.version"
            ));
        }
        if !self.no_orders_of.is_empty() {
            // The guard on the service's row that goes with this one holds the lock.
            branches.push(
                if self.service_guards.is_empty() {
                    "SELECT g.n, false FROM no_orders_of g JOIN @.services l ON l.service_id = g.id \
                     AND l.account_id = g.account_id WHERE l.has_orders"
                } else {
                    "SELECT g.n, false FROM no_orders_of g JOIN service_locks l USING (id, account_id) WHERE l.has_orders"
                }
                .to_owned(),
            );
        }
        if !self.settings.is_empty() {
            branches.push(
                "SELECT g.n, false FROM settings g LEFT JOIN @.accounts a USING (account_id) \
                 WHERE coalesce(a.version, 0) <> g.version"
                    .to_owned(),
            );
        }
        if !self.deleted_keys.is_empty() {
            sql.step("key_locks").push(&format!(
                "MATERIALIZED (SELECT r.key_id AS id, r.account_id FROM @.api_keys r WHERE (r.key_id, r.account_id) IN \
                 (SELECT d.id, d.account_id FROM deleted_keys d) ORDER BY r.key_id {lock_gone})"
            ));
            branches.push(
                "SELECT d.n, true FROM deleted_keys d LEFT JOIN key_locks l USING (id, account_id) \
                 WHERE l.id IS NULL"
                    .to_owned(),
            );
        }
        for (releases, table, key, locks) in [
            (&self.directory_releases, "directory", "kind, name", "directory_locks"),
            (&self.claim_releases, "claims", "kind, name", "claim_locks"),
            (&self.kept_releases, "kept_outcomes", "scope", "kept_locks"),
        ] {
            if releases.is_empty() {
                continue;
            }
            let name = releases.name;
            let columns: String = key.split(", ").map(|column| format!("r.{column}, ")).collect();
            sql.step(locks).push(&format!(
                "MATERIALIZED (SELECT {columns}r.account_id FROM @.{table} r WHERE ({columns}r.account_id) IN \
                 (SELECT {key}, account_id FROM {name}) ORDER BY {columns}r.account_id {lock_gone})"
            ));
            branches.push(format!(
                "SELECT g.n, true FROM {name} g LEFT JOIN {locks} l USING ({key}, account_id) \
                 WHERE l.account_id IS NULL"
            ));
        }
        if branches.is_empty() {
            return false;
        }
        sql.step("failed (n, alone)").push(&format!("({})", branches.join(" UNION ALL ")));
        true
    }

    /// Finds the names that are taken. `false` if no name is claimed.
    fn taken(&self, sql: &mut Builder) -> bool {
        let mut branches = Vec::new();
        let released = |releases: &Relation, key: &str| {
            if releases.is_empty() {
                String::new()
            } else {
                let name = releases.name;
                let same: String = key.split(", ").map(|column| format!(" AND g.{column} = c.{column}")).collect();
                format!(" WHERE NOT EXISTS (SELECT FROM {name} g WHERE g.n = c.n{same})")
            }
        };
        if !self.directory_claims.is_empty() {
            branches.push(format!(
                "SELECT c.n, c.i, NULL::text AS fingerprint, NULL::text AS outcome, NULL::int8 AS until \
                 FROM directory_claims c CROSS JOIN LATERAL (SELECT 1 FROM @.directory k WHERE k.kind = c.kind \
                 AND k.name = c.name LIMIT 1) k{}",
                released(&self.directory_releases, "kind, name")
            ));
        }
        if !self.claims.is_empty() {
            branches.push(format!(
                "SELECT c.n, c.i, NULL::text AS fingerprint, NULL::text AS outcome, NULL::int8 AS until \
                 FROM new_claims c CROSS JOIN LATERAL (SELECT 1 FROM @.claims k WHERE k.name = c.name \
                 AND k.kind = c.kind AND k.account_id = c.account_id LIMIT 1) k{}",
                released(&self.claim_releases, "kind, name")
            ));
        }
        if !self.kept_claims.is_empty() {
            branches.push(format!(
                "SELECT c.n, c.i, k.fingerprint, k.outcome, k.until FROM kept_claims c JOIN sets s USING (n) \
                 CROSS JOIN LATERAL (SELECT fingerprint, outcome, until FROM @.kept_outcomes k WHERE k.scope = c.scope \
                 AND k.account_id = c.account_id AND k.until > s.at LIMIT 1) k{}",
                released(&self.kept_releases, "scope")
            ));
        }
        if branches.is_empty() {
            return false;
        }
        sql.step("taken").push(&format!("({})", branches.join(" UNION ALL ")));
        true
    }

    /// Gives the accounts' next numbers to new orders, in the order of the change sets.
    fn numbers(&self, sql: &mut Builder) {
        if self.new_orders.is_empty() {
            return;
        }
        sql.step("numbered").push(
            "(INSERT INTO @.order_numbers AS t (account_id, last_number) SELECT o.account_id, count(*) FROM new_orders o \
             JOIN good USING (n) GROUP BY o.account_id ORDER BY o.account_id ON CONFLICT (account_id) DO UPDATE \
             SET last_number = t.last_number + excluded.last_number RETURNING t.account_id, t.last_number)",
        );
        sql.step("numbers").push(
            "(SELECT o.n, t.last_number - count(*) OVER (PARTITION BY o.account_id) + row_number() OVER \
             (PARTITION BY o.account_id ORDER BY o.n) AS number FROM new_orders o JOIN good USING (n) \
             JOIN numbered t USING (account_id))",
        );
        sql.step("ordered").push(
            "(UPDATE @.services t SET has_orders = true FROM new_orders o JOIN good USING (n) \
             WHERE t.account_id = o.account_id AND t.service_id = o.service_id AND NOT t.has_orders)",
        );
    }

    /// Gives names up and claims names.
    fn names(&self, sql: &mut Builder) {
        for (releases, table, key) in [
            (&self.directory_releases, "directory", "kind, name"),
            (&self.claim_releases, "claims", "kind, name"),
            (&self.kept_releases, "kept_outcomes", "scope"),
        ] {
            if !releases.is_empty() {
                let name = releases.name;
                let same: String = key.split(", ").map(|column| format!(" AND t.{column} = g.{column}")).collect();
                sql.step(&format!("{name}_done")).push(&format!(
                    "(DELETE FROM @.{table} t USING {name} g JOIN good USING (n) WHERE t.account_id = g.account_id{same} \
                     RETURNING 1)"
                ));
            }
        }
        // A claim waits for the releases: the same name may be given up and claimed.
        let after = |releases: &Relation| {
            if releases.is_empty() {
                String::new()
            } else {
                format!(" WHERE (SELECT count(*) FROM {}_done) >= 0", releases.name)
            }
        };
        for (claims, releases, table) in [
            (&self.directory_claims, &self.directory_releases, "directory"),
            (&self.claims, &self.claim_releases, "claims"),
        ] {
            if !claims.is_empty() {
                let name = claims.name;
                sql.step(&format!("{name}_done")).push(&format!(
                    "(INSERT INTO @.{table} (account_id, kind, name) SELECT c.account_id, c.kind, c.name FROM {name} c \
                     JOIN good USING (n){})",
                    after(releases)
                ));
            }
        }
        if !self.kept_claims.is_empty() {
            sql.step("expired").push(
                "(DELETE FROM @.kept_outcomes t USING kept_claims c JOIN good USING (n) JOIN sets s USING (n) \
                 WHERE t.scope = c.scope AND t.account_id = c.account_id AND t.until <= s.at RETURNING 1)",
            );
            let outcome = self.filled("c");
            let numbers = self.with_numbers();
            let releases = after(&self.kept_releases);
            let releases = if releases.is_empty() { " WHERE".to_owned() } else { format!("{releases} AND") };
            sql.step("kept_done").push(&format!(
                "(INSERT INTO @.kept_outcomes (account_id, scope, fingerprint, outcome, until) SELECT c.account_id, \
                 c.scope, c.fingerprint, {outcome}, c.until FROM kept_claims c JOIN good USING (n){numbers}{releases} \
                 (SELECT count(*) FROM expired) >= 0)"
            ));
        }
    }

    /// A text with the number in its marked place.
    fn filled(&self, of: &str) -> String {
        if self.new_orders.is_empty() {
            return format!("{of}.before");
        }
        format!("CASE WHEN {of}.after IS NULL THEN {of}.before ELSE {of}.before || m.number || {of}.after END")
    }

    const fn with_numbers(&self) -> &'static str {
        if self.new_orders.is_empty() { "" } else { " LEFT JOIN numbers m USING (n)" }
    }

    fn rows(&self, sql: &mut Builder) {
        self.insert(sql, &self.new_accounts, "accounts");
        self.update(sql, &self.accounts, "accounts", &["account_id"]);
        self.insert(sql, &self.new_storefronts, "storefronts");
        self.update(sql, &self.storefronts, "storefronts", &["account_id"]);
        self.insert(sql, &self.new_services, "services");
        self.update(sql, &self.services, "services", &["account_id", "service_id"]);
        self.delete(sql, &self.deleted_services, "services", "service_id");
        if !self.service_deltas.is_empty() {
            sql.step("services_counted").push(
                "(INSERT INTO @.service_counts AS t (account_id, services) SELECT r.account_id, sum(r.delta)::int8 \
                 FROM service_deltas r JOIN good USING (n) GROUP BY r.account_id ORDER BY r.account_id \
                 ON CONFLICT (account_id) DO UPDATE SET services = t.services + excluded.services)",
            );
        }
        if !self.new_orders.is_empty() {
            let columns = self.new_orders.columns;
            let from: Vec<_> = columns.iter().map(|column| format!("r.{column}")).collect();
            sql.step("orders_made").push(&format!(
                "(INSERT INTO @.orders ({}, number) SELECT {}, m.number FROM new_orders r JOIN good USING (n) \
                 JOIN numbers m USING (n))",
                columns.join(", "),
                from.join(", ")
            ));
        }
        self.update(sql, &self.orders, "orders", &["order_id", "account_id"]);
        self.insert(sql, &self.new_payments, "payments");
        if !self.payments.is_empty() {
            let set: Vec<_> = PAYMENT.iter().skip(3).map(|column| format!("{column} = r.{column}")).collect();
            sql.step("payments_written").push(&format!(
                "(UPDATE @.payments t SET {} FROM set_payments r JOIN good USING (n) WHERE t.payment_id = r.payment_id \
                 AND t.account_id = r.account_id AND t.order_id = r.order_id RETURNING 1)",
                set.join(", ")
            ));
        }
        self.insert(sql, &self.keys, "api_keys");
        self.delete(sql, &self.deleted_keys, "api_keys", "key_id");
        self.insert(sql, &self.new_subscriptions, "subscriptions");
        self.update(sql, &self.subscriptions, "subscriptions", &["subscription_id", "account_id"]);
        self.delete(sql, &self.deleted_subscriptions, "subscriptions", "subscription_id");
        self.insert(sql, &self.audit, "audit");
        if !self.effects.is_empty() {
            let content = self.filled("r");
            let numbers = self.with_numbers();
            sql.step("effects_made").push(&format!(
                "(INSERT INTO @.effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, \
                 created_at, status, due_at) SELECT r.effect_id, r.account_id, r.kind, {content}, r.subscription_id, \
                 r.event_id, r.event_type, r.created_at, 'pending', r.created_at FROM new_effects r \
                 JOIN good USING (n){numbers})"
            ));
        }
        self.insert(sql, &self.deltas, "order_count_deltas");
        let (number, numbers) =
            if self.new_orders.is_empty() { ("NULL::int8", "") } else { ("m.number", self.with_numbers()) };
        sql.step("kept").push(&format!(
            "(INSERT INTO @.change_sets (change_set_id, account_id, at, number) SELECT s.id, s.account_id, s.at, \
             {number} FROM sets s JOIN good USING (n){numbers})"
        ));
    }

    #[allow(clippy::unused_self, reason = "reads as the others do")]
    fn insert(&self, sql: &mut Builder, relation: &Relation, table: &str) {
        if relation.is_empty() {
            return;
        }
        let from: Vec<_> = relation.columns.iter().map(|column| format!("r.{column}")).collect();
        sql.step(&format!("{}_done", relation.name)).push(&format!(
            "(INSERT INTO @.{table} ({}) SELECT {} FROM {} r JOIN good USING (n))",
            relation.columns.join(", "),
            from.join(", "),
            relation.name
        ));
    }

    #[allow(clippy::unused_self, reason = "reads as the others do")]
    fn update(&self, sql: &mut Builder, relation: &Relation, table: &str, key: &[&str]) {
        if relation.is_empty() {
            return;
        }
        let set: Vec<_> = relation
            .columns
            .iter()
            .filter(|column| !key.contains(column) && **column != "created_at")
            .map(|column| format!("{column} = r.{column}"))
            .collect();
        let same: Vec<_> = key.iter().map(|column| format!("t.{column} = r.{column}")).collect();
        sql.step(&format!("{}_done", relation.name)).push(&format!(
            "(UPDATE @.{table} t SET {} FROM {} r JOIN good USING (n) WHERE {})",
            set.join(", "),
            relation.name,
            same.join(" AND ")
        ));
    }

    #[allow(clippy::unused_self, reason = "reads as the others do")]
    fn delete(&self, sql: &mut Builder, relation: &Relation, table: &str, key: &str) {
        if relation.is_empty() {
            return;
        }
        sql.step(&format!("{}_done", relation.name)).push(&format!(
            "(DELETE FROM @.{table} t USING {} r JOIN good USING (n) WHERE t.{key} = r.id AND t.account_id = r.account_id)",
            relation.name
        ));
    }
}

fn service_cells(service: &Service) -> Result<Vec<Cell>, Failed> {
    let Service { id, account_id, version, offer, created_at, updated_at } = service;
    Ok(vec![
        id.to_string().into(),
        account_id.to_string().into(),
        int(version.0),
        offer.slug.as_str().into(),
        offer.name.as_str().into(),
        offer.name.to_lowercase().into(),
        (&offer.description).into(),
        json(&offer.pricing)?,
        offer.active.into(),
        i64::from(offer.sort_order).into(),
        time(*created_at),
        time(*updated_at),
    ])
}

fn order_cells(order: &Order) -> Vec<Cell> {
    let Order { buyer, state, .. } = order;
    let notes = order.notes.as_deref().unwrap_or_default();
    let search_text = format!("{}\n{}\n{notes}", buyer.name, buyer.email.as_str()).to_lowercase();
    vec![
        order.id.to_string().into(),
        order.account_id.to_string().into(),
        order.service_id.to_string().into(),
        order.access_token.reveal().into(),
        order.access_token.hash().to_string().into(),
        buyer.name.as_str().into(),
        buyer.email.as_str().into(),
        (&buyer.phone).into(),
        (&order.package_name).into(),
        (&order.preferred_date).into(),
        (&order.notes).into(),
        search_text.into(),
        order.language.as_str().into(),
        time(order.created_at),
        int(state.version.0),
        state.status.as_str().into(),
        state.payment_status.as_str().into(),
        state.quoted_price.get().into(),
        time(state.updated_at),
    ]
}

fn payment_cells(id: String, account: &str, order: String, state: &PaymentState) -> Vec<Cell> {
    let receipt = state.receipt.as_ref();
    vec![
        id.into(),
        account.into(),
        order.into(),
        state.status.as_str().into(),
        state.amount_due.get().into(),
        receipt.map(|receipt| receipt.upload_id.to_string()).into(),
        receipt.map(|receipt| image_word(receipt.image_type).to_owned()).into(),
        receipt.map(|receipt| i64::try_from(receipt.bytes).unwrap_or(i64::MAX)).into(),
        receipt.map(|receipt| receipt.sha256.to_string()).into(),
        receipt.map(|receipt| receipt.uploaded_at.millis()).into(),
    ]
}

/// Applies change sets that contradict each other in nothing, in one statement. `many`: none waits for a lock.
///
/// On any error nothing of it is done, unless the connection was lost.
pub(super) async fn apply(
    connection: &mut PgConnection,
    schema: &str,
    changes: &[&ChangeSet],
    many: bool,
) -> Result<Vec<Status>, Refusal> {
    let mut input = Input::new();
    for (n, change) in (0_i64..).zip(changes) {
        input.add(n, change)?;
    }
    let (sql, arguments) = input.statement(many)?.finish(schema);
    let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await?;
    let mut statuses: Vec<Option<Status>> = changes.iter().map(|_| None).collect();
    for row in &rows {
        let n = usize::try_from(row.int("n").map_err(Failed::from)?).map_err(|_| Failed::Unreadable("n"))?;
        let (Some(change), Some(status)) = (changes.get(n), statuses.get_mut(n)) else {
            return Err(Failed::Unreadable("n").into());
        };
        *status = Some(read(row, change)?);
    }
    let statuses: Option<Vec<_>> = statuses.into_iter().collect();
    Ok(statuses.ok_or(Failed::Unreadable("status"))?)
}

fn read(row: &PgRow, change: &ChangeSet) -> Result<Status, Failed> {
    let number = match row.optional_int("number")? {
        None => None,
        Some(number) => Some(OrderNumber(u32::try_from(number).map_err(|_| Failed::Unreadable("number"))?)),
    };
    if row.flag("landed")? {
        return Ok(Status::Committed(Committed { number }));
    }
    if row.flag("failed")? {
        return Ok(if row.flag("alone")? { Status::Alone } else { Status::Conflict });
    }
    if let Some(at) = row.optional_int("taken")? {
        let claim = usize::try_from(at).ok().and_then(|at| change.claims.get(at)).ok_or(Failed::Unreadable("taken"))?;
        let kept = match (row.optional_text("fingerprint")?, row.optional_text("outcome")?, row.optional_int("until")?)
        {
            (Some(fingerprint), Some(outcome), Some(until)) => Some(Kept {
                fingerprint: Digest256::from_hex(fingerprint).ok_or(Failed::Unreadable("fingerprint"))?,
                outcome: outcome.to_owned(),
                until: Timestamp::from_millis(until),
            }),
            _ => None,
        };
        return Ok(Status::Duplicate(Box::new(Duplicate { claim: claim.name.clone(), kept })));
    }
    Ok(Status::Committed(Committed { number }))
}

/// Why a statement did not run.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A unique constraint, the last guard: whoever meets it reads and decides again, alone.
    Raced,
    Failed(Failed),
}

impl From<Failed> for Refusal {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if unique_violation(&error) { Self::Raced } else { Self::Failed(of_write(error)) }
    }
}

impl From<Status> for Result<Committed, CommitError> {
    fn from(status: Status) -> Self {
        match status {
            Status::Committed(committed) => Ok(committed),
            Status::Conflict | Status::Alone => Err(CommitError::Conflict),
            Status::Duplicate(duplicate) => Err(CommitError::Duplicate(duplicate)),
        }
    }
}
