//! Style, script and icon. Their address changes when they do, so browsers can cache them without limit.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serront_core::primitives::digest::Digest256;

use crate::problem::Problem;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/app.js");
const ICON: &str = include_str!("assets/icon.svg");
/// Hexadecimal digits of a version: enough that two versions never share them.
const VERSION_DIGITS: usize = 16;

fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let digest = Digest256::of([STYLE, SCRIPT, ICON].concat().as_bytes());
        digest.to_string().chars().take(VERSION_DIGITS).collect()
    })
}

/// The address of an asset, below the base.
pub(super) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", version())
}

pub(super) async fn get(Path((asked, name)): Path<(String, String)>) -> Result<Response, Problem> {
    let (media_type, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Problem::not_found("file")),
    };
    // During an upgrade, pages of another version may ask: they get this version's file, and must not cache it.
    let caching = if asked == version() { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, caching),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, text).into_response())
}
