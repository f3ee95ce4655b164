//! A change set that contradicts itself is refused, and the contradiction is named.

use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use serront_core::changes::effect::{Delivery, Discard, Effect, EffectId};
use serront_core::changes::idempotency::KeptOutcome;
use serront_core::orders::marked::MarkedText;
use serront_core::orders::order::{OrderState, WorkStatus};
use serront_core::orders::payment::{PaymentState, PaymentStatus};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{AccountId, IdSequence, OrderId};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::webhooks::event::EventType;
use ulid::Ulid;

fn ids() -> IdSequence {
    IdSequence::from_seed(Ulid::from_parts(1, 1))
}

fn order(version: u32) -> Write {
    let state = OrderState {
        version: Version(version),
        status: WorkStatus::Requested,
        payment_status: PaymentStatus::Unpaid,
        quoted_price: Rupiah::ZERO,
        updated_at: Timestamp::from_millis(0),
    };
    Write::UpdateOrder { id: order_id(), was: WorkStatus::Requested, state }
}

fn order_id() -> OrderId {
    OrderId::from_ulid(Ulid::from_parts(2, 2))
}

fn payment() -> Write {
    let state = PaymentState { status: PaymentStatus::Unpaid, amount_due: Rupiah::ZERO, receipt: None };
    Write::UpdatePayment { id: ids().payment(), order_id: order_id(), state }
}

fn delivery(body: MarkedText) -> Effect {
    let mut ids = ids();
    Effect::Delivery(Delivery {
        id: ids.delivery(),
        subscription_id: ids.subscription(),
        event_id: ids.event(),
        event_type: EventType::OrderCreated,
        body,
    })
}

fn discard(effect_id: EffectId, account_id: AccountId) -> Discard {
    let (at, actor) = (Timestamp::from_millis(0), Actor::Host { name: "cashier 7".into() });
    Discard { id: ids().audit(), account_id, effect_id, at, actor, reason: "No such address".into() }
}

fn kept(outcome: MarkedText) -> Option<KeptOutcome> {
    Some(KeptOutcome { fingerprint: Digest256::of(b""), outcome, until: Timestamp::from_millis(1) })
}

/// Checks a change set that `build` has filled.
fn check(build: impl FnOnce(&mut ChangeSet)) -> Result<(), &'static str> {
    let mut ids = ids();
    let mut change = ChangeSet::new(ids.change_set(), ids.account(), Timestamp::from_millis(0));
    build(&mut change);
    change.check().map_err(|inconsistent| inconsistent.0)
}

#[test]
fn contradictions_are_named() {
    let guard = |version| Guard::Exact { row: Row::Order(order_id()), version: Version(version) };
    let marked = || MarkedText::from_json("{\"number\":null}".into());
    let scope = || ClaimName::Idempotency(Digest256::of(b"scope"));
    let other_account = || {
        Write::InsertAccount(Account {
            id: IdSequence::from_seed(Ulid::from_parts(9, 9)).account(),
            name: "Another".into(),
            created_at: Timestamp::from_millis(0),
            state: AccountState {
                version: Version::FIRST,
                tier: Tier::Free,
                modules: Modules::default(),
                plugipay_account_id: None,
            },
        })
    };
    type Build<'a> = Box<dyn FnOnce(&mut ChangeSet) + 'a>;
    let rows: Vec<(Build<'_>, Result<(), &str>)> = vec![
        (Box::new(|_| ()), Ok(())),
        (
            Box::new(|change| {
                change.guards = vec![guard(1)];
                change.writes = vec![order(2), payment()];
            }),
            Ok(()),
        ),
        (Box::new(|change| change.guards = vec![guard(1), guard(1)]), Err("two guards on one row")),
        (
            Box::new(|change| {
                change.guards = vec![guard(1)];
                change.writes = vec![order(2), order(2)];
            }),
            Err("two writes of one row"),
        ),
        (Box::new(|change| change.writes = vec![order(2)]), Err("a write without a guard on the version before")),
        (Box::new(|change| change.writes = vec![order(1)]), Err("a write without a guard on the version before")),
        (
            Box::new(|change| {
                change.guards = vec![guard(1)];
                change.writes = vec![order(3)];
            }),
            Err("a write without a guard on the version before"),
        ),
        (
            Box::new(|change| {
                change.guards = vec![guard(0)];
                change.writes = vec![order(1)];
            }),
            Err("a write of a row that is not there"),
        ),
        (
            Box::new(|change| {
                change.guards = vec![guard(0)];
                change.writes = vec![payment()];
            }),
            Err("a payment written without a guard on its order"),
        ),
        (Box::new(|change| change.writes = vec![payment()]), Err("a payment written without a guard on its order")),
        (Box::new(|change| change.writes = vec![other_account()]), Err("a write in another account")),
        (
            Box::new(|change| change.claims = vec![Claim { name: scope(), kept: None }]),
            Err("an outcome is kept beside idempotency keys, and only there"),
        ),
        (
            Box::new(|change| {
                let name = ClaimName::KeyHash(Digest256::of(b""));
                change.claims = vec![Claim { name, kept: kept(MarkedText::plain("{}".into())) }];
            }),
            Err("an outcome is kept beside idempotency keys, and only there"),
        ),
        (
            Box::new(|change| change.claims = vec![Claim { name: scope(), kept: kept(marked()) }]),
            Err("a marked place without a new order"),
        ),
        (
            Box::new(|change| {
                let claim = Claim { name: scope(), kept: kept(MarkedText::plain("{}".into())) };
                change.claims = vec![claim.clone(), claim];
            }),
            Err("one name claimed twice"),
        ),
        (Box::new(|change| change.effects = vec![delivery(marked())]), Err("a marked place without a new order")),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                change.effects = vec![effect.clone(), effect];
            }),
            Err("two effects of one id"),
        ),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                change.writes = vec![Write::Requeue(effect.id())];
            }),
            Ok(()),
        ),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                change.writes = vec![Write::Requeue(effect.id()), Write::Requeue(effect.id())];
            }),
            Err("two effects of one id"),
        ),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                change.writes = vec![Write::Discard(discard(effect.id(), change.account_id))];
            }),
            Ok(()),
        ),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                let discard = discard(effect.id(), change.account_id);
                change.writes = vec![Write::Requeue(effect.id()), Write::Discard(discard)];
            }),
            Err("two effects of one id"),
        ),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                change.writes = vec![Write::Discard(discard(effect.id(), AccountId::OPERATORS))];
            }),
            Err("a write in another account"),
        ),
        (
            Box::new(|change| {
                let effect = delivery(MarkedText::plain("{}".into()));
                change.writes = vec![Write::Requeue(effect.id())];
                change.effects = vec![effect];
            }),
            Err("two effects of one id"),
        ),
    ];
    for (index, (build, wanted)) in rows.into_iter().enumerate() {
        assert_eq!(check(build), wanted, "row {index}");
    }
}
