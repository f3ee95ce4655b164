//! A transaction that the host shares with the library: both changes are committed, or neither. `both_engines` has the
//! tests for both engines, `on_sqlite` and `on_postgres` those for one.
#![cfg(all(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod both_engines;
mod on_postgres;
mod on_sqlite;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use serront_adapters::postgres::{BoundPostgres, PostgresOptions, PostgresStorage};
use serront_adapters::sqlite::{BoundSqlite, SqliteStorage};
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
use sqlx::sqlite::SqliteTransaction;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Longer than any of these tests, so that it never ends.
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

/// A seller's shop in a database that also has a table of the host's.
struct Shop {
    world: World<dyn WorkStorage>,
    seller: Seller,
    database: Database,
}

/// The host's transaction, on a connection of its own pool.
enum Own<'s> {
    Sqlite { storage: &'s SqliteStorage, transaction: SqliteTransaction<'static> },
    Postgres { storage: &'s PostgresStorage, transaction: PgTransaction<'static>, schema: &'s str },
}

enum Bound<'t> {
    Sqlite(BoundSqlite<'t>),
    Postgres(BoundPostgres<'t>),
}

impl Bound<'_> {
    fn storage(&self) -> &dyn Storage {
        match self {
            Self::Sqlite(bound) => bound,
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
        match &self.database {
            Database::Sqlite { storage, pool, .. } => {
                Own::Sqlite { storage, transaction: pool.begin_with("BEGIN IMMEDIATE").await.unwrap() }
            }
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

    /// The host's committed rows.
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

    /// Asserts that the order is confirmed with one mail, one event and one record, or has none of them.
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
            Self::Sqlite { storage, transaction } => Bound::Sqlite(storage.bind(transaction)),
            Self::Postgres { storage, transaction, .. } => Bound::Postgres(storage.bind(transaction)),
        }
    }

    /// Runs a statement of the host's.
    async fn execute(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite { transaction, .. } => {
                let sql = AssertSqlSafe(sql.replace("@.", ""));
                sqlx::query(sql).execute(&mut **transaction).await.map(drop).map_err(|error| error.to_string())
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
            Self::Sqlite { transaction, .. } => transaction.commit().await.map_err(|error| error.to_string()),
            Self::Postgres { transaction, .. } => transaction.commit().await.map_err(|error| error.to_string()),
        }
    }

    async fn rollback(self) {
        match self {
            Self::Sqlite { transaction, .. } => transaction.rollback().await.unwrap(),
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

/// A future that is dropped after this many polls.
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

/// Confirms outside the host's transaction, in a task.
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

/// Expands to one test per function and engine.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            use crate::both_engines;

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                both_engines::$name(crate::Shop::open(crate::Engine::Sqlite).await).await;
            })+
        }
        mod postgres {
            use crate::both_engines;

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                both_engines::$name(crate::Shop::open(crate::Engine::Postgres).await).await;
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
