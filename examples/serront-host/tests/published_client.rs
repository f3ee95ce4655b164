//! The published Python client of Serront's API, unmodified, against the real binary.
//!
//! The client's licence is proprietary: it is installed to test with, into the build folder, and nothing of it is in
//! this repository.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::sandbox::Provider;
use support::{Engine, Installation};

mod support;

const CLIENT: &str = "serront==0.3.0";

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_published_client_gets_along_on_sqlite() {
    gets_along(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_published_client_gets_along_on_postgres() {
    gets_along(Engine::Postgres).await;
}

/// The client's Python environment, created once.
fn python() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(install).clone()
}

fn install() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("published-client");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT]));
    python
}

async fn gets_along(engine: Engine) {
    let provider = Provider::start().await;
    let installation = Installation::new(engine).with(provider.settings());
    let host = installation.serve();
    let ((_, free), (_, starter)) = (installation.account("free"), installation.account("starter"));
    let operator =
        installation.admin(&["operator-key", "create"])["operatorKey"].as_str().unwrap_or_default().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published_client.py");
    let walk = move || run(Command::new(python()).arg(script).args([&host.url, &free, &starter, &operator]));
    // The sandbox keeps running meanwhile.
    tokio::task::spawn_blocking(walk).await.unwrap_or_else(|error| panic!("{error}"));
}
