//! Receipts compared with what a browser shows, and the script's handling of files that the host refuses (#16).

use serde_json::{Value, json};
use serront_testkit::receipts::{self, specimens};

use super::browser::{Browser, Language, Visitor};
use super::buyers::{state, turned};
use super::stage::{Order, Stage};
use super::support::{Client, Engine, Installation};

/// How much of a file the browser shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    /// Anything at all.
    something: bool,
    /// The picture down to its last row.
    whole: bool,
}

/// Loads these bytes in the browser, without a name or a type.
async fn shown(browser: &Browser, bytes: &[u8]) -> Shown {
    let show = "const url = URL.createObjectURL(new Blob([Uint8Array.from(arguments[0])])); \
        return new Promise((resolve) => { \
            const image = new Image(); \
            image.onerror = () => resolve({something: false, whole: false}); \
            image.onload = () => { \
                const canvas = document.createElement('canvas'); \
                canvas.width = canvas.height = 32; \
                const context = canvas.getContext('2d'); \
                context.drawImage(image, 0, 0, 32, 32); \
                const opaque = (from, rows) => \
                    context.getImageData(0, from, 32, rows).data.some((value, at) => at % 4 === 3 && value > 0); \
                resolve({something: opaque(0, 32), whole: opaque(31, 1)}); \
            }; \
            image.src = url; \
        }).finally(() => URL.revokeObjectURL(url))";
    let answer = browser.run(show, &[json!(bytes)]).await;
    Shown { something: answer["something"] == true, whole: answer["whole"] == true }
}

