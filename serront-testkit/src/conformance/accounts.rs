//! One account's requests never read or change another's data.

use serront_core::changes::change::{ChangeSet, Row, Write};
use serront_core::changes::effect::EffectStatus;
use serront_core::orders::order::WorkCounts;
use serront_core::orders::receipt::samples;
use serront_core::primitives::ids::UploadId;
use serront_core::primitives::version::Version;
use serront_core::snapshots::{DeliveryFilter, OrderFilter, OrderKey};

use super::Harness;
use super::bench::{Bench, Landed, exact, landed, limit};

/// Every read method finds nothing under another account's ids.
pub async fn another_accounts_things_read_as_nothing(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    bench.world.receipt_uploads().upload(&placed.token, "image/png", samples::PNG).await.unwrap();
    bench.lands(&bench.confirming(&placed, None).await).await;
    let delivery = bench.all_deliveries(seller.account_id, &DeliveryFilter::default()).await.remove(0);
    let stranger = bench.opened().await;
    let nobody = bench.context(None).ids.account();
    let storage = bench.storage();
    assert_eq!(storage.account(nobody, None).await.unwrap(), None);
    for account in [stranger, nobody] {
        assert_eq!(storage.service(account, seller.service_id, None).await.unwrap(), None);
        assert_eq!(storage.order(OrderKey::Id(account, placed.id), None).await.unwrap(), None);
        assert_eq!(storage.keys(account).await.unwrap(), []);
        assert_eq!(storage.services(account).await.unwrap(), []);
        let by_service = OrderFilter { service_id: Some(seller.service_id), ..OrderFilter::default() };
        for filter in [OrderFilter::default(), by_service] {
            let page = storage.orders(account, &filter, None, limit(50)).await.unwrap();
            assert_eq!((page.rows, page.has_more), (vec![], false));
        }
        assert_eq!(storage.counts(account).await.unwrap(), WorkCounts::default());
        assert_eq!(storage.audit(account, placed.id).await.unwrap(), []);
        for subscription_id in [None, Some(delivery.subscription_id)] {
            let filter = DeliveryFilter { subscription_id, ..DeliveryFilter::default() };
            let page = storage.deliveries(account, &filter, None, limit(50)).await.unwrap();
            assert_eq!((page.rows, page.has_more), (vec![], false));
        }
        assert_eq!(storage.delivery(account, delivery.id).await.unwrap(), None);
    }
    let account = bench.account(stranger).await;
    assert_eq!((account.storefront, account.subscriptions, account.services), (None, vec![], 0));
    let snapshot = bench.snapshot(seller.account_id, placed.id).await;
    let upload_id: UploadId = snapshot.payment.state.receipt.unwrap().upload_id;
    assert_eq!(storage.named_uploads(&[(stranger, upload_id)]).await.unwrap(), []);
    assert_eq!(storage.named_uploads(&[(seller.account_id, upload_id)]).await.unwrap(), [upload_id]);
    assert_eq!(delivery.status, EffectStatus::Pending);
}

/// Guards and writes do not find another account's row.
pub async fn another_accounts_rows_are_not_written(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let subscription_id = bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let other = bench.world.seller("other").await;
    let snapshot = bench.snapshot(seller.account_id, placed.id).await;
    let (seller_before, other_before) = (bench.picture(seller.account_id).await, bench.picture(other.account_id).await);
    let service = bench.storage().service(seller.account_id, seller.service_id, None).await.unwrap().unwrap().service;
    let rows = [
        (Row::Order(placed.id), snapshot.order.state.version),
        (Row::Service(seller.service_id), service.version),
        (Row::Subscription(subscription_id), Version::FIRST),
    ];
    for (row, version) in rows {
        let change = bench.guarded(other.account_id, exact(row.clone(), version));
        assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict, "{row:?}");
    }
    let order_row = exact(Row::Order(placed.id), Version::ABSENT);
    let cases = [
        (exact(Row::Service(seller.service_id), Version::ABSENT), Write::DeleteService(seller.service_id)),
        (exact(Row::Subscription(subscription_id), Version::ABSENT), Write::DeleteSubscription(subscription_id)),
        (exact(Row::Storefront, Version(1)), Write::DeleteKey(seller.key_id)),
        (
            order_row,
            Write::UpdatePayment {
                id: snapshot.payment.id,
                order_id: placed.id,
                state: snapshot.payment.state.clone(),
            },
        ),
    ];
    for (guard, write) in cases {
        let said = format!("{write:?}");
        let change = ChangeSet { writes: vec![write], ..bench.guarded(other.account_id, guard) };
        let result = landed(&bench.commit(&change).await);
        assert!(!matches!(result, Landed::Yes(_)), "{said}: {result:?}");
    }
    // A key's use is not recorded for the wrong account.
    bench.storage().touch_key(other.account_id, seller.key_id, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(bench.picture(seller.account_id).await, seller_before);
    assert_eq!(bench.picture(other.account_id).await, other_before);
}
