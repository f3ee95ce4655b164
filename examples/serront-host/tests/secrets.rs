//! Secrets at rest and keys, with the real binary: sealing in the database, resealing while a host serves, errors for missing
//! keys, and deleted keys that no longer work on any host.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use serde_json::json;
use serront_core::accounts::key::WebhookSecret;
use serront_core::primitives::page::Limit;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature;
use support::{Client, Engine, Installation, Received, Receiver, eventually};

mod support;

on_both_engines!(
    keys_are_rotated_while_a_host_runs_and_old_ones_forgotten,
    a_host_without_the_keys_says_so_and_loses_nothing,
    a_deleted_key_opens_nothing_at_any_host,
);

fn key_file(installation: &Installation) -> PathBuf {
    installation.folder.path().join("secrets.key")
}

/// The number of keys in the file.
fn keys(installation: &Installation) -> usize {
    let text = std::fs::read_to_string(key_file(installation)).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// The present secrets of all subscriptions, as they are stored.
async fn stored(installation: &Installation) -> Vec<String> {
    let page = installation.storage().await.subscription_secrets(None, Limit::EXPORT).await.unwrap();
    page.rows.iter().map(|row| row.secret.as_stored().to_owned()).collect()
}

fn is_signed(received: &Received, secret: &WebhookSecret) -> bool {
    let header = received.header("serront-signature");
    let seconds: i64 = header.strip_prefix("t=").and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap();
    header == signature::sign(secret, Timestamp::from_millis(seconds * 1_000), &received.body)
}

async fn subscribe(client: &Client, receiver: &Receiver) -> WebhookSecret {
    let made = client.call("POST", "/api/v1/webhook-subscriptions", Some(json!({"url": receiver.url}))).await.data();
    WebhookSecret::parse(made["secret"].as_str().unwrap()).unwrap()
}

async fn keys_are_rotated_while_a_host_runs_and_old_ones_forgotten(engine: Engine) {
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("studio").await;
    let receiver = Receiver::start().await;
    let secret = subscribe(&client, &receiver).await;
    let before = stored(&installation).await;
    assert!(before[0].starts_with("sealed:") && !before[0].contains(secret.reveal()));
    assert_eq!(keys(&installation), 1);

    let rotated = installation.admin(&["secrets", "rotate"]);
    let new = format!("sealed:{}.", rotated["keyId"].as_str().unwrap());
    assert_eq!(keys(&installation), 2);
    let resealed = json!({"seen": 1, "resealed": 1, "unopened": 0});
    assert_eq!(installation.admin(&["secrets", "reseal"]), resealed);
    assert!(stored(&installation).await[0].starts_with(&new));
    // The running host uses the new key too.
    let second = subscribe(&client, &receiver).await;
    assert!(stored(&installation).await.iter().all(|stored| stored.starts_with(&new)));
    let forgotten = installation.admin(&["secrets", "forget"]);
    assert_eq!((&forgotten["resealed"], forgotten["forgotten"].as_array().unwrap().len()), (&json!(0), 1));
    assert_eq!(keys(&installation), 1);

    client.order("studio").await;
    eventually("both deliveries", || receiver.received().len() == 2).await;
    for secret in [&secret, &second] {
        assert_eq!(receiver.received().iter().filter(|received| is_signed(received, secret)).count(), 1);
    }
    assert!(host.stop());
}

async fn a_host_without_the_keys_says_so_and_loses_nothing(engine: Engine) {
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("studio").await;
    let receiver = Receiver::start().await;
    let secret = subscribe(&client, &receiver).await;
    assert!(host.stop());

    let file = key_file(&installation);
    let kept = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let told = installation.complaint(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("secrets.key") && told.contains("copy the file"), "{told}");
    assert!(!file.exists(), "other keys would hide that");

    // With the wrong keys it does not start (#16).
    let others = format!("{}\n", "5a".repeat(32));
    std::fs::write(&file, &others).unwrap();
    let output = installation.output(&["secrets", "reseal"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("these keys do not open"), "{told}");
    let told = installation.complaint(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(told.contains("secrets.key: these keys do not open"), "{told}");

    // It loses the right keys while it serves, and notices when it seals: deliveries to be signed wait.
    std::fs::write(&file, &kept).unwrap();
    let host = installation.serve();
    std::fs::write(&file, &others).unwrap();
    let client = Client::new(&host, &key);
    let elsewhere = Some(json!({"url": receiver.url, "events": ["serront.order.payment_confirmed.v1"]}));
    client.call("POST", "/api/v1/webhook-subscriptions", elsewhere).await.data();
    client.order("studio").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let deliveries = client.call("GET", "/api/v1/webhook-subscriptions/deliveries", None).await.data();
    assert_eq!((&deliveries[0]["status"], &deliveries[0]["attempts"]), (&json!("pending"), &json!(0)));

    std::fs::write(&file, [kept, others.into_bytes()].concat()).unwrap();
    eventually("the delivery", || receiver.received().len() == 1).await;
    assert!(is_signed(&receiver.received()[0], &secret));
}

async fn a_deleted_key_opens_nothing_at_any_host(engine: Engine) {
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let (one, other) = (installation.serve(), installation.serve());
    let (first, second) = (Client::new(&one, &key), Client::new(&other, &key));
    let made = first.call("POST", "/api/v1/api-keys", Some(json!({"name": "till"}))).await.data();
    let till = made["key"].as_str().unwrap();
    // Used on both hosts, by the API and at the pages, so that a host could have cached it.
    let mut sessions = Vec::new();
    for host in [&one, &other] {
        let client = Client::new(host, till);
        client.call("GET", "/api/v1/orders", None).await.data();
        sessions.push(sign_in(&host.url, till).await);
    }
    for session in &sessions {
        for host in [&one, &other] {
            assert_eq!(dashboard(&host.url, session).await, 200, "either host takes the other's session");
        }
    }
    let delete = format!("/api/v1/api-keys/{}", made["id"].as_str().unwrap());
    second.call("DELETE", &delete, None).await.data();
    for host in [&one, &other] {
        let refused = Client::new(host, till).call("GET", "/api/v1/orders", None).await;
        assert_eq!(refused.refusal(), (401, "UNAUTHORIZED".to_owned()));
        for session in &sessions {
            assert_eq!(dashboard(&host.url, session).await, 303);
        }
    }
    first.call("GET", "/api/v1/orders", None).await.data();
}

fn browser() -> reqwest::Client {
    support::http();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// The session's cookie.
async fn sign_in(url: &str, key: &str) -> String {
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("key", key).finish();
    let login = browser().post(format!("{url}/dashboard/login"));
    let answer = login.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 303);
    answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

async fn dashboard(url: &str, cookie: &str) -> u16 {
    let asked = browser().get(format!("{url}/dashboard")).header("accept", "text/html").header("cookie", cookie);
    asked.send().await.unwrap().status().as_u16()
}
