//! Payouts, adjustments, the funds' row on which all debits serialize, and verifications of the books.

use std::sync::Arc;
use std::time::Duration;

use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::OperatorKey;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Row, Write};
use serront_core::decide::{self, AdjustmentInput, ModuleSwitches, PayoutStep, Requester};
use serront_core::funds::balance::Funds;
use serront_core::funds::books::{Difference, Verification, VerificationReport};
use serront_core::funds::ledger::{self, Direction, LedgerEntry, POSTED_WITHIN};
use serront_core::funds::payout::{BankAccountInput, Payout, PayoutInput, PayoutStatus};
use serront_core::primitives::ids::{AccountId, PayoutId};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::page::Limit;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::rejection::{Code, Rejection};
use serront_core::primitives::tier::Tier;
use serront_core::primitives::version::Version;
use serront_core::service::{Failure, verify};
use serront_core::snapshots::{AdjustmentKey, EntryFilter, PayoutKey};
use serront_core::views::{PayoutBalanceView, PayoutView};

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, at_once, change_of, commit_at_once, exact, landed, limit, request};
use crate::world::host;

fn rupiah(amount: i64) -> Rupiah {
    Rupiah::new(amount).unwrap()
}

fn asked(amount: i64) -> PayoutInput {
    PayoutInput {
        amount,
        bank_code: Some("014".to_owned()),
        bank_name: Some("Bank Contoh — 'pusat'".to_owned()),
        bank_account_number: Some("123-456 789".to_owned()),
        bank_account_holder: Some("Renata".to_owned()),
        note: Some("for the rent".to_owned()),
        ..PayoutInput::default()
    }
}

fn adjustment(amount: i64, reference: &str) -> AdjustmentInput {
    AdjustmentInput { amount, reason: "a sale — 'kopi'".to_owned(), reference: reference.to_owned() }
}

fn transit(reference: &str) -> PayoutStep {
    PayoutStep::MarkInTransit { reference: Some(reference.to_owned()) }
}

/// An account with this balance.
async fn seller<H: Harness + ?Sized>(bench: &Bench<'_, H>, amount: i64) -> AccountId {
    let commands = bench.world.commands();
    let id = commands.open_account("Renata", Tier::Starter).await.unwrap().value.0.id;
    bench.world.switch_payment_on(id).await;
    if amount != 0 {
        commands.adjust(id, &adjustment(amount, "opening"), &host()).await.unwrap();
    }
    id
}

async fn ask<H: Harness + ?Sized>(bench: &Bench<'_, H>, id: AccountId, amount: i64) -> PayoutView {
    bench.world.commands().request_payout(id, &asked(amount), (Requester::Seller, &host()), None).await.unwrap().value
}

async fn step<H: Harness + ?Sized>(bench: &Bench<'_, H>, id: PayoutId, step: &PayoutStep) -> PayoutView {
    bench.world.commands().move_payout(PayoutKey::Any(id), step, &host(), None).await.unwrap().value
}

/// Ledger balance, amount in flight, available amount.
async fn funds<H: Harness + ?Sized>(bench: &Bench<'_, H>, id: AccountId) -> (i64, i64, i64) {
    let PayoutBalanceView { ledger_balance, locked, available, .. } =
        bench.world.commands().payout_balance(id).await.unwrap();
    (ledger_balance, locked.get(), available)
}

async fn report<H: Harness + ?Sized>(bench: &Bench<'_, H>, id: Option<AccountId>) -> VerificationReport {
    verify(bench.storage(), id, &Verification::default()).await.unwrap()
}

