//! A transaction that the host shares with the library: both or neither, on both engines through one set of functions,
//! then what only one engine has.
#![cfg(all(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use serront_adapters::postgres::{BoundPostgres, PostgresOptions, PostgresStorage};
use serront_adapters::sqlite::{SqliteStorage, SqliteTransaction};
use serront_core::changes::change::ChangeSet;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{self, AdjustmentInput, Context, Decision, PayoutStep, Requester};
use serront_core::funds::books::Verification;
use serront_core::funds::payout::PayoutInput;
use serront_core::orders::order::{Language, OrderNumber};
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::{Clock as _, CommitError, Ids as _, PortErrorKind, Storage, WorkStorage};
use serront_core::primitives::page::Limit;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::{Commands, Environment, Failure};
use serront_core::shop::storefront::StorefrontInput;
use serront_core::snapshots::OrderFilter;
use serront_core::snapshots::{OrderKey, PayoutKey};
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{fresh_schema, server_url};
use serront_testkit::world::{Placed, Seller, World, host, order_input, service_input, storefront_input};
use sqlx::postgres::PgTransaction;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Longer than any of these tests: a time that is not to run out.
const LONG: Duration = Duration::from_secs(600);

#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

enum Database {
    Sqlite { storage: Arc<SqliteStorage>, pool: SqlitePool, _folder: TempDir },
    Postgres { storage: Arc<PostgresStorage>, pool: PgPool, schema: String },
}

/// A seller's shop in a database in which the host has a table of its own.
struct Shop {
    world: World<dyn WorkStorage>,
    seller: Seller,
    database: Database,
}

/// The host's transaction.
enum Own<'s> {
    Sqlite(SqliteTransaction),
    Postgres { storage: &'s PostgresStorage, transaction: PgTransaction<'static>, schema: &'s str },
}

enum Bound<'t> {
    Sqlite(&'t SqliteTransaction),
    Postgres(BoundPostgres<'t>),
}

impl Bound<'_> {
    fn storage(&self) -> &dyn Storage {
        match self {
            Self::Sqlite(transaction) => *transaction,
            Self::Postgres(bound) => bound,
        }
    }

    fn commands<'b>(&'b self, environment: Environment<'b>) -> Commands<'b, dyn Storage + 'b> {
        Commands::bound(self.storage(), environment)
    }
}

impl Shop {
    async fn open(engine: Engine) -> Self {
        Self::open_with(engine, LONG).await
    }

    async fn open_with(engine: Engine, lock_time_max: Duration) -> Self {
        let clock = Arc::new(ManualClock::default());
        let (storage, database): (Arc<dyn WorkStorage>, _) = match engine {
            Engine::Sqlite => {
                let folder = TempDir::new().unwrap();
                let file = folder.path().join("test.db");
                let storage = Arc::new(SqliteStorage::open(&file, clock.clone()).await.unwrap());
                let pool = SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
                (storage.clone(), Database::Sqlite { storage, pool, _folder: folder })
            }
            Engine::Postgres => {
                let mut options = PostgresOptions::new(server_url().parse().unwrap());
                options.schema = fresh_schema();
                options.connections_max = 8;
                options.lock_time_max = lock_time_max;
                options.statement_time_max = LONG;
                options.clock = Some(clock.clone());
                let schema = options.schema.clone();
                let storage = Arc::new(PostgresStorage::open(options).await.unwrap());
                let pool = PgPool::connect(&server_url()).await.unwrap();
                (storage.clone(), Database::Postgres { storage, pool, schema })
            }
        };
        let world = World::over(storage, clock);
        let seller = world.seller("studio").await;
        world.subscribe(&seller, "https://hooks.example.com/a", &["serront.order.payment_confirmed.v1"]).await;
        let shop = Self { world, seller, database };
        let mut own = shop.begin().await;
        own.execute("CREATE TABLE @.notes (note TEXT PRIMARY KEY)").await.unwrap();
        own.commit().await.unwrap();
        shop
    }

