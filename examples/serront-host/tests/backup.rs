//! The backup described in `docs/operating.md` (#16): a copy of receipts, database and key file made while the host serves, then
//! restored elsewhere, verified, and served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use serront_core::accounts::key::WebhookSecret;
use serront_core::changes::effect::EffectStatus;
use serront_core::orders::receipt::samples;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature::sign;
use serront_testkit::postgres::{fresh_schema, program};
use support::{Client, Engine, Installation, Receiver, eventually};

mod support;

on_both_engines!(a_copy_made_while_it_serves_is_whole_elsewhere);

/// Adds new files of a folder to its copy and deletes none: `cp --recursive --no-clobber`.
fn add_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        // A file may be deleted or renamed during the copy.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => add_files(&entry.path(), &copy),
            Ok(_) if !copy.exists() => drop(std::fs::copy(entry.path(), copy)),
            Ok(_) | Err(_) => {}
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Copies the database while it is in use. Returns the source of a restore.
async fn copy_database(installation: &Installation, copy: &Path) {
    match installation.server() {
        None => installation.sql(&format!("VACUUM INTO '{}'", copy.display())).await,
        Some((url, schema)) => run(Command::new(program("pg_dump"))
            .args(["--format=plain", "--schema", schema, "--file"])
            .arg(copy)
            .arg(url)),
    }
}

/// An installation in another folder, and in a new database if it is on a server.
async fn restored(original: &Installation, copies: &Path) -> Installation {
    let server = match original.server() {
        None => None,
        Some((url, schema)) => {
            let name = format!("restored_{}", fresh_schema());
            original.sql(&format!("CREATE DATABASE {name}")).await;
            let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
            run(Command::new(program("psql"))
                .args(["--quiet", "--set", "ON_ERROR_STOP=1", "--file"])
                .arg(copies.join("database"))
                .arg(&url));
            Some((url, schema.clone()))
        }
    };
    let restored = Installation::on(server);
    if restored.server().is_none() {
        std::fs::copy(copies.join("database"), restored.path().join("serront.db")).unwrap();
    }
    std::fs::copy(copies.join("secrets.key"), restored.path().join("secrets.key")).unwrap();
    add_files(&copies.join("proofs"), &restored.path().join("proofs"));
    restored
}

/// One of two receipts, in turn.
fn receipt(n: usize) -> (&'static str, &'static [u8]) {
    if n.is_multiple_of(2) { ("image/png", samples::PNG) } else { ("image/jpeg", samples::JPEG) }
}

/// Places an order and uploads a receipt for it. Returns its token.
async fn pay(client: &Client, n: usize) -> String {
    let (_, token) = client.order("renata").await;
    let (kind, bytes) = receipt(n);
    let path = format!("/api/v1/public/orders/{token}/proof");
    client.send("PUT", &path, &[("content-type", kind)], Some(bytes.to_vec())).await.data();
    token
}

