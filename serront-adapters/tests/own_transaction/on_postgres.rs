//! Locks, isolation levels and lost connections on PostgreSQL.

use serront_core::ports::Commits as _;
use tokio::sync::Barrier;

use super::*;

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

fn database(shop: &Shop) -> (&PostgresStorage, &PgPool) {
    let Database::Postgres { storage, pool, .. } = &shop.database else { panic!("another engine") };
    (storage, pool)
}

/// Waits until this many sessions wait for a lock on a row of this shop.
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

impl Own<'_> {
    /// Asserts that the server refuses the host's statements, and that the library's calls fail as transient.
    async fn assert_aborted(&mut self, shop: &Shop, placed: &Placed) {
        assert!(self.execute("SELECT 1").await.is_err());
        let bound = self.bound();
        let commands = bound.commands(shop.world.environment());
        assert_eq!(kind(commands.order(placed.account_id, placed.id).await), PortErrorKind::Transient);
        match bound.storage().commit(&shop.confirmation(placed).await).await {
            Err(CommitError::Port(error)) => assert_eq!(error.kind(), PortErrorKind::Transient),
            other => panic!("{other:?}"),
        }
    }

    /// The host's limit for locks, as the server writes it.
    async fn lock_timeout(&mut self) -> String {
        let Self::Postgres { transaction, .. } = self else { panic!("another engine") };
        sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut **transaction).await.unwrap()
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
    // Of one account, one call at a time tries.
    until_waiting(&shop, 1).await;
    // The host ends only after the others.
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
        // Above READ COMMITTED the transaction's snapshot is older than the claim.
        let decided = own.confirm(&shop.world, &placed).await;
        if level == "READ COMMITTED" {
            decided.unwrap();
        } else {
            assert!(matches!(decided, Err(Failure::Conflict)), "{level}: {decided:?}");
            own.assert_aborted(&shop, &placed).await;
            own.rollback().await;
            shop.assert_whole(&other, false).await;
            own = shop.begin_with(level).await;
            own.note("note").await;
            own.confirm(&shop.world, &other).await.unwrap();
            own.confirm(&shop.world, &placed).await.unwrap();
        }
        own.execute("SELECT 1").await.unwrap();
        own.commit().await.unwrap();
        assert_eq!(shop.notes().await, ["note"]);
        shop.assert_whole(&other, true).await;
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
    // The other host may have found the winner's new version after waiting, which is also a conflict.
    assert!(victims >= 1, "{victims}");
    assert_eq!(shop.notes().await, ["host 0", "host 1"]);
    for placed in &orders {
        let record = shop.world.commands().audit(placed.account_id, placed.id).await.unwrap();
        assert_eq!(record.len(), 3);
        assert_eq!(shop.snapshot(&*shop.world.storage, placed).await.order.state.version.0, 3);
    }
}

/// Each host reads the order that the other one confirms: they write no common row, but only one may commit.
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
        let session: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut **transaction).await.unwrap();
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

/// #18: the race on a unique name is the one conflict that the statement can't report as a status.
#[tokio::test(flavor = "multi_thread")]
async fn a_raced_name_is_a_conflict_that_aborts_the_transaction() {
    for commits in [false, true] {
        let shop = Arc::new(Shop::open(Engine::Postgres).await);
        let (placed, account) = (shop.place().await, shop.seller.account_id);
        let mut first = shop.begin().await;
        first.note("first").await;
        {
            let bound = first.bound();
            let commands = bound.commands(shop.world.environment());
            commands.create_service(account, &service_input("kartu", 1_000), None).await.unwrap();
        }
        let shared = Arc::clone(&shop);
        let second = tokio::spawn(async move {
            let mut second = shared.begin().await;
            second.note("second").await;
            let raced = {
                let bound = second.bound();
                let commands = bound.commands(shared.world.environment());
                commands.create_service(account, &service_input("kartu", 1_000), None).await
            };
            assert!(matches!(raced, Err(Failure::Conflict)), "{raced:?}");
            second.assert_aborted(&shared, &placed).await;
            // The server answers the `COMMIT` of an aborted transaction with a rollback.
            if commits { second.commit().await.unwrap() } else { second.rollback().await }
        });
        until_waiting(&shop, 1).await;
        first.commit().await.unwrap();
        second.await.unwrap();
        assert_eq!(shop.notes().await, ["first"]);
        assert_eq!(shop.world.commands().services(account).await.unwrap().len(), 2);
    }
}

