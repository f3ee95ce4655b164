//! The real binary while its database fails over behind one address, and while the network between them silently drops packets
//! (#16): a primary and a standby of PostgreSQL, and a proxy in between.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serront_testkit::postgres::Cluster;
use serront_testkit::proxy::Proxy;

mod support;
use support::{Client, Installation};

/// How long the test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

async fn control(cluster: &Arc<Cluster>, what: impl FnOnce(&Cluster) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || what(&cluster)).await.unwrap();
}

/// Repeats the request until it is answered, like a load balancer.
async fn until_ready(client: &Client, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.call("GET", "/readyz", None).await;
        if reply.status == status {
            return;
        }
        assert!(Instant::now() < deadline, "{reply:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_follows_its_database_and_says_when_that_takes_no_writes() {
    let starting = tokio::task::spawn_blocking(|| {
        let primary = Cluster::start();
        let standby = primary.standby();
        (Arc::new(primary), Arc::new(standby))
    });
    let (primary, standby) = starting.await.unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], primary.port()).into()).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres?sslmode=disable", proxy.address());
    let installation = Installation::on_server(url);
    let (_, key) = installation.account("starter");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("renata").await;
    client.order("renata").await;
    until_ready(&client, 200).await;

    // Packets are dropped silently, and each request is answered nevertheless.
    proxy.silence_all();
    assert_eq!(client.order_ids().await.len(), 1);
    proxy.silence_all();
    client.order("renata").await;
    assert_eq!(client.order_ids().await.len(), 2);

    // The standby has everything before the primary stops.
    let deadline = Instant::now() + PATIENCE;
    let at = primary.ask("SELECT pg_current_wal_lsn()");
    while standby.ask(&format!("SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn")) != "t" {
        assert!(Instant::now() < deadline, "the standby does not follow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.lead_to(([127, 0, 0, 1], standby.port()).into());
    control(&primary, Cluster::stop).await;
    until_ready(&client, 503).await;
    assert_eq!(client.order_ids().await.len(), 2, "it can still be read");

    // No connection is cut, and the host is not started again.
    control(&standby, Cluster::promote).await;
    until_ready(&client, 200).await;
    client.order("renata").await;
    assert_eq!(client.order_ids().await.len(), 3);
    assert!(host.stop());
}
