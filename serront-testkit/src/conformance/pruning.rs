//! Pruning deletes old rows and keeps needed ones. Also covers a key's last use and the uploads named by payments.

use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Claim, ClaimName};
use serront_core::changes::idempotency::KeptOutcome;
use serront_core::orders::marked::MarkedText;
use serront_core::orders::receipt::samples;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{AccountId, UploadId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{NextAttempt, Prune, Pruned};

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, landed};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn keeping<H: Harness + ?Sized>(bench: &Bench<'_, H>, account: AccountId, name: &str, until: Timestamp) -> ChangeSet {
    let outcome = MarkedText::plain("{}".to_owned());
    let kept = KeptOutcome { fingerprint: Digest256::of(b"body"), outcome, until };
    let claims = vec![Claim { name: ClaimName::Idempotency(Digest256::of(name.as_bytes())), kept: Some(kept) }];
    ChangeSet { claims, ..bench.change(account) }
}

/// Cut-offs that delete no effect and no change set.
fn nothing() -> Prune {
    Prune { effects_kept: Duration::MAX, change_sets_kept: Duration::MAX, limit: 1_000 }
}

/// Deletes expired outcomes, finished effects and ids of change sets, nothing else.
pub async fn only_old_and_finished_rows_are_pruned(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let account_id = seller.account_id;
    let start = bench.now();
    bench.lands(&bench.confirming(&placed, None).await).await;
    let mail = bench.take_one().await;
    bench.record(&mail, NextAttempt::Succeeded).await.unwrap();
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let old = bench.queue_deliveries(account_id, subscription_id, 3).await;
    let taken = bench.take(10).await;
    assert_eq!(taken.len(), 3);
    let find = |id| taken.iter().find(|due| due.id == id).unwrap();
    bench.record(find(old[0]), NextAttempt::Failed).await.unwrap();
    bench.record(find(old[1]), NextAttempt::At(start.plus(SECOND * 5))).await.unwrap();
    bench.lands(&keeping(&bench, account_id, "old", start.plus(SECOND))).await;
    bench.lands(&keeping(&bench, account_id, "new", start.plus(SECOND * 2))).await;
    let old_change = bench.change(account_id);
    bench.lands(&old_change).await;
    bench.advance(SECOND).await;
    let young = bench.queue_deliveries(account_id, subscription_id, 1).await;
    bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
    let young_change = bench.change(account_id);
    bench.lands(&young_change).await;
    let storage = bench.storage();

    // One of the two outcomes has expired after a second.
    let kept = storage.prune(nothing()).await.unwrap();
    assert_eq!(kept, Pruned { kept: 1, ..Pruned::default() });
    assert_eq!(storage.prune(nothing()).await.unwrap(), Pruned::default());
    let claim =
        async |name: &str| landed(&bench.commit(&keeping(&bench, account_id, name, start.plus(SECOND * 9))).await);
    assert_eq!(claim("old").await, UNNUMBERED);
    assert!(matches!(claim("new").await, Landed::Duplicate(_)));

    assert_eq!(storage.prune(Prune { effects_kept: SECOND, ..nothing() }).await.unwrap(), Pruned::default());
    let effects = storage.prune(Prune { effects_kept: SECOND - MILLISECOND, ..nothing() }).await.unwrap();
    assert_eq!(effects, Pruned { effects: 2, ..Pruned::default() }, "a mail and a delivery given up");
    let stays = async |id| match id {
        serront_core::changes::effect::EffectId::Delivery(id) => {
            storage.delivery(account_id, id).await.unwrap().is_some()
        }
        serront_core::changes::effect::EffectId::Mail(_)
        | serront_core::changes::effect::EffectId::Removal(_)
        | serront_core::changes::effect::EffectId::Errand(_) => panic!("a delivery"),
    };
    let there = [stays(old[0]).await, stays(old[1]).await, stays(old[2]).await, stays(young[0]).await];
    assert_eq!(there, [false, true, true, true], "pending and recently finished effects stay");

    let change_sets = storage.prune(Prune { change_sets_kept: SECOND - MILLISECOND, ..nothing() }).await.unwrap();
    assert!(change_sets.change_sets > 0);
    assert_eq!(change_sets, Pruned { change_sets: change_sets.change_sets, ..Pruned::default() });
    assert_eq!(storage.outcome(account_id, old_change.id).await.unwrap(), None);
    assert!(storage.outcome(account_id, young_change.id).await.unwrap().is_some());

    bench.advance(SECOND * 1_000).await;
    let everything = Prune { effects_kept: Duration::ZERO, change_sets_kept: Duration::ZERO, limit: 1_000 };
    storage.prune(everything).await.unwrap();
    let snapshot = bench.snapshot(account_id, placed.id).await;
    let confirmation = ClaimName::Confirmation(snapshot.payment.id);
    let again = bench.claiming(account_id, confirmation.clone());
    assert_eq!(landed(&bench.commit(&again).await), Landed::Duplicate(confirmation), "claims are permanent");
    assert!(storage.key(seller.key.hash()).await.unwrap().is_some());
    assert_eq!(storage.audit(account_id, placed.id).await.unwrap().len(), 2);
}

