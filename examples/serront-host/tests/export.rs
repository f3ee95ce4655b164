//! The ledger as CSV: complete, filtered, and aborted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use serront_adapters::system::{RandomIds, SystemSecrets};
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::decide::ModuleSwitches;
use serront_core::funds::ledger;
use serront_core::policy::Policy;
use serront_core::ports::{Bookkeeping, Clock as _, Ids as _, WorkStorage};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_host::{Host, Ports};
use serront_testkit::faults::{Call, Fault, FaultyStorage};
use serront_testkit::memory::{ManualClock, MemoryStorage};
use serront_testkit::sandbox::Sandbox;
use serront_testkit::world::World;
use support::shop::Shop;
use support::{Client, Engine};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

mod support;

on_both_engines!(
    a_csv_is_what_the_pages_say,
    a_csv_is_of_the_days_and_times_that_are_asked_for,
    a_csv_opens_in_a_spreadsheet_where_that_is_asked_for,
);

const CSV: &str = "/api/v1/ledger/entries.csv";
const COLUMNS: [&str; 10] =
    ["id", "txId", "createdAt", "code", "direction", "amount", "currency", "sourceType", "sourceId", "description"];
/// 2025-11-01T00:00:00Z, which is in the past.
const NOVEMBER: i64 = 1_761_955_200_000;
const HOUR: i64 = 3_600_000;

/// Posts this many sales of the seller, one an hour from the first of November: two legs on the seller's side each.
async fn post_sales(storage: &dyn WorkStorage, account_id: AccountId, count: i64) {
    let sales: Vec<i64> = (0..count).collect();
    for (nth, sales) in sales.chunks(250).enumerate() {
        let mut ids = RandomIds.sequence(Timestamp::from_millis(NOVEMBER + i64::try_from(nth).unwrap()));
        let writes = sales.iter().map(|sale| {
            let session = SessionId::parse(&format!("cs_{sale}")).unwrap();
            let (gross, fee) = (Rupiah::new(1_000 + sale).unwrap(), Rupiah::new(3).unwrap());
            let at = Timestamp::from_millis(NOVEMBER + sale * HOUR);
            Write::Post(ledger::sale(account_id, &session, gross, fee, &format!("Order {sale}"), at, &mut ids))
        });
        let writes = writes.collect();
        let change = ChangeSet {
            id: ids.change_set(),
            account_id,
            at: Timestamp::from_millis(NOVEMBER),
            guards: Vec::new(),
            writes,
            releases: Vec::new(),
            claims: Vec::new(),
            effects: Vec::new(),
        };
        storage.commit(&change).await.unwrap();
    }
}

async fn shop_with_sales(engine: Engine, count: i64) -> Shop {
    let shop = Shop::open(engine).await;
    let storage = shop.installation.storage().await;
    post_sales(storage.as_ref(), shop.account.parse().unwrap(), count).await;
    shop
}

