//! The pages as answered by the router, with a clock that the test moves: sessions and their ends, errors in both formats, an
//! upload without a script, and a host whose pages are below a path. Tests that need a browser are in `tests/browser`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use serront_core::orders::receipt::{RECEIPT_BYTES_MAX, samples};
use serront_core::primitives::tier::Tier;
use serront_host::{Host, SessionKey};
use tower::ServiceExt as _;

mod in_process;

use in_process::{Ask, HOOK, House, Reply, ask};

/// A request for a page, like a browser's.
fn page(method: &str, path: impl Into<String>) -> Ask {
    ask(method, path).header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
}

fn form(path: impl Into<String>, fields: &[(&str, &str)]) -> Ask {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    page("POST", path).header("content-type", "application/x-www-form-urlencoded").body(body)
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.bytes.clone()).unwrap()
}

/// The status and the target of the redirect.
fn led(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.header("location").unwrap_or_default())
}

/// The name and value of the cookie that was set.
fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

async fn sign_in(house: &House, home: &str, key: &str) -> String {
    let reply = house.send(form(format!("{home}/login"), &[("key", key)])).await;
    assert_eq!(led(&reply), (303, home));
    cookie(&reply)
}

/// The token of the session's forms.
async fn token(house: &House, cookie: &str, path: &str) -> String {
    let page = text(&house.send(page("GET", path).header("cookie", cookie)).await);
    page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_ends_by_its_time_its_key_or_another_hosts_cookie() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let at = |cookie: String| {
        let house = &house;
        async move { house.send(page("GET", "/dashboard?q=x").header("cookie", cookie)).await }
    };
    assert_eq!(at(cookie.clone()).await.status, 200);

    let ended = (303, "/dashboard/login?ended=1&next=%2Fdashboard%3Fq%3Dx");
    house.clock.advance(Duration::from_secs(12 * 3_600 - 1));
    assert_eq!(at(cookie.clone()).await.status, 200);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(led(&at(cookie.clone()).await), ended, "twelve hours are over");

    let cookie = sign_in(&house, "/dashboard", &key).await;
    let (name, value) = cookie.split_once('=').unwrap();
    let mut forged = value.to_owned().into_bytes();
    let last = forged.len() - 4;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = format!("{name}={}", String::from_utf8(forged).unwrap());
    assert_eq!(led(&at(forged).await), ended, "a changed cookie");

    // A host with another session key rejects it; one with the same key accepts it.
    let restarted = |key: &SessionKey| {
        let host = Host::new(house.host_ports(), house.host_policy(), "http://localhost").with_session_key(key.clone());
        serront_host::router(Arc::new(host))
    };
    let (one, other) = (SessionKey::from_bytes(&[1; 64]), SessionKey::from_bytes(&[2; 64]));
    let sign = form("/dashboard/login", &[("key", key.as_str())]);
    let kept = cookie_of(restarted(&one).oneshot(sign.request()).await.unwrap());
    for (session_key, status) in [(&one, 200), (&other, 303)] {
        let asked = page("GET", "/dashboard").header("cookie", &kept).request();
        assert_eq!(restarted(session_key).oneshot(asked).await.unwrap().status(), status);
    }

    // Deleting the key ends its session on all hosts.
    let second = house.send(ask("POST", "/api/v1/api-keys").key(&key).json(&json!({"name": "till"}))).await.data();
    let till = sign_in(&house, "/dashboard", second["key"].as_str().unwrap()).await;
    assert_eq!(at(till.clone()).await.status, 200);
    let delete = format!("/api/v1/api-keys/{}", second["id"].as_str().unwrap());
    house.send(ask("DELETE", delete).key(&key)).await.data();
    assert_eq!(led(&at(till).await), ended, "a deleted key");
    assert_eq!(at(cookie).await.status, 200, "the other key's session continues");
    assert_eq!(led(&house.send(page("GET", "/dashboard")).await), (303, "/dashboard/login?next=%2Fdashboard"));
}