/// Every state of a payout is stored completely; another account does not find it.
pub async fn a_payout_is_there_as_it_was_written(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let stranger = seller(&bench, 10_000).await;
    let asked = ask(&bench, id, 4_000).await;
    bench.advance(Duration::from_secs(60)).await;
    let moved = step(&bench, asked.id, &transit("T — 'satu'")).await;
    bench.advance(Duration::from_secs(60)).await;
    let paid = step(&bench, asked.id, &PayoutStep::MarkPaid { reference: None }).await;
    let failing = ask(&bench, id, 1_000).await;
    let reason = PayoutStep::MarkFailed { failure_reason: Some("the account is closed".to_owned()) };
    let failed = step(&bench, failing.id, &reason).await;
    let bench = bench.reopen().await;
    let commands = bench.world.commands();
    for (shown, expected) in [(asked.id, &paid), (failing.id, &failed)] {
        for key in [PayoutKey::Id(id, shown), PayoutKey::Any(shown)] {
            assert_eq!(commands.payout(key).await.unwrap(), *expected);
        }
        let foreign = commands.payout(PayoutKey::Id(stranger, shown)).await;
        assert!(matches!(foreign, Err(Failure::Rejected(Rejection::NotFound(_)))), "{foreign:?}");
    }
    assert_eq!(paid.reference.as_deref(), Some("T — 'satu'"));
    assert_eq!((paid.processed_at, paid.completed_at), (Some(moved.updated_at), Some(paid.updated_at)));
    let trail = commands.payout_audit(id, asked.id).await.unwrap();
    let path: Vec<_> = trail.iter().map(|record| (record.from, record.to, record.note.as_deref(), record.at)).collect();
    let (pending, in_transit) = (PayoutStatus::Pending, PayoutStatus::InTransit);
    let expected = [
        (None, pending, Some("for the rent"), asked.created_at),
        (Some(pending), in_transit, Some("T — 'satu'"), moved.updated_at),
        (Some(in_transit), PayoutStatus::Paid, None, paid.updated_at),
    ];
    assert_eq!(path, expected);
    assert!(trail.iter().all(|record| record.actor == host() && record.account_id == id));
    assert_eq!(commands.payout_audit(stranger, asked.id).await.unwrap(), []);
    assert_eq!(funds(&bench, id).await, (6_000, 0, 6_000));
}

/// An unknown payout is not found, and a missing one is never written.
pub async fn a_missing_payout_is_never_written(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let stranger = seller(&bench, 10_000).await;
    let payout = ask(&bench, stranger, 1_000).await;
    let snapshot = bench.storage().payout(PayoutKey::Any(payout.id), None).await.unwrap().unwrap();
    let mut ids = bench.context(None).ids;
    for missing in [ids.payout(), payout.id] {
        let state = snapshot.payout.state.clone();
        let state = serront_core::funds::payout::PayoutState { version: Version(2), ..state };
        let change = ChangeSet {
            guards: vec![exact(Row::Payout(missing), Version::FIRST)],
            writes: vec![Write::UpdatePayout(missing, state)],
            ..bench.change(id)
        };
        assert_eq!(landed(&bench.commit(&change).await), Landed::Conflict, "another account's, or an unknown one");
    }
    assert_eq!(bench.storage().payout(PayoutKey::Any(ids.payout()), None).await.unwrap(), None);
    assert_eq!(bench.storage().payout(PayoutKey::Any(payout.id), None).await.unwrap(), Some(snapshot));
}

/// Payouts are listed newest first and filtered; those in flight of all accounts oldest first.
pub async fn payouts_are_paged_and_filtered(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (id, other) = (seller(&bench, 100_000).await, seller(&bench, 100_000).await);
    let mut expected = Vec::new();
    for n in 0..8 {
        let payout = ask(&bench, if n == 3 { other } else { id }, 1_000 + n).await;
        let act = match n {
            1 | 3 => Some(transit("T")),
            2 => Some(PayoutStep::Cancel),
            5 => Some(PayoutStep::MarkFailed { failure_reason: Some("closed".to_owned()) }),
            _ => None,
        };
        if let Some(act) = act {
            step(&bench, payout.id, &act).await;
        }
        expected.push(bench.storage().payout(PayoutKey::Any(payout.id), None).await.unwrap().unwrap().payout);
        // Some at the same time, some apart.
        if n % 2 == 0 {
            bench.advance(Duration::from_secs(1)).await;
        }
    }
    expected.sort_by_key(|payout| std::cmp::Reverse(payout.position()));
    let bench = bench.reopen().await;
    for status in [None].into_iter().chain(PayoutStatus::ALL.map(Some)) {
        let wanted =
            |payout: &&Payout| payout.account_id == id && status.is_none_or(|status| status == payout.state.status);
        let expected: Vec<_> = expected.iter().filter(wanted).cloned().collect();
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = bench.storage().payouts(id, status, after, limit(2)).await.unwrap();
            after = page.position(Payout::position);
            rows.extend(page.rows);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(rows, expected, "{status:?}");
    }
    let in_flight = expected.iter().rev().filter(|payout| payout.state.status.is_in_flight()).cloned();
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = bench.storage().payouts_in_flight(after, limit(2)).await.unwrap();
        after = page.position(Payout::position);
        rows.extend(page.rows);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(rows, in_flight.collect::<Vec<_>>());
}

