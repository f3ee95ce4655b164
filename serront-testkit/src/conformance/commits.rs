//! A change set lands as a whole and once, or not at all.

use serront_core::changes::change::{ChangeSet, ClaimName, Committed, Row, Write};
use serront_core::orders::order::OrderNumber;
use serront_core::orders::payment::{PaymentState, PaymentStatus};
use serront_core::ports::PortErrorKind;
use serront_core::primitives::ids::KeyId;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::version::Version;
use serront_core::snapshots::OrderKey;

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, commit_at_once, exact, landed};

/// A change set that contradicts itself is a permanent failure.
pub async fn an_inconsistent_change_set_leaves_nothing(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let before = bench.picture(seller.account_id).await;
    let (id, _, mut change) = bench.placing(&seller, None).await;
    let again = change.writes.first().cloned().unwrap();
    change.writes.push(again);
    assert_eq!(landed(&bench.commit(&change).await), Landed::Port(PortErrorKind::Permanent));
    let (other_id, _, mut unguarded) = bench.placing(&seller, None).await;
    let state = serront_core::orders::order::OrderState {
        version: Version(7),
        status: serront_core::orders::order::WorkStatus::Requested,
        payment_status: PaymentStatus::Unpaid,
        quoted_price: Rupiah::ZERO,
        updated_at: bench.now(),
    };
    let was = serront_core::orders::order::WorkStatus::Requested;
    unguarded.writes.push(Write::UpdateOrder { id, was, state });
    assert_eq!(landed(&bench.commit(&unguarded).await), Landed::Port(PortErrorKind::Permanent));
    assert_eq!(bench.picture(seller.account_id).await, before);
    for id in [id, other_id] {
        let key = OrderKey::Id(seller.account_id, id);
        assert_eq!(bench.storage().order(key, None).await.unwrap(), None);
    }
}

/// A failing guard is a conflict, regardless of the rest of the change set.
pub async fn a_failing_guard_leaves_nothing(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let (_, token, mut change) = bench.placing(&seller, None).await;
    change.guards.push(exact(Row::Account, Version(99)));
    let before = bench.picture(seller.account_id).await;
    assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict);
    assert_eq!(bench.picture(seller.account_id).await, before);
    assert_eq!(bench.storage().outcome(seller.account_id, change.id).await.unwrap(), None);
    let claim = bench.claiming(seller.account_id, ClaimName::AccessToken(token.hash()));
    assert_eq!(landed(&bench.commit(&claim).await), UNNUMBERED, "the token is still free");
}

/// A taken name also undoes the releases and claims before it.
pub async fn a_taken_claim_leaves_nothing(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let held = |slug: &str| ClaimName::ServiceSlug(serront_core::primitives::text::Slug::parse("slug", slug).unwrap());
    bench.lands(&bench.claiming(seller.account_id, held("taken"))).await;
    let (_, token, mut change) = bench.placing(&seller, None).await;
    change.releases.push(held("logo"));
    change.claims.push(serront_core::changes::change::Claim::of(held("free")));
    change.claims.push(serront_core::changes::change::Claim::of(held("taken")));
    let before = bench.picture(seller.account_id).await;
    assert_eq!(landed(&bench.commit(&change).await), Landed::Duplicate(held("taken")));
    assert_eq!(bench.picture(seller.account_id).await, before);
    let try_claim = async |name: ClaimName| landed(&bench.commit(&bench.claiming(seller.account_id, name)).await);
    assert_eq!(try_claim(held("logo")).await, Landed::Duplicate(held("logo")), "it was not released");
    assert_eq!(try_claim(held("free")).await, UNNUMBERED, "it was not claimed");
    assert_eq!(try_claim(ClaimName::AccessToken(token.hash())).await, UNNUMBERED, "it was not claimed");
}

