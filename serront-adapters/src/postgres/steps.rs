//! The steps of a commit's statement, which read its relations.

use serront_core::accounts::key::KeyRecord;
use serront_core::funds::ledger::POSTED_WITHIN;
use serront_core::orders::order::Order;
use serront_core::shop::catalog::Service;

use super::commit::Mode;
use super::input::{
    CLAIM_RELEASES, CLAIMS, DELETED, DIRECTORY_CLAIMS, DIRECTORY_RELEASES, DISCARDED_EFFECTS, DISCARDED_ERRANDS, FRESH,
    GIVEN_UP, GUARDED, INSERTED, Input, KEPT_CLAIMS, KEPT_RELEASES, LEDGER_DELTAS, NO_ORDERS_OF, ORDER_DELTAS,
    QUEUED_EFFECTS, QUEUED_ERRANDS, REQUEUED_EFFECTS, REQUEUED_ERRANDS, SECRETS, SERVICE_DELTAS, SERVICES_BELOW,
    SETTINGS, UPDATED,
};
use super::statement::{Builder, PATIENT, Patience, Relation};
use crate::sql::error::Failed;
use crate::sql::tables::{Columns, Record};
use crate::sql::work::TABLES;

/// The order in which the rows of guarded tables are locked.
pub(super) const LOCK_ORDER: [&str; 11] = [
    "accounts",
    "storefronts",
    SERVICES,
    ORDERS,
    "subscriptions",
    "sessions",
    "provisioning",
    "exceptions",
    "payouts",
    "bank_accounts",
    "funds",
];

/// The tables whose rows have no guard, because another row's guard covers them. An update that finds no row is a bug
/// in the decision.
pub(super) const COVERED: [&str; 3] = ["payments", "checkouts", "inbox"];

pub(super) const SERVICES: &str = <Service as Record>::COLUMNS.table;
pub(super) const ORDERS: &str = <Order as Record>::COLUMNS.table;
const KEYS: &str = <KeyRecord as Record>::COLUMNS.table;

/// How far the storage's clock is ahead of the clock by which a change set `s` was decided.
const SHIFT: &str = "((SELECT now FROM clock) - s.at)";