/// Of debits decided on one version of the funds, one lands. A settlement does not change the row that they guard.
pub async fn debits_meet_on_the_funds(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let snapshot = bench.storage().funds(id, None).await.unwrap().unwrap();
    assert_eq!(snapshot.funds, Funds { account_id: id, version: Version::FIRST, in_flight: Rupiah::ZERO });
    let debits = (0..4).map(|n| {
        let input = adjustment(-10, &format!("R{n}"));
        change_of(decide::adjust(&snapshot, None, &input, &host(), &mut bench.context(None)).unwrap())
    });
    let session = SessionId::parse("cs_1").unwrap();
    let mut ids = bench.context(None).ids;
    let legs = ledger::sale(id, &session, rupiah(500), rupiah(2), "Order 1", bench.now(), &mut ids);
    let settling = ChangeSet {
        claims: vec![Claim::of(ClaimName::Settlement(session))],
        writes: vec![Write::Post(legs)],
        ..bench.change(id)
    };
    let changes = std::iter::once(settling).chain(debits).collect();
    let told = commit_at_once(&bench.world.storage, changes).await;
    assert_eq!(told[0], UNNUMBERED, "a settlement has no guard on the funds");
    assert_eq!(told[1..].iter().filter(|landed| **landed == UNNUMBERED).count(), 1, "{told:?}");
    assert_eq!(told[1..].iter().filter(|landed| **landed == Landed::Conflict).count(), 3, "{told:?}");
    assert_eq!(funds(&bench, id).await, (10_488, 0, 10_488));
    // Before the first debit the row does not exist: of several first debits, one lands as well.
    let fresh = seller(&bench, 0).await;
    let snapshot = bench.storage().funds(fresh, None).await.unwrap().unwrap();
    assert_eq!(snapshot.funds, Funds::none(fresh));
    let debits = (0..4).map(|n| {
        let input = adjustment(10, &format!("R{n}"));
        change_of(decide::adjust(&snapshot, None, &input, &host(), &mut bench.context(None)).unwrap())
    });
    let told = commit_at_once(&bench.world.storage, debits.collect()).await;
    assert_eq!(told.iter().filter(|landed| **landed == UNNUMBERED).count(), 1, "{told:?}");
    assert_eq!(funds(&bench, fresh).await, (10, 0, 10));
    let nobody = bench.context(None).ids.account();
    assert_eq!(bench.storage().funds(nobody, None).await.unwrap(), None);
}

/// Thirty concurrent requests for a fifth of the balance each, while sales are posted and folded: as many are accepted
/// as the balance covers, the rest is refused for insufficient balance, and none has to be repeated.
pub async fn thirty_requests_at_once_share_what_there_is(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_003).await;
    let world = &bench.world;
    let sales = (0..20).map(|n| {
        // The fee equals the sale, so that only payouts change the seller's balance.
        let session = SessionId::parse(&format!("cs_{n}")).unwrap();
        let mut ids = bench.context(None).ids;
        let legs = ledger::sale(id, &session, rupiah(100), rupiah(100), "Order 1", bench.now(), &mut ids);
        let claims = vec![Claim::of(ClaimName::Settlement(session))];
        ChangeSet { claims, writes: vec![Write::Post(legs)], ..bench.change(id) }
    });
    let (storage, sales) = (Arc::clone(&world.storage), sales.collect::<Vec<_>>());
    let storm = tokio::spawn(async move {
        let told = commit_at_once(&storage, sales).await;
        while storage.fold_deltas(3).await.unwrap() > 0 {}
        told
    });
    let told = at_once((0..30).map(|_| {
        let world = Arc::clone(world);
        async move {
            match world.commands().request_payout(id, &asked(2_000), (Requester::Seller, &host()), None).await {
                Ok(_) => "accepted",
                Err(Failure::Rejected(rejection)) => rejection.code().as_str(),
                Err(other) => panic!("{other:?}"),
            }
        }
    }))
    .await;
    assert!(storm.await.unwrap().iter().all(|landed| *landed == UNNUMBERED));
    assert_eq!(told.iter().filter(|told| **told == "accepted").count(), 5, "{told:?}");
    assert_eq!(told.iter().filter(|told| **told == Code::InsufficientBalance.as_str()).count(), 25, "{told:?}");
    assert_eq!(funds(&bench, id).await, (10_003, 10_000, 3));
    assert_eq!(report(&bench, None).await.differences, []);
}

