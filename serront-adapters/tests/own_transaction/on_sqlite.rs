//! Time limits, waiting and closing on SQLite.

use std::pin::pin;

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
    // Ends when the host's time is over, not earlier.
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

/// The engine may end a transaction itself, for example when the disk is full; later statements would then be durable
/// alone.
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
    // After one poll each is in the writer's queue.
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
    // Even while it is held.
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
