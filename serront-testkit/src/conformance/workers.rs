//! Many services and dispatchers over one storage at the same time, with known totals.

use std::collections::{BTreeMap, BTreeSet};

use serront_core::changes::effect::EffectStatus;
use serront_core::orders::audit::Act;
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::rejection::Code;
use serront_core::service::Failure;
use serront_core::snapshots::{DeliveryFilter, OrderFilter};
use serront_core::webhooks::event::EventType;

use super::Harness;
use super::bench::{Bench, at_once, request};
use crate::world;

const WORKERS: usize = 8;
const ORDERS: usize = 20;

/// Every worker confirms every order: each order is confirmed once, with one event and one mail.
pub async fn many_workers_confirm_the_same_orders_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let account_id = seller.account_id;
    let mut placed = Vec::new();
    for index in 0..ORDERS {
        placed.push(bench.world.place(&seller, &format!("Budi {index}")).await);
    }
    let matching = [
        bench.world.subscribe(&seller, "https://one.example", &["*"]).await,
        bench.world.subscribe(&seller, "https://two.example", &["serront.order.payment_confirmed.v1"]).await,
    ];
    bench.world.subscribe(&seller, "https://three.example", &["serront.order.created.v1"]).await;
    let workers = (0..WORKERS).map(|worker| {
        let (world, mut orders) = (bench.world.clone(), placed.clone());
        orders.rotate_left(worker % 2);
        async move {
            let (mut confirmed, mut refused) = (0, 0);
            for order in orders {
                match world.commands().confirm_payment(account_id, order.id, &world::host(), None, None).await {
                    Ok(answer) => {
                        assert!(!answer.replayed && answer.change_set.is_some());
                        confirmed += 1;
                    }
                    Err(Failure::Rejected(rejection)) if rejection.code() == Code::InvalidTransition => refused += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            (confirmed, refused)
        }
    });
    let totals = at_once(workers).await.into_iter().fold((0, 0), |sum, (yes, no)| (sum.0 + yes, sum.1 + no));
    assert_eq!(totals, (ORDERS, (WORKERS - 1) * ORDERS));

    let confirmed = OrderFilter { payment_status: Some(PaymentStatus::PaymentConfirmed), ..OrderFilter::default() };
    assert_eq!(bench.all_orders(account_id, &confirmed).await.len(), ORDERS);
    for order in &placed {
        let trail = bench.storage().audit(account_id, order.id).await.unwrap();
        let payments = trail.iter().filter(|record| matches!(record.act, Act::Payment { .. })).count();
        assert_eq!(payments, 1);
    }
    let filter = DeliveryFilter { event_type: Some(EventType::OrderPaymentConfirmed), ..DeliveryFilter::default() };
    let deliveries = bench.all_deliveries(account_id, &filter).await;
    let told: BTreeSet<_> = deliveries.iter().map(|delivery| (delivery.event_id, delivery.subscription_id)).collect();
    let events: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.event_id).collect();
    assert_eq!((deliveries.len(), told.len(), events.len()), (ORDERS * 2, ORDERS * 2, ORDERS));
    assert!(deliveries.iter().all(|delivery| matching.contains(&delivery.subscription_id)));

    assert_eq!(bench.world.dispatch_all().await, ORDERS * 3);
    let mails = bench.world.mailbox.messages();
    let ids: BTreeSet<_> = mails.iter().map(|mail| mail.id).collect();
    let names: BTreeSet<_> = mails.iter().map(|mail| mail.to_name.as_str()).collect();
    assert_eq!((mails.len(), ids.len(), names.len()), (ORDERS, ORDERS, ORDERS));
}

/// Of eight concurrent requests with one key, one takes effect, and all get the same answer.
pub async fn a_repeated_key_acts_once(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let account_id = seller.account_id;
    let keyed = request(account_id, "key-1", b"body");
    let confirming = (0..WORKERS).map(|_| {
        let (world, id) = (bench.world.clone(), placed.id);
        async move {
            let commands = world.commands();
            commands.confirm_payment(account_id, id, &world::host(), None, Some(keyed)).await.unwrap()
        }
    });
    let answers = at_once(confirming).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.value == answers[0].value));

    let keyed = request(account_id, "key-2", b"body");
    let creating = (0..WORKERS).map(|_| {
        let world = bench.world.clone();
        async move {
            let input = world::service_input("poster", 10_000);
            world.commands().create_service(account_id, &input, Some(keyed)).await.unwrap()
        }
    });
    let answers = at_once(creating).await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.value == answers[0].value));
    assert_eq!(bench.account(account_id).await.services, 2);
    let other_body = request(account_id, "key-2", b"other");
    let input = world::service_input("flyer", 10_000);
    match bench.world.commands().create_service(account_id, &input, Some(other_body)).await {
        Err(Failure::Rejected(rejection)) => assert_eq!(rejection.code(), Code::IdempotencyKeyInUse),
        other => panic!("{other:?}"),
    }
}

/// Dispatchers of several hosts share the work: every effect is sent once.
pub async fn dispatchers_side_by_side_send_everything_once(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.world.subscribe(&seller, "https://two.example", &["*"]).await;
    for _ in 0..10 {
        let placed = bench.world.place(&seller, "Budi").await;
        bench.lands(&bench.confirming(&placed, None).await).await;
    }
    let dispatchers = (0..4).map(|_| {
        let world = bench.world.clone();
        async move { world.dispatch_all().await }
    });
    let mut attempted: usize = at_once(dispatchers).await.into_iter().sum();
    // A dispatcher may have found nothing while another one held a subscription's last deliveries.
    attempted += bench.world.dispatch_all().await;
    assert_eq!(attempted, 10 + 10 * 2 * 2);
    let mut mails = BTreeMap::<_, usize>::new();
    for mail in bench.world.mailbox.messages() {
        *mails.entry(mail.id).or_default() += 1;
    }
    assert_eq!(mails.values().copied().collect::<Vec<_>>(), [1; 10]);
    let mut posts = BTreeMap::<_, usize>::new();
    for post in bench.world.sink.posts() {
        *posts.entry(post.delivery_id).or_default() += 1;
    }
    assert_eq!(posts.values().copied().collect::<Vec<_>>(), [1; 40]);
    let all = bench.all_deliveries(seller.account_id, &DeliveryFilter::default()).await;
    assert!(all.iter().all(|delivery| delivery.status == EffectStatus::Succeeded && delivery.attempts.len() == 1));
}