/// Of the seller's cancellation and an operator's transfer at the same time, one succeeds.
pub async fn cancelling_and_transferring_have_one_winner(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 100_000).await;
    for _ in 0..8 {
        let payout = ask(&bench, id, 1_000).await;
        let world = &bench.world;
        let told = at_once([PayoutStep::Cancel, transit("T")].map(|step| {
            let world = Arc::clone(world);
            async move {
                let moved = world.commands().move_payout(PayoutKey::Any(payout.id), &step, &host(), None).await;
                match moved {
                    Ok(answer) => Some(answer.value.status),
                    Err(Failure::Rejected(Rejection::InvalidTransition { .. })) => None,
                    Err(other) => panic!("{other:?}"),
                }
            }
        }))
        .await;
        let won: Vec<_> = told.into_iter().flatten().collect();
        let shown = bench.world.commands().payout(PayoutKey::Any(payout.id)).await.unwrap();
        assert_eq!(won, [shown.status]);
        assert_eq!(bench.world.commands().payout_audit(id, payout.id).await.unwrap().len(), 2);
    }
    assert_eq!(report(&bench, Some(id)).await.differences, []);
}

/// One commit posts a paid payout and ends its time in flight; the total never changes.
pub async fn what_is_paid_is_posted_in_the_same_commit(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let payout = ask(&bench, id, 4_000).await;
    assert_eq!(funds(&bench, id).await, (10_000, 4_000, 6_000));
    step(&bench, payout.id, &transit("T")).await;
    assert_eq!(funds(&bench, id).await, (10_000, 4_000, 6_000));
    let snapshot = bench.storage().payout(PayoutKey::Any(payout.id), None).await.unwrap().unwrap();
    let paid = PayoutStep::MarkPaid { reference: None };
    let paying = || change_of(decide::move_payout(&snapshot, &paid, &host(), &mut bench.context(None)).unwrap());
    let told = commit_at_once(&bench.world.storage, (0..4).map(|_| paying()).collect()).await;
    assert_eq!(told.iter().filter(|landed| **landed == UNNUMBERED).count(), 1, "{told:?}");
    assert_eq!(funds(&bench, id).await, (6_000, 0, 6_000));
    let filter = EntryFilter { source_id: Some(payout.id.to_string()), ..EntryFilter::default() };
    let page = bench.storage().entries(id, &filter, None, limit(10)).await.unwrap();
    let legs: Vec<_> = page.rows.iter().map(|leg| (leg.direction, leg.amount.get())).collect();
    assert_eq!(legs, [(Direction::Debit, 4_000)]);
    assert_eq!(report(&bench, None).await.differences, []);
}