async fn a_copy_made_while_it_serves_is_whole_elsewhere(engine: Engine) {
    let no_limit = ("SERRONT_PUBLIC_RATE_PER_MINUTE", "0".to_owned());
    let installation = Installation::new(engine).with([no_limit.clone()]);
    let (account, key) = installation.account("starter");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    let receiver = Receiver::start().await;
    client.open_shop("renata").await;
    let subscription = json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]});
    let made = client.call("POST", "/api/v1/webhook-subscriptions", Some(subscription)).await.data();
    let secret = WebhookSecret::parse(made["secret"].as_str().unwrap()).unwrap();
    let adjust = ["ledger", "adjust", &account, "750000", "--reason", "Opening", "--reference", "R-1"];
    installation.admin(&adjust);

    // One order that is confirmed before the copy, and one that waits.
    let confirm = |id: &str| format!("/api/v1/orders/{id}/confirm-payment");
    pay(&client, 0).await;
    pay(&client, 1).await;
    let ids = client.order_ids().await;
    client.call("POST", &confirm(&ids[0]), None).await.data();
    eventually("the mail and the event", || installation.mails().len() == 1 && receiver.received().len() == 1).await;
    let sent = installation.mails()[0].0.clone();
    let storage = installation.storage().await;
    let mut recorded = false;
    for _ in 0..3_000 {
        let found = storage.effect(account.parse().unwrap(), sent.parse().unwrap()).await.unwrap().unwrap();
        recorded = found.status == EffectStatus::Succeeded;
        if recorded {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(recorded, "the mail's attempt is recorded");
    client.list_of("/api/v1/webhook-subscriptions/deliveries?status=succeeded", 1).await;

    // Receipts are replaced before it is copied, and orders and uploads continue during the copy.
    let (busy, copies) = (Arc::new(AtomicBool::new(true)), tempfile::TempDir::new().unwrap());
    let paid = Arc::new(AtomicUsize::new(0));
    let traffic = {
        let (client, busy, paid) = (client.clone(), Arc::clone(&busy), Arc::clone(&paid));
        tokio::spawn(async move {
            let mut n = 2;
            while busy.load(Ordering::Acquire) || n < 10 {
                let token = pay(&client, n).await;
                if n < 5 {
                    let path = format!("/api/v1/public/orders/{token}/proof");
                    let png = [("content-type", "image/png")];
                    client.send("PUT", &path, &png, Some(samples::PNG.to_vec())).await.data();
                }
                n += 1;
                paid.fetch_add(1, Ordering::AcqRel);
            }
        })
    };
    eventually("traffic", || paid.load(Ordering::Acquire) >= 3).await;
    add_files(&installation.path().join("proofs"), &copies.path().join("proofs"));
    copy_database(&installation, &copies.path().join("database")).await;
    std::fs::copy(installation.path().join("secrets.key"), copies.path().join("secrets.key")).unwrap();
    add_files(&installation.path().join("proofs"), &copies.path().join("proofs"));
    busy.store(false, Ordering::Release);
    traffic.await.unwrap();
    host.kill();
    drop(storage);

    let restored = restored(&installation, copies.path()).await.with([no_limit]);
    let report = restored.admin(&["ledger", "verify"]);
    assert_eq!((report["differences"].clone(), report["entries"].clone()), (json!([]), json!(2)));
    let host = restored.serve();
    let client = Client::new(&host, &key);
    let orders = client.order_ids().await;
    assert_eq!(orders[..2], ids[..], "numbers go on");
    for (n, id) in orders.iter().enumerate() {
        let order = client.call("GET", &format!("/api/v1/orders/{id}"), None).await.data();
        // The last order has no receipt yet.
        if order["hasProof"] == Value::Bool(false) {
            assert_eq!(n + 1, orders.len(), "{order}");
            continue;
        }
        let (_, bytes) = client.download(&format!("/api/v1/orders/{id}/proof")).await;
        assert!([samples::PNG, samples::JPEG].contains(&bytes.as_slice()), "order {n}");
    }
    let balance = restored.storage().await.balance(account.parse().unwrap()).await.unwrap();
    assert_eq!(balance.iter().map(|totals| totals.credits - totals.debits).sum::<i64>(), 750_000);

    // Deliveries are not sent again. Secrets can be opened, so new deliveries are signed as before.
    client.call("POST", &confirm(&ids[1]), None).await.data();
    eventually("the second mail and event", || restored.mails().len() == 1 && receiver.received().len() == 2).await;
    let mails: BTreeSet<_> = restored.mails().into_iter().map(|(id, _)| id).collect();
    assert!(!mails.contains(&sent), "a mail that was sent before the copy is sent again");
    let received = receiver.received().pop().unwrap();
    let signature = received.header("serront-signature");
    let seconds: i64 = signature["t=".len()..signature.find(',').unwrap()].parse().unwrap();
    assert_eq!(signature, sign(&secret, Timestamp::from_millis(seconds * 1_000), &received.body));
    let ready = client.call("GET", "/readyz", None).await.data();
    assert_eq!(ready, json!({"status": "ready"}));
}
