//! The published Python client of Serront's API, unmodified, against the real binary.
//!
//! The client's licence is proprietary: it is installed to test with, into the build folder, and nothing of it is in
//! this repository.

use std::path::Path;
use std::process::Command;

use support::Installation;

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

#[test]
fn an_unmodified_published_client_gets_along() {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("published-client");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    }
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT]));
    let installation = Installation::new();
    let host = installation.serve();
    let (_, key) = installation.account("free");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published_client.py");
    run(Command::new(&python).arg(script).args([&host.url, &key]));
}
