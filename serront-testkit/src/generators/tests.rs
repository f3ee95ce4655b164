//! Checks the strategies: core accepts the valid values and refuses the `almost_` ones.

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::ApiKey;
use serront_core::changes::effect::EffectId;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{self, AdjustmentInput, Context, Decision};
use serront_core::funds::balance::Funds;
use serront_core::orders::order::OrderNumber;
use serront_core::orders::receipt::CheckedImage;
use serront_core::policy::Policy;
use serront_core::primitives::ids::{AccountId, EventId, IdSequence, OrderId};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::rejection::Code;
use serront_core::primitives::text::{self, EmailAddress, Slug, WhatsAppNumber};
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::snapshots::FundsSnapshot;
use serront_core::webhooks::subscription::EventFilter;

use super::*;

/// Draws from a strategy, the same values each time.
fn each<T: Debug>(strategy: impl Strategy<Value = T>, check: impl Fn(T)) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..256 {
        check(strategy.new_tree(&mut runner).unwrap().current());
    }
}

#[test]
fn texts_are_taken_as_they_are_or_refused() {
    each(name(), |raw| assert_eq!(text::name("n", &raw), Ok(raw)));
    each(almost_name(), |raw| assert!(text::name("n", &raw).is_err(), "{raw:?}"));
    each(prose(), |raw| assert_eq!(text::prose("p", &raw), Ok(raw)));
    each(almost_prose(), |raw| assert!(text::prose("p", &raw).is_err(), "{raw:?}"));
    each(slug(), |slug| assert_eq!(Slug::parse("s", slug.as_str()), Ok(slug)));
    each(almost_slug(), |raw| assert!(Slug::parse("s", &raw).is_err(), "{raw:?}"));
    each(email_address(), |address| assert!(address.as_str().contains('@')));
    each(almost_email_address(), |raw| assert!(EmailAddress::parse("e", &raw).is_err(), "{raw:?}"));
    each(whatsapp_number(), |number| assert!(number.link().starts_with("https://wa.me/")));
    each(almost_whatsapp_number(), |raw| assert!(WhatsAppNumber::parse("w", &raw).is_err(), "{raw:?}"));
}

#[test]
fn amounts_and_ids_are_in_range_or_refused() {
    each(amount(), |amount| assert!(Rupiah::new(amount).is_ok()));
    each(almost_amount(), |amount| assert!(Rupiah::new(amount).is_err(), "{amount}"));
    each(order_id(), |id| assert_eq!(id.to_string().parse::<OrderId>(), Ok(id)));
    each(effect_id(), |id| assert_eq!(id.to_string().parse::<EffectId>(), Ok(id)));
    each(almost_id(OrderId::PREFIX), |raw| assert!(raw.parse::<OrderId>().is_err(), "{raw:?}"));
    each(almost_id(EventId::PREFIX), |raw| assert!(raw.parse::<EventId>().is_err(), "{raw:?}"));
    each(api_key(), |key| assert_eq!(ApiKey::parse(key.reveal()), Some(key)));
    each(almost_api_key(), |raw| assert_eq!(ApiKey::parse(&raw), None));
    let account: AccountId = "acc_01jtestvect0r0000000000000".parse().unwrap();
    let request = |key: &str| IdempotentRequest::new(account, "POST", "/a", key, b"");
    each(idempotency_key(), |key| assert!(request(&key).is_ok(), "{key:?}"));
    each(almost_idempotency_key(), |key| assert!(request(&key).is_err(), "{key:?}"));
}

#[test]
fn sellers_input_is_taken_or_refused() {
    each(storefront_input(), |input| assert!(input.validate().is_ok(), "{input:?}"));
    each(almost_storefront_input(), |input| assert!(input.validate().is_err(), "{input:?}"));
    each(offer(), |offer| assert_eq!(service_input_of(&offer).validate(None), Ok(offer)));
    each(almost_service_input(), |input| assert!(input.validate(None).is_err(), "{input:?}"));
    each(event_filter(), |filter| {
        assert_eq!(EventFilter::parse("e", &filter.to_string()), Ok(filter));
    });
    each(almost_event_filter(), |raw| assert!(EventFilter::parse("e", &raw).is_err(), "{raw:?}"));
    each(subscription_input(), |input| {
        assert!(input.address().unwrap().is_some() && input.filters().is_ok());
    });
    each(almost_subscription_input(), |input| {
        let fits = input.address().is_ok_and(|url| url.is_some()) && input.filters().is_ok();
        assert!(!fits, "{:?}", input.events);
    });
}