    async fn begin(&self) -> Own<'_> {
        self.begin_for(LONG).await
    }

    /// On SQLite it lasts at most this long.
    async fn begin_for(&self, time_max: Duration) -> Own<'_> {
        match &self.database {
            Database::Sqlite { storage, .. } => Own::Sqlite(storage.begin(time_max).await.unwrap()),
            Database::Postgres { storage, pool, schema } => {
                Own::Postgres { storage, transaction: pool.begin().await.unwrap(), schema }
            }
        }
    }

    async fn begin_with(&self, level: &str) -> Own<'_> {
        let Database::Postgres { storage, pool, schema } = &self.database else { panic!("levels are PostgreSQL's") };
        let begin = AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"));
        Own::Postgres { storage, transaction: pool.begin_with(begin).await.unwrap(), schema }
    }

    async fn place(&self) -> Placed {
        self.world.place(&self.seller, "Budi").await
    }

    /// What the host wrote and committed.
    async fn notes(&self) -> Vec<String> {
        match &self.database {
            Database::Sqlite { pool, .. } => {
                sqlx::query_scalar("SELECT note FROM notes ORDER BY note").fetch_all(pool).await.unwrap()
            }
            Database::Postgres { pool, schema, .. } => {
                let select = AssertSqlSafe(format!("SELECT note FROM {schema}.notes ORDER BY note"));
                sqlx::query_scalar(select).fetch_all(pool).await.unwrap()
            }
        }
    }

    async fn payment(&self, placed: &Placed) -> PaymentStatus {
        self.snapshot(&*self.world.storage, placed).await.order.state.payment_status
    }

    async fn snapshot(
        &self,
        storage: &(impl Storage + ?Sized),
        placed: &Placed,
    ) -> serront_core::snapshots::OrderSnapshot {
        storage.order(OrderKey::Id(placed.account_id, placed.id), None).await.unwrap().unwrap()
    }

    /// A change set that confirms this order as it is stored now.
    async fn confirmation(&self, placed: &Placed) -> ChangeSet {
        let snapshot = self.snapshot(&*self.world.storage, placed).await;
        let now = self.world.clock.now();
        let ids = self.world.ids.sequence(now);
        let mut context = Context { now, ids, policy: &self.world.policy, request: None };
        let Decision::Change(change, _) = decide::confirm_payment(&snapshot, &host(), None, &mut context).unwrap()
        else {
            panic!("nothing to confirm")
        };
        *change
    }

    /// Confirmed, told of in one mail and one event, and on record once; or none of all this.
    async fn assert_whole(&self, placed: &Placed, confirmed: bool) {
        self.world.dispatch_all().await;
        let wanted = if confirmed { PaymentStatus::PaymentConfirmed } else { PaymentStatus::Unpaid };
        assert_eq!(self.payment(placed).await, wanted);
        let number = format!("#{}", placed.number.0);
        let mails = self.world.mailbox.messages();
        let mails = mails.iter().filter(|mail| mail.subject.split(' ').any(|word| word == number)).count();
        let posts = self.world.sink.posts();
        let order = placed.id.to_string();
        let posts = posts.iter().filter(|post| String::from_utf8_lossy(post.body.as_ref()).contains(&order)).count();
        let records = self.world.commands().audit(placed.account_id, placed.id).await.unwrap().len();
        let times = usize::from(confirmed);
        assert_eq!((mails, posts, records), (times, times, 1 + times));
    }
}

impl Own<'_> {
    fn bound(&mut self) -> Bound<'_> {
        match self {
            Self::Sqlite(transaction) => Bound::Sqlite(transaction),
            Self::Postgres { storage, transaction, .. } => Bound::Postgres(storage.bind(transaction)),
        }
    }

    /// Runs a statement of the host's.
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(transaction) => {
                let sql = AssertSqlSafe(sql.replace("@.", ""));
                let done = transaction.run(async |connection| sqlx::query(sql).execute(connection).await).await;
                done.map_err(|error| error.to_string())?.map(drop).map_err(|error| error.to_string())
            }
            Self::Postgres { transaction, schema, .. } => {
                let sql = AssertSqlSafe(sql.replace("@.", &format!("{schema}.")));
                sqlx::query(sql).execute(&mut **transaction).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }

    async fn note(&mut self, note: &str) {
        self.execute(&format!("INSERT INTO @.notes (note) VALUES ('{note}')")).await.unwrap();
    }

    async fn confirm(&mut self, world: &World<dyn WorkStorage>, placed: &Placed) -> Result<ConfirmedBy, Failure> {
        let bound = self.bound();
        let commands = bound.commands(world.environment());
        let answer = commands.confirm_payment(placed.account_id, placed.id, &host(), None, None).await?;
        Ok(answer.change_set.unwrap())
    }

    async fn commit(self) -> Result<(), String> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await.map_err(|error| error.to_string()),
            Self::Postgres { transaction, .. } => transaction.commit().await.map_err(|error| error.to_string()),
        }
    }

    async fn rollback(self) {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await,
            Self::Postgres { transaction, .. } => transaction.rollback().await.unwrap(),
        }
    }
}

type ConfirmedBy = serront_core::primitives::ids::ChangeSetId;

fn adjustment(amount: i64) -> AdjustmentInput {
    AdjustmentInput { amount, reason: "a sale at the counter".to_owned(), reference: "R1".to_owned() }
}

fn payout(amount: i64) -> PayoutInput {
    PayoutInput {
        amount,
        bank_name: Some("Bank Contoh".to_owned()),
        bank_account_number: Some("123-456 789".to_owned()),
        bank_account_holder: Some("Renata".to_owned()),
        ..PayoutInput::default()
    }
}

/// Makes a test of each function for each engine.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Shop::open(super::Engine::Sqlite).await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Shop::open(super::Engine::Postgres).await).await;
            })+
        }
    };
}

on_both_engines!(
    the_payment_and_the_hosts_row_are_committed_together,
    a_rollback_leaves_neither,
    a_drop_leaves_neither,
    a_payout_and_the_hosts_row_are_committed_together_or_not,
    several_commands_see_each_other_and_nobody_else_does,
    every_local_command_can_be_in_one_transaction,
    a_number_that_was_rolled_back_is_given_again,
    a_conflict_leaves_the_transaction_usable,
    a_name_that_is_taken_leaves_the_transaction_usable,
    a_repeated_request_is_answered_inside_as_outside,
    the_identical_change_set_lands_once_inside_and_outside,
    a_savepoint_of_the_hosts_takes_the_librarys_change_with_it,
    a_command_dropped_in_the_middle_leaves_nothing_half_done,
    a_transaction_can_be_used_from_a_task_of_its_own,
);