/// #18
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_gets_no_lock_in_time_is_told_that_it_is_busy() {
    // The library's limit applies to a host without one; of two, the shorter.
    let limits = [(200, "0"), (200, "10min"), (600_000, "200ms")];
    for (lock_time_max, lock_timeout) in limits {
        let shop = Shop::open_with(Engine::Postgres, Duration::from_millis(lock_time_max)).await;
        let placed = shop.place().await;
        let mut first = shop.begin().await;
        first.confirm(&shop.world, &placed).await.unwrap();
        let mut second = shop.begin().await;
        second.execute(&format!("SET LOCAL lock_timeout = '{lock_timeout}'")).await.unwrap();
        second.note("second").await;
        let refused = second.confirm(&shop.world, &placed).await;
        assert!(matches!(refused, Err(Failure::Busy)), "{refused:?}");
        second.assert_aborted(&shop, &placed).await;
        second.rollback().await;
        first.commit().await.unwrap();
        assert_eq!(shop.notes().await, [""; 0]);
        shop.assert_whole(&placed, true).await;
    }
}

/// #18
#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_limit_for_locks_is_the_same_after_every_commit() {
    let shop = Shop::open(Engine::Postgres).await;
    let account = shop.seller.account_id;
    for lock_timeout in ["0", "1ms", "7s", "20min", "2d"] {
        let (placed, stale) = (shop.place().await, shop.place().await);
        let change = shop.confirmation(&stale).await;
        shop.world.commands().claim_payment(&stale.token).await.unwrap();
        let mut own = shop.begin().await;
        if lock_timeout != "0" {
            own.execute(&format!("SET LOCAL lock_timeout = '{lock_timeout}'")).await.unwrap();
        }
        own.confirm(&shop.world, &placed).await.unwrap();
        assert_eq!(own.lock_timeout().await, lock_timeout);
        let conflict = own.bound().storage().commit(&change).await;
        assert!(matches!(conflict, Err(CommitError::Conflict)), "{conflict:?}");
        assert_eq!(own.lock_timeout().await, lock_timeout);
        {
            let bound = own.bound();
            let commands = bound.commands(shop.world.environment());
            // A name that is taken, a name that changes hands, and an order's number.
            let taken = commands.create_service(account, &service_input("logo", 1_000), None).await;
            assert!(matches!(taken, Err(Failure::Rejected(Rejection::Conflict(_)))), "{taken:?}");
            commands.put_storefront(account, &storefront_input("renamed"), None).await.unwrap();
            commands.place_order("renamed", &order_input("Ani"), Language::En, None).await.unwrap();
        }
        assert_eq!(own.lock_timeout().await, lock_timeout);
        own.rollback().await;
    }
}

/// The driver does not know of a transaction that the host began with a statement of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_driver_did_not_begin_is_as_good() {
    let shop = Shop::open(Engine::Postgres).await;
    let (storage, pool) = database(&shop);
    let placed = shop.place().await;
    let change = shop.confirmation(&placed).await;
    let mut connection = pool.acquire().await.unwrap();
    for end in ["ROLLBACK", "COMMIT"] {
        sqlx::query("BEGIN").execute(&mut *connection).await.unwrap();
        storage.bind(&mut connection).commit(&change).await.unwrap();
        sqlx::query(end).execute(&mut *connection).await.unwrap();
        shop.assert_whole(&placed, end == "COMMIT").await;
    }
}
