//! Receipts.

use serde_json::json;
use serront_core::orders::receipt::{RECEIPT_BYTES_MAX, samples};
use serront_core::primitives::digest::Digest256;
use serront_testkit::generators::sized_jpeg;

use super::in_process::ask;
use super::town::{Town, check, missing, row};

#[tokio::test]
async fn what_is_no_receipt_is_not_kept() {
    check(|town| {
        let Town { seller, confirmed_token, .. } = town;
        let proof = |token: &str| ask("PUT", format!("/api/v1/public/orders/{token}/proof"));
        let put = |media_type: &str, bytes: &[u8]| proof(&seller.token).image(media_type, bytes);
        let unsupported = |what, ask| row(what, ask, 415, "UNSUPPORTED_MEDIA_TYPE", None);
        let too_large = |what, ask| row(what, ask, 413, "PAYLOAD_TOO_LARGE", None);
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
        let html = b"<!doctype html><html><body><script>alert(1)</script></body></html>";
        let trailer_too_large = [samples::JPEG, &vec![0; RECEIPT_BYTES_MAX]].concat();
        let archive = [&samples::JPEG[..samples::JPEG.len() - 2], b"PK\x05\x06\0\0\0\0", &[0; 14]].concat();
        let mut tape = samples::GIF.to_vec();
        tape.resize(512, 0);
        tape[257..262].copy_from_slice(b"ustar");
        let large = sized_jpeg(RECEIPT_BYTES_MAX + 1);
        vec![
            unsupported("nothing", put("image/png", b"")),
            unsupported("SVG as itself", put("image/svg+xml", svg)),
            unsupported("SVG as PNG", put("image/png", svg)),
            unsupported("HTML as itself", put("text/html", html)),
            unsupported("HTML as JPEG", put("image/jpeg", html)),
            unsupported("PDF as itself", put("application/pdf", b"%PDF-1.7\n%%EOF")),
            unsupported("PDF as WebP", put("image/webp", b"%PDF-1.7\n%%EOF")),
            unsupported("PNG as JPEG", put("image/jpeg", samples::PNG)),
            unsupported("JPEG as PNG", put("image/png", samples::JPEG)),
            unsupported("GIF as WebP", put("image/webp", samples::GIF)),
            unsupported("PNG as octets", put("application/octet-stream", samples::PNG)),
            unsupported("PNG as nothing", proof(&seller.token).body(samples::PNG)),
            unsupported("PNG in a form", put("multipart/form-data; boundary=x", samples::PNG)),
            unsupported("two types declared", put("image/png, image/jpeg", samples::PNG)),
            unsupported("half a PNG", put("image/png", &samples::PNG[..40])),
            unsupported("PNG as an older name of JPEG", put("image/jpg", samples::PNG)),
            unsupported("a JPEG whose pixels are an archive", put("image/jpeg", &archive)),
            unsupported("a GIF that is a tape archive", put("image/gif", &tape)),
            unsupported("HEIC", put("image/heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")),
            unsupported("HEIC as JPEG", put("image/jpeg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")),
            too_large("a trailer that makes it too large", put("image/jpeg", &trailer_too_large)),
            too_large("one byte too many", put("image/png", &large)),
            too_large("too many as announced", put("image/png", b"").header("content-length", "5242881")),
            too_large("too large goes before no image", put("text/html", &large)),
            missing("an unknown token", proof(&"0".repeat(48)).image("image/png", samples::PNG)),
            missing("unknown goes before too large", proof(&"0".repeat(48)).image("image/jpeg", &large)),
            missing("unknown goes before no image", proof(&"0".repeat(48)).image("text/html", html)),
            unsupported("no image goes before final", proof(confirmed_token).image("image/png", html)),
            row(
                "a confirmed order's new receipt",
                proof(confirmed_token).image("image/jpeg", samples::JPEG),
                409,
                "INVALID_TRANSITION",
                None,
            ),
        ]
    })
    .await;
}

/// #16: the envelope describes the fault.
#[tokio::test]
async fn a_refusal_says_what_is_wrong_with_the_file() {
    let town = Town::open().await;
    let path = format!("/api/v1/public/orders/{}/proof", town.seller.token);
    let too_many =
        [&samples::JPEG[..20], b"\xff\xc2\0\x0b\x08\x40\0\x40\0\x01\x01\x11\0", &samples::JPEG[20..]].concat();
    for (media_type, bytes, message) in [
        ("image/png", &b""[..], "the file is empty"),
        ("image/png", b"text", "the file is not an image: it must be a PNG, JPEG, WebP or GIF"),
        ("image/svg+xml", b"<svg/>", "the image has another format; send it as PNG, JPEG, WebP or GIF"),
        ("application/pdf", b"%PDF-1.7", "the file is a PDF; send a photo or a screenshot of it"),
        (
            "image/heic",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "the file is an iPhone's HEIC picture; send it as JPEG: a screenshot of it, or choose Settings > Camera > Formats > Most \
             Compatible and take it again",
        ),
        ("image/png", &samples::PNG[..40], "the image is incomplete: a part of it is missing or damaged"),
        ("image/jpeg", &too_many, "the image must have at most 120 megapixels"),
        ("image/gif", samples::PNG, "the bytes are not what the content type says"),
        ("text/plain", samples::PNG, "the content type must be image/png, image/jpeg, image/webp or image/gif"),
        ("image/png", &vec![0; RECEIPT_BYTES_MAX + 1], "the body must be at most 5242880 bytes"),
    ] {
        let reply = town.house.send(ask("PUT", &path).image(media_type, bytes)).await;
        assert_eq!(reply.body()["error"]["message"], message, "{media_type}");
    }
}

