//! A row that the host can't read (#16): it delays nothing else, operators see it, and it is taken up as soon as
//! it can be read.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic, reason = "tests")]

use std::fs::File;

use serde_json::{Value, json};
use support::{Client, Engine, Host, Installation, eventually};

mod support;

on_both_engines!(an_unreadable_row_is_shown_counted_and_logged_and_taken_up);

const MAIL: &str = "mail_01jtestvect0r0000000000000";

async fn an_unreadable_row_is_shown_counted_and_logged_and_taken_up(engine: Engine) {
    let installation = Installation::new(engine);
    let (account, key) = installation.account("free");
    let operator = installation.admin(&["operator-key", "create"])["operatorKey"].as_str().unwrap().to_owned();

    let (mut command, log) = (installation.command(), installation.path().join("log"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).stderr(File::create(&log).unwrap());
    let host = Host::started(command);
    let client = Client::new(&host, &key);
    assert_eq!(client.call("GET", "/readyz", None).await.data(), json!({"status": "ready"}));

    // A row as a newer version would leave it. It is due before everything else.
    let content = r#"{"kind":"of_a_newer_version"}"#;
    let newer = format!(
        "INSERT INTO @.effects (effect_id, account_id, kind, content, created_at, status, due_at) \
         VALUES ('{MAIL}', '{account}', 'mail', '{content}', 1, 'pending', 1)"
    );
    installation.sql(&newer).await;
    let logged = || {
        let log = std::fs::read_to_string(&log).unwrap();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.any(|line| line["id"] == MAIL && line["what"] == "mail" && line["level"] == "ERROR")
    };
    eventually("a line in the log", logged).await;
    let ready = client.call("GET", "/readyz", None).await.data();
    assert_eq!(ready, json!({"status": "ready", "details": {"setAside": 1}}));
    let listed = installation.lines(&["set-aside"]);
    assert_eq!(listed.len(), 1);
    let named = [&listed[0]["kind"], &listed[0]["id"], &listed[0]["accountId"], &listed[0]["unreadable"]];
    assert_eq!(named, ["effect", MAIL, &account, "mail"]);
    let page = operators_page(&host.url, &operator).await;
    assert!(page.contains(MAIL) && page.contains("set-aside-title"), "{page}");

    // All other mails are sent.
    client.open_shop("renata").await;
    client.order("renata").await;
    let id = client.order_ids().await.remove(0);
    client.call("POST", &format!("/api/v1/orders/{id}/confirm-payment"), None).await.data();
    eventually("a mail", || installation.mails().len() == 1).await;

    // The content that this version can read.
    installation.sql(&format!(
        "UPDATE @.effects SET content = (SELECT content FROM @.effects WHERE kind = 'mail' AND effect_id <> '{MAIL}') \
         WHERE effect_id = '{MAIL}'; UPDATE @.set_aside SET tried_by = 1"
    ))
    .await;
    eventually("the mail", || installation.mails().iter().any(|(id, _)| id == MAIL)).await;
    assert_eq!(client.call("GET", "/readyz", None).await.data(), json!({"status": "ready"}));
    assert_eq!(installation.lines(&["set-aside"]), [Value::Null; 0]);
    assert!(!operators_page(&host.url, &operator).await.contains(MAIL));
}

async fn operators_page(url: &str, key: &str) -> String {
    support::http();
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("key", key).finish();
    let login = browser.post(format!("{url}/operator/login"));
    let answer = login.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 303);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = browser.get(format!("{url}/operator")).header("accept", "text/html").header("cookie", cookie);
    page.send().await.unwrap().text().await.unwrap()
}
