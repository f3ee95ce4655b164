//! Rows that can't be read (#16), on both engines: each stops only itself. It is set aside, listed, and taken up again by a
//! version that can read it. Rows are damaged by raw SQL, which stands for a newer version and for a broken disk alike.
#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::sqlite::SqliteStorage;
use serront_core::changes::change::{ChangeSet, Guard, Row, Write};
use serront_core::changes::effect::{Attempt, Delivery, Effect, EffectId, EffectRecord, EffectStatus, Errand, Lane};
use serront_core::decide::{AdjustmentInput, Requester};
use serront_core::funds::books::{Difference, Verification};
use serront_core::funds::payout::PayoutInput;
use serront_core::online::provisioning::{Provisioning, ProvisioningState};
use serront_core::orders::marked::MarkedText;
use serront_core::policy::DeliveryShares;
use serront_core::ports::{Ids as _, WorkStorage};
use serront_core::primitives::ids::{AccountId, IdSequence, SubscriptionId};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::service::{Resealed, verify};
use serront_core::snapshots::{Due, NextAttempt, OrderKey, Prune};
use serront_core::webhooks::event::EventType;
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{fresh_schema, server_url};
use serront_testkit::world::{Seller, World, host};
use tempfile::TempDir;

const LEASE: Duration = Duration::from_secs(30);
/// Longer than a row rests that was set aside.
const RESTED: Duration = Duration::from_secs(301);
/// Longer than a process waits until it looks again.
const LOOKED: Duration = Duration::from_secs(11);