fn cookie_of(response: axum::response::Response) -> String {
    response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_opens_its_own_door_and_no_other() {
    let house = House::open().await;
    let (key, operator) = (house.account(Tier::Free).await, house.operator().await);
    for (home, key) in
        [("/dashboard", operator.as_str()), ("/operator", &key), ("/dashboard", "sk_live_1"), ("/operator", "")]
    {
        let reply = house.send(form(format!("{home}/login"), &[("key", key), ("next", "/dashboard/payments")])).await;
        let shown = text(&reply);
        assert_eq!((reply.status, reply.header("set-cookie")), (401, None), "{home}");
        assert!(shown.contains("role=\"alert\"") && shown.contains("key-error"), "{shown}");
        assert!(key.is_empty() || !shown.contains(key), "a key is not shown again");
    }
    let sealed = sign_in(&house, "/dashboard", &key).await;
    let hash = serront_core::primitives::digest::Digest256::of(key.as_bytes()).to_string();
    assert!(!sealed.contains(&key) && !sealed.contains(&hash));
    // One role's cookie under the other's name is not accepted.
    let swapped = sealed.replace("serront_session", "serront_operator");
    let reply = house.send(page("GET", "/operator").header("cookie", swapped)).await;
    assert_eq!(led(&reply), (303, "/operator/login?ended=1&next=%2Foperator"));
    let out = form("/dashboard/logout", &[("csrf", &token(&house, &sealed, "/dashboard").await)]);
    let reply = house.send(out.header("cookie", &sealed)).await;
    assert_eq!(led(&reply), (303, "/dashboard/login?out=1"));
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn a_form_has_as_many_fields_as_forms_have() {
    let house = House::open().await;
    let fields = |count: usize| page("POST", "/dashboard/login").body("a&".repeat(count));
    assert_eq!(house.send(fields(200)).await.status, 401);
    assert_eq!(house.send(fields(201)).await.status, 413);
}

#[tokio::test]
async fn another_sellers_things_are_not_there() {
    let house = House::open().await;
    let (mine, theirs) = (house.account(Tier::Free).await, house.account(Tier::Free).await);
    house.open_shop(&theirs, "theirs").await;
    let (order, token_of_theirs) = house.order(&theirs, "theirs").await;
    house.upload(&token_of_theirs).await;
    let cookie = sign_in(&house, "/dashboard", &mine).await;
    let csrf = token(&house, &cookie, "/dashboard").await;
    let picture = house.picture(&theirs, "theirs").await;
    for end in ["", "/confirm", "/rotate-token", "/proof"] {
        let reply = house.send(page("GET", format!("/dashboard/orders/{order}{end}")).header("cookie", &cookie)).await;
        assert_eq!(reply.status, 404, "{end}");
    }
    for (end, field) in [
        ("confirm", ("x", "")),
        ("rotate-token", ("once", "x")),
        ("quote", ("quotedPriceIdr", "1")),
        ("status", ("status", "confirmed")),
    ] {
        let sent = form(format!("/dashboard/orders/{order}/{end}"), &[("csrf", &csrf), field]);
        assert_eq!(house.send(sent.header("cookie", &cookie)).await.status, 404, "{end}");
    }
    let mut after = house.picture(&theirs, "theirs").await;
    after["keys"] = picture["keys"].clone();
    assert_eq!(after, picture);
}

#[tokio::test]
async fn an_error_is_a_page_for_browsers_and_the_envelope_for_everybody_else() {
    let house = House::open().await;
    let no_such = "/o/000000000000000000000000000000000000000000000000";
    for (path, status) in [("/nope", 404), ("/s/nope", 404), (no_such, 404), ("/o/x", 404)] {
        let reply = house.send(page("GET", path)).await;
        let shown = text(&reply);
        assert_eq!(reply.status, status, "{path}");
        assert!(shown.contains("<h1>Tidak ditemukan</h1>") && shown.contains("req_"), "{path}: {shown}");
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(house.send(ask("GET", path)).await.refusal().0, status, "{path}");
    }
    assert_eq!(house.send(page("PUT", "/dashboard")).await.status, 405);
    // These must not be cached either: a mistyped address may contain a token.
    for path in [&format!("{no_such}/typo"), "/dashboard/logout?lang=fr"] {
        let reply = house.send(page("POST", path)).await;
        for (name, value) in [
            ("cache-control", "private, no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex, nofollow"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        assert!(reply.header("content-security-policy").unwrap().starts_with("default-src 'none'"), "{path}");
    }
    // The switch redirects only within this host, for any address.
    let reply = house.send(page("GET", "//evil.example/phish")).await;
    assert!(!text(&reply).contains("\"//evil"), "{}", text(&reply));
    assert_eq!(led(&house.send(page("GET", "//evil.example/phish?lang=en")).await), (303, "/evil.example/phish"));
    // The API answers its envelope to browsers too.
    assert_eq!(house.send(page("GET", "/api/v1/orders")).await.refusal().1, "UNAUTHORIZED");
    let english = page("GET", "/nope").header("accept-language", "en-US,en;q=0.9");
    assert!(text(&house.send(english).await).contains("<h1>Not found</h1>"));
}

#[tokio::test]
async fn the_language_is_the_browsers_until_the_switch_says_otherwise() {
    let house = House::open().await;
    let lang = |reply: &Reply| text(reply).split("<html lang=\"").nth(1).unwrap().chars().take(2).collect::<String>();
    let login = || page("GET", "/dashboard/login");
    assert_eq!(lang(&house.send(login()).await), "id");
    assert_eq!(lang(&house.send(login().header("accept-language", "en")).await), "en");
    let switched = house.send(page("GET", "/dashboard/login?next=%2Fdashboard&lang=en")).await;
    assert_eq!(led(&switched), (303, "/dashboard/login?next=%2Fdashboard"));
    assert_eq!(lang(&house.send(login().header("cookie", cookie(&switched))).await), "en");
    let back = login().header("cookie", "serront_language=id").header("accept-language", "en");
    assert_eq!(lang(&house.send(back).await), "id");
    assert_eq!(lang(&house.send(login().header("cookie", "serront_language=fr")).await), "id");
}

fn multipart(path: String, media_type: &str, bytes: &[u8]) -> Ask {
    let mut body = format!(
        "--line\r\nContent-Disposition: form-data; name=\"receipt\"; filename=\"a\"\r\nContent-Type: {media_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--line--\r\n");
    page("POST", path).header("content-type", "multipart/form-data; boundary=line").body(body)
}

#[tokio::test]
async fn a_receipt_is_accepted_from_a_plain_form_and_a_wrong_one_refused_at_the_field() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let (id, order) = house.order(&key, "shop").await;
    let path = format!("/o/{order}/proof");
    let large = [samples::PNG, &vec![0; RECEIPT_BYTES_MAX]].concat();
    let too_many =
        [&samples::JPEG[..20], b"\xff\xc2\0\x0b\x08\x40\0\x40\0\x01\x01\x11\0", &samples::JPEG[20..]].concat();
    for (media_type, bytes, status, told) in [
        ("text/plain", &b"no image"[..], 415, "bukan gambar"),
        ("image/jpeg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 415, "Paling Kompatibel"),
        ("application/pdf", b"%PDF-1.7", 415, "PDF"),
        ("image/svg+xml", b"<svg/>", 415, "Format gambar ini"),
        ("image/png", &samples::PNG[..40], 415, "tidak lengkap"),
        ("image/jpeg", &too_many, 415, "120 megapiksel"),
        ("application/octet-stream", b"", 415, "kosong"),
        ("image/png", &large, 413, "terlalu besar"),
    ] {
        let reply = house.send(multipart(path.clone(), media_type, bytes)).await;
        let shown = text(&reply);
        let error = shown.split("id=\"receipt-error\"").nth(1).unwrap().split("</p>").next().unwrap();
        assert_eq!(reply.status, status, "{media_type}");
        assert!(error.contains(told), "{media_type}: {error}");
    }
    for malformed in [
        page("POST", &path).body("x"),
        page("POST", &path).header("content-type", "multipart/form-data; boundary=line").body("--line\r\n"),
        page("POST", &path).header("content-type", "multipart/form-data").body("--line--"),
    ] {
        assert_eq!(house.send(malformed).await.status, 400);
    }
    assert_eq!(
        (house.uploads(), house.get(&key, &format!("/api/v1/orders/{id}")).await["hasProof"].clone()),
        (0, json!(false))
    );
    let english =
        multipart(path.clone(), "image/heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").header("accept-language", "en");
    assert!(text(&house.send(english).await).contains("Settings &gt; Camera &gt; Formats &gt; Most Compatible"));
    // The bytes decide the type; the browser's type is ignored (#16).
    for media_type in ["image/png", "image/jpeg", "application/octet-stream", "text/plain", "", "no type at all"] {
        let reply = house.send(multipart(path.clone(), media_type, samples::PNG)).await;
        assert_eq!(led(&reply), (303, format!("/o/{order}?done=uploaded").as_str()), "{media_type}");
        let proof = house.send(ask("GET", format!("/api/v1/orders/{id}/proof")).key(&key)).await;
        assert_eq!((proof.header("content-type"), proof.bytes.as_slice()), (Some("image/png"), samples::PNG));
    }
    // No upload is read for an unknown order.
    assert_eq!(house.send(multipart(format!("/o/{}/proof", "0".repeat(48)), "text/plain", b"x")).await.status, 404);
}

#[tokio::test]
async fn pages_below_a_path_lead_to_each_other_there() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let host = Host::new(house.host_ports(), house.host_policy(), "https://pay.example.com/x/y");
    let router = Router::new().nest("/x/y", serront_host::router(Arc::new(host)));
    let get = |request: Request<Body>| {
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes().to_vec();
            Reply { status: parts.status.as_u16(), headers: parts.headers, bytes }
        }
    };
    let signed_in = get(form("/x/y/dashboard/login", &[("key", &key)]).request()).await;
    assert_eq!(led(&signed_in), (303, "/x/y/dashboard"));
    let set = signed_in.header("set-cookie").unwrap();
    assert!(set.contains("Path=/x/y/dashboard") && set.contains("Secure"), "{set}");
    let dashboard = page("GET", "/x/y/dashboard").header("cookie", cookie(&signed_in));
    for asked in [dashboard, page("GET", "/x/y/s/shop"), page("GET", "/x/y/nope")] {
        let shown = text(&get(asked.request()).await);
        for (name, address) in links(&shown) {
            assert!(address.starts_with("/x/y/") || address.starts_with(['#', 'h']), "{name}={address}: {shown}");
        }
        let style = links(&shown).into_iter().find(|(_, address)| address.ends_with("style.css")).unwrap().1;
        assert_eq!(get(ask("GET", style).request()).await.status, 200);
    }
}

/// Every address that a page links to or loads.
fn links(shown: &str) -> Vec<(&str, &str)> {
    ["href", "src", "action"]
        .into_iter()
        .flat_map(|name| {
            let rest = shown.split(match name {
                "href" => " href=\"",
                "src" => " src=\"",
                _ => " action=\"",
            });
            rest.skip(1).map(move |rest| (name, rest.split('"').next().unwrap_or_default()))
        })
        .collect()
}

#[tokio::test]
async fn where_to_pay_is_shown_while_it_is_due_and_never_on_the_storefront() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let (id, order) = house.order(&key, "shop").await;
    let number = "123-456-7890";
    let shown = |path: String| {
        let house = &house;
        async move { text(&house.send(page("GET", path)).await) }
    };
    assert!(!shown("/s/shop".to_owned()).await.contains(number));
    let due = shown(format!("/o/{order}")).await;
    assert!(due.contains(number) && due.contains("https://wa.me/628120000000") && due.contains("Tulis nomor pesanan"));
    house.send(ask("POST", format!("/api/v1/orders/{id}/confirm-payment")).key(&key)).await.data();
    let paid = shown(format!("/o/{order}")).await;
    for gone in [number, "BCA", "wa.me", "Tulis nomor pesanan", "<form", "data-news"] {
        assert!(!paid.contains(gone), "{gone}: {paid}");
    }
    assert!(paid.contains("Rp 750.000"));
}

#[tokio::test]
async fn a_seller_gives_an_orders_page_another_address_after_being_asked() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let (id, order) = house.order(&key, "shop").await;
    let detail = format!("/dashboard/orders/{id}");
    let question = format!("{detail}/rotate-token");
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let of_seller = async |path: &str| text(&house.send(page("GET", path).header("cookie", &cookie)).await);
    assert!(of_seller(&detail).await.contains(&format!("href=\"{question}\"")));
    let asked = of_seller(&question).await;
    let (csrf, once) = (hidden(&asked, "csrf"), hidden(&asked, "once"));
    assert_eq!(house.send(page("GET", format!("/o/{order}"))).await.status, 200, "a question changes nothing");

    // Sent twice, it acts once.
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let sent = form(&question, &[("csrf", csrf), ("once", once)]).header("cookie", &cookie);
        assert_eq!(led(&house.send(sent).await), (303, format!("{detail}?done=rotated").as_str()));
        let shown = of_seller(&format!("{detail}?done=rotated")).await;
        assert!(
            shown.contains("Kirimkan alamat barunya") && shown.contains("Alamat halaman pembeli diganti"),
            "{shown}"
        );
        addresses.push(shown.split("href=\"/o/").nth(1).unwrap().split('"').next().unwrap().to_owned());
    }
    assert_eq!(addresses[0], addresses[1]);
    assert_ne!(addresses[0], order);
    assert_eq!(house.send(page("GET", format!("/o/{}", addresses[0]))).await.status, 200);
    // A buyer who returns from the checkout to the old address is told that the payment is recorded.
    let back = house.send(page("GET", format!("/o/{order}?paid=1")).header("accept-language", "en")).await;
    assert_eq!(back.status, 404);
    assert!(text(&back).contains("the payment is still recorded"), "{}", text(&back));
}

