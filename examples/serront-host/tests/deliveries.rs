//! Webhooks over real connections: secrets that are rotated, and what was given up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use serront_core::signature::{Unverified, verify};
use serront_core::time::Timestamp;
use support::{Client, Engine, Installation, Received, Receiver, eventually};

mod support;

on_both_engines!(
    a_rotated_secret_signs_at_once_and_the_one_before_beside_it,
    what_was_given_up_is_listed_tried_again_and_discarded,
);

const SUBSCRIPTIONS: &str = "/api/v1/webhook-subscriptions";

fn verified(received: &Received, secrets: &[&str]) -> Result<(), Unverified> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap());
    let header = received.header("serront-signature");
    verify(header, received.body.as_bytes(), secrets, now, Duration::from_secs(300))
}

async fn a_rotated_secret_signs_at_once_and_the_one_before_beside_it(engine: Engine) {
    let installation = Installation::new(engine);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    let receiver = Receiver::start().await;
    client.open_shop("studio-renata").await;
    let made = client.call("POST", SUBSCRIPTIONS, Some(json!({"url": receiver.url}))).await.data();
    let old = made["secret"].as_str().unwrap();
    client.order("studio-renata").await;
    eventually("the first event", || receiver.received().len() == 1).await;
    assert_eq!(verified(&receiver.received()[0], &[old]), Ok(()));

    let path = format!("{SUBSCRIPTIONS}/{}/rotate-secret", made["id"].as_str().unwrap());
    let once = [("idempotency-key", "rotate-1")];
    let rotated = client.send("POST", &path, &once, None).await.data();
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&rotated), fields(&made), "as it was made");
    let again = client.send("POST", &path, &once, None).await;
    assert_eq!(again.refusal(), (409, "IDEMPOTENCY_KEY_IN_USE".into()), "a secret is shown once");
    let listed = client.call("GET", SUBSCRIPTIONS, None).await.data();
    assert!(!listed.to_string().contains("whsec_"));

    client.order("studio-renata").await;
    eventually("the second event", || receiver.received().len() == 2).await;
    let second = &receiver.received()[1];
    for secret in [old, new] {
        assert_eq!(verified(second, &[secret]), Ok(()));
    }
    let signature = second.header("serront-signature");
    let (time, signatures) = signature.split_once(',').unwrap();
    let (first, last) = signatures.split_once(',').unwrap();
    for (alone, right, wrong) in [(first, old, new), (last, new, old)] {
        let mut received = second.clone();
        received.headers.insert("serront-signature", format!("{time},{alone}").parse().unwrap());
        assert_eq!(verified(&received, &[right]), Ok(()));
        assert_eq!(verified(&received, &[wrong]), Err(Unverified::Mismatch));
    }

    let stranger = installation.account("free").1;
    let stranger = Client::new(&host, &stranger);
    assert_eq!(stranger.call("POST", &path, None).await.refusal(), (404, "NOT_FOUND".into()));
    assert!(host.stop());
}

async fn what_was_given_up_is_listed_tried_again_and_discarded(engine: Engine) {
    let installation = Installation::new(engine);
    let (account, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("studio-renata").await;
    // Nobody listens there.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let made = client.call("POST", SUBSCRIPTIONS, Some(json!({"url": format!("http://{nowhere}/hook")}))).await.data();
    let subscription = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().unwrap());
    client.order("studio-renata").await;
    client.order("studio-renata").await;
    let deliveries = format!("{SUBSCRIPTIONS}/deliveries");
    loop {
        let log = client.call("GET", &deliveries, None).await.data();
        if log.as_array().unwrap().iter().filter(|delivery| delivery["attempts"] == 1).count() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(installation.lines(&["outbox", "list"]), Vec::<Value>::new(), "they are tried again by themselves");
    client.call("PATCH", &subscription, Some(json!({"active": false}))).await.data();

    let listed = installation.lines(&["outbox", "list"]);
    assert_eq!(listed.len(), 2);
    assert_eq!(installation.lines(&["outbox", "list", "--limit", "1"]), listed[..1]);
    let ids: Vec<&str> = listed.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(
        listed[0],
        json!({
            "id": ids[0], "accountId": account, "status": "failed", "discarded": false,
            "createdAt": listed[0]["createdAt"], "attempts": 1, "lastAttemptAt": listed[0]["lastAttemptAt"],
            "responseCode": null, "lastError": listed[0]["lastError"], "subscriptionId": made["id"],
            "type": "serront.order.created.v1",
        })
    );
    let paused = installation.complaint(&["outbox", "retry", &account, ids[0]]);
    assert!(paused.contains("inactive"), "{paused}");

    for arguments in [
        &["outbox", "discard", &account, ids[0]][..],
        &["outbox", "discard", &account, ids[0], "--reason", " "],
        &["outbox", "discard", &account, "whd_x", "--reason", "Gone"],
        &["outbox", "discard", &account, "whd_01jtestvect0r0000000000000", "--reason", "Gone"],
    ] {
        installation.complaint(arguments);
    }
    assert_eq!(installation.lines(&["outbox", "list"]), listed);
    let discard = ["outbox", "discard", &account, ids[0], "--reason", "The receiver is gone", "--by", "cashier 7"];
    assert_eq!(installation.admin(&discard)["discarded"], true);
    installation.complaint(&discard);
    assert_eq!(installation.lines(&["outbox", "list"]), listed[1..]);
    let records = installation.lines(&["outbox", "list", "--discarded"]);
    let by = json!({"kind": "host", "name": "cashier 7"});
    assert_eq!(
        records,
        [json!({
            "id": ids[0], "accountId": account, "discardedAt": records[0]["discardedAt"], "by": by,
            "reason": "The receiver is gone",
        })]
    );

    let receiver = Receiver::start().await;
    client.call("PATCH", &subscription, Some(json!({"url": receiver.url, "active": true}))).await.data();
    for (id, received) in ids.iter().zip(1..) {
        assert_eq!(installation.admin(&["outbox", "retry", &account, id])["status"], "pending");
        eventually("its arrival", || receiver.received().len() == received).await;
        assert_eq!(receiver.received().last().unwrap().header("serront-delivery-attempt"), "2");
    }
    assert_eq!(installation.lines(&["outbox", "list"]), Vec::<Value>::new());
    assert_eq!(installation.lines(&["outbox", "list", "--discarded"]), records, "for good");
    assert!(host.stop());
}