/// The way around the storage.
enum Raw {
    Sqlite(sqlx::SqlitePool, #[allow(dead_code, reason = "it is deleted when it is dropped")] TempDir),
    Postgres(sqlx::PgPool, String),
}

struct Town {
    world: World<dyn WorkStorage>,
    raw: Raw,
}

impl Town {
    async fn on_sqlite() -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::default()));
        let file = folder.path().join("test.db");
        let storage = SqliteStorage::open(&file, clock.clone()).await.unwrap();
        let raw = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        Self { world: World::over(Arc::new(storage), clock), raw: Raw::Sqlite(raw, folder) }
    }

    async fn on_postgres() -> Self {
        let clock = Arc::new(ManualClock::default());
        let mut options = PostgresOptions::new(server_url().parse().unwrap());
        options.schema = fresh_schema();
        options.connections_max = 6;
        options.clock = Some(clock.clone());
        let schema = options.schema.clone();
        let storage = PostgresStorage::open(options).await.unwrap();
        let raw = sqlx::PgPool::connect(&server_url()).await.unwrap();
        Self { world: World::over(Arc::new(storage), clock), raw: Raw::Postgres(raw, schema) }
    }

    fn storage(&self) -> &dyn WorkStorage {
        &*self.world.storage
    }

    fn folds(&self) -> bool {
        matches!(self.raw, Raw::Postgres(..))
    }

    /// Runs a statement; `@.` stands before the tables' names. Answers how many rows it changed.
    async fn run(&self, statement: &str) -> u64 {
        match &self.raw {
            Raw::Sqlite(pool, _) => {
                let sql = sqlx::AssertSqlSafe(statement.replace("@.", ""));
                sqlx::query(sql).execute(pool).await.unwrap().rows_affected()
            }
            Raw::Postgres(pool, schema) => {
                let sql = sqlx::AssertSqlSafe(statement.replace("@.", &format!("{schema}.")));
                sqlx::query(sql).execute(pool).await.unwrap().rows_affected()
            }
        }
    }

    /// Runs a statement that has to change so many rows.
    async fn sql(&self, statement: &str, rows: u64) {
        assert_eq!(self.run(statement).await, rows, "{statement}");
    }

    fn ids(&self) -> IdSequence {
        self.world.ids.sequence(self.world.clock_now())
    }

    async fn commit(&self, account_id: AccountId, effects: Vec<Effect>) {
        let change = ChangeSet::new(self.ids().change_set(), account_id, self.world.clock_now());
        self.storage().commit(&ChangeSet { effects, ..change }).await.unwrap();
    }

    async fn delivery(&self, account_id: AccountId, subscription_id: SubscriptionId) -> EffectId {
        let mut ids = self.ids();
        let effect = Effect::Delivery(Delivery {
            id: ids.delivery(),
            subscription_id,
            event_id: ids.event(),
            event_type: EventType::OrderStatusChanged,
            body: MarkedText::plain("{}".to_owned()),
        });
        let id = effect.id();
        self.commit(account_id, vec![effect]).await;
        id
    }

    async fn removal(&self, account_id: AccountId) -> EffectId {
        let mut ids = self.ids();
        let effect = Effect::Removal { id: ids.removal(), upload_id: ids.upload() };
        let id = effect.id();
        self.commit(account_id, vec![effect]).await;
        id
    }

    async fn errand(&self, account_id: AccountId) -> EffectId {
        let mut ids = self.ids();
        let now = self.world.clock_now();
        let effect = Effect::Errand { id: ids.errand(), errand: Errand::Poll(ids.checkout()), due_at: now };
        let id = effect.id();
        self.commit(account_id, vec![effect]).await;
        id
    }

    /// A mail to the buyer of an order that is confirmed.
    async fn mail(&self, seller: &Seller) -> EffectId {
        let placed = self.world.place(seller, "Budi").await;
        let before = self.waiting_mails().await;
        self.world.commands().confirm_payment(seller.account_id, placed.id, &host(), None, None).await.unwrap();
        let after = self.waiting_mails().await;
        after.into_iter().find(|id| !before.contains(id)).unwrap()
    }

    async fn waiting_mails(&self) -> Vec<EffectId> {
        let ids: Vec<String> = match &self.raw {
            Raw::Sqlite(pool, _) => {
                sqlx::query_scalar("SELECT effect_id FROM effects WHERE kind = 'mail'").fetch_all(pool).await.unwrap()
            }
            Raw::Postgres(pool, schema) => {
                let sql = format!("SELECT effect_id FROM {schema}.effects WHERE kind = 'mail'");
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await.unwrap()
            }
        };
        ids.iter().filter_map(|id| id.parse().ok()).collect()
    }

    async fn take(&self, lane: Lane, limit: u32) -> Vec<Due> {
        self.storage().take_due(lane, limit, DeliveryShares::UNLIMITED, LEASE).await.unwrap()
    }

    async fn record(&self, due: &Due, next: NextAttempt) {
        let attempt = Attempt {
            attempt_number: due.attempts + 1,
            status: if next == NextAttempt::Succeeded { EffectStatus::Succeeded } else { EffectStatus::Failed },
            response_code: None,
            error: None,
            duration_ms: 1,
            attempted_at: self.world.clock_now(),
            next_retry_at: None,
        };
        self.storage().record_attempt(due.account_id, due.id, due.fence, &attempt, next).await.unwrap();
    }

    /// What is set aside: kind and id, and which part can't be read.
    async fn aside(&self) -> BTreeMap<(&'static str, String), String> {
        let found = self.storage().set_aside(1_000).await.unwrap();
        assert_eq!(found.count, u64::try_from(found.rows.len()).unwrap());
        found.rows.into_iter().map(|row| ((row.kind.as_str(), row.id), row.what)).collect()
    }

    fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
    }
}

trait Now {
    fn clock_now(&self) -> Timestamp;
}

impl<S: ?Sized> Now for World<S> {
    fn clock_now(&self) -> Timestamp {
        serront_core::ports::Clock::now(&*self.clock)
    }
}

macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Town::on_sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Town::on_postgres().await).await;
            })+
        }
    };
}

on_both_engines!(
    each_unreadable_effect_stops_only_itself,
    a_subscription_that_cannot_be_read_stops_only_its_own_deliveries,
    a_thousand_unreadable_rows_hide_nothing,
    a_newer_version_takes_up_what_an_older_one_could_not_read,
    what_only_a_newer_version_knows_is_listed_and_not_pruned,
    lists_of_every_account_leave_out_what_cannot_be_read,
    secrets_that_cannot_be_read_are_not_taken_for_sealed_anew,
    a_sum_beyond_an_integer_fails_the_verification_of_one_account,
    a_balance_beyond_an_integer_stops_one_account,
    reads_at_the_same_time_fail_for_themselves,
);

