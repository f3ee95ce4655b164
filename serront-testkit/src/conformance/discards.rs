//! Effects that were given up can be discarded: they leave the operator's list, and a permanent record remains.

use std::time::Duration;

use serront_core::accounts::actor::Actor;
use serront_core::changes::change::{ChangeSet, ClaimName, Write};
use serront_core::changes::effect::{Discard, EffectId, EffectStatus};
use serront_core::primitives::ids::{AccountId, IdSequence, PaymentId};
use serront_core::primitives::rejection::Code;
use serront_core::snapshots::{NextAttempt, Prune};

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, commit_at_once, landed, limit};
use super::retries::{code, effect, given_up, one_of_each, take_all};

const REASON: &str = "The address does not exist";

fn operator() -> Actor {
    Actor::host("cashier 7").unwrap()
}

/// A change set that discards this effect, with a claim that lands only together with it.
fn discarding<H: Harness + ?Sized>(bench: &Bench<'_, H>, account_id: AccountId, effect_id: EffectId) -> ChangeSet {
    let mut ids: IdSequence = bench.context(None).ids;
    let discard =
        Discard { id: ids.audit(), account_id, effect_id, at: bench.now(), actor: operator(), reason: REASON.into() };
    let marker = ClaimName::Confirmation(PaymentId::from_ulid(ids.next_ulid()));
    ChangeSet { writes: vec![Write::Discard(discard)], ..bench.claiming(account_id, marker) }
}

/// One effect of each kind, all given up.
async fn all_given_up<H: Harness + ?Sized>(bench: &Bench<'_, H>) -> (AccountId, Vec<EffectId>) {
    let (account_id, effects) = one_of_each(bench).await;
    for due in take_all(bench).await {
        bench.record(&due, NextAttempt::Failed).await.unwrap();
    }
    (account_id, effects)
}

/// Holds for every kind. The record stays when the effect is pruned and the storage is reopened.
pub async fn what_was_discarded_is_off_the_list_and_on_record(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, effects) = all_given_up(&bench).await;
    let mut expected = Vec::new();
    for id in &effects {
        bench.advance(Duration::from_secs(1)).await;
        let discarded =
            bench.world.commands().discard_effect(account_id, *id, REASON, &operator()).await.unwrap().value;
        assert_eq!((discarded.status, discarded.discarded), (EffectStatus::Failed, true));
        assert_eq!(effect(&bench, account_id, *id).await, discarded);
        expected.insert(0, (account_id, *id, bench.now(), operator(), REASON.to_owned()));
        assert!(given_up(&bench, limit(2)).await.iter().all(|row| row.id != *id));
    }
    assert_eq!(given_up(&bench, limit(2)).await, []);
    bench.advance(Duration::from_secs(1)).await;
    let prune = Prune { effects_kept: Duration::ZERO, change_sets_kept: Duration::MAX, limit: 100 };
    bench.storage().prune(prune).await.unwrap();
    let bench = bench.reopen().await;
    let record = |row: Discard| (row.account_id, row.effect_id, row.at, row.actor, row.reason);
    let records = bench.storage().discards(100).await.unwrap();
    assert_eq!(records.into_iter().map(record).collect::<Vec<_>>(), expected);
    let latest = bench.storage().discards(1).await.unwrap();
    assert_eq!(latest.into_iter().map(record).collect::<Vec<_>>(), expected[..1]);
}

/// Of several concurrent discards one lands, and only its other writes land.
pub async fn an_effect_is_discarded_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, effects) = all_given_up(&bench).await;
    for id in effects {
        let changes: Vec<_> = (0..8).map(|_| discarding(&bench, account_id, id)).collect();
        let results = commit_at_once(&bench.world.storage, changes).await;
        assert_eq!(results.iter().filter(|result| **result == UNNUMBERED).count(), 1, "{results:?}");
        assert_eq!(results.iter().filter(|result| **result == Landed::Conflict).count(), 7, "{results:?}");
    }
    assert_eq!(bench.storage().discards(100).await.unwrap().len(), 4);
}

/// A retry removes the mark, so that the effect is listed and can be discarded if it is given up again.
pub async fn what_was_discarded_can_be_tried_again(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, effects) = all_given_up(&bench).await;
    let commands = bench.world.commands();
    for id in &effects {
        commands.discard_effect(account_id, *id, REASON, &operator()).await.unwrap();
        let queued = commands.retry_effect(account_id, *id).await.unwrap().value;
        assert_eq!((queued.status, queued.discarded), (EffectStatus::Pending, false));
        assert_eq!(effect(&bench, account_id, *id).await, queued);
        assert_eq!(landed(&bench.commit(&discarding(&bench, account_id, *id)).await), Landed::Conflict, "pending");
    }
    for due in take_all(&bench).await {
        bench.record(&due, NextAttempt::Failed).await.unwrap();
    }
    assert_eq!(given_up(&bench, limit(3)).await.len(), effects.len());
    for id in &effects {
        commands.discard_effect(account_id, *id, REASON, &operator()).await.unwrap();
    }
    assert_eq!(bench.storage().discards(100).await.unwrap().len(), 2 * effects.len());
}

/// Effects in other states, and those of another account, cannot be discarded.
pub async fn a_discard_needs_a_reason_and_something_given_up(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, effects) = one_of_each(&bench).await;
    let stranger = bench.world.seller("other").await.account_id;
    let commands = bench.world.commands();
    let refused =
        async |account, id, reason: &str| code(commands.discard_effect(account, id, reason, &operator()).await);
    for id in &effects {
        assert_eq!(refused(account_id, *id, REASON).await, Code::AlreadyQueued);
    }
    for due in take_all(&bench).await {
        let next = if matches!(due.id, EffectId::Mail(_)) { NextAttempt::Succeeded } else { NextAttempt::Failed };
        bench.record(&due, next).await.unwrap();
    }
    for id in &effects {
        assert_eq!(refused(stranger, *id, REASON).await, Code::NotFound);
        assert_eq!(landed(&bench.commit(&discarding(&bench, stranger, *id)).await), Landed::Conflict, "a stranger's");
        for reason in ["", "  \n "] {
            assert_eq!(refused(account_id, *id, reason).await, Code::ValidationError);
        }
        if matches!(id, EffectId::Mail(_)) {
            assert_eq!(refused(account_id, *id, REASON).await, Code::NotFound);
            assert_eq!(landed(&bench.commit(&discarding(&bench, account_id, *id)).await), Landed::Conflict, "done");
        } else {
            commands.discard_effect(account_id, *id, REASON, &operator()).await.unwrap();
            assert_eq!(refused(account_id, *id, REASON).await, Code::NotFound);
        }
    }
}
