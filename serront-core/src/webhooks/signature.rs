//! Webhook signatures: `t=<unix seconds>,v1=<hex HMAC-SHA256(secret, "<t>.<raw body>")>` (wire contract, section 3).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::accounts::key::WebhookSecret;
use crate::primitives::digest::{hex, unhex};
use crate::primitives::time::Timestamp;

/// The value of the `Serront-Signature` header.
#[must_use]
pub fn sign(secret: &WebhookSecret, at: Timestamp, body: &str) -> String {
    sign_with([secret], at, body)
}

/// The value of the header with one `v1=` signature per secret, in order.
#[must_use]
pub fn sign_with<'s>(secrets: impl IntoIterator<Item = &'s WebhookSecret>, at: Timestamp, body: &str) -> String {
    header(secrets.into_iter().map(WebhookSecret::reveal), at.unix_seconds(), body)
}

fn header<'s>(secrets: impl Iterator<Item = &'s str>, unix_seconds: i64, body: &str) -> String {
    secrets.fold(format!("t={unix_seconds}"), |header, secret| {
        let mac = keyed(secret, &unix_seconds.to_string(), body.as_bytes());
        let mac = mac.map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
        format!("{header},v1={}", hex(&mac))
    })
}

/// The HMAC of `<t>.<body>`. Never `None`: HMAC accepts keys of every length.
fn keyed(secret: &str, seconds: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// Why a receiver must reject a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The header is not of the form `t=<unix seconds>,v1=<64 hexadecimal digits>[,v1=…]`.
    #[error("the signature header is malformed")]
    Malformed,
    /// Its time differs too much from the receiver's clock: it may be a replay of an old delivery.
    #[error("the signature's time is outside the tolerance")]
    Stale,
    /// No signature matches the bytes with any of the secrets.
    #[error("no signature matches")]
    Mismatch,
}

/// Most signatures in one header. We never send more.
const SIGNATURES_MAX: usize = 8;

