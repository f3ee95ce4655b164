//! Change sets as the relations that a statement takes in.

use serront_core::accounts::account::Account;
use serront_core::changes::change::{ChangeSet, Guard, Row, SessionName, Write};
use serront_core::changes::effect::{Effect, Lane};
use serront_core::funds::balance::Funds;
use serront_core::funds::payout::DefaultBankAccount;
use serront_core::online::provisioning::Provisioning;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::storefront::Storefront;

use super::cells::{
    adjustment_cells, checkout_cells, checkout_state_cells, discard_cells, entry_cells, exception_cells, inbox_cells,
    int, json, order_cells, payment_cells, payout_audit_cells, payout_cells, payout_state_cells, service_cells, time,
};
use super::statement::{Cell, Relation};
use crate::sql::error::Failed;
use crate::sql::ledger::{self, ENTRY};
use crate::sql::names::{Place, place};

/// Everything that a statement takes in.
pub(super) struct Input {
    pub(super) sets: Relation,
    pub(super) storefront_guards: Relation,
    pub(super) service_guards: Relation,
    pub(super) order_guards: Relation,
    pub(super) subscription_guards: Relation,
    pub(super) session_guards: Relation,
    pub(super) provisioning_guards: Relation,
    pub(super) exception_guards: Relation,
    pub(super) funds_guards: Relation,
    pub(super) bank_account_guards: Relation,
    pub(super) payout_guards: Relation,
    pub(super) account_guards: Relation,
    pub(super) settings: Relation,
    pub(super) services_below: Relation,
    pub(super) no_orders_of: Relation,
    pub(super) fresh: Relation,
    pub(super) directory_releases: Relation,
    pub(super) claim_releases: Relation,
    pub(super) kept_releases: Relation,
    pub(super) directory_claims: Relation,
    pub(super) claims: Relation,
    pub(super) kept_claims: Relation,
    pub(super) new_accounts: Relation,
    pub(super) accounts: Relation,
    pub(super) new_storefronts: Relation,
    pub(super) storefronts: Relation,
    pub(super) new_services: Relation,
    pub(super) services: Relation,
    pub(super) deleted_services: Relation,
    pub(super) service_deltas: Relation,
    pub(super) new_orders: Relation,
    pub(super) orders: Relation,
    pub(super) tokens: Relation,
    pub(super) new_payments: Relation,
    pub(super) payments: Relation,
    pub(super) keys: Relation,
    pub(super) deleted_keys: Relation,
    pub(super) new_subscriptions: Relation,
    pub(super) subscriptions: Relation,
    pub(super) deleted_subscriptions: Relation,
    pub(super) secrets: Relation,
    pub(super) resealed: Relation,
    pub(super) audit: Relation,
    pub(super) new_checkouts: Relation,
    pub(super) checkouts: Relation,
    pub(super) new_sessions: Relation,
    pub(super) sessions: Relation,
    pub(super) new_provisioning: Relation,
    pub(super) provisioning: Relation,
    pub(super) entries: Relation,
    pub(super) new_exceptions: Relation,
    pub(super) exceptions: Relation,
    pub(super) new_inbox: Relation,
    pub(super) inbox: Relation,
    pub(super) new_funds: Relation,
    pub(super) funds: Relation,
    pub(super) new_bank_accounts: Relation,
    pub(super) bank_accounts: Relation,
    pub(super) new_payouts: Relation,
    pub(super) payouts: Relation,
    pub(super) payout_audit: Relation,
    pub(super) adjustments: Relation,
    pub(super) effects: Relation,
    pub(super) errands: Relation,
    pub(super) requeued_effects: Relation,
    pub(super) requeued_errands: Relation,
    pub(super) discarded_effects: Relation,
    pub(super) discarded_errands: Relation,
    pub(super) discards: Relation,
    pub(super) given_up: Relation,
    pub(super) deltas: Relation,
    pub(super) ledger_deltas: Relation,
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
    "description",
    "pricing",
    "active",
    "sort_order",
    "created_at",
    "updated_at",
];

const SESSION: &[&str] = &["session_id", "account_id", "version", "checkout_id"];
const PROVISIONING: &[&str] = &["account_id", "version", "state"];
const FUNDS: &[&str] = &["account_id", "version", "in_flight"];
const BANK_ACCOUNT: &[&str] = &["account_id", "version", "details"];

