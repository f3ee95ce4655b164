//! Secrets at rest: the storage has them sealed, and they are resealed during normal operation.

use serront_core::accounts::sealed::{SealedSecret, SecretHolder};
use serront_core::changes::change::{ChangeSet, Row, Write};
use serront_core::online::provisioning::{Endpoint, Previous, Provisioning, ProvisioningState};
use serront_core::primitives::ids::{AccountId, SubscriptionId};
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::EndpointId;
use serront_core::primitives::version::Version;
use serront_core::service::Resealed;
use serront_core::snapshots::{DeliveryFilter, NextAttempt, SubscriptionSecrets};
use serront_core::work::dispatch::Dispatcher;

use super::Harness;
use super::bench::{Bench, LEASE, at_once, exact};
use crate::world::{World, subscription_input};

async fn stored<H: Harness + ?Sized>(bench: &Bench<'_, H>, id: SubscriptionId) -> SubscriptionSecrets {
    let page = bench.storage().subscription_secrets(None, Limit::EXPORT).await.unwrap();
    page.rows.into_iter().find(|row| row.id == id).unwrap()
}

async fn endpoint<H: Harness + ?Sized>(bench: &Bench<'_, H>, account_id: AccountId) -> Provisioning {
    let page = bench.storage().provisionings(None, Limit::EXPORT).await.unwrap();
    page.rows.into_iter().find(|row| row.account_id == account_id).unwrap()
}

/// Stores an endpoint with these sealed secrets.
async fn put_endpoint<H: Harness + ?Sized>(bench: &Bench<'_, H>, account_id: AccountId, present: &str, previous: &str) {
    let secret = |text: &str| SealedSecret::stored(text.to_owned());
    let state = ProvisioningState {
        endpoint: Some(Endpoint { id: EndpointId::parse("we_1").unwrap(), secret: secret(present) }),
        previous: Some(Previous { secret: secret(previous), until: bench.now() }),
        attempt: None,
    };
    let provisioning = Provisioning { account_id, version: Version::FIRST, state };
    bench
        .lands(&ChangeSet {
            guards: vec![exact(Row::Provisioning, Version::ABSENT)],
            writes: vec![Write::PutProvisioning(provisioning)],
            ..bench.change(account_id)
        })
        .await;
}

/// A subscription's secrets are stored sealed, and open only for their row. Both lists have every row once, page by
/// page.
pub async fn a_secret_at_rest_is_sealed_for_its_row(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let mut made = Vec::new();
    for slug in ["one", "two"] {
        let account_id = bench.world.seller(slug).await.account_id;
        for _ in 0..2 {
            let input = subscription_input("https://one.example", &["*"]);
            let created =
                bench.world.webhook_registration().create_subscription(account_id, &input, None).await.unwrap().value;
            made.push((account_id, created.shown.id, created.secret));
        }
        put_endpoint(&bench, account_id, slug, "old").await;
    }
    let sealer = &*bench.world.sealer;
    let mut holders: Vec<_> = made.iter().map(|(account, id, _)| SecretHolder::Subscription(*account, *id)).collect();
    holders.extend(made.iter().map(|(account, ..)| SecretHolder::Endpoint(*account)));
    for (account_id, id, secret) in &made {
        let row = stored(&bench, *id).await;
        assert_eq!((row.account_id, row.version, &row.previous_secret), (*account_id, Version::FIRST, &None));
        assert!(row.secret.is_sealed() && !row.secret.as_stored().contains(secret.reveal()));
        for holder in &holders {
            let opened = row.secret.open(sealer, *holder).ok();
            let own = *holder == SecretHolder::Subscription(*account_id, *id);
            assert_eq!(opened.as_deref(), own.then_some(secret.reveal()));
        }
    }
    let mut listed = Vec::new();
    loop {
        let page = bench.storage().subscription_secrets(listed.last().copied(), Limit::ONE).await.unwrap();
        listed.extend(page.rows.iter().map(|row| row.id));
        if !page.has_more {
            break;
        }
    }
    let mut expected: Vec<_> = made.iter().map(|(_, id, _)| *id).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let first = bench.storage().provisionings(None, Limit::ONE).await.unwrap();
    let after = first.rows.first().map(|row| row.account_id);
    let second = bench.storage().provisionings(after, Limit::ONE).await.unwrap();
    assert_eq!((first.has_more, second.has_more), (true, false));
    assert!(after < second.rows.first().map(|row| row.account_id));
}