/// The value of a form's hidden field.
fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap();
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn a_webhooks_new_secret_is_shown_once_and_made_once() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    let made = house.send(ask("POST", "/api/v1/webhook-subscriptions").key(&key).json(&json!({"url": HOOK})));
    let made = made.await.data();
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let of_seller = async |path: &str| text(&house.send(page("GET", path).header("cookie", &cookie)).await);
    let question = format!("/dashboard/webhooks/{}/rotate-secret", made["id"].as_str().unwrap());
    assert!(of_seller("/dashboard/webhooks").await.contains(&format!("href=\"{question}\"")));
    let asked = of_seller(&question).await;
    let (csrf, once) = (hidden(&asked, "csrf"), hidden(&asked, "once"));
    let send = async |fields: &[(&str, &str)]| house.send(form(&question, fields).header("cookie", &cookie)).await;

    let rotated = send(&[("csrf", csrf), ("once", once)]).await;
    assert_eq!(rotated.status, 200);
    let shown = text(&rotated);
    let secret = shown.split("id=\"secret\"").nth(1).unwrap().split(['>', '<']).nth(1).unwrap();
    assert!(secret.starts_with("whsec_") && secret != made["secret"].as_str().unwrap(), "{secret}");
    assert!(shown.contains("24 jam"), "{shown}");
    // Sent twice, it creates one key and says so.
    let again = send(&[("csrf", csrf), ("once", once)]).await;
    assert_eq!(again.status, 409);
    assert!(!text(&again).contains("whsec_") && text(&again).contains("hanya ditampilkan sekali"), "{}", text(&again));
    let elsewhere = question.replace(made["id"].as_str().unwrap(), "whs_01jtestvector0000000000000");
    assert_eq!(house.send(page("GET", &elsewhere).header("cookie", &cookie)).await.status, 404);
}

