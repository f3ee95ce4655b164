//! The published Python client of Plugipay, unmodified, against the sandbox: a third party's idea of signature and shapes.
//!
//! It is installed to test with, into the build folder, and nothing of it is in this repository.
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serront_core::ports::Clock;
use serront_core::primitives::time::Timestamp;
use serront_testkit::sandbox::SandboxServer;

const CLIENT: &str = "forjio-plugipay==0.6.0";

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The client signs with the machine's time.
struct MachineClock;

#[async_trait]
impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_published_client_gets_along() {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("published-plugipay-client");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT]));

    let (key_id, secret) = ("ak_test_platform", "sk_test_secret");
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = SandboxServer::start(listen, Arc::new(MachineClock), key_id, secret).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox_published_client.py");
    let mut client = Command::new(&python);
    client.arg(script).args([server.url(), key_id, secret]);
    tokio::task::block_in_place(|| run(&mut client));
    assert_eq!(server.sandbox().endpoints().len(), 0);
    server.stop().await;
}