/// The rows of a CSV without its head.
#[track_caller]
fn rows(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(bytes);
    assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

async fn exported(client: &Client, query: &str) -> Vec<Vec<String>> {
    rows(&client.download(&format!("{CSV}{query}")).await.1)
}

/// The same rows, from the pages of the list.
async fn listed(client: &Client, filter: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.call("GET", &format!("/api/v1/ledger/entries?limit=100{filter}{cursor}"), None).await.data();
        rows.extend(page["entries"].as_array().unwrap().iter().map(|entry| {
            let text = |name: &&str| entry[name].as_str().map_or_else(|| entry[name].to_string(), str::to_owned);
            COLUMNS.iter().map(text).collect::<Vec<_>>()
        }));
        let Some(next) = page["cursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
    }
}

async fn a_csv_is_what_the_pages_say(engine: Engine) {
    let shop = shop_with_sales(engine, 1_600).await;
    let client = &shop.client;
    let (headers, bytes) = client.download(CSV).await;
    assert_eq!(headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(headers["content-disposition"], "attachment; filename=\"ledger-entries.csv\"");
    assert_eq!(headers["cache-control"], "private, no-store");
    assert!(headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    let all = rows(&bytes);
    assert_eq!(all.len(), 3_200);
    assert!(all == listed(client, "").await, "the pages of the list say otherwise");
    for filter in ["code=module_fee", "sourceType=checkout_session&sourceId=cs_7", "code=payout"] {
        let found = exported(client, &format!("?{filter}")).await;
        assert!(found == listed(client, &format!("&{filter}")).await, "{filter}");
    }

    // Text that people wrote stays text in every spreadsheet, and stays in its cell.
    let reasons = [
        ("=HYPERLINK(\"http://evil.example\")", "'=HYPERLINK(\"http://evil.example\")"),
        ("two\nlines, \"quoted\"", "two\nlines, \"quoted\""),
    ];
    for (nth, (reason, cell)) in reasons.into_iter().enumerate() {
        let reference = format!("R-{nth}");
        let adjust = ["ledger", "adjust", &shop.account, "5", "--reason", reason, "--reference", &reference];
        let adjustment = shop.installation.admin(&adjust);
        let found = exported(client, &format!("?sourceId={}", adjustment["id"].as_str().unwrap())).await;
        assert_eq!((found.len(), found[0][9].as_str()), (1, cell));
    }
    let head = client.send("HEAD", CSV, &[], None).await;
    assert_eq!((head.status, &head.headers["content-type"]), (200, &headers["content-type"]));
}

async fn a_csv_is_of_the_days_and_times_that_are_asked_for(engine: Engine) {
    let shop = shop_with_sales(engine, 72).await;
    let hours = async |query: &str| -> Vec<String> {
        let found = exported(&shop.client, &format!("?code=sale&{query}")).await;
        let mut hours: Vec<String> = found.into_iter().map(|row| row[2].clone()).collect();
        hours.reverse();
        hours
    };
    let between = |first: i64, last: i64| -> Vec<String> {
        (first..=last).map(|hour| Timestamp::from_millis(NOVEMBER + hour * HOUR).to_string()).collect()
    };
    // Days are in the seller's time zone (WIB, UTC+7), both included; times are exact (#16).
    for (query, expected) in [
        ("", between(0, 71)),
        ("from=2025-11-02", between(17, 71)),
        ("to=2025-11-02", between(0, 40)),
        ("from=2025-11-02&to=2025-11-02", between(17, 40)),
        ("from=2025-11-01&to=2025-11-01", between(0, 16)),
        ("from=2025-11-02T03:00:00Z&to=2025-11-02T05:00:00Z", between(27, 28)),
        ("from=2025-11-02T03:00:00.001Z&to=2025-11-02T05:00:00.001Z", between(28, 29)),
        ("from=2025-11-02T00:00:00%2B07:00&to=2025-11-02", between(17, 40)),
        ("from=2025-11-02T03:00:00Z&to=2025-11-02T03:00:00Z", Vec::new()),
        ("from=2025-12-01&to=2025-12-31", Vec::new()),
    ] {
        assert_eq!(hours(query).await, expected, "{query}");
    }
    for (query, param) in [
        ("from=2025-11-03&to=2025-11-02", "to"),
        ("from=yesterday", "from"),
        ("from=2025-11-31", "from"),
        ("from=2025-11-01T00:00:00", "from"),
        ("to=", "to"),
        ("to=2025-11-01&to=2025-11-02", "to"),
        ("code=tips", "code"),
        ("separator=dot", "separator"),
        ("separator=", "separator"),
        ("bom=1", "bom"),
    ] {
        let reply = shop.client.call("GET", &format!("{CSV}?{query}"), None).await;
        assert_eq!(reply.refusal(), (400, "VALIDATION_ERROR".to_owned()), "{query}");
        assert_eq!(reply.body["error"]["param"], param, "{query}");
    }
}

/// For a spreadsheet set to Indonesian: semicolons and a byte order mark. The API's default is unchanged (#16).
async fn a_csv_opens_in_a_spreadsheet_where_that_is_asked_for(engine: Engine) {
    let shop = shop_with_sales(engine, 3).await;
    let reason = ["ledger", "adjust", &shop.account, "5", "--reason", "José; satu, dua", "--reference", "R"];
    shop.installation.admin(&reason);
    let plain = shop.client.download(CSV).await.1;
    assert!(plain.starts_with(b"id,txId,createdAt,code,"), "{}", String::from_utf8_lossy(&plain));
    for same in ["separator=comma", "bom=false", "separator=comma&bom=false"] {
        assert!(shop.client.download(&format!("{CSV}?{same}")).await.1 == plain, "{same}");
    }
    let mark = "\u{feff}".as_bytes();
    for (query, separator, mark) in [
        ("separator=semicolon&bom=true", b';', mark),
        ("separator=comma&bom=true", b',', mark),
        ("separator=tab", b'\t', &[]),
    ] {
        let bytes = shop.client.download(&format!("{CSV}?{query}")).await.1;
        let table = bytes.strip_prefix(mark).unwrap();
        let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(table);
        assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice(), "{query}");
        let found: Vec<Vec<String>> =
            reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
        assert!(found == rows(&plain), "{query}");
        assert_eq!(found[0][9], "José; satu, dua", "{query}");
    }
}

/// An export of a whole period is complete or refused; every answer tells up to which time it is complete (#16).
#[tokio::test]
async fn an_export_by_time_misses_no_row_that_comes_late() {
    let (host, storage, key) = house(1).await;
    // The house's clock, which does not move.
    let now = ManualClock::default().now();
    let router = serront_host::router(Arc::clone(&host));
    let ask = async |query: &str| {
        let request = Request::get(format!("{CSV}?{query}")).header("authorization", format!("Bearer {key}"));
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let complete = response.headers().get("serront-complete-before").map(|at| at.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        (status, complete, response.into_body().collect().await.unwrap().to_bytes())
    };
    let complete = now.minus(ledger::POSTED_WITHIN);
    let at = |time: Timestamp| format!("to={time}");
    let (second, well) = (Duration::from_secs(1), ledger::POSTED_WITHIN + Duration::from_secs(1));
    for (query, expected) in [
        (String::new(), Some(complete)),
        (at(complete.minus(second)), Some(complete.minus(second))),
        (at(complete), Some(complete)),
        (at(complete.plus(second)), None),
        (at(now), None),
        // A caller's clock may be ahead.
        (at(now.plus(second)), None),
        (at(now.plus(well)), Some(complete)),
        ("to=9999-01-01".to_owned(), Some(complete)),
    ] {
        let (status, stated, body) = ask(&query).await;
        assert_eq!(stated, expected.map(|time| time.to_string()), "{query}");
        assert_eq!(status, if expected.is_some() { 200 } else { 400 }, "{query}");
        if expected.is_none() {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], "VALIDATION_ERROR");
            assert_eq!(body["error"]["param"], "to");
        }
    }
    assert!(storage.complete_before().await.unwrap() == complete);
}

/// A host over a storage in memory with scripted failures, and the key of a seller with this many sales.
async fn house(sales: i64) -> (Arc<Host>, Arc<FaultyStorage<MemoryStorage>>, String) {
    let clock = Arc::new(ManualClock::default());
    let storage = Arc::new(FaultyStorage::new(Arc::new(MemoryStorage::new(clock.clone()))));
    let world = World::over(Arc::clone(&storage), clock.clone());
    let ports = Ports {
        storage: storage.clone(),
        receipts: world.receipts.clone(),
        mailer: world.mailbox.clone(),
        sink: world.sink.clone(),
        plugipay: Some(Arc::new(Sandbox::new(clock.clone()))),
        clock,
        ids: world.ids.clone(),
        secrets: Arc::new(SystemSecrets),
        sealer: world.sealer.clone(),
    };
    let host = Arc::new(Host::new(ports, Policy::default(), "http://localhost"));
    let (account, key) = host.commands().open_account("Studio Renata", Tier::Starter).await.unwrap().value;
    let on = ModuleSwitches { payment: Some(true), marketing: None };
    host.online().switch_modules(account.id, on, None).await.unwrap();
    post_sales(storage.as_ref(), account.id, sales).await;
    (host, storage, key.key.reveal().to_owned())
}

#[tokio::test]
async fn a_page_is_read_once_the_one_before_was_taken() {
    let (host, storage, key) = house(2_500).await;
    let faults = storage.faults();
    let request = Request::get(CSV).header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap();
    let mut body = serront_host::router(host).oneshot(request).await.unwrap().into_body();
    let before = faults.calls(Call::Read);
    let mut sizes = Vec::new();
    while let Some(frame) = body.frame().await {
        // The first page was read before the answer started.
        assert_eq!(faults.calls(Call::Read) - before, u64::try_from(sizes.len()).unwrap());
        sizes.push(frame.unwrap().into_data().unwrap().len());
    }
    assert_eq!(sizes.len(), 5, "5,000 rows are five pages: {sizes:?}");
}

#[tokio::test]
async fn a_storage_that_fails_before_the_first_row_is_reported_in_the_envelope() {
    let (host, storage, key) = house(5).await;
    let reads = storage.faults().calls(Call::Read);
    // The key, the module's switch, the complete-before time, the first page.
    storage.faults().rule(move |call, before| (call == Call::Read && before == reads + 3).then_some(Fault::FailBefore));
    let request = Request::get(CSV).header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap();
    let response = serront_host::router(host).oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 500);
    let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(body["error"]["code"], "INTERNAL_ERROR");
}

#[tokio::test]
async fn what_broke_off_is_no_whole_answer_to_the_client() {
    let (host, storage, key) = house(1_500).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, serront_host::router(host)).into_future());
    let get = async || {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET {CSV} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // A reset connection ends as well.
        let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await.unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let end = "\r\n0\r\n\r\n";
    let whole = get().await;
    assert!(whole.starts_with("HTTP/1.1 200 OK") && whole.ends_with(end));
    let reads = storage.faults().calls(Call::Read);
    // The key, the module's switch, the complete-before time, two pages; then the third.
    storage.faults().rule(move |call, before| (call == Call::Read && before == reads + 5).then_some(Fault::FailBefore));
    let broken = get().await;
    assert!(broken.starts_with("HTTP/1.1 200 OK"), "{} of {} bytes: {broken:.200}", broken.len(), whole.len());
    assert!(broken.len() < whole.len() && !broken.ends_with(end), "what arrived looks like a whole file");
}