/// One prune deletes at most `limit` rows of each kind; later ones delete the rest.
pub async fn the_limit_of_a_prune_holds(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    bench.queue_removals(account_id, 5).await;
    for due in bench.take(5).await {
        bench.record(&due, NextAttempt::Succeeded).await.unwrap();
    }
    for index in 0..3 {
        bench.lands(&keeping(&bench, account_id, &format!("key {index}"), bench.now())).await;
    }
    bench.advance(SECOND).await;
    let prune = Prune { effects_kept: Duration::ZERO, change_sets_kept: Duration::ZERO, limit: 2 };
    let mut steps = Vec::new();
    for _ in 0..4 {
        let Pruned { kept, effects, change_sets } = bench.storage().prune(prune).await.unwrap();
        steps.push((kept, effects, change_sets));
    }
    // The change sets: the opening, the removals and the three keys.
    assert_eq!(steps, [(2, 2, 2), (1, 2, 2), (0, 1, 1), (0, 0, 0)]);
}

/// A use soon after the recorded one changes nothing. The time is the storage's.
pub async fn a_keys_last_use_only_goes_forward(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let last_use = async || bench.storage().key(seller.key.hash()).await.unwrap().unwrap().last_used_at;
    let touch = async |pause| {
        bench.storage().touch_key(seller.account_id, seller.key_id, pause).await.unwrap();
    };
    assert_eq!(last_use().await, None);
    let now = bench.now();
    touch(Duration::ZERO).await;
    assert_eq!(last_use().await, Some(now));
    bench.advance(SECOND).await;
    touch(Duration::ZERO).await;
    let noted = now.plus(SECOND);
    assert_eq!(last_use().await, Some(noted));
    bench.advance(SECOND * 60 - MILLISECOND).await;
    touch(SECOND * 60).await;
    assert_eq!(last_use().await, Some(noted));
    bench.advance(MILLISECOND).await;
    touch(SECOND * 60).await;
    assert_eq!(last_use().await, Some(noted.plus(SECOND * 60)));
    bench.world.commands().delete_key(seller.account_id, seller.key_id).await.unwrap();
    bench.advance(SECOND * 60).await;
    touch(Duration::ZERO).await;
    assert_eq!(bench.storage().key(seller.key.hash()).await.unwrap(), None);
    assert_eq!(bench.storage().keys(seller.account_id).await.unwrap(), []);
}

/// A replaced receipt is no longer named.
pub async fn named_uploads_are_those_of_payments(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let uploads = bench.world.receipt_uploads();
    let upload = async |bytes: &[u8], media_type: &str| -> UploadId {
        uploads.upload(&placed.token, media_type, bytes).await.unwrap();
        let snapshot = bench.snapshot(seller.account_id, placed.id).await;
        snapshot.payment.state.receipt.unwrap().upload_id
    };
    let first = upload(samples::PNG, "image/png").await;
    let second = upload(samples::GIF, "image/gif").await;
    let unknown = bench.context(None).ids.upload();
    let asked = [first, second, unknown].map(|id| (seller.account_id, id));
    assert_eq!(bench.storage().named_uploads(&asked).await.unwrap(), [second]);
    assert_eq!(bench.storage().named_uploads(&[]).await.unwrap(), []);
}
