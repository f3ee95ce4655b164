//! Rotation of an order's access token.

use serront_core::accounts::key::AccessToken;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Write};
use serront_core::decide;
use serront_core::orders::audit::Act;
use serront_core::ports::PortErrorKind;
use serront_core::primitives::rejection::Code;
use serront_core::service::Failure;
use serront_core::snapshots::OrderKey;
use serront_core::views::SellerOrder;

use super::Harness;
use super::bench::{Bench, Landed, at_once, change_of, landed, request};
use crate::world;

fn refused<T>(result: Result<T, Failure>) -> Code {
    match result {
        Err(Failure::Rejected(rejection)) => rejection.code(),
        Ok(_) | Err(_) => panic!("a refusal"),
    }
}

async fn opens<H: Harness + ?Sized>(bench: &Bench<'_, H>, token: &AccessToken) -> bool {
    bench.storage().order(OrderKey::Token(token.hash()), None).await.unwrap().is_some()
}

/// The old token stops working when the new one is stored, in every state of the order, also after a reopen; its name
/// stays claimed. Nothing else of the order changes, and the trail has the actor and the time. A repeated key answers
/// the token of the first request.
pub async fn a_rotated_token_opens_nothing_and_is_never_given_again(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let other = bench.world.seller("other").await;
    let (account_id, id) = (seller.account_id, placed.id);
    let (commands, actor) = (bench.world.commands(), world::host());
    let before = bench.snapshot(account_id, id).await;
    bench.advance(std::time::Duration::from_secs(1)).await;
    let keyed = request(account_id, "rotate", b"");
    let first = commands.rotate_token(account_id, id, &actor, Some(keyed)).await.unwrap();
    let token = first.value.access_token.clone();
    assert!(!first.replayed && token != placed.token);
    assert_eq!((opens(&bench, &placed.token).await, opens(&bench, &token).await), (false, true));

    let mut expected = before.clone();
    expected.order.access_token = token.clone();
    expected.order.state.version = before.order.state.version.next();
    expected.order.state.updated_at = bench.now();
    let after = bench.snapshot(account_id, id).await;
    assert_eq!(after, expected);
    assert_eq!(SellerOrder::from(&after), first.value);
    let trail = bench.storage().audit(account_id, id).await.unwrap();
    let record = trail.last().unwrap();
    assert_eq!(record.act, Act::token_rotated(&placed.token, &token));
    assert_eq!((&record.actor, record.at), (&actor, bench.now()));

    let again = commands.rotate_token(account_id, id, &actor, Some(keyed)).await.unwrap();
    assert!(again.replayed && again.value == first.value);
    assert_eq!(refused(commands.rotate_token(other.account_id, id, &actor, None).await), Code::NotFound);
    let taken = ClaimName::AccessToken(placed.token.hash());
    for account in [account_id, other.account_id] {
        let claim = ChangeSet { claims: vec![Claim::of(taken.clone())], ..bench.change(account) };
        assert_eq!(landed(&bench.commit(&claim).await), Landed::Duplicate(taken.clone()));
    }

    bench.lands(&bench.confirming(&placed, None).await).await;
    let bench = bench.reopen().await;
    let last = bench.world.commands().rotate_token(account_id, id, &actor, None).await.unwrap().value.access_token;
    for (token, is_open) in [(&placed.token, false), (&token, false), (&last, true)] {
        assert_eq!(opens(&bench, token).await, is_open);
    }
}

/// A new token without its claim would not work.
pub async fn a_new_token_is_claimed(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let snapshot = bench.snapshot(seller.account_id, placed.id).await;
    let decided = decide::rotate_token(&snapshot, bench.token(), &world::host(), &mut bench.context(None));
    let mut change = change_of(decided.unwrap());
    assert!(change.writes.iter().any(|write| matches!(write, Write::RotateToken { .. })));
    let claims = std::mem::take(&mut change.claims);
    assert_eq!(landed(&bench.commit(&change).await), Landed::Port(PortErrorKind::Permanent));
    assert!(opens(&bench, &placed.token).await);
    change.claims = claims;
    bench.lands(&change).await;
    assert!(!opens(&bench, &placed.token).await);
}

/// A decision made with the old token and committed after the rotation is a conflict.
pub async fn what_a_buyer_does_with_an_old_token_never_lands(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let snapshot = bench.storage().order(OrderKey::Token(placed.token.hash()), None).await.unwrap().unwrap();
    let actor = serront_core::accounts::actor::Actor::buyer(&placed.token);
    let claim = change_of(decide::claim_payment(&snapshot, &actor, &mut bench.context(None)).unwrap());
    let commands = bench.world.commands();
    commands.rotate_token(seller.account_id, placed.id, &world::host(), None).await.unwrap();
    assert_eq!(landed(&bench.commit(&claim).await), Landed::Conflict);
    assert_eq!(refused(commands.claim_payment(&placed.token).await), Code::NotFound);
}

/// Concurrent rotations create different tokens, and one of them is the order's.
pub async fn rotations_at_once_leave_one_token(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let (account_id, id) = (seller.account_id, placed.id);
    let rotations =
        (0..4).map(|_| {
            let world = bench.world.clone();
            async move {
                world.commands().rotate_token(account_id, id, &world::host(), None).await.unwrap().value.access_token
            }
        });
    let drawn = at_once(rotations).await;
    let present = bench.snapshot(account_id, id).await.order.access_token;
    assert!(drawn.contains(&present));
    for token in drawn.iter().chain([&placed.token]) {
        assert_eq!(opens(&bench, token).await, *token == present);
    }
}
