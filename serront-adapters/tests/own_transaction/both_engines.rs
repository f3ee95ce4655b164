//! Tests that run on both engines.

use serront_core::service::verify;

use super::*;

pub(crate) async fn the_payment_and_the_hosts_row_are_committed_together(shop: Shop) {
    let placed = shop.place().await;
    let mut own = shop.begin().await;
    own.note("before").await;
    let change_set = own.confirm(&shop.world, &placed).await.unwrap();
    own.note("after").await;

    assert_eq!(shop.notes().await, [""; 0]);
    assert_eq!(shop.world.commands().outcome(placed.account_id, change_set).await.unwrap(), None);
    assert_eq!(shop.payment(&placed).await, PaymentStatus::Unpaid);

    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["after", "before"]);
    assert!(shop.world.commands().outcome(placed.account_id, change_set).await.unwrap().is_some());
    shop.assert_whole(&placed, true).await;
}

async fn leaves_neither(shop: Shop, end: impl AsyncFnOnce(Own<'_>)) {
    let placed = shop.place().await;
    let mut own = shop.begin().await;
    own.note("before").await;
    let change_set = own.confirm(&shop.world, &placed).await.unwrap();
    end(own).await;

    assert_eq!(shop.notes().await, [""; 0]);
    assert_eq!(shop.world.commands().outcome(placed.account_id, change_set).await.unwrap(), None);
    assert_eq!(shop.world.next_due().await, None);
    shop.assert_whole(&placed, false).await;
    // Nothing of it blocks a later confirmation.
    shop.world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await.unwrap();
    shop.assert_whole(&placed, true).await;
}

pub(crate) async fn a_rollback_leaves_neither(shop: Shop) {
    leaves_neither(shop, async |own| own.rollback().await).await;
}

pub(crate) async fn a_drop_leaves_neither(shop: Shop) {
    leaves_neither(shop, async |own| drop(own)).await;
}

pub(crate) async fn a_payout_and_the_hosts_row_are_committed_together_or_not(shop: Shop) {
    let (world, account) = (&shop.world, shop.seller.account_id);
    world.switch_payment_on(account).await;
    world.commands().adjust(account, &adjustment(10_000), &host()).await.unwrap();
    for kept in [false, true] {
        let mut own = shop.begin().await;
        own.note("a payout").await;
        let asked = {
            let bound = own.bound();
            let commands = bound.commands(world.environment());
            let asked = commands
                .request_payout(account, &payout(4_000), (Requester::Seller, &host()), None)
                .await
                .unwrap()
                .value;
            let balance = commands.payout_balance(account).await.unwrap();
            assert_eq!((balance.locked.get(), balance.available), (4_000, 6_000));
            let more = commands.request_payout(account, &payout(6_001), (Requester::Seller, &host()), None).await;
            assert!(matches!(more, Err(Failure::Rejected(Rejection::InsufficientBalance { .. }))), "{more:?}");
            asked
        };
        if kept {
            own.commit().await.unwrap()
        } else {
            own.rollback().await
        }
        let balance = world.commands().payout_balance(account).await.unwrap();
        assert_eq!(balance.available, if kept { 6_000 } else { 10_000 });
        assert_eq!(shop.notes().await.len(), usize::from(kept));
        assert_eq!(world.commands().payout(PayoutKey::Any(asked.id)).await.is_ok(), kept);
    }
    let report = verify(&*world.storage, None, &Verification::default()).await.unwrap();
    assert_eq!(report.differences, []);
}

pub(crate) async fn several_commands_see_each_other_and_nobody_else_does(shop: Shop) {
    let (world, seller) = (&shop.world, &shop.seller);
    let mut own = shop.begin().await;
    let bound = own.bound();
    let commands = bound.commands(world.environment());
    let placed = commands.place_order("studio", &order_input("Budi"), Language::Id, None).await.unwrap().value;
    let (id, token) = (placed.order_id.unwrap(), placed.access_token);
    assert_eq!(placed.number, Some(OrderNumber(1)));
    commands.claim_payment(&token).await.unwrap();
    assert_eq!(commands.buyer_order(&token).await.unwrap().payment_status, PaymentStatus::PaymentClaimed);
    commands.confirm_payment(seller.account_id, id, &host(), None, None).await.unwrap();
    assert_eq!(commands.order(seller.account_id, id).await.unwrap().payment_status, PaymentStatus::PaymentConfirmed);
    assert_eq!(commands.audit(seller.account_id, id).await.unwrap().len(), 3);
    let page =
        commands.orders(seller.account_id, &OrderFilter::default(), None, Limit::parse(None).unwrap()).await.unwrap();
    assert_eq!((page.orders.len(), page.counts.requested), (1, 1));

    let outside = world
        .commands()
        .orders(seller.account_id, &OrderFilter::default(), None, Limit::parse(None).unwrap())
        .await
        .unwrap();
    assert_eq!((outside.orders.len(), outside.counts.requested), (0, 0));
    let unseen = world.commands().buyer_order(&token).await;
    assert!(matches!(unseen, Err(Failure::Rejected(Rejection::NotFound(_)))), "{unseen:?}");

    own.commit().await.unwrap();
    assert_eq!(world.commands().buyer_order(&token).await.unwrap().payment_status, PaymentStatus::PaymentConfirmed);
    assert_eq!(world.dispatch_all().await, 2);
}

pub(crate) async fn every_local_command_can_be_in_one_transaction(shop: Shop) {
    let (world, seller) = (&shop.world, &shop.seller);
    let account = seller.account_id;
    world.switch_payment_on(account).await;
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(world.environment());
        let (opened, _) =
            commands.open_account("Second", serront_core::primitives::tier::Tier::Free).await.unwrap().value;
        commands.set_tier(opened.id, serront_core::primitives::tier::Tier::Business).await.unwrap();
        commands.put_storefront(opened.id, &storefront_input("second"), None).await.unwrap();
        // One storefront is created, another is renamed, and its slug is taken by the first.
        commands.put_storefront(account, &storefront_input("renamed"), None).await.unwrap();
        commands.put_storefront(opened.id, &storefront_input("studio"), None).await.unwrap();
        let service = commands.create_service(account, &service_input("cetak", 50_000), None).await.unwrap().value;
        commands.update_service(account, service.id, &service_input("cetak", 60_000), None).await.unwrap();
        let placed = commands.place_order("renamed", &order_input("Ani"), Language::En, None).await.unwrap().value;
        let patch = serde_json::from_str(r#"{"status": "confirmed", "quotedPriceIdr": 800000}"#).unwrap();
        commands.patch_order(account, placed.order_id.unwrap(), patch, &host(), None).await.unwrap();
        commands.delete_service(account, service.id).await.unwrap();
        let key = commands.create_key(account, "second", None).await.unwrap().value;
        commands.delete_key(account, key.shown.id).await.unwrap();
        let subscriptions = commands.subscriptions(account).await.unwrap();
        commands.delete_subscription(account, subscriptions[0].id).await.unwrap();
        commands.adjust(account, &adjustment(10_000), &host()).await.unwrap();
        let bank_account = serde_json::from_str(
            r#"{"bankName": "Bank Contoh", "bankAccountNumber": "123", "bankAccountHolder": "Renata"}"#,
        );
        commands.patch_bank_account(account, &bank_account.unwrap(), None).await.unwrap();
        let input = PayoutInput { amount: 4_000, ..PayoutInput::default() };
        let paid = commands.request_payout(account, &input, (Requester::Seller, &host()), None).await.unwrap().value.id;
        for step in [PayoutStep::MarkInTransit { reference: None }, PayoutStep::MarkPaid { reference: None }] {
            commands.move_payout(PayoutKey::Id(account, paid), &step, &host(), None).await.unwrap();
        }
        let cancelled = commands
            .request_payout(account, &payout(1_000), (Requester::Seller, &host()), None)
            .await
            .unwrap()
            .value
            .id;
        commands.move_payout(PayoutKey::Any(cancelled), &PayoutStep::Cancel, &host(), None).await.unwrap();
        commands.create_operator_key("desk").await.unwrap();
    }
    own.commit().await.unwrap();
    assert_eq!(world.commands().shop("renamed").await.unwrap().services.len(), 1);
    assert_eq!(world.commands().subscriptions(account).await.unwrap(), []);
    assert_eq!(world.commands().payout_balance(account).await.unwrap().available, 6_000);
    // Later commands work on the resulting state.
    world.commands().put_storefront(account, &storefront_input("again"), None).await.unwrap();
    world.commands().place_order("again", &order_input("Cici"), Language::Id, None).await.unwrap();
}

pub(crate) async fn a_number_that_was_rolled_back_is_given_again(shop: Shop) {
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(shop.world.environment());
        for number in 1..=3 {
            let placed = commands.place_order("studio", &order_input("Budi"), Language::Id, None).await.unwrap().value;
            assert_eq!(placed.number, Some(OrderNumber(number)));
        }
    }
    own.rollback().await;
    assert_eq!(shop.place().await.number, OrderNumber(1));
}

