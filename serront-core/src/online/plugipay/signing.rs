//! Both signatures: ours on calls to Plugipay, Plugipay's on notifications to us.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::online::plugipay::PlugipayCall;
use crate::primitives::digest::{Digest256, hex, unhex};
use crate::primitives::rejection::Rejection;
use crate::primitives::time::Timestamp;

/// The secret of a merchant's notification endpoint, as Plugipay gave it. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointSecret(String);

impl EndpointSecret {
    /// Takes what Plugipay gave: anything but nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The secret text itself. Never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EndpointSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EndpointSecret(…)")
    }
}

fn mac(secret: &str) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of every length, so this never answers `None`.
    Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()
}

/// The value of `Authorization` for a call at this time: the published recipe, over the bytes as they go out.
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

/// Verifies `X-Plugipay-Signature` over the raw bytes against each of these secrets, in constant time.
///
/// # Errors
/// [`Rejection::InvalidSignature`] if it is missing, malformed, more than `tolerance` off either way, or made with another
/// secret. The message does not say which: whoever forges one learns nothing.
pub fn verify<'s>(
    header: Option<&str>,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'s EndpointSecret>,
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), Rejection> {
    let (at, signatures) = header.and_then(parts).ok_or(Rejection::InvalidSignature)?;
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    let off = now.unix_seconds().saturating_sub(at);
    if off > tolerance || off < tolerance.saturating_neg() {
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

/// Most signatures that one header may carry: while a secret is rotated there may be two.
const SIGNATURES_MAX: usize = 4;

/// `t=<unix seconds>,v1=<hex>[,v1=<hex>]`. Parts of other names are passed over, as later schemes may add some.
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
    fn a_notification_is_believed_only_if_it_is_signed_now_with_the_secret() {
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