#[tokio::test]
async fn an_open_page_notices_another_bank_account() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let (_, order) = house.order(&key, "shop").await;
    let state = || async {
        let shown = text(&house.send(page("GET", format!("/o/{order}"))).await);
        shown.split("data-state=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let before = state().await;
    assert_eq!(state().await, before);
    let account = json!([{"bankName": "BCA", "accountNumber": "999", "accountHolder": "Renata"}]);
    let shop = in_process::but(in_process::storefront("shop"), json!({"manualBankAccounts": account}));
    house.send(ask("PUT", "/api/v1/storefront").key(&key).json(&shop)).await.data();
    assert_ne!(state().await, before);
}

#[tokio::test]
async fn pages_stay_below_fifty_kilobytes_however_much_there_is() {
    let house = House::open().await;
    let key = house.account(Tier::Business).await;
    house.open_shop(&key, "shop").await;
    let (id, order) = house.order(&key, "shop").await;
    let package = |n: usize| json!({"name": format!("Package {n} {}", "x".repeat(80)), "priceIdr": 1_000, "description": "y".repeat(2_000)});
    for n in 1..100 {
        let packages: Vec<Value> = (0..5).map(package).collect();
        let service = json!({
            "slug": format!("s-{n}"), "name": format!("Service {n} {}", "z".repeat(80)), "description": "w".repeat(2_000),
            "pricingType": "package", "packages": packages,
        });
        house.send(ask("POST", "/api/v1/services").key(&key).json(&service)).await.data();
    }
    for _ in 0..60 {
        house.upload(&order).await;
    }
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let detail = format!("/dashboard/orders/{id}");
    for path in ["/s/shop", "/s/shop?from=12", "/s/shop?from=96", &detail, "/dashboard/storefront"] {
        let reply = house.send(page("GET", path).header("cookie", &cookie)).await;
        assert!(reply.status == 200 && reply.bytes.len() < 50_000, "{path}: {}", reply.bytes.len());
    }
    let ordered =
        form("/s/shop", &[("service", "s-99:nope"), ("buyerName", "Budi"), ("buyerEmail", "budi@example.com")]);
    let refused = text(&house.send(ordered).await);
    assert!(refused.contains("s-99") && refused.contains("service-error"), "the page with what was chosen");
}

#[tokio::test]
async fn what_people_wrote_is_shown_as_text() {
    let house = House::open().await;
    let key = house.account(Tier::Starter).await;
    // With an invisible character that would change the direction of our sentence.
    let script = "<script>alert(1)</script>\"'>\u{202e}";
    house.open_shop(&key, "shop").await;
    let shop = in_process::but(
        in_process::storefront("shop"),
        json!({"displayName": script, "bio": script, "manualInstructions": script}),
    );
    house.send(ask("PUT", "/api/v1/storefront").key(&key).json(&shop)).await.data();
    let fields = [("service", "logo"), ("buyerName", script), ("buyerEmail", "eve@example.com"), ("notes", script)];
    let placed = house.send(form("/s/shop", &fields)).await;
    let order = placed.header("location").unwrap().to_owned();
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let orders: Value = house.get(&key, "/api/v1/orders").await;
    let detail = format!("/dashboard/orders/{}", orders["orders"][0]["id"].as_str().unwrap());
    for path in [
        "/s/shop",
        &order,
        "/dashboard",
        "/dashboard?q=%3Cscript%3Ealert(1)%3C/script%3E",
        &detail,
        "/dashboard/storefront",
    ] {
        let shown = text(&house.send(page("GET", path).header("cookie", &cookie)).await);
        assert!(!shown.contains("<script>alert"), "{path}: {shown}");
        assert!(shown.contains("&lt;script&gt;alert(1)"), "{path}: {shown}");
        assert!(!shown.contains('\u{202e}'), "{path}: {shown}");
    }
}

/// The fields of an order, with the form's idempotency key.
fn order_fields<'a>(once: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("once", once), ("service", "logo"), ("buyerName", name), ("buyerEmail", "budi@example.com")]
}

