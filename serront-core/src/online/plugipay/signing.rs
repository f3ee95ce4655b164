//! Both kinds of signature: ours on calls to Plugipay, and Plugipay's on notifications.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::online::plugipay::PlugipayCall;
use crate::primitives::digest::{Digest256, hex, unhex};
use crate::primitives::macros::redacted_debug;
use crate::primitives::rejection::Rejection;
use crate::primitives::time::Timestamp;

/// The secret of a merchant's notification endpoint, assigned by Plugipay. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointSecret(String);

impl EndpointSecret {
    /// Accepts every text except the empty one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret text. Never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

redacted_debug!(EndpointSecret);

fn mac(secret: &str) -> Option<Hmac<Sha256>> {
    // Never `None`: HMAC accepts keys of every length.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()
}

/// The value of the `Authorization` header for a call, by Plugipay's published algorithm.
#[must_use]
pub fn authorization(key_id: &str, secret: &str, call: &PlugipayCall, unix_seconds: i64) -> String {
    let body = Digest256::of(call.body.as_bytes());
    let mut text = format!("{}\n{}\n{unix_seconds}\n{body}", call.method.as_str(), call.path);
    if let Some(key) = &call.idempotency_key {
        text.push('\n');
        text.push_str(key);
    }
    let signature = mac(secret).map(|mut mac| {
        mac.update(text.as_bytes());
        mac.finalize().into_bytes()
    });
    format!("Plugipay-HMAC-SHA256 keyId={key_id}, scope=*, signature={}", hex(&signature.unwrap_or_default()))
}

/// Verifies the `X-Plugipay-Signature` header over the raw bytes against each of the secrets, in constant time.
///
/// # Errors
/// [`Rejection::InvalidSignature`] if it is missing, malformed, more than `tolerance` before or after `now`, or made
/// with another secret. The message does not say which, so that a forger learns nothing.
pub fn verify<'s>(
    header: Option<&str>,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'s EndpointSecret>,
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), Rejection> {
    let (at, signatures) = header.and_then(parts).ok_or(Rejection::InvalidSignature)?;
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    let age = now.unix_seconds().saturating_sub(at);
    if age > tolerance || age < tolerance.saturating_neg() {
        return Err(Rejection::InvalidSignature);
    }
    let mut valid = false;
    for secret in secrets {
        for signature in &signatures {
            valid |= mac(secret.reveal()).is_some_and(|mut mac| {
                mac.update(at.to_string().as_bytes());
                mac.update(b".");
                mac.update(body);
                mac.verify_slice(signature).is_ok()
            });
        }
    }
    if valid { Ok(()) } else { Err(Rejection::InvalidSignature) }
}

/// Most signatures in one header. During the rotation of a secret there may be two.
const SIGNATURES_MAX: usize = 4;

/// Parses `t=<unix seconds>,v1=<hex>[,v1=<hex>]`. Ignores parts with other names, which later schemes may add.
fn parts(header: &str) -> Option<(i64, Vec<[u8; 32]>)> {
    let mut at = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=')? {
            ("t", seconds) => {
                let canonical = seconds.parse::<i64>().ok().filter(|parsed| parsed.to_string() == seconds)?;
                if at.replace(canonical).is_some() {
                    return None;
                }
            }
            ("v1", signature) => signatures.push(unhex::<32>(signature)?),
            _ => {}
        }
    }
    at.filter(|_| (1..=SIGNATURES_MAX).contains(&signatures.len())).map(|at| (at, signatures))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::online::plugipay::PlugipayMethod;

    #[test]
    fn the_contracts_vector_holds() {
        let call = PlugipayCall {
            method: PlugipayMethod::Post,
            path: "/api/v1/checkout-sessions".into(),
            on_behalf_of: None,
            idempotency_key: Some("idem_1".into()),
            body: r#"{"amount":125000,"currency":"IDR"}"#.into(),
        };
        assert_eq!(
            authorization("key_1", "sk_test_vector", &call, 1_767_225_600),
            "Plugipay-HMAC-SHA256 keyId=key_1, scope=*, \
             signature=24444d96783673a0d455299dd1fd466495f4cc5f500d49cf726ebdefaf8eac0a"
        );
    }

    fn signed(secret: &str, at: i64, body: &[u8]) -> String {
        let mut mac = mac(secret).unwrap();
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        format!("t={at},v1={}", hex(&mac.finalize().into_bytes()))
    }

    #[test]
    fn only_recent_signatures_with_a_known_secret_are_valid() {
        let secrets = ["old", "new"].map(|text| EndpointSecret::parse(text).unwrap());
        let now = Timestamp::from_millis(1_767_225_600_000);
        let tolerance = Duration::from_secs(300);
        let t = 1_767_225_600;
        let check = |header: Option<&str>, body: &[u8]| verify(header, body, &secrets, now, tolerance).is_ok();
        for secret in ["old", "new"] {
            assert!(check(Some(&signed(secret, t, b"{}")), b"{}"));
        }
        assert!(check(Some(&signed("new", t - 300, b"{}")), b"{}"));
        assert!(check(Some(&signed("new", t + 300, b"{}")), b"{}"));
        let good = signed("new", t, b"{}");
        let both = format!("{},v1={},v2=x", signed("other", t, b"{}"), good.split_once("v1=").unwrap().1);
        assert!(check(Some(&both), b"{}"));
        for bad in [
            None,
            Some(""),
            Some("t=,v1="),
            Some("v1=00"),
            Some(&*signed("other", t, b"{}")),
            Some(&*signed("new", t - 301, b"{}")),
            Some(&*signed("new", t + 301, b"{}")),
            Some(&*signed("new", t, b"{ }")),
            Some(&*good.to_uppercase()),
            Some(&*good.replace("t=", "t=+")),
            Some(&*format!("t={t},{good}")),
            Some(good.split_once(',').unwrap().0),
            Some(good.split_once(',').unwrap().1),
        ] {
            assert!(!check(bad, b"{}"), "{bad:?}");
        }
        assert!(verify(Some(&good), b"{}", &[], now, tolerance).is_err());
    }
}