#[test]
fn what_is_said_of_money_is_taken_or_refused() {
    each(payout_input(), |input| {
        let request = input.validate().unwrap();
        assert_eq!((request.amount.get(), &request.note), (input.amount, &input.note));
        assert_eq!(request.bank.map(|bank| bank.bank_name), input.bank_name);
    });
    each(almost_payout_input(), |input| assert!(input.validate().is_err(), "{}", input.amount));
    each((bank_account_input(), default_details()), |(input, before)| {
        let after = input.validate(&before).unwrap();
        assert_eq!(after.bank_name, input.bank_name.unwrap_or(before.bank_name));
    });
    let id: AccountId = "acc_01jtestvect0r0000000000000".parse().unwrap();
    let state = AccountState {
        version: Version::FIRST,
        tier: Tier::Starter,
        modules: Modules::default(),
        plugipay_account_id: None,
    };
    let account = Account { id, name: "Renata".into(), created_at: Timestamp::from_millis(0), state };
    let funds = Funds::none(id);
    let snapshot = FundsSnapshot { account, funds, totals: Vec::new(), bank_account: None, kept: None };
    let policy = Policy::default();
    let adjusted = |input: &AdjustmentInput| {
        let ids = IdSequence::from_seed(ulid::Ulid::from_parts(1, 1));
        let mut context = Context { now: Timestamp::from_millis(0), ids, policy: &policy, request: None };
        decide::adjust(&snapshot, None, input, &Actor::host("desk").unwrap(), &mut context)
    };
    each(adjustment_input(), |input| {
        let Ok(Decision::Change(change, adjustment)) = adjusted(&input) else { panic!("{input:?}") };
        assert_eq!(change.check(), Ok(()));
        assert_eq!((adjustment.amount.get(), adjustment.reason), (input.amount.abs(), input.reason));
    });
    each(almost_adjustment_input(), |input| assert!(adjusted(&input).is_err(), "{input:?}"));
}

#[test]
fn buyers_input_is_taken_or_refused() {
    each(order_input("logo"), |input| assert!(input.validate().is_ok(), "{input:?}"));
    each(almost_order_input("logo"), |input| assert!(input.validate().is_err(), "{input:?}"));
    each(image(), |(kind, bytes)| {
        assert_eq!(CheckedImage::check(kind.media_type(), &bytes).map(|image| image.image_type), Ok(kind));
    });
    each(almost_image(), |(declared, bytes)| {
        let refused = CheckedImage::check(&declared, &bytes).map_err(|rejection| rejection.code());
        assert_eq!(refused, Err(Code::UnsupportedMediaType), "{declared} {bytes:?}");
    });
    let refused = CheckedImage::check("image/jpeg", &too_large_image()).map_err(|rejection| rejection.code());
    assert_eq!(refused, Err(Code::PayloadTooLarge));
}

#[test]
fn every_kind_of_thing_comes_up() {
    fn kinds<T: Debug>(strategy: impl Strategy<Value = T>) -> usize {
        let mut runner = TestRunner::deterministic();
        let kind = |value: T| format!("{value:?}").chars().take_while(|letter| letter.is_alphanumeric()).collect();
        (0..256).map(|_| kind(strategy.new_tree(&mut runner).unwrap().current())).collect::<BTreeSet<String>>().len()
    }
    assert_eq!([kinds(effect()), kinds(act()), kinds(actor()), kinds(event_data())], [3, 7, 4, 3]);
    assert_eq!([kinds(pricing()), kinds(order_command())], [3, 4]);
}

#[test]
fn a_number_goes_into_the_marked_place() {
    each(marked_text(), |text| {
        assert!(text.is_marked());
        assert!(text.fill(Some(OrderNumber(7))).unwrap().starts_with("{\"number\":7,"));
    });
}