/// A double click or a reload placed a second order (#16).
#[tokio::test(flavor = "multi_thread")]
async fn an_order_form_that_is_sent_twice_places_one_order() {
    let house = Arc::new(House::open().await);
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let count = async || house.get(&key, "/api/v1/orders").await["orders"].as_array().unwrap().len();
    let shown = text(&house.send(page("GET", "/s/shop")).await);
    let once = hidden(&shown, "once").to_owned();
    assert_ne!(once, hidden(&text(&house.send(page("GET", "/s/shop")).await), "once"), "each page has its own");

    let send = |once: &str, name: &str| form("/s/shop", &order_fields(once, name));
    let crowd = house.send_all(vec![send(&once, "Budi"); 8]).await;
    let (status, order) = led(&crowd[0]);
    assert!(status == 303 && order.starts_with("/o/"), "{status} {order}");
    assert!(crowd.iter().all(|reply| led(reply) == (303, order)));
    assert_eq!(count().await, 1);
    assert_eq!(led(&house.send(send(&once, "Budi")).await), (303, order));

    // A changed form is another order. The page asks whether that is intended, and keeps what was typed.
    let changed = house.send(send(&once, "Ani")).await;
    let asked = text(&changed);
    assert_eq!((changed.status, count().await), (409, 1));
    assert!(asked.contains("sudah terkirim") && asked.contains("value=\"Ani\""), "{asked}");
    let second = house.send(send(hidden(&asked, "once"), "Ani")).await;
    assert!(led(&second).0 == 303 && led(&second).1 != order);
    // A refused form can be corrected and sent.
    let refused = house.send(form("/s/shop", &[("once", "x"), ("service", "logo"), ("buyerName", "Budi")])).await;
    assert_eq!(refused.status, 400);
    assert_eq!(led(&house.send(send("x", "Budi")).await).0, 303);
    // A page from before the upgrade has no such field.
    assert_eq!(led(&house.send(form("/s/shop", &order_fields("", "Budi")[1..])).await).0, 303);
    assert_eq!(count().await, 4);
    assert_eq!(house.send(send("a b", "Budi")).await.status, 400);
}