/// A multipart form with this file, under a wrong name and a wrong type.
fn multipart(file: &[u8]) -> Vec<u8> {
    let head = "--line\r\nContent-Disposition: form-data; name=\"receipt\"; filename=\"receipt.pdf\"\r\n\
        Content-Type: application/pdf\r\n\r\n";
    [head.as_bytes(), file, b"\r\n--line--\r\n"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_shows_is_taken_and_what_is_stored_is_shown() {
    let installation = Installation::new(Engine::Sqlite).with([("SERRONT_PUBLIC_RATE_PER_MINUTE", "0".to_owned())]);
    let (_, key) = installation.account("free");
    let host = installation.serve();
    let client = Client::new(&host, &key);
    client.open_shop("renata").await;
    let (_, token) = client.order("renata").await;
    let id = client.order_ids().await.remove(0);
    let browser = Browser::start(Visitor::desk(Language::English), &host.url).await;
    browser.open(&format!("/o/{token}")).await;

    let mut wrong = Vec::new();
    let all = specimens();
    assert!(all.len() >= 40);
    for specimen in all {
        let name = &specimen.name;
        let of_file = shown(&browser, &specimen.file).await;
        let headers = [("content-type", "multipart/form-data; boundary=line"), ("accept", "text/html")];
        let reply = client.send("POST", &format!("/o/{token}/proof"), &headers, Some(multipart(&specimen.file))).await;
        let is_taken = reply.status == 200;
        if is_taken != specimen.outcome.is_ok() {
            wrong.push(format!("{name}: the host answers {}", reply.status));
            continue;
        }
        if (of_file.something != is_taken) != specimen.disagrees.is_some() {
            let expected = specimen.disagrees.unwrap_or("the two agree");
            wrong.push(format!("{name}: taken {is_taken}, {of_file:?}, though {expected}"));
        }
        if let Ok((kind, stored)) = &specimen.outcome {
            let (headers, served) = client.download(&format!("/api/v1/orders/{id}/proof")).await;
            if served != *stored || headers["content-type"] != kind.media_type() {
                wrong.push(format!("{name}: something else is served"));
            }
            if !shown(&browser, &served).await.whole {
                wrong.push(format!("{name}: what is served is not shown"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Chooses a file on the order's page and sends it.
async fn send(stage: &Stage, buyer: &Browser, order: &Order, name: &str, bytes: &[u8]) {
    buyer.open(&order.page()).await;
    buyer.attach("receipt", &stage.file(name, bytes)).await;
    buyer.press("/proof").await;
}

/// The receipt as the seller gets it: its type and bytes.
async fn received(stage: &Stage, order: &Order) -> (String, Vec<u8>) {
    let (headers, bytes) = stage.shop.client.download(&format!("/api/v1/orders/{}/proof", order.id)).await;
    (headers["content-type"].to_str().unwrap().to_owned(), bytes)
}

/// A bitmap of one colour, which browsers show and the host refuses.
fn bitmap(width: u32, height: u32) -> Vec<u8> {
    let row = width.div_ceil(32) * 4;
    let size = (62 + row * height).to_le_bytes();
    let head = [b"BM", &size[..], &[0; 4], &62_u32.to_le_bytes(), &40_u32.to_le_bytes()].concat();
    let sides = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let colors = [[0x20, 0x40, 0xff, 0], [0xff, 0xff, 0xff, 0]].concat();
    let pixels = vec![0; usize::try_from(row * height).unwrap()];
    [&head[..], &sides, &[1, 0, 1, 0], &[0; 24], &colors, &pixels].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pictures_type_is_detected_despite_its_name() {
    let stage = Stage::open().await;
    let order = stage.order("Sari", "logo", None).await;
    for visitor in [Visitor::phone(Language::Indonesian), Visitor::phone(Language::English).without_scripts()] {
        let buyer = stage.browser(visitor).await;
        for (name, media_type, file) in [
            ("a PNG.jpg", "image/png", receipts::PNG),
            ("without an ending", "image/jpeg", receipts::BASELINE_JPEG),
            ("a WebP.pdf", "image/webp", receipts::LOSSY_WEBP),
            ("a GIF.octets", "image/gif", receipts::GIF),
        ] {
            send(&stage, &buyer, &order, name, &[file, b"a trailer"].concat()).await;
            buyer.arrive_at(&format!("{}?done=uploaded", order.page())).await;
            assert_eq!(received(&stage, &order).await, (media_type.to_owned(), file.to_vec()), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_only_the_browser_can_read_or_that_is_too_large_is_sent_as_a_jpeg() {
    let stage = Stage::open().await;
    let order = stage.order("Sari", "logo", None).await;
    let buyer = stage.browser(Visitor::phone(Language::Indonesian)).await;
    let photo = [receipts::BASELINE_JPEG, &vec![0; 6 * 1024 * 1024]].concat();
    for (name, file) in [
        // Refused by the host with 415, like an iPhone picture.
        ("another format.bmp", bitmap(640, 480)),
        // Refused by the script itself, like a 413.
        ("too large.jpg", photo),
        ("large and long.bmp", bitmap(8_000, 6_000)),
    ] {
        let before = stage.seen(&order).await["hasProof"].clone();
        send(&stage, &buyer, &order, name, &file).await;
        buyer.arrive_at(&format!("{}?done=uploaded", order.page())).await;
        let (media_type, bytes) = received(&stage, &order).await;
        assert_eq!(media_type, "image/jpeg", "{name}, after {before}");
        assert!(bytes.len() < 5 * 1024 * 1024 && shown(&buyer, &bytes).await.whole, "{name}");
        buyer.complaints().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_is_wrong_in_the_buyers_language() {
    let stage = Stage::open().await;
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\0\x08mdat";
    let half = &receipts::PNG[..receipts::PNG.len() / 2];
    let blank = &receipts::LOSSY_WEBP[..receipts::LOSSY_WEBP.len() - 60];
    let files: [(&str, &[u8], &str, &str); 6] = [
        ("a.heic", heic, "Paling Kompatibel", "Most Compatible"),
        ("called.jpg", heic, "Paling Kompatibel", "Most Compatible"),
        ("a.pdf", b"%PDF-1.7\n%%EOF\n", "Ini berkas PDF", "This is a PDF"),
        ("a.txt", b"Rp 750.000", "bukan gambar", "not an image"),
        // The browser shows a part of the one and nothing of the other: neither is redrawn.
        ("half.png", half, "tidak lengkap", "incomplete"),
        ("half.webp", blank, "tidak lengkap", "incomplete"),
    ];
    for visitor in [
        Visitor::phone(Language::Indonesian),
        Visitor::phone(Language::English),
        Visitor::phone(Language::English).without_scripts(),
    ] {
        let order = stage.order("Sari", "logo", None).await;
        let buyer = stage.browser(visitor).await;
        for (name, file, indonesian, english) in files {
            send(&stage, &buyer, &order, name, file).await;
            let refusal = buyer.read_some("#receipt-error").await;
            assert!(refusal.contains(visitor.language.of(indonesian, english)), "{name}: {refusal}");
            assert_eq!(stage.seen(&order).await["hasProof"], false, "{name}");
        }
        // After a refused file, the right one is accepted.
        buyer.attach("receipt", &stage.receipt()).await;
        let before = state(&buyer).await;
        buyer.press("/proof").await;
        turned(&buyer, &before).await;
        assert_eq!(stage.seen(&order).await["hasProof"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_reported_only_without_an_answer() {
    let stage = Stage::open().await;
    let order = stage.order("Sari", "logo", None).await;
    let buyer = stage.browser(Visitor::phone(Language::English)).await;
    // A proxy's answers, which contain no page of ours.
    let answer = "window.XMLHttpRequest = class extends EventTarget { \
            constructor() { super(); this.upload = new EventTarget(); } \
            open() {} \
            setRequestHeader() {} \
            send() { \
                window.sent = (window.sent || 0) + 1; \
                this.status = window.answers.shift(); \
                this.response = null; \
                setTimeout(() => this.dispatchEvent(new Event(this.status ? 'load' : 'error'))); \
            } \
        }; \
        window.answers = arguments[0]";
    for (statuses, told, sent) in [
        (json!([0]), "The upload was interrupted", 1),
        (json!([400]), "Something failed on our side", 1),
        (json!([404]), "Something failed on our side", 1),
        (json!([409]), "The state has changed", 1),
        (json!([429]), "The service is busy", 1),
        (json!([500]), "Something failed on our side", 1),
        (json!([502]), "Something failed on our side", 1),
        (json!([503]), "The service is busy", 1),
        // Redrawn and sent once more, and not a third time.
        (json!([413, 413, 200]), "The file is too large", 2),
        (json!([415, 415, 200]), "not an image", 2),
        (json!([415, 503, 200]), "The service is busy", 2),
        (json!([413, 0, 200]), "The upload was interrupted", 2),
    ] {
        buyer.open(&order.page()).await;
        buyer.run(answer, std::slice::from_ref(&statuses)).await;
        buyer.attach("receipt", &stage.receipt()).await;
        buyer.press("/proof").await;
        let refusal = buyer.read_some("#receipt-error").await;
        assert!(refusal.contains(told), "{statuses}: {refusal}");
        assert_eq!(buyer.run("return window.sent", &[]).await, Value::from(sent), "{statuses}");
    }

    // The host's own refusals: the order was confirmed, or its address changed, while the page was open.
    buyer.open(&order.page()).await;
    buyer.attach("receipt", &stage.receipt()).await;
    stage.confirm(&order).await;
    buyer.press("/proof").await;
    let refusal = buyer.read_some("#receipt-error").await;
    assert!(refusal.contains("The state has changed"), "{refusal}");
    let path = format!("/api/v1/orders/{}/rotate-token", order.id);
    stage.shop.client.call("POST", &path, None).await.data();
    buyer.press("/proof").await;
    buyer.wait_to_read("This page does not exist").await;
}
