//! Signatures, checked against an independent implementation: Python's `hmac`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serront_core::accounts::key::WebhookSecret;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature::{Unverified, sign, sign_with, verify};

const BODY: &str = r#"{"id":"evt_01jtestvector000000000000","note":"kopi susu — 日本"}"#;

fn now() -> Timestamp {
    Timestamp::from_millis(1_767_225_600_999)
}

/// Runs a script with these arguments and the body as its input, and returns its output.
fn python(script: &str, arguments: &[&str]) -> String {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    child.stdin.take().unwrap().write_all(BODY.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const SIGN: &str = "
import hashlib, hmac, sys
secret, seconds = sys.argv[1:]
signed = seconds.encode() + b'.' + sys.stdin.buffer.read()
print(f't={seconds},v1=' + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest())
";

/// A receiver from before secrets could be rotated: it reads the last `v1=`.
const LAST: &str = "
import hashlib, hmac, sys
secret, header = sys.argv[1:]
fields = dict(part.split('=', 1) for part in header.split(','))
signed = fields['t'].encode() + b'.' + sys.stdin.buffer.read()
expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
print(hmac.compare_digest(expected, fields['v1']))
";

#[test]
fn another_implementation_makes_the_same_signature_and_we_verify_it() {
    let secret = WebhookSecret::from_bytes(&[7; 24]);
    let theirs = python(SIGN, &[secret.reveal(), "1767225600"]);
    assert_eq!(theirs, sign(&secret, now(), BODY));
    assert_eq!(verify(&theirs, BODY.as_bytes(), &[secret.reveal()], now(), Duration::from_secs(300)), Ok(()));
    let vector = python(SIGN, &["whsec_test_vector_0001", "1767225600"]);
    assert_eq!(vector, "t=1767225600,v1=b8bd55a0511643a1f555e69271798878f9c8c703d32b14e18dfbe36401abe6dc");
}

#[test]
fn a_receiver_that_reads_the_last_signature_verifies_with_the_new_secret_only() {
    let [old, new] = [[1; 24], [2; 24]].map(|bytes| WebhookSecret::from_bytes(&bytes));
    let header = sign_with([&old, &new], now(), BODY);
    assert_eq!(python(LAST, &[new.reveal(), &header]), "True");
    assert_eq!(python(LAST, &[old.reveal(), &header]), "False");
    for secret in [&old, &new] {
        assert_eq!(verify(&header, BODY.as_bytes(), &[secret.reveal()], now(), Duration::ZERO), Err(Unverified::Stale));
        assert_eq!(verify(&header, BODY.as_bytes(), &[secret.reveal()], now(), Duration::from_secs(1)), Ok(()));
    }
}
