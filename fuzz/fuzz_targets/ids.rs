//! Ids and credentials: each has one spelling and one type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::accounts::key::{AccessToken, ApiKey, OperatorKey, WebhookSecret};
use serront_core::changes::effect::EffectId;
use serront_core::primitives::ids::{
    AccountId, AdjustmentId, DeliveryId, EventId, ExceptionId, KeyId, OrderId, PayoutId, ServiceId, SubscriptionId,
};

fuzz_target!(|raw: &str| {
    let mut kinds = 0;
    macro_rules! id {
        ($($id:ty),+) => {$(
            if let Ok(id) = raw.parse::<$id>() {
                assert_eq!(id.to_string(), raw);
                kinds += 1;
            }
        )+};
    }
    id!(AccountId, AdjustmentId, DeliveryId, EventId, ExceptionId, KeyId, OrderId, PayoutId, ServiceId, SubscriptionId);
    assert!(kinds <= 1, "{raw}");
    if let Ok(id) = raw.parse::<EffectId>() {
        assert_eq!(id.to_string(), raw);
    }
    let secrets = [
        ApiKey::parse(raw).map(|key| key.reveal().to_owned()),
        OperatorKey::parse(raw).map(|key| key.reveal().to_owned()),
        AccessToken::parse(raw).map(|token| token.reveal().to_owned()),
        WebhookSecret::parse(raw).map(|secret| secret.reveal().to_owned()),
    ];
    let parsed: Vec<String> = secrets.into_iter().flatten().collect();
    assert!(parsed.len() <= 1 && parsed.iter().all(|secret| secret == raw));
});
