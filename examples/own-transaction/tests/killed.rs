//! Killed at any point, a booking and its payment are both confirmed or both unconfirmed, and nothing is sent for the latter.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use own_transaction::{Booking, Desk};
use serront_core::orders::payment::PaymentStatus;
use serront_core::ports::WorkStorage;
use serront_core::snapshots::OrderKey;
use serront_testkit::memory::ManualClock;
use serront_testkit::postgres::{fresh_schema, server_url};
use serront_testkit::world::{World, subscription_input};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;

const BOOKINGS: i64 = 120;
/// Every third booking finds its departure sold out and is rolled back.
const SOLD_OUT_EACH: i64 = 3;
const ROUNDS: u64 = 8;
/// The seed of the points at which the process is killed.
const SEED: u64 = 20_261_122;

/// The `SplitMix64` generator, which is good enough to choose points.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

fn confirm_all(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_own-transaction"));
    command.args([url, "confirm-all"]).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Runs the process until it has acknowledged this many and a little longer, then kills it. Returns all acknowledged bookings.
fn killed_after(url: &str, lines: u64, longer: Duration) -> Vec<i64> {
    let mut child = confirm_all(url).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged: Vec<String> = Vec::new();
    for _ in 0..lines {
        acknowledged.extend(output.next().map(Result::unwrap));
    }
    // This is no wait for a condition: each run is killed at another point of a transaction.
    std::thread::sleep(longer);
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(output.map(Result::unwrap));
    acknowledged.iter().map(|line| line.parse().unwrap()).collect()
}

fn over(desk: &Desk) -> World<dyn WorkStorage> {
    World::over(desk.payments(), Arc::new(ManualClock::default()))
}

/// Checks both-or-neither for each booking, and that everything acknowledged is there. Returns the number of confirmed ones.
async fn assert_both_or_neither(url: &str, acknowledged: &[i64]) -> usize {
    let desk = Desk::open(url).await.unwrap();
    let payments = desk.payments();
    let bookings = desk.bookings().await.unwrap();
    assert_eq!(bookings.len(), usize::try_from(BOOKINGS).unwrap());
    for booking in &bookings {
        let order = payments.order(OrderKey::Id(booking.seller, booking.order), None).await.unwrap().unwrap();
        let paid = order.order.state.payment_status == PaymentStatus::PaymentConfirmed;
        assert_eq!(booking.confirmed, paid, "{booking:?}");
        let records = payments.audit(booking.seller, booking.order).await.unwrap().len();
        assert_eq!(records, if paid { 2 } else { 1 }, "{booking:?}");
        assert!(!(paid && booking.departure == "full"), "{booking:?}");
        assert!(paid || !acknowledged.contains(&booking.id), "{booking:?}");
    }
    let confirmed = bookings.iter().filter(|booking| booking.confirmed).count();
    desk.close().await;
    confirmed
}

async fn survives_kills(url: &str) {
    let desk = Desk::open(url).await.unwrap();
    let mut sellers = BTreeMap::new();
    for (departure, seats) in [("morning", 1_000), ("full", 1)] {
        let seller = desk.open_departure(departure, seats).await.unwrap();
        let input = subscription_input("https://hooks.example.com/a", &["serront.order.payment_confirmed.v1"]);
        over(&desk).webhook_registration().create_subscription(seller, &input, None).await.unwrap();
        sellers.insert(departure, seller);
    }
    for id in 1..=BOOKINGS {
        let departure = if id % SOLD_OUT_EACH == 0 { "full" } else { "morning" };
        desk.book(id, sellers[departure], departure, 2).await.unwrap();
    }
    desk.close().await;

    let mut random = Random(SEED);
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let (lines, longer) = (random.below(10), Duration::from_micros(random.below(6_000)));
        println!("seed {SEED}, round {round}: killed {longer:?} after {lines} lines");
        acknowledged.extend(killed_after(url, lines, longer));
        let confirmed = assert_both_or_neither(url, &acknowledged).await;
        // Each kill leaves at most those unacknowledged that it caught between commit and acknowledgement.
        assert!(confirmed <= acknowledged.len() + usize::try_from(round).unwrap() + 1);
    }
    let output = confirm_all(url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kept: Vec<i64> = (1..=BOOKINGS).filter(|id| id % SOLD_OUT_EACH != 0).collect();
    assert_eq!(assert_both_or_neither(url, &kept).await, kept.len());
    assert_sent_once_each(url).await;
}

/// One mail and one event for each confirmed booking, each with a different id, and none for other bookings.
async fn assert_sent_once_each(url: &str) {
    let desk = Desk::open(url).await.unwrap();
    let bookings = desk.bookings().await.unwrap();
    let world = over(&desk);
    world.dispatch_all().await;
    let confirmed: Vec<&Booking> = bookings.iter().filter(|booking| booking.confirmed).collect();

    let mails = world.mailbox.messages();
    let ids: BTreeMap<_, _> = mails.iter().map(|mail| (mail.id.to_string(), mail.to.as_str().to_owned())).collect();
    assert_eq!(ids.len(), mails.len());
    let mut to: Vec<String> = ids.into_values().collect();
    let mut wanted: Vec<String> = confirmed.iter().map(|booking| format!("buyer-{}@example.com", booking.id)).collect();
    to.sort();
    wanted.sort();
    assert_eq!(to, wanted);

    let posts = world.sink.posts();
    assert_eq!(posts.len(), confirmed.len());
    for booking in &confirmed {
        let order = booking.order.to_string();
        let told = posts.iter().filter(|post| String::from_utf8_lossy(post.body.as_ref()).contains(&order)).count();
        assert_eq!(told, 1, "{booking:?}");
    }
    desk.close().await;

    let desk = Desk::open(url).await.unwrap();
    assert_eq!(over(&desk).dispatch_all().await, 0);
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_sqlite_it_leaves_both_or_neither() {
    let folder = TempDir::new().unwrap();
    survives_kills(&format!("sqlite://{}", folder.path().join("bookings.db").display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_postgres_it_leaves_both_or_neither() {
    // A separate database: the service's tables are in the default schema.
    let (server, name) = (server_url(), fresh_schema());
    let pool = PgPool::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await.unwrap();
    let (before, _) = server.rsplit_once('/').unwrap();
    survives_kills(&format!("{before}/{name}")).await;
    sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&pool).await.unwrap();
}