/// For receivers: verifies that the `Serront-Signature` header matches the raw body, and that its time is at most
/// `tolerance` before or after `now`. 300 s suit most receivers.
///
/// Pass the bytes of the body as received, before parsing, and trust nothing in them before this returns `Ok`. While a
/// secret is rotated, the header has two signatures. One match is enough, so a receiver may know the old secret, the
/// new one, or both. An empty secret matches nothing, because it is probably a missing setting. Comparisons take
/// constant time.
///
/// A delivery may arrive more than once; detect repetitions by the event's id.
///
/// # Errors
/// [`Unverified`].
///
/// ```
/// use std::time::Duration;
///
/// use serront_core::webhooks::signature::{Unverified, verify};
/// use serront_core::primitives::time::Timestamp;
///
/// let secrets = ["whsec_test_vector_0001"];
/// let body = r#"{"id":"evt_01jtestvector000000000000","note":"kopi susu — 日本"}"#.as_bytes();
/// let header = "t=1767225600,v1=b8bd55a0511643a1f555e69271798878f9c8c703d32b14e18dfbe36401abe6dc";
/// let now = Timestamp::from_millis(1_767_225_630_000);
/// let tolerance = Duration::from_secs(300);
///
/// assert_eq!(verify(header, body, &secrets, now, tolerance), Ok(()));
/// assert_eq!(verify(header, b"{}", &secrets, now, tolerance), Err(Unverified::Mismatch));
/// ```
pub fn verify(
    header: &str,
    body: &[u8],
    secrets: &[&str],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), Unverified> {
    let mut parts = header.split(',').map(str::trim);
    let seconds = parts.next().and_then(|part| part.strip_prefix("t=")).ok_or(Unverified::Malformed)?;
    let digits = !seconds.is_empty() && seconds.len() <= 12 && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let time = seconds.parse::<i64>().ok().filter(|_| digits).ok_or(Unverified::Malformed)?;
    let mut signatures = Vec::new();
    for part in parts {
        // Ignores parts with other names, which later schemes may add.
        if let Some(signature) = part.strip_prefix("v1=") {
            signatures.push(unhex::<32>(signature).ok_or(Unverified::Malformed)?);
        }
    }
    if signatures.is_empty() || signatures.len() > SIGNATURES_MAX {
        return Err(Unverified::Malformed);
    }
    let difference = now.millis().abs_diff(time.saturating_mul(1_000));
    if u128::from(difference) > tolerance.as_millis() {
        return Err(Unverified::Stale);
    }
    // Checks every pair even after a match, for constant time.
    let mut matches = false;
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let Some(mac) = keyed(secret, seconds, body) else { continue };
        for signature in &signatures {
            matches |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if matches { Ok(()) } else { Err(Unverified::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_vector_holds() {
        let body = r#"{"id":"evt_01jtestvector000000000000","note":"kopi susu — 日本"}"#;
        assert_eq!(
            header(["whsec_test_vector_0001"].into_iter(), 1_767_225_600, body),
            "t=1767225600,v1=b8bd55a0511643a1f555e69271798878f9c8c703d32b14e18dfbe36401abe6dc"
        );
    }

    #[test]
    fn verification_follows_this_table() {
        const T: i64 = 1_767_225_600;
        let (old, new, other) = ("whsec_old", "whsec_new", "whsec_other");
        let body = "{\"note\":\"kopi susu\"}";
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let check = |header: &str, body: &str, secrets: &[&str], now: Timestamp| {
            verify(header, body.as_bytes(), secrets, now, Duration::from_secs(300))
        };
        let one = header([new].into_iter(), T, body);
        let both = header([old, new].into_iter(), T, body);
        assert!(both.ends_with(one.strip_prefix(&format!("t={T}")).unwrap()), "the new secret's signature is last");
        for (header, secrets) in [
            (&one, [new].as_slice()),
            (&one, &[old, new]),
            (&both, &[old]),
            (&both, &[new]),
            (&both, &[other, new]),
            (&format!("{one},v2=later"), &[new]),
            (&one.replace(',', ", "), &[new]),
        ] {
            assert_eq!(check(header, body, secrets, at(T)), Ok(()), "{header} {secrets:?}");
        }
        for now in [T - 300, T + 300] {
            assert_eq!(check(&one, body, &[new], at(now)), Ok(()));
        }
        for now in [T - 301, T + 301, 0, i64::from(i32::MAX)] {
            assert_eq!(check(&one, body, &[new], at(now)), Err(Unverified::Stale));
        }
        let moved = one.replace(&T.to_string(), &(T + 1).to_string());
        // Signed with the empty key, which is public (#8).
        let unkeyed = header([""].into_iter(), T, body);
        for (header, body, secrets) in [
            (&one, "{}", [new].as_slice()),
            (&unkeyed, body, &["", new]),
            (&one, body, &[old]),
            (&one, body, &[]),
            (&both, body, &[other]),
            (&moved, body, &[new]),
        ] {
            assert_eq!(check(header, body, secrets, at(T)), Err(Unverified::Mismatch), "{header} {secrets:?}");
        }
        let code = "0".repeat(64);
        for bad in [
            String::new(),
            "t=".into(),
            format!("t={T}"),
            format!("v1={code}"),
            format!("v1={code},t={T}"),
            format!("t={T},v1="),
            format!("t={T},v1={}", "A".repeat(64)),
            format!("t={T},v1={code}0"),
            format!("t=-{T},v1={code}"),
            format!("t=+{T},v1={code}"),
            format!("t=9999999999999999999999,v1={code}"),
            format!("t={T},v1={code},v1=x"),
            format!("t={T}{}", format!(",v1={code}").repeat(9)),
        ] {
            assert_eq!(check(&bad, body, &[new], at(T)), Err(Unverified::Malformed), "{bad}");
        }
    }

    #[test]
    fn hexadecimal_text_round_trips() {
        assert_eq!(unhex::<3>(&hex(&[0, 0x7f, 0xff])), Some([0, 0x7f, 0xff]));
        assert_eq!(unhex::<1>("FF"), None);
        assert_eq!(unhex::<1>("f"), None);
    }
}
