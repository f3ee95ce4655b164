//! One change set in the shortest statement: it lands whole, or changes nothing.
//!
//! ```text
//! lock the guarded rows at their versions, one after the other ─▶ claim a name ─▶ good ─▶ writes ─▶ did it land?
//! ```
//!
//! It does not say why a change set did not land; the statement in `steps.rs` does, in a second round trip. So it needs no
//! relations, no status for each change set, and no step that is read twice. What few change sets need, such as a name to
//! release, is left to that statement.
//!
//! It also runs on a host's connection, whose plans may have been made while the tables were empty. So it looks up as
//! little as possible in tables that grow with every commit.

use serront_core::funds::ledger::POSTED_WITHIN;

use super::commit::Mode;
use super::input::{
    CLAIMS, DIRECTORY_CLAIMS, FRESH, GUARDED, INSERTED, Input, KEPT_CLAIMS, LEDGER_DELTAS, ORDER_DELTAS,
    QUEUED_EFFECTS, QUEUED_ERRANDS, SETS, SETTINGS, UPDATED,
};
use super::statement::{Builder, PATIENT, Patience, Relation};
use super::steps::{COVERED, LOCK_ORDER, ORDERS, SERVICES, searched};
use crate::sql::cells::Cell;
use crate::sql::error::Failed;
use crate::sql::tables::Columns;

/// The account's id, the first argument.
const ACCOUNT: &str = "account_id";

impl Input {
    /// Whether the shortest statement can apply it: each guarded or updated table has one row in it, and nothing is
    /// released, deleted, counted or queued again.
    fn is_plain(&self) -> bool {
        self.relations.iter().all(|relation| match relation.verb {
            GUARDED | UPDATED => relation.rows().len() == 1,
            INSERTED => relation.table.is_none_or(|columns| columns.table != ORDERS) || relation.rows().len() == 1,
            "" => {
                let many = [CLAIMS.0, DIRECTORY_CLAIMS.0, QUEUED_EFFECTS.0, QUEUED_ERRANDS.0, LEDGER_DELTAS.0];
                let one = [SETS.0, SETTINGS.0, FRESH.0, KEPT_CLAIMS.0];
                let name = relation.name();
                many.contains(&name.as_str())
                    || name == ORDER_DELTAS.0
                    || (one.contains(&name.as_str()) && relation.rows().len() == 1)
            }
            _ => false,
        })
    }

    /// Writes the shortest statement; `None` if it can't apply this change set.
    pub(super) fn lone(&mut self, mode: Mode, now: &str, patience: Patience) -> Result<Option<Builder>, Failed> {
        let Some([id, account, at]) = self.relations.get(SETS).and_then(Relation::only) else { return Ok(None) };
        if !self.is_plain() {
            return Ok(None);
        }
        let (id, account, at) = (id.clone(), account.clone(), at.clone());
        self.relations.sort();
        let mut sql = Builder::new();
        sql.first(&account)?;
        sql.patience(patience)?;
        self.good(&mut sql, mode, now, &id)?;
        if self.numbered {
            sql.step("numbered (number)").push(
                "(INSERT INTO @.order_numbers AS t (account_id, last_number) SELECT $1, 1 FROM good \
                 ON CONFLICT (account_id) DO UPDATE SET last_number = t.last_number + 1 RETURNING t.last_number)",
            );
        }
        let mut whole = Vec::new();
        for relation in self.relations.iter() {
            let table = relation.table.map(|columns| columns.table);
            match (relation.verb, table) {
                (INSERTED, Some(ORDERS)) => place_order(&mut sql, relation)?,
                (INSERTED, Some(table)) => insert(&mut sql, relation, table)?,
                (UPDATED, Some(table)) => {
                    let locked = self.relations.of(GUARDED).any(|(_, columns)| columns.table == table);
                    whole.extend(update(&mut sql, relation, locked)?);
                }
                _ => self.write_other(&mut sql, relation, &at)?,
            }
        }
        sql.step("kept (at)").push(if self.numbered {
            "(INSERT INTO @.change_sets (change_set_id, account_id, at, number) SELECT "
        } else {
            "(INSERT INTO @.change_sets (change_set_id, account_id, at) SELECT "
        });
        sql.cell(&id)?.push(if self.numbered {
            ", $1, g.now, m.number FROM good g CROSS JOIN numbered m RETURNING at)"
        } else {
            ", $1, g.now FROM good g RETURNING at)"
        });
        sql.push("\nSELECT k.at IS NOT NULL AS landed");
        sql.push(if self.numbered { ", m.number" } else { ", NULL::int8 AS number" });
        if !whole.is_empty() {
            // As in the longer statement: a division by zero rolls it back.
            let whole = whole.join(" AND ");
            sql.push(&format!(", 1 / (CASE WHEN k.at IS NULL OR ({whole}) THEN 1 ELSE 0 END) AS whole"));
        }
        sql.set_back();
        sql.push(" FROM patience p LEFT JOIN kept k ON true");
        sql.push(if self.numbered { " LEFT JOIN numbered m ON true" } else { "" });
        Ok(Some(sql))
    }

