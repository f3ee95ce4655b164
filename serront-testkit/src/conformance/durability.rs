//! Committed data are unchanged after the storage was closed and opened again.

use std::time::Duration;

use serront_core::accounts::account::{Account, AccountState, Modules};
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::KeyRecord;
use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{Claim, ClaimName, Guard, Row, Write};
use serront_core::changes::effect::{Effect, EffectId};
use serront_core::funds::balance::Funds;
use serront_core::funds::ledger::{Adjustment, Direction};
use serront_core::funds::payout::{
    BankDetails, DefaultBankAccount, DefaultDetails, Payout, PayoutAudit, PayoutState, PayoutStatus,
};
use serront_core::orders::audit::{Act, AuditRecord};
use serront_core::orders::instructions::{BankAccount, PaymentSettings};
use serront_core::orders::mail::{ConfirmedBy, Mail, PaymentConfirmed};
use serront_core::orders::order::{Buyer, Language, Order, OrderNumber, OrderState, WorkStatus};
use serront_core::orders::payment::{Payment, PaymentState, PaymentStatus};
use serront_core::orders::receipt::{Receipt, samples};
use serront_core::primitives::compare::compared;
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::image::ImageType;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::text::{EmailAddress, Slug, WhatsAppNumber};
use serront_core::primitives::tier::Tier;
use serront_core::primitives::time::Timestamp;
use serront_core::primitives::version::Version;
use serront_core::shop::catalog::{Offer, Package, Pricing, Service};
use serront_core::shop::storefront::{Profile, Storefront};
use serront_core::snapshots::{
    AdjustmentKey, DueEffect, FundsSnapshot, NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Target,
};
use serront_core::webhooks::subscription::{EventFilter, Subscription, SubscriptionState};

use super::Harness;
use super::bench::{Bench, Landed, landed, limit, request};

/// Compares all data of many commands before and after a reopen.
pub async fn everything_is_there_after_a_reopen(harness: &impl Harness) {
    let (bench, seller, placed) = Bench::with_order(harness).await;
    let account_id = seller.account_id;
    bench.world.subscribe(&seller, "https://one.example", &["*"]).await;
    let other = bench.world.place(&seller, "Sari").await;
    bench.world.receipt_uploads().upload(&placed.token, "image/png", samples::PNG).await.unwrap();
    bench.world.commands().claim_payment(&placed.token).await.unwrap();
    let keyed = request(account_id, "key-1", b"body");
    bench.lands(&bench.confirming(&placed, Some(keyed)).await).await;
    bench.lands(&bench.quoting(&other, 99).await).await;
    bench.world.commands().create_key(account_id, "second", None).await.unwrap();
    bench.storage().touch_key(account_id, seller.key_id, std::time::Duration::ZERO).await.unwrap();
    let taken = bench.take(1).await;
    let at = bench.now().plus(Duration::from_secs(60));
    bench.record(&taken[0], NextAttempt::At(at)).await.unwrap();
    let before = bench.picture(account_id).await;
    let kept = bench.storage().account(account_id, Some(keyed.scope)).await.unwrap().unwrap().kept;
    assert!(kept.is_some());

    let bench = bench.reopen().await;
    bench.storage().ready().await.unwrap();
    assert_eq!(bench.picture(account_id).await, before);
    let after = bench.storage().account(account_id, Some(keyed.scope)).await.unwrap().unwrap();
    assert_eq!(after.kept, kept);
    let by_token = OrderKey::Token(placed.token.hash());
    let snapshot = bench.storage().order(by_token, None).await.unwrap().unwrap();
    assert_eq!(snapshot, bench.snapshot(account_id, placed.id).await);
    assert_eq!(snapshot.payment.state.receipt.unwrap().sha256, Digest256::of(samples::PNG));
    let key = bench.storage().key(seller.key.hash()).await.unwrap().unwrap();
    assert_eq!((key.id, key.last_used_at), (seller.key_id, Some(bench.now())));
    let confirmation = ClaimName::Confirmation(snapshot.payment.id);
    let again = bench.claiming(account_id, confirmation.clone());
    assert_eq!(landed(&bench.commit(&again).await), Landed::Duplicate(confirmation));
    assert_eq!(bench.world.place(&seller, "Tono").await.number, OrderNumber(3));
    bench.advance(Duration::from_secs(60)).await;
    // Two events of status and payment, the mail, and the order just placed.
    assert_eq!(bench.world.dispatch_all().await, 4);
}

const TEXT: &str = "𝒦opi 'susu' \"\\ %_ 日本 🇮🇩 é e\u{301} -- ; {} $1 ?";
const PROSE: &str = "line one\nline 'two'\r\n\tthree \u{200d} 日本 🇮🇩 \\n";

