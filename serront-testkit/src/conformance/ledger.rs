//! The ledger, its balances, and exceptions.

use std::sync::Arc;
use std::time::Duration;

use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Row, Write};
use serront_core::funds::ledger::{self, Book, CodeTotals, EntryCode, LedgerEntry, SourceType};
use serront_core::online::exception::{ExceptionState, ExceptionStatus, PaymentException};
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::provider::SessionId;
use serront_core::primitives::version::Version;
use serront_core::snapshots::EntryFilter;

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, at_once, commit_at_once, exact, landed, limit};

/// A change set that posts a session's payment, with the claim of a settlement.
fn settling<H: Harness + ?Sized>(
    bench: &Bench<'_, H>,
    account_id: AccountId,
    session: &str,
    gross: i64,
    fee: i64,
) -> ChangeSet {
    let session = SessionId::parse(session).unwrap();
    let (gross, fee) = (Rupiah::new(gross).unwrap(), Rupiah::new(fee).unwrap());
    let mut ids = bench.context(None).ids;
    let legs = ledger::sale(account_id, &session, gross, fee, "Order 1 — 'kopi'", bench.now(), &mut ids);
    ChangeSet {
        claims: vec![Claim::of(ClaimName::Settlement(session))],
        writes: vec![Write::Post(legs)],
        ..bench.change(account_id)
    }
}

fn legs_of(change: &ChangeSet) -> Vec<LedgerEntry> {
    let posted = change.writes.iter().filter_map(|write| if let Write::Post(legs) = write { Some(legs) } else { None });
    posted.flatten().cloned().collect()
}

fn totals(sales: i64, fees: i64) -> Vec<CodeTotals> {
    [
        CodeTotals { code: EntryCode::ModuleFee, debits: fees, credits: 0 },
        CodeTotals { code: EntryCode::Sale, debits: 0, credits: sales },
    ]
    .into_iter()
    .filter(|totals| totals.debits + totals.credits > 0)
    .collect()
}

/// A session is posted once, and accounts have separate balances.
pub async fn a_settlement_is_booked_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let stranger = bench.opened().await;
    assert_eq!(bench.storage().balance(account_id).await.unwrap(), []);
    bench.lands(&settling(&bench, account_id, "cs_1", 125_000, 375)).await;
    let taken = ClaimName::Settlement(SessionId::parse("cs_1").unwrap());
    let again = settling(&bench, account_id, "cs_1", 125_000, 375);
    assert_eq!(landed(&bench.commit(&again).await), Landed::Duplicate(taken));
    // A session's name is unique per merchant.
    bench.lands(&settling(&bench, stranger, "cs_1", 100, 0)).await;
    for _ in 0..2 {
        assert_eq!(bench.storage().balance(account_id).await.unwrap(), totals(125_000, 375));
        assert_eq!(bench.storage().balance(stranger).await.unwrap(), totals(100, 0));
        bench.storage().fold_deltas(1_000).await.unwrap();
    }
    let bench = bench.reopen().await;
    assert_eq!(bench.storage().balance(account_id).await.unwrap(), totals(125_000, 375));
}

/// A ledger transaction with unequal debits and credits never lands.
pub async fn an_unbalanced_transaction_leaves_nothing(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let mut change = settling(&bench, account_id, "cs_1", 125_000, 375);
    for write in &mut change.writes {
        if let Write::Post(legs) = write {
            legs.pop();
        }
    }
    assert!(matches!(landed(&bench.commit(&change).await), Landed::Port(_)));
    assert_eq!(bench.storage().balance(account_id).await.unwrap(), []);
}

/// With many repeated settlements at the same time, while deltas are folded, every read of the balance is a sum.
pub async fn settlements_at_once_sum_up(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let (sessions, times) = (24_i64, 3);
    let changes: Vec<_> = (0..sessions * times)
        .map(|n| settling(&bench, account_id, &format!("cs_{}", n % sessions), 1_000 + n % sessions, 3))
        .collect();
    let storage = Arc::clone(&bench.world.storage);
    let folding = tokio::spawn(async move {
        let mut seen = 0;
        for _ in 0..60 {
            storage.fold_deltas(5).await.unwrap();
            let now: i64 = storage.balance(account_id).await.unwrap().iter().map(|code| code.credits).sum();
            assert!(now >= seen, "a balance of sales only grows: {seen}, then {now}");
            seen = now;
            tokio::task::yield_now().await;
        }
    });
    let told = commit_at_once(&bench.world.storage, changes).await;
    folding.await.unwrap();
    let booked = told.iter().filter(|landed| **landed == UNNUMBERED).count();
    assert_eq!(booked, usize::try_from(sessions).unwrap());
    let sum = (0..sessions).map(|n| 1_000 + n).sum::<i64>();
    assert_eq!(bench.storage().balance(account_id).await.unwrap(), totals(sum, 3 * sessions));
    while bench.storage().fold_deltas(7).await.unwrap() > 0 {}
    assert_eq!(bench.storage().balance(account_id).await.unwrap(), totals(sum, 3 * sessions));
}