    /// Locks the guarded rows in the documented order, and claims the name if there is one. The last step, `good`, has a
    /// row if everything holds.
    fn good(&self, sql: &mut Builder, mode: Mode, now: &str, id: &Cell) -> Result<(), Failed> {
        let lock =
            if mode == Mode::Waiting { " FOR NO KEY UPDATE OF r" } else { " FOR NO KEY UPDATE OF r SKIP LOCKED" };
        let mut guards: Vec<_> = self.relations.of(GUARDED).collect();
        guards.sort_by_key(|(_, columns)| LOCK_ORDER.iter().position(|table| *table == columns.table));
        let (absent, present): (Vec<_>, Vec<_>) = guards.into_iter().partition(|(guard, _)| wants_absence(guard));
        let gate = self.gate();
        let held = if gate.is_some() { "held (now)" } else { "good (now)" };
        let mut before: Option<String> = None;
        let last = present.len().saturating_sub(1);
        for (place, (guard, columns)) in present.iter().enumerate() {
            if place == last {
                sql.step(held).push(&format!("MATERIALIZED (SELECT {now} FROM @.{} r WHERE ", columns.table));
            } else {
                let name = format!("locked_{}", columns.table);
                sql.step(&name).push(&format!("MATERIALIZED (SELECT 1 FROM @.{} r WHERE ", columns.table));
            }
            guarded(sql, guard, columns, true)?;
            sql.push(PATIENT);
            if let Some(before) = before.replace(format!("locked_{}", columns.table)) {
                sql.push(&format!(" AND EXISTS (SELECT FROM {before})"));
            }
            if place < last {
                sql.push(lock).push(")");
            }
        }
        if present.is_empty() {
            sql.step(held).push(&format!("MATERIALIZED (SELECT {now} WHERE true{PATIENT}"));
        }
        for (guard, columns) in &absent {
            sql.push(&format!(" AND NOT EXISTS (SELECT FROM @.{} r WHERE ", columns.table));
            guarded(sql, guard, columns, false)?;
            sql.push(")");
        }
        // One that has landed has moved the version that it guards.
        if !present.iter().any(|(guard, columns)| self.moves(guard, columns)) {
            sql.push(" AND NOT EXISTS (SELECT FROM @.change_sets c WHERE c.change_set_id = ").cell(id)?;
            sql.push(" AND c.account_id = $1)");
        }
        if let Some([_, version]) = self.relations.get(SETTINGS).and_then(Relation::only) {
            sql.push(" AND EXISTS (SELECT FROM @.accounts a WHERE a.account_id = $1 AND a.version = ").cell(version)?;
            sql.push(")");
        }
        if let Some([at]) = self.relations.get(FRESH).and_then(Relation::only) {
            // As in the longer statement, the ledger's table is locked at this time.
            sql.push(" AND ").cell(at)?;
            sql.push(&format!(" >= {now} - {}", POSTED_WITHIN.as_millis()));
        }
        for (claims, of) in [
            (self.relations.get(DIRECTORY_CLAIMS), "@.directory k WHERE"),
            (self.relations.get(CLAIMS).filter(|_| gate.is_none()), "@.claims k WHERE k.account_id = $1 AND"),
        ] {
            for claim in claims.into_iter().flat_map(Relation::rows) {
                let [_, _, kind, name] = claim else { continue };
                sql.push(&format!(" AND NOT EXISTS (SELECT FROM {of} k.kind = ")).cell(kind)?;
                sql.push(" AND k.name = ").cell(name)?;
                sql.push(")");
            }
        }
        if let Some([_, _, scope, ..]) = self.relations.get(KEPT_CLAIMS).and_then(Relation::only::<7>) {
            // One that has expired is left to the longer statement, which deletes it first.
            sql.push(" AND NOT EXISTS (SELECT FROM @.kept_outcomes k WHERE k.account_id = $1 AND k.scope = ");
            sql.cell(scope)?;
            sql.push(")");
        }
        sql.push(if present.is_empty() { "" } else { lock }).push(")");
        if let Some([_, _, kind, name]) = gate {
            // The insertion looks into the index itself, so the plan can't be a slow one, and a race raises no error.
            sql.step("good (now)").push("(INSERT INTO @.claims (account_id, kind, name) SELECT $1, ").cell(kind)?;
            sql.push(", ").cell(name)?;
            sql.push(&format!(" FROM held ON CONFLICT DO NOTHING RETURNING {now})"));
        }
        Ok(())
    }

