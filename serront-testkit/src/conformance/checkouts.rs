//! Online checkout: an order's checkouts, sessions, endpoints, notifications.

use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, SessionName, Write};
use serront_core::funds::fee::FeeRate;
use serront_core::online::checkout::{Checkout, CheckoutState, CheckoutStatus, Session};
use serront_core::online::inbox::{InboxRecord, InboxStatus};
use serront_core::online::provisioning::{Endpoint, EndpointAttempt, Previous, Provisioning, ProvisioningState};
use serront_core::orders::order::WorkStatus;
use serront_core::ports::{CommitError, PortErrorKind};
use serront_core::primitives::ids::{AccountId, CheckoutId};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::provider::{EndpointId, MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::snapshots::{OrderSnapshot, SessionSnapshot};

use super::Harness;
use super::bench::{Bench, Landed, UNNUMBERED, commit_at_once, exact, landed};
use crate::world::Placed;

fn session_id(text: &str) -> SessionId {
    SessionId::parse(text).expect("a session's id")
}

fn event_id(text: &str) -> ProviderEventId {
    ProviderEventId::parse(text).expect("an event's id")
}

fn intent(id: CheckoutId, snapshot: &OrderSnapshot, now: Timestamp) -> Checkout {
    Checkout {
        id,
        account_id: snapshot.account.id,
        order_id: snapshot.order.id,
        payment_id: snapshot.payment.id,
        amount: Rupiah::new(125_000).expect("an amount"),
        fee_rate: FeeRate::parse("0.0035").expect("a rate"),
        request: "{\"note\":\"kopi — 'susu'\"}".to_owned(),
        created_at: now,
        state: CheckoutState { status: CheckoutStatus::Intended, session: None, unneeded: false, ended_at: None },
    }
}

/// A change of an order and its checkouts.
async fn under<H: Harness + ?Sized>(bench: &Bench<'_, H>, placed: &Placed, write: Write) -> ChangeSet {
    let snapshot = bench.snapshot(placed.account_id, placed.id).await;
    let mut state = snapshot.order.state.clone();
    let guard = exact(Row::Order(placed.id), state.version);
    state.version = state.version.next();
    let order = Write::UpdateOrder { id: placed.id, was: state.status, state };
    ChangeSet { guards: vec![guard], writes: vec![order, write], ..bench.change(placed.account_id) }
}

fn opened(of: &CheckoutState, session: &str, now: Timestamp) -> CheckoutState {
    let hosted_url = format!("https://pay.example/{session}");
    let session = Some(Session { id: session_id(session), hosted_url, expires_at: now });
    CheckoutState { status: CheckoutStatus::Open, session, ..of.clone() }
}

/// An order is read with its live checkouts, oldest first; ended ones are found by their id.
pub async fn live_checkouts_come_with_their_order(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let other = bench.world.place(&seller, "Sari").await;
    let mut ids = bench.context(None).ids;
    let snapshot = bench.snapshot(placed.account_id, placed.id).await;
    let first = intent(ids.checkout(), &snapshot, bench.now());
    let second = intent(ids.checkout(), &snapshot, bench.now());
    for checkout in [&first, &second] {
        bench.lands(&under(&bench, &placed, Write::InsertCheckout(checkout.clone())).await).await;
    }
    let first =
        Checkout { state: opened(&first.state, "cs_1", bench.now().plus(std::time::Duration::from_secs(60))), ..first };
    let update = |checkout: &Checkout| Write::UpdateCheckout {
        id: checkout.id,
        order_id: checkout.order_id,
        state: checkout.state.clone(),
    };
    bench.lands(&under(&bench, &placed, update(&first)).await).await;
    let found = bench.snapshot(placed.account_id, placed.id).await;
    assert_eq!(found.checkouts, [first.clone(), second.clone()]);
    assert_eq!(bench.snapshot(placed.account_id, other.id).await.checkouts, []);

    let state = CheckoutState {
        status: CheckoutStatus::Expired,
        unneeded: true,
        ended_at: Some(bench.now()),
        ..first.state.clone()
    };
    let ended = Checkout { state, ..first };
    bench.lands(&under(&bench, &placed, update(&ended)).await).await;
    let bench = bench.reopen().await;
    let order = bench.snapshot(placed.account_id, placed.id).await;
    assert_eq!(order.checkouts, [second]);
    let found = bench.storage().checkout(placed.account_id, ended.id).await.unwrap().unwrap();
    assert_eq!((found.checkout, found.order), (ended.clone(), order));
    let stranger = bench.world.seller("other").await.account_id;
    assert_eq!(bench.storage().checkout(stranger, ended.id).await.unwrap(), None);
}

/// A write of a checkout that does not exist or belongs to another order is a bug in the decision, and writes nothing.
pub async fn a_missing_checkout_is_never_written(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let other = bench.world.place(&seller, "Sari").await;
    let mut ids = bench.context(None).ids;
    let snapshot = bench.snapshot(placed.account_id, placed.id).await;
    let checkout = intent(ids.checkout(), &snapshot, bench.now());
    bench.lands(&under(&bench, &placed, Write::InsertCheckout(checkout.clone())).await).await;
    for (id, of) in [(ids.checkout(), &placed), (checkout.id, &other)] {
        let before = bench.picture(placed.account_id).await;
        let write = Write::UpdateCheckout { id, order_id: of.id, state: checkout.state.clone() };
        let change = under(&bench, of, write).await;
        assert_eq!(landed(&bench.commit(&change).await), Landed::Port(PortErrorKind::Permanent), "{id}");
        assert_eq!(bench.picture(placed.account_id).await, before);
    }
    let write = Write::UpdateInbox(event_id("evt_none"), InboxStatus::Applied);
    let change = ChangeSet { writes: vec![write], ..bench.change(placed.account_id) };
    assert_eq!(landed(&bench.commit(&change).await), Landed::Port(PortErrorKind::Permanent));
}

fn parked(account_id: AccountId, event: &str, session: &str, at: Timestamp) -> InboxRecord {
    InboxRecord {
        account_id,
        event_id: event_id(event),
        event_type: "plugipay.checkout_session.completed.v1".to_owned(),
        session_id: Some(session_id(session)),
        body: format!("{{\"id\": \"{event}\",  \"spaces\":  \"kept — '\"}}"),
        received_at: at,
        status: InboxStatus::Parked,
    }
}

fn notified<H: Harness + ?Sized>(bench: &Bench<'_, H>, record: &InboxRecord) -> ChangeSet {
    ChangeSet {
        claims: vec![Claim::of(ClaimName::ProviderEvent(record.event_id.clone()))],
        writes: vec![Write::InsertInbox(record.clone())],
        ..bench.change(record.account_id)
    }
}

fn named(id: &SessionId, version: Version, checkout_id: Option<CheckoutId>) -> (Guard, Write) {
    let guard = exact(Row::Session(id.clone()), version);
    (guard, Write::PutSession(SessionName { id: id.clone(), version: version.next(), checkout_id }))
}

/// A notification of an unknown session and the commit that creates the session write the same row, so that one of them
/// sees the other.
pub async fn parking_and_minting_meet(harness: &impl Harness) {
    let (bench, _, placed) = Bench::with_order(harness).await;
    let account_id = placed.account_id;
    let snapshot = bench.snapshot(account_id, placed.id).await;
    let mut ids = bench.context(None).ids;
    for round in 0..8 {
        let id = session_id(&format!("cs_{round}"));
        let checkout = intent(ids.checkout(), &snapshot, bench.now());
        let mut minting = under(&bench, &placed, Write::InsertCheckout(checkout.clone())).await;
        let record = parked(account_id, &format!("evt_{round}"), id.as_str(), bench.now());
        let mut parking = notified(&bench, &record);
        for (change, checkout_id) in [(&mut minting, Some(checkout.id)), (&mut parking, None)] {
            let (guard, write) = named(&id, Version::ABSENT, checkout_id);
            change.guards.push(guard);
            change.writes.push(write);
        }
        let told = commit_at_once(&bench.world.storage, vec![minting, parking]).await;
        let won = told.iter().filter(|landed| **landed == UNNUMBERED).count();
        let lost = told.iter().filter(|landed| **landed == Landed::Conflict).count();
        assert_eq!((won, lost), (1, 1), "{told:?}");
        let known = bench.storage().session(account_id, &id, Some(record.event_id.clone())).await.unwrap();
        assert_eq!(known.version, Version::FIRST);
        assert_eq!(known.checkout.is_some(), told[0] == UNNUMBERED);
        let waits = if told[1] == UNNUMBERED { vec![record.event_id] } else { Vec::new() };
        assert_eq!((known.event.is_some(), known.parked), (!waits.is_empty(), waits));
    }
}

/// A session is read with its checkout and its parked notifications, in order of arrival.
pub async fn a_session_finds_its_checkout_and_parked_notifications(harness: &impl Harness) {
    let (bench, _, placed) = Bench::with_order(harness).await;
    let account_id = placed.account_id;
    let id = session_id("cs_1");
    let nothing = SessionSnapshot { version: Version::ABSENT, checkout: None, parked: Vec::new(), event: None };
    assert_eq!(bench.storage().session(account_id, &id, Some(event_id("evt_b"))).await.unwrap(), nothing);
    for (version, event) in [(Version::ABSENT, "evt_b"), (Version::FIRST, "evt_a")] {
        let mut change = notified(&bench, &parked(account_id, event, "cs_1", bench.now()));
        let (guard, write) = named(&id, version, None);
        change.guards.push(guard);
        change.writes.push(write);
        bench.lands(&change).await;
        bench.advance(std::time::Duration::from_secs(1)).await;
    }
    let snapshot = bench.snapshot(account_id, placed.id).await;
    let checkout = intent(bench.context(None).ids.checkout(), &snapshot, bench.now());
    let mut change = under(&bench, &placed, Write::InsertCheckout(checkout.clone())).await;
    let (guard, write) = named(&id, Version(2), Some(checkout.id));
    change.guards.push(guard);
    change.writes.push(write);
    change.writes.push(Write::UpdateInbox(event_id("evt_b"), InboxStatus::Applied));
    bench.lands(&change).await;
    let bench = bench.reopen().await;
    let known = bench.storage().session(account_id, &id, Some(event_id("evt_b"))).await.unwrap();
    assert_eq!((known.version, known.event), (Version(3), Some(InboxStatus::Applied)));
    assert_eq!(known.parked, [event_id("evt_a")]);
    let found = known.checkout.unwrap();
    assert_eq!(found.order, bench.snapshot(account_id, placed.id).await);
    assert_eq!(found.checkout, checkout);
    let stranger = bench.world.seller("other").await.account_id;
    assert_eq!(bench.storage().session(stranger, &id, Some(event_id("evt_b"))).await.unwrap(), nothing);
}

/// An event is stored once, as its raw bytes; events that wait for the operator are listed, oldest first.
pub async fn a_notification_is_stored_once(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let stranger = bench.opened().await;
    let mut records = Vec::new();
    for (event, status) in [
        ("evt_5", InboxStatus::Parked),
        ("evt_4", InboxStatus::Applied),
        ("evt_3", InboxStatus::ForeignCurrency),
        ("evt_2", InboxStatus::Noted),
        ("evt_1", InboxStatus::Unreadable),
    ] {
        let record = InboxRecord { status, ..parked(account_id, event, "cs_1", bench.now()) };
        bench.lands(&notified(&bench, &record)).await;
        let again = notified(&bench, &record);
        let taken = ClaimName::ProviderEvent(record.event_id.clone());
        assert_eq!(landed(&bench.commit(&again).await), Landed::Duplicate(taken));
        records.push(record);
        bench.advance(std::time::Duration::from_secs(1)).await;
    }
    // Events are separate for each account.
    let foreign = InboxRecord { session_id: None, ..parked(stranger, "evt_5", "cs_1", bench.now()) };
    bench.lands(&notified(&bench, &foreign)).await;
    let bench = bench.reopen().await;
    for record in &records {
        let found = bench.storage().inbox(account_id, &record.event_id).await.unwrap().unwrap();
        assert_eq!((&found, &found.body), (record, &record.body));
    }
    assert_eq!(bench.storage().inbox(stranger, &event_id("evt_4")).await.unwrap(), None);
    let far = bench.now().plus(std::time::Duration::from_secs(60));
    let listed = async |before, limit| {
        let rows = bench.storage().waiting(before, limit).await.unwrap();
        rows.into_iter().map(|row| (row.account_id, row.event_id)).collect::<Vec<_>>()
    };
    let all = [("evt_5", account_id), ("evt_3", account_id), ("evt_1", account_id), ("evt_5", stranger)]
        .map(|(event, account)| (account, event_id(event)));
    assert_eq!(listed(far, 10).await, all);
    assert_eq!(listed(far, 2).await, all[..2]);
    assert_eq!(listed(records[0].received_at, 10).await, all[1..3], "recently parked ones are not listed");
}

/// A merchant is found by its name at the provider, and belongs to one account.
pub async fn a_merchant_belongs_to_one_account(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let stranger = bench.opened().await;
    let merchant = MerchantId::parse("plg_merchant").unwrap();
    assert_eq!(bench.storage().merchant(&merchant).await.unwrap(), None);
    bench.lands(&bench.claiming(account_id, ClaimName::Merchant(merchant.clone()))).await;
    let again = bench.claiming(stranger, ClaimName::Merchant(merchant.clone()));
    assert_eq!(landed(&bench.commit(&again).await), Landed::Duplicate(ClaimName::Merchant(merchant.clone())));
    assert_eq!(bench.storage().merchant(&merchant).await.unwrap(), None, "no endpoint is stored yet");

    let secret = |text: &str| SealedSecret::stored(text.to_owned());
    let attempt = EndpointAttempt { id: bench.context(None).ids.change_set(), begun_at: bench.now(), lost: true };
    let states = [
        ProvisioningState { attempt: Some(attempt), ..ProvisioningState::default() },
        ProvisioningState {
            endpoint: Some(Endpoint { id: EndpointId::parse("we_1").unwrap(), secret: secret("new") }),
            previous: Some(Previous { secret: secret("old"), until: bench.now() }),
            attempt: None,
        },
    ];
    let mut version = Version::ABSENT;
    for state in states {
        let put = |at: Version| {
            let provisioning = Provisioning { account_id, version: at.next(), state: state.clone() };
            ChangeSet {
                guards: vec![exact(Row::Provisioning, at)],
                writes: vec![Write::PutProvisioning(provisioning)],
                ..bench.change(account_id)
            }
        };
        bench.lands(&put(version)).await;
        assert!(matches!(bench.commit(&put(version)).await, Err(CommitError::Conflict)));
        version = version.next();
        let found = bench.storage().merchant(&merchant).await.unwrap().unwrap();
        assert_eq!(found, Provisioning { account_id, version, state });
        assert_eq!(bench.account(account_id).await.provisioning, Some(found));
    }
    assert_eq!(bench.account(stranger).await.provisioning, None);
    let bench = bench.reopen().await;
    assert!(bench.storage().merchant(&merchant).await.unwrap().is_some());
}

/// A closed order is read with its checkouts: the order's state does not hide them.
pub async fn checkouts_of_closed_orders_are_read(harness: &impl Harness) {
    let (bench, _, placed) = Bench::with_order(harness).await;
    let snapshot = bench.snapshot(placed.account_id, placed.id).await;
    let checkout = intent(bench.context(None).ids.checkout(), &snapshot, bench.now());
    let mut change = under(&bench, &placed, Write::InsertCheckout(checkout.clone())).await;
    for write in &mut change.writes {
        if let Write::UpdateOrder { state, .. } = write {
            state.status = WorkStatus::Declined;
        }
    }
    bench.lands(&change).await;
    assert_eq!(bench.snapshot(placed.account_id, placed.id).await.checkouts, [checkout]);
}
