//! Receipts in a local folder and in any other object store.
#![cfg(feature = "proofs")]
// Helpers outside of `#[test]` functions, which clippy.toml does not reach.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use serront_adapters::proofs::ObjectReceipts;
use serront_core::ports::{PortErrorKind, Receipts};
use serront_core::primitives::ids::{AccountId, InstallationId, UploadId};
use serront_core::primitives::time::Timestamp;

fn account(digit: u8) -> AccountId {
    format!("acc_01jtestvect0r000000000000{digit}").parse().unwrap()
}

fn upload(digit: u8) -> UploadId {
    format!("upl_01jtestvect0r000000000000{digit}").parse().unwrap()
}

fn far_future() -> Timestamp {
    Timestamp::from_millis(i64::MAX)
}

async fn listed(receipts: &ObjectReceipts, limit: u32) -> Vec<Vec<(AccountId, UploadId)>> {
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page: Vec<_> = receipts
            .list(far_future(), after, limit)
            .await
            .unwrap()
            .iter()
            .map(|stored| (stored.account_id, stored.upload_id))
            .collect();
        let Some(last) = page.last() else { return pages };
        after = Some(*last);
        pages.push(page);
    }
}

async fn keeps_replaces_and_removes(receipts: &ObjectReceipts) {
    assert_eq!(receipts.get(account(1), upload(1)).await.unwrap(), None);
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    receipts.put(account(1), upload(1), &bytes).await.unwrap();
    receipts.put(account(1), upload(1), &bytes).await.unwrap();
    assert_eq!(receipts.get(account(1), upload(1)).await.unwrap(), Some(bytes));
    assert_eq!(receipts.get(account(2), upload(1)).await.unwrap(), None, "another account's");
    receipts.put(account(1), upload(2), b"").await.unwrap();
    assert_eq!(receipts.get(account(1), upload(2)).await.unwrap(), Some(Vec::new()));
    receipts.delete(account(1), upload(1)).await.unwrap();
    receipts.delete(account(1), upload(1)).await.unwrap();
    assert_eq!(receipts.get(account(1), upload(1)).await.unwrap(), None);
}

async fn lists_in_order_and_in_pages(receipts: &ObjectReceipts) {
    let all: Vec<_> = (1..=3).flat_map(|a| (1..=3).map(move |u| (account(a), upload(u)))).collect();
    for (account_id, upload_id) in all.iter().rev() {
        receipts.put(*account_id, *upload_id, b"receipt").await.unwrap();
    }
    for limit in [1, 2, 4, 9, 100] {
        let pages = listed(receipts, limit).await;
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit as usize), "full pages of {limit}");
        assert_eq!(pages.concat(), all, "pages of {limit}");
    }
    assert_eq!(receipts.list(far_future(), None, 0).await.unwrap(), []);
    let first = receipts.list(far_future(), None, 1).await.unwrap()[0];
    assert!(
        receipts.list(first.stored_at, None, 9).await.unwrap().iter().all(|found| found.stored_at < first.stored_at)
    );
    assert_eq!(receipts.list(first.stored_at.minus(Duration::from_secs(60)), None, 9).await.unwrap(), []);
    // A removed upload is still a place to go on from.
    receipts.delete(account(2), upload(2)).await.unwrap();
    let rest = receipts.list(far_future(), Some((account(2), upload(2))), 1).await.unwrap();
    assert_eq!((rest[0].account_id, rest[0].upload_id), (account(2), upload(3)));
}

fn installation(digit: u8) -> InstallationId {
    format!("ins_01jtestvect0r000000000000{digit}").parse().unwrap()
}

async fn in_quarantine(receipts: &ObjectReceipts, before: Timestamp) -> Vec<(AccountId, UploadId, i64)> {
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let page = receipts.quarantined(before, after, 2).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some((last.account_id, last.upload_id));
        all.extend(page.iter().map(|found| (found.account_id, found.upload_id, found.since.millis())));
    }
}