pub(crate) async fn a_conflict_leaves_the_transaction_usable(shop: Shop) {
    let (placed, other) = (shop.place().await, shop.place().await);
    let stale = shop.confirmation(&placed).await;
    shop.world.commands().claim_payment(&placed.token).await.unwrap();
    let mut own = shop.begin().await;
    own.note("before").await;
    let refused = own.bound().storage().commit(&stale).await;
    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
    own.note("after").await;
    own.confirm(&shop.world, &other).await.unwrap();
    // Decided again in the same transaction.
    own.confirm(&shop.world, &placed).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["after", "before"]);
    shop.assert_whole(&other, true).await;
    assert_eq!(shop.payment(&placed).await, PaymentStatus::PaymentConfirmed);
}

pub(crate) async fn a_name_that_is_taken_leaves_the_transaction_usable(shop: Shop) {
    let placed = shop.place().await;
    let account = shop.seller.account_id;
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(shop.world.environment());
        let taken = commands.create_service(account, &service_input("logo", 1_000), None).await;
        assert!(matches!(taken, Err(Failure::Rejected(Rejection::Conflict(_)))), "{taken:?}");
        commands.create_service(account, &service_input("kartu", 1_000), None).await.unwrap();
    }
    own.note("after").await;
    own.confirm(&shop.world, &placed).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["after"]);
    assert_eq!(shop.world.commands().services(account).await.unwrap().len(), 2);
    shop.assert_whole(&placed, true).await;
}

