//! `ledger reconcile` with the real binary: compares the sandbox's ledger with ours.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use serront_core::funds::ledger::Direction;
use serront_testkit::sandbox::{Route, SandboxEntry};
use support::shop::Shop;
use support::{Engine, eventually};

mod support;

on_both_engines!(
    two_ledgers_that_agree_are_said_to,
    what_either_side_lacks_is_said_and_nothing_is_changed,
    a_killed_run_continues_after_its_last_page,
    what_can_not_be_compared_is_refused,
);

fn entry(code: &str, direction: Direction, amount: i64, source: (&str, &str)) -> SandboxEntry {
    SandboxEntry {
        code: code.to_owned(),
        direction,
        amount,
        currency: "IDR".to_owned(),
        source_type: source.0.to_owned(),
        source_id: source.1.to_owned(),
        memo: None,
    }
}

fn journal(shop: &Shop) -> PathBuf {
    shop.installation.path().join("reconcile").join(format!("{}.jsonl", shop.account))
}

/// Reconciles. Returns the report, and whether the exit code says that the ledgers agree.
fn reconciled(shop: &Shop, more: &[&str]) -> (bool, String) {
    let output = shop.installation.output(&[&["ledger", "reconcile", &shop.account], more].concat());
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), complaint.is_empty(), "{complaint}");
    assert!(complaint.is_empty() || complaint.contains("do not agree"), "{complaint}");
    assert!(!journal(shop).exists(), "nothing is left to go on from");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn reported(shop: &Shop) -> (bool, Value) {
    let (agrees, report) = reconciled(shop, &["--json"]);
    (agrees, serde_json::from_str(&report).unwrap())
}

