//! The caller's idempotency key: a claim in the same commit as the change that it protects. The claim keeps the
//! outcome.
//!
//! Two other keys are different things: the one that we send to a provider, and the delivery id that a receiver sees.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::orders::marked::MarkedText;
use crate::primitives::digest::Digest256;
use crate::primitives::ids::AccountId;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text::Slug;
use crate::primitives::time::Timestamp;

/// The longest key, in characters.
pub const KEY_CHARACTERS_MAX: usize = 255;

/// The version of the layout of kept outcomes. An outcome of another version is not read.
const OUTCOME_VERSION: u32 = 1;

/// What makes two requests "the same key": a digest over account or storefront, method, path and key.
pub type Scope = Digest256;

/// A request that carries an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Identifies the key.
    pub scope: Scope,
    /// The digest of the request's body.
    pub fingerprint: Digest256,
}

impl IdempotentRequest {
    /// The request of an account's API key or of its host. `path` is the request's path without the query.
    ///
    /// # Errors
    /// [`Invalid`] unless the key is 1–255 characters from `!` to `~`.
    pub fn new(account: AccountId, method: &str, path: &str, key: &str, body: &[u8]) -> Result<Self, Invalid> {
        Self::of(&account, method, path, key, body)
    }

    /// The request of a buyer at a storefront, who has no account. The slug takes the place of the account's id. No
    /// slug contains an underscore and every account id does, so the two never collide.
    ///
    /// # Errors
    /// As [`IdempotentRequest::new`].
    pub fn of_shop(slug: &Slug, method: &str, path: &str, key: &str, body: &[u8]) -> Result<Self, Invalid> {
        Self::of(slug, method, path, key, body)
    }

    fn of(holder: &dyn fmt::Display, method: &str, path: &str, key: &str, body: &[u8]) -> Result<Self, Invalid> {
        let fits = (1..=KEY_CHARACTERS_MAX).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if !fits {
            return Err(Invalid::new("Idempotency-Key", "must be 1 to 255 characters from ! to ~"));
        }
        // No part contains a line break, so different parts never join to the same text.
        let scope = Digest256::of(format!("{holder}\n{method}\n{path}\n{key}").as_bytes());
        Ok(Self { scope, fingerprint: Digest256::of(body) })
    }
}

/// What an idempotency claim keeps. `Debug` leaves out the outcome, which may hold a token or a bank account.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptOutcome {
    /// The digest of the first request's body.
    pub fingerprint: Digest256,
    /// The outcome with its kind and layout version, as JSON.
    pub outcome: MarkedText,
    /// When the claim expires, by the clock of the host that decided. After this the claim is ignored.
    pub until: Timestamp,
}

/// A kept outcome as a storage reads it. `Debug` leaves out the outcome, which may hold a token or a bank account.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The digest of the first request's body.
    pub fingerprint: Digest256,
    /// The outcome as JSON, with the order's number filled in.
    pub outcome: String,
    /// When it expires, by the storage's clock. A storage answers it only until then.
    pub until: Timestamp,
}

impl fmt::Debug for KeptOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeptOutcome(until {}, …)", self.until)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Kept(until {}, …)", self.until)
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    v: u32,
    kind: String,
    data: Option<T>,
}

/// An outcome that can be kept, and answered again to a repeated request.
pub trait Outcome: Serialize + DeserializeOwned {
    /// Its name in the kept text.
    const KIND: &'static str;
    /// `false` for an outcome that shows a secret: it is never stored, and a repeated key is refused.
    const REPEATABLE: bool = true;
}

