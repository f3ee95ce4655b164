//! Faults of disks and other processes under the SQLite storage: no partial change, no wrong answer, and normal
//! operation afterwards.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::orders::audit::Act;
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::{OrderReads as _, PortErrorKind};
use serront_core::primitives::rejection::Code;
use serront_core::service::Failure;
use serront_core::snapshots::OrderKey;
use serront_testkit::memory::ManualClock;
use serront_testkit::world::{Placed, Seller, World, host};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

/// Longer than any of these tests, so that it never ends.
const LONG: Duration = Duration::from_secs(600);

/// Time limit for calls that must end.
const BOUND: Duration = Duration::from_secs(60);

/// A seller's shop in a separate file.
struct Shop {
    world: Arc<World<SqliteStorage>>,
    seller: Seller,
    folder: TempDir,
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("it does not end"))
}

impl Shop {
    async fn open() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::default());
        let storage = SqliteStorage::open(&folder.path().join("test.db"), clock.clone()).await.unwrap();
        let world = Arc::new(World::over(Arc::new(storage), clock));
        let seller = world.seller("studio").await;
        world.subscribe(&seller, "https://hooks.example.com/a", &["serront.order.payment_confirmed.v1"]).await;
        Self { world, seller, folder }
    }

    /// The same file under a new storage.
    async fn reopened(self) -> Self {
        let Self { world, seller, folder } = self;
        let world = reopened(&world, &folder.path().join("test.db")).await;
        Self { world, seller, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    async fn place(&self, count: usize) -> Vec<Placed> {
        let mut placed = Vec::new();
        for index in 0..count {
            placed.push(self.world.place(&self.seller, &format!("Budi {index}")).await);
        }
        placed
    }

    /// Sets something on the one connection that writes.
    async fn writer(&self, pragma: &str) {
        let sql = format!("PRAGMA {pragma}");
        let set = self.world.storage.transaction(LONG, move |transaction| {
            transaction.run(|connection| connection.execute_batch(&sql)).map(Result::unwrap)
        });
        set.await.unwrap();
    }

    async fn assert_whole(&self, placed: &Placed, confirmed: bool) {
        let key = OrderKey::Id(placed.account_id, placed.id);
        let snapshot = within(self.world.storage.order(key, None)).await.unwrap().unwrap();
        assert_eq!(snapshot.payment.state.status == PaymentStatus::PaymentConfirmed, confirmed);
        let trail = self.world.storage.audit(placed.account_id, placed.id).await.unwrap();
        let payments = trail.iter().filter(|record| matches!(record.act, Act::Payment { .. })).count();
        assert_eq!(payments, usize::from(confirmed), "audit");
    }

    /// Every one of these is confirmed, once, with one mail and one event.
    async fn assert_all_confirmed(&self, placed: &[Placed]) {
        for order in placed {
            self.assert_whole(order, true).await;
        }
        // A mail and a delivery for each.
        assert_eq!(within(self.world.dispatch_all()).await, placed.len() * 2);
        let mails = self.world.mailbox.messages();
        let ids: BTreeSet<_> = mails.iter().map(|mail| mail.id).collect();
        assert_eq!((mails.len(), ids.len()), (placed.len(), placed.len()));
    }
}

async fn reopened(world: &World<SqliteStorage>, file: &Path) -> Arc<World<SqliteStorage>> {
    let clock = Arc::clone(&world.clock);
    let storage = within(SqliteStorage::open(file, clock.clone())).await.unwrap();
    Arc::new(World { ids: Arc::clone(&world.ids), ..World::over(Arc::new(storage), clock) })
}

async fn confirm(world: &World<SqliteStorage>, placed: &Placed) -> Result<(), Failure> {
    within(world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None)).await.map(drop)
}

fn is_refused(failure: &Failure) -> bool {
    matches!(failure, Failure::Rejected(rejection) if rejection.code() == Code::InvalidTransition)
}

/// Confirms all of them at the same time and answers each result.
async fn crowd(world: &Arc<World<SqliteStorage>>, placed: &[Placed]) -> Vec<Result<(), Failure>> {
    let running = placed.iter().map(|order| {
        let (world, order) = (Arc::clone(world), order.clone());
        tokio::spawn(async move { confirm(&world, &order).await })
    });
    join_all(running).await.into_iter().map(Result::unwrap).collect()
}

fn kind(result: Result<(), Failure>) -> PortErrorKind {
    match result {
        Err(Failure::Port { error, .. }) => error.kind(),
        other => panic!("{other:?}"),
    }
}