/// An upload in quarantine can be read, is not listed, can be restored whole, and can be deleted (#16).
async fn quarantines_restores_and_discards(receipts: &ObjectReceipts) {
    let at = Timestamp::from_millis;
    let all: Vec<_> = (1..=3).flat_map(|a| (1..=2).map(move |u| (account(a), upload(u)))).collect();
    for (index, (account_id, upload_id)) in (0_i64..).zip(&all) {
        receipts.put(*account_id, *upload_id, format!("{index}").as_bytes()).await.unwrap();
        receipts.quarantine(*account_id, *upload_id, at(1_000 + index)).await.unwrap();
        receipts.quarantine(*account_id, *upload_id, at(9_000)).await.unwrap();
    }
    assert_eq!(listed(receipts, 10).await, Vec::<Vec<_>>::new());
    let expected: Vec<_> = (1_000_i64..).zip(&all).map(|(since, (a, u))| (*a, *u, since)).collect();
    assert_eq!(in_quarantine(receipts, far_future()).await, expected);
    assert_eq!(in_quarantine(receipts, at(1_002)).await, expected[..2]);
    assert_eq!(receipts.get(account(2), upload(1)).await.unwrap().as_deref(), Some(&b"2"[..]));
    receipts.delete(account(2), upload(1)).await.unwrap();
    assert_eq!(
        receipts.get(account(2), upload(1)).await.unwrap().as_deref(),
        Some(&b"2"[..]),
        "deleted elsewhere only"
    );
    for _ in 0..2 {
        receipts.restore(account(2), upload(1)).await.unwrap();
        receipts.discard(account(3), upload(2)).await.unwrap();
    }
    assert_eq!(listed(receipts, 10).await, [[(account(2), upload(1))]]);
    assert_eq!(receipts.get(account(2), upload(1)).await.unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(receipts.get(account(3), upload(2)).await.unwrap(), None);
    assert_eq!(in_quarantine(receipts, far_future()).await.len(), 4);
    // Moved by a copy that was not finished: it lies in both, and is moved once more.
    receipts.put(account(1), upload(1), b"0").await.unwrap();
    receipts.quarantine(account(1), upload(1), at(5_000)).await.unwrap();
    assert_eq!(in_quarantine(receipts, far_future()).await[0], (account(1), upload(1), 5_000), "the later time counts");
    assert_eq!(in_quarantine(receipts, at(5_000)).await.len(), 3);
    receipts.discard(account(1), upload(1)).await.unwrap();
    assert_eq!(receipts.get(account(1), upload(1)).await.unwrap(), None);
}

/// The first id that is written stays; only an adoption replaces it (#16).
async fn belongs_to_one_installation(receipts: &ObjectReceipts) {
    assert_eq!(receipts.installation().await.unwrap(), None);
    let tasks: Vec<_> = (1..=8)
        .map(|digit| {
            let receipts = receipts.clone();
            tokio::spawn(async move { receipts.begin_installation(installation(digit)).await.unwrap() })
        })
        .collect();
    let mut answered = Vec::new();
    for task in tasks {
        answered.push(task.await.unwrap());
    }
    let kept = receipts.installation().await.unwrap().unwrap();
    assert_eq!(answered, [kept; 8]);
    receipts.put(account(1), upload(1), b"receipt").await.unwrap();
    assert_eq!(listed(receipts, 10).await, [[(account(1), upload(1))]], "the id is no receipt");
    receipts.adopt(installation(9)).await.unwrap();
    assert_eq!(receipts.begin_installation(kept).await.unwrap(), installation(9));
}

#[tokio::test]
async fn a_folder_quarantines_restores_and_discards() {
    let folder = tempfile::tempdir().unwrap();
    quarantines_restores_and_discards(&ObjectReceipts::local(folder.path()).unwrap()).await;
    quarantines_restores_and_discards(&ObjectReceipts::new(Arc::new(InMemory::new()))).await;
}

#[tokio::test]
async fn a_folder_belongs_to_one_installation() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = ObjectReceipts::local(folder.path()).unwrap();
    belongs_to_one_installation(&receipts).await;
    let reopened = ObjectReceipts::local(folder.path()).unwrap();
    assert_eq!(reopened.installation().await.unwrap(), Some(installation(9)));
    fs::write(folder.path().join("installation"), b"something else").unwrap();
    assert_eq!(reopened.installation().await.unwrap_err().kind(), PortErrorKind::Permanent);
    belongs_to_one_installation(&ObjectReceipts::new(Arc::new(InMemory::new()))).await;
}

