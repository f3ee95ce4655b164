//! The sweeper moves receipts that nothing names into quarantine, once they are old enough, deletes them from there later, and
//! touches nothing else.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::time::Duration;

use async_trait::async_trait;
use serront_core::orders::receipt::samples;
use serront_core::ports::{
    Clock, Ids, PortError, PortErrorKind, QuarantinedReceipt, Receipts, StoredReceipt, Upkeep as _, WebhookReads as _,
};
use serront_core::primitives::ids::{AccountId, InstallationId, UploadId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::DeliveryFilter;
use serront_core::work::installation::{MeetError, Strangers};
use serront_core::work::sweep::Sweeper;
use serront_testkit::memory::MemoryReceipts;
use serront_testkit::world::{Placed, World, host};

const HOUR: Duration = Duration::from_secs(3_600);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Stores an upload that no payment will ever name, as a crash before the commit does.
async fn orphan(world: &World, account_id: AccountId) -> UploadId {
    let upload_id = world.ids.sequence(world.clock.now()).upload();
    world.receipts.put(account_id, upload_id, samples::GIF).await.unwrap();
    upload_id
}

async fn upload(world: &World, placed: &Placed, bytes: &[u8], media_type: &str) {
    world.receipt_uploads().upload(&placed.token, media_type, bytes).await.unwrap();
}

async fn sweep(world: &World) -> usize {
    world.sweeper().step(world.clock.now()).await.unwrap().quarantined
}

#[tokio::test]
async fn only_orphans_older_than_a_day_go() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    upload(&world, &placed, samples::PNG, "image/png").await;
    let named = world.receipts.uploads();
    let old = (seller.account_id, orphan(&world, seller.account_id).await);
    world.clock.advance(HOUR);
    let young = (seller.account_id, orphan(&world, seller.account_id).await);
    world.clock.advance(23 * HOUR);
    assert_eq!(sweep(&world).await, 0, "a day old, and not older");
    world.clock.advance(MILLISECOND);
    assert_eq!(sweep(&world).await, 1);
    let left = world.receipts.uploads();
    assert!(!left.contains(&old) && left.contains(&young));
    world.clock.advance(1_000 * HOUR);
    assert_eq!(sweep(&world).await, 1);
    assert_eq!(world.receipts.uploads(), named, "what a payment names stays, however old");
    assert_eq!(world.receipt_uploads().receipt(seller.account_id, placed.id).await.unwrap().bytes, samples::PNG);
}

#[tokio::test]
async fn what_is_over_stays_in_the_log_for_ninety_days() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    world.subscribe(&seller, "https://one.example", &["*"]).await;
    world.commands().confirm_payment(seller.account_id, placed.id, &host(), None, None).await.unwrap();
    let logged = async || {
        let (filter, limit) = (DeliveryFilter::default(), Limit::parse(None).unwrap());
        world.storage.deliveries(seller.account_id, &filter, None, limit).await.unwrap().rows.len()
    };
    world.clock.advance(24 * 100 * HOUR);
    sweep(&world).await;
    assert_eq!(logged().await, 1, "what is pending stays");
    world.dispatch_all().await;
    sweep(&world).await;
    assert_eq!(logged().await, 0);

    let placed = world.place(&seller, "Sari").await;
    world.commands().confirm_payment(seller.account_id, placed.id, &host(), None, None).await.unwrap();
    let made = logged().await;
    world.dispatch_all().await;
    world.clock.advance(24 * 90 * HOUR);
    sweep(&world).await;
    assert_eq!((made, logged().await), (2, 2), "to the day");
    world.clock.advance(MILLISECOND);
    sweep(&world).await;
    assert_eq!(logged().await, 0);
}

#[tokio::test]
async fn a_name_in_one_account_keeps_nothing_in_another() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    let other = world.seller("other").await;
    upload(&world, &placed, samples::PNG, "image/png").await;
    let [(owner, upload_id)] = <[_; 1]>::try_from(world.receipts.uploads()).unwrap();
    world.receipts.put(other.account_id, upload_id, samples::GIF).await.unwrap();
    world.clock.advance(25 * HOUR);
    sweep(&world).await;
    assert!(world.receipts.uploads().contains(&(owner, upload_id)));
}

#[tokio::test]
async fn a_replaced_receipt_is_removed_at_once_and_leaves_nothing_to_sweep() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    upload(&world, &placed, samples::PNG, "image/png").await;
    upload(&world, &placed, samples::JPEG, "image/jpeg").await;
    assert_eq!(world.receipts.uploads().len(), 2, "nothing is removed before the dispatcher comes");
    assert_eq!(world.dispatch_all().await, 1);
    assert_eq!(world.receipts.uploads().len(), 1);
    assert_eq!(world.receipt_uploads().receipt(seller.account_id, placed.id).await.unwrap().bytes, samples::JPEG);
    world.clock.advance(25 * HOUR);
    assert_eq!(sweep(&world).await, 0);
}

