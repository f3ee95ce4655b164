//! Times are compared in the storage's time, even if a host's clock is wrong (#16).
//!
//! The clock of a bench's world is the host's clock, so each case gives it an offset.

use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Claim, ClaimName};
use serront_core::changes::effect::{Attempt, Effect, EffectStatus, Errand, Lane};
use serront_core::changes::idempotency::KeptOutcome;
use serront_core::orders::marked::MarkedText;
use serront_core::policy::DeliveryShares;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{DueEffect, NextAttempt, Prune, Pruned};

use super::Harness;
use super::bench::{Bench, LEASE, Landed, UNNUMBERED, landed, request};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Longer than a key's lifetime.
const OFF: Duration = Duration::from_secs(25 * 3_600);

/// Host times before and after the storage's `now`.
fn off(now: Timestamp) -> [Timestamp; 2] {
    [now.minus(OFF), now.plus(OFF)]
}

/// The storage answers its time, to which all cases here compare.
pub async fn the_storage_answers_its_time(harness: &impl Harness) {
    let bench = Bench::new(harness);
    assert_eq!(bench.storage().now().await.unwrap(), harness.now());
    bench.advance(SECOND).await;
    bench.world.clock.set(harness.now().plus(OFF));
    assert_eq!(bench.storage().now().await.unwrap(), harness.now());
}

/// A key expires after a day of the storage's time, regardless of the clocks of the hosts that use it.
pub async fn a_keys_lifetime_ignores_the_hosts_clocks(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    for (index, first) in off(harness.now()).into_iter().enumerate() {
        let scope = request(account_id, &format!("key-{index}"), b"body").scope;
        let name = ClaimName::Idempotency(scope);
        let keeping = |at: Timestamp| {
            let outcome = MarkedText::plain("{}".to_owned());
            let kept = KeptOutcome { fingerprint: Digest256::of(b"body"), outcome, until: at.plus(DAY) };
            let claims = vec![Claim { name: name.clone(), kept: Some(kept) }];
            ChangeSet { claims, at, ..bench.change(account_id) }
        };
        let kept_until = async || {
            let snapshot = bench.storage().account(account_id, Some(scope)).await.unwrap().unwrap();
            snapshot.kept.map(|kept| kept.until)
        };
        let begun = harness.now();
        bench.lands(&keeping(first)).await;
        for elapsed in [Duration::ZERO, DAY / 2, DAY / 2 - MILLISECOND] {
            bench.advance(elapsed).await;
            assert_eq!(kept_until().await, Some(begun.plus(DAY)));
            for at in off(harness.now()) {
                assert_eq!(landed(&bench.commit(&keeping(at)).await), Landed::Duplicate(name.clone()));
            }
        }
        bench.advance(MILLISECOND).await;
        assert_eq!(kept_until().await, None);
        assert_eq!(landed(&bench.commit(&keeping(off(harness.now())[index])).await), UNNUMBERED);
    }
}

/// With a real command, the second request gets the first one's answer.
pub async fn a_repeated_key_is_answered_by_hosts_with_other_clocks(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let request = request(seller.account_id, "key-1", b"body");
    let mut replayed = Vec::new();
    let [slow, fast] = off(harness.now());
    for clock in [fast, harness.now(), slow, fast] {
        bench.world.clock.set(clock);
        let commands = bench.world.commands();
        let host = crate::world::host();
        let answer = commands.confirm_payment(seller.account_id, placed.id, &host, None, Some(request)).await.unwrap();
        replayed.push(answer.replayed);
    }
    assert_eq!(replayed, [false, true, true, true]);
}