/// An adjustment is found by its id and its reference, counts once, and its reference is unique in its account.
pub async fn an_adjustment_counts_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (id, other) = (seller(&bench, 0).await, seller(&bench, 0).await);
    let commands = bench.world.commands();
    let made = commands.adjust(id, &adjustment(-700, "R1 — 'satu'"), &host()).await.unwrap();
    let again = commands.adjust(id, &adjustment(-700, "R1 — 'satu'"), &host()).await.unwrap();
    assert_eq!((made.replayed, again.replayed), (false, true));
    assert_eq!(made.value, again.value);
    let mismatch = commands.adjust(id, &adjustment(-701, "R1 — 'satu'"), &host()).await;
    assert!(matches!(mismatch, Err(Failure::Rejected(Rejection::Conflict(_)))), "{mismatch:?}");
    commands.adjust(other, &adjustment(-1, "R1 — 'satu'"), &host()).await.unwrap();
    let world = &bench.world;
    let told = at_once((0..6).map(|_| {
        let world = Arc::clone(world);
        async move { world.commands().adjust(id, &adjustment(1_000, "R2"), &host()).await.unwrap() }
    }))
    .await;
    assert!(told.iter().all(|answer| answer.value == told[0].value));
    assert_eq!(told.iter().filter(|answer| !answer.replayed).count(), 1);
    let bench = bench.reopen().await;
    for key in [AdjustmentKey::Id(made.value.id), AdjustmentKey::Reference("R1 — 'satu'".to_owned())] {
        assert_eq!(bench.storage().adjustment(id, &key).await.unwrap().as_ref(), Some(&made.value));
    }
    let foreign = bench.storage().adjustment(other, &AdjustmentKey::Id(made.value.id)).await.unwrap();
    assert_eq!(foreign, None);
    assert_eq!((funds(&bench, id).await, funds(&bench, other).await), ((300, 0, 300), (-1, 0, -1)));
    // The reference is a claimed name: a different decision finds it taken.
    let snapshot = bench.storage().funds(id, None).await.unwrap().unwrap();
    let second = decide::adjust(&snapshot, None, &adjustment(5, "R2"), &host(), &mut bench.context(None)).unwrap();
    let told = landed(&bench.commit(&change_of(second)).await);
    assert_eq!(told, Landed::Duplicate(ClaimName::Adjustment("R2".to_owned())));
}

/// References that look the same are the same, regardless of how they were typed or copied (#16).
pub async fn a_reference_is_compared_as_it_looks(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 0).await;
    let commands = bench.world.commands();
    let made = commands.adjust(id, &adjustment(-700, "R\u{e9}f 1"), &host()).await.unwrap();
    for same in ["Re\u{301}f 1", "\u{200b}R\u{e9}f\u{2060} 1\u{feff}", "  Re\u{301}f 1\u{200e} "] {
        let again = commands.adjust(id, &adjustment(-700, same), &host()).await.unwrap();
        assert_eq!((again.replayed, &again.value), (true, &made.value), "{same:?}");
    }
    let mismatch = commands.adjust(id, &adjustment(-701, "Re\u{301}f 1"), &host()).await;
    assert!(matches!(mismatch, Err(Failure::Rejected(Rejection::Conflict(_)))), "{mismatch:?}");
    let blank = commands.adjust(id, &adjustment(-700, "\u{200b}\u{feff}"), &host()).await;
    assert!(
        matches!(&blank, Err(Failure::Rejected(Rejection::Invalid(invalid))) if invalid.param == "reference"),
        "{blank:?}"
    );
    for other in ["r\u{e9}f 1", "Ref 1", "R\u{e9}f1"] {
        assert!(!commands.adjust(id, &adjustment(-1, other), &host()).await.unwrap().replayed, "{other:?}");
    }
    assert_eq!(funds(&bench, id).await, (-703, 0, -703));
}

/// A posting has the time of its decision, so it lands soon after it or not at all, and the ledger is complete before
/// that time (#16).
pub async fn what_was_decided_long_ago_is_not_posted(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 0).await;
    let decided = async |reference: &str| {
        let snapshot = bench.storage().funds(id, None).await.unwrap().unwrap();
        let decision = decide::adjust(&snapshot, None, &adjustment(10, reference), &host(), &mut bench.context(None));
        change_of(decision.unwrap())
    };
    assert_eq!(bench.storage().complete_before().await.unwrap(), bench.now().minus(POSTED_WITHIN));
    let (just, at) = (decided("just in time").await, bench.now());
    bench.advance(POSTED_WITHIN).await;
    assert_eq!(bench.storage().complete_before().await.unwrap(), at);
    assert_eq!(landed(&bench.commit(&just).await), UNNUMBERED);
    let late = decided("too late").await;
    bench.advance(POSTED_WITHIN + Duration::from_millis(1)).await;
    let complete = bench.storage().complete_before().await.unwrap();
    assert!(complete > late.at);
    assert_eq!(landed(&bench.commit(&late).await), Landed::Conflict);
    assert_eq!(
        landed(&bench.commit(&just).await),
        UNNUMBERED,
        "a landed change set gets the same answer whenever it is repeated"
    );
    bench.world.commands().adjust(id, &adjustment(10, "too late"), &host()).await.unwrap();
    let filter = EntryFilter { before: Some(complete), ..EntryFilter::default() };
    let page = bench.storage().entries(id, &filter, None, Limit::EXPORT).await.unwrap();
    assert_eq!(page.rows.len(), 1, "a new decision has the present time");
    assert_eq!(funds(&bench, id).await, (20, 0, 20));
}