#[tokio::test]
async fn a_folder_keeps_replaces_and_removes() {
    let folder = tempfile::tempdir().unwrap();
    keeps_replaces_and_removes(&ObjectReceipts::local(folder.path().join("new/folder")).unwrap()).await;
}

#[tokio::test]
async fn a_folder_lists_in_order_and_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    lists_in_order_and_in_pages(&ObjectReceipts::local(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn any_other_store_does_the_same() {
    keeps_replaces_and_removes(&ObjectReceipts::new(Arc::new(InMemory::new()))).await;
    lists_in_order_and_in_pages(&ObjectReceipts::new(Arc::new(InMemory::new()))).await;
}

#[tokio::test]
async fn receipts_outlive_the_one_who_stored_them() {
    let folder = tempfile::tempdir().unwrap();
    ObjectReceipts::local(folder.path()).unwrap().put(account(1), upload(1), b"kept").await.unwrap();
    let reopened = ObjectReceipts::local(folder.path()).unwrap();
    assert_eq!(reopened.get(account(1), upload(1)).await.unwrap().as_deref(), Some(&b"kept"[..]));
    let path = folder.path().join(account(1).to_string()).join(upload(1).to_string());
    assert_eq!(fs::read(path).unwrap(), b"kept");
}

#[tokio::test]
async fn foreign_files_and_halves_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = ObjectReceipts::local(folder.path()).unwrap();
    receipts.put(account(1), upload(2), b"ours").await.unwrap();
    let ours = folder.path().join(account(1).to_string());
    fs::write(folder.path().join(upload(1).to_string()), b"no account").unwrap();
    fs::write(folder.path().join(".DS_Store"), b"").unwrap();
    fs::create_dir_all(folder.path().join("lost+found")).unwrap();
    fs::write(folder.path().join("lost+found").join(upload(1).to_string()), b"no account").unwrap();
    fs::write(ours.join("notes.txt"), b"").unwrap();
    fs::write(ours.join("odd name % ?.txt"), b"").unwrap();
    fs::write(ours.join(upload(1).to_string().to_uppercase()), b"").unwrap();
    fs::write(ours.join(format!("{}#1", upload(3))), b"half of an upl").unwrap();
    fs::create_dir_all(ours.join(upload(4).to_string())).unwrap();
    fs::write(ours.join(upload(4).to_string()).join("below"), b"").unwrap();
    assert_eq!(listed(&receipts, 10).await, [[(account(1), upload(2))]]);
    assert_eq!(receipts.get(account(1), upload(3)).await.unwrap(), None, "half of an upload is not there");
    receipts.put(account(1), upload(3), b"whole").await.unwrap();
    assert_eq!(receipts.get(account(1), upload(3)).await.unwrap().as_deref(), Some(&b"whole"[..]));
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_nowhere_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = ObjectReceipts::local(folder.path()).unwrap();
    receipts.put(account(1), upload(2), b"ours").await.unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join(account(1).to_string()).join("dangling")).unwrap();
    assert_eq!(listed(&receipts, 10).await, [[(account(1), upload(2))]]);
}

#[tokio::test]
async fn simultaneous_uploads_of_one_id_leave_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = ObjectReceipts::local(folder.path()).unwrap();
    let bytes = vec![7; 200_000];
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (receipts, bytes) = (receipts.clone(), bytes.clone());
            tokio::spawn(async move { receipts.put(account(1), upload(1), &bytes).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(receipts.get(account(1), upload(1)).await.unwrap(), Some(bytes));
}

#[tokio::test]
async fn a_failure_is_told_without_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let receipts = ObjectReceipts::local(folder.path()).unwrap();
    fs::write(folder.path().join(account(1).to_string()), b"a file where the folder should be").unwrap();
    let failure = receipts.put(account(1), upload(1), b"x").await.unwrap_err();
    assert_eq!(failure.kind(), PortErrorKind::OutcomeUnknown);
    let shown = std::error::Error::source(&failure).unwrap().to_string();
    assert_eq!(shown, "the store of receipts failed");
    assert!(ObjectReceipts::local(folder.path().join(account(1).to_string())).is_err());
}
