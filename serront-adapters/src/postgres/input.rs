//! Turns change sets into the relations that are input of a statement.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{ChangeSet, Guard};
use serront_core::changes::effect::{Effect, EffectId};
use serront_core::orders::order::{Order, WorkStatus};
use serront_core::primitives::ids::SubscriptionId;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;

use super::statement::{Relations, Shape};
use crate::sql::cells::{Cell, Value};
use crate::sql::error::Failed;
use crate::sql::ledger;
use crate::sql::names::{Place, place};
use crate::sql::search::indexed;
use crate::sql::tables::{Columns, Record};
use crate::sql::work::{ERRANDS, table_of};
use crate::sql::writes::{Queued, Verb, Writer, guarded, queued, write};

pub(super) const SETS: &Shape<3> = &Shape("sets", ["id", "account_id", "at"]);
pub(super) const SETTINGS: &Shape<2> = &Shape("settings", ["account_id", "version"]);
pub(super) const SERVICES_BELOW: &Shape<2> = &Shape("services_below", ["account_id", "below"]);
pub(super) const NO_ORDERS_OF: &Shape<2> = &Shape("no_orders_of", OWNED);
pub(super) const FRESH: &Shape<1> = &Shape("fresh", ["at"]);
pub(super) const DIRECTORY_RELEASES: &Shape<4> = &Shape("directory_releases", PLACE);
pub(super) const CLAIM_RELEASES: &Shape<4> = &Shape("claim_releases", PLACE);
pub(super) const KEPT_RELEASES: &Shape<2> = &Shape("kept_releases", ["account_id", "scope"]);
pub(super) const DIRECTORY_CLAIMS: &Shape<4> = &Shape("directory_claims", PLACE);
pub(super) const CLAIMS: &Shape<4> = &Shape("new_claims", PLACE);
pub(super) const KEPT_CLAIMS: &Shape<7> =
    &Shape("kept_claims", ["i", "account_id", "scope", "fingerprint", "before", "after", "until"]);
pub(super) const SERVICE_DELTAS: &Shape<2> = &Shape("service_deltas", ["account_id", "delta"]);
pub(super) const SECRETS: &Shape<5> =
    &Shape("new_secrets", ["account_id", "id", "version", "secret", "previous_until"]);
pub(super) const QUEUED_EFFECTS: &Shape<8> = &Shape(
    "queued_effects",
    ["effect_id", "account_id", "kind", "before", "after", "subscription_id", "event_id", "event_type"],
);
pub(super) const QUEUED_ERRANDS: &Shape<4> = &Shape("queued_errands", ["effect_id", "account_id", "content", "due_at"]);
pub(super) const REQUEUED_EFFECTS: &Shape<2> = &Shape("requeued_effects", OWNED);
pub(super) const REQUEUED_ERRANDS: &Shape<2> = &Shape("requeued_errands", OWNED);
pub(super) const DISCARDED_EFFECTS: &Shape<2> = &Shape("discarded_effects", OWNED);
pub(super) const DISCARDED_ERRANDS: &Shape<2> = &Shape("discarded_errands", OWNED);
pub(super) const GIVEN_UP: &Shape<2> = &Shape("given_up", OWNED);
pub(super) const ORDER_DELTAS: &Shape<4> = &Shape("deltas", ["change_set_id", "account_id", "status", "delta"]);
pub(super) const LEDGER_DELTAS: &Shape<5> =
    &Shape("ledger_sums", ["change_set_id", "account_id", "code", "debits", "credits"]);

const OWNED: [&str; 2] = ["account_id", "id"];
const PLACE: [&str; 4] = ["i", "account_id", "kind", "name"];

/// The prefixes of the names of relations of rows.
pub(super) const GUARDED: &str = "guarded_";
pub(super) const INSERTED: &str = "new_";
pub(super) const UPDATED: &str = "set_";
pub(super) const DELETED: &str = "deleted_";