/// A write that fails late undoes the writes, claims and numbers before it.
pub async fn a_failing_write_leaves_nothing(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let (_, token, mut change) = bench.placing(&seller, None).await;
    change.writes.push(Write::DeleteKey(bench.context(None).ids.key()));
    let before = bench.picture(seller.account_id).await;
    assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict, "a deleted key is a conflict");
    assert_eq!(bench.picture(seller.account_id).await, before);
    assert_eq!(bench.storage().outcome(seller.account_id, change.id).await.unwrap(), None);
    change.writes.pop();
    assert_eq!(bench.lands(&change).await, Committed { number: Some(OrderNumber(1)) }, "no number was lost");
    let key = OrderKey::Token(token.hash());
    assert!(bench.storage().order(key, None).await.unwrap().is_some());
}

/// An update or deletion of a missing row fails, permanently or as a conflict, and never creates a row.
pub async fn a_missing_row_is_never_written(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let account_id = seller.account_id;
    let snapshot = bench.snapshot(account_id, placed.id).await;
    let mut ids = bench.context(None).ids;
    let (order, service, subscription) = (ids.order(), ids.service(), ids.subscription());
    let order_state =
        serront_core::orders::order::OrderState { version: Version::FIRST, ..snapshot.order.state.clone() };
    let subscription_state = serront_core::webhooks::subscription::SubscriptionState {
        version: Version::FIRST,
        url: "https://one.example".to_owned(),
        events: Vec::new(),
        active: true,
    };
    let payment_state =
        PaymentState { status: PaymentStatus::PaymentConfirmed, amount_due: Rupiah::ZERO, receipt: None };
    let order_row = exact(Row::Order(placed.id), snapshot.order.state.version);
    let cases = [
        (
            exact(Row::Order(order), Version::ABSENT),
            Write::UpdateOrder { id: order, was: order_state.status, state: order_state },
        ),
        (
            exact(Row::Subscription(subscription), Version::ABSENT),
            Write::UpdateSubscription(subscription, subscription_state),
        ),
        (exact(Row::Service(service), Version::ABSENT), Write::DeleteService(service)),
        (exact(Row::Subscription(subscription), Version::ABSENT), Write::DeleteSubscription(subscription)),
        (order_row, Write::UpdatePayment { id: ids.payment(), order_id: placed.id, state: payment_state }),
    ];
    let before = bench.picture(account_id).await;
    for (guard, write) in cases {
        let said = format!("{write:?}");
        let change = ChangeSet { writes: vec![write], ..bench.guarded(account_id, guard) };
        let result = landed(&bench.commit(&change).await);
        assert!(matches!(result, Landed::Conflict | Landed::Port(PortErrorKind::Permanent)), "{said}: {result:?}");
        assert_eq!(bench.picture(account_id).await, before, "{said}");
    }
}

/// A first write without a guard requires a new row; an existing row is a conflict.
pub async fn a_second_first_write_is_a_conflict(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let account = bench.account(seller.account_id).await;
    let snapshot = bench.snapshot(seller.account_id, placed.id).await;
    let secret = serront_core::accounts::sealed::SealedSecret::stored("sealed:x".to_owned());
    let subscription = account.subscriptions.iter().find(|row| row.id == subscription_id).unwrap();
    let mut other_order = snapshot.order.clone();
    other_order.access_token = bench.token();
    other_order.state.version = Version::FIRST;
    let mut first_subscription = subscription.clone();
    first_subscription.state.version = Version::FIRST;
    let before = bench.picture(seller.account_id).await;
    let mut first_account = account.account.clone();
    first_account.state.version = Version::FIRST;
    let service = bench.storage().service(seller.account_id, seller.service_id, None).await.unwrap().unwrap().service;
    for write in [
        Write::InsertAccount(first_account),
        Write::PutService(service),
        Write::InsertOrder(other_order, snapshot.payment.clone()),
        Write::InsertSubscription(first_subscription, secret),
    ] {
        let said = format!("{write:?}");
        let change = ChangeSet { writes: vec![write], ..bench.change(seller.account_id) };
        assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict, "{said}");
        assert_eq!(bench.picture(seller.account_id).await, before, "{said}");
    }
}