/// Each of these was a 404 (#16).
#[tokio::test]
async fn addresses_as_messengers_make_them_lead_to_the_page_and_the_api_keeps_its_404() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let (_, order) = house.order(&key, "shop").await;
    let there = format!("/o/{order}");
    let order_page = |end: &str| (format!("{there}{end}"), there.clone());
    let mut rows = vec![
        ("/s/Shop".to_owned(), "/s/shop".to_owned()),
        ("/s/SHOP/".to_owned(), "/s/shop".to_owned()),
        ("/s/shop/?from=0".to_owned(), "/s/shop?from=0".to_owned()),
        ("/dashboard/".to_owned(), "/dashboard".to_owned()),
        ("/dashboard/login/".to_owned(), "/dashboard/login".to_owned()),
        ("/operator/login/".to_owned(), "/operator/login".to_owned()),
        (format!("{there}.?paid=1"), format!("{there}?paid=1")),
    ];
    rows.extend(["/", ".", ")", ",", ";", "!", "%3F", "%3E", "%22", "'", "]", ").", "%E2%80%8B"].map(order_page));
    for (path, page_there) in rows {
        for asked in [page("GET", &path), ask("GET", &path), page("HEAD", &path)] {
            let reply = house.send(asked).await;
            assert_eq!(led(&reply), (303, page_there.as_str()), "{path}");
            assert_eq!(reply.header("cache-control"), Some("private, no-store"), "{path}");
            assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        }
        assert!(matches!(house.send(page("GET", &page_there)).await.status, 200 | 303), "{page_there}");
    }
    for path in [
        format!("/api/v1/public/orders/{order}."),
        format!("/api/v1/public/orders/{order}/"),
        "/api/v1/public/storefront/Shop".to_owned(),
        "/api/v1/public/storefront/shop/".to_owned(),
        format!("{there}0"),
        "/s/sh.op".to_owned(),
        "/healthz/".to_owned(),
    ] {
        assert_eq!(house.send(page("GET", &path)).await.status, 404, "{path}");
    }
}

