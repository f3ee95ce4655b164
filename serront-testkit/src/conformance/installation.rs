//! The installation's row: the first id stays, and one of several writers replaces a key check (#16).

use std::sync::Arc;

use serront_core::accounts::sealed::SealedSecret;
use serront_core::orders::receipt::samples;
use serront_core::primitives::ids::InstallationId;
use serront_core::snapshots::InstallationRow;

use super::Harness;
use super::bench::{Bench, at_once};

fn check(text: &str) -> SealedSecret {
    SealedSecret::stored(format!("sealed:{text}"))
}

/// Of several hosts that start at the same time, one host's id is kept, and all get it as the answer.
pub async fn hosts_that_start_at_once_agree_on_an_id(harness: &impl Harness) {
    let bench = Bench::new(harness);
    assert_eq!(bench.storage().installation().await.unwrap(), InstallationRow::default());
    let drawn: Vec<InstallationId> = (0..8).map(|_| bench.context(None).ids.installation()).collect();
    let calls = drawn.iter().map(|id| {
        let (storage, id) = (Arc::clone(&bench.world.storage), *id);
        async move { storage.begin_installation(id).await.unwrap() }
    });
    let answered = at_once(calls).await;
    let kept = answered[0];
    assert!(drawn.contains(&kept) && answered.iter().all(|id| *id == kept), "{answered:?}");
    let bench = bench.reopen().await;
    assert_eq!(bench.storage().begin_installation(bench.context(None).ids.installation()).await.unwrap(), kept);
    assert_eq!(bench.storage().installation().await.unwrap().id, Some(kept));
}

/// A key check replaces only the one that its writer read.
pub async fn a_key_check_is_replaced_by_one(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let present = async || bench.storage().installation().await.unwrap().key_check;
    assert!(!bench.storage().put_key_check(None, check("early")).await.unwrap(), "there is no installation yet");
    bench.storage().begin_installation(bench.context(None).ids.installation()).await.unwrap();
    let put_by_all = async |was: Option<SealedSecret>, name: &str| {
        let calls = (0..8).map(|index| {
            let (storage, was) = (Arc::clone(&bench.world.storage), was.clone());
            let check = check(&format!("{name}-{index}"));
            async move { storage.put_key_check(was, check.clone()).await.unwrap().then_some(check) }
        });
        let put: Vec<_> = at_once(calls).await.into_iter().flatten().collect();
        assert_eq!(put.len(), 1, "{name}");
        assert_eq!(present().await.as_ref(), put.first());
    };
    put_by_all(None, "first").await;
    let first = present().await;
    assert!(!bench.storage().put_key_check(None, check("late")).await.unwrap());
    put_by_all(first.clone(), "second").await;
    assert!(!bench.storage().put_key_check(first, check("late")).await.unwrap());
    let second = present().await;
    let bench = bench.reopen().await;
    assert_eq!(bench.storage().installation().await.unwrap().key_check, second);
}

/// The row says whether an account exists, and whether a payment names a receipt.
pub async fn the_row_says_what_is_there(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let there = async || {
        let row = bench.storage().installation().await.unwrap();
        (row.has_accounts, row.names_receipts)
    };
    assert_eq!(there().await, (false, false));
    let (_, placed) = bench.world.seller_with_order("studio").await;
    assert_eq!(there().await, (true, false));
    bench.world.receipt_uploads().upload(&placed.token, "image/png", samples::PNG).await.unwrap();
    assert_eq!(there().await, (true, true));
}