/// Each way in which an effect's row can be unreadable: before those that can be read, one account's next to another's.
async fn each_unreadable_effect_stops_only_itself(town: Town) {
    let (bad, good) = (town.world.seller("bad").await, town.world.seller("good").await);
    let subscription = town.world.subscribe(&bad, "https://bad.example", &["*"]).await;
    let others = town.world.subscribe(&good, "https://good.example", &["*"]).await;
    // Before, so that what it causes is not among what is counted.
    let mut mails = Vec::new();
    for _ in 0..4 {
        mails.push(town.mail(&bad).await);
    }
    let mut expected = BTreeMap::new();
    let mut mend = Vec::new();
    let mut damage = async |id: EffectId, table: &str, column: &str, value: &str, part: &str| {
        let kind = if table == "errands" { "errand" } else { "effect" };
        let backup =
            format!("CREATE TABLE @.{table}_{} AS SELECT * FROM @.{table} WHERE effect_id = '{id}'", mend.len());
        town.run(&backup).await;
        town.sql(&format!("UPDATE @.{table} SET {column} = {value} WHERE effect_id = '{id}'"), 1).await;
        mend.push(format!(
            "UPDATE @.{table} SET {column} = (SELECT {column} FROM @.{table}_{}) WHERE effect_id = '{id}'",
            mend.len()
        ));
        expected.insert((kind, id.to_string()), part.to_owned());
    };
    damage(mails[0], "effects", "content", "'{\"kind\":\"of_a_newer_version\"}'", "mail").await;
    damage(mails[1], "effects", "content", "'{broken'", "mail").await;
    damage(mails[2], "effects", "attempts", "-1", "attempts").await;
    damage(mails[3], "effects", "fence", "-7", "fence").await;
    let account = bad.account_id;
    let newer = "'serront.order.of_a_newer_version.v9'";
    damage(town.delivery(account, subscription).await, "effects", "event_type", newer, "event_type").await;
    damage(town.delivery(account, subscription).await, "effects", "event_id", "'evt'", "event_id").await;
    damage(town.delivery(account, subscription).await, "effects", "event_id", "NULL", "event_id").await;
    damage(town.removal(account).await, "effects", "content", "'somewhere'", "upload").await;
    damage(town.errand(account).await, "errands", "content", "'{\"kind\":\"refund\",\"of\":\"x\"}'", "errand").await;
    damage(town.errand(account).await, "errands", "attempts", "99999999999", "attempts").await;
    town.advance(Duration::from_secs(1));
    let mail = town.mail(&good).await;
    let readable = [
        (Lane::Mails, mail),
        (Lane::Deliveries, town.delivery(good.account_id, others).await),
        (Lane::Removals, town.removal(good.account_id).await),
        (Lane::Errands, town.errand(good.account_id).await),
    ];

    // One at a time: what can't be read is due before it.
    for (lane, id) in readable {
        let taken = loop {
            match town.take(lane, 1).await.as_slice() {
                [due] if due.id == id => break due.clone(),
                // What the confirmations caused.
                [due] => town.record(due, NextAttempt::Succeeded).await,
                taken => panic!("{id} was not taken: {taken:?}"),
            }
        };
        assert_eq!(taken.account_id, good.account_id);
        town.record(&taken, NextAttempt::Succeeded).await;
    }
    for lane in Lane::ALL {
        while let [due] = town.take(lane, 1).await.as_slice() {
            town.record(due, NextAttempt::Succeeded).await;
        }
    }
    assert_eq!(town.aside().await, expected);
    let first = town.storage().set_aside(1).await.unwrap();
    assert_eq!((first.count, first.rows.len()), (u64::try_from(expected.len()).unwrap(), 1));

    // It does not come back before its time, and stays on record once it does.
    town.advance(RESTED);
    for lane in Lane::ALL {
        assert_eq!(town.take(lane, 100).await, []);
    }
    assert_eq!(town.aside().await, expected);

    // A version that can read them.
    for statement in &mend {
        town.sql(statement, 1).await;
    }
    town.advance(RESTED);
    let mut taken = Vec::new();
    for lane in Lane::ALL {
        taken.extend(town.take(lane, 100).await.into_iter().map(|due| due.id.to_string()));
    }
    taken.sort();
    let mut ids: Vec<_> = expected.into_keys().map(|(_, id)| id).collect();
    ids.sort();
    assert_eq!(taken, ids);
    assert_eq!(town.aside().await, BTreeMap::new());
}

