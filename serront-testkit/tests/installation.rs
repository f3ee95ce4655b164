//! Database and receipts' store know each other, hosts know their keys, and a clock that is off is noticed (#16).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which clippy.toml does not reach")]

use std::time::Duration;

use serront_core::accounts::sealed::{SealedSecret, SecretHolder};
use serront_core::orders::receipt::samples;
use serront_core::ports::{Clock as _, Ids as _, PortErrorKind, Receipts as _, Sealer, Upkeep as _};
use serront_core::primitives::ids::InstallationId;
use serront_core::service::{Commands, Environment, KeysError, OtherKeys};
use serront_core::work::installation::{MeetError, Strangers, adopt, clock_off, meet};
use serront_testkit::memory::{ManualClock, MemoryReceipts, MemorySealer};
use serront_testkit::world::{Seller, World};

const HOUR: Duration = Duration::from_secs(3_600);

fn id(world: &World) -> InstallationId {
    world.ids.sequence(world.clock.now()).installation()
}

/// A store of receipts without an id, with one receipt that no payment of `world` names.
async fn strange_receipts(world: &World) -> MemoryReceipts {
    let receipts = MemoryReceipts::new(world.clock.clone());
    let mut ids = world.ids.sequence(world.clock.now());
    receipts.put(ids.account(), ids.upload(), samples::GIF).await.unwrap();
    receipts
}

/// A world with a receipt that a payment names, in a store of a version that knew no installations.
async fn with_a_named_receipt() -> (World, Seller) {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    world.receipt_uploads().upload(&placed.token, "image/png", samples::PNG).await.unwrap();
    (world, seller)
}