impl Input {
    /// Writes the statement.
    pub(super) fn statement(&mut self, mode: Mode, now: &str, patience: Patience) -> Result<Builder, Failed> {
        let mut sql = Builder::new();
        sql.step("clock (now)").push(&format!("MATERIALIZED (SELECT {now})"));
        sql.patience(patience)?;
        self.relations.sort();
        for relation in self.relations.iter() {
            sql.relation(relation, mode == Mode::Shared)?;
        }
        sql.step("landed").push(
            "(SELECT s.n, c.number FROM sets s CROSS JOIN LATERAL (SELECT number FROM @.change_sets c \
             WHERE c.change_set_id = s.id AND c.account_id = s.account_id LIMIT 1) c)",
        );
        let failed = self.failed(&mut sql, mode != Mode::Waiting);
        let taken = self.taken(&mut sql);
        sql.step("good").push("MATERIALIZED (SELECT s.n FROM sets s WHERE s.n NOT IN (SELECT n FROM landed)");
        if failed {
            sql.push(" AND s.n NOT IN (SELECT n FROM failed)");
        }
        if taken {
            sql.push(" AND s.n NOT IN (SELECT n FROM taken)");
        }
        // All steps that write read this one.
        sql.push(PATIENT).push(")");
        self.numbers(&mut sql);
        self.names(&mut sql);
        self.rows(&mut sql);
        sql.push("\nSELECT s.n, l.n IS NOT NULL AS landed");
        let numbered = self.numbered;
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
        let covered = |table: &Columns| COVERED.contains(&table.table);
        let whole: Vec<_> = self
            .relations
            .of(UPDATED)
            .filter(|(_, table)| covered(table))
            .map(|(relation, _)| relation.name())
            .map(|name| {
                format!("(SELECT count(*) FROM {name}_done) = (SELECT count(*) FROM {name} JOIN good USING (n))")
            })
            .collect();
        if !whole.is_empty() {
            // If a step wrote fewer rows than expected, the division by zero rolls the statement back.
            sql.push(&format!(", 1 / (CASE WHEN {} THEN 1 ELSE 0 END) AS whole", whole.join(" AND ")));
        }
        sql.set_back();
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

    /// The relations of effects to requeue or discard: name, table, condition on an effect, and assignments.
    fn operated(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
        const OVER: &str = "r.status <> 'pending'";
        const QUEUE: &str = "status = 'pending', discarded = false, due_at = (SELECT now FROM clock), lease_until = 0";
        const GIVEN_UP: &str = "r.status = 'failed' AND NOT r.discarded";
        const DISCARD: &str = "discarded = true";
        let [effects, errands] = TABLES;
        [
            (REQUEUED_EFFECTS, effects, OVER, QUEUE),
            (REQUEUED_ERRANDS, errands, OVER, QUEUE),
            (DISCARDED_EFFECTS, effects, GIVEN_UP, DISCARD),
            (DISCARDED_ERRANDS, errands, GIVEN_UP, DISCARD),
        ]
        .into_iter()
        .filter(|(shape, ..)| self.relations.has(shape))
        .map(|(shape, table, condition, set)| (shape.0, table, condition, set))
    }

    /// The relations of released names: name, table, and the columns of a name.
    fn releases(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let kept = self.relations.has(KEPT_RELEASES).then_some((KEPT_RELEASES.0, "kept_outcomes", "scope"));
        [(DIRECTORY_RELEASES, "directory"), (CLAIM_RELEASES, "claims")]
            .into_iter()
            .filter(|(shape, _)| self.relations.has(shape))
            .map(|(shape, table)| (shape.0, table, "kind, name"))
            .chain(kept)
    }

    /// Locks guarded rows, and finds the change sets whose guards do not hold. Returns `false` if there are no guards.
    fn failed(&self, sql: &mut Builder, skip: bool) -> bool {
        let lock = if skip { "FOR NO KEY UPDATE OF r SKIP LOCKED" } else { "FOR NO KEY UPDATE OF r" };
        let lock_gone = if skip { "FOR UPDATE OF r SKIP LOCKED" } else { "FOR UPDATE OF r" };
        let mut branches = Vec::new();
        if self.relations.has(SERVICES_BELOW) {
            sql.step("count_locks").push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.services FROM @.service_counts r WHERE r.account_id IN \
                 (SELECT g.account_id FROM services_below g){PATIENT} ORDER BY r.account_id {lock})"
            ));
            branches.push(
                "SELECT g.n, l.account_id IS NULL AS alone FROM services_below g LEFT JOIN count_locks l USING (account_id) \
                 WHERE l.services < g.below IS NOT TRUE"
                    .to_owned(),
            );
        }
        let mut guards: Vec<_> = self.relations.of(GUARDED).collect();
        guards.sort_by_key(|(_, columns)| LOCK_ORDER.iter().position(|table| *table == columns.table));
        for (guards, columns) in guards {
            let (name, table) = (guards.name(), columns.table);
            let locks = format!("locked_{table}");
            let Some(key) = columns.id() else {
                sql.step(&locks).push(&format!(
                    "MATERIALIZED (SELECT r.account_id, r.version FROM @.{table} r WHERE r.account_id IN \
                     (SELECT g.account_id FROM {name} g){PATIENT} ORDER BY r.account_id {lock})"
                ));
                branches.push(format!(
                    "SELECT g.n, l.account_id IS NULL FROM {name} g LEFT JOIN {locks} l USING (account_id) \
                     WHERE coalesce(l.version, 0) <> g.version"
                ));
                continue;
            };
            let more = if table == SERVICES { ", r.has_orders" } else { "" };
            sql.step(&locks).push(&format!(
                "MATERIALIZED (SELECT r.account_id, r.{key} AS id, r.version{more} FROM @.{table} r \
                 WHERE (r.{key}, r.account_id) IN (SELECT g.id, g.account_id FROM {name} g){PATIENT} \
                 ORDER BY r.{key}, r.account_id {lock})"
            ));
            branches.push(format!(
                "SELECT g.n, l.id IS NULL FROM {name} g LEFT JOIN {locks} l USING (id, account_id) \
                 WHERE coalesce(l.version, 0) <> g.version"
            ));
        }
        if self.relations.has(NO_ORDERS_OF) {
            // The guard on the service's row holds the lock.
            branches.push(
                if self.relations.of(GUARDED).any(|(_, columns)| columns.table == SERVICES) {
                    "SELECT g.n, false FROM no_orders_of g JOIN locked_services l USING (id, account_id) \
                     WHERE l.has_orders"
                } else {
                    "SELECT g.n, false FROM no_orders_of g JOIN @.services l ON l.service_id = g.id \
                     AND l.account_id = g.account_id WHERE l.has_orders"
                }
                .to_owned(),
            );
        }
        if self.relations.has(SETTINGS) {
            branches.push(
                "SELECT g.n, false FROM settings g LEFT JOIN @.accounts a USING (account_id) \
                 WHERE coalesce(a.version, 0) <> g.version"
                    .to_owned(),
            );
        }
        if self.relations.has(FRESH) {
            // At this time the statement has locked the ledger's table, so that `funds::oldest_posting` finds it.
            branches.push(format!(
                "SELECT g.n, false FROM fresh g WHERE g.at < (SELECT now FROM clock) - {}",
                POSTED_WITHIN.as_millis()
            ));
        }
        for (deleted, columns) in self.relations.of(DELETED).filter(|(_, columns)| columns.table == KEYS) {
            let (name, table) = (deleted.name(), columns.table);
            let key = columns.key().join(", ");
            sql.step("locked_keys").push(&format!(
                "MATERIALIZED (SELECT {key} FROM @.{table} r WHERE ({key}) IN (SELECT {key} FROM {name}){PATIENT} \
                 ORDER BY {key} {lock_gone})"
            ));
            branches.push(format!(
                "SELECT d.n, true FROM {name} d LEFT JOIN locked_keys l USING ({key}) WHERE l.account_id IS NULL"
            ));
        }
        for (name, table, condition, _) in self.operated() {
            let locks = format!("{name}_locks");
            // After a wait the condition is checked again: of two commits that requeue an effect, the second finds
            // none.
            sql.step(&locks).push(&format!(
                "MATERIALIZED (SELECT r.effect_id AS id, r.account_id FROM @.{table} r WHERE (r.effect_id, r.account_id) IN \
                 (SELECT g.id, g.account_id FROM {name} g) AND {condition}{PATIENT} \
                 ORDER BY r.effect_id, r.account_id {lock})"
            ));
            branches.push(format!(
                "SELECT g.n, true FROM {name} g LEFT JOIN {locks} l USING (id, account_id) WHERE l.id IS NULL"
            ));
        }
        for (name, table, key) in self.releases() {
            let locks = format!("locked_{table}");
            let columns: String = key.split(", ").map(|column| format!("r.{column}, ")).collect();
            sql.step(&locks).push(&format!(
                "MATERIALIZED (SELECT {columns}r.account_id FROM @.{table} r WHERE ({columns}r.account_id) IN \
                 (SELECT {key}, account_id FROM {name}){PATIENT} ORDER BY {columns}r.account_id {lock_gone})"
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

    /// Finds the names that are taken. Returns `false` if no name is claimed.
    fn taken(&self, sql: &mut Builder) -> bool {
        let mut branches = Vec::new();
        let released = |releases: &str| match self.releases().find(|(name, ..)| *name == releases) {
            None => String::new(),
            Some((name, _, key)) => {
                let same: String = key.split(", ").map(|column| format!(" AND g.{column} = c.{column}")).collect();
                format!(" WHERE NOT EXISTS (SELECT FROM {name} g WHERE g.n = c.n{same})")
            }
        };
        if self.relations.has(DIRECTORY_CLAIMS) {
            branches.push(format!(
                "SELECT c.n, c.i, NULL::text AS fingerprint, NULL::text AS outcome, NULL::int8 AS until \
                 FROM directory_claims c CROSS JOIN LATERAL (SELECT 1 FROM @.directory k WHERE k.kind = c.kind \
                 AND k.name = c.name LIMIT 1) k{}",
                released(DIRECTORY_RELEASES.0)
            ));
        }
        if self.relations.has(CLAIMS) {
            branches.push(format!(
                "SELECT c.n, c.i, NULL::text AS fingerprint, NULL::text AS outcome, NULL::int8 AS until \
                 FROM new_claims c CROSS JOIN LATERAL (SELECT 1 FROM @.claims k WHERE k.name = c.name \
                 AND k.kind = c.kind AND k.account_id = c.account_id LIMIT 1) k{}",
                released(CLAIM_RELEASES.0)
            ));
        }
        if self.relations.has(KEPT_CLAIMS) {
            branches.push(format!(
                "SELECT c.n, c.i, k.fingerprint, k.outcome, k.until FROM kept_claims c \
                 CROSS JOIN LATERAL (SELECT fingerprint, outcome, until FROM @.kept_outcomes k WHERE k.scope = c.scope \
                 AND k.account_id = c.account_id AND k.until > (SELECT now FROM clock) LIMIT 1) k{}",
                released(KEPT_RELEASES.0)
            ));
        }
        if branches.is_empty() {
            return false;
        }
        sql.step("taken").push(&format!("({})", branches.join(" UNION ALL ")));
        true
    }

    /// Gives new orders the accounts' next numbers, in the order of the change sets.
    fn numbers(&self, sql: &mut Builder) {
        if !self.numbered {
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
        sql.write(
            "ordered",
            "UPDATE @.services t SET has_orders = true FROM new_orders o JOIN good USING (n) \
             WHERE t.account_id = o.account_id AND t.service_id = o.service_id AND NOT t.has_orders",
        );
    }

    /// Releases and claims names.
    fn names(&self, sql: &mut Builder) {
        for (name, table, key) in self.releases() {
            let same: String = key.split(", ").map(|column| format!(" AND t.{column} = g.{column}")).collect();
            sql.write_counted(
                &format!("{name}_done"),
                &format!(
                    "DELETE FROM @.{table} t USING {name} g JOIN good USING (n) WHERE t.account_id = g.account_id{same}"
                ),
            );
        }
        // Claims follow releases, because the same name may be released and claimed.
        let after = |releases: &str| match self.releases().find(|(name, ..)| *name == releases) {
            None => String::new(),
            Some((name, ..)) => format!(" WHERE (SELECT count(*) FROM {name}_done) >= 0"),
        };
        for (claims, releases, table) in
            [(DIRECTORY_CLAIMS, DIRECTORY_RELEASES, "directory"), (CLAIMS, CLAIM_RELEASES, "claims")]
        {
            if self.relations.has(claims) {
                let name = claims.0;
                let after = after(releases.0);
                sql.write(
                    &format!("{name}_done"),
                    &format!(
                        "INSERT INTO @.{table} (account_id, kind, name) SELECT c.account_id, c.kind, c.name FROM {name} c \
                         JOIN good USING (n){after}"
                    ),
                );
            }
        }
        if self.relations.has(KEPT_CLAIMS) {
            sql.write_counted(
                "expired",
                "DELETE FROM @.kept_outcomes t USING kept_claims c JOIN good USING (n) \
                 WHERE t.scope = c.scope AND t.account_id = c.account_id AND t.until <= (SELECT now FROM clock)",
            );
            let outcome = self.filled("c");
            let numbers = self.with_numbers();
            let releases = after(KEPT_RELEASES.0);
            let releases = if releases.is_empty() { " WHERE".to_owned() } else { format!("{releases} AND") };
            sql.write(
                "kept_done",
                &format!(
                    "INSERT INTO @.kept_outcomes (account_id, scope, fingerprint, outcome, until) SELECT c.account_id, \
                 c.scope, c.fingerprint, {outcome}, c.until + {SHIFT} FROM kept_claims c JOIN good USING (n) \
                 JOIN sets s USING (n){numbers}{releases} \
                 (SELECT count(*) FROM expired) >= 0"
                ),
            );
        }
    }

    /// The text with the number in its marked place.
    fn filled(&self, of: &str) -> String {
        if !self.numbered {
            return format!("{of}.before");
        }
        format!("CASE WHEN {of}.after IS NULL THEN {of}.before ELSE {of}.before || m.number || {of}.after END")
    }

    const fn with_numbers(&self) -> &'static str {
        if self.numbered { " LEFT JOIN numbers m USING (n)" } else { "" }
    }

    fn rows(&self, sql: &mut Builder) {
        for (relation, columns) in self.relations.of(INSERTED) {
            if columns.table == ORDERS {
                place_orders(sql, relation);
            } else {
                insert(sql, relation, columns.table);
            }
        }
        for (relation, columns) in self.relations.of(UPDATED) {
            update(sql, relation, columns);
        }
        for (relation, columns) in self.relations.of(DELETED) {
            delete(sql, relation, columns);
        }
        if self.relations.has(SERVICE_DELTAS) {
            sql.write(
                "services_counted",
                "INSERT INTO @.service_counts AS t (account_id, services) SELECT r.account_id, sum(r.delta)::int8 \
                 FROM service_deltas r JOIN good USING (n) GROUP BY r.account_id ORDER BY r.account_id \
                 ON CONFLICT (account_id) DO UPDATE SET services = t.services + excluded.services",
            );
        }
        if self.relations.has(SECRETS) {
            sql.write(
                "new_secrets_done",
                &format!(
                    "UPDATE @.subscriptions t SET version = r.version, previous_secret = t.secret, \
                 previous_until = r.previous_until + {SHIFT}, secret = r.secret FROM new_secrets r JOIN good USING (n) \
                 JOIN sets s USING (n) WHERE t.subscription_id = r.id AND t.account_id = r.account_id"
                ),
            );
        }
        if self.relations.has(QUEUED_EFFECTS) {
            let content = self.filled("r");
            let numbers = self.with_numbers();
            sql.write(
                "effects_made",
                &format!(
                    "INSERT INTO @.effects (effect_id, account_id, kind, content, subscription_id, event_id, \
                     event_type, created_at, status, due_at) SELECT r.effect_id, r.account_id, r.kind, {content}, \
                     r.subscription_id, r.event_id, r.event_type, k.now, 'pending', k.now FROM queued_effects r \
                     JOIN good USING (n) CROSS JOIN clock k{numbers}"
                ),
            );
        }
        if self.relations.has(QUEUED_ERRANDS) {
            sql.write(
                "errands_made",
                &format!(
                    "INSERT INTO @.errands (effect_id, account_id, content, created_at, status, due_at) \
                     SELECT r.effect_id, r.account_id, r.content, (SELECT now FROM clock), 'pending', \
                     r.due_at + {SHIFT} FROM queued_errands r JOIN good USING (n) JOIN sets s USING (n)"
                ),
            );
        }
        for (name, table, _, set) in self.operated() {
            sql.write(
                &format!("{name}_done"),
                &format!(
                    "UPDATE @.{table} t SET {set} FROM {name} r JOIN good USING (n) \
                 WHERE t.effect_id = r.id AND t.account_id = r.account_id"
                ),
            );
        }
        if self.relations.has(GIVEN_UP) {
            // This can't deadlock: taking work skips locked effects, and recording an attempt locks one effect.
            sql.write(
                "given_up_done",
                "UPDATE @.effects t SET status = 'failed', discarded = true, lease_until = 0 FROM given_up r \
                 JOIN good USING (n) WHERE t.subscription_id = r.id AND t.account_id = r.account_id \
                 AND t.status = 'pending'",
            );
        }
        if let Some(deltas) = self.relations.get(ORDER_DELTAS) {
            insert(sql, deltas, "order_count_deltas");
        }
        if let Some(deltas) = self.relations.get(LEDGER_DELTAS) {
            insert(sql, deltas, "ledger_deltas");
        }
        let (number, numbers) = if self.numbered { ("m.number", self.with_numbers()) } else { ("NULL::int8", "") };
        sql.write(
            "kept",
            &format!(
                "INSERT INTO @.change_sets (change_set_id, account_id, at, number) SELECT s.id, s.account_id, \
             (SELECT now FROM clock), {number} FROM sets s JOIN good USING (n){numbers}"
            ),
        );
    }
}

fn prefixed<'c>(columns: impl Iterator<Item = &'c str>, each: impl Fn(&str) -> String, between: &str) -> String {
    columns.map(each).collect::<Vec<_>>().join(between)
}

fn insert(sql: &mut Builder, relation: &Relation, table: &str) {
    let (name, columns) = (relation.name(), relation.columns.join(", "));
    let from = prefixed(relation.columns.iter().copied(), |column| format!("r.{column}"), ", ");
    sql.write(
        &format!("{name}_done"),
        &format!("INSERT INTO @.{table} ({columns}) SELECT {from} FROM {name} r JOIN good USING (n)"),
    );
}

/// The value of a column of an order in a relation. Its words become what the index holds.
pub(super) fn searched(of: &str, column: &str) -> String {
    match column {
        "search" => format!("array_to_tsvector(string_to_array({of}.search, ' '))"),
        column => format!("{of}.{column}"),
    }
}

/// Inserts orders with their numbers and words.
fn place_orders(sql: &mut Builder, relation: &Relation) {
    let (name, columns) = (relation.name(), relation.columns.join(", "));
    let from = prefixed(relation.columns.iter().copied(), |column| searched("r", column), ", ");
    sql.write(
        "orders_made",
        &format!(
            "INSERT INTO @.orders ({columns}, number) SELECT {from}, m.number FROM {name} r JOIN good USING (n) \
         JOIN numbers m USING (n)"
        ),
    );
}

/// Updates rows. Returns one row for each, to be counted.
fn update(sql: &mut Builder, relation: &Relation, columns: &Columns) {
    let set = prefixed(columns.changed().map(|(_, column)| column), |column| format!("{column} = r.{column}"), ", ");
    let (name, Columns { table, also_set, .. }) = (relation.name(), columns);
    let same_key = same_key(columns);
    sql.write_counted(
        &format!("{name}_done"),
        &format!("UPDATE @.{table} t SET {set}{also_set} FROM {name} r JOIN good USING (n) WHERE {same_key}"),
    );
}

fn delete(sql: &mut Builder, relation: &Relation, columns: &Columns) {
    let (name, table) = (relation.name(), columns.table);
    let same_key = same_key(columns);
    sql.write(
        &format!("{name}_done"),
        &format!("DELETE FROM @.{table} t USING {name} r JOIN good USING (n) WHERE {same_key}"),
    );
}

fn same_key(columns: &Columns) -> String {
    prefixed(columns.key().iter().copied(), |column| format!("t.{column} = r.{column}"), " AND ")
}

#[cfg(test)]
mod tests {
    use serront_core::changes::change::Row;
    use serront_core::primitives::provider::SessionId;

    use super::*;
    use crate::sql::writes::guarded;

    #[test]
    fn every_guarded_table_has_its_place_in_the_lock_order() {
        let id = "01jtestvect0r0000000000000";
        let rows = [
            Row::Account,
            Row::Storefront,
            Row::Service(format!("svc_{id}").parse().unwrap()),
            Row::Order(format!("ord_{id}").parse().unwrap()),
            Row::Subscription(format!("whs_{id}").parse().unwrap()),
            Row::Session(SessionId::parse("cs_1").unwrap()),
            Row::Provisioning,
            Row::Exception(format!("exc_{id}").parse().unwrap()),
            Row::Payout(format!("po_{id}").parse().unwrap()),
            Row::BankAccount,
            Row::Funds,
        ];
        assert_eq!(rows.map(|row| guarded(&row).0.table), LOCK_ORDER);
    }
}
