//! Webhook targets: an accepted one is https, without a user, and on a public address, in every spelling that the
//! client's parser accepts.
#![no_main]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use serront_adapters::webhooks::{HttpSink, Reach, Resolve, Targets, reach};
use serront_core::ports::Sink;
use url::{Host, Url};

/// Every name resolves to the address at the input's start.
struct At(std::sync::Mutex<IpAddr>);

#[async_trait::async_trait]
impl Resolve for At {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![*self.0.lock().expect("a lock")])
    }
}

static AT: LazyLock<Arc<At>> = LazyLock::new(|| Arc::new(At(std::sync::Mutex::new(Ipv4Addr::LOCALHOST.into()))));
static SINK: LazyLock<HttpSink> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    HttpSink::builder(Targets::Public).resolver(AT.clone()).build().expect("a sink")
});
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

fuzz_target!(|input: (&str, Result<[u8; 4], [u8; 16]>)| {
    let (text, address) = input;
    let address: IpAddr = address.map_or_else(IpAddr::from, IpAddr::from);
    *AT.0.lock().expect("a lock") = address;
    if RUNTIME.block_on(SINK.check_target(text)).is_err() {
        return;
    }
    let url = Url::parse(text).expect("what was accepted is an address");
    assert!(url.scheme() == "https" && url.username().is_empty() && url.password().is_none());
    let reached = match url.host().expect("a host") {
        Host::Domain(_) => address,
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
    };
    assert_eq!(reach(reached), Reach::Public, "{url}");
});
