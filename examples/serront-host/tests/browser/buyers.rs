//! The buyer's way from the storefront to the page of a paid order.

use serde_json::json;
use thirtyfour::Key;

use super::browser::{Browser, Language, Visitor};
use super::stage::{ACCOUNTS, Order, STOREFRONT, Stage, confirmed_in};

/// Most layout shift of a page: half of the 0.1 that web vitals call good. Nothing should move, but the positions of new
/// text are rounded to whole pixels.
const SHIFT_MAX: f64 = 0.05;

/// Fills in and sends the order form. Returns the service's name.
pub(crate) async fn place_order(stage: &Stage, browser: &Browser, service: &str) -> Order {
    browser.open(STOREFRONT).await;
    browser.choose("service", service).await;
    browser.fill("buyerName", "Budi <b>Santoso</b> & \"Co\"").await;
    browser.fill("buyerEmail", "budi@example.com").await;
    browser.fill("buyerPhone", "+62 811 111 1111").await;
    browser.fill("notes", "Warna biru.\nTanpa foto.").await;
    browser.press(STOREFRONT).await;
    let place = browser.arrive("/o/").await;
    let token = place.trim_start_matches("/o/").split(['?', '#']).next().unwrap().to_owned();
    stage.known_as(token).await
}

/// Waits until the order's page shows another state.
pub(crate) async fn turned(browser: &Browser, from: &str) -> String {
    browser.wait_for(&format!("#order:not([data-state=\"{from}\"])")).await;
    state(browser).await
}

pub(crate) async fn state(browser: &Browser) -> String {
    browser.attribute("#order", "data-state").await.unwrap()
}

