//! Effects: subscriptions, events, mails, deliveries and their attempts.

use proptest::collection::vec;
use proptest::prelude::*;
use serront_core::changes::effect::{Attempt, Delivery, DeliveryRecord, Effect, EffectId, EffectStatus};
use serront_core::orders::mail::{ConfirmedBy, Mail, PaymentConfirmed};
use serront_core::orders::marked::MarkedText;
use serront_core::webhooks::event::{EventData, EventType};
use serront_core::webhooks::subscription::{
    EventFilter, FILTERS_MAX, Subscription, SubscriptionInput, SubscriptionState, URL_CHARACTERS_MAX,
};

use super::{
    account_id, delivery_id, email_address, event_id, language, mail_id, name, order_id, order_number, removal_id,
    rupiah, service_id, slug, subscription_id, timestamp, upload_id, version, work_status,
};

/// Types of event.
pub fn event_type() -> impl Strategy<Value = EventType> {
    proptest::sample::select(EventType::ALL.to_vec())
}

fn raw_filter() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        event_type().prop_map(|event_type| event_type.as_str().to_owned()),
        proptest::sample::select(vec!["serront.*", "serront.order.*", "serront.billing.*"]).prop_map(str::to_owned),
    ]
}

/// Filters: everything, one type, or a prefix.
pub fn event_filter() -> impl Strategy<Value = EventFilter> {
    raw_filter().prop_map(|raw| EventFilter::parse("events[0]", &raw).expect("a filter that can match"))
}

/// Texts that are not quite a filter.
pub fn almost_event_filter() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec!["", "**", ".*", "serront", "serront.order", "serront.nothing.*", "order.*"])
            .prop_map(str::to_owned),
        event_type().prop_map(|event_type| event_type.as_str().to_uppercase()),
        event_type().prop_map(|event_type| format!("{}*", event_type.as_str())),
        event_type().prop_map(|event_type| format!(" {}", event_type.as_str())),
    ]
}

/// Addresses under names that are reserved for examples.
pub fn webhook_url() -> impl Strategy<Value = String> {
    "https://[a-z0-9]{1,10}\\.example(:[1-9][0-9]{3})?(/[a-z0-9_-]{0,12}){0,3}(\\?token=[a-z0-9]{4,20})?"
}

/// Addresses that must be refused for their syntax.
pub fn almost_webhook_url() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        webhook_url().prop_map(|url| format!("{url} ")),
        webhook_url().prop_map(|url| format!("{url}\r\nX-Other: 1")),
        webhook_url().prop_map(|url| format!("{url}/{}", "a".repeat(URL_CHARACTERS_MAX))),
    ]
}

/// States of subscriptions.
pub fn subscription_state() -> impl Strategy<Value = SubscriptionState> {
    (version(), webhook_url(), vec(event_filter(), 1..4), any::<bool>())
        .prop_map(|(version, url, events, active)| SubscriptionState { version, url, events, active })
}

/// Subscriptions.
pub fn subscription() -> impl Strategy<Value = Subscription> {
    (subscription_id(), account_id(), timestamp(), subscription_state())
        .prop_map(|(id, account_id, created_at, state)| Subscription { id, account_id, created_at, state })
}

/// New subscriptions.
pub fn subscription_input() -> impl Strategy<Value = SubscriptionInput> {
    let events = proptest::option::of(vec(raw_filter(), 1..=FILTERS_MAX));
    (webhook_url(), events, proptest::option::of(any::<bool>()))
        .prop_map(|(url, events, active)| SubscriptionInput { url: Some(url), events, active })
        .boxed()
}

/// New subscriptions that must be refused for one field.
pub fn almost_subscription_input() -> impl Strategy<Value = SubscriptionInput> {
    let good = || subscription_input();
    prop_oneof![
        good().prop_map(|good| SubscriptionInput { url: None, ..good }),
        (good(), almost_webhook_url()).prop_map(|(good, url)| SubscriptionInput { url: Some(url), ..good }),
        good().prop_map(|good| SubscriptionInput { events: Some(vec![]), ..good }),
        good().prop_map(|good| SubscriptionInput { events: Some(vec!["*".to_owned(); FILTERS_MAX + 1]), ..good }),
        (good(), almost_event_filter())
            .prop_map(|(good, filter)| SubscriptionInput { events: Some(vec!["*".to_owned(), filter]), ..good }),
    ]
}