/// The default account is stored and changed; a payout that uses it guards its version.
pub async fn a_payout_goes_to_the_default_account_of_its_moment(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let commands = bench.world.commands();
    let plain = PayoutInput { amount: 1_000, ..PayoutInput::default() };
    let refused = commands.request_payout(id, &plain, (Requester::Seller, &host()), None).await;
    assert!(matches!(refused, Err(Failure::Rejected(Rejection::BankAccountRequired))), "{refused:?}");
    let account = |number: &str| BankAccountInput {
        bank_name: Some(Some("Bank Contoh".to_owned())),
        bank_account_number: Some(Some(number.to_owned())),
        bank_account_holder: Some(Some("Renata".to_owned())),
        ..BankAccountInput::default()
    };
    let keyed = request(id, "key-1", b"body");
    let put = commands.patch_bank_account(id, &account("111"), Some(keyed)).await.unwrap();
    let again = commands.patch_bank_account(id, &account("111"), Some(keyed)).await.unwrap();
    assert!(put.value.configured && again.replayed && again.value == put.value);
    let first = commands.request_payout(id, &plain, (Requester::Seller, &host()), None).await.unwrap().value;
    // Decided before the change, committed after it.
    let snapshot = bench.storage().funds(id, None).await.unwrap().unwrap();
    let by = (Requester::Seller, &host());
    let late = decide::request_payout(&snapshot, &plain, by, &mut bench.context(None)).unwrap();
    commands.patch_bank_account(id, &account("222"), None).await.unwrap();
    assert_eq!(landed(&bench.commit(&change_of(late)).await), Landed::Conflict);
    let second = commands.request_payout(id, &plain, (Requester::Seller, &host()), None).await.unwrap().value;
    let bench = bench.reopen().await;
    for (payout, number) in [(first, "111"), (second, "222")] {
        let shown = bench.world.commands().payout(PayoutKey::Any(payout.id)).await.unwrap();
        assert_eq!(shown.bank.bank_account_number, number);
    }
    let shown = bench.world.commands().bank_account(id).await.unwrap();
    assert_eq!(shown.details.bank_account_number.as_deref(), Some("222"));
}

/// A seller's decision made while the module was on does not land after it was switched off; an operator's decision
/// does.
pub async fn what_a_seller_does_lands_while_the_module_is_on(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let first = ask(&bench, id, 1_000).await;
    let funds_of = bench.storage().funds(id, None).await.unwrap().unwrap();
    let payout = bench.storage().payout(PayoutKey::Any(first.id), None).await.unwrap().unwrap();
    let (actor, input) = (host(), asked(1_000));
    let account = BankAccountInput { bank_code: Some(Some("014".to_owned())), ..BankAccountInput::default() };
    let mut late = Vec::new();
    let by = (Requester::Seller, &actor);
    late.push(change_of(decide::request_payout(&funds_of, &input, by, &mut bench.context(None)).unwrap()));
    let cancel = decide::move_payout(&payout, &PayoutStep::Cancel, &actor, &mut bench.context(None));
    late.push(change_of(cancel.unwrap()));
    late.push(change_of(decide::patch_bank_account(&funds_of, &account, &mut bench.context(None)).unwrap()));
    let off = ModuleSwitches { payment: Some(false), marketing: None };
    bench.world.online().switch_modules(id, off, None).await.unwrap();
    for change in &late {
        assert_eq!(landed(&bench.commit(change).await), Landed::Conflict);
    }
    let commands = bench.world.commands();
    let refused = [
        commands.request_payout(id, &input, by, None).await.map(drop),
        commands.move_payout(PayoutKey::Id(id, first.id), &PayoutStep::Cancel, &actor, None).await.map(drop),
        commands.patch_bank_account(id, &account, None).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Failure::Rejected(Rejection::PaymentModuleDisabled))), "{refused:?}");
    }
    commands.request_payout(id, &input, (Requester::Operator, &actor), None).await.unwrap();
    step(&bench, first.id, &transit("T")).await;
    step(&bench, first.id, &PayoutStep::MarkPaid { reference: None }).await;
    assert_eq!(funds(&bench, id).await, (9_000, 1_000, 8_000));
}

