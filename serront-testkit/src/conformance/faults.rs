//! Many concurrent calls, dropped calls and lost answers: no call blocks or fails because of another one.

use std::sync::Arc;

use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Committed, Row};
use serront_core::orders::audit::Act;
use serront_core::orders::order::OrderNumber;
use serront_core::ports::{CommitError, PortErrorKind};
use serront_core::primitives::rejection::Code;
use serront_core::primitives::text::Slug;
use serront_core::primitives::version::Version;
use serront_core::service::{Commands, Failure};
use serront_core::snapshots::{OrderFilter, OrderKey};

use super::Harness;
use super::bench::{Bench, Landed, at_once, commit_at_once, exact};
use crate::faults::{Call, FaultyStorage, Rates};
use crate::world::{self, Placed};

async fn place_many<H: Harness + ?Sized>(bench: &Bench<'_, H>, seller: &world::Seller, count: usize) -> Vec<Placed> {
    let mut placed = Vec::new();
    for index in 0..count {
        placed.push(bench.world.place(seller, &format!("Budi {index}")).await);
    }
    placed
}

async fn confirmations<H: Harness + ?Sized>(bench: &Bench<'_, H>, placed: &Placed) -> usize {
    let trail = bench.storage().audit(placed.account_id, placed.id).await.unwrap();
    trail.iter().filter(|record| matches!(record.act, Act::Payment { .. })).count()
}

/// A single caller is answered without waiting for other calls.
pub async fn a_single_caller_does_not_wait(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    for number in 1..=10 {
        let (_, _, change) = bench.placing(&seller, None).await;
        // A call dropped before its answer does not block the next one.
        let leaving = tokio::spawn({
            let (storage, change) = (Arc::clone(&bench.world.storage), change.clone());
            async move { storage.commit(&change).await.is_ok() }
        });
        tokio::task::yield_now().await;
        leaving.abort();
        assert_eq!(bench.lands(&change).await, Committed { number: Some(OrderNumber(number)) });
    }
}

/// Of change sets of all kinds at the same time, each gets the answer that it would get alone.
pub async fn concurrent_commits_fail_independently(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let taken = ClaimName::ServiceSlug(Slug::parse("slug", "taken").unwrap());
    bench.lands(&bench.claiming(seller.account_id, taken.clone())).await;
    for round in 0..4_u32 {
        let (mut changes, mut expected) = (Vec::<ChangeSet>::new(), Vec::new());
        for index in 0..35 {
            let (_, _, mut change) = bench.placing(&seller, None).await;
            expected.push(match index % 7 {
                0 => {
                    change.guards.push(exact(Row::Account, Version(99)));
                    Some(Landed::Conflict)
                }
                1 => {
                    change.claims.push(Claim::of(taken.clone()));
                    Some(Landed::Duplicate(taken.clone()))
                }
                2 => {
                    let again = change.writes.first().cloned().unwrap();
                    change.writes.push(again);
                    Some(Landed::Port(PortErrorKind::Permanent))
                }
                // Repeats the change set before it, which lands, while that one is still being committed.
                4 => {
                    change = changes.last().cloned().unwrap();
                    None
                }
                // Lands, with a number.
                _ => None,
            });
            changes.push(change);
        }
        let answers = commit_at_once(&bench.world.storage, changes).await;
        let mut numbers = Vec::new();
        for (index, (answer, expected)) in answers.into_iter().zip(expected).enumerate() {
            match (answer, expected) {
                (Landed::Yes(Committed { number: Some(number) }), None) => numbers.push(number.0),
                (answer, expected) => assert_eq!(Some(answer), expected, "round {round}, {index}"),
            }
        }
        numbers.sort_unstable();
        assert_eq!(numbers.len(), 20);
        numbers.dedup();
        assert_eq!(numbers, (round * 15 + 1..=round * 15 + 15).collect::<Vec<_>>(), "round {round}");
    }
    assert_eq!(bench.all_orders(seller.account_id, &OrderFilter::default()).await.len(), 60);
}

