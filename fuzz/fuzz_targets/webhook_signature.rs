//! The verifier for receivers: accepts signed bytes with one of the secrets, and nothing else, for every header.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serront_core::accounts::key::WebhookSecret;
use serront_core::primitives::time::Timestamp;
use serront_core::webhooks::signature::{Unverified, sign_with, verify};

const TOLERANCE: Duration = Duration::from_secs(300);
const SECRETS: [&str; 2] = [
    "whsec_000000000000000000000000000000000000000000000001",
    "whsec_000000000000000000000000000000000000000000000002",
];

fuzz_target!(|input: (&str, &str, &str, u32)| {
    let (header, body, other, seconds) = input;
    let now = Timestamp::from_millis(i64::from(seconds) * 1_000);
    // A MAC can't be guessed, so an accepted header would be a forgery.
    assert!(verify(header, body.as_bytes(), &SECRETS, now, TOLERANCE).is_err());

    let secrets = SECRETS.map(|text| WebhookSecret::parse(text).expect("a secret"));
    let signed = sign_with(&secrets, now, body);
    for secret in SECRETS {
        assert_eq!(verify(&signed, body.as_bytes(), &[secret], now, TOLERANCE), Ok(()));
    }
    assert_eq!(verify(&signed, body.as_bytes(), &["whsec_another"], now, TOLERANCE), Err(Unverified::Mismatch));
    if other != body {
        // Text appended by an attacker does not make another body valid.
        let longer = format!("{signed},{header}");
        assert!(verify(&longer, other.as_bytes(), &SECRETS, now, TOLERANCE).is_err());
    }
});