/// Also by a fence that can't be raised any more.
async fn a_subscription_that_cannot_be_read_stops_only_its_own_deliveries(town: Town) {
    let (bad, good) = (town.world.seller("bad").await, town.world.seller("good").await);
    let damaged = town.world.subscribe(&bad, "https://bad.example", &["*"]).await;
    let beside = town.world.subscribe(&bad, "https://beside.example", &["*"]).await;
    let others = town.world.subscribe(&good, "https://good.example", &["*"]).await;
    let unread = town.delivery(bad.account_id, damaged).await;
    let newer = format!("UPDATE @.subscriptions SET events = '{{\"of\": 2}}' WHERE subscription_id = '{damaged}'");
    let mut expected = vec![town.delivery(bad.account_id, beside).await, town.delivery(good.account_id, others).await];
    town.sql(&newer, 1).await;
    let fence = i64::MAX;
    town.sql(&format!("UPDATE @.effects SET fence = {fence} WHERE effect_id = '{}'", expected[0]), 1).await;
    expected.sort();
    for _ in 0..2 {
        let mut taken = town.take(Lane::Deliveries, 100).await;
        taken.sort_by_key(|due| due.id);
        assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), expected);
        town.advance(LEASE);
    }
    let aside = BTreeMap::from([(("effect", unread.to_string()), "events".to_owned())]);
    assert_eq!(town.aside().await, aside);
    let read = format!("UPDATE @.subscriptions SET events = '[\"*\"]' WHERE subscription_id = '{damaged}'");
    town.sql(&read, 1).await;
    town.advance(RESTED);
    let taken = town.take(Lane::Deliveries, 100).await;
    assert!(taken.iter().any(|due| due.id == unread), "{taken:?}");
    assert_eq!(town.aside().await, BTreeMap::new());
}

async fn a_thousand_unreadable_rows_hide_nothing(town: Town) {
    let (bad, good) = (town.world.seller("bad").await, town.world.seller("good").await);
    let mut ids = town.ids();
    let removals = (0..1_000).map(|_| Effect::Removal { id: ids.removal(), upload_id: ids.upload() }).collect();
    town.commit(bad.account_id, removals).await;
    town.sql("UPDATE @.effects SET content = 'somewhere' WHERE kind = 'removal'", 1_000).await;
    town.advance(Duration::from_secs(1));
    let readable = town.removal(good.account_id).await;
    let taken = town.take(Lane::Removals, 64).await;
    assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [readable]);
    assert_eq!(town.storage().set_aside(0).await.unwrap().count, 1_000);
}

/// The record names the newest version that tried. One that is newer does not wait until the row has rested.
async fn a_newer_version_takes_up_what_an_older_one_could_not_read(town: Town) {
    let seller = town.world.seller("studio").await;
    let id = town.removal(seller.account_id).await;
    let upload = town.ids().upload();
    town.sql("UPDATE @.effects SET content = 'somewhere' WHERE kind = 'removal'", 1).await;
    assert_eq!(town.take(Lane::Removals, 10).await, []);
    town.sql(&format!("UPDATE @.effects SET content = '{upload}' WHERE kind = 'removal'"), 1).await;
    town.advance(LOOKED);
    assert_eq!(town.take(Lane::Removals, 10).await, [], "this version has tried it already");
    town.sql("UPDATE @.set_aside SET tried_by = 1", 1).await;
    town.advance(LOOKED);
    // Any lane looks for all of them.
    assert_eq!(town.take(Lane::Errands, 10).await, []);
    let taken = town.take(Lane::Removals, 10).await;
    assert_eq!(taken.iter().map(|due| due.id).collect::<Vec<_>>(), [id]);
    assert_eq!(town.aside().await, BTreeMap::new());
}