    /// The only claim within the account, if it is the only one: nothing else is written if the name is taken.
    fn gate(&self) -> Option<&[Cell; 4]> {
        self.relations.get(CLAIMS).and_then(Relation::only)
    }

    /// Whether the row of a guard gets a later version.
    fn moves(&self, guard: &Relation, guarded: &Columns) -> bool {
        let text = |cell: Option<&Cell>| if let Some(Cell::Text(text)) = cell { text.clone() } else { None };
        let number = |cell: Option<&Cell>| if let Some(Cell::Int(number)) = cell { *number } else { None };
        self.relations.of(UPDATED).filter(|(_, columns)| columns.table == guarded.table).any(|(updated, _)| {
            let same =
                guarded.id().is_none_or(|id| text(guard.at("id")).is_some_and(|of| text(updated.at(id)) == Some(of)));
            let later =
                number(guard.at("version")).zip(number(updated.at("version"))).is_some_and(|(was, is)| is > was);
            same && later
        })
    }

    /// Writes the rows of a relation that is not of a table's rows.
    fn write_other(&self, sql: &mut Builder, relation: &Relation, at: &Cell) -> Result<(), Failed> {
        let (content, from, unread): (_, _, &[&str]) = if self.numbered {
            (
                "CASE WHEN v.after IS NULL THEN v.before ELSE v.before || m.number || v.after END",
                " FROM good g CROSS JOIN numbered m CROSS JOIN ",
                &["i", ACCOUNT],
            )
        } else {
            ("v.before", " FROM good g CROSS JOIN ", &["i", ACCOUNT, "after"])
        };
        let name = relation.name();
        if name == CLAIMS.0 && self.gate().is_some() {
            return Ok(());
        }
        if name == CLAIMS.0 || name == DIRECTORY_CLAIMS.0 {
            let table = if name == CLAIMS.0 { "claims" } else { "directory" };
            let step = sql.begin(&format!("{name}_done"), &format!("INSERT INTO @.{table} (account_id, kind, name)"));
            sql.push(" SELECT $1, v.kind, v.name FROM good CROSS JOIN ").rows(relation, &["i", ACCOUNT])?;
            sql.end_waiting(step);
        } else if name == KEPT_CLAIMS.0 {
            let into = "INSERT INTO @.kept_outcomes (account_id, scope, fingerprint, outcome, until)";
            let step = sql.begin("kept_done", into);
            sql.push(&format!(" SELECT $1, v.scope, v.fingerprint, {content}, v.until + g.now - ")).cell(at)?;
            sql.push(from).rows(relation, unread)?;
            sql.end_waiting(step);
        } else if name == QUEUED_EFFECTS.0 {
            let into = "INSERT INTO @.effects (effect_id, account_id, kind, content, subscription_id, event_id, \
                        event_type, created_at, status, due_at)";
            let step = sql.begin("effects_made", into);
            sql.push(&format!(
                " SELECT v.effect_id, $1, v.kind, {content}, v.subscription_id, v.event_id, v.event_type, g.now, \
                 'pending', g.now{from}"
            ));
            sql.rows(relation, unread)?;
            sql.end(step);
        } else if name == QUEUED_ERRANDS.0 {
            let into = "INSERT INTO @.errands (effect_id, account_id, content, created_at, status, due_at)";
            let step = sql.begin("errands_made", into);
            sql.push(" SELECT v.effect_id, $1, v.content, g.now, 'pending', v.due_at + g.now - ").cell(at)?;
            sql.push(" FROM good g CROSS JOIN ").rows(relation, &[ACCOUNT])?;
            sql.end(step);
        } else if name == ORDER_DELTAS.0 {
            insert(sql, relation, "order_count_deltas")?;
        } else if name == LEDGER_DELTAS.0 {
            insert(sql, relation, "ledger_deltas")?;
        }
        Ok(())
    }
}