/// #16: only the picture is kept, and it is served so that browsers treat it as nothing else.
#[tokio::test]
async fn what_follows_a_picture_is_neither_stored_nor_hashed_nor_served() {
    let town = Town::open().await;
    let Town { house, seller, .. } = &town;
    let path = format!("/api/v1/public/orders/{}/proof", seller.token);
    let html = b"<!doctype html><script>alert(1)</script>";
    let commented = [&samples::GIF[..samples::GIF.len() - 1], b"\x21\xfe\x08<script>\x00\x3b"].concat();
    for (media_type, file, picture) in [
        ("image/png", [samples::PNG, b"PK\x03\x04an archive"].concat(), samples::PNG),
        ("image/x-png", [samples::PNG, samples::PNG].concat(), samples::PNG),
        ("image/jpg", [samples::JPEG, b"\0\0\0\x18ftypmp42 a video"].concat(), samples::JPEG),
        ("image/pjpeg", samples::JPEG[..samples::JPEG.len() - 2].to_vec(), samples::JPEG),
        ("image/webp", [samples::WEBP, b"\n"].concat(), samples::WEBP),
        ("image/gif", [samples::GIF, html].concat(), samples::GIF),
        ("image/gif", commented.clone(), &commented),
    ] {
        let reply = house.send(ask("PUT", &path).image(media_type, &file)).await;
        assert_eq!(reply.data(), json!({"hasProof": true}), "{media_type}");
        let served = house.send(seller.get(&format!("/api/v1/orders/{}/proof", seller.order))).await;
        assert!(served.bytes == picture, "{media_type}: {:?}", served.bytes);
        assert_eq!(served.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(served.header("content-security-policy"), Some("default-src 'none'; sandbox"));
        let order = house.get(&seller.key, &format!("/api/v1/orders/{}", seller.order)).await;
        let account = order["accountId"].as_str().unwrap().parse().unwrap();
        let audit = house.commands().audit(account, seller.order.parse().unwrap()).await.unwrap();
        let last = format!("{:?}", audit.last().unwrap());
        assert!(last.contains(&Digest256::of(picture).to_string()), "{media_type}: {last}");
    }
}

#[tokio::test]
async fn a_receipt_is_served_as_the_image_that_it_is_and_as_nothing_that_runs() {
    let town = Town::open().await;
    let Town { house, seller, .. } = &town;
    let sign_in = ask("POST", "/dashboard/login").body(format!("key={}", seller.key));
    let session = house.send(sign_in).await.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for (media_type, image) in [
        ("image/png", samples::PNG),
        ("image/jpeg", samples::JPEG),
        ("image/webp", samples::WEBP),
        ("image/gif", samples::GIF),
    ] {
        let put = ask("PUT", format!("/api/v1/public/orders/{}/proof", seller.token)).image(media_type, image);
        assert_eq!(house.send(put).await.status, 200);
        let by_key = seller.get(&format!("/api/v1/orders/{}/proof", seller.order));
        let by_session = ask("GET", format!("/dashboard/orders/{}/proof", seller.order)).header("cookie", &session);
        for asked in [by_key, by_session] {
            let served = house.send(asked).await;
            assert_eq!((served.status, served.bytes.as_slice()), (200, image));
            for (name, value) in [
                ("content-type", media_type),
                ("x-content-type-options", "nosniff"),
                ("content-security-policy", "default-src 'none'; sandbox"),
                ("cache-control", "private, no-store"),
            ] {
                assert_eq!(served.header(name), Some(value), "{media_type}");
            }
        }
    }
}

#[tokio::test]
async fn a_receipt_of_exactly_5_mib_is_kept() {
    let town = Town::open().await;
    let large = sized_jpeg(RECEIPT_BYTES_MAX);
    let path = format!("/api/v1/public/orders/{}/proof", town.seller.token);
    let reply = town.house.send(ask("PUT", path).image("image/jpeg", &large)).await;
    assert_eq!(reply.data(), json!({"hasProof": true}));
    let kept = town.house.send(town.seller.get(&format!("/api/v1/orders/{}/proof", town.seller.order))).await;
    assert!(kept.bytes == large);
}