/// Of a kind, or in a state, that no read of this version looks for. What this version can't judge is not pruned.
async fn what_only_a_newer_version_knows_is_listed_and_not_pruned(town: Town) {
    let seller = town.world.seller("studio").await;
    let account_id = seller.account_id;
    let (kind, status, errand) =
        (town.removal(account_id).await, town.removal(account_id).await, town.errand(account_id).await);
    let payout = payout(&town, account_id).await;
    town.sql(&format!("UPDATE @.effects SET kind = 'sms' WHERE effect_id = '{kind}'"), 1).await;
    town.sql(&format!("UPDATE @.effects SET status = 'paused' WHERE effect_id = '{status}'"), 1).await;
    town.sql("UPDATE @.errands SET status = 'paused'", 1).await;
    town.sql("UPDATE @.payouts SET status = 'on_hold'", 1).await;
    town.sql(&notification(account_id, "evt_1", "quarantined"), 1).await;
    assert_eq!(town.take(Lane::Removals, 10).await, []);
    let row = |kind, id: String, what: &str| ((kind, id), what.to_owned());
    let expected = BTreeMap::from([
        row("effect", kind.to_string(), "kind or status"),
        row("effect", status.to_string(), "kind or status"),
        row("errand", errand.to_string(), "status"),
        row("payout", payout.clone(), "status"),
        row("notification", "evt_1".to_owned(), "status"),
    ]);
    assert_eq!(town.aside().await, expected);
    town.advance(Duration::from_secs(400 * 24 * 3_600));
    town.storage().prune(EVERYTHING).await.unwrap();
    town.take(Lane::Removals, 10).await;
    let still: Vec<_> = town.aside().await.into_keys().collect();
    assert_eq!(still, expected.into_keys().collect::<Vec<_>>());
    town.sql(&format!("UPDATE @.effects SET kind = 'removal' WHERE effect_id = '{kind}'"), 1).await;
    town.sql(&format!("UPDATE @.effects SET status = 'succeeded' WHERE effect_id = '{status}'"), 1).await;
    town.sql("UPDATE @.errands SET status = 'failed'", 1).await;
    town.sql("UPDATE @.payouts SET status = 'pending'", 1).await;
    town.sql("DELETE FROM @.inbox", 1).await;
    town.advance(RESTED);
    assert_eq!(town.take(Lane::Removals, 10).await.len(), 1);
    assert_eq!(town.aside().await, BTreeMap::new());
}

/// All that was over before this moment.
const EVERYTHING: Prune = Prune { effects_kept: Duration::ZERO, change_sets_kept: Duration::ZERO, limit: 1_000 };

/// A notification's row, in this state.
fn notification(account_id: AccountId, event_id: &str, status: &str) -> String {
    format!(
        "INSERT INTO @.inbox (event_id, account_id, event_type, session_id, body, received_at, status) \
         VALUES ('{event_id}', '{account_id}', 'checkout_session.completed', NULL, '{{}}', 1, '{status}')"
    )
}

/// Something that is in flight.
async fn payout(town: &Town, account_id: AccountId) -> String {
    let commands = town.world.commands();
    town.world.switch_payment_on(account_id).await;
    adjust(town, account_id, 10_000, "opening").await;
    let input = PayoutInput {
        amount: 4_000,
        bank_code: Some("014".to_owned()),
        bank_name: Some("Bank Contoh".to_owned()),
        bank_account_number: Some("123-456 789".to_owned()),
        bank_account_holder: Some("Renata".to_owned()),
        ..PayoutInput::default()
    };
    let asked = commands.request_payout(account_id, &input, (Requester::Seller, &host()), None).await;
    asked.unwrap().value.id.to_string()
}

async fn adjust(town: &Town, account_id: AccountId, amount: i64, reference: &str) {
    let input = AdjustmentInput { amount, reason: "a sale".to_owned(), reference: reference.to_owned() };
    town.world.commands().adjust(account_id, &input, &host()).await.unwrap();
}

/// Every row of a list, one on a page.
async fn paged<T, P>(page: impl AsyncFn(Option<P>) -> Page<T>, position: impl Fn(&T) -> P) -> Vec<T> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let found = page(after).await;
        after = found.position(&position);
        rows.extend(found.rows);
        if after.is_none() {
            return rows;
        }
    }
}