fn amount(rupiah: i64) -> Rupiah {
    Rupiah::new(rupiah).unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse("slug", text).unwrap()
}

/// Every field of payouts and their rows at its limits, compared as a whole.
pub async fn payouts_come_back_as_they_went(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let account_id = bench.opened().await;
    let mut ids = bench.context(None).ids;
    let (early, late) = (Timestamp::from_millis(-1), Timestamp::from_millis(253_402_300_799_999));
    let funds = Funds { account_id, version: Version::FIRST, in_flight: Rupiah::MAX };
    let details = DefaultDetails {
        bank_code: None,
        bank_name: Some(TEXT.to_owned()),
        bank_account_number: Some("00-12 3".to_owned()),
        bank_account_holder: None,
    };
    let bank_account = DefaultBankAccount { account_id, version: Version::FIRST, details };
    let bank = |bank_code: Option<&str>| BankDetails {
        bank_code: bank_code.map(str::to_owned),
        bank_name: TEXT.to_owned(),
        bank_account_number: "9".repeat(100),
        bank_account_holder: TEXT.to_owned(),
    };
    let bare = Payout {
        id: ids.payout(),
        account_id,
        amount: amount(1),
        bank: bank(None),
        note: None,
        created_at: late,
        state: PayoutState {
            version: Version::FIRST,
            status: PayoutStatus::Pending,
            reference: None,
            failure_reason: None,
            processed_at: None,
            completed_at: None,
            updated_at: early,
        },
    };
    let full = Payout {
        id: ids.payout(),
        amount: Rupiah::MAX,
        bank: bank(Some(TEXT)),
        note: Some(PROSE.to_owned()),
        created_at: early,
        state: PayoutState {
            version: Version::FIRST,
            status: PayoutStatus::Failed,
            reference: Some(PROSE.to_owned()),
            failure_reason: Some(PROSE.to_owned()),
            processed_at: Some(early),
            completed_at: Some(late),
            updated_at: late,
        },
        ..bare.clone()
    };
    let audit = [
        (early, Actor::Operator { id: ids.key() }, None, PayoutStatus::Pending, None),
        (late, Actor::host(TEXT).unwrap(), Some(PayoutStatus::InTransit), PayoutStatus::Failed, Some(PROSE.to_owned())),
    ]
    .map(|(at, actor, from, to, note)| PayoutAudit {
        id: ids.audit(),
        account_id,
        payout_id: full.id,
        at,
        actor,
        from,
        to,
        note,
    });
    let adjustments = [(Direction::Debit, Rupiah::MAX, "R1"), (Direction::Credit, amount(1), TEXT)].map(
        |(direction, amount, reference)| Adjustment {
            id: ids.adjustment(),
            account_id,
            direction,
            amount,
            reason: PROSE.to_owned(),
            reference: compared(reference),
            actor: Actor::Operator { id: ids.key() },
            created_at: late,
        },
    );
    let mut change = bench.change(account_id);
    for row in [Row::Funds, Row::BankAccount] {
        change.guards.push(Guard::Exact { row, version: Version::ABSENT });
    }
    change.writes = vec![Write::PutFunds(funds), Write::PutBankAccount(bank_account.clone())];
    for payout in [&bare, &full] {
        change.claims.push(Claim::of(ClaimName::Payout(payout.id)));
        change.writes.push(Write::InsertPayout(payout.clone()));
    }
    change.writes.extend(audit.iter().cloned().map(Write::AppendPayoutAudit));
    for adjustment in &adjustments {
        change.claims.push(Claim::of(ClaimName::Adjustment(adjustment.reference.clone())));
        change.writes.push(Write::InsertAdjustment(adjustment.clone()));
    }
    bench.lands(&change).await;
    let bench = bench.reopen().await;
    let storage = bench.storage();

    let account = bench.account(account_id).await.account;
    let snapshot = FundsSnapshot {
        account: account.clone(),
        funds,
        totals: Vec::new(),
        bank_account: Some(bank_account),
        kept: None,
    };
    assert_eq!(storage.funds(account_id, None).await.unwrap(), Some(snapshot));
    for payout in [&bare, &full] {
        let snapshot = PayoutSnapshot { account: account.clone(), payout: payout.clone(), funds, kept: None };
        for key in [PayoutKey::Id(account_id, payout.id), PayoutKey::Any(payout.id)] {
            assert_eq!(storage.payout(key, None).await.unwrap().as_ref(), Some(&snapshot));
        }
    }
    let page = storage.payouts(account_id, None, None, limit(10)).await.unwrap();
    assert_eq!(page.rows, [bare, full.clone()]);
    assert_eq!(storage.payout_audit(account_id, full.id).await.unwrap(), audit);
    for adjustment in adjustments {
        for key in [AdjustmentKey::Id(adjustment.id), AdjustmentKey::Reference(adjustment.reference.clone())] {
            assert_eq!(storage.adjustment(account_id, &key).await.unwrap().as_ref(), Some(&adjustment));
        }
    }
}

