//! The host's transaction on the writer's thread, and what others wait for.

use std::convert::Infallible;
use std::sync::mpsc;

use serront_adapters::sqlite::SqliteTransaction as Transaction;
use serront_core::ports::{Commits as _, PortError};

use super::*;

fn storage(shop: &Shop) -> &SqliteStorage {
    let Database::Sqlite { storage, .. } = &shop.database else { panic!("another engine") };
    storage
}

/// Why a transaction of the host ended.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the host changed its mind")]
    Host,
    #[error(transparent)]
    Payment(#[from] Failure),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

impl Trouble {
    fn kind(&self) -> Option<PortErrorKind> {
        match self {
            Self::Port(error) => Some(error.kind()),
            Self::Payment(Failure::Port { error, .. }) => Some(error.kind()),
            Self::Host | Self::Payment(_) | Self::Database(_) => None,
        }
    }
}

fn kind_of<T: std::fmt::Debug>(result: Result<T, Trouble>) -> PortErrorKind {
    match result {
        Err(trouble) => trouble.kind().unwrap_or_else(|| panic!("not a port's failure: {trouble:?}")),
        Ok(done) => panic!("done: {done:?}"),
    }
}

fn note(transaction: &Transaction<'_>, note: &str) -> Result<(), Trouble> {
    transaction.run(|connection| connection.execute("INSERT INTO notes (note) VALUES (?1)", [note]))??;
    Ok(())
}

/// Confirms inside the transaction.
fn confirm(shop: &Shop, transaction: &Transaction<'_>, placed: &Placed) -> Result<(), Trouble> {
    let commands = Commands::bound(transaction, shop.world.environment());
    transaction.complete(commands.confirm_payment(placed.account_id, placed.id, &host(), None, None))?;
    Ok(())
}

/// Notes and confirms in one transaction, which then ends so.
async fn noted_and_confirmed(
    shop: &Arc<Shop>,
    placed: &Placed,
    end: impl FnOnce(&Transaction<'_>) -> Result<(), Trouble> + Send + 'static,
) -> Result<(), Trouble> {
    let (inside, placed) = (Arc::clone(shop), placed.clone());
    storage(shop)
        .transaction(LONG, move |transaction| {
            note(transaction, "note")?;
            confirm(&inside, transaction, &placed)?;
            end(transaction)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payment_and_the_hosts_row_are_durable_together_or_not_at_all() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let placed = shop.place().await;
    let refused = noted_and_confirmed(&shop, &placed, |_| Err(Trouble::Host)).await;
    assert!(matches!(refused, Err(Trouble::Host)), "{refused:?}");
    assert_eq!(shop.notes().await, [""; 0]);
    assert_eq!(shop.world.next_due().await, None);
    shop.assert_whole(&placed, false).await;
    noted_and_confirmed(&shop, &placed, |_| Ok(())).await.unwrap();
    assert_eq!(shop.notes().await, ["note"]);
    shop.assert_whole(&placed, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_undoes_the_transaction_and_the_writer_goes_on() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let placed = shop.place().await;
    let panicked = noted_and_confirmed(&shop, &placed, |_| panic!("a bug of the host")).await;
    assert_eq!(kind_of(panicked), PortErrorKind::Permanent);
    assert_eq!(shop.notes().await, [""; 0]);
    shop.assert_whole(&placed, false).await;
    confirming(&shop, &placed).await.unwrap().unwrap();
    shop.assert_whole(&placed, true).await;
}

/// Holds the writer until the sender is dropped.
async fn held(shop: &Arc<Shop>) -> (mpsc::Sender<Infallible>, JoinHandle<Result<(), Trouble>>) {
    let ((hold, held), (begun, began)) = (mpsc::channel(), tokio::sync::oneshot::channel());
    let shop = Arc::clone(shop);
    let task = tokio::spawn(async move {
        let work = move |_: &Transaction<'_>| {
            begun.send(()).unwrap();
            let _ = held.recv();
            Ok(())
        };
        storage(&shop).transaction(LONG, work).await
    });
    began.await.unwrap();
    (hold, task)
}

/// What waits in one queue shares a transaction, so these would fail together if they did not fail alone.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_others_share_a_commit_and_each_fails_alone() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let orders = [shop.place().await, shop.place().await, shop.place().await, shop.place().await];
    let stale = shop.confirmation(&orders[3]).await;
    shop.world.commands().claim_payment(&orders[3].token).await.unwrap();
    let (hold, holding) = held(&shop).await;
    let hosts: Vec<_> = orders[..3]
        .iter()
        .enumerate()
        .map(|(at, placed)| {
            let (shop, inside, placed) = (Arc::clone(&shop), Arc::clone(&shop), placed.clone());
            tokio::spawn(async move {
                let work = move |transaction: &Transaction<'_>| {
                    note(transaction, &at.to_string())?;
                    confirm(&inside, transaction, &placed)?;
                    if at == 1 { Err(Trouble::Host) } else { Ok(()) }
                };
                storage(&shop).transaction(LONG, work).await
            })
        })
        .collect();
    let other = {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move { shop.world.storage.commit(&stale).await })
    };
    drop(hold);
    holding.await.unwrap().unwrap();
    let mut ended = Vec::new();
    for host in hosts {
        ended.push(host.await.unwrap().is_ok());
    }
    assert_eq!(ended, [true, false, true]);
    let other = other.await.unwrap();
    assert!(matches!(other, Err(CommitError::Conflict)), "{other:?}");
    assert_eq!(shop.notes().await, ["0", "2"]);
    for (placed, confirmed) in orders.iter().zip([true, false, true, false]) {
        let payment = shop.payment(placed).await;
        assert_eq!(payment == PaymentStatus::PaymentConfirmed, confirmed, "{payment:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_does_not_end_is_stopped_when_the_time_is_over() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let placed = shop.place().await;
    let stopped = storage(&shop)
        .transaction(Duration::from_millis(300), |transaction| {
            note(transaction, "note")?;
            let endless = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
            let counted =
                transaction.run(|connection| connection.query_row(endless, [], |row| row.get::<_, i64>(0)))?;
            assert!(counted.is_err());
            Ok::<_, Trouble>(())
        })
        .await;
    assert_eq!(kind_of(stopped), PortErrorKind::Transient);
    confirming(&shop, &placed).await.unwrap().unwrap();
    assert_eq!(shop.notes().await, [""; 0]);
    shop.assert_whole(&placed, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_out_of_time_is_rolled_back_and_refused() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let (placed, inside) = (shop.place().await, Arc::clone(&shop));
    let order = placed.clone();
    let late = storage(&shop)
        .transaction(Duration::ZERO, move |transaction| {
            assert_eq!(kind_of(note(transaction, "late")), PortErrorKind::Transient);
            assert_eq!(kind_of(confirm(&inside, transaction, &order)), PortErrorKind::Transient);
            Ok::<_, Trouble>(())
        })
        .await;
    assert_eq!(kind_of(late), PortErrorKind::Transient);
    storage(&shop).transaction(Duration::MAX, |transaction| note(transaction, "in time")).await.unwrap();
    assert_eq!(shop.notes().await, ["in time"]);
    shop.assert_whole(&placed, false).await;
}

/// The engine may end a transaction itself, for example when the disk is full; later statements would then be durable
/// alone.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_engine_has_rolled_back_nothing_becomes_durable() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let placed = shop.place().await;
    for ending in ["INSERT OR ROLLBACK INTO notes (note) VALUES ('once')", "ROLLBACK", "COMMIT"] {
        let (inside, order) = (Arc::clone(&shop), placed.clone());
        let ended = storage(&shop)
            .transaction(LONG, move |transaction| {
                transaction.run(|connection| {
                    connection.execute("INSERT INTO notes (note) VALUES ('once')", []).unwrap();
                    let _ = connection.execute(ending, []);
                    let alone = connection.execute("INSERT INTO notes (note) VALUES ('alone')", []);
                    assert!(alone.is_err(), "{ending}");
                })?;
                assert_eq!(kind_of(confirm(&inside, transaction, &order)), PortErrorKind::Transient, "{ending}");
                Ok::<_, Trouble>(())
            })
            .await;
        assert_eq!(kind_of(ended), PortErrorKind::Transient, "{ending}");
        assert_eq!(shop.notes().await, [""; 0], "{ending}");
        shop.assert_whole(&placed, false).await;
    }
    confirming(&shop, &placed).await.unwrap().unwrap();
    shop.assert_whole(&placed, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_and_a_duplicate_leave_the_transaction_usable() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let (placed, other) = (shop.place().await, shop.place().await);
    let stale = shop.confirmation(&placed).await;
    shop.world.commands().claim_payment(&placed.token).await.unwrap();
    let (inside, orders) = (Arc::clone(&shop), [placed.clone(), other.clone()]);
    storage(&shop)
        .transaction(LONG, move |transaction| {
            let refused: Result<(), Trouble> = transaction.complete(async {
                let refused = transaction.commit(&stale).await;
                assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
                Ok(())
            });
            refused?;
            for placed in &orders {
                confirm(&inside, transaction, placed)?;
                let again = confirm(&inside, transaction, placed);
                assert!(matches!(again, Err(Trouble::Payment(Failure::Rejected(_)))), "{again:?}");
            }
            note(transaction, "after")
        })
        .await
        .unwrap();
    assert_eq!(shop.notes().await, ["after"]);
    for placed in [&placed, &other] {
        assert_eq!(shop.payment(placed).await, PaymentStatus::PaymentConfirmed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_something_else_is_refused() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    storage(&shop)
        .transaction(LONG, |transaction| {
            let waiting = transaction.complete(std::future::pending::<Result<(), Trouble>>());
            assert_eq!(kind_of(waiting), PortErrorKind::Permanent);
            let inside = transaction.run(|_| transaction.run(|_| ()).map_err(Trouble::from))?;
            assert_eq!(kind_of(inside), PortErrorKind::Permanent);
            note(transaction, "after")
        })
        .await
        .unwrap();
    assert_eq!(shop.notes().await, ["after"]);
}

/// The writer would wait for itself, and the change would land later, alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_bound_is_refused_inside_a_transaction() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let (placed, inside) = (shop.place().await, Arc::clone(&shop));
    let order = placed.clone();
    storage(&shop)
        .transaction(LONG, move |transaction| {
            let commands = inside.world.commands();
            let unbound = async {
                commands.confirm_payment(order.account_id, order.id, &host(), None, None).await.map_err(Trouble::from)
            };
            assert_eq!(kind_of(transaction.complete(unbound)), PortErrorKind::Permanent);
            Ok::<_, Trouble>(())
        })
        .await
        .unwrap();
    shop.assert_whole(&placed, false).await;
}

/// A deferred constraint of the host's is checked by the commit only.
#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_constraint_undoes_the_commit_and_nothing_is_unknown() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let placed = shop.place().await;
    let (inside, order) = (Arc::clone(&shop), placed.clone());
    let undone = storage(&shop)
        .transaction(LONG, move |transaction| {
            confirm(&inside, transaction, &order)?;
            transaction.run(|connection| {
                connection.execute_batch(
                    "CREATE TABLE parts (note TEXT REFERENCES notes (note) DEFERRABLE INITIALLY DEFERRED); \
                     INSERT INTO parts (note) VALUES ('nowhere')",
                )
            })??;
            Ok::<_, Trouble>(())
        })
        .await;
    assert_eq!(kind_of(undone), PortErrorKind::Transient);
    shop.assert_whole(&placed, false).await;
    confirming(&shop, &placed).await.unwrap().unwrap();
    shop.assert_whole(&placed, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_the_host() {
    let shop = Arc::new(Shop::open(Engine::Sqlite).await);
    let (hold, holding) = held(&shop).await;
    let closing = Arc::clone(&shop);
    let closing = tokio::spawn(async move { storage(&closing).close().await });
    assert!(!closing.is_finished());
    drop(hold);
    holding.await.unwrap().unwrap();
    closing.await.unwrap();
    let late = storage(&shop).transaction(LONG, |transaction| note(transaction, "late")).await;
    assert_eq!(kind_of(late), PortErrorKind::Permanent);
    assert_eq!(shop.notes().await, [""; 0]);
}

/// On a connection of the host's own, others wait until its transaction has ended.
#[tokio::test(flavor = "multi_thread")]
async fn others_wait_for_a_hosts_own_connection_and_then_succeed() {
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