async fn lists_of_every_account_leave_out_what_cannot_be_read(town: Town) {
    let one = Limit::parse(Some("1")).unwrap();
    let storage = town.storage();
    let mut sellers = Vec::new();
    for slug in ["a", "b", "c", "d"] {
        let seller = town.world.seller(slug).await;
        payout(&town, seller.account_id).await;
        town.sql(&notification(seller.account_id, &format!("evt_{slug}"), "unreadable"), 1).await;
        let (kept, discarded) = (town.removal(seller.account_id).await, town.removal(seller.account_id).await);
        for due in town.take(Lane::Removals, 10).await {
            town.record(&due, NextAttempt::Failed).await;
        }
        town.world.commands().discard_effect(seller.account_id, discarded, "not wanted", &host()).await.unwrap();
        town.advance(Duration::from_secs(1));
        sellers.push((seller.account_id, kept));
    }
    // Two in the middle, of four.
    for (account_id, _) in &sellers[1..3] {
        town.sql(&format!("UPDATE @.payouts SET bank = '{{}}' WHERE account_id = '{account_id}'"), 1).await;
        town.sql(&format!("UPDATE @.inbox SET event_id = 'a b {account_id}' WHERE account_id = '{account_id}'"), 1)
            .await;
        town.sql(
            &format!("UPDATE @.effects SET attempts = -1 WHERE account_id = '{account_id}' AND kind = 'removal'"),
            2,
        )
        .await;
        town.sql(&format!("UPDATE @.discards SET actor = '7' WHERE account_id = '{account_id}'"), 1).await;
    }
    let readable = [sellers[0].0, sellers[3].0];
    let payouts = paged(
        async |after| storage.payouts_in_flight(after, one).await.unwrap(),
        serront_core::funds::payout::Payout::position,
    );
    assert_eq!(payouts.await.iter().map(|payout| payout.account_id).collect::<Vec<_>>(), readable);
    let given_up = paged(async |after| storage.given_up(after, one).await.unwrap(), EffectRecord::position).await;
    let expected = [(sellers[3].0, sellers[3].1), (sellers[0].0, sellers[0].1)];
    assert_eq!(given_up.iter().map(|row| (row.account_id, row.id)).collect::<Vec<_>>(), expected);
    for limit in 1..=4 {
        let wanted = usize::try_from(limit).unwrap().min(2);
        let waiting = storage.waiting(town.world.clock_now(), limit).await.unwrap();
        let accounts: Vec<_> = waiting.iter().map(|row| row.account_id).collect();
        assert_eq!(accounts, readable[..wanted]);
        let discards = storage.discards(limit).await.unwrap();
        let accounts: Vec<_> = discards.iter().map(|row| row.account_id).collect();
        assert_eq!(accounts, [readable[1], readable[0]][..wanted]);
    }
    let aside = town.aside().await;
    let parts: Vec<_> = aside.iter().map(|((kind, _), what)| (*kind, what.as_str())).collect();
    assert_eq!(
        parts,
        [
            ("discard", "actor"),
            ("discard", "actor"),
            ("effect", "attempts"),
            ("effect", "attempts"),
            ("notification", "event_id"),
            ("notification", "event_id"),
            ("payout", "bank"),
            ("payout", "bank"),
        ]
    );
    // What concerns one account fails for that one alone.
    assert!(town.world.commands().payouts(sellers[1].0, None, None, one).await.is_err());
    assert_eq!(town.world.commands().payouts(sellers[0].0, None, None, one).await.unwrap().payouts.len(), 1);
}

/// Who forgets a key must not take such a row for one that needs none.
async fn secrets_that_cannot_be_read_are_not_taken_for_sealed_anew(town: Town) {
    let storage = town.storage();
    let mut subscriptions = Vec::new();
    let mut accounts = Vec::new();
    for slug in ["a", "b", "c"] {
        let seller = town.world.seller(slug).await;
        subscriptions.push(town.world.subscribe(&seller, "https://one.example", &["*"]).await);
        let account_id = seller.account_id;
        let state = ProvisioningState::default();
        let change = ChangeSet::new(town.ids().change_set(), account_id, town.world.clock_now());
        let guards = vec![Guard::Exact { row: Row::Provisioning, version: Version::ABSENT }];
        let writes = vec![Write::PutProvisioning(Provisioning { account_id, version: Version::FIRST, state })];
        storage.commit(&ChangeSet { guards, writes, ..change }).await.unwrap();
        accounts.push(account_id);
    }
    town.sql(&format!("UPDATE @.subscriptions SET version = -1 WHERE subscription_id = '{}'", subscriptions[1]), 1)
        .await;
    town.sql(&format!("UPDATE @.provisioning SET state = '7' WHERE account_id = '{}'", accounts[0]), 1).await;
    let one = Limit::parse(Some("1")).unwrap();
    let secrets = paged(async |after| storage.subscription_secrets(after, one).await.unwrap(), |row| row.id).await;
    assert_eq!(secrets.iter().map(|row| row.id).collect::<Vec<_>>(), [subscriptions[0], subscriptions[2]]);
    let endpoints = paged(async |after| storage.provisionings(after, one).await.unwrap(), |row| row.account_id).await;
    assert_eq!(endpoints.iter().map(|row| row.account_id).collect::<Vec<_>>(), accounts[1..]);
    let resealed = town.world.commands().reseal().await.unwrap();
    assert_eq!(resealed, Resealed { seen: 6, resealed: 0, unopened: 2 });
    assert!(town.world.commands().has_sealed().await.unwrap());
    town.sql(&format!("UPDATE @.subscriptions SET version = 1 WHERE subscription_id = '{}'", subscriptions[1]), 1)
        .await;
    town.sql(&format!("UPDATE @.provisioning SET state = '{{}}' WHERE account_id = '{}'", accounts[0]), 1).await;
    town.advance(RESTED);
    assert_eq!(town.take(Lane::Errands, 10).await, []);
    assert_eq!(town.aside().await, BTreeMap::new());
    let resealed = town.world.commands().reseal().await.unwrap();
    assert_eq!(resealed, Resealed { seen: 6, resealed: 0, unopened: 0 });
}