/// Android and older Java send `in` (#16).
#[tokio::test]
async fn the_old_code_of_indonesian_is_indonesian() {
    let house = House::open().await;
    let login = page("GET", "/dashboard/login").header("accept-language", "in-ID,in;q=0.9,en-US;q=0.8,en;q=0.7");
    assert!(text(&house.send(login).await).contains("<html lang=\"id\">"));
}

/// A browser without a picker shows a line of text, which did not tell the format (#16).
#[tokio::test]
async fn a_day_says_how_it_is_written_where_there_is_no_picker() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let shown = text(&house.send(page("GET", "/s/shop")).await);
    let field = shown.split("<input id=\"preferredDate\"").nth(1).unwrap().split('>').next().unwrap();
    for said in
        ["type=\"date\"", "placeholder=\"TTTT-BB-HH\"", "pattern=\"[0-9]{4}-[0-9]{2}-[0-9]{2}\"", "misalnya 2026-12-24"]
    {
        assert!(field.contains(said), "{said}: {field}");
    }
    let mut fields = order_fields("x", "Budi");
    fields.push(("preferredDate", "24/12/2026"));
    let refused = house.send(form("/s/shop", &fields)).await;
    let error =
        text(&refused).split("id=\"preferredDate-error\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!((refused.status, error.as_str()), (400, "Tulis tahun-bulan-tanggal, misalnya 2026-12-24."));
    // Invisible characters that a phone adds to a copied number are accepted.
    *fields.last_mut().unwrap() = ("preferredDate", "\u{200e}2026-12-24\u{200e}");
    assert_eq!(led(&house.send(form("/s/shop", &fields)).await).0, 303);
    let order = house.get(&key, "/api/v1/orders").await["orders"][0].clone();
    assert_eq!(order["preferredDate"], "2026-12-24");
}

/// `+62081…` is no valid number, and the seller did not learn why it was refused. Invisible characters are accepted (#16).
#[tokio::test]
async fn a_number_with_the_national_zero_is_refused_with_the_reason() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let csrf = token(&house, &cookie, "/dashboard/storefront").await;
    let save = async |number: &str| {
        let fields = [("csrf", csrf.as_str()), ("slug", "shop"), ("displayName", "Renata"), ("whatsappNumber", number)];
        house.send(form("/dashboard/storefront", &fields).header("cookie", &cookie)).await
    };
    for number in ["+62 0812 3456 789", "+62 (0)812-3456-789"] {
        let refused = save(number).await;
        assert_eq!(refused.status, 400);
        assert!(text(&refused).contains("Hapus angka 0 sesudah kode negara"), "{}", text(&refused));
    }
    assert!(!text(&save("0812").await).contains("Hapus angka 0"));
    assert_eq!(save("\u{202a}+62 812\u{2011}3456\u{2011}789\u{202c}").await.status, 303);
    assert_eq!(house.get(&key, "/api/v1/storefront").await["whatsappNumber"], "+628123456789");
    let put = in_process::but(in_process::storefront("shop"), json!({"whatsappNumber": "+620812345678"}));
    let refused = house.send(ask("PUT", "/api/v1/storefront").key(&key).json(&put)).await;
    assert_eq!(refused.refusal(), (400, "VALIDATION_ERROR".to_owned(), Some("whatsappNumber".to_owned())));
    assert!(refused.body()["error"]["message"].as_str().unwrap().contains("the 0 of national numbers"));
}

/// Chrome for Android offers the camera only if a field accepts more than images (#16).
#[tokio::test]
async fn the_file_dialog_offers_the_camera_and_no_other_files() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    let (_, order) = house.order(&key, "shop").await;
    let shown = text(&house.send(page("GET", format!("/o/{order}"))).await);
    let accepted = shown.split("accept=\"").nth(1).unwrap().split('"').next().unwrap();
    let (images, others): (Vec<_>, Vec<_>) = accepted.split(',').partition(|kind| kind.starts_with("image/"));
    assert_eq!(images, ["image/png", "image/jpeg", "image/webp", "image/gif"]);
    assert_eq!(others, ["android/allow-camera"]);
    assert!(!shown.contains("capture"), "the gallery stays, for screenshots");
}

