//! Receipts.

use serde_json::json;
use serront_core::receipt::{RECEIPT_BYTES_MAX, samples};

use super::in_process::ask;
use super::town::{Town, check, missing, row};

/// A JPEG of this size: zeros may follow one.
fn jpeg_of(bytes: usize) -> Vec<u8> {
    let mut image = samples::JPEG.to_vec();
    image.resize(bytes, 0);
    image
}

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
        let mut scripted = samples::GIF[..samples::GIF.len() - 1].to_vec();
        scripted.extend_from_slice(b"\x21\xfe\x08<script>\x00\x3b");
        let large = jpeg_of(RECEIPT_BYTES_MAX + 1);
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
            unsupported("PNG and an archive", put("image/png", &[samples::PNG, b"PK\x03\x04"].concat())),
            unsupported("GIF and a page", put("image/gif", &[samples::GIF, &html[..]].concat())),
            unsupported("a page in a GIF", put("image/gif", &scripted)),
            unsupported("two images", put("image/png", &[samples::PNG, samples::PNG].concat())),
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
    let large = jpeg_of(RECEIPT_BYTES_MAX);
    let path = format!("/api/v1/public/orders/{}/proof", town.seller.token);
    let reply = town.house.send(ask("PUT", path).image("image/jpeg", &large)).await;
    assert_eq!(reply.data(), json!({"hasProof": true}));
    let kept = town.house.send(town.seller.get(&format!("/api/v1/orders/{}/proof", town.seller.order))).await;
    assert!(kept.bytes == large);
}
