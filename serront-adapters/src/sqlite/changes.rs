//! A change set as statements of one script, with the parts that only SQLite writes this way: numbers and marked
//! places, the index of words, counts and balances, names and effects.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName};
use serront_core::changes::effect::{Effect, EffectId};
use serront_core::orders::order::{Order, WorkStatus};
use serront_core::primitives::ids::SubscriptionId;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;

use super::script::Script;
use crate::sql::cells::Cell;
use crate::sql::error::Failed;
use crate::sql::ledger;
use crate::sql::names::{Place, place};
use crate::sql::search::indexed;
use crate::sql::tables::Columns;
use crate::sql::work::table_of;
use crate::sql::writes::{Queued, Verb, Writer, queued, write};

/// All writes of a change set. Returns one row if an order is placed: its number.
pub(super) fn script(change: &ChangeSet) -> Result<Script, Failed> {
    let mut changes = Changes { script: Script::default(), account: change.account_id.to_string(), at: change.at };
    if change.places_order() {
        changes
            .script
            .add(
                "INSERT INTO order_numbers (account_id, last_number) VALUES (?, 1) \
                 ON CONFLICT (account_id) DO UPDATE SET last_number = last_number + 1 RETURNING last_number",
            )
            .bind(changes.account.clone());
    }
    for name in &change.releases {
        changes.release(name);
    }
    for claim in &change.claims {
        changes.claim(claim)?;
    }
    for of in &change.writes {
        write(&mut changes, change.account_id, of)?;
    }
    changes.balances(change)?;
    for effect in &change.effects {
        changes.effect(effect)?;
    }
    let Changes { mut script, account, at } = changes;
    script
        .add("INSERT INTO change_sets (change_set_id, account_id, at, number) VALUES (?, ?, ?, ")
        .bind(change.id.to_string())
        .bind(account.clone())
        .bind(at.millis());
    if change.places_order() {
        script.push("(SELECT last_number FROM order_numbers WHERE account_id = ?))").bind(account);
    } else {
        script.push("NULL)");
    }
    Ok(script)
}

/// A script that is being written.
struct Changes {
    script: Script,
    account: String,
    at: Timestamp,
}

impl Writer for Changes {
    fn row(&mut self, verb: Verb, columns: &'static Columns, cells: Vec<Cell>) {
        self.script.row(verb, columns, cells);
    }

    fn place_order(&mut self, order: &Order, cells: Vec<Cell>) {
        self.script.place_order(cells, &self.account);
        self.script.add("INSERT INTO order_words (rowid, words) VALUES (last_insert_rowid(), ?)").bind(indexed(order));
    }

    fn count_orders(&mut self, status: WorkStatus, added: i64) {
        self.script
            .add(if added > 0 {
                "INSERT INTO order_counts (orders, account_id, status) VALUES (?, ?, ?) \
                 ON CONFLICT (account_id, status) DO UPDATE SET orders = orders + excluded.orders"
            } else {
                "UPDATE order_counts SET orders = orders + ? WHERE account_id = ? AND status = ?"
            })
            .bind(added)
            .bind(self.account.clone())
            .bind(status.as_str());
    }

    /// SQLite counts services when a guard needs their number.
    fn count_services(&mut self, _added: i64) {}

    fn rotate_secret(
        &mut self,
        id: SubscriptionId,
        version: Version,
        secret: &SealedSecret,
        previous_until: Timestamp,
    ) {
        self.script
            .add(
                "UPDATE subscriptions SET version = ?, previous_secret = secret, previous_until = ?, secret = ? \
                 WHERE subscription_id = ? AND account_id = ?",
            )
            .bind(version.0)
            .bind(previous_until.millis())
            .bind(secret.as_stored())
            .bind(id.to_string())
            .bind(self.account.clone());
    }

    fn requeue(&mut self, id: EffectId) {
        let table = table_of(id);
        self.script
            .add(&format!(
                "UPDATE {table} SET status = 'pending', discarded = 0, due_at = ?, lease_until = 0 \
                 WHERE effect_id = ? AND account_id = ?"
            ))
            .bind(self.at.millis())
            .bind(id.to_string())
            .bind(self.account.clone());
    }

    fn discard(&mut self, id: EffectId) {
        let table = table_of(id);
        self.script
            .add(&format!("UPDATE {table} SET discarded = 1 WHERE effect_id = ? AND account_id = ?"))
            .bind(id.to_string())
            .bind(self.account.clone());
    }