/// A repeated idempotency key answers the first payout, from the account that keeps it, also for operators.
pub async fn a_repeated_request_asks_for_one_payout(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 10_000).await;
    let world = &bench.world;
    let keyed = Some(request(id, "key-1", b"body"));
    let told =
        at_once((0..5).map(|_| {
            let world = Arc::clone(world);
            async move {
                world.commands().request_payout(id, &asked(3_000), (Requester::Seller, &host()), keyed).await.unwrap()
            }
        }))
        .await;
    assert!(told.iter().all(|answer| answer.value == told[0].value), "{told:?}");
    assert_eq!(funds(&bench, id).await, (10_000, 3_000, 7_000));
    let operators = Some(request(AccountId::OPERATORS, "key-1", b"body"));
    let commands = bench.world.commands();
    let key = PayoutKey::Any(told[0].value.id);
    let first = commands.move_payout(key, &transit("T"), &host(), operators).await.unwrap();
    let again = commands.move_payout(key, &transit("T"), &host(), operators).await.unwrap();
    assert_eq!((first.replayed, again.replayed, &first.value), (false, true, &again.value));
}

/// Operators' keys belong to a separate account, which the first key opens.
pub async fn operators_have_keys_of_their_own(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let world = &bench.world;
    let made = at_once((0..3).map(|n| {
        let world = Arc::clone(world);
        async move { world.commands().create_operator_key(&format!("desk {n}")).await.unwrap() }
    }))
    .await;
    let bench = bench.reopen().await;
    for (shown, key) in &made {
        let known = bench.world.commands().authenticate_operator(key.reveal()).await.unwrap();
        assert_eq!(known, Some(shown.id));
        assert_eq!(bench.world.commands().authenticate(key.reveal()).await.unwrap(), None, "no seller's key");
    }
    let unknown = OperatorKey::from_bytes(&[7; 24]);
    assert_eq!(bench.world.commands().authenticate_operator(unknown.reveal()).await.unwrap(), None);
    let seller = bench.world.seller("studio").await;
    assert_eq!(bench.world.commands().authenticate_operator(seller.key.reveal()).await.unwrap(), None);
    // The operators' account has no balance and no plan.
    let commands = bench.world.commands();
    let refused = [
        commands.adjust(AccountId::OPERATORS, &adjustment(5, "R1"), &host()).await.map(drop),
        commands.request_payout(AccountId::OPERATORS, &asked(1), (Requester::Operator, &host()), None).await.map(drop),
        commands.set_tier(AccountId::OPERATORS, Tier::Business).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Failure::Rejected(Rejection::NotFound("account")))), "{refused:?}");
    }
    bench.world.commands().delete_key(AccountId::OPERATORS, made[0].0.id).await.unwrap();
    assert_eq!(bench.world.commands().authenticate_operator(made[0].1.reveal()).await.unwrap(), None);
}