async fn the_payment_and_the_hosts_row_are_committed_together(shop: Shop) {
    let placed = shop.place().await;
    let mut own = shop.begin().await;
    own.note("before").await;
    let change_set = own.confirm(&shop.world, &placed).await.unwrap();
    own.note("after").await;

    assert_eq!(shop.notes().await, [""; 0]);
    assert_eq!(shop.world.commands().outcome(placed.account_id, change_set).await.unwrap(), None);
    assert_eq!(shop.payment(&placed).await, PaymentStatus::Unpaid);

    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["after", "before"]);
    assert!(shop.world.commands().outcome(placed.account_id, change_set).await.unwrap().is_some());
    shop.assert_whole(&placed, true).await;
}

async fn leaves_neither(shop: Shop, end: impl AsyncFnOnce(Own<'_>)) {
    let placed = shop.place().await;
    let mut own = shop.begin().await;
    own.note("before").await;
    let change_set = own.confirm(&shop.world, &placed).await.unwrap();
    end(own).await;

    assert_eq!(shop.notes().await, [""; 0]);
    assert_eq!(shop.world.commands().outcome(placed.account_id, change_set).await.unwrap(), None);
    assert_eq!(shop.world.next_due().await, None);
    shop.assert_whole(&placed, false).await;
    // Nothing is left of it that would be in the way.
    shop.world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await.unwrap();
    shop.assert_whole(&placed, true).await;
}

async fn a_rollback_leaves_neither(shop: Shop) {
    leaves_neither(shop, async |own| own.rollback().await).await;
}

async fn a_drop_leaves_neither(shop: Shop) {
    leaves_neither(shop, async |own| drop(own)).await;
}

async fn a_payout_and_the_hosts_row_are_committed_together_or_not(shop: Shop) {
    let (world, account) = (&shop.world, shop.seller.account_id);
    world.switch_payment_on(account).await;
    world.commands().adjust(account, &adjustment(10_000), &host()).await.unwrap();
    for kept in [false, true] {
        let mut own = shop.begin().await;
        own.note("a payout").await;
        let asked = {
            let bound = own.bound();
            let commands = bound.commands(world.environment());
            let asked = commands
                .request_payout(account, &payout(4_000), (Requester::Seller, &host()), None)
                .await
                .unwrap()
                .value;
            let balance = commands.payout_balance(account).await.unwrap();
            assert_eq!((balance.locked.get(), balance.available), (4_000, 6_000));
            let more = commands.request_payout(account, &payout(6_001), (Requester::Seller, &host()), None).await;
            assert!(matches!(more, Err(Failure::Rejected(Rejection::InsufficientBalance { .. }))), "{more:?}");
            asked
        };
        if kept {
            own.commit().await.unwrap()
        } else {
            own.rollback().await
        }
        let balance = world.commands().payout_balance(account).await.unwrap();
        assert_eq!(balance.available, if kept { 6_000 } else { 10_000 });
        assert_eq!(shop.notes().await.len(), usize::from(kept));
        assert_eq!(world.commands().payout(PayoutKey::Any(asked.id)).await.is_ok(), kept);
    }
    let report = serront_core::service::verify(&*world.storage, None, &Verification::default()).await.unwrap();
    assert_eq!(report.differences, []);
}

async fn several_commands_see_each_other_and_nobody_else_does(shop: Shop) {
    let (world, seller) = (&shop.world, &shop.seller);
    let mut own = shop.begin().await;
    let bound = own.bound();
    let commands = bound.commands(world.environment());
    let placed = commands.place_order("studio", &order_input("Budi"), Language::Id, None).await.unwrap().value;
    let (id, token) = (placed.order_id.unwrap(), placed.access_token);
    assert_eq!(placed.number, Some(OrderNumber(1)));
    commands.claim_payment(&token).await.unwrap();
    assert_eq!(commands.buyer_order(&token).await.unwrap().payment_status, PaymentStatus::PaymentClaimed);
    commands.confirm_payment(seller.account_id, id, &host(), None, None).await.unwrap();
    assert_eq!(commands.order(seller.account_id, id).await.unwrap().payment_status, PaymentStatus::PaymentConfirmed);
    assert_eq!(commands.audit(seller.account_id, id).await.unwrap().len(), 3);
    let page =
        commands.orders(seller.account_id, &OrderFilter::default(), None, Limit::parse(None).unwrap()).await.unwrap();
    assert_eq!((page.orders.len(), page.counts.requested), (1, 1));

    let outside = world
        .commands()
        .orders(seller.account_id, &OrderFilter::default(), None, Limit::parse(None).unwrap())
        .await
        .unwrap();
    assert_eq!((outside.orders.len(), outside.counts.requested), (0, 0));
    let unseen = world.commands().buyer_order(&token).await;
    assert!(matches!(unseen, Err(Failure::Rejected(Rejection::NotFound(_)))), "{unseen:?}");

    own.commit().await.unwrap();
    assert_eq!(world.commands().buyer_order(&token).await.unwrap().payment_status, PaymentStatus::PaymentConfirmed);
    assert_eq!(world.dispatch_all().await, 2);
}

async fn every_local_command_can_be_in_one_transaction(shop: Shop) {
    let (world, seller) = (&shop.world, &shop.seller);
    let account = seller.account_id;
    world.switch_payment_on(account).await;
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(world.environment());
        let (opened, _) =
            commands.open_account("Second", serront_core::primitives::tier::Tier::Free).await.unwrap().value;
        commands.set_tier(opened.id, serront_core::primitives::tier::Tier::Business).await.unwrap();
        commands.put_storefront(opened.id, &storefront_input("second"), None).await.unwrap();
        // First and again, the slug given up and taken by the other.
        commands.put_storefront(account, &storefront_input("renamed"), None).await.unwrap();
        commands.put_storefront(opened.id, &storefront_input("studio"), None).await.unwrap();
        let service = commands.create_service(account, &service_input("cetak", 50_000), None).await.unwrap().value;
        commands.update_service(account, service.id, &service_input("cetak", 60_000), None).await.unwrap();
        let placed = commands.place_order("renamed", &order_input("Ani"), Language::En, None).await.unwrap().value;
        let patch = serde_json::from_str(r#"{"status": "confirmed", "quotedPriceIdr": 800000}"#).unwrap();
        commands.patch_order(account, placed.order_id.unwrap(), patch, &host(), None).await.unwrap();
        commands.delete_service(account, service.id).await.unwrap();
        let key = commands.create_key(account, "second", None).await.unwrap().value;
        commands.delete_key(account, key.shown.id).await.unwrap();
        let subscriptions = commands.subscriptions(account).await.unwrap();
        commands.delete_subscription(account, subscriptions[0].id).await.unwrap();
        commands.adjust(account, &adjustment(10_000), &host()).await.unwrap();
        let bank_account = serde_json::from_str(
            r#"{"bankName": "Bank Contoh", "bankAccountNumber": "123", "bankAccountHolder": "Renata"}"#,
        );
        commands.patch_bank_account(account, &bank_account.unwrap(), None).await.unwrap();
        let input = PayoutInput { amount: 4_000, ..PayoutInput::default() };
        let paid = commands.request_payout(account, &input, (Requester::Seller, &host()), None).await.unwrap().value.id;
        for step in [PayoutStep::MarkInTransit { reference: None }, PayoutStep::MarkPaid { reference: None }] {
            commands.move_payout(PayoutKey::Id(account, paid), &step, &host(), None).await.unwrap();
        }
        let cancelled = commands
            .request_payout(account, &payout(1_000), (Requester::Seller, &host()), None)
            .await
            .unwrap()
            .value
            .id;
        commands.move_payout(PayoutKey::Any(cancelled), &PayoutStep::Cancel, &host(), None).await.unwrap();
        commands.create_operator_key("desk").await.unwrap();
    }
    own.commit().await.unwrap();
    assert_eq!(world.commands().shop("renamed").await.unwrap().services.len(), 1);
    assert_eq!(world.commands().subscriptions(account).await.unwrap(), []);
    assert_eq!(world.commands().payout_balance(account).await.unwrap().available, 6_000);
    // It is a state like any other: everything goes on from here.
    world.commands().put_storefront(account, &storefront_input("again"), None).await.unwrap();
    world.commands().place_order("again", &order_input("Cici"), Language::Id, None).await.unwrap();
}

async fn a_number_that_was_rolled_back_is_given_again(shop: Shop) {
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(shop.world.environment());
        for number in 1..=3 {
            let placed = commands.place_order("studio", &order_input("Budi"), Language::Id, None).await.unwrap().value;
            assert_eq!(placed.number, Some(OrderNumber(number)));
        }
    }
    own.rollback().await;
    assert_eq!(shop.place().await.number, OrderNumber(1));
}