pub(crate) async fn a_repeated_request_is_answered_inside_as_outside(shop: Shop) {
    let placed = shop.place().await;
    let account = placed.account_id;
    let request = IdempotentRequest::new(account, "POST", "/confirm", "key-1", b"").unwrap();
    let mut own = shop.begin().await;
    {
        let bound = own.bound();
        let commands = bound.commands(shop.world.environment());
        let first = commands.confirm_payment(account, placed.id, &host(), None, Some(request)).await.unwrap();
        let again = commands.confirm_payment(account, placed.id, &host(), None, Some(request)).await.unwrap();
        assert_eq!((first.replayed, again.replayed), (false, true));
        assert_eq!(first.value, again.value);
        let without = commands.confirm_payment(account, placed.id, &host(), None, None).await;
        assert!(matches!(without, Err(Failure::Rejected(_))), "{without:?}");
    }
    own.commit().await.unwrap();
    let outside =
        shop.world.commands().confirm_payment(account, placed.id, &host(), None, Some(request)).await.unwrap();
    assert!(outside.replayed);
    shop.assert_whole(&placed, true).await;
}

pub(crate) async fn the_identical_change_set_lands_once_inside_and_outside(shop: Shop) {
    let placed = shop.place().await;
    let change = shop.confirmation(&placed).await;
    let mut own = shop.begin().await;
    let first = own.bound().storage().commit(&change).await.unwrap();
    assert_eq!(own.bound().storage().commit(&change).await.unwrap(), first);
    own.rollback().await;
    assert_eq!(shop.world.storage.outcome(placed.account_id, change.id).await.unwrap(), None);

    let mut own = shop.begin().await;
    own.bound().storage().commit(&change).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.world.storage.commit(&change).await.unwrap(), first);
    let mut own = shop.begin().await;
    assert_eq!(own.bound().storage().commit(&change).await.unwrap(), first);
    own.commit().await.unwrap();
    shop.assert_whole(&placed, true).await;
}

pub(crate) async fn a_savepoint_of_the_hosts_takes_the_librarys_change_with_it(shop: Shop) {
    let (kept, undone) = (shop.place().await, shop.place().await);
    // The names that the adapters use internally.
    for name in ["serront", "serront_change"] {
        let mut own = shop.begin().await;
        own.execute(&format!("SAVEPOINT {name}")).await.unwrap();
        own.note("undone").await;
        own.confirm(&shop.world, &undone).await.unwrap();
        own.execute(&format!("ROLLBACK TO SAVEPOINT {name}")).await.unwrap();
        own.execute(&format!("RELEASE SAVEPOINT {name}")).await.unwrap();
        own.note(name).await;
        own.commit().await.unwrap();
    }
    let mut own = shop.begin().await;
    own.confirm(&shop.world, &kept).await.unwrap();
    own.commit().await.unwrap();
    assert_eq!(shop.notes().await, ["serront", "serront_change"]);
    shop.assert_whole(&undone, false).await;
    shop.assert_whole(&kept, true).await;
}

pub(crate) async fn a_command_dropped_in_the_middle_leaves_nothing_half_done(shop: Shop) {
    for left in 0.. {
        let placed = shop.place().await;
        let mut own = shop.begin().await;
        let note = format!("{:03}", placed.number.0);
        own.note(&note).await;
        let finished = Polls { future: Box::pin(own.confirm(&shop.world, &placed)), left }.await.is_some();
        // A host should not continue after this; the result is still all or nothing.
        let committed = own.commit().await.is_ok();
        assert!(committed || !finished);
        let confirmed = shop.payment(&placed).await == PaymentStatus::PaymentConfirmed;
        assert!(confirmed || !finished);
        let noted = shop.notes().await.contains(&note);
        assert!(noted || !confirmed, "the library's change is committed without the host's row");
        shop.assert_whole(&placed, confirmed).await;
        if finished {
            return;
        }
    }
}

pub(crate) async fn a_transaction_can_be_used_from_a_task_of_its_own(shop: Shop) {
    let placed = shop.place().await;
    let shop = Arc::new(shop);
    let shared = Arc::clone(&shop);
    let order = placed.clone();
    let task = tokio::spawn(async move {
        let mut own = shared.begin().await;
        own.note("note").await;
        own.confirm(&shared.world, &order).await.unwrap();
        own.commit().await.unwrap();
    });
    task.await.unwrap();
    assert_eq!(shop.notes().await, ["note"]);
    shop.assert_whole(&placed, true).await;
}