    fn give_up_deliveries(&mut self, id: SubscriptionId) {
        self.script
            .add(
                "UPDATE effects SET status = 'failed', discarded = 1, lease_until = 0 \
                 WHERE subscription_id = ? AND account_id = ? AND status = 'pending'",
            )
            .bind(id.to_string())
            .bind(self.account.clone());
    }
}

impl Changes {
    /// Adds postings to the seller's totals.
    fn balances(&mut self, change: &ChangeSet) -> Result<(), Failed> {
        for (code, added) in ledger::added(&change.writes)? {
            self.script
                .add(
                    "INSERT INTO ledger_balances (account_id, code, debits, credits) VALUES (?, ?, ?, ?) \
                     ON CONFLICT (account_id, code) DO UPDATE SET debits = debits + excluded.debits, \
                     credits = credits + excluded.credits",
                )
                .bind(self.account.clone())
                .bind(code.as_str())
                .bind(added.debits)
                .bind(added.credits);
        }
        Ok(())
    }

    /// Queues an effect, with the number of a new order in its marked place.
    fn effect(&mut self, effect: &Effect) -> Result<(), Failed> {
        let id = effect.id().to_string();
        match queued(effect)? {
            Queued::Effect(kind, before, after, delivery) => {
                self.script
                    .add(
                        "INSERT INTO effects (effect_id, account_id, kind, subscription_id, event_id, event_type, \
                         created_at, status, due_at, content) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ",
                    )
                    .bind(id)
                    .bind(self.account.clone())
                    .bind(kind)
                    .bind(delivery.map(|delivery| delivery.subscription_id.to_string()))
                    .bind(delivery.map(|delivery| delivery.event_id.to_string()))
                    .bind(delivery.map(|delivery| delivery.event_type.as_str()))
                    .bind(self.at.millis())
                    .bind(self.at.millis());
                self.numbered(before, after);
                self.script.push(")");
            }
            Queued::Errand(content) => {
                self.script
                    .add(
                        "INSERT INTO errands (effect_id, account_id, content, created_at, status, due_at) \
                         VALUES (?, ?, ?, ?, 'pending', ?)",
                    )
                    .bind(id)
                    .bind(self.account.clone())
                    .bind(content)
                    .bind(self.at.millis())
                    .bind(effect.due_at(self.at).millis());
            }
        }
        Ok(())
    }

    /// A text with the number of the new order between its two parts, if it has two.
    fn numbered(&mut self, before: String, after: Option<&str>) {
        self.script.push("?").bind(before);
        if let Some(after) = after {
            self.script
                .push(" || (SELECT last_number FROM order_numbers WHERE account_id = ?) || ?")
                .bind(self.account.clone())
                .bind(after.to_owned());
        }
    }

    fn claim(&mut self, claim: &Claim) -> Result<(), Failed> {
        let (table, kind, name) = match place(&claim.name) {
            Place::Directory(kind, name) => ("directory", kind, name),
            Place::Claim(kind, name) => ("claims", kind, name),
            Place::Kept(scope) => {
                let kept = claim.kept.as_ref().ok_or(Failed::Refused("an idempotency key with nothing kept"))?;
                let (before, after) = kept.outcome.parts();
                self.script
                    .add(
                        "INSERT INTO kept_outcomes (account_id, scope, fingerprint, until, outcome) \
                         VALUES (?, ?, ?, ?, ",
                    )
                    .bind(self.account.clone())
                    .bind(scope)
                    .bind(kept.fingerprint.to_string())
                    .bind(kept.until.millis());
                self.numbered(before.to_owned(), after);
                // An outcome that exists already has expired: `look` has checked that.
                self.script.push(
                    ") ON CONFLICT (scope, account_id) DO UPDATE SET fingerprint = excluded.fingerprint, \
                     outcome = excluded.outcome, until = excluded.until",
                );
                return Ok(());
            }
        };
        self.script
            .add(&format!("INSERT INTO {table} (account_id, kind, name) VALUES (?, ?, ?)"))
            .bind(self.account.clone())
            .bind(kind)
            .bind(name);
        Ok(())
    }

    fn release(&mut self, name: &ClaimName) {
        const NAMED: &str = "WHERE kind = ? AND name = ? AND account_id = ?";
        match place(name) {
            Place::Directory(kind, name) => {
                self.script.add(&format!("DELETE FROM directory {NAMED}")).bind(kind).bind(name)
            }
            Place::Claim(kind, name) => self.script.add(&format!("DELETE FROM claims {NAMED}")).bind(kind).bind(name),
            Place::Kept(scope) => {
                self.script.add("DELETE FROM kept_outcomes WHERE scope = ? AND account_id = ?").bind(scope)
            }
        }
        .bind(self.account.clone());
    }
}