impl Input {
    pub(super) fn new() -> Self {
        Self {
            sets: Relation::new("sets", &["id", "account_id", "at"]),
            storefront_guards: Relation::new("storefront_guards", &["account_id", "version"]),
            service_guards: Relation::new("service_guards", GUARD),
            order_guards: Relation::new("order_guards", GUARD),
            subscription_guards: Relation::new("subscription_guards", GUARD),
            session_guards: Relation::new("session_guards", GUARD),
            provisioning_guards: Relation::new("provisioning_guards", &["account_id", "version"]),
            exception_guards: Relation::new("exception_guards", GUARD),
            funds_guards: Relation::new("funds_guards", &["account_id", "version"]),
            bank_account_guards: Relation::new("bank_account_guards", &["account_id", "version"]),
            payout_guards: Relation::new("payout_guards", GUARD),
            account_guards: Relation::new("account_guards", &["account_id", "version"]),
            settings: Relation::new("settings", &["account_id", "version"]),
            services_below: Relation::new("services_below", &["account_id", "below"]),
            no_orders_of: Relation::new("no_orders_of", OWNED),
            fresh: Relation::new("fresh", &["at"]),
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
                    "search",
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
            tokens: Relation::new(
                "set_tokens",
                &["order_id", "account_id", "version", "access_token", "access_token_hash", "updated_at"],
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
                &["subscription_id", "account_id", "version", "url", "events", "active", "failures", "failing_since"],
            ),
            deleted_subscriptions: Relation::new("deleted_subscriptions", OWNED),
            secrets: Relation::new("new_secrets", &["account_id", "id", "version", "secret", "previous_until"]),
            resealed: Relation::new(
                "resealed",
                &["subscription_id", "account_id", "version", "secret", "previous_secret"],
            ),
            audit: Relation::new(
                "new_audit",
                &["audit_id", "account_id", "order_id", "payment_id", "at", "actor", "act", "note"],
            ),
            new_checkouts: Relation::new(
                "new_checkouts",
                &[
                    "checkout_id",
                    "account_id",
                    "order_id",
                    "payment_id",
                    "amount",
                    "fee_rate",
                    "request",
                    "created_at",
                    "status",
                    "session_id",
                    "hosted_url",
                    "expires_at",
                    "unneeded",
                    "ended_at",
                ],
            ),
            checkouts: Relation::new(
                "set_checkouts",
                &[
                    "checkout_id",
                    "account_id",
                    "order_id",
                    "status",
                    "session_id",
                    "hosted_url",
                    "expires_at",
                    "unneeded",
                    "ended_at",
                ],
            ),
            new_sessions: Relation::new("new_sessions", SESSION),
            sessions: Relation::new("set_sessions", SESSION),
            new_provisioning: Relation::new("new_provisioning", PROVISIONING),
            provisioning: Relation::new("set_provisioning", PROVISIONING),
            entries: Relation::new("new_entries", ENTRY),
            new_exceptions: Relation::new(
                "new_exceptions",
                &[
                    "exception_id",
                    "account_id",
                    "version",
                    "kind",
                    "order_id",
                    "session_id",
                    "amount",
                    "created_at",
                    "status",
                    "note",
                    "adjustment_id",
                    "resolved_at",
                ],
            ),
            exceptions: Relation::new(
                "set_exceptions",
                &["exception_id", "account_id", "version", "status", "note", "adjustment_id", "resolved_at"],
            ),
            new_inbox: Relation::new(
                "new_inbox",
                &["event_id", "account_id", "event_type", "session_id", "body", "received_at", "status"],
            ),
            inbox: Relation::new("set_inbox", &["event_id", "account_id", "status"]),
            new_funds: Relation::new("new_funds", FUNDS),
            funds: Relation::new("set_funds", FUNDS),
            new_bank_accounts: Relation::new("new_bank_accounts", BANK_ACCOUNT),
            bank_accounts: Relation::new("set_bank_accounts", BANK_ACCOUNT),
            new_payouts: Relation::new(
                "new_payouts",
                &[
                    "payout_id",
                    "account_id",
                    "amount",
                    "bank",
                    "note",
                    "created_at",
                    "version",
                    "status",
                    "reference",
                    "failure_reason",
                    "processed_at",
                    "completed_at",
                    "updated_at",
                ],
            ),
            payouts: Relation::new(
                "set_payouts",
                &[
                    "payout_id",
                    "account_id",
                    "version",
                    "status",
                    "reference",
                    "failure_reason",
                    "processed_at",
                    "completed_at",
                    "updated_at",
                ],
            ),
            payout_audit: Relation::new(
                "new_payout_audit",
                &["audit_id", "account_id", "payout_id", "at", "actor", "from_status", "to_status", "note"],
            ),
            adjustments: Relation::new(
                "new_adjustments",
                &["adjustment_id", "account_id", "direction", "amount", "reason", "reference", "actor", "created_at"],
            ),
            errands: Relation::new("new_errands", &["effect_id", "account_id", "content", "due_at"]),
            requeued_effects: Relation::new("requeued_effects", OWNED),
            requeued_errands: Relation::new("requeued_errands", OWNED),
            discarded_effects: Relation::new("discarded_effects", OWNED),
            discarded_errands: Relation::new("discarded_errands", OWNED),
            discards: Relation::new("new_discards", &["audit_id", "account_id", "effect_id", "at", "actor", "reason"]),
            given_up: Relation::new("given_up", OWNED),
            effects: Relation::new(
                "new_effects",
                &["effect_id", "account_id", "kind", "before", "after", "subscription_id", "event_id", "event_type"],
            ),
            deltas: Relation::new("deltas", &["change_set_id", "account_id", "status", "delta"]),
            ledger_deltas: Relation::new("ledger_sums", &["change_set_id", "account_id", "code", "debits", "credits"]),
        }
    }