async fn verified(town: &Town) -> Vec<Difference> {
    verify(town.storage(), None, &Verification::default()).await.unwrap().differences
}

async fn a_sum_beyond_an_integer_fails_the_verification_of_one_account(town: Town) {
    let mut accounts = Vec::new();
    for slug in ["huge", "strange", "flight", "least", "clean"] {
        let account_id = town.world.seller(slug).await.account_id;
        town.world.switch_payment_on(account_id).await;
        adjust(&town, account_id, 7_000_000_000, "first").await;
        adjust(&town, account_id, 9_000_000_000, "second").await;
        accounts.push(account_id);
    }
    assert_eq!(verified(&town).await, []);
    let [huge, strange, flight, least, clean] = accounts[..] else { panic!("five") };
    let update = |table: &str, set: &str, account: AccountId| {
        format!("UPDATE @.{table} SET {set} WHERE account_id = '{account}'")
    };
    town.sql(&update("ledger_entries", "amount = 9223372036854775807", huge), 4).await;
    town.sql(&update("ledger_entries", "code = 'of_a_newer_version'", strange), 4).await;
    payout(&town, flight).await;
    town.sql(&update("payouts", "amount = 9223372036854775807", flight), 1).await;
    let second = "INSERT INTO @.payouts (payout_id, account_id, amount, bank, created_at, version, status, updated_at) \
                  SELECT 'another', account_id, amount, bank, created_at, version, status, updated_at FROM @.payouts";
    town.sql(second, 1).await;
    town.sql(&update("ledger_entries", "amount = -9223372036854775808", least), 4).await;
    let told = verified(&town).await;
    let of = |account: AccountId| {
        let found = told.iter().filter(|difference| difference.account_id() == Some(account));
        found.map(|difference| format!("{difference:?}")).collect::<Vec<_>>()
    };
    for (account, part) in [(huge, "credit"), (strange, "code"), (flight, "counted"), (least, "credit")] {
        let found = of(account);
        assert!(!found.is_empty() && found.iter().all(|text| text.starts_with("Unreadable")), "{found:?}");
        assert!(found.iter().any(|text| text.contains(part)), "{part}: {found:?}");
    }
    assert_eq!(of(clean), [""; 0], "{told:?}");
    let one = verify(town.storage(), Some(clean), &Verification::default()).await.unwrap();
    assert_eq!((one.accounts, one.entries, one.differences), (1, 4, Vec::new()));
}

