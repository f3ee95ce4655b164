//! The steps of a commit's statement, over the relations that it takes in.

use std::time::Duration;

use serront_core::funds::ledger::POSTED_WITHIN;

use super::commit::Mode;
use super::input::Input;
use super::statement::{Builder, Relation};
use crate::sql::error::Failed;
use crate::sql::work::TABLES;

/// By how much the storage's clock is ahead of the one by which a change set `s` was decided.
const SHIFT: &str = "((SELECT now FROM clock) - s.at)";

impl Input {
    /// Writes the statement.
    pub(super) fn statement(&self, mode: Mode, now: &str, patience: Option<Duration>) -> Result<Builder, Failed> {
        let mut sql = Builder::new();
        sql.step("clock (now)").push(&format!("MATERIALIZED (SELECT {now})"));
        if let Some(patience) = patience {
            sql.patience(patience)?;
        }
        let patient = if patience.is_some() { " AND (SELECT p.ends FROM patience p) IS NOT NULL" } else { "" };
        for relation in self.relations().into_iter().filter(|relation| !relation.is_empty()) {
            sql.relation(relation, mode == Mode::Shared)?;
        }
        sql.step("landed").push(
            "(SELECT s.n, c.number FROM sets s CROSS JOIN LATERAL (SELECT number FROM @.change_sets c \
             WHERE c.change_set_id = s.id AND c.account_id = s.account_id LIMIT 1) c)",
        );
        let failed = self.failed(&mut sql, mode != Mode::Waiting, patient);
        let taken = self.taken(&mut sql);
        sql.step("good").push("MATERIALIZED (SELECT s.n FROM sets s WHERE s.n NOT IN (SELECT n FROM landed)");
        if failed {
            sql.push(" AND s.n NOT IN (SELECT n FROM failed)");
        }
        if taken {
            sql.push(" AND s.n NOT IN (SELECT n FROM taken)");
        }
        // Everything that writes begins with these.
        sql.push(patient).push(")");
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
        let whole: Vec<_> = [&self.payments, &self.checkouts, &self.inbox]
            .into_iter()
            .filter(|relation| !relation.is_empty())
            .map(|Relation { name, .. }| {
                format!("(SELECT count(*) FROM {name}_done) = (SELECT count(*) FROM {name} JOIN good USING (n))")
            })
            .collect();
        if !whole.is_empty() {
            // Dividing by zero rolls back what wrote less than it should: a bug in the decision.
            sql.push(&format!(", 1 / (CASE WHEN {} THEN 1 ELSE 0 END) AS whole", whole.join(" AND ")));
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

    fn relations(&self) -> [&Relation; 72] {
        [
            &self.sets,
            &self.storefront_guards,
            &self.service_guards,
            &self.order_guards,
            &self.subscription_guards,
            &self.session_guards,
            &self.provisioning_guards,
            &self.exception_guards,
            &self.funds_guards,
            &self.bank_account_guards,
            &self.payout_guards,
            &self.account_guards,
            &self.settings,
            &self.services_below,
            &self.no_orders_of,
            &self.fresh,
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
            &self.tokens,
            &self.new_payments,
            &self.payments,
            &self.keys,
            &self.deleted_keys,
            &self.new_subscriptions,
            &self.subscriptions,
            &self.deleted_subscriptions,
            &self.secrets,
            &self.resealed,
            &self.audit,
            &self.new_checkouts,
            &self.checkouts,
            &self.new_sessions,
            &self.sessions,
            &self.new_provisioning,
            &self.provisioning,
            &self.entries,
            &self.new_exceptions,
            &self.exceptions,
            &self.new_inbox,
            &self.inbox,
            &self.new_funds,
            &self.funds,
            &self.new_bank_accounts,
            &self.bank_accounts,
            &self.new_payouts,
            &self.payouts,
            &self.payout_audit,
            &self.adjustments,
            &self.effects,
            &self.errands,
            &self.requeued_effects,
            &self.requeued_errands,
            &self.discarded_effects,
            &self.discarded_errands,
            &self.discards,
            &self.given_up,
            &self.deltas,
            &self.ledger_deltas,
        ]
    }

    /// The effects to be queued again or discarded, by table: with what has to hold of them, and what is set.
    const fn by_hand(&self) -> [(&Relation, &'static str, &'static str, &'static str); 4] {
        const OVER: &str = "r.status <> 'pending'";
        const QUEUE: &str = "status = 'pending', discarded = false, due_at = (SELECT now FROM clock), lease_until = 0";
        const GIVEN_UP: &str = "r.status = 'failed' AND NOT r.discarded";
        const DISCARD: &str = "discarded = true";
        let [effects, errands] = TABLES;
        [
            (&self.requeued_effects, effects, OVER, QUEUE),
            (&self.requeued_errands, errands, OVER, QUEUE),
            (&self.discarded_effects, effects, GIVEN_UP, DISCARD),
            (&self.discarded_errands, errands, GIVEN_UP, DISCARD),
        ]
    }

    /// Locks what is guarded and finds the change sets whose guards do not hold. `false` if there is nothing to find.
    /// `patient` is a condition by which the patience is set before anything is waited for.
    fn failed(&self, sql: &mut Builder, skip: bool, patient: &str) -> bool {
        let lock = if skip { "FOR NO KEY UPDATE OF r SKIP LOCKED" } else { "FOR NO KEY UPDATE OF r" };
        let lock_gone = if skip { "FOR UPDATE OF r SKIP LOCKED" } else { "FOR UPDATE OF r" };
        let mut branches = Vec::new();
        if !self.services_below.is_empty() {
            sql.step("count_locks").push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.services FROM @.service_counts r WHERE r.account_id IN \
                 (SELECT g.account_id FROM services_below g){patient} ORDER BY r.account_id {lock})"
            ));
            branches.push(
                "SELECT g.n, l.account_id IS NULL AS alone FROM services_below g LEFT JOIN count_locks l USING (account_id) \
                 WHERE l.services < g.below IS NOT TRUE"
                    .to_owned(),
            );
        }
        for (guards, table, key, locks) in [
            // The account's row is locked only by what writes it; a witness reads it.
            (&self.account_guards, "accounts", None, "account_locks"),
            (&self.storefront_guards, "storefronts", None, "storefront_locks"),
            (&self.service_guards, "services", Some("service_id"), "service_locks"),
            (&self.order_guards, "orders", Some("order_id"), "order_locks"),
            (&self.subscription_guards, "subscriptions", Some("subscription_id"), "subscription_locks"),
            (&self.session_guards, "sessions", Some("session_id"), "session_locks"),
            (&self.provisioning_guards, "provisioning", None, "provisioning_locks"),
            (&self.exception_guards, "exceptions", Some("exception_id"), "exception_locks"),
            (&self.payout_guards, "payouts", Some("payout_id"), "payout_locks"),
            (&self.bank_account_guards, "bank_accounts", None, "bank_account_locks"),
            (&self.funds_guards, "funds", None, "funds_locks"),
        ] {
            if guards.is_empty() {
                continue;
            }
            let name = guards.name;
            let Some(key) = key else {
                sql.step(locks).push(&format!(
                    "MATERIALIZED (SELECT r.account_id, r.version FROM @.{table} r WHERE r.account_id IN \
                     (SELECT g.account_id FROM {name} g){patient} ORDER BY r.account_id {lock})"
                ));
                branches.push(format!(
                    "SELECT g.n, l.account_id IS NULL FROM {name} g LEFT JOIN {locks} l USING (account_id) \
                     WHERE coalesce(l.version, 0) <> g.version"
                ));
                continue;
            };
            let more = if table == "services" { ", r.has_orders" } else { "" };
            sql.step(locks).push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.{key} AS id, r.version{more} FROM @.{table} r \
                 WHERE (r.{key}, r.account_id) IN (SELECT g.id, g.account_id FROM {name} g){patient} \
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
        if !self.fresh.is_empty() {
            // What posts has locked the ledger's table by then, so that `money::oldest_posting` finds it.
            branches.push(format!(
                "SELECT g.n, false FROM fresh g WHERE g.at < (SELECT now FROM clock) - {}",
                POSTED_WITHIN.as_millis()
            ));
        }
        if !self.deleted_keys.is_empty() {
            sql.step("key_locks").push(&format!(
                "MATERIALIZED (SELECT r.key_id AS id, r.account_id FROM @.api_keys r WHERE (r.key_id, r.account_id) IN \
                 (SELECT d.id, d.account_id FROM deleted_keys d){patient} ORDER BY r.key_id {lock_gone})"
            ));
            branches.push(
                "SELECT d.n, true FROM deleted_keys d LEFT JOIN key_locks l USING (id, account_id) \
                 WHERE l.id IS NULL"
                    .to_owned(),
            );
        }
        for (relation, table, condition, _) in self.by_hand() {
            if relation.is_empty() {
                continue;
            }
            let name = relation.name;
            let locks = format!("{name}_locks");
            // After a wait the condition is looked at anew: of two who queue an effect again, the second finds none.
            sql.step(&locks).push(&format!(
                "MATERIALIZED (SELECT r.effect_id AS id, r.account_id FROM @.{table} r WHERE (r.effect_id, r.account_id) IN \
                 (SELECT g.id, g.account_id FROM {name} g) AND {condition}{patient} \
                 ORDER BY r.effect_id, r.account_id {lock})"
            ));
            branches.push(format!(
                "SELECT g.n, true FROM {name} g LEFT JOIN {locks} l USING (id, account_id) WHERE l.id IS NULL"
            ));
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
                 (SELECT {key}, account_id FROM {name}){patient} ORDER BY {columns}r.account_id {lock_gone})"
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
                "SELECT c.n, c.i, k.fingerprint, k.outcome, k.until FROM kept_claims c \
                 CROSS JOIN LATERAL (SELECT fingerprint, outcome, until FROM @.kept_outcomes k WHERE k.scope = c.scope \
                 AND k.account_id = c.account_id AND k.until > (SELECT now FROM clock) LIMIT 1) k{}",
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
                "(DELETE FROM @.kept_outcomes t USING kept_claims c JOIN good USING (n) \
                 WHERE t.scope = c.scope AND t.account_id = c.account_id AND t.until <= (SELECT now FROM clock) \
                 RETURNING 1)",
            );
            let outcome = self.filled("c");
            let numbers = self.with_numbers();
            let releases = after(&self.kept_releases);
            let releases = if releases.is_empty() { " WHERE".to_owned() } else { format!("{releases} AND") };
            sql.step("kept_done").push(&format!(
                "(INSERT INTO @.kept_outcomes (account_id, scope, fingerprint, outcome, until) SELECT c.account_id, \
                 c.scope, c.fingerprint, {outcome}, c.until + {SHIFT} FROM kept_claims c JOIN good USING (n) \
                 JOIN sets s USING (n){numbers}{releases} \
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
            let from: Vec<_> = columns
                .iter()
                .map(|column| match *column {
                    "search" => "array_to_tsvector(string_to_array(r.search, ' '))".to_owned(),
                    column => format!("r.{column}"),
                })
                .collect();
            sql.step("orders_made").push(&format!(
                "(INSERT INTO @.orders ({}, number) SELECT {}, m.number FROM new_orders r JOIN good USING (n) \
                 JOIN numbers m USING (n))",
                columns.join(", "),
                from.join(", ")
            ));
        }
        self.update(sql, &self.orders, "orders", &["order_id", "account_id"]);
        self.update(sql, &self.tokens, "orders", &["order_id", "account_id"]);
        self.insert(sql, &self.new_payments, "payments");
        self.update(sql, &self.payments, "payments", &["payment_id", "account_id", "order_id"]);
        self.insert(sql, &self.keys, "api_keys");
        self.delete(sql, &self.deleted_keys, "api_keys", "key_id");
        self.insert(sql, &self.new_subscriptions, "subscriptions");
        self.update(sql, &self.subscriptions, "subscriptions", &["subscription_id", "account_id"]);
        self.delete(sql, &self.deleted_subscriptions, "subscriptions", "subscription_id");
        if !self.secrets.is_empty() {
            sql.step("new_secrets_done").push(&format!(
                "(UPDATE @.subscriptions t SET version = r.version, previous_secret = t.secret, \
                 previous_until = r.previous_until + {SHIFT}, secret = r.secret FROM new_secrets r JOIN good USING (n) \
                 JOIN sets s USING (n) WHERE t.subscription_id = r.id AND t.account_id = r.account_id)"
            ));
        }
        self.update(sql, &self.resealed, "subscriptions", &["subscription_id", "account_id"]);
        self.insert(sql, &self.audit, "audit");
        self.insert(sql, &self.new_checkouts, "checkouts");
        self.update(sql, &self.checkouts, "checkouts", &["checkout_id", "account_id", "order_id"]);
        self.insert(sql, &self.new_sessions, "sessions");
        self.update(sql, &self.sessions, "sessions", &["session_id", "account_id"]);
        self.insert(sql, &self.new_provisioning, "provisioning");
        self.update(sql, &self.provisioning, "provisioning", &["account_id"]);
        self.insert(sql, &self.entries, "ledger_entries");
        self.insert(sql, &self.new_exceptions, "exceptions");
        self.update(sql, &self.exceptions, "exceptions", &["exception_id", "account_id"]);
        self.insert(sql, &self.new_inbox, "inbox");
        self.update(sql, &self.inbox, "inbox", &["event_id", "account_id"]);
        self.insert(sql, &self.new_funds, "funds");
        self.update(sql, &self.funds, "funds", &["account_id"]);
        self.insert(sql, &self.new_bank_accounts, "bank_accounts");
        self.update(sql, &self.bank_accounts, "bank_accounts", &["account_id"]);
        self.insert(sql, &self.new_payouts, "payouts");
        self.update(sql, &self.payouts, "payouts", &["payout_id", "account_id"]);
        self.insert(sql, &self.payout_audit, "payout_audit");
        self.insert(sql, &self.adjustments, "adjustments");
        if !self.effects.is_empty() {
            let content = self.filled("r");
            let numbers = self.with_numbers();
            sql.step("effects_made").push(&format!(
                "(INSERT INTO @.effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, \
                 created_at, status, due_at) SELECT r.effect_id, r.account_id, r.kind, {content}, r.subscription_id, \
                 r.event_id, r.event_type, k.now, 'pending', k.now FROM new_effects r \
                 JOIN good USING (n) CROSS JOIN clock k{numbers})"
            ));
        }
        if !self.errands.is_empty() {
            sql.step("errands_made").push(&format!(
                "(INSERT INTO @.errands (effect_id, account_id, content, created_at, status, due_at) SELECT r.effect_id, \
                 r.account_id, r.content, (SELECT now FROM clock), 'pending', r.due_at + {SHIFT} FROM new_errands r \
                 JOIN good USING (n) JOIN sets s USING (n))"
            ));
        }
        for (relation, table, _, set) in self.by_hand() {
            if !relation.is_empty() {
                let name = relation.name;
                sql.step(&format!("{name}_done")).push(&format!(
                    "(UPDATE @.{table} t SET {set} FROM {name} r \
                     JOIN good USING (n) \
                     WHERE t.effect_id = r.id AND t.account_id = r.account_id)"
                ));
            }
        }
        self.insert(sql, &self.discards, "discards");
        if !self.given_up.is_empty() {
            // Who takes work skips what is locked, and who records an attempt locks one effect: nobody waits in a circle.
            sql.step("given_up_done").push(
                "(UPDATE @.effects t SET status = 'failed', discarded = true, lease_until = 0 FROM given_up r JOIN good USING (n) \
                 WHERE t.subscription_id = r.id AND t.account_id = r.account_id AND t.status = 'pending')",
            );
        }
        self.insert(sql, &self.deltas, "order_count_deltas");
        self.insert(sql, &self.ledger_deltas, "ledger_deltas");
        let (number, numbers) =
            if self.new_orders.is_empty() { ("NULL::int8", "") } else { ("m.number", self.with_numbers()) };
        sql.step("kept").push(&format!(
            "(INSERT INTO @.change_sets (change_set_id, account_id, at, number) SELECT s.id, s.account_id, \
             (SELECT now FROM clock), {number} FROM sets s JOIN good USING (n){numbers})"
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

    /// Answers its rows, so that what has to be whole can be counted.
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
            "(UPDATE @.{table} t SET {} FROM {} r JOIN good USING (n) WHERE {} RETURNING 1)",
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