/// After a rotation of keys every secret is resealed, including previous ones, and then opens without the old key.
/// Other fields of a subscription stay unchanged.
pub async fn secrets_are_resealed_under_a_new_key(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    let input = subscription_input("https://one.example", &["*"]);
    let created = bench.world.webhook_registration().create_subscription(account_id, &input, None).await.unwrap().value;
    let id = created.shown.id;
    let second = bench.world.commands().rotate_secret(account_id, id, None).await.unwrap().value.secret;
    let before = (bench.account(account_id).await, stored(&bench, id).await);
    let commands = bench.world.commands();
    assert_eq!(commands.reseal().await.unwrap(), Resealed { seen: 1, resealed: 0, unopened: 0 });
    assert_eq!(stored(&bench, id).await, before.1, "nothing is outdated");

    bench.world.sealer.rotate();
    assert_eq!(commands.reseal().await.unwrap(), Resealed { seen: 1, resealed: 1, unopened: 0 });
    assert_eq!(commands.reseal().await.unwrap(), Resealed { seen: 1, resealed: 0, unopened: 0 });
    bench.world.sealer.forget();
    let row = stored(&bench, id).await;
    assert_eq!(row.version, before.1.version.next());
    let holder = SecretHolder::Subscription(account_id, id);
    let open = |secret: &SealedSecret| secret.open(&*bench.world.sealer, holder).unwrap();
    assert_eq!(open(&row.secret), second.reveal());
    assert_eq!(row.previous_secret.as_ref().map(open).as_deref(), Some(created.secret.reveal()));
    let mut after = bench.account(account_id).await;
    after.subscriptions[0].state.version = before.0.subscriptions[0].state.version;
    assert_eq!(after, before.0);
    // The previous secret still signs until its time ends.
    bench.queue_deliveries(account_id, id, 1).await;
    let due = bench.take_one().await;
    let serront_core::snapshots::DueEffect::Delivery { target: Some(target), .. } = due.effect else {
        panic!("a delivery")
    };
    assert_eq!((Some(target.secret), target.previous_secret), (Some(row.secret), row.previous_secret));
}

/// Secrets stored in plain text are read unchanged, and sealed by a pass.
pub async fn secrets_of_an_earlier_version_are_read_and_sealed(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    put_endpoint(&bench, account_id, "whsec_new", "whsec_old").await;
    let commands = bench.world.commands();
    assert!(!commands.has_sealed().await.unwrap());
    assert_eq!(commands.reseal().await.unwrap(), Resealed { seen: 1, resealed: 1, unopened: 0 });
    assert!(commands.has_sealed().await.unwrap());
    let bench = bench.reopen().await;
    let Provisioning { state, version, .. } = endpoint(&bench, account_id).await;
    assert_eq!(version, Version::FIRST.next());
    let open = |secret: &SealedSecret| {
        assert!(secret.is_sealed());
        secret.open(&*bench.world.sealer, SecretHolder::Endpoint(account_id)).unwrap()
    };
    assert_eq!(state.stored_secrets().map(open).collect::<Vec<_>>(), ["whsec_new", "whsec_old"]);
}

/// With resealing passes during rotations of the same secrets, the last secret is stored, under the present key.
pub async fn resealing_during_rotations_keeps_the_last_secret(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    let registration = bench.world.webhook_registration();
    let input = subscription_input("https://one.example", &["*"]);
    let id = registration.create_subscription(account_id, &input, None).await.unwrap().value.shown.id;
    bench.world.sealer.rotate();
    let rotations = (0..4).map(|nth| {
        let world = bench.world.clone();
        async move {
            if nth % 2 == 0 {
                let rotated = world.commands().rotate_secret(account_id, id, None).await.unwrap();
                Some(rotated.value.secret.reveal().to_owned())
            } else {
                world.commands().reseal().await.unwrap();
                None
            }
        }
    });
    let drawn = at_once(rotations).await;
    bench.world.commands().reseal().await.unwrap();
    bench.world.sealer.forget();
    let SubscriptionSecrets { secret, previous_secret, .. } = stored(&bench, id).await;
    let holder = SecretHolder::Subscription(account_id, id);
    for sealed in previous_secret.iter().chain([&secret]) {
        assert!(drawn.contains(&Some(sealed.open(&*bench.world.sealer, holder).unwrap())));
    }
}

/// A host without the key sends nothing and records no attempt: the delivery is taken again after its lease, until the
/// key is available.
pub async fn without_its_key_a_delivery_waits_and_nothing_is_lost(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.world.seller("studio").await.account_id;
    let input = subscription_input("https://one.example", &["*"]);
    let id =
        bench.world.webhook_registration().create_subscription(account_id, &input, None).await.unwrap().value.shown.id;
    bench.queue_deliveries(account_id, id, 1).await;
    bench.world.sealer.hold(&[]);
    for _ in 0..3 {
        let due = bench.take_one().await;
        let World { storage, mailbox, sink, receipts, .. } = &*bench.world;
        let dispatcher = Dispatcher::new(&**storage, &**mailbox, &**sink, &**receipts, bench.world.environment());
        dispatcher.perform(&due).await.unwrap_err();
        assert_eq!(bench.world.commands().reseal().await.unwrap_err().to_string(), "a port failed for now");
        bench.advance(LEASE).await;
    }
    let log = bench.all_deliveries(account_id, &DeliveryFilter::default()).await;
    assert_eq!((log.len(), log[0].attempts.len()), (1, 0));
    assert_eq!(bench.storage().streak(account_id, id).await.unwrap(), None);
    assert!(bench.world.sink.posts().is_empty());
    bench.world.sealer.hold(&[1]);
    let due = bench.take_one().await;
    assert_eq!(due.attempts, 0);
    bench.record(&due, NextAttempt::Succeeded).await.unwrap();
}