/// PostgreSQL keeps the account's deltas unfolded and folds those of other accounts; SQLite adds in place, and refuses
/// an overflow.
async fn a_balance_beyond_an_integer_stops_one_account(town: Town) {
    let storage = town.storage();
    let (huge, clean) = (town.world.seller("huge").await, town.world.seller("clean").await);
    let (huge_id, clean_id) = (huge.account_id, clean.account_id);
    adjust(&town, huge_id, 1_000, "first").await;
    adjust(&town, clean_id, 1_000, "first").await;
    storage.fold_deltas(1_000).await.unwrap();
    let most = format!("UPDATE @.ledger_balances SET credits = 9223372036854775807 WHERE account_id = '{huge_id}'");
    town.sql(&most, 1).await;
    adjust(&town, clean_id, 500, "second").await;
    let credits = async |account_id| Ok::<_, ()>(storage.balance(account_id).await.map_err(drop)?[0].credits);
    let mend = format!("UPDATE @.ledger_balances SET credits = 1000 WHERE account_id = '{huge_id}'");
    if !town.folds() {
        let input = AdjustmentInput { amount: 5, reason: "a sale".to_owned(), reference: "second".to_owned() };
        assert!(town.world.commands().adjust(huge_id, &input, &host()).await.is_err());
        assert_eq!(credits(clean_id).await, Ok(1_500));
        town.sql(&mend, 1).await;
        town.world.commands().adjust(huge_id, &input, &host()).await.unwrap();
        assert_eq!(credits(huge_id).await, Ok(1_005));
        return;
    }
    let delta = "INSERT INTO @.ledger_deltas (change_set_id, account_id, code, debits, credits) \
                 SELECT 'chg_' || n, '{}', 'adjustment', 0, 5 FROM generate_series(1, 40) n";
    town.sql(&delta.replace("{}", &huge_id.to_string()), 40).await;
    let counts = format!(
        "INSERT INTO @.order_counts (account_id, status, orders) VALUES ('{huge_id}', 'requested', 9223372036854775807)"
    );
    town.sql(&counts, 1).await;
    town.world.place(&huge, "Budi").await;
    town.world.place(&clean, "Budi").await;
    // Few at a time: those that can't be folded must not be looked at again and again.
    let mut folded = 0;
    for _ in 0..20 {
        folded += storage.fold_deltas(10).await.unwrap();
    }
    assert_eq!(folded, 2, "a balance and a count of the other account");
    assert_eq!(credits(clean_id).await, Ok(1_500));
    assert_eq!(storage.counts(clean_id).await.unwrap().requested, 1);
    assert_eq!(credits(huge_id).await, Err(()));
    assert!(storage.counts(huge_id).await.is_err());
    let row = |kind, id: &str| ((kind, id.to_owned()), "sum".to_owned());
    assert_eq!(town.aside().await, BTreeMap::from([row("balance", "adjustment"), row("order_count", "requested")]));
    town.sql(&mend, 1).await;
    town.sql(&format!("UPDATE @.order_counts SET orders = 1 WHERE account_id = '{huge_id}'"), 1).await;
    town.advance(RESTED);
    assert_eq!(town.take(Lane::Errands, 10).await, []);
    assert_eq!(town.aside().await, BTreeMap::new());
    assert_eq!(storage.fold_deltas(1_000).await.unwrap(), 41);
    assert_eq!(credits(huge_id).await, Ok(1_200));
    assert_eq!(storage.counts(huge_id).await.unwrap().requested, 2);
}

/// PostgreSQL's concurrent reads share a statement: one row that can't be read must fail for the caller who asked for it alone.
async fn reads_at_the_same_time_fail_for_themselves(town: Town) {
    let mut keys = Vec::new();
    let mut orders = Vec::new();
    for n in 0..24 {
        let (seller, placed) = town.world.seller_with_order(&format!("s{n}")).await;
        keys.push(seller.key.hash());
        orders.push(OrderKey::Id(placed.account_id, placed.id));
        if n % 8 == 0 {
            let account_id = seller.account_id;
            town.sql(&format!("UPDATE @.orders SET status = 'haunted' WHERE account_id = '{account_id}'"), 1).await;
            town.sql(
                &format!(
                    "UPDATE @.api_keys SET created_at = created_at, key_id = 'key' WHERE account_id = '{account_id}'"
                ),
                1,
            )
            .await;
        }
    }
    for _ in 0..4 {
        let read = |key: &OrderKey| {
            let (storage, key) = (Arc::clone(&town.world.storage), *key);
            tokio::spawn(async move { storage.order(key, None).await.is_ok_and(|found| found.is_some()) })
        };
        let reading: Vec<_> = orders.iter().map(read).collect();
        for (n, read) in reading.into_iter().enumerate() {
            assert_eq!(read.await.unwrap(), n % 8 != 0, "order {n}");
        }
        let look = |hash: &serront_core::primitives::digest::Digest256| {
            let (storage, hash) = (Arc::clone(&town.world.storage), *hash);
            tokio::spawn(async move { storage.key(hash).await.is_ok_and(|found| found.is_some()) })
        };
        let looking: Vec<_> = keys.iter().map(look).collect();
        for (n, looked) in looking.into_iter().enumerate() {
            assert_eq!(looked.await.unwrap(), n % 8 != 0, "key {n}");
        }
    }
}