#[tokio::test]
async fn a_removal_that_was_given_up_is_swept() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    upload(&world, &placed, samples::PNG, "image/png").await;
    upload(&world, &placed, samples::JPEG, "image/jpeg").await;
    world.receipts.fail_next(4, PortErrorKind::Transient);
    for _ in 0..10 {
        world.dispatch_all().await;
        world.clock.advance(6 * HOUR);
    }
    assert_eq!(world.receipts.uploads().len(), 2, "given up");
    assert_eq!(sweep(&world).await, 1);
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_behind() {
    let world = World::new();
    let (_, placed) = world.seller_with_order("studio").await;
    let refused = world.receipt_uploads().upload(&placed.token, "image/png", samples::GIF).await;
    assert!(refused.is_err());
    assert_eq!(world.receipts.uploads(), []);
}

#[tokio::test]
async fn many_orphans_go_in_bounded_steps() {
    let world = World::new();
    let seller = world.seller("studio").await;
    for _ in 0..501 {
        orphan(&world, seller.account_id).await;
    }
    world.clock.advance(25 * HOUR);
    let (mut sweeper, now) = (world.sweeper(), world.clock.now());
    let first = sweeper.step(now).await.unwrap();
    assert_eq!((first.quarantined, first.next), (500, now), "more may be there");
    let second = sweeper.step(now).await.unwrap();
    assert_eq!((second.quarantined, second.next), (1, now.plus(world.policy.retention.sweep_interval)));
    assert_eq!(world.receipts.uploads(), []);
}

#[tokio::test]
async fn a_step_that_failed_is_made_up_for_by_the_next() {
    let world = World::new();
    let seller = world.seller("studio").await;
    for _ in 0..3 {
        orphan(&world, seller.account_id).await;
    }
    world.clock.advance(25 * HOUR);
    world.receipts.fail_next(1, PortErrorKind::Transient);
    let mut sweeper = world.sweeper();
    assert!(sweeper.step(world.clock.now()).await.is_err());
    assert_eq!(sweeper.step(world.clock.now()).await.unwrap().quarantined, 3);
}

/// A receipt's life in quarantine (#16).
#[tokio::test]
async fn what_was_swept_is_deleted_after_thirty_days() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    upload(&world, &placed, samples::PNG, "image/png").await;
    let named = world.receipts.uploads();
    let orphan = (seller.account_id, orphan(&world, seller.account_id).await);
    world.clock.advance(24 * HOUR + MILLISECOND);
    assert_eq!(sweep(&world).await, 1);
    assert_eq!((world.receipts.uploads(), world.receipts.quarantined_uploads()), (named.clone(), vec![orphan]));
    let bytes = world.receipts.get(orphan.0, orphan.1).await.unwrap();
    assert_eq!(bytes.as_deref(), Some(samples::GIF), "it can still be read");
    world.clock.advance(30 * 24 * HOUR);
    let swept = world.sweeper().step(world.clock.now()).await.unwrap();
    assert_eq!((swept.quarantined, swept.restored, swept.deleted), (0, 0, 0), "to the day");
    world.clock.advance(MILLISECOND);
    let swept = world.sweeper().step(world.clock.now()).await.unwrap();
    assert_eq!((swept.quarantined, swept.restored, swept.deleted), (0, 0, 1));
    assert_eq!((world.receipts.uploads(), world.receipts.quarantined_uploads()), (named, vec![]));
    assert_eq!(world.receipts.get(orphan.0, orphan.1).await.unwrap(), None);
}

/// That a payment did not name it was wrong: the wrong copy of the database was asked, say.
#[tokio::test]
async fn what_is_named_after_all_is_found_and_moved_back() {
    let world = World::new();
    let (seller, placed) = world.seller_with_order("studio").await;
    upload(&world, &placed, samples::PNG, "image/png").await;
    sweep(&world).await;
    let named = world.receipts.uploads();
    let [(account_id, upload_id)] = <[_; 1]>::try_from(named.clone()).unwrap();
    world.receipts.quarantine(account_id, upload_id, world.clock.now()).await.unwrap();
    assert_eq!(world.receipts.uploads(), []);
    assert_eq!(world.receipt_uploads().receipt(seller.account_id, placed.id).await.unwrap().bytes, samples::PNG);
    world.clock.advance(30 * 24 * HOUR + MILLISECOND);
    let swept = world.sweeper().step(world.clock.now()).await.unwrap();
    assert_eq!((swept.quarantined, swept.restored, swept.deleted), (0, 1, 0));
    assert_eq!((world.receipts.uploads(), world.receipts.quarantined_uploads()), (named, vec![]));
    assert_eq!(world.receipt_uploads().receipt(seller.account_id, placed.id).await.unwrap().bytes, samples::PNG);
}

