//! Webhook signatures: `t=<unix seconds>,v1=<hex HMAC-SHA256(secret, "<t>.<raw body>")>` (wire contract, section 3).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::key::WebhookSecret;
use crate::time::Timestamp;

/// Lowercase hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes written as exactly `2 * N` lowercase hexadecimal digits.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            value = value * 16
                + match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
        }
        *byte = value;
    }
    Some(bytes)
}

/// The value of `Serront-Signature` for this body at this time.
#[must_use]
pub fn sign(secret: &WebhookSecret, at: Timestamp, body: &str) -> String {
    sign_with(secret.reveal(), at.unix_seconds(), body)
}

fn sign_with(secret: &str, unix_seconds: i64, body: &str) -> String {
    // HMAC takes keys of every length, so this has no failing case.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(unix_seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(body.as_bytes());
        mac.finalize().into_bytes()
    });
    format!("t={unix_seconds},v1={}", hex(&mac.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_vector_holds() {
        let body = r#"{"id":"evt_01jtestvector000000000000","note":"kopi susu — 日本"}"#;
        assert_eq!(
            sign_with("whsec_test_vector_0001", 1_767_225_600, body),
            "t=1767225600,v1=b8bd55a0511643a1f555e69271798878f9c8c703d32b14e18dfbe36401abe6dc"
        );
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(unhex::<3>(&hex(&[0, 0x7f, 0xff])), Some([0, 0x7f, 0xff]));
        assert_eq!(unhex::<1>("FF"), None);
        assert_eq!(unhex::<1>("f"), None);
    }
}