/// Events. The event of a new order has no number yet.
pub fn event_data() -> impl Strategy<Value = EventData> {
    prop_oneof![
        (order_id(), service_id(), slug(), proptest::option::of(name()), rupiah()).prop_map(
            |(order_id, service_id, service_slug, package_name, quoted_price_idr)| EventData::OrderCreated {
                order_id,
                number: None,
                service_id,
                service_slug,
                package_name,
                quoted_price_idr,
            }
        ),
        (order_id(), order_number(), work_status(), work_status())
            .prop_map(|(order_id, number, from, to)| EventData::OrderStatusChanged { order_id, number, from, to }),
        (order_id(), order_number(), rupiah()).prop_map(|(order_id, number, quoted_price_idr)| {
            EventData::OrderPaymentConfirmed { order_id, number, quoted_price_idr }
        }),
    ]
}

/// Contents of confirmation mails.
pub fn payment_confirmed() -> impl Strategy<Value = PaymentConfirmed> {
    let by = prop_oneof![Just(ConfirmedBy::Seller), Just(ConfirmedBy::Plugipay)];
    (email_address(), name(), language(), name(), order_number(), name(), rupiah(), by)
        .prop_map(|(to, buyer_name, language, seller_name, number, service_name, amount, by)| PaymentConfirmed {
            to,
            buyer_name,
            language,
            seller_name,
            number,
            service_name,
            amount,
            by,
        })
        .boxed()
}

/// Mails.
pub fn mail() -> impl Strategy<Value = Mail> {
    payment_confirmed().prop_map(Mail::PaymentConfirmedV1)
}

/// JSON texts with a marked place for the number, followed by typed text.
pub fn marked_text() -> impl Strategy<Value = MarkedText> {
    name().prop_map(|name| {
        let typed: String = name.chars().filter(|character| !matches!(character, '"' | '\\')).collect();
        MarkedText::from_json(format!("{{\"number\":null,\"name\":\"{typed}\"}}"))
    })
}

/// Deliveries with finished bodies, as a change set carries them.
pub fn delivery() -> impl Strategy<Value = Delivery> {
    (delivery_id(), subscription_id(), event_id(), event_type(), "[a-z ]{0,40}").prop_map(
        |(id, subscription_id, event_id, event_type, text)| Delivery {
            id,
            subscription_id,
            event_id,
            event_type,
            body: MarkedText::plain(format!("{{\"text\":\"{text}\"}}")),
        },
    )
}

/// Effects of each kind.
pub fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        (mail_id(), mail()).prop_map(|(id, mail)| Effect::Mail { id, mail }),
        delivery().prop_map(Effect::Delivery),
        (removal_id(), upload_id()).prop_map(|(id, upload_id)| Effect::Removal { id, upload_id }),
    ]
}

/// Ids of effects of each kind.
pub fn effect_id() -> impl Strategy<Value = EffectId> {
    prop_oneof![
        mail_id().prop_map(EffectId::Mail),
        delivery_id().prop_map(EffectId::Delivery),
        removal_id().prop_map(EffectId::Removal),
    ]
}

/// States of effects.
pub fn effect_status() -> impl Strategy<Value = EffectStatus> {
    proptest::sample::select(EffectStatus::ALL.to_vec())
}

/// Finished attempts, successful or not.
pub fn attempt() -> impl Strategy<Value = Attempt> {
    let outcome = prop_oneof![
        (200..300_u16).prop_map(|code| (EffectStatus::Succeeded, Some(code), None)),
        (300..600_u16).prop_map(|code| (
            EffectStatus::Failed,
            Some(code),
            Some(format!("the receiver answered {code}"))
        )),
        Just((EffectStatus::Failed, None, Some("no answer".to_owned()))),
    ];
    (1..10_u32, outcome, 0..10_000_u64, timestamp(), proptest::option::of(timestamp()))
        .prop_map(|(attempt_number, (status, response_code, error), duration_ms, attempted_at, retry)| Attempt {
            attempt_number,
            status,
            response_code,
            error,
            duration_ms,
            attempted_at,
            next_retry_at: retry.filter(|_| status == EffectStatus::Failed),
        })
        .boxed()
}

/// Deliveries with their logs, as a seller sees them.
pub fn delivery_record() -> impl Strategy<Value = DeliveryRecord> {
    let which = (delivery_id(), subscription_id(), event_id(), event_type());
    (which, effect_status(), timestamp(), timestamp(), vec(attempt(), 0..4)).prop_map(
        |((id, subscription_id, event_id, event_type), status, created_at, next, attempts)| DeliveryRecord {
            id,
            subscription_id,
            event_id,
            event_type,
            body: "{}".to_owned(),
            status,
            created_at,
            next_attempt_at: (status == EffectStatus::Pending).then_some(next),
            attempts,
        },
    )
}
