//! Idempotency keys, limits and filters of pages.

use proptest::prelude::*;
use serront_core::changes::idempotency::{IdempotentRequest, KEY_CHARACTERS_MAX, Kept, KeptOutcome};
use serront_core::orders::marked::MarkedText;
use serront_core::primitives::page::{LIMIT_MAX, Limit};
use serront_core::snapshots::OrderFilter;

use super::{digest, payment_status, service_id, timestamp, work_status};

/// Keys: 1–255 characters from `!` to `~`.
pub fn idempotency_key() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[!-~]{1,40}", 1 => "[!-~]{255}"]
}

/// Texts that are not quite a key.
pub fn almost_idempotency_key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("x".repeat(KEY_CHARACTERS_MAX + 1)),
        (idempotency_key(), proptest::sample::select(vec![' ', '\n', '\0', 'é', '\u{7f}']))
            .prop_map(|(key, foreign)| format!("{key}{foreign}")),
    ]
}

/// Requests that carry a key.
pub fn idempotent_request() -> impl Strategy<Value = IdempotentRequest> {
    (digest(), digest()).prop_map(|(scope, fingerprint)| IdempotentRequest { scope, fingerprint })
}

/// Kept outcomes as in a change set, without a placeholder for a number.
pub fn kept_outcome() -> impl Strategy<Value = KeptOutcome> {
    kept().prop_map(|kept| KeptOutcome {
        fingerprint: kept.fingerprint,
        outcome: MarkedText::plain(kept.outcome),
        until: kept.until,
    })
}

/// Kept outcomes as read back.
pub fn kept() -> impl Strategy<Value = Kept> {
    (digest(), "[a-z ]{0,40}", timestamp()).prop_map(|(fingerprint, text, until)| Kept {
        fingerprint,
        outcome: format!("{{\"v\":1,\"kind\":\"text\",\"data\":\"{text}\"}}"),
        until,
    })
}

/// Limits of a page's rows.
pub fn limit() -> impl Strategy<Value = Limit> {
    (1..=LIMIT_MAX).prop_map(|limit| Limit::parse(Some(&limit.to_string())).expect("a limit in range"))
}

/// Filters of orders.
pub fn order_filter() -> impl Strategy<Value = OrderFilter> {
    (
        proptest::option::of(work_status()),
        proptest::option::of(payment_status()),
        proptest::option::weighted(0.2, service_id()),
        proptest::collection::vec("[a-z]{1,6}", 0..3),
    )
        .prop_map(|(status, payment_status, service_id, words)| OrderFilter {
            status,
            payment_status,
            service_id,
            words,
        })
}
