//! A notification's signature header: refused unless it was made with the secret, over these bytes, at that time.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serront_core::online::plugipay::{EndpointSecret, verify};
use serront_core::primitives::time::Timestamp;

const TOLERANCE: Duration = Duration::from_secs(300);

fuzz_target!(|input: (&str, &[u8], i64)| {
    let (header, body, millis) = input;
    let secret = EndpointSecret::parse("whsec_fuzz").expect("a secret");
    let now = Timestamp::from_millis(millis);
    // A MAC can't be guessed, so an accepted header would be a forgery.
    assert!(verify(Some(header), body, [&secret], now, TOLERANCE).is_err());
    assert!(verify(Some(header), body, [], now, TOLERANCE).is_err());
});
