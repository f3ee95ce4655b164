//! Webhooks over real connections: rotated secrets, and effects that were given up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature::{Unverified, verify};
use support::{Client, Engine, Installation, Received, Receiver, eventually};

mod support;

on_both_engines!(
    a_rotated_secret_signs_immediately_together_with_the_previous_one,
    what_was_given_up_is_listed_tried_again_and_discarded,
    what_a_pause_gave_up_is_the_sellers_alone,
);

const SUBSCRIPTIONS: &str = "/api/v1/webhook-subscriptions";

fn verified(received: &Received, secrets: &[&str]) -> Result<(), Unverified> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap());
    let header = received.header("serront-signature");
    verify(header, received.body.as_bytes(), secrets, now, Duration::from_secs(300))
}

async fn a_rotated_secret_signs_immediately_together_with_the_previous_one(engine: Engine) {
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

/// A mail server that refuses every recipient permanently until it is repaired. Counts the accepted mails.
#[derive(Clone, Default)]
struct MailServer {
    is_mended: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
}

impl MailServer {
    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                std::thread::spawn(move || server.converse(stream.unwrap()));
            }
        });
        port
    }

    /// Until the client disconnects or sends an unknown command.
    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.write_all(b"220 mail.example\r\n")?;
        let mut is_text = false;
        for line in BufReader::new(stream.try_clone()?).lines() {
            let answer = match (line?.as_str(), is_text) {
                (".", true) => {
                    is_text = false;
                    self.taken.fetch_add(1, Ordering::SeqCst);
                    "250 taken\r\n"
                }
                (_, true) => continue,
                ("DATA", _) => {
                    is_text = true;
                    "354 go on\r\n"
                }
                (line, _) if line.starts_with("RCPT") && !self.is_mended.load(Ordering::SeqCst) => "550 nobody\r\n",
                _ => "250 well\r\n",
            };
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

async fn what_was_given_up_is_listed_tried_again_and_discarded(engine: Engine) {
    let mails = MailServer::default();
    let installation =
        Installation::new(engine).with([("SERRONT_SMTP_URL", format!("smtp://127.0.0.1:{}", mails.start()))]);
    let (account, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("studio-renata").await;
    for _ in 0..2 {
        client.order("studio-renata").await;
    }
    assert_eq!(installation.lines(&["outbox", "list"]), Vec::<Value>::new());
    for order in client.order_ids().await {
        client.call("POST", &format!("/api/v1/orders/{order}/confirm-payment"), None).await.data();
    }
    let list = || installation.lines(&["outbox", "list"]);
    eventually("both mails are refused", || list().len() == 2).await;

    let listed = list();
    assert_eq!(installation.lines(&["outbox", "list", "--limit", "1"]), listed[..1]);
    let ids: Vec<&str> = listed.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(
        listed[0],
        json!({
            "id": ids[0], "accountId": account, "status": "failed", "discarded": false,
            "createdAt": listed[0]["createdAt"], "attempts": 1, "lastAttemptAt": listed[0]["lastAttemptAt"],
            "responseCode": null, "lastError": "the mail server refused for good", "subscriptionId": null, "type": null,
        })
    );

    for arguments in [
        &["outbox", "discard", &account, ids[0]][..],
        &["outbox", "discard", &account, ids[0], "--reason", " "],
        &["outbox", "discard", &account, "mail_x", "--reason", "Gone"],
        &["outbox", "discard", &account, "mail_01jtestvect0r0000000000000", "--reason", "Gone"],
    ] {
        installation.complaint(arguments);
    }
    assert_eq!(list(), listed);
    let discard = ["outbox", "discard", &account, ids[0], "--reason", "The mailbox is gone", "--by", "cashier 7"];
    assert_eq!(installation.admin(&discard)["discarded"], true);
    installation.complaint(&discard);
    assert_eq!(list(), listed[1..]);
    let records = installation.lines(&["outbox", "list", "--discarded"]);
    let by = json!({"kind": "host", "name": "cashier 7"});
    assert_eq!(
        records,
        [json!({
            "id": ids[0], "accountId": account, "discardedAt": records[0]["discardedAt"], "by": by,
            "reason": "The mailbox is gone",
        })]
    );

    mails.is_mended.store(true, Ordering::SeqCst);
    for (id, taken) in ids.iter().zip(1..) {
        assert_eq!(installation.admin(&["outbox", "retry", &account, id])["status"], "pending");
        eventually("its arrival", || mails.taken.load(Ordering::SeqCst) == taken).await;
    }
    assert_eq!(list(), Vec::<Value>::new());
    assert_eq!(installation.lines(&["outbox", "list", "--discarded"]), records, "for good");
    assert!(host.stop());
}

/// A webhook that a seller paused needs no operator, and only the seller's list has its deliveries (#8).
async fn what_a_pause_gave_up_is_the_sellers_alone(engine: Engine) {
    let installation = Installation::new(engine);
    let (account, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("studio-renata").await;
    // Nothing listens on this port.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let made = client.call("POST", SUBSCRIPTIONS, Some(json!({"url": format!("http://{nowhere}/hook")}))).await.data();
    let subscription = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().unwrap());
    client.order("studio-renata").await;
    let delivery = async || client.call("GET", &format!("{SUBSCRIPTIONS}/deliveries"), None).await.data()[0].clone();
    while delivery().await["attempts"] != 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.call("PATCH", &subscription, Some(json!({"active": false}))).await.data();
    let paused = delivery().await;
    assert_eq!((&paused["status"], &paused["attempts"]), (&json!("failed"), &json!(1)));
    assert_eq!(installation.lines(&["outbox", "list"]), Vec::<Value>::new());
    assert_eq!(installation.lines(&["outbox", "list", "--discarded"]), Vec::<Value>::new());
    let id = paused["id"].as_str().unwrap();
    let told = installation.complaint(&["outbox", "retry", &account, id]);
    assert!(told.contains("inactive"), "{told}");

    let receiver = Receiver::start().await;
    client.call("PATCH", &subscription, Some(json!({"url": receiver.url, "active": true}))).await.data();
    client.call("POST", &format!("{SUBSCRIPTIONS}/deliveries/{id}/retry"), None).await.data();
    eventually("its arrival", || receiver.received().len() == 1).await;
    assert_eq!(receiver.received()[0].header("serront-delivery-attempt"), "2");
    assert!(host.stop());
}