/// Calls are dropped at any point, first ones and waiting ones: all others are answered, and a dropped change set lands
/// once or not at all.
pub async fn dropped_calls_do_not_block_others(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let placed = place_many(&bench, &seller, 60).await;
    let mut changes = Vec::new();
    for order in &placed {
        changes.push(bench.confirming(order, None).await);
    }
    let crowd = changes.iter().cloned().enumerate().map(|(index, change)| {
        let storage = Arc::clone(&bench.world.storage);
        async move {
            if index % 3 == 0 {
                return Some(storage.commit(&change).await.is_ok());
            }
            // Some are dropped immediately, some after about the duration of a commit.
            let patience = async {
                for _ in 0..(index * 37) % 401 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = patience => None,
                answer = storage.commit(&change) => Some(answer.is_ok()),
            }
        }
    });
    let answers = at_once(crowd).await;
    assert!(answers.iter().flatten().all(|landed| *landed), "{answers:?}");
    // Reads are combined as well.
    let reads = placed.iter().cloned().enumerate().map(|(index, order)| {
        let storage = Arc::clone(&bench.world.storage);
        async move {
            let key = OrderKey::Id(order.account_id, order.id);
            tokio::select! {
                biased;
                () = tokio::task::yield_now(), if index % 2 == 0 => true,
                found = storage.order(key, None) => found.is_ok_and(|found| found.is_some()),
            }
        }
    });
    assert!(at_once(reads).await.into_iter().all(|answered| answered));
    for (order, change) in placed.iter().zip(&changes) {
        assert_eq!(bench.lands(change).await, Committed { number: None });
        assert_eq!(confirmations(&bench, order).await, 1);
    }
    assert_eq!(bench.world.dispatch_all().await, placed.len(), "one mail each");
}

/// Workers over a storage whose requests and answers are lost, repeated and refused by a seed: the service answers
/// success at most once per order, and in the end each order is confirmed once and mailed once.
pub async fn lost_answers_change_nothing(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let placed = place_many(&bench, &seller, 24).await;
    let faulty = Arc::new(FaultyStorage::new(harness.storage()));
    let faults = faulty.faults();
    let rates =
        Rates { fail_before: 60, lose_request: 80, lose_answer: 120, conflict: 60, duplicate: 100, ..Rates::NONE };
    faults.rule(move |call, before| if call == Call::Commit { rates.draw(11, call, before) } else { None });
    let workers = (0..4).map(|worker| {
        let (world, mut orders, faulty) = (bench.world.clone(), placed.clone(), Arc::clone(&faulty));
        orders.rotate_left(worker * 5);
        async move {
            let mut confirmed = 0;
            for order in orders {
                let commands = Commands::new(&*faulty, world.environment());
                match commands.confirm_payment(account_id, order.id, &world::host(), None, None).await {
                    Ok(_) => confirmed += 1,
                    Err(Failure::Rejected(rejection)) if rejection.code() == Code::InvalidTransition => {}
                    Err(Failure::Port { error, .. }) if error.kind() != PortErrorKind::Permanent => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            confirmed
        }
    });
    let confirmed: usize = at_once(workers).await.into_iter().sum();
    assert!(confirmed <= placed.len(), "{confirmed} confirmations of {}", placed.len());
    faults.heal();
    for order in &placed {
        let again = bench.confirming_if_open(order).await;
        if let Some(change) = again {
            bench.lands(&change).await;
        }
        assert_eq!(confirmations(&bench, order).await, 1);
    }
    assert_eq!(bench.world.dispatch_all().await, placed.len(), "one mail each");
    // Sent again, a change set never takes effect twice, whether it landed before or not.
    for change in faulty.sent() {
        let known = bench.storage().outcome(account_id, change.id).await.unwrap();
        match bench.commit(&change).await {
            Ok(committed) => assert_eq!(Some(committed), known),
            Err(CommitError::Conflict | CommitError::Duplicate(_)) => assert_eq!(known, None),
            Err(CommitError::Port(error)) => panic!("{error:?}"),
        }
    }
}
