//! Names that must be unique.

use std::sync::Arc;
use std::time::Duration;

use serront_core::accounts::key::ApiKey;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Duplicate, Write};
use serront_core::changes::idempotency::{IdempotentRequest, Kept, KeptOutcome};
use serront_core::orders::marked::MarkedText;
use serront_core::orders::order::Language;
use serront_core::ports::CommitError;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use tokio::task::JoinSet;

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, landed, request};
use crate::world::order_input;

fn slug(text: &str) -> Slug {
    Slug::parse("slug", text).unwrap()
}

/// One name of each kind; the first five are unique within their account, the others globally.
fn names<H: Harness + ?Sized>(bench: &Bench<'_, H>) -> [ClaimName; 9] {
    [
        ClaimName::Confirmation(bench.context(None).ids.payment()),
        ClaimName::ServiceSlug(slug("name")),
        ClaimName::Idempotency(Digest256::of(b"name")),
        ClaimName::Settlement(SessionId::parse("name").unwrap()),
        ClaimName::ProviderEvent(ProviderEventId::parse("name").unwrap()),
        ClaimName::Merchant(MerchantId::parse("name").unwrap()),
        ClaimName::StorefrontSlug(slug("name")),
        ClaimName::KeyHash(Digest256::of(b"name")),
        ClaimName::AccessToken(Digest256::of(b"name")),
    ]
}

fn kept(outcome: &str, until: Timestamp) -> KeptOutcome {
    KeptOutcome { fingerprint: Digest256::of(b"body"), outcome: MarkedText::plain(outcome.to_owned()), until }
}

fn read_back(outcome: &str, until: Timestamp) -> Kept {
    Kept { fingerprint: Digest256::of(b"body"), outcome: outcome.to_owned(), until }
}

/// A change set that claims a name, with an outcome where its kind needs one.
fn claim<H: Harness + ?Sized>(bench: &Bench<'_, H>, account_id: AccountId, name: &ClaimName) -> ChangeSet {
    let until = bench.now().plus(Duration::from_secs(60));
    let outcome = matches!(name, ClaimName::Idempotency(_)).then(|| kept("{\"first\":true}", until));
    let claims = vec![Claim { name: name.clone(), kept: outcome }];
    ChangeSet { claims, ..bench.change(account_id) }
}

async fn two_accounts<H: Harness + ?Sized>(bench: &Bench<'_, H>) -> (AccountId, AccountId) {
    let ((one, opening_one), (two, opening_two)) = (bench.opening(), bench.opening());
    bench.lands(&opening_one).await;
    bench.lands(&opening_two).await;
    (one, two)
}

/// The second claim of a name of any kind is a duplicate.
pub async fn each_kind_of_name_is_claimed_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, _) = two_accounts(&bench).await;
    for name in names(&bench) {
        bench.lands(&claim(&bench, account_id, &name)).await;
        let again = bench.commit(&claim(&bench, account_id, &name)).await;
        assert_eq!(landed(&again), Landed::Duplicate(name));
    }
}

/// Directory names are unique across accounts; the others within their account.
pub async fn names_across_accounts_and_names_within(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (one, two) = two_accounts(&bench).await;
    for name in names(&bench) {
        bench.lands(&claim(&bench, one, &name)).await;
        let within = matches!(
            name,
            ClaimName::Confirmation(_)
                | ClaimName::ServiceSlug(_)
                | ClaimName::Idempotency(_)
                | ClaimName::Settlement(_)
                | ClaimName::ProviderEvent(_)
        );
        let other = landed(&bench.commit(&claim(&bench, two, &name)).await);
        let expected = if within { UNNUMBERED } else { Landed::Duplicate(name) };
        assert_eq!(other, expected);
    }
}