/// The file may not grow: what a full disk is to the engine. Some fit into pages that are there already.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_half_done() {
    let shop = Shop::open().await;
    let placed = shop.place(200).await;
    // Less than there is means: what there is.
    shop.writer("max_page_count = 1").await;
    let mut landed = BTreeSet::new();
    let (alone, together) = placed.split_at(100);
    for order in alone {
        match confirm(&shop.world, order).await {
            Ok(()) => {
                landed.insert(order.id);
            }
            failed => assert_eq!(kind(failed), PortErrorKind::Transient),
        }
    }
    for (order, answer) in together.iter().zip(crowd(&shop.world, together).await) {
        match answer {
            Ok(()) => {
                landed.insert(order.id);
            }
            failed => assert_eq!(kind(failed), PortErrorKind::Transient),
        }
    }
    assert!(landed.len() < 150, "{} landed on a full disk", landed.len());
    for order in &placed {
        shop.assert_whole(order, landed.contains(&order.id)).await;
    }
    shop.writer("max_page_count = 1000000").await;
    for (order, answer) in placed.iter().zip(crowd(&shop.world, &placed).await) {
        assert_eq!(answer.is_ok(), !landed.contains(&order.id), "{answer:?}");
    }
    shop.assert_all_confirmed(&placed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_is_read_and_not_written() {
    let shop = Shop::open().await;
    let placed = shop.place(12).await;
    shop.writer("query_only = on").await;
    assert_eq!(kind(confirm(&shop.world, &placed[0]).await), PortErrorKind::Transient);
    for answer in crowd(&shop.world, &placed).await {
        assert_eq!(kind(answer), PortErrorKind::Transient);
    }
    for order in &placed {
        shop.assert_whole(order, false).await;
    }
    // No transaction can begin, so the storage must be opened again, as after a mount.
    shop.world.storage.close().await;
    let shop = shop.reopened().await;
    for answer in crowd(&shop.world, &placed).await {
        answer.unwrap();
    }
    shop.assert_all_confirmed(&placed).await;
}

/// Another process holds its write lock. All calls are answered as busy, together and not one after the other, and
/// reads still work.
#[tokio::test(flavor = "multi_thread")]
async fn behind_another_process_callers_are_told_that_it_is_busy() {
    let shop = Shop::open().await;
    let placed = shop.place(100).await;
    let options = SqliteConnectOptions::new().filename(shop.file());
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let other = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for answer in crowd(&shop.world, &placed).await {
        assert!(matches!(answer, Err(Failure::Busy)), "{answer:?}");
    }
    for order in &placed {
        shop.assert_whole(order, false).await;
    }
    other.rollback().await.unwrap();
    for answer in crowd(&shop.world, &placed).await {
        answer.unwrap();
    }
    shop.assert_all_confirmed(&placed).await;
}

/// The storage is closed and opened again while workers confirm: what was acknowledged is there, and everything is there
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn a_storage_reopened_under_load_keeps_what_it_acknowledged() {
    let shop = Shop::open().await;
    let placed = shop.place(120).await;
    let current = Arc::new(std::sync::RwLock::new(Arc::clone(&shop.world)));
    let done = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (current, done) = (Arc::clone(&current), Arc::clone(&done));
            // Each order is for two workers.
            let mine: Vec<Placed> = placed
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 4 == worker % 4)
                .map(|(_, order)| order.clone())
                .collect();
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for order in mine {
                    loop {
                        let world = Arc::clone(&current.read().unwrap());
                        match confirm(&world, &order).await {
                            Ok(()) => acknowledged.push(order.id),
                            Err(failure) if is_refused(&failure) => {}
                            Err(Failure::Port { .. } | Failure::Busy) => {
                                tokio::time::sleep(Duration::from_millis(2)).await;
                                continue;
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                        break;
                    }
                }
                acknowledged
            })
        })
        .collect();
    for reached in [20, 80, 140] {
        within(async {
            while done.load(Ordering::SeqCst) < reached {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let before = Arc::clone(&current.read().unwrap());
        before.storage.close().await;
        let after = reopened(&before, &shop.file()).await;
        *current.write().unwrap() = after;
    }
    let mut acknowledged = Vec::new();
    for worker in workers {
        acknowledged.extend(within(worker).await.unwrap());
    }
    let once: BTreeSet<_> = acknowledged.iter().copied().collect();
    assert_eq!(once.len(), acknowledged.len(), "no confirmation was acknowledged twice");
    let world = Arc::clone(&current.read().unwrap());
    Shop { world, ..shop }.assert_all_confirmed(&placed).await;
}