/// An effect due immediately is due now; one due in a minute is due after a minute of the storage's time.
pub async fn effects_are_due_by_the_storages_clock(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    for at in off(harness.now()) {
        let mut ids = bench.context(None).ids;
        let errand = Errand::Poll(ids.checkout());
        let effects = vec![
            Effect::Removal { id: ids.removal(), upload_id: ids.upload() },
            Effect::Errand { id: ids.errand(), errand: errand.clone(), due_at: at.plus(SECOND * 60) },
        ];
        bench.lands(&ChangeSet { effects, at, ..bench.change(account_id) }).await;
        let now = harness.now();
        assert_eq!(bench.storage().next_due(Lane::Removals).await.unwrap(), Some(now));
        assert_eq!(bench.storage().next_due(Lane::Errands).await.unwrap(), Some(now.plus(SECOND * 60)));
        let removal = bench.take_one().await;
        assert!(matches!(removal.effect, DueEffect::Removal(_)));
        // A retry five seconds after the end, by the clock of the host, whose attempt took two seconds.
        let attempt = Attempt {
            attempt_number: 1,
            status: EffectStatus::Failed,
            response_code: None,
            error: Some("no answer".to_owned()),
            duration_ms: 2_000,
            attempted_at: at.minus(SECOND * 2),
            next_retry_at: Some(at.plus(SECOND * 5)),
        };
        let next = NextAttempt::At(at.plus(SECOND * 5));
        let recorded = bench.storage().record_attempt(account_id, removal.id, removal.fence, &attempt, next).await;
        recorded.unwrap();
        assert_eq!(bench.storage().next_due(Lane::Removals).await.unwrap(), Some(now.plus(SECOND * 5)));
        bench.advance(SECOND * 5).await;
        bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
        let take =
            async || bench.storage().take_due(Lane::Errands, 10, DeliveryShares::default(), LEASE).await.unwrap();
        bench.advance(SECOND * 55 - MILLISECOND).await;
        assert_eq!(take().await, []);
        bench.advance(MILLISECOND).await;
        let [due] = <[_; 1]>::try_from(take().await).unwrap();
        assert_eq!(due.effect, DueEffect::Errand(errand));
        bench.record(&due, NextAttempt::Succeeded).await.unwrap();
        // Queued again by an operator, it is due immediately.
        bench.world.clock.set(at);
        bench.lands(&requeueing(&bench, account_id, due.id, at)).await;
        assert_eq!(bench.storage().next_due(Lane::Errands).await.unwrap(), Some(harness.now()));
        bench.advance(Duration::ZERO).await;
        let [again] = <[_; 1]>::try_from(take().await).unwrap();
        bench.record(&again, NextAttempt::Succeeded).await.unwrap();
    }
}

fn requeueing<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    account_id: serront_core::primitives::ids::AccountId,
    id: serront_core::changes::effect::EffectId,
    at: Timestamp,
) -> ChangeSet {
    ChangeSet { writes: vec![serront_core::changes::change::Write::Requeue(id)], at, ..bench.change(account_id) }
}

/// The previous secret signs for a day of the storage's time, regardless of the clock of the host that rotated it.
pub async fn a_replaced_secrets_lifetime_ignores_the_hosts_clock(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let signs = async || {
        bench.queue_deliveries(account_id, id, 1).await;
        let due = bench.take_one().await;
        bench.record(&due, NextAttempt::Succeeded).await.unwrap();
        let DueEffect::Delivery { target: Some(target), .. } = due.effect else { panic!("a delivery") };
        target.previous_secret.is_some()
    };
    for clock in off(harness.now()) {
        bench.world.clock.set(clock);
        bench.world.commands().rotate_secret(account_id, id, None).await.unwrap();
        bench.advance(DAY - MILLISECOND).await;
        assert!(signs().await);
        bench.advance(MILLISECOND).await;
        assert!(!signs().await);
    }
}

/// A row's age counts from its commit in the storage's time, not from the host's time.
pub async fn ages_are_by_the_storages_clock(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    for at in off(harness.now()) {
        let mut ids = bench.context(None).ids;
        let effects = vec![Effect::Removal { id: ids.removal(), upload_id: ids.upload() }];
        let change = ChangeSet { effects, at, ..bench.change(account_id) };
        bench.lands(&change).await;
        bench.record(&bench.take_one().await, NextAttempt::Succeeded).await.unwrap();
        let hour = SECOND * 3_600;
        let prune = Prune { effects_kept: hour, change_sets_kept: hour, limit: 100 };
        bench.advance(hour).await;
        assert_eq!(bench.storage().prune(prune).await.unwrap(), Pruned::default());
        bench.advance(MILLISECOND).await;
        let Pruned { effects, change_sets, .. } = bench.storage().prune(prune).await.unwrap();
        assert!(effects == 1 && change_sets > 0);
        assert_eq!(bench.storage().outcome(account_id, change.id).await.unwrap(), None);
    }
}