/// Entries between two times: the first included, the second excluded.
pub async fn entries_between_two_times(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let id = seller(&bench, 1).await;
    let mut times = vec![bench.now()];
    for n in 2..6 {
        bench.advance(Duration::from_secs(1)).await;
        times.push(bench.now());
        bench.world.commands().adjust(id, &adjustment(n, &format!("R{n}")), &host()).await.unwrap();
    }
    for (from, before, expected) in [
        (None, None, vec![5, 4, 3, 2, 1]),
        (Some(times[1]), None, vec![5, 4, 3, 2]),
        (None, Some(times[3]), vec![3, 2, 1]),
        (Some(times[1]), Some(times[3]), vec![3, 2]),
        (Some(times[3]), Some(times[1]), vec![]),
    ] {
        for source_id in [None, Some(())] {
            let all = EntryFilter { from, before, ..EntryFilter::default() };
            let (mut amounts, mut after) = (Vec::new(), None);
            loop {
                let page = bench.storage().entries(id, &all, after, limit(2)).await.unwrap();
                for leg in &page.rows {
                    // The filter by source finds it as well.
                    let mine = EntryFilter { source_id: source_id.map(|()| leg.source_id.clone()), ..all.clone() };
                    let found = bench.storage().entries(id, &mine, None, limit(100)).await.unwrap().rows;
                    assert!(found.contains(leg));
                    amounts.push(leg.amount.get());
                }
                after = page.position(LedgerEntry::position);
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(amounts, expected, "{from:?} {before:?}");
        }
    }
}

/// A verification of one account or all finds complete and correct books, folded or not, and reports an error in them.
pub async fn a_verification_reports_differences(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let (id, other) = (seller(&bench, 10_000).await, seller(&bench, 5_000).await);
    ask(&bench, id, 4_000).await;
    let paid = ask(&bench, id, 1_000).await;
    step(&bench, paid.id, &transit("T")).await;
    step(&bench, paid.id, &PayoutStep::MarkPaid { reference: None }).await;
    bench.storage().fold_deltas(1).await.unwrap();
    let clean = |accounts, entries| VerificationReport { accounts, entries, differences: Vec::new() };
    let verification = Verification::default();
    let whole = verify(bench.storage(), None, &verification).await.unwrap();
    assert_eq!(whole, clean(2, 6));
    assert_eq!(verification.progress().entries, 6);
    assert_eq!(report(&bench, Some(id)).await, clean(1, 4));
    assert_eq!(report(&bench, Some(bench.context(None).ids.account())).await, clean(0, 0));
    // The only error that a change set can cause: an amount in flight that differs from the payouts.
    let wrong = Funds { account_id: other, version: Version(2), in_flight: rupiah(7) };
    let change = ChangeSet {
        guards: vec![exact(Row::Funds, Version::FIRST)],
        writes: vec![Write::PutFunds(wrong)],
        ..bench.change(other)
    };
    bench.lands(&change).await;
    let told = report(&bench, None).await;
    let differs = Difference::InFlight { account_id: other, stored: 7, counted: 0 };
    assert_eq!(told, VerificationReport { differences: vec![differs], ..clean(2, 6) });
    assert_eq!(report(&bench, Some(id)).await, clean(1, 4), "the difference belongs to the other account");
}

/// The payment's trail names the actor who resolved an exception, and the adjustment that settled it.
pub async fn a_resolution_is_on_the_payments_trail(harness: &impl Harness) {
    use serront_core::orders::audit::Act;
    use serront_core::orders::exception_kind::ExceptionKind;
    use serront_core::service::Resolution;
    let (bench, _, placed) = Bench::with_order(harness).await;
    let account_id = placed.account_id;
    let payment_id = bench.snapshot(account_id, placed.id).await.payment.id;
    let exception = bench.exception(&placed, ExceptionKind::AmountMismatch, "cs_1").await;
    let commands = bench.world.commands();
    let settled = commands.adjust(account_id, &adjustment(-5, "refund 1"), &host()).await.unwrap().value.id;
    let other = bench.context(None).ids.adjustment();
    let actor = Actor::host("cashier 7").unwrap();
    let resolve = async |adjustment_id| {
        let resolution = Resolution { note: Some("refunded"), adjustment_id: Some(adjustment_id) };
        bench.world.commands().resolve_exception(account_id, exception.id, resolution, &actor, None).await
    };
    let foreign = resolve(other).await;
    assert!(matches!(foreign, Err(Failure::Rejected(Rejection::Invalid(_)))), "{foreign:?}");
    let view = resolve(settled).await.unwrap().value;
    assert_eq!(view.adjustment_id, Some(settled));
    let bench = bench.reopen().await;
    let stored = bench.storage().exception(account_id, exception.id, None).await.unwrap().unwrap();
    assert_eq!((stored.exception.state.adjustment_id, stored.payment_id), (Some(settled), payment_id));
    let trail = bench.storage().audit(account_id, placed.id).await.unwrap();
    let last = trail.last().unwrap();
    assert_eq!(last.act, Act::Resolved { exception_id: exception.id, adjustment_id: Some(settled) });
    assert_eq!((&last.actor, last.note.as_deref()), (&actor, Some("refunded")));
}