async fn a_conflict_leaves_the_transaction_usable(shop: Shop) {
    let (placed, other) = (shop.place().await, shop.place().await);
    let stale = shop.confirmation(&placed).await;
    shop.world.commands().claim_payment(&placed.token).await.unwrap();
    let mut own = shop.begin().await;
    own.note("before").await;
    let refused = own.bound().storage().commit(&stale).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    own.note("after").await;
    own.confirm(&shop.world, &other).await.unwrap();
    // Decided anew, in the same transaction.
    own.confirm(&shop.world, &placed).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["after", "before"]);
    shop.assert_whole(&other, true).await;
    assert_eq!(shop.payment(&placed).await, PaymentStatus::PaymentConfirmed);
}

async fn a_name_that_is_taken_leaves_the_transaction_usable(shop: Shop) {
    let placed = shop.place().await;
    let account = shop.seller.account_id;
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(shop.world.environment());
        let taken = commands.create_service(account, &service_input("logo", 1_000), None).await;
        assert!(matches!(taken, Err(Failure::Rejected(Rejection::Conflict(_)))), "{taken:?}");
        commands.create_service(account, &service_input("kartu", 1_000), None).await.unwrap();
    }
    own.note("after").await;
    own.confirm(&shop.world, &placed).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["after"]);
    assert_eq!(shop.world.commands().services(account).await.unwrap().len(), 2);
    shop.assert_whole(&placed, true).await;
}

