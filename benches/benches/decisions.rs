//! Measures the pure decisions, without storage, clock and randomness.
#![allow(clippy::expect_used, missing_docs, reason = "a benchmark: a failed assumption ends it")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serront_core::accounts::key::AccessToken;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::decide::{self, Context, OrderPatch, PlaceOrder};
use serront_core::orders::order::{Language, WorkStatus};
use serront_core::policy::Policy;
use serront_core::ports::{AccountReads, OrderReads, ShopReads};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{AccountSnapshot, OrderKey, OrderSnapshot, ShopSnapshot};
use serront_testkit::world::{World, host, order_input, service_input, storefront_input};

/// What the decisions are made from: an account with one subscription, and one order in it.
struct Snapshots {
    account: AccountSnapshot,
    shop: ShopSnapshot,
    order: OrderSnapshot,
}

async fn snapshots() -> Snapshots {
    let world = World::new();
    let seller = world.seller("studio").await;
    world.subscribe(&seller, "https://example.com/serront", &["serront.order.*"]).await;
    let placed = world.place(&seller, "Budi Santoso").await;
    let slug = Slug::parse("slug", "studio").expect("a slug");
    Snapshots {
        account: world.storage.account(seller.account_id, None).await.expect("a read").expect("an account"),
        shop: world.storage.shop(&slug, None).await.expect("a read").expect("a storefront"),
        order: world
            .storage
            .order(OrderKey::Id(seller.account_id, placed.id), None)
            .await
            .expect("a read")
            .expect("an order"),
    }
}

fn request(account: AccountId) -> IdempotentRequest {
    IdempotentRequest::new(account, "POST", "/api/v1/orders", "a-key-of-the-caller-1", b"{}").expect("a key")
}

fn decisions(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let Snapshots { account, shop, order } = runtime.block_on(snapshots());
    let (policy, actor) = (Policy::default(), host());
    let (account_id, now) = (account.account.id, Timestamp::from_millis(1_795_340_160_000));
    // The seed is drawn by the caller, so it is not part of what is timed.
    let ids = serront_core::primitives::ids::IdSequence::from_seed(ulid::Ulid::from_parts(1_795_340_160_000, 7));
    let context = |request| Context { now, ids: ids.clone(), policy: &policy, request };
    let mut group = criterion.benchmark_group("decide");

    macro_rules! decision {
        ($name:literal, $request:expr, |$context:ident| $decide:expr) => {
            group.bench_function($name, |bencher| {
                bencher.iter_batched(
                    || context($request),
                    |mut $context| black_box($decide.expect("a decision")),
                    BatchSize::SmallInput,
                );
            });
        };
    }

    decision!("confirm_payment", None, |context| decide::confirm_payment(
        black_box(&order),
        &actor,
        None,
        &mut context
    ));
    decision!("confirm_payment, with an idempotency key", Some(request(account_id)), |context| {
        decide::confirm_payment(black_box(&order), &actor, None, &mut context)
    });
    decision!("claim_payment", None, |context| decide::claim_payment(black_box(&order), &actor, &mut context));
    let patch = OrderPatch { status: Some(WorkStatus::Confirmed), quoted_price_idr: Some(800_000) };
    decision!("patch_order", None, |context| decide::patch_order(black_box(&order), patch, &actor, &mut context));
    let input = order_input("Budi Santoso");
    let access_token = AccessToken::from_bytes(&[7; 24]);
    decision!("place_order", None, |context| {
        let command = PlaceOrder { input: &input, language: Language::Id, access_token: access_token.clone() };
        decide::place_order(black_box(&shop), &command, &mut context)
    });
    let storefront = storefront_input("studio");
    decision!("put_storefront", None, |context| decide::put_storefront(black_box(&account), &storefront, &mut context));
    let service = service_input("cetak", 250_000);
    decision!("create_service", None, |context| decide::create_service(black_box(&account), &service, &mut context));
    group.finish();

    let checked = decide::confirm_payment(&order, &actor, None, &mut context(None)).expect("a decision");
    if let decide::Decision::Change(change, _) = checked {
        criterion.bench_function("ChangeSet::check of a confirmation", |bencher| {
            bencher.iter(|| black_box(&change).check().expect("it holds together"));
        });
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