/// Every field of every row at its limits, compared as a whole.
pub async fn values_come_back_as_they_went(harness: &impl Harness) {
    let bench = Bench::new(harness);
    let mut ids = bench.context(None).ids;
    let (early, late) = (Timestamp::from_millis(-1), Timestamp::from_millis(253_402_300_799_999));
    let account = Account {
        id: ids.account(),
        name: TEXT.to_owned(),
        created_at: early,
        state: AccountState {
            version: Version::FIRST,
            tier: Tier::Starter,
            modules: Modules { payment: true, marketing: false },
            plugipay_account_id: Some("plug_'1".to_owned()),
        },
    };
    let account_id = account.id;
    let bank_account = BankAccount {
        bank_name: TEXT.to_owned(),
        account_number: "00-12 3".to_owned(),
        account_holder: "Renata".to_owned(),
    };
    let storefront = Storefront {
        account_id,
        version: Version::FIRST,
        profile: Profile {
            slug: slug(&"a".repeat(60)),
            display_name: TEXT.to_owned(),
            bio: Some(PROSE.to_owned()),
            payment: PaymentSettings {
                bank_accounts: vec![bank_account; 5],
                instructions: Some(PROSE.to_owned()),
                whatsapp_number: Some(WhatsAppNumber::parse("w", "+628120000000").unwrap()),
            },
            hide_branding: true,
            published: false,
        },
        created_at: early,
        updated_at: late,
    };
    let package = |name: &str, price: i64, description: Option<&str>| Package {
        name: name.to_owned(),
        price_idr: amount(price),
        description: description.map(str::to_owned),
    };
    let packages = vec![package("Basic", 0, None), package(TEXT, Rupiah::MAX.get(), Some(PROSE))];
    let pricings = [Pricing::Package(packages), Pricing::Fixed(Rupiah::MAX), Pricing::Hourly(Rupiah::ZERO)];
    let services: Vec<_> = pricings
        .into_iter()
        .zip([i32::MIN, 0, i32::MAX])
        .map(|(pricing, sort_order)| Service {
            id: ids.service(),
            account_id,
            version: Version::FIRST,
            offer: Offer {
                slug: slug(&format!("s{}", sort_order.unsigned_abs())),
                name: TEXT.to_owned(),
                description: (sort_order == 0).then(|| PROSE.to_owned()),
                pricing,
                active: sort_order != 0,
                sort_order,
            },
            created_at: early,
            updated_at: late,
        })
        .collect();
    let order = Order {
        id: ids.order(),
        account_id,
        service_id: services[0].id,
        access_token: bench.token(),
        buyer: Buyer {
            name: TEXT.to_owned(),
            email: EmailAddress::parse("e", "a.b+c@sub.example.co.id").unwrap(),
            phone: Some("0812 'x'".to_owned()),
        },
        package_name: Some(TEXT.to_owned()),
        preferred_date: Some("2026-11-22T09:36:00+07:00".to_owned()),
        notes: Some(PROSE.to_owned()),
        language: Language::En,
        created_at: early,
        state: OrderState {
            version: Version::FIRST,
            status: WorkStatus::InProgress,
            payment_status: PaymentStatus::PaymentClaimed,
            quoted_price: Rupiah::MAX,
            updated_at: late,
        },
    };
    let payment = Payment {
        id: ids.payment(),
        order_id: order.id,
        state: PaymentState {
            status: PaymentStatus::PaymentClaimed,
            amount_due: amount(1),
            receipt: Some(Receipt {
                upload_id: ids.upload(),
                image_type: ImageType::Webp,
                bytes: u32::try_from(serront_core::orders::receipt::RECEIPT_BYTES_MAX).unwrap(),
                sha256: Digest256::of(b"receipt"),
                uploaded_at: late,
            }),
        },
    };
    let key = KeyRecord {
        id: ids.key(),
        account_id,
        name: TEXT.to_owned(),
        prefix: "sk_live_abab".to_owned(),
        hash: Digest256::of(b"key"),
        created_at: early,
        last_used_at: Some(late),
    };
    let subscription = Subscription {
        id: ids.subscription(),
        account_id,
        created_at: early,
        state: SubscriptionState {
            version: Version::FIRST,
            url: format!("https://one.example/'{}?q=%41", "x".repeat(500)),
            events: ["*", "serront.order.*", "serront.order.created.v1"]
                .map(|filter| EventFilter::parse("e", filter).unwrap())
                .to_vec(),
            active: false,
        },
    };
    let secret = SealedSecret::stored(format!("sealed:'{}", "f".repeat(500)));
    let acts = [
        (Actor::buyer(&order.access_token), Act::Placed { quote: Rupiah::MAX }),
        (
            Actor::Key { id: key.id },
            Act::Payment {
                from: PaymentStatus::Unpaid,
                to: PaymentStatus::PaymentConfirmed,
                proof_sha256: Some(Digest256::of(b"receipt")),
            },
        ),
        (
            Actor::host(TEXT).unwrap(),
            Act::Receipt { proof_sha256: Digest256::of(b"one"), replaced_sha256: Some(Digest256::of(b"two")) },
        ),
        (Actor::host("ops").unwrap(), Act::Quote { from: Rupiah::ZERO, to: Rupiah::MAX }),
        (Actor::host("ops").unwrap(), Act::Work { from: WorkStatus::Requested, to: WorkStatus::InProgress }),
    ];
    let audit: Vec<_> = (0..)
        .zip(acts)
        .map(|(index, (actor, act))| AuditRecord {
            id: ids.audit(),
            account_id,
            order_id: order.id,
            payment_id: payment.id,
            at: Timestamp::from_millis(index),
            actor,
            act,
            note: (index % 2 == 0).then(|| PROSE.to_owned()),
        })
        .collect();
    let mail = Mail::PaymentConfirmedV1(PaymentConfirmed {
        to: order.buyer.email.clone(),
        buyer_name: TEXT.to_owned(),
        language: Language::En,
        seller_name: TEXT.to_owned(),
        number: OrderNumber(u32::MAX),
        service_name: TEXT.to_owned(),
        amount: Rupiah::MAX,
        by: ConfirmedBy::Plugipay,
    });
    let mail_id = ids.mail();

    let mut change = bench.change(account_id);
    change.guards.push(Guard::Exact { row: Row::Storefront, version: Version::ABSENT });
    change.writes = vec![Write::InsertAccount(account.clone()), Write::PutStorefront(storefront.clone())];
    change.writes.extend(services.iter().cloned().map(Write::PutService));
    change.writes.push(Write::InsertOrder(order.clone(), payment.clone()));
    change.writes.push(Write::InsertKey(key.clone()));
    change.writes.push(Write::InsertSubscription(subscription.clone(), secret.clone()));
    change.writes.extend(audit.iter().cloned().map(Write::AppendAudit));
    change.claims = vec![
        Claim::of(ClaimName::StorefrontSlug(storefront.profile.slug.clone())),
        Claim::of(ClaimName::KeyHash(key.hash)),
        Claim::of(ClaimName::AccessToken(order.access_token.hash())),
    ];
    change.effects = vec![Effect::Mail { id: mail_id, mail: mail.clone() }];
    bench.lands(&change).await;
    let delivery_ids = bench.queue_deliveries(account_id, subscription.id, 1).await;
    let bench = bench.reopen().await;
    let storage = bench.storage();

    let expected = OrderSnapshot {
        account,
        seller: Some(storefront.profile.seller()),
        order,
        number: OrderNumber(1),
        payment,
        service: services[0].ordered(),
        checkouts: Vec::new(),
        subscriptions: vec![subscription.clone()],
        kept: None,
    };
    let token = OrderKey::Token(expected.order.access_token.hash());
    assert_eq!(storage.order(token, None).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(storage.services(account_id).await.unwrap(), services);
    assert_eq!(storage.keys(account_id).await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(storage.key(key.hash).await.unwrap(), Some(key));
    assert_eq!(storage.audit(account_id, expected.order.id).await.unwrap(), audit);
    let shop = storage.shop(&storefront.profile.slug, None).await.unwrap().unwrap();
    assert_eq!((&shop.account, &shop.storefront), (&expected.account, &storefront));
    assert_eq!((&shop.services, &shop.subscriptions), (&services, &expected.subscriptions));
    for due in bench.take(10).await {
        match (due.effect, due.id) {
            (DueEffect::Mail(content), id) => assert_eq!((content, id), (mail.clone(), EffectId::Mail(mail_id))),
            (DueEffect::Delivery { target, body, .. }, id) => {
                assert_eq!((body.as_str(), id), ("{}", delivery_ids[0]));
                let expected =
                    Target { subscription: subscription.clone(), secret: secret.clone(), previous_secret: None };
                assert_eq!(target, Some(Box::new(expected)));
            }
            (DueEffect::Removal(_) | DueEffect::Errand(_), id) => panic!("unexpected effect {id}"),
        }
    }
}