/// The kept outcome is answered with the duplicate and with every read of its key, but only in its account.
pub async fn a_duplicate_answers_the_kept_outcome(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let (other, foreign) = bench.world.seller_with_order("other").await;
    let scope = request(seller.account_id, "key-1", b"body").scope;
    let until = bench.now().plus(Duration::from_secs(60));
    let text = "{\"v\":1,\"note\":\"kopi 'susu' — 日本\"}";
    let claims = vec![Claim { name: ClaimName::Idempotency(scope), kept: Some(kept(text, until)) }];
    let change = ChangeSet { claims, ..bench.change(seller.account_id) };
    bench.lands(&change).await;
    let expected = read_back(text, until);
    let again = ChangeSet { id: bench.change(seller.account_id).id, ..change };
    match bench.commit(&again).await {
        Err(CommitError::Duplicate(duplicate)) => {
            assert_eq!(*duplicate, Duplicate { claim: ClaimName::Idempotency(scope), kept: Some(expected.clone()) })
        }
        other => panic!("a duplicate, not {other:?}"),
    }
    let storage = bench.storage();
    let service = storage.service(seller.account_id, seller.service_id, Some(scope)).await.unwrap().unwrap();
    let account = storage.account(seller.account_id, Some(scope)).await.unwrap().unwrap();
    let key = serront_core::snapshots::OrderKey::Token(placed.token.hash());
    let order = storage.order(key, Some(scope)).await.unwrap().unwrap();
    let shop = storage.shop(&slug("studio"), Some(scope)).await.unwrap().unwrap();
    assert_eq!([account.kept, service.kept, order.kept, shop.kept], [(); 4].map(|()| Some(expected.clone())));
    let foreign = serront_core::snapshots::OrderKey::Id(other.account_id, foreign.id);
    assert_eq!(storage.order(foreign, Some(scope)).await.unwrap().unwrap().kept, None);
    assert_eq!(storage.account(seller.account_id, None).await.unwrap().unwrap().kept, None);
    assert_eq!(storage.shop(&slug("studio"), None).await.unwrap().unwrap().kept, None);
    assert_eq!(storage.shop(&slug("other"), Some(scope)).await.unwrap().unwrap().kept, None);
    // A shop is one row per service, or one row without services.
    for service in ["second", "third"] {
        bench.lands(&bench.creating(seller.account_id, service).await).await;
    }
    assert_eq!(storage.shop(&slug("studio"), Some(scope)).await.unwrap().unwrap().kept, Some(expected));
}

/// Of many orders placed at one storefront at the same time under one key, one is placed; the others answer its number
/// and token. The same key at another storefront is independent (#16).
pub async fn of_many_orders_under_one_key_one_is_placed(harness: &impl Harness) {
    const CROWD: usize = 12;
    let (bench, seller) = Bench::with_seller(harness).await;
    let at = |shop: &str| IdempotentRequest::of_shop(&slug(shop), "POST", "/order", "key-1", b"body").ok();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let (world, request) = (Arc::clone(&bench.world), at("studio"));
        crowd.spawn(async move {
            let placed = world.commands().place_order("studio", &order_input("Budi"), Language::Id, request).await;
            placed.expect("an order")
        });
    }
    let answers = crowd.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    let first = &answers[0].value;
    assert!(first.number.is_some() && first.order_id.is_some());
    assert!(answers.iter().all(|answer| answer.value == *first));
    let placed = async |account| bench.storage().counts(account).await.unwrap().requested;
    assert_eq!(placed(seller.account_id).await, 1);

    let other = bench.world.seller("other").await;
    let elsewhere =
        bench.world.commands().place_order("other", &order_input("Budi"), Language::Id, at("other")).await.unwrap();
    assert!(!elsewhere.replayed && elsewhere.value.access_token != first.access_token);
    assert_eq!((placed(seller.account_id).await, placed(other.account_id).await), (1, 1));
}

