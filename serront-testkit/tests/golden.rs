//! Events and mails, compared whole with the files in `tests/golden`. `UPDATE_GOLDEN=1` writes them; read the diff.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use std::path::Path;

use serront_core::decide::OrderPatch;
use serront_core::orders::mail::{BuiltInTemplates, ConfirmedBy, Mail, MailMessage, PaymentConfirmed, render};
use serront_core::orders::order::{Language, OrderInput, OrderNumber, PricingType, WorkStatus};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::text::EmailAddress;
use serront_core::shop::catalog::{PackageInput, ServiceInput};
use serront_testkit::golden;
use serront_testkit::world::{World, host, order_input};

const FILES: [&str; 13] = [
    "event-order-created.json",
    "event-order-payment-confirmed.json",
    "event-order-status-changed.json",
    "mail-payment-confirmed-en-unquoted.txt",
    "mail-payment-confirmed-en.html",
    "mail-payment-confirmed-en.txt",
    "mail-payment-confirmed-id-unquoted.txt",
    "mail-payment-confirmed-id.html",
    "mail-payment-confirmed-id.txt",
    "mail-payment-confirmed-online-en.html",
    "mail-payment-confirmed-online-en.txt",
    "mail-payment-confirmed-online-id.html",
    "mail-payment-confirmed-online-id.txt",
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// Compares with the file. The file always ends with a line break.
fn check(name: &str, actual: &str) {
    let actual = format!("{}\n", actual.strip_suffix('\n').unwrap_or(actual));
    assert!(FILES.contains(&name), "{name} is not in the list of golden files");
    golden::check(&folder().join(name), &actual);
}

#[test]
fn every_golden_file_is_compared() {
    golden::check_names(folder(), "", &FILES.map(str::to_owned).into());
}

/// One order through every event that a seller's system gets.
#[tokio::test]
async fn events_are_told_in_these_bytes() {
    let world = World::new();
    let seller = world.seller("studio").await;
    world.subscribe(&seller, "https://one.example/hook", &["*"]).await;
    let packages = vec![PackageInput {
        // Looks like the place that is kept free for the order's number, and must not be taken for it.
        name: "Lengkap \"number\":null".to_owned(),
        price_idr: 1_250_000,
        description: None,
    }];
    let service = ServiceInput {
        slug: Some("paket-cetak".to_owned()),
        name: Some("Cetak — 日本".to_owned()),
        pricing_type: Some(PricingType::Package),
        packages: Some(Some(packages)),
        ..ServiceInput::default()
    };
    world.commands().create_service(seller.account_id, &service, None).await.unwrap();
    let input = OrderInput {
        service_slug: "paket-cetak".to_owned(),
        package_name: Some("Lengkap \"number\":null".to_owned()),
        ..order_input("Budi")
    };
    world.place(&seller, "Ani").await;
    world.dispatch_all().await;
    let before = world.sink.posts().len();
    let placed = world.place_with(&seller, &input).await;
    let patch = OrderPatch { status: Some(WorkStatus::Confirmed), quoted_price_idr: Some(1_300_000) };
    world.commands().patch_order(placed.account_id, placed.id, patch, &host(), None).await.unwrap();
    world.commands().confirm_payment(placed.account_id, placed.id, &host(), None, None).await.unwrap();
    world.dispatch_all().await;
    let posts = world.sink.posts().split_off(before);
    assert_eq!(posts.len(), 3);
    for post in posts {
        let name = post.event_type.as_str().trim_start_matches("serront.").trim_end_matches(".v1");
        check(&format!("event-{}.json", name.replace(['.', '_'], "-")), &post.body);
    }
}

async fn mail(language: Language, quote: i64) -> MailMessage {
    let world = World::new();
    let seller = world.seller("studio").await;
    let commands = world.commands();
    let placed = commands.place_order(&seller.slug, &order_input("Budi"), language, None).await.unwrap().value;
    let id = placed.order_id.unwrap();
    let patch = OrderPatch { status: None, quoted_price_idr: Some(quote) };
    commands.patch_order(seller.account_id, id, patch, &host(), None).await.unwrap();
    commands.confirm_payment(seller.account_id, id, &host(), None, None).await.unwrap();
    world.dispatch_all().await;
    <[_; 1]>::try_from(world.mailbox.messages()).map(|[message]| message).unwrap()
}

/// Text, and HTML if present, each in a separate file.
fn check_mail(name: &str, message: &MailMessage, with_html: bool) {
    let MailMessage { id, to, to_name, subject, text, html } = message;
    check(&format!("{name}.txt"), &format!("id: {id}\nto: {to_name} <{}>\nsubject: {subject}\n\n{text}", to.as_str()));
    if with_html {
        check(&format!("{name}.html"), html.as_deref().unwrap());
    }
}

#[tokio::test]
async fn mails_read_like_this_in_both_languages() {
    for (name, language, quote) in [
        ("mail-payment-confirmed-id", Language::Id, 1_250_000),
        ("mail-payment-confirmed-en", Language::En, 1_250_000),
        ("mail-payment-confirmed-id-unquoted", Language::Id, 0),
        ("mail-payment-confirmed-en-unquoted", Language::En, 0),
    ] {
        check_mail(name, &mail(language, quote).await, quote > 0);
    }
}

/// A mail of an automatic confirmation, with names that contain HTML and direction marks.
#[test]
fn mails_of_payments_online_read_like_this() {
    for language in [Language::Id, Language::En] {
        let mail = Mail::PaymentConfirmedV1(PaymentConfirmed {
            to: EmailAddress::parse("to", "budi@example.com").unwrap(),
            buyer_name: "Budi </p><b>&amp;\u{202e}".to_owned(),
            language,
            seller_name: "Kopi & \"Susu\"".to_owned(),
            number: OrderNumber(7),
            service_name: "Potret — 日本".to_owned(),
            amount: Rupiah::new(750_000).unwrap(),
            by: ConfirmedBy::Plugipay,
        });
        let message = render(&BuiltInTemplates, "mail_01jtestvect0r0000000000001".parse().unwrap(), &mail);
        // The mailer must make the recipient's name safe.
        let message = MailMessage { to_name: "Budi".to_owned(), ..message };
        check_mail(&format!("mail-payment-confirmed-online-{}", language.as_str()), &message, true);
    }
}