/// The page contains no payment instructions, visible or not.
pub(crate) async fn assert_no_account(browser: &Browser, page: &str) {
    let html = browser.html().await;
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    for account in ACCOUNTS {
        assert!(!html.contains(account) && !html.contains(&digits(account)), "{page} has no bank account");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_stays_open_shows_the_account_that_holds_now() {
    let stage = Stage::open().await;
    let buyer = stage.browser(Visitor::phone(Language::Indonesian)).await;
    let order = place_order(&stage, &buyer, "logo").await;
    let client = &stage.shop.client;
    let mut shop = client.call("GET", "/api/v1/storefront", None).await.data();
    shop["manualBankAccounts"] =
        json!([{"bankName": "BNI", "accountNumber": "555-000-111", "accountHolder": "Renata"}]);
    client.call("PUT", "/api/v1/storefront", Some(shop)).await.data();
    buyer.wait_to_read("555-000-111").await;
    assert_no_account(&buyer, "the page that updated automatically").await;
    // A chosen file stays, and the buyer is told that the page is out of date.
    buyer.attach("receipt", &stage.receipt()).await;
    let quoted = Some(json!({"quotedPriceIdr": 777_000}));
    client.call("PATCH", &format!("/api/v1/orders/{}", order.id), quoted).await.data();
    buyer.wait_to_read("Muat ulang halaman sebelum membayar").await;
    assert!(buyer.has("#receipt-preview:not([hidden])").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_claimed_with_a_receipt_and_confirmed_by_the_seller() {
    let stage = Stage::open().await;
    let buyer = stage.browser(Visitor::phone(Language::Indonesian)).await;
    buyer.open(STOREFRONT).await;
    assert_no_account(&buyer, "the storefront").await;
    let order = place_order(&stage, &buyer, "logo").await;
    let (page, number) = (buyer.text().await, format!("#{}", order.number));
    for told in
        [number.as_str(), "Rp 750.000", "BCA", ACCOUNTS[0], ACCOUNTS[1], "Renata Wijaya", "unggah bukti transfer"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    buyer.click("button[data-copy]").await;
    buyer.wait_to_read("Tersalin").await;
    assert!(buyer.has("a[href^=\"https://wa.me/628120000000\"]").await);

    // The receipt is previewed before it is sent.
    let unpaid = state(&buyer).await;
    buyer.attach("receipt", &stage.receipt()).await;
    buyer.wait_for("#receipt-preview[src^=\"blob:\"]").await;
    buyer.press("/proof").await;
    let uploaded = turned(&buyer, &unpaid).await;
    assert_eq!(stage.seen(&order).await["hasProof"], true);
    buyer.press("/claim").await;
    let claimed = turned(&buyer, &uploaded).await;
    assert_eq!(stage.seen(&order).await["paymentStatus"], "payment_claimed");
    buyer.watch_shifts().await;

    // The seller must confirm a question before the payment is confirmed.
    let seller = stage.seller(Visitor::desk(Language::English)).await;
    let awaiting = seller.text_of("#awaiting").await;
    assert!(awaiting.contains("Budi <b>Santoso</b> & \"Co\""), "{awaiting}");
    seller.follow(&order.detail()).await;
    seller.arrive(&order.detail()).await;
    let shown = "const image = document.querySelector('img[src$=\"/proof\"]'); \
        return image.decode().then(() => image.naturalWidth > 0, () => false)";
    assert_eq!(seller.run(shown, &[]).await, true, "the receipt is shown");
    seller.follow("/confirm").await;
    seller.arrive(&format!("{}/confirm", order.detail())).await;
    let question = seller.text_of("#main").await;
    assert!(question.contains("Rp 750.000") && question.contains('?'), "{question}");
    assert_eq!(stage.seen(&order).await["paymentStatus"], "payment_claimed", "a question confirms nothing");
    seller.press("/confirm").await;
    seller.notice().await;
    assert_eq!(stage.seen(&order).await["paymentStatus"], "payment_confirmed");
    assert!(seller.text_of("#history").await.contains("Payment confirmed"));
    assert!(!seller.has("a[href$=\"/confirm\"]").await, "it is confirmed once");

    // The buyer's page updates automatically, and nothing jumps.
    turned(&buyer, &claimed).await;
    buyer.wait_to_read(confirmed_in(Language::Indonesian)).await;
    let shifted = buyer.shifted().await;
    assert!(shifted < SHIFT_MAX, "the page jumped by {shifted}");
    assert_nothing_to_pay_with(&buyer).await;
    buyer.reload().await;
    buyer.wait_to_read(confirmed_in(Language::Indonesian)).await;
    assert_nothing_to_pay_with(&buyer).await;
    for browser in [&buyer, &seller] {
        assert_eq!(browser.complaints().await, [""; 0]);
    }
}

/// The copied texts, and the promises that failed silently.
const LISTEN: &str = "window.taken = []; window.unseen = []; \
    window.addEventListener('unhandledrejection', event => window.unseen.push(String(event.reason))); \
    Object.defineProperty(navigator, 'clipboard', {configurable: true, value: CLIPBOARD});";

/// Banks' apps reject dashes; and browsers within apps have no clipboard, or refuse it (#16).
#[tokio::test(flavor = "multi_thread")]
async fn an_account_number_is_copied_as_digits_and_selected_where_it_cant_be_copied() {
    let stage = Stage::open().await;
    let order = stage.order("Sari", "logo", None).await;
    let buyer = stage.browser(Visitor::phone(Language::Indonesian)).await;
    let digits = ACCOUNTS.map(|account| account.chars().filter(char::is_ascii_digit).collect::<String>());
    let copy = |account: &str| format!("button[data-copy=\"{account}\"]");
    let unseen = async || buyer.run("return new Promise(done => setTimeout(() => done(window.unseen), 0))", &[]).await;

    buyer.open(&order.page()).await;
    buyer
        .run(&LISTEN.replace("CLIPBOARD", "{writeText: text => { taken.push(text); return Promise.resolve(); }}"), &[])
        .await;
    for account in &digits {
        buyer.click(&copy(account)).await;
    }
    buyer.wait_to_read("Tersalin").await;
    assert_eq!(buyer.run("return window.taken", &[]).await, json!(digits));
    assert!(buyer.text().await.contains(ACCOUNTS[0]), "the number stays as it was typed");

    for (what, clipboard) in [
        ("refuses", "{writeText: () => Promise.reject(new DOMException('no', 'NotAllowedError'))}"),
        ("fails", "{writeText: () => { throw new Error('no'); }}"),
        ("is half there", "{}"),
        ("is not there", "undefined"),
    ] {
        buyer.open(&order.page()).await;
        buyer.run(&LISTEN.replace("CLIPBOARD", clipboard), &[]).await;
        buyer.click(&copy(&digits[1])).await;
        buyer.wait_to_read("Teksnya sudah dipilih").await;
        assert_eq!(buyer.run("return String(getSelection())", &[]).await, json!(digits[1]), "a clipboard that {what}");
        assert_eq!(unseen().await, json!([]), "a clipboard that {what}");
        assert!(!buyer.text().await.contains("Tersalin"), "a clipboard that {what}");
    }
}

/// The browser refused such an address without a visible reason (#16).
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_was_copied_with_unseen_characters_is_taken() {
    let stage = Stage::open().await;
    let buyer = stage.browser(Visitor::phone(Language::Indonesian)).await;
    buyer.open(STOREFRONT).await;
    buyer.choose("service", "logo").await;
    buyer.fill("buyerName", "Budi").await;
    buyer.fill("buyerEmail", "\u{200b}budi@example.com\u{2069}").await;
    buyer.press(STOREFRONT).await;
    let place = buyer.arrive("/o/").await;
    let order = stage.known_as(place.trim_start_matches("/o/").to_owned()).await;
    assert_eq!(stage.seen(&order).await["buyerEmail"], "budi@example.com");
}

/// Like a browser without a picker, which Chromium can imitate (#16).
#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_another_format_is_refused_with_the_format_where_there_is_no_picker() {
    let stage = Stage::open().await;
    let buyer = stage.browser(Visitor::phone(Language::English)).await;
    buyer.open(STOREFRONT).await;
    let typed = "const field = document.querySelector('[name=preferredDate]'); field.type = 'text'; \
        field.value = arguments[0]; return [field.placeholder, field.title, field.validity.patternMismatch]";
    let said = json!(["YYYY-MM-DD", "Write year-month-day, such as 2026-12-24"]);
    for (day, is_refused) in [("24/12/2026", true), ("2026-12-24", false)] {
        let told = buyer.run(typed, &[day.into()]).await;
        assert_eq!(told, json!([said[0], said[1], is_refused]), "{day}");
    }
}

async fn assert_nothing_to_pay_with(buyer: &Browser) {
    assert_no_account(buyer, "a confirmed order's page").await;
    for action in ["/claim", "/proof", "/pay"] {
        assert!(!buyer.has(&format!("form[action$=\"{action}\"]")).await, "{action} has ended");
    }
    assert!(!buyer.has("a[href*=\"wa.me\"]").await, "where to ask about the transfer has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_pays_online_and_the_page_turns_by_itself_once_plugipay_tells_of_it() {
    let stage = Stage::open().await;
    stage.lose_notifications();
    let buyer = stage.browser(Visitor::desk(Language::English)).await;
    let order = place_order(&stage, &buyer, "undangan:Premium").await;
    buyer.wait_to_read("Rp 900.000").await;
    buyer.press("/pay").await;
    buyer.arrive(stage.shop.provider.url()).await;
    buyer.choose("method", "qris").await;
    buyer.press("/pay").await;
    buyer.arrive_at(&format!("{}?paid=1", order.page())).await;
    buyer.wait_to_read("being confirmed").await;
    assert_eq!(stage.seen(&order).await["paymentStatus"], "unpaid", "coming back proves nothing");
    buyer.watch_shifts().await;

    let waiting = state(&buyer).await;
    stage.notify(&stage.last_session(), 900_000).await;
    turned(&buyer, &waiting).await;
    buyer.wait_to_read(confirmed_in(Language::English)).await;
    let shifted = buyer.shifted().await;
    assert!(shifted < SHIFT_MAX, "the page jumped by {shifted}");
    assert_nothing_to_pay_with(&buyer).await;
    assert_eq!(buyer.complaints().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_image_is_refused_at_its_field_and_changes_nothing() {
    let stage = Stage::open().await;
    let files = [
        ("a PDF", stage.file("receipt.pdf", b"%PDF-1.7\n%%EOF\n"), "PDF"),
        ("a PDF that is called an image", stage.file("named.png", b"%PDF-1.7\n%%EOF\n"), "PDF"),
        ("one byte too much", stage.file("large.png", &vec![0; 5_242_881]), "5 MB"),
    ];
    for visitor in [Visitor::phone(Language::Indonesian), Visitor::phone(Language::English).without_scripts()] {
        let order = stage.order("Sari", "logo", None).await;
        let buyer = stage.browser(visitor).await;
        for (what, file, told) in &files {
            buyer.open(&order.page()).await;
            let before = state(&buyer).await;
            buyer.attach("receipt", file).await;
            // The script may refuse it before it is sent.
            if buyer.has("form[action$=\"/proof\"] button:not([type=button]):enabled").await {
                buyer.press("/proof").await;
            }
            let refusal = buyer.read_some("#receipt-error").await;
            assert!(refusal.contains(told), "{what}: {refusal}");
            let field = "input[name=receipt]";
            assert_eq!(buyer.attribute(field, "aria-invalid").await.as_deref(), Some("true"), "{what}");
            let described = buyer.attribute(field, "aria-describedby").await.unwrap_or_default();
            assert!(described.contains("receipt-error"), "{what}");
            assert_eq!(state(&buyer).await, before, "{what}");
            assert_eq!(stage.seen(&order).await["hasProof"], false, "{what}");
        }
        if !visitor.scripts {
            // Switching the language here leads to the order, not to an address that only accepts forms.
            buyer.click("header a[hreflang=id]").await;
            buyer.arrive_at(&order.page()).await;
        }
        // Then the right one.
        let before = state(&buyer).await;
        buyer.attach("receipt", &stage.receipt()).await;
        buyer.press("/proof").await;
        turned(&buyer, &before).await;
        assert_eq!(stage.seen(&order).await["hasProof"], true);
        if visitor.scripts {
            assert_eq!(buyer.complaints().await, [""; 0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_and_claimed_by_the_keyboard_alone() {
    let stage = Stage::open().await;
    let buyer = stage.browser(Visitor::desk(Language::Indonesian)).await;
    buyer.open(STOREFRONT).await;
    buyer.tab_to("a[href=\"#main\"]").await;
    assert!(buyer.is_focus_seen().await, "the way past the head is seen once it has the focus");
    buyer.key(Key::Enter).await;
    buyer.tab_to("input[name=service]").await;
    buyer.type_on(" ").await;
    for (field, text) in [("buyerName", "Dewi"), ("buyerEmail", "dewi@example.com")] {
        buyer.tab_to(&format!("[name={field}]")).await;
        assert!(buyer.is_focus_seen().await, "{field}");
        buyer.type_on(text).await;
    }
    buyer.key(Key::Enter).await;
    let place = buyer.arrive("/o/").await;
    let order = stage.known_as(place.trim_start_matches("/o/").to_owned()).await;

    let unpaid = state(&buyer).await;
    buyer.tab_to("form[action$=\"/claim\"] button").await;
    assert!(buyer.is_focus_seen().await, "the claim");
    buyer.key(Key::Enter).await;
    turned(&buyer, &unpaid).await;
    assert_eq!(stage.seen(&order).await["paymentStatus"], "payment_claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_speak_the_visitors_language_until_the_switch_says_otherwise() {
    let stage = Stage::open().await;
    let order = stage.order("Sari", "logo", None).await;
    for (language, other) in [(Language::Indonesian, Language::English), (Language::English, Language::Indonesian)] {
        let buyer = stage.browser(Visitor::desk(language)).await;
        let unpaid = |language: Language| language.of("Belum dibayar", "Unpaid");
        buyer.open(&format!("{}?paid=1", order.page())).await;
        assert_eq!(buyer.attribute("html", "lang").await.as_deref(), Some(language.tag()));
        buyer.open(&order.page()).await;
        buyer.wait_to_read(unpaid(language)).await;
        let switch = format!("header a[hreflang={}]", other.tag());
        buyer.click(&switch).await;
        buyer.wait_for(&format!("html[lang={}]", other.tag())).await;
        assert_eq!(buyer.place().await, order.page(), "the address does not keep the switch");
        buyer.wait_to_read(unpaid(other)).await;
        // Remembered on every page.
        for page in [STOREFRONT, "/dashboard/login", "/operator/login"] {
            buyer.open(page).await;
            assert_eq!(buyer.attribute("html", "lang").await.as_deref(), Some(other.tag()), "{page}");
        }
    }
}