/// The columns of a new order's row, with its words.
#[allow(clippy::indexing_slicing, reason = "runs in a constant, where it can't be out of bounds")]
const NEW_ORDER: [&str; <Order as Record>::COLUMNS.names.len() + 1] = {
    let mut columns = ["search"; <Order as Record>::COLUMNS.names.len() + 1];
    let mut place = 0;
    while place < <Order as Record>::COLUMNS.names.len() {
        columns[place] = <Order as Record>::COLUMNS.names[place];
        place += 1;
    }
    columns
};

/// The input of a statement.
#[derive(Default)]
pub(super) struct Input {
    pub(super) relations: Relations,
    /// Whether an order is placed.
    pub(super) numbered: bool,
}

impl Input {
    /// Adds the `n`th change set.
    pub(super) fn add(&mut self, n: i64, change: &ChangeSet) -> Result<(), Failed> {
        change.check().map_err(|inconsistent| Failed::Refused(inconsistent.0))?;
        let account = change.account_id.to_string();
        let mut changes = Changes { input: self, n, change, account };
        let (id, account_id) = (change.id.to_string().into(), changes.account());
        changes.add(SETS, [id, account_id, change.at.cell()?]);
        for guard in &change.guards {
            changes.guard(guard)?;
        }
        for (i, name) in (0_i64..).zip(&change.releases) {
            let account = changes.account();
            match place(name) {
                Place::Directory(kind, name) => {
                    changes.add(DIRECTORY_RELEASES, [i.into(), account, kind.into(), name.into()]);
                }
                Place::Claim(kind, name) => {
                    changes.add(CLAIM_RELEASES, [i.into(), account, kind.into(), name.into()]);
                }
                Place::Kept(scope) => changes.add(KEPT_RELEASES, [account, scope.into()]),
            }
        }
        for (i, claim) in (0_i64..).zip(&change.claims) {
            let account = changes.account();
            match place(&claim.name) {
                Place::Directory(kind, name) => {
                    changes.add(DIRECTORY_CLAIMS, [i.into(), account, kind.into(), name.into()]);
                }
                Place::Claim(kind, name) => changes.add(CLAIMS, [i.into(), account, kind.into(), name.into()]),
                Place::Kept(scope) => {
                    let kept = claim.kept.as_ref().ok_or(Failed::Refused("an idempotency key with nothing kept"))?;
                    let (before, after) = kept.outcome.parts();
                    let (fingerprint, until) = (kept.fingerprint.cell()?, kept.until.cell()?);
                    let after = after.map(str::to_owned).into();
                    changes
                        .add(KEPT_CLAIMS, [i.into(), account, scope.into(), fingerprint, before.into(), after, until]);
                }
            }
        }
        for of in &change.writes {
            write(&mut changes, change.account_id, of)?;
        }
        for (code, added) in ledger::added(&change.writes)? {
            let (id, account) = (change.id.to_string().into(), changes.account());
            changes.add(LEDGER_DELTAS, [id, account, code.cell()?, added.debits.into(), added.credits.into()]);
        }
        for effect in &change.effects {
            changes.effect(effect)?;
        }
        Ok(())
    }
}

/// A change set that is being added.
struct Changes<'c> {
    input: &'c mut Input,
    n: i64,
    change: &'c ChangeSet,
    account: String,
}