async fn two_ledgers_that_agree_are_said_to(engine: Engine) {
    let shop = Shop::open(engine).await;
    let merchant = shop.merchant().await;
    let nothing = json!({
        "accountId": shop.account, "merchantId": merchant, "theirEntries": 0, "ourEntries": 0, "foreignEntries": 0,
        "matched": 0, "missingHere": [], "missingThere": [], "unequal": [], "byCode": [],
    });
    assert_eq!(reported(&shop), (true, nothing));
    for amount in [125_000, 1_000, 7] {
        shop.earn(amount).await;
    }
    // Refunds there and adjustments here change the sums but no session.
    let refund = entry("refund", Direction::Debit, 1_000, ("refund", "re_1"));
    assert!(shop.provider.sandbox().post_entry(&merchant, refund));
    let adjust = ["ledger", "adjust", &shop.account, "-1000", "--reason", "Refund", "--reference", "re_1"];
    shop.installation.admin(&adjust);
    shop.switch(false).await.data();
    let sums = |debits: i64, credits: i64| json!({"debits": debits, "credits": credits});
    let code = |code: &str, theirs: Value, ours: Value| json!({"code": code, "theirs": theirs, "ours": ours});
    let expected = json!({
        "accountId": shop.account, "merchantId": merchant, "theirEntries": 7, "ourEntries": 6, "foreignEntries": 0,
        "matched": 3, "missingHere": [], "missingThere": [], "unequal": [],
        "byCode": [
            code("adjustment", sums(0, 0), sums(1_000, 0)),
            code("clearing", sums(126_007, 0), sums(0, 0)),
            code("module_fee", sums(0, 0), sums(378, 0)),
            code("refund", sums(1_000, 0), sums(0, 0)),
            code("sale", sums(0, 126_007), sums(0, 126_007)),
        ],
    });
    assert_eq!(reported(&shop), (true, expected));
    let (agrees, text) = reconciled(&shop, &[]);
    assert!(agrees && text.ends_with("\nThe sessions agree.\n"), "{text}");
    for line in ["3 sessions are equal on both sides", "Rp 126.007"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

async fn what_either_side_lacks_is_said_and_nothing_is_changed(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (merchant, sandbox) = (shop.merchant().await, shop.provider.sandbox());
    let (both, lost, other) = (shop.earn(10_000).await, shop.earn(20_000).await, shop.earn(30_000).await);
    assert_eq!(sandbox.forget_entries(&lost), 2);
    let sale = |amount, session: &str| entry("sale", Direction::Credit, amount, ("checkout_session", session));
    let dollars = SandboxEntry { currency: "USD".to_owned(), ..sale(9, "cs_dollars") };
    for unknown in [sale(40_000, "cs_unheard_of"), sale(1, &other), dollars] {
        assert!(sandbox.post_entry(&merchant, unknown));
    }
    let (balance, entries) = (shop.balance().await, shop.entries("").await);
    let (agrees, report) = reported(&shop);
    assert!(!agrees);
    let told = |name: &str| report[name].clone();
    assert_eq!(told("missingHere"), json!([{"sessionId": "cs_unheard_of", "amount": 40_000}]));
    assert_eq!(told("missingThere"), json!([{"sessionId": lost, "amount": 20_000}]));
    assert_eq!(told("unequal"), json!([{"sessionId": other, "theirs": 30_001, "ours": 30_000}]));
    assert_eq!((told("matched"), told("foreignEntries")), (json!(1), json!(1)));
    let (agrees, text) = reconciled(&shop, &[]);
    assert!(!agrees && text.ends_with("\nThe sessions do not agree.\n"), "{text}");
    for line in [
        "Sessions that only Plugipay has: 1\n  cs_unheard_of  Rp 40.000\n".to_owned(),
        format!("Sessions that only our ledger has: 1\n  {lost}  Rp 20.000\n"),
        format!("  {other}  Rp 30.001 at Plugipay, Rp 30.000 in our ledger\n"),
        "1 entries at Plugipay are in another currency".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(!text.contains(&both), "{text}");
    assert_eq!((shop.balance().await, shop.entries("").await), (balance, entries));
}

/// Killed at the end of the test, if not before.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn a_killed_run_continues_after_its_last_page(engine: Engine) {
    const PAGES: u64 = 9;
    let shop = Shop::open(engine).await;
    shop.earn(5_000).await;
    let (merchant, sandbox) = (shop.merchant().await, shop.provider.sandbox());
    for nth in 0..PAGES * 100 - 50 {
        let more = entry("tips", Direction::Credit, 1, ("tip", &format!("tip_{nth}")));
        assert!(sandbox.post_entry(&merchant, more));
    }
    let calls = || sandbox.arrived(Route::ListEntries);
    sandbox.switch(|switches| switches.slowness = Duration::from_millis(300));
    let mut command = shop.installation.command();
    command.args(["ledger", "reconcile", &shop.account]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let whole_lines = || std::fs::read_to_string(journal(&shop)).unwrap_or_default().matches('\n').count();
    // The head line and four pages.
    eventually("four pages", || whole_lines() >= 5).await;
    let meanwhile = shop.installation.complaint(&["ledger", "reconcile", &shop.account]);
    assert!(meanwhile.contains("another reconciliation of this account is running"), "{meanwhile}");
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    let kept = u64::try_from(whole_lines()).unwrap() - 1;
    // A page that was being sent when the process was killed may still arrive.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let before = calls();
    assert!((4..PAGES).contains(&kept) && before <= kept + 1, "{kept} pages, {before} calls");

    sandbox.heal();
    let (agrees, report) = reported(&shop);
    assert_eq!(calls() - before, PAGES - kept, "only what was not read before is read");
    assert!(agrees);
    assert_eq!((&report["theirEntries"], &report["matched"]), (&json!(PAGES * 100 - 48), &json!(1)));
    let before = calls();
    assert_eq!(reported(&shop), (agrees, report), "it is what a run in one go says");
    assert_eq!(calls() - before, PAGES);

    // A failure also keeps the pages read so far; --restart discards them.
    for (more, read) in [(&[][..], PAGES - 1), (&["--restart"], PAGES)] {
        sandbox.switch(|switches| switches.slowness = Duration::from_millis(100));
        let mut running = Running(command.spawn().unwrap());
        eventually("a page", || whole_lines() >= 2).await;
        sandbox.switch(|switches| switches.outage = Some(Duration::from_secs(1)));
        assert!(!running.0.wait().unwrap().success());
        let kept = u64::try_from(whole_lines()).unwrap() - 1;
        sandbox.heal();
        let before = calls();
        assert!(reconciled(&shop, more).0);
        let expected = if more.is_empty() { PAGES - kept } else { read };
        assert_eq!(calls() - before, expected, "{more:?}");
    }
}

async fn what_can_not_be_compared_is_refused(engine: Engine) {
    let shop = Shop::open(engine).await;
    let (never_set_up, _) = shop.installation.account("starter");
    let nobody = "acc_01jtestvect0r0000000000000".to_owned();
    for (account, told) in [(&never_set_up, "never set up"), (&nobody, "account")] {
        let complaint = shop.installation.complaint(&["ledger", "reconcile", account]);
        assert!(complaint.contains(told), "{complaint}");
    }
    let without_a_key = ["ledger", "reconcile", &shop.account, "--plugipay-key-id=", "--plugipay-secret="];
    let complaint = shop.installation.complaint(&without_a_key);
    assert!(complaint.contains("not set up on this installation"), "{complaint}");
    shop.provider.sandbox().switch(|switches| switches.outage = Some(Duration::from_secs(1)));
    let complaint = shop.installation.complaint(&["ledger", "reconcile", &shop.account]);
    assert!(complaint.contains("answered 503"), "{complaint}");
}