/// The pages use days in the seller's time zone (WIB), and the download is made for a spreadsheet (#16).
#[tokio::test]
async fn the_transactions_of_a_sellers_days_are_shown_and_downloaded() {
    let house = House::online().await;
    let key = house.account(Tier::Starter).await;
    house.open_shop(&key, "shop").await;
    house.switch_payment(&key, true).await;
    house.order(&key, "shop").await;
    // In Western Indonesia 30 November 2026 ends at 17:00 UTC. The first sale keeps the chart's balances apart from the amounts.
    for (time, amount) in
        [("2026-11-29T12:00:00Z", 500), ("2026-11-30T16:59:59Z", 111_111), ("2026-11-30T17:00:00Z", 222_222)]
    {
        house.clock.set(serde_json::from_value(json!(time)).unwrap());
        house.adjust(&key, amount, time).await;
    }
    house.clock.advance(Duration::from_secs(3_600));
    let cookie = sign_in(&house, "/dashboard", &key).await;
    let get = async |path: &str| house.send(page("GET", path).header("cookie", &cookie)).await;
    for (query, first, second) in [
        ("", true, true),
        ("?from=&to=&code=", true, true),
        ("?from=2026-11-30&to=2026-11-30", true, false),
        ("?from=2026-12-01", false, true),
        ("?to=2026-11-30&code=adjustment", true, false),
        ("?from=2026-12-01&code=sale", false, false),
    ] {
        let shown = text(&get(&format!("/dashboard/payments{query}")).await);
        assert_eq!((shown.contains("Rp 111.111"), shown.contains("Rp 222.222")), (first, second), "{query}");
    }
    let shown = text(&get("/dashboard/payments?from=2026-11-30&to=2026-11-30").await);
    assert!(shown.contains("value=\"2026-11-30\"") && shown.contains("WIB"), "{shown}");
    let links = links(&shown);
    let of = |separator: &str| {
        let part = format!("separator={separator}");
        let found = links.iter().find(|(_, address)| address.contains("entries.csv") && address.contains(&part));
        found.unwrap().1.replace("&amp;", "&")
    };
    for (separator, sign) in [("semicolon", ';'), ("comma", ',')] {
        let reply = get(&of(separator)).await;
        assert_eq!(reply.header("content-type").unwrap(), "text/csv; charset=utf-8");
        let csv = text(&reply);
        assert!(csv.starts_with(&format!("\u{feff}id{sign}txId{sign}createdAt{sign}")), "{csv}");
        assert!(csv.contains(&format!("{sign}111111{sign}IDR{sign}")) && !csv.contains("222222"), "{csv}");
    }
    let refused = get("/dashboard/payments?from=30-11-2026").await;
    assert_eq!(refused.status, 400);
    let recent = get("/dashboard/payments/entries.csv?to=2026-11-30T17:59:00Z").await;
    assert_eq!(recent.status, 400, "entries before it may still arrive");
}

/// A seller finds an order by its number, and by a name without its accents, on the page and in the API (#16).
#[tokio::test]
async fn an_order_is_found_by_its_number_and_without_accents() {
    let house = House::open().await;
    let key = house.account(Tier::Free).await;
    house.open_shop(&key, "shop").await;
    for name in ["José Ångström", "Budi"] {
        let order = json!({"serviceSlug": "logo", "buyerName": name, "buyerEmail": "buyer@example.com"});
        house.send(ask("POST", "/api/v1/public/storefront/shop/order").json(&order)).await.data();
    }
    let cookie = sign_in(&house, "/dashboard", &key).await;
    for (words, names) in [("%231", vec!["José Ångström"]), ("2", vec!["Budi"]), ("jose", vec!["José Ångström"])]
    {
        let page_of = page("GET", format!("/dashboard?q={words}")).header("cookie", &cookie);
        let shown = text(&house.send(page_of).await);
        let found: Vec<_> = ["José Ångström", "Budi"].into_iter().filter(|name| shown.contains(name)).collect();
        assert_eq!(found, names, "{words}");
        let listed = house.get(&key, &format!("/api/v1/orders?q={words}")).await;
        let found: Vec<_> = listed["orders"].as_array().unwrap().iter().map(|order| &order["buyerName"]).collect();
        assert_eq!(found, names, "{words}");
    }
}