impl Changes<'_> {
    fn account(&self) -> Cell {
        self.account.as_str().into()
    }

    fn add<const N: usize>(&mut self, shape: &'static Shape<N>, cells: [Cell; N]) {
        self.input.relations.add(shape, self.n, cells);
    }

    fn owned(&mut self, shape: &'static Shape<2>, id: String) {
        let account = self.account();
        self.add(shape, [account, id.into()]);
    }

    fn guard(&mut self, guard: &Guard) -> Result<(), Failed> {
        let account = self.account();
        match guard {
            Guard::Exact { row, version } => {
                let (table, id) = guarded(row);
                let (columns, cells): (&[&str], _) = match id {
                    None => (&["account_id", "version"], vec![account, version.cell()?]),
                    Some(id) => (&["account_id", "id", "version"], vec![account, id.into(), version.cell()?]),
                };
                self.input.relations.add_row(GUARDED, table, columns, self.n, cells);
            }
            Guard::ServicesBelow(limit) => self.add(SERVICES_BELOW, [account, limit.cell()?]),
            Guard::NoOrdersOf(id) => self.add(NO_ORDERS_OF, [account, id.cell()?]),
            Guard::Settings(version) => self.add(SETTINGS, [account, version.cell()?]),
            Guard::Fresh(at) => self.add(FRESH, [at.cell()?]),
        }
        Ok(())
    }

    fn effect(&mut self, effect: &Effect) -> Result<(), Failed> {
        let (id, account) = (effect.id().to_string().into(), self.account());
        match queued(effect)? {
            Queued::Effect(kind, before, after, delivery) => {
                let of = |text: Option<String>| Cell::from(text);
                let after = of(after.map(str::to_owned));
                let subscription = of(delivery.map(|delivery| delivery.subscription_id.to_string()));
                let event = of(delivery.map(|delivery| delivery.event_id.to_string()));
                let event_type = of(delivery.map(|delivery| delivery.event_type.as_str().to_owned()));
                let cells = [id, account, kind.into(), before.into(), after, subscription, event, event_type];
                self.add(QUEUED_EFFECTS, cells);
            }
            Queued::Errand(content) => {
                let due_at = effect.due_at(self.change.at).cell()?;
                self.add(QUEUED_ERRANDS, [id, account, content.into(), due_at]);
            }
        }
        Ok(())
    }
}

impl Writer for Changes<'_> {
    fn row(&mut self, verb: Verb, columns: &'static Columns, cells: Vec<Cell>) {
        let (verb, names) = match verb {
            Verb::Insert => (INSERTED, columns.names),
            Verb::Update => (UPDATED, columns.names),
            Verb::Delete => (DELETED, columns.key()),
        };
        self.input.relations.add_row(verb, columns, names, self.n, cells);
    }

    fn place_order(&mut self, order: &Order, mut cells: Vec<Cell>) {
        cells.push(indexed(order).into());
        self.input.numbered = true;
        self.input.relations.add_row(INSERTED, <Order as Record>::COLUMNS, &NEW_ORDER, self.n, cells);
    }

    fn count_orders(&mut self, status: WorkStatus, added: i64) {
        let (id, account) = (self.change.id.to_string().into(), self.account());
        self.add(ORDER_DELTAS, [id, account, status.as_str().into(), added.into()]);
    }

    /// Also with 0, because the row to lock must exist before the first service.
    fn count_services(&mut self, added: i64) {
        let account = self.account();
        self.add(SERVICE_DELTAS, [account, added.into()]);
    }

    fn rotate_secret(
        &mut self,
        id: SubscriptionId,
        version: Version,
        secret: &SealedSecret,
        previous_until: Timestamp,
    ) {
        let (account, version, until) = (self.account(), i64::from(version.0), previous_until.millis());
        self.add(SECRETS, [account, id.to_string().into(), version.into(), secret.as_stored().into(), until.into()]);
    }

    fn requeue(&mut self, id: EffectId) {
        let shape = if table_of(id) == ERRANDS { REQUEUED_ERRANDS } else { REQUEUED_EFFECTS };
        self.owned(shape, id.to_string());
    }

    fn discard(&mut self, id: EffectId) {
        let shape = if table_of(id) == ERRANDS { DISCARDED_ERRANDS } else { DISCARDED_EFFECTS };
        self.owned(shape, id.to_string());
    }

    fn give_up_deliveries(&mut self, id: SubscriptionId) {
        self.owned(GIVEN_UP, id.to_string());
    }
}