async fn a_repeated_request_is_answered_inside_as_outside(shop: Shop) {
    let placed = shop.place().await;
    let account = placed.account_id;
    let request = IdempotentRequest::new(account, "POST", "/confirm", "key-1", b"").unwrap();
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(shop.world.environment());
        let first = commands.confirm_payment(account, placed.id, &host(), None, Some(request)).await.unwrap();
        let again = commands.confirm_payment(account, placed.id, &host(), None, Some(request)).await.unwrap();
        assert_eq!((first.replayed, again.replayed), (false, true));
        assert_eq!(first.value, again.value);
        let without = commands.confirm_payment(account, placed.id, &host(), None, None).await;
        assert!(matches!(without, Err(Failure::Rejected(_))), "{without:?}");
    }
    own.commit().await.unwrap();
    let outside =
        shop.world.commands().confirm_payment(account, placed.id, &host(), None, Some(request)).await.unwrap();
    assert!(outside.replayed);
    shop.assert_whole(&placed, true).await;
}

async fn the_identical_change_set_lands_once_inside_and_outside(shop: Shop) {
    let placed = shop.place().await;
    let change = shop.confirmation(&placed).await;
    let mut own = shop.begin().await;
    let first = own.bound().storage().commit(&change).await.unwrap();
    assert_eq!(own.bound().storage().commit(&change).await.unwrap(), first);
    own.rollback().await;
    assert_eq!(shop.world.storage.outcome(placed.account_id, change.id).await.unwrap(), None);

    let mut own = shop.begin().await;
    own.bound().storage().commit(&change).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.world.storage.commit(&change).await.unwrap(), first);
    let mut own = shop.begin().await;
    assert_eq!(own.bound().storage().commit(&change).await.unwrap(), first);
    own.commit().await.unwrap();
    shop.assert_whole(&placed, true).await;
}

async fn a_savepoint_of_the_hosts_takes_the_librarys_change_with_it(shop: Shop) {
    let (kept, undone) = (shop.place().await, shop.place().await);
    // The names that the adapters use themselves.
    for name in ["serront", "work"] {
        let mut own = shop.begin().await;
        own.execute(&format!("SAVEPOINT {name}")).await.unwrap();
        own.note("undone").await;
        own.confirm(&shop.world, &undone).await.unwrap();
        own.execute(&format!("ROLLBACK TO SAVEPOINT {name}")).await.unwrap();
        own.execute(&format!("RELEASE SAVEPOINT {name}")).await.unwrap();
        own.note(name).await;
        own.commit().await.unwrap();
    }
    let mut own = shop.begin().await;
    own.confirm(&shop.world, &kept).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["serront", "work"]);
    shop.assert_whole(&undone, false).await;
    shop.assert_whole(&kept, true).await;
}

/// A future that is given up after it was polled so many times.
struct Polls<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}

async fn a_command_dropped_in_the_middle_leaves_nothing_half_done(shop: Shop) {
    for left in 0.. {
        let placed = shop.place().await;
        let mut own = shop.begin().await;
        let note = format!("{:03}", placed.number.0);
        own.note(&note).await;
        let finished = Polls { future: Box::pin(own.confirm(&shop.world, &placed)), left }.await.is_some();
        // Going on all the same is wrong of the host, and still leaves all or nothing.
        let committed = own.commit().await.is_ok();
        assert!(committed || !finished);
        let confirmed = shop.payment(&placed).await == PaymentStatus::PaymentConfirmed;
        assert!(confirmed || !finished);
        let noted = shop.notes().await.contains(&note);
        assert!(noted || !confirmed, "the library's change without the host's row");
        shop.assert_whole(&placed, confirmed).await;
        if finished {
            return;
        }
    }
}

async fn a_transaction_can_be_used_from_a_task_of_its_own(shop: Shop) {
    let placed = shop.place().await;
    let shop = Arc::new(shop);
    let shared = Arc::clone(&shop);
    let order = placed.clone();
    let task = tokio::spawn(async move {
        let mut own = shared.begin().await;
        own.note("note").await;
        own.confirm(&shared.world, &order).await.unwrap();
        own.commit().await.unwrap();
    });
    task.await.unwrap();
    assert_eq!(shop.notes().await, ["note"]);
    shop.assert_whole(&placed, true).await;
}

/// Somebody else confirms, in a task.
fn confirming(shop: &Arc<Shop>, placed: &Placed) -> JoinHandle<Result<(), Failure>> {
    let (shop, placed) = (Arc::clone(shop), placed.clone());
    tokio::spawn(async move {
        let commands = shop.world.commands();
        commands.confirm_payment(placed.account_id, placed.id, &host(), None, None).await.map(drop)
    })
}

fn kind<T: std::fmt::Debug>(result: Result<T, Failure>) -> PortErrorKind {
    match result {
        Err(Failure::Port { error, .. }) => error.kind(),
        other => panic!("not a port's failure: {other:?}"),
    }
}

mod on_sqlite {
    use super::*;