/// An empty database, and one of another installation, with a folder full of receipts: not one is touched (#16).
#[tokio::test]
async fn with_the_wrong_database_nothing_is_touched() {
    let right = World::new();
    let (seller, placed) = right.seller_with_order("studio").await;
    upload(&right, &placed, samples::PNG, "image/png").await;
    orphan(&right, seller.account_id).await;
    sweep(&right).await;
    let uploads = right.receipts.uploads();
    right.clock.advance(1_000 * HOUR);
    let empty = World::new();
    let other = World::new();
    other.seller("other").await;
    let id = right.ids.sequence(right.clock.now()).installation();
    other.storage.begin_installation(id).await.unwrap();
    sweep(&other).await;
    for wrong in [&empty, &other] {
        wrong.clock.set(right.clock.now());
        let mut sweeper = Sweeper::new(wrong.storage.as_ref(), right.receipts.as_ref(), wrong.environment());
        for _ in 0..3 {
            let failed = sweeper.step(wrong.clock.now()).await.unwrap_err();
            assert!(matches!(failed, MeetError::Strangers(_)), "{failed}");
        }
    }
    assert_eq!((right.receipts.uploads(), right.receipts.quarantined_uploads()), (uploads, vec![]));
    assert_eq!(sweep(&right).await, 1, "the right one sweeps");
}

/// The folder is exchanged while the host serves.
#[tokio::test]
async fn a_pass_begins_with_a_look_at_whose_the_receipts_are() {
    let world = World::new();
    let seller = world.seller("studio").await;
    let mut sweeper = world.sweeper();
    sweeper.step(world.clock.now()).await.unwrap();
    let mine = orphan(&world, seller.account_id).await;
    world.clock.advance(25 * HOUR);
    let other: InstallationId = world.ids.sequence(world.clock.now()).installation();
    world.receipts.adopt(other).await.unwrap();
    let failed = sweeper.step(world.clock.now()).await.unwrap_err();
    assert!(matches!(failed, MeetError::Strangers(Strangers::OtherStore { store, .. }) if store == other), "{failed}");
    assert_eq!(world.receipts.uploads(), [(seller.account_id, mine)]);
}

/// A host's clock that is a year fast makes nothing older than it is (#16).
#[tokio::test]
async fn ages_are_by_the_storages_clock() {
    let world = World::new();
    let seller = world.seller("studio").await;
    let young = orphan(&world, seller.account_id).await;
    let swept = world.sweeper().step(world.clock.now().plus(24 * 365 * HOUR)).await.unwrap();
    assert_eq!((swept.quarantined, swept.deleted), (0, 0));
    assert_eq!(world.receipts.uploads(), [(seller.account_id, young)]);
}

/// Receipts of which one can't be moved.
struct Stubborn<'w> {
    inner: &'w MemoryReceipts,
    stays: UploadId,
}

#[async_trait]
impl Receipts for Stubborn<'_> {
    async fn put(&self, account_id: AccountId, upload_id: UploadId, bytes: &[u8]) -> Result<(), PortError> {
        self.inner.put(account_id, upload_id, bytes).await
    }

    async fn get(&self, account_id: AccountId, upload_id: UploadId) -> Result<Option<Vec<u8>>, PortError> {
        self.inner.get(account_id, upload_id).await
    }

    async fn delete(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.inner.delete(account_id, upload_id).await
    }

    async fn quarantine(&self, account_id: AccountId, upload_id: UploadId, since: Timestamp) -> Result<(), PortError> {
        if upload_id == self.stays {
            return Err(PortError::permanent("not this one"));
        }
        self.inner.quarantine(account_id, upload_id, since).await
    }

    async fn quarantined(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<QuarantinedReceipt>, PortError> {
        self.inner.quarantined(before, after, limit).await
    }

    async fn restore(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        self.inner.restore(account_id, upload_id).await
    }

    async fn discard(&self, account_id: AccountId, upload_id: UploadId) -> Result<(), PortError> {
        if upload_id == self.stays {
            return Err(PortError::permanent("not this one"));
        }
        self.inner.discard(account_id, upload_id).await
    }

    async fn installation(&self) -> Result<Option<InstallationId>, PortError> {
        self.inner.installation().await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        self.inner.begin_installation(id).await
    }

    async fn adopt(&self, id: InstallationId) -> Result<(), PortError> {
        self.inner.adopt(id).await
    }

    async fn list(
        &self,
        before: Timestamp,
        after: Option<(AccountId, UploadId)>,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, PortError> {
        self.inner.list(before, after, limit).await
    }
}

#[tokio::test]
async fn a_receipt_that_cant_be_moved_does_not_keep_the_others() {
    let world = World::new();
    let seller = world.seller("studio").await;
    let stays = orphan(&world, seller.account_id).await;
    for _ in 0..3 {
        orphan(&world, seller.account_id).await;
    }
    world.clock.advance(25 * HOUR);
    let receipts = Stubborn { inner: &world.receipts, stays };
    let mut sweeper = Sweeper::new(world.storage.as_ref(), &receipts, world.environment());
    assert!(sweeper.step(world.clock.now()).await.is_err());
    assert_eq!(world.receipts.uploads(), [(seller.account_id, stays)]);
    assert_eq!(world.receipts.quarantined_uploads().len(), 3);
    // Nor does one that can't be deleted from quarantine.
    world.receipts.quarantine(seller.account_id, stays, world.clock.now()).await.unwrap();
    world.clock.advance(31 * 24 * HOUR);
    assert!(sweeper.step(world.clock.now()).await.is_err());
    assert_eq!(world.receipts.quarantined_uploads(), [(seller.account_id, stays)]);
}