async fn met(world: &World, receipts: &MemoryReceipts) -> Result<InstallationId, Strangers> {
    let before = (world.storage.installation().await.unwrap().id, receipts.installation().await.unwrap());
    match meet(world.storage.as_ref(), receipts, world.environment()).await {
        Ok(id) => {
            let after = (world.storage.installation().await.unwrap().id, receipts.installation().await.unwrap());
            assert_eq!(after, (Some(id), Some(id)));
            Ok(id)
        }
        Err(MeetError::Strangers(strangers)) => {
            let after = (world.storage.installation().await.unwrap().id, receipts.installation().await.unwrap());
            assert_eq!(after, before, "nothing is written");
            Err(strangers)
        }
        Err(MeetError::Port(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_new_database_and_an_empty_store_get_one_id() {
    let world = World::new();
    let first = met(&world, &world.receipts).await.unwrap();
    assert_eq!(met(&world, &world.receipts).await, Ok(first));
}

#[tokio::test]
async fn what_an_earlier_version_made_goes_on_without_a_hand() {
    let (world, seller) = with_a_named_receipt().await;
    let orphan = world.ids.sequence(world.clock.now()).upload();
    world.receipts.put(seller.account_id, orphan, samples::GIF).await.unwrap();
    world.clock.advance(1_000 * HOUR);
    met(&world, &world.receipts).await.unwrap();
    // Receipts were kept nowhere yet.
    let world = World::new();
    world.seller("studio").await;
    met(&world, &world.receipts).await.unwrap();
    // The only one was left by an upload whose commit failed, a day before the upgrade.
    let world = World::new();
    let seller = world.seller("studio").await;
    world.receipts.put(seller.account_id, world.ids.sequence(world.clock.now()).upload(), samples::GIF).await.unwrap();
    world.clock.advance(25 * HOUR);
    met(&world, &world.receipts).await.unwrap();
    // The folder was lost before the upgrade, and is empty.
    let (world, _) = with_a_named_receipt().await;
    met(&world, &MemoryReceipts::new(world.clock.clone())).await.unwrap();
}

#[tokio::test]
async fn strangers_are_refused_and_named() {
    let world = World::new();
    let database = met(&world, &world.receipts).await.unwrap();
    // Another installation's store.
    let other = World::new();
    let store = id(&world);
    other.receipts.adopt(store).await.unwrap();
    let refused = met(&world, &other.receipts).await.unwrap_err();
    assert_eq!(refused, Strangers::OtherStore { database, store });
    let said = refused.to_string();
    assert!(said.contains(&database.to_string()) && said.contains(&store.to_string()), "{said}");
    // A database that has no id yet: an empty one, and one with accounts.
    for fresh in [true, false] {
        let world = World::new();
        if !fresh {
            world.seller("studio").await;
        }
        assert_eq!(met(&world, &other.receipts).await, Err(Strangers::OtherDatabase { store }));
    }
    // An empty database with a store of an earlier version.
    let (full, _) = with_a_named_receipt().await;
    let empty = World::new();
    assert_eq!(met(&empty, &full.receipts).await, Err(Strangers::UnknownReceipts { database: None }));
    // A database in use with the store of another installation's earlier version.
    let receipts = strange_receipts(&full).await;
    full.clock.advance(48 * HOUR + Duration::from_millis(1));
    assert_eq!(met(&full, &receipts).await, Err(Strangers::UnknownReceipts { database: None }));
    let database = met(&full, &full.receipts).await.unwrap();
    assert_eq!(met(&full, &receipts).await, Err(Strangers::UnknownReceipts { database: Some(database) }));
    // A folder that is not mounted.
    let unmounted = MemoryReceipts::new(full.clock.clone());
    assert_eq!(met(&full, &unmounted).await, Err(Strangers::EmptyStore { database }));
}

/// A process that ends after the database's id was written, and before the store's.
#[tokio::test]
async fn a_start_that_was_cut_off_is_finished_by_the_next() {
    for kind in [PortErrorKind::Transient, PortErrorKind::OutcomeUnknown] {
        let (world, _) = with_a_named_receipt().await;
        let drawn = world.storage.begin_installation(id(&world)).await.unwrap();
        world.receipts.fail_next(1, kind);
        let failed = meet(world.storage.as_ref(), world.receipts.as_ref(), world.environment()).await;
        assert!(matches!(failed, Err(MeetError::Port(_))));
        assert_eq!(met(&world, &world.receipts).await, Ok(drawn));
    }
}

#[tokio::test]
async fn whoever_knows_better_adopts() {
    let (world, _) = with_a_named_receipt().await;
    let receipts = strange_receipts(&world).await;
    let other = id(&world);
    receipts.adopt(other).await.unwrap();
    assert!(met(&world, &receipts).await.is_err());
    let adopted = adopt(world.storage.as_ref(), &receipts, world.environment()).await.unwrap();
    assert_eq!(adopted.was, Some(other));
    assert_eq!(met(&world, &receipts).await, Ok(adopted.id));
    let again = adopt(world.storage.as_ref(), &receipts, world.environment()).await.unwrap();
    assert_eq!((again.id, again.was), (adopted.id, Some(adopted.id)));
}

fn commands<'w>(world: &'w World, sealer: &'w dyn Sealer) -> Commands<'w, serront_testkit::memory::MemoryStorage> {
    Commands::new(world.storage.as_ref(), Environment { sealer, ..world.environment() })
}

async fn are_known(world: &World, sealer: &dyn Sealer) -> bool {
    match commands(world, sealer).check_keys().await {
        Ok(()) => true,
        Err(KeysError::Other(OtherKeys)) => false,
        Err(KeysError::Port(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_host_with_other_keys_is_recognized() {
    let world = World::new();
    let (ours, theirs) = (MemorySealer::default(), MemorySealer::default());
    theirs.hold(&[1_000]);
    assert!(are_known(&world, &ours).await);
    assert!(are_known(&world, &ours).await);
    assert!(!are_known(&world, &theirs).await);
    // A new key, everything sealed again, the old key forgotten: they are still this installation's.
    ours.rotate();
    assert!(are_known(&world, &ours).await);
    let before = world.storage.installation().await.unwrap().key_check;
    commands(&world, &ours).reseal().await.unwrap();
    assert_ne!(world.storage.installation().await.unwrap().key_check, before);
    ours.forget();
    assert!(are_known(&world, &ours).await);
}

/// What is sealed already tells, where an earlier version wrote no check.
#[tokio::test]
async fn sealed_secrets_tell_where_there_is_no_check_yet() {
    let world = World::new();
    let seller = world.seller("studio").await;
    world.subscribe(&seller, "https://one.example", &["*"]).await;
    let theirs = MemorySealer::default();
    theirs.hold(&[1_000]);
    assert!(!are_known(&world, &theirs).await);
    assert!(are_known(&world, &*world.sealer).await);
    // An earlier version forgets a key that only the check is under: the secrets say that the keys are right.
    let holder = SecretHolder::Installation(world.storage.installation().await.unwrap().id.unwrap());
    let was = world.storage.installation().await.unwrap().key_check;
    let stale = SealedSecret::seal(&theirs, holder, "x").unwrap();
    assert!(world.storage.put_key_check(was, stale).await.unwrap());
    assert!(are_known(&world, &*world.sealer).await);
    let check = world.storage.installation().await.unwrap().key_check.unwrap();
    assert!(check.open(&*world.sealer, holder).is_ok());
}

#[tokio::test]
async fn a_clock_that_is_off_is_noticed() {
    let world = World::new();
    let minute = Duration::from_secs(60);
    for (off, notable, too_far) in [
        (Duration::ZERO, false, false),
        (minute / 2, false, false),
        (minute / 2 + Duration::from_millis(1), true, false),
        (10 * minute, true, false),
        (10 * minute + Duration::from_millis(1), true, true),
        (25 * HOUR, true, true),
    ] {
        for host in [world.clock.now().minus(off), world.clock.now().plus(off)] {
            let found = clock_off(world.storage.as_ref(), &ManualClock::at(host)).await.unwrap();
            assert_eq!((found.by, found.host, found.storage), (off, host, world.clock.now()));
            assert_eq!((found.is_notable(&world.policy), found.is_too_far(&world.policy)), (notable, too_far));
        }
    }
}