/// Renders an outcome so that a claim can keep it.
///
/// # Errors
/// [`Rejection::IdempotencyKeyInUse`] if it can't be rendered as JSON, which no outcome of this crate causes.
pub fn keep<T: Outcome>(request: &IdempotentRequest, outcome: &T, until: Timestamp) -> Result<KeptOutcome, Rejection> {
    let data = T::REPEATABLE.then_some(outcome);
    let json = serde_json::to_string(&Envelope { v: OUTCOME_VERSION, kind: T::KIND.to_owned(), data })
        .map_err(|_| Rejection::IdempotencyKeyInUse("the outcome can't be kept"))?;
    Ok(KeptOutcome { fingerprint: request.fingerprint, outcome: MarkedText::from_json(json), until })
}

/// The outcome to answer again; `None` if there is no key or this is its first request. `kept` is what the storage
/// answered; the storage leaves out what has expired, by its own clock.
///
/// # Errors
/// [`Rejection::IdempotencyKeyInUse`] if the key was used with another body, or if the outcome showed a secret or was
/// kept by a version with another layout.
pub fn replay<T: Outcome>(request: Option<&IdempotentRequest>, kept: Option<&Kept>) -> Result<Option<T>, Rejection> {
    let (Some(request), Some(kept)) = (request, kept) else {
        return Ok(None);
    };
    if kept.fingerprint != request.fingerprint {
        return Err(Rejection::IdempotencyKeyInUse("the idempotency key was used with another body"));
    }
    serde_json::from_str::<Envelope<T>>(&kept.outcome)
        .ok()
        .filter(|envelope| envelope.v == OUTCOME_VERSION && envelope.kind == T::KIND)
        .and_then(|envelope| envelope.data)
        .map(Some)
        .ok_or(Rejection::IdempotencyKeyInUse("the idempotency key was used, and its answer can't be shown again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Plain(u8);
    impl Outcome for Plain {
        const KIND: &'static str = "plain";
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Secret(u8);
    impl Outcome for Secret {
        const KIND: &'static str = "secret";
        const REPEATABLE: bool = false;
    }

    fn request(body: &[u8]) -> IdempotentRequest {
        let account = "acc_01jtestvect0r0000000000000".parse().unwrap();
        IdempotentRequest::new(account, "POST", "/a", "k", body).unwrap()
    }

    fn kept<T: Outcome>(value: &T) -> Kept {
        let kept = keep(&request(b"1"), value, Timestamp::from_millis(10)).unwrap();
        Kept { fingerprint: kept.fingerprint, outcome: kept.outcome.fill(None).unwrap(), until: kept.until }
    }

    #[test]
    fn a_repeated_key_answers_the_first_outcome() {
        let first = kept(&Plain(3));
        assert_eq!(replay(Some(&request(b"1")), Some(&first)), Ok(Some(Plain(3))));
        assert_eq!(replay::<Plain>(Some(&request(b"1")), None), Ok(None));
        assert!(replay::<Plain>(Some(&request(b"2")), Some(&first)).is_err());
        assert!(replay::<Secret>(Some(&request(b"1")), Some(&kept(&Secret(3)))).is_err());
        assert!(!kept(&Secret(3)).outcome.contains('3'));
        // An outcome may hold a token or a bank account, and debug output may be logged.
        assert!(!format!("{first:?}").contains("plain"));
    }

    #[test]
    fn keys_are_printable_and_bounded() {
        let account = "acc_01jtestvect0r0000000000000".parse().unwrap();
        for bad in ["", "a b", "ключ", "a\n", &"x".repeat(256)] {
            assert!(IdempotentRequest::new(account, "POST", "/a", bad, b"").is_err(), "{bad:?}");
        }
        assert!(IdempotentRequest::new(account, "POST", "/a", &"~".repeat(255), b"").is_ok());
        // A storefront's scope differs from an account's and from another storefront's (#16).
        let at = |slug: &str| IdempotentRequest::of_shop(&Slug::parse("slug", slug).unwrap(), "POST", "/a", "k", b"1");
        let scopes = [at("studio").unwrap().scope, at("other").unwrap().scope, request(b"1").scope];
        assert!(scopes[0] != scopes[1] && scopes[1] != scopes[2] && scopes[0] != scopes[2]);
    }
}