/// Whether the guarded row must not exist.
fn wants_absence(guard: &Relation) -> bool {
    guard.rows().next().is_some_and(|cells| matches!(cells.last(), Some(Cell::Int(Some(0)))))
}

/// The condition on a guarded row `r`: its key and, if it is to exist, its version.
fn guarded(sql: &mut Builder, guard: &Relation, columns: &Columns, exists: bool) -> Result<(), Failed> {
    sql.push("r.account_id = $1");
    for (column, cell) in guard.columns.iter().copied().zip(guard.rows().next().unwrap_or_default()) {
        let of = match column {
            "id" => columns.id().unwrap_or(ACCOUNT),
            "version" if exists => column,
            _ => continue,
        };
        sql.push(&format!(" AND r.{of} = ")).cell(cell)?;
    }
    Ok(())
}

fn insert(sql: &mut Builder, relation: &Relation, table: &str) -> Result<(), Failed> {
    let columns = relation.columns.join(", ");
    let step = sql.begin(&format!("{}_done", relation.name()), &format!("INSERT INTO @.{table} ({columns}) SELECT "));
    sql.push("v.* FROM good CROSS JOIN ").rows(relation, &[])?;
    // Other rows have an id of their own.
    if LOCK_ORDER.contains(&table) || COVERED.contains(&table) {
        sql.end_waiting(step);
    } else {
        sql.end(step);
    }
    Ok(())
}

/// Inserts an order with its number and words, and marks its service.
fn place_order(sql: &mut Builder, relation: &Relation) -> Result<(), Failed> {
    let columns = relation.columns.join(", ");
    let from: Vec<_> = relation.columns.iter().copied().map(|column| searched("v", column)).collect();
    let step = sql.begin("orders_made", &format!("INSERT INTO @.orders ({columns}, number) SELECT "));
    sql.push(&format!("{}, m.number FROM numbered m CROSS JOIN ", from.join(", "))).rows(relation, &[])?;
    sql.end(step);
    let mut cells = relation.columns.iter().zip(relation.rows().next().unwrap_or_default());
    let (_, service) = cells.find(|(column, _)| **column == "service_id").ok_or(Failed::Refused("no service"))?;
    let step = sql.begin("ordered", &format!("UPDATE @.{SERVICES} t SET has_orders = true FROM good"));
    sql.push(" WHERE t.account_id = $1 AND NOT t.has_orders AND t.service_id = ").cell(service)?;
    sql.end_waiting(step);
    Ok(())
}

/// Updates a row, which a guard may have locked. Returns the condition that it was there, if no guard says so.
fn update(sql: &mut Builder, relation: &Relation, locked: bool) -> Result<Option<String>, Failed> {
    let Some(columns) = relation.table else { return Ok(None) };
    let name = format!("{}_done", relation.name());
    let step = sql.begin(&name, &format!("UPDATE @.{} t SET ", columns.table));
    let cells = relation.rows().next().unwrap_or_default();
    for (place, (at, column)) in columns.changed().enumerate() {
        let Some(cell) = cells.get(at) else { continue };
        sql.push(if place == 0 { "" } else { ", " }).push(column).push(" = ").cell(cell)?;
    }
    sql.push(columns.also_set).push(" FROM good WHERE t.account_id = $1");
    for (column, cell) in columns.key().iter().zip(cells) {
        if *column != ACCOUNT {
            sql.push(&format!(" AND t.{column} = ")).cell(cell)?;
        }
    }
    if COVERED.contains(&columns.table) {
        // A guard on another row keeps others away.
        sql.end_returning(step);
    } else {
        if locked {
            sql.end(step);
        } else {
            sql.end_waiting(step);
        }
        return Ok(None);
    }
    Ok(Some(format!("EXISTS (SELECT FROM {name})")))
}