/// Concurrent folders count each delta once.
pub async fn folders_side_by_side_count_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    for n in 0..20 {
        bench.lands(&settling(&bench, account_id, &format!("cs_{n}"), 1_000, 3)).await;
    }
    let storage = &bench.world.storage;
    at_once((0..6).map(|_| {
        let storage = Arc::clone(storage);
        async move { while storage.fold_deltas(3).await.unwrap() > 0 {} }
    }))
    .await;
    assert_eq!(bench.storage().balance(account_id).await.unwrap(), totals(20_000, 60));
}

/// The seller's legs are listed newest first, complete, once over all pages, and filtered.
pub async fn entries_are_paged_and_filtered(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let stranger = bench.opened().await;
    let mut legs = Vec::new();
    for n in 0..6 {
        let change = settling(&bench, account_id, &format!("cs_{n}"), 10_000 + n, if n == 3 { 0 } else { 30 });
        bench.lands(&change).await;
        legs.extend(legs_of(&change).into_iter().filter(|leg| leg.book == Book::Seller));
        // Some at the same time, some apart.
        if n % 2 == 0 {
            bench.advance(Duration::from_secs(1)).await;
        }
    }
    bench.lands(&settling(&bench, stranger, "cs_1", 5, 0)).await;
    legs.sort_by_key(|leg| std::cmp::Reverse(leg.position()));
    let bench = bench.reopen().await;
    let filters = [
        EntryFilter::default(),
        EntryFilter { code: Some(EntryCode::ModuleFee), ..EntryFilter::default() },
        EntryFilter { code: Some(EntryCode::Payout), ..EntryFilter::default() },
        EntryFilter { source_id: Some("cs_4".to_owned()), ..EntryFilter::default() },
        EntryFilter { source_type: Some(SourceType::CheckoutSession), ..EntryFilter::default() },
        EntryFilter { source_type: Some(SourceType::Payout), ..EntryFilter::default() },
        EntryFilter {
            code: Some(EntryCode::Sale),
            source_type: Some(SourceType::CheckoutSession),
            source_id: Some("cs_0".to_owned()),
            ..EntryFilter::default()
        },
    ];
    for filter in filters {
        let expected: Vec<_> = legs
            .iter()
            .filter(|leg| {
                filter.code.is_none_or(|code| code == leg.code)
                    && filter.source_type.is_none_or(|source| source == leg.source_type)
                    && filter.source_id.as_ref().is_none_or(|id| *id == leg.source_id)
            })
            .cloned()
            .collect();
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = bench.storage().entries(account_id, &filter, after, limit(4)).await.unwrap();
            after = page.position(LedgerEntry::position);
            rows.extend(page.rows);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(rows, expected, "{filter:?}");
    }
}

/// Exceptions are listed newest first and filtered, and each state is written once.
pub async fn exceptions_are_resolved_once(harness: &impl Harness) {
    let (bench, _, placed) = Bench::with_order(harness).await;
    let account_id = placed.account_id;
    let mut expected = Vec::new();
    for (n, kind) in ExceptionKind::ALL.into_iter().enumerate() {
        let exception = bench.exception(&placed, kind, &format!("cs_{n}")).await;
        expected.insert(0, exception);
        bench.advance(Duration::from_secs(1)).await;
    }
    let state = ExceptionState {
        version: Version(2),
        status: ExceptionStatus::Resolved,
        note: Some("refunded — 'by hand'".to_owned()),
        adjustment_id: None,
        resolved_at: Some(bench.now()),
    };
    let id = expected[1].id;
    let resolving = || ChangeSet {
        guards: vec![exact(Row::Exception(id), Version::FIRST)],
        writes: vec![Write::UpdateException(id, state.clone())],
        ..bench.change(account_id)
    };
    let told = commit_at_once(&bench.world.storage, (0..4).map(|_| resolving()).collect()).await;
    assert_eq!(told.iter().filter(|landed| **landed == UNNUMBERED).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|landed| **landed == Landed::Conflict).count(), 3, "{told:?}");
    expected[1].state = state.clone();
    let bench = bench.reopen().await;
    let found = bench.storage().exception(account_id, id, None).await.unwrap().unwrap();
    assert_eq!(found.exception, expected[1]);
    for status in [None, Some(ExceptionStatus::Open), Some(ExceptionStatus::Resolved)] {
        let expected: Vec<_> =
            expected.iter().filter(|row| status.is_none_or(|status| status == row.state.status)).cloned().collect();
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = bench.storage().exceptions(account_id, status, after, limit(1)).await.unwrap();
            after = page.position(PaymentException::position);
            rows.extend(page.rows);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(rows, expected, "{status:?}");
    }
    let stranger = bench.world.seller("other").await.account_id;
    assert_eq!(bench.storage().exception(stranger, id, None).await.unwrap(), None);
    let none = bench.storage().exceptions(stranger, None, None, limit(10)).await.unwrap();
    assert_eq!(none.rows, []);
}