    /// Takes in the `n`th change set.
    pub(super) fn add(&mut self, n: i64, change: &ChangeSet) -> Result<(), Failed> {
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
        for (code, added) in ledger::added(&change.writes)? {
            self.ledger_deltas.push(
                n,
                vec![
                    change.id.to_string().into(),
                    account.clone().into(),
                    code.as_str().into(),
                    added.debits.into(),
                    added.credits.into(),
                ],
            );
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
                    Row::Session(id) => self.session_guards.push(n, vec![account, id.as_str().into(), version]),
                    Row::Provisioning => self.provisioning_guards.push(n, vec![account, version]),
                    Row::Exception(id) => self.exception_guards.push(n, vec![account, id.to_string().into(), version]),
                    Row::Funds => self.funds_guards.push(n, vec![account, version]),
                    Row::BankAccount => self.bank_account_guards.push(n, vec![account, version]),
                    Row::Payout(id) => self.payout_guards.push(n, vec![account, id.to_string().into(), version]),
                }
            }
            Guard::ServicesBelow(limit) => self.services_below.push(n, vec![account, i64::from(*limit).into()]),
            Guard::NoOrdersOf(id) => self.no_orders_of.push(n, vec![account, id.to_string().into()]),
            Guard::Settings(version) => self.settings.push(n, vec![account, int(version.0)]),
            Guard::Fresh(at) => self.fresh.push(n, vec![time(*at)]),
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
                    secret.as_stored().into(),
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
                    int(0),
                    Cell::Int(None),
                ],
            ),
            Write::DeleteSubscription(id) => self.deleted_subscriptions.push(n, owned(id.to_string())),
            Write::RotateSecret { id, version, secret, previous_until } => {
                let mut cells = owned(id.to_string());
                cells.extend([int(version.0), secret.as_stored().into(), time(*previous_until)]);
                self.secrets.push(n, cells);
            }
            Write::ResealSecrets { id, version, secret, previous_secret } => self.resealed.push(
                n,
                vec![
                    id.to_string().into(),
                    account.into(),
                    int(version.0),
                    secret.as_stored().into(),
                    previous_secret.as_ref().map(|secret| secret.as_stored().to_owned()).into(),
                ],
            ),
            Write::RotateToken { id, version, access_token, updated_at } => self.tokens.push(
                n,
                vec![
                    id.to_string().into(),
                    account.into(),
                    int(version.0),
                    access_token.reveal().into(),
                    access_token.hash().to_string().into(),
                    time(*updated_at),
                ],
            ),
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
            Write::InsertCheckout(checkout) => self.new_checkouts.push(n, checkout_cells(checkout)),
            Write::UpdateCheckout { id, order_id, state } => {
                let mut cells = vec![id.to_string().into(), account.into(), order_id.to_string().into()];
                cells.extend(checkout_state_cells(state));
                self.checkouts.push(n, cells);
            }
            Write::PutSession(SessionName { id, version, checkout_id }) => {
                // A first write has nothing before it: a row that is there already is told by the constraint.
                let relation = if *version == Version::FIRST { &mut self.new_sessions } else { &mut self.sessions };
                relation.push(
                    n,
                    vec![
                        id.as_str().into(),
                        account.into(),
                        int(version.0),
                        checkout_id.map(|id| id.to_string()).into(),
                    ],
                );
            }
            Write::PutProvisioning(Provisioning { account_id, version, state }) => {
                let relation =
                    if *version == Version::FIRST { &mut self.new_provisioning } else { &mut self.provisioning };
                relation.push(n, vec![account_id.to_string().into(), int(version.0), json(state)?]);
            }
            Write::Post(legs) => {
                for leg in legs {
                    self.entries.push(n, entry_cells(leg));
                }
            }
            Write::InsertException(exception) => self.new_exceptions.push(n, exception_cells(exception)),
            Write::UpdateException(id, state) => self.exceptions.push(
                n,
                vec![
                    id.to_string().into(),
                    account.into(),
                    int(state.version.0),
                    state.status.as_str().into(),
                    (&state.note).into(),
                    state.adjustment_id.map(|id| id.to_string()).into(),
                    state.resolved_at.map(Timestamp::millis).into(),
                ],
            ),
            Write::InsertInbox(record) => self.new_inbox.push(n, inbox_cells(record)),
            Write::UpdateInbox(id, status) => {
                self.inbox.push(n, vec![id.as_str().into(), account.into(), status.as_str().into()]);
            }
            Write::PutFunds(Funds { account_id, version, in_flight }) => {
                let relation = if *version == Version::FIRST { &mut self.new_funds } else { &mut self.funds };
                relation.push(n, vec![account_id.to_string().into(), int(version.0), in_flight.get().into()]);
            }
            Write::PutBankAccount(DefaultBankAccount { account_id, version, details }) => {
                let relation =
                    if *version == Version::FIRST { &mut self.new_bank_accounts } else { &mut self.bank_accounts };
                relation.push(n, vec![account_id.to_string().into(), int(version.0), json(details)?]);
            }
            Write::InsertPayout(payout) => self.new_payouts.push(n, payout_cells(payout)?),
            Write::UpdatePayout(id, state) => {
                let mut cells = vec![id.to_string().into(), account.into()];
                cells.extend(payout_state_cells(state));
                self.payouts.push(n, cells);
            }
            Write::AppendPayoutAudit(record) => self.payout_audit.push(n, payout_audit_cells(record)?),
            Write::InsertAdjustment(adjustment) => self.adjustments.push(n, adjustment_cells(adjustment)?),
            Write::Requeue(id) => {
                let relation = match id.lane() {
                    Lane::Mails | Lane::Deliveries | Lane::Removals => &mut self.requeued_effects,
                    Lane::Errands => &mut self.requeued_errands,
                };
                relation.push(n, owned(id.to_string()));
            }
            Write::Discard(discard) => {
                let id = discard.effect_id;
                let relation = match id.lane() {
                    Lane::Mails | Lane::Deliveries | Lane::Removals => &mut self.discarded_effects,
                    Lane::Errands => &mut self.discarded_errands,
                };
                relation.push(n, owned(id.to_string()));
                self.discards.push(n, discard_cells(discard)?);
            }
            Write::GiveUpDeliveries(id) => self.given_up.push(n, owned(id.to_string())),
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
            Effect::Errand { errand, .. } => {
                self.errands.push(
                    n,
                    vec![effect.id().to_string().into(), account.into(), json(errand)?, time(effect.due_at(at))],
                );
                return Ok(());
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
            ],
        );
        Ok(())
    }
}