/// A kept outcome expires by the storage's clock. After that no read answers it, and the key is free.
pub async fn an_expired_outcome_is_replaced(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, _) = two_accounts(&bench).await;
    let scope = request(account_id, "key-1", b"body").scope;
    let name = ClaimName::Idempotency(scope);
    let until = bench.now().plus(Duration::from_secs(60));
    let next_until = until.plus(Duration::from_secs(60));
    let keeping = |text: &str, until: Timestamp| {
        let claims = vec![Claim { name: name.clone(), kept: Some(kept(text, until)) }];
        ChangeSet { claims, ..bench.change(account_id) }
    };
    let found = async || bench.storage().account(account_id, Some(scope)).await.unwrap().unwrap().kept;
    bench.lands(&keeping("1", until)).await;
    bench.advance(Duration::from_secs(60) - Duration::from_millis(1)).await;
    assert_eq!(landed(&bench.commit(&keeping("2", next_until)).await), Landed::Duplicate(name.clone()));
    assert_eq!(found().await, Some(read_back("1", until)));
    bench.advance(Duration::from_millis(1)).await;
    assert_eq!(found().await, None);
    assert_eq!(landed(&bench.commit(&keeping("3", next_until)).await), UNNUMBERED);
    assert_eq!(found().await, Some(read_back("3", next_until)));
    assert_eq!(landed(&bench.commit(&keeping("4", next_until)).await), Landed::Duplicate(name.clone()));
}

/// A released name is free for others, and within the same change set.
pub async fn a_released_name_can_be_claimed_again(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (one, two) = two_accounts(&bench).await;
    for name in names(&bench) {
        bench.lands(&claim(&bench, one, &name)).await;
        let renewed = ChangeSet { releases: vec![name.clone()], ..claim(&bench, one, &name) };
        bench.lands(&renewed).await;
        assert_eq!(landed(&bench.commit(&claim(&bench, one, &name)).await), Landed::Duplicate(name.clone()));
        bench.lands(&ChangeSet { releases: vec![name.clone()], ..bench.change(one) }).await;
        bench.lands(&claim(&bench, two, &name)).await;
    }
}

/// A change set cannot release a name that another account holds.
pub async fn only_its_holder_releases_a_name(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (one, two) = two_accounts(&bench).await;
    for name in names(&bench) {
        bench.lands(&claim(&bench, one, &name)).await;
        let release = ChangeSet { releases: vec![name.clone()], ..bench.change(two) };
        assert_eq!(landed(&bench.commit(&release).await), Landed::Conflict);
        assert_eq!(landed(&bench.commit(&claim(&bench, one, &name)).await), Landed::Duplicate(name));
    }
}

/// The order is that of the claims in the change set, regardless of their kinds.
pub async fn the_first_of_two_taken_names_is_reported(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (account_id, _) = two_accounts(&bench).await;
    let taken = names(&bench);
    for name in &taken {
        bench.lands(&claim(&bench, account_id, name)).await;
    }
    let free = Claim::of(ClaimName::ServiceSlug(slug("free")));
    for first in 0..taken.len() {
        let mut claims = vec![free.clone()];
        for name in taken[first..].iter().chain(&taken[..first]) {
            claims.extend(claim(&bench, account_id, name).claims);
        }
        let change = ChangeSet { claims, ..bench.change(account_id) };
        assert_eq!(landed(&bench.commit(&change).await), Landed::Duplicate(taken[first].clone()));
    }
}

/// A deleted key stops working with the commit; a second deletion is a conflict.
pub async fn a_deleted_key_opens_nothing_and_frees_its_hash(harness: &impl Harness) {
    let (bench, seller) = Bench::with_seller(harness).await;
    let hash = ApiKey::parse(seller.key.reveal()).unwrap().hash();
    let record = bench.storage().key(hash).await.unwrap().unwrap();
    assert_eq!((record.id, record.account_id, record.hash), (seller.key_id, seller.account_id, hash));
    assert_eq!(bench.storage().key(Digest256::of(b"no key")).await.unwrap(), None);
    let deletion = ChangeSet {
        writes: vec![Write::DeleteKey(seller.key_id)],
        releases: vec![ClaimName::KeyHash(hash)],
        ..bench.change(seller.account_id)
    };
    bench.lands(&deletion).await;
    assert_eq!(bench.storage().key(hash).await.unwrap(), None);
    assert_eq!(bench.storage().keys(seller.account_id).await.unwrap(), []);
    let second = ChangeSet { id: bench.change(seller.account_id).id, ..deletion };
    assert_eq!(landed(&bench.commit(&second).await), Landed::Conflict);
    bench.lands(&bench.claiming(seller.account_id, ClaimName::KeyHash(hash))).await;
    let bench = bench.reopen().await;
    assert_eq!(bench.storage().key(hash).await.unwrap(), None);
}