    fn storage(shop: &Shop) -> &SqliteStorage {
        let Database::Sqlite { storage, .. } = &shop.database else { panic!("another engine") };
        storage
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn others_wait_for_the_host_and_then_succeed() {
        let shop = Arc::new(Shop::open(Engine::Sqlite).await);
        let (placed, other) = (shop.place().await, shop.place().await);
        let mut own = shop.begin().await;
        own.confirm(&shop.world, &placed).await.unwrap();
        let others = confirming(&shop, &other);
        own.note("note").await;
        assert!(!others.is_finished());
        own.commit().await.unwrap();
        others.await.unwrap().unwrap();
        shop.assert_whole(&placed, true).await;
        shop.assert_whole(&other, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_out_of_time_is_rolled_back_and_others_go_on() {
        let shop = Arc::new(Shop::open(Engine::Sqlite).await);
        let (placed, other) = (shop.place().await, shop.place().await);
        let mut own = shop.begin_for(Duration::from_millis(300)).await;
        own.note("note").await;
        own.confirm(&shop.world, &placed).await.unwrap();
        // Ends when the host's time is over, and not before.
        confirming(&shop, &other).await.unwrap().unwrap();
        assert_eq!(kind(own.confirm(&shop.world, &placed).await), PortErrorKind::Transient);
        let read = own.bound().commands(shop.world.environment()).order(placed.account_id, placed.id).await;
        assert_eq!(kind(read), PortErrorKind::Transient);
        assert!(own.execute("INSERT INTO notes (note) VALUES ('late')").await.is_err());
        let Own::Sqlite(transaction) = own else { panic!("another engine") };
        assert_eq!(transaction.commit().await.unwrap_err().kind(), PortErrorKind::Transient);
        assert_eq!(shop.notes().await, [""; 0]);
        shop.assert_whole(&placed, false).await;
        shop.assert_whole(&other, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_statement_that_does_not_end_is_stopped_when_the_time_is_over() {
        let shop = Arc::new(Shop::open(Engine::Sqlite).await);
        let placed = shop.place().await;
        let mut own = shop.begin_for(Duration::from_millis(300)).await;
        own.note("note").await;
        let endless = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
        assert!(own.execute(endless).await.is_err());
        confirming(&shop, &placed).await.unwrap().unwrap();
        assert_eq!(shop.notes().await, [""; 0]);
        shop.assert_whole(&placed, true).await;
    }

    /// The engine ends a transaction by itself when the disk is full, for one; each further statement would be durable alone.
    #[tokio::test(flavor = "multi_thread")]
    async fn after_the_engine_has_rolled_back_nothing_becomes_durable() {
        let shop = Arc::new(Shop::open(Engine::Sqlite).await);
        let placed = shop.place().await;
        for ending in ["INSERT OR ROLLBACK INTO notes (note) VALUES ('once')", "ROLLBACK", "COMMIT"] {
            let own = storage(&shop).begin(LONG).await.unwrap();
            own.run(async |connection| {
                sqlx::query("INSERT INTO notes (note) VALUES ('once')").execute(&mut *connection).await.unwrap();
                let _ = sqlx::query(ending).execute(&mut *connection).await;
                let alone = sqlx::query("INSERT INTO notes (note) VALUES ('alone')").execute(&mut *connection).await;
                assert!(alone.is_err(), "{ending}");
            })
            .await
            .unwrap();
            let commands = Commands::bound(&own, shop.world.environment());
            let confirmed = commands.confirm_payment(placed.account_id, placed.id, &host(), None, None).await;
            assert_eq!(kind(confirmed), PortErrorKind::Transient, "{ending}");
            assert_eq!(own.commit().await.unwrap_err().kind(), PortErrorKind::Transient, "{ending}");
            assert_eq!(shop.notes().await, [""; 0], "{ending}");
            shop.assert_whole(&placed, false).await;
        }
        confirming(&shop, &placed).await.unwrap().unwrap();
        shop.assert_whole(&placed, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn others_have_a_turn_between_two_hosts() {
        let shop = Arc::new(Shop::open(Engine::Sqlite).await);
        let placed = shop.place().await;
        let change = shop.confirmation(&placed).await;
        let first = storage(&shop).begin(LONG).await.unwrap();
        // Polled once, each is in the writer's queue.
        let (mut second, mut third) = (pin!(storage(&shop).begin(LONG)), pin!(storage(&shop).begin(LONG)));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        first.rollback().await;
        let second = second.await.unwrap();
        let mut others = pin!(shop.world.storage.commit(&change));
        assert!(futures_util::poll!(&mut others).is_pending());
        second.rollback().await;
        others.await.unwrap();
        third.await.unwrap().rollback().await;
        shop.assert_whole(&placed, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn any_time_is_accepted() {
        let shop = Shop::open(Engine::Sqlite).await;
        storage(&shop).begin(Duration::MAX).await.unwrap().commit().await.unwrap();
        let none = storage(&shop).begin(Duration::ZERO).await.unwrap();
        // Though it is held.
        shop.place().await;
        drop(none);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn closing_waits_for_the_host() {
        let shop = Arc::new(Shop::open(Engine::Sqlite).await);
        let own = storage(&shop).begin(LONG).await.unwrap();
        let closing = Arc::clone(&shop);
        let closing = tokio::spawn(async move { storage(&closing).close().await });
        own.run(async |connection| {
            sqlx::query("INSERT INTO notes (note) VALUES ('note')").execute(connection).await.unwrap();
        })
        .await
        .unwrap();
        assert!(!closing.is_finished());
        own.commit().await.unwrap();
        closing.await.unwrap();
        assert_eq!(storage(&shop).begin(LONG).await.unwrap_err().kind(), PortErrorKind::Permanent);
        assert_eq!(shop.notes().await, ["note"]);
    }
}

mod on_postgres {
    use tokio::sync::Barrier;

    use super::*;

    const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

    fn database(shop: &Shop) -> (&PostgresStorage, &PgPool) {
        let Database::Postgres { storage, pool, .. } = &shop.database else { panic!("another engine") };
        (storage, pool)
    }

    /// Waits until so many sessions wait for a lock on a row of this shop's.
    async fn until_waiting(shop: &Shop, sessions: i64) {
        let Database::Postgres { pool, schema, .. } = &shop.database else { panic!("another engine") };
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(DISTINCT w.pid) FROM pg_locks w JOIN pg_locks h ON h.pid = w.pid AND h.locktype = 'relation' \
                 JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE NOT w.granted AND n.nspname = $1",
            )
            .bind(schema)
            .fetch_one(pool)
            .await
            .unwrap();
            if waiting >= sessions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn others_wait_for_the_hosts_lock_and_decide_anew_when_it_ends_in_time() {
        for commits in [false, true] {
            let shop = Arc::new(Shop::open(Engine::Postgres).await);
            let placed = shop.place().await;
            let mut own = shop.begin().await;
            own.confirm(&shop.world, &placed).await.unwrap();
            let other = confirming(&shop, &placed);
            until_waiting(&shop, 1).await;
            if commits {
                own.commit().await.unwrap()
            } else {
                own.rollback().await
            }
            let other = other.await.unwrap();
            if commits {
                assert!(matches!(other, Err(Failure::Rejected(Rejection::InvalidTransition { .. }))), "{other:?}");
            } else {
                other.unwrap();
            }
            shop.assert_whole(&placed, true).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn others_are_told_that_it_is_busy_when_the_host_takes_too_long() {
        let shop = Arc::new(Shop::open_with(Engine::Postgres, Duration::from_millis(200)).await);
        let placed = shop.place().await;
        let mut own = shop.begin().await;
        own.confirm(&shop.world, &placed).await.unwrap();
        let others: Vec<_> = (0..4).map(|_| confirming(&shop, &placed)).collect();
        for other in others {
            let told = other.await.unwrap();
            assert!(matches!(told, Err(Failure::Busy)), "{told:?}");
        }
        own.commit().await.unwrap();
        shop.assert_whole(&placed, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_wait_for_a_host_do_not_hold_others_up() {
        let shop = Arc::new(Shop::open(Engine::Postgres).await);
        let placed = shop.place().await;
        let mut own = shop.begin().await;
        own.confirm(&shop.world, &placed).await.unwrap();
        let waiting: Vec<_> = (0..12).map(|_| confirming(&shop, &placed)).collect();
        // Of one account one tries at a time.
        until_waiting(&shop, 1).await;
        // The host ends only when the others are through.
        for _ in 0..8 {
            let mut own = shop.begin().await;
            own.note("note").await;
            own.rollback().await;
            let input = StorefrontInput { bio: Some("Baru.".to_owned()), ..storefront_input("studio") };
            shop.world.commands().put_storefront(shop.seller.account_id, &input, None).await.unwrap();
        }
        own.commit().await.unwrap();
        for other in waiting {
            let other = other.await.unwrap();
            assert!(matches!(other, Err(Failure::Rejected(Rejection::InvalidTransition { .. }))), "{other:?}");
        }
        shop.assert_whole(&placed, true).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_level_commits_and_reports_what_changed_meanwhile() {
        for level in LEVELS {
            let shop = Arc::new(Shop::open(Engine::Postgres).await);
            let (placed, other) = (shop.place().await, shop.place().await);
            let mut own = shop.begin_with(level).await;
            own.note("note").await;
            own.confirm(&shop.world, &other).await.unwrap();
            shop.world.commands().claim_payment(&placed.token).await.unwrap();
            // Above READ COMMITTED the transaction has its snapshot from before the claim.
            let decided = own.confirm(&shop.world, &placed).await;
            if level == "READ COMMITTED" {
                decided.unwrap();
            } else {
                assert!(matches!(decided, Err(Failure::Conflict)), "{level}: {decided:?}");
                let again = own.confirm(&shop.world, &placed).await;
                assert!(matches!(again, Err(Failure::Conflict)), "{level}: {again:?}");
            }
            own.execute("SELECT 1").await.unwrap();
            own.commit().await.unwrap();
            assert_eq!(shop.notes().await, ["note"]);
            shop.assert_whole(&other, true).await;

            if level != "READ COMMITTED" {
                let mut own = shop.begin_with(level).await;
                own.confirm(&shop.world, &placed).await.unwrap();
                own.commit().await.unwrap();
            }
            assert_eq!(shop.payment(&placed).await, PaymentStatus::PaymentConfirmed);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_hosts_on_one_order_one_wins_at_each_level() {
        for level in LEVELS {
            let shop = Arc::new(Shop::open(Engine::Postgres).await);
            let placed = shop.place().await;
            let mut first = shop.begin_with(level).await;
            first.note("first").await;
            first.confirm(&shop.world, &placed).await.unwrap();
            let (shared, order) = (Arc::clone(&shop), placed.clone());
            let second = tokio::spawn(async move {
                let mut second = shared.begin_with(level).await;
                second.note("second").await;
                let refused = second.confirm(&shared.world, &order).await;
                assert!(matches!(refused, Err(Failure::Conflict)), "{level}: {refused:?}");
                second.rollback().await;
            });
            until_waiting(&shop, 1).await;
            first.commit().await.unwrap();
            second.await.unwrap();
            assert_eq!(shop.notes().await, ["first"]);
            shop.assert_whole(&placed, true).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_hosts_in_opposite_order_one_is_the_victim_and_begins_anew() {
        let shop = Arc::new(Shop::open(Engine::Postgres).await);
        let orders = [shop.place().await, shop.place().await];
        let barrier = Arc::new(Barrier::new(2));
        let hosts = [[0, 1], [1, 0]].map(|[first, then]| {
            let (shop, orders, barrier) = (Arc::clone(&shop), orders.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                let patch = |price: i64| serde_json::from_str(&format!(r#"{{"quotedPriceIdr": {price}}}"#)).unwrap();
                let mut victim = 0;
                loop {
                    let mut own = shop.begin().await;
                    own.note(&format!("host {first}")).await;
                    let outcome = {
                        let bound = own.bound();
                        let commands = bound.commands(shop.world.environment());
                        let account = orders[first].account_id;
                        commands.patch_order(account, orders[first].id, patch(900_000), &host(), None).await.unwrap();
                        if victim == 0 {
                            barrier.wait().await;
                        }
                        commands.patch_order(account, orders[then].id, patch(950_000), &host(), None).await
                    };
                    match outcome {
                        Ok(_) => {
                            own.commit().await.unwrap();
                            return victim;
                        }
                        Err(Failure::Conflict) => {
                            victim += 1;
                            own.rollback().await;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        });
        let mut victims = 0;
        for host in hosts {
            victims += host.await.unwrap();
        }
        // The other host may have met the winner's new version when it was let on: a conflict too.
        assert!(victims >= 1, "{victims}");
        assert_eq!(shop.notes().await, ["host 0", "host 1"]);
        for placed in &orders {
            let record = shop.world.commands().audit(placed.account_id, placed.id).await.unwrap();
            assert_eq!(record.len(), 3);
            assert_eq!(shop.snapshot(&*shop.world.storage, placed).await.order.state.version.0, 3);
        }
    }

    /// Each reads the order that the other confirms: no row is written by both, and yet they can't both be right.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_serializable_refuses_leaves_neither() {
        let shop = Arc::new(Shop::open(Engine::Postgres).await);
        let orders = [shop.place().await, shop.place().await];
        let mut owns = [shop.begin_with("SERIALIZABLE").await, shop.begin_with("SERIALIZABLE").await];
        for (own, read) in owns.iter_mut().zip([1, 0]) {
            let bound = own.bound();
            let commands = bound.commands(shop.world.environment());
            commands.order(orders[read].account_id, orders[read].id).await.unwrap();
        }
        let mut confirmed = Vec::new();
        for ((at, mut own), placed) in owns.into_iter().enumerate().zip(&orders) {
            own.note(&format!("host {at}")).await;
            let decided = own.confirm(&shop.world, placed).await.is_ok();
            let committed = decided && own.commit().await.is_ok();
            shop.assert_whole(placed, committed).await;
            if committed {
                confirmed.push(format!("host {at}"));
            }
        }
        assert_eq!(confirmed.len(), 1);
        assert_eq!(shop.notes().await, confirmed);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_lost_in_the_middle_leaves_neither() {
        let shop = Arc::new(Shop::open(Engine::Postgres).await);
        let (_, pool) = database(&shop);
        let placed = shop.place().await;
        for reads_first in [false, true] {
            let mut own = shop.begin().await;
            own.note("note").await;
            let change = shop.confirmation(&placed).await;
            own.bound().storage().commit(&change).await.unwrap();
            let Own::Postgres { transaction, .. } = &mut own else { panic!("another engine") };
            let session: i32 =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut **transaction).await.unwrap();
            sqlx::query("SELECT pg_terminate_backend($1, 10000)").bind(session).execute(pool).await.unwrap();
            if reads_first {
                let read = own.bound().commands(shop.world.environment()).order(placed.account_id, placed.id).await;
                assert_eq!(kind(read), PortErrorKind::Transient);
            }
            match own.bound().storage().commit(&change).await {
                Err(CommitError::Port(error)) => assert_eq!(error.kind(), PortErrorKind::Transient),
                other => panic!("{other:?}"),
            }
            assert!(own.commit().await.is_err());
            assert_eq!(shop.world.storage.outcome(placed.account_id, change.id).await.unwrap(), None);
            assert_eq!(shop.notes().await, [""; 0]);
            shop.assert_whole(&placed, false).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_transaction_every_commit_is_refused() {
        let shop = Shop::open(Engine::Postgres).await;
        let (storage, pool) = database(&shop);
        let placed = shop.place().await;
        let mut connection = pool.acquire().await.unwrap();
        let bound = storage.bind(&mut connection);
        let commands = Commands::bound(&bound, shop.world.environment());
        let refused = commands.confirm_payment(placed.account_id, placed.id, &host(), None, None).await;
        assert_eq!(kind(refused), PortErrorKind::Permanent);
        shop.assert_whole(&placed, false).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bound_storage_refuses_what_follows_a_dropped_command() {
        let shop = Shop::open(Engine::Postgres).await;
        let placed = shop.place().await;
        let change = shop.confirmation(&placed).await;
        let mut own = shop.begin().await;
        {
            let bound = own.bound();
            assert!(Polls { future: Box::pin(bound.storage().commit(&change)), left: 1 }.await.is_none());
            let read = bound.commands(shop.world.environment()).order(placed.account_id, placed.id).await;
            assert_eq!(kind(read), PortErrorKind::Permanent);
        }
        own.rollback().await;
        shop.assert_whole(&placed, false).await;
    }
}