/// A repeated change set gets the first answer, including its number, although its guards and claims fail now.
pub async fn a_change_set_lands_once_in_sequence(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let (id, _, placing) = bench.placing(&seller, None).await;
    let first = bench.lands(&placing).await;
    assert_eq!(first, Committed { number: Some(OrderNumber(1)) });
    bench.world.place(&seller, "Sari").await;
    let snapshot = bench.snapshot(seller.account_id, id).await;
    let placed = crate::world::Placed {
        account_id: seller.account_id,
        id,
        number: snapshot.number,
        token: snapshot.order.access_token,
    };
    let confirming = bench.confirming(&placed, None).await;
    bench.lands(&confirming).await;
    let before = bench.picture(seller.account_id).await;
    assert_eq!(bench.lands(&placing).await, first);
    assert_eq!(bench.lands(&confirming).await, Committed { number: None });
    assert_eq!(bench.picture(seller.account_id).await, before);
}

/// Eight commits of one change set at the same time land once, and all get the same answer.
pub async fn a_change_set_lands_once_side_by_side(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    for number in 1..=5 {
        let (_, _, change) = bench.placing(&seller, None).await;
        let answers = commit_at_once(&bench.world.storage, vec![change; 8]).await;
        assert_eq!(answers, vec![Landed::Yes(Committed { number: Some(OrderNumber(number)) }); 8]);
    }
    let filter = serront_core::snapshots::OrderFilter::default();
    assert_eq!(bench.all_orders(seller.account_id, &filter).await.len(), 5);
    assert_eq!(bench.take(100).await.len(), 5, "one delivery an order");
}

/// A change set that landed before the storage was closed does not land again.
pub async fn a_change_set_lands_once_across_a_reopen(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let (_, _, change) = bench.placing(&seller, None).await;
    let first = bench.lands(&change).await;
    let before = bench.picture(seller.account_id).await;
    let bench = bench.reopen().await;
    assert_eq!(bench.lands(&change).await, first);
    assert_eq!(bench.picture(seller.account_id).await, before);
}

/// A change set's outcome is kept, in its account only.
pub async fn the_outcome_of_a_change_set_can_be_asked_for(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let other = bench.world.seller("other").await;
    let (_, _, change) = bench.placing(&seller, None).await;
    let outcome = async |account| bench.storage().outcome(account, change.id).await.unwrap();
    assert_eq!(outcome(seller.account_id).await, None);
    let committed = bench.lands(&change).await;
    assert_eq!(outcome(seller.account_id).await, Some(committed));
    assert_eq!(outcome(other.account_id).await, None);
}

/// Of change sets committed at the same time, failing ones do not affect the others.
pub async fn failing_commits_do_not_affect_concurrent_ones(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let mut changes = Vec::new();
    for index in 0..16 {
        let (_, _, mut change) = bench.placing(&seller, None).await;
        match index % 4 {
            0 => change.guards.push(exact(Row::Account, Version(99))),
            1 => change.writes.push(Write::DeleteKey(KeyId::from_ulid(change.id.ulid()))),
            _ => {}
        }
        changes.push(change);
    }
    let mut answers = commit_at_once(&bench.world.storage, changes).await;
    answers.sort_by_key(|answer| match answer {
        Landed::Yes(committed) => committed.number.map_or(0, |number| number.0),
        Landed::Conflict | Landed::Duplicate(_) | Landed::Port(_) => u32::MAX,
    });
    let mut expected: Vec<_> =
        (1..=8).map(|number| Landed::Yes(Committed { number: Some(OrderNumber(number)) })).collect();
    expected.extend(vec![Landed::Conflict; 8]);
    assert_eq!(answers, expected);
}
