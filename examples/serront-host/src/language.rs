//! The buyer's language, from `Accept-Language`.

use axum::http::{HeaderMap, header};
use serront_core::orders::order::Language;

/// Indonesian, unless English is preferred over it.
pub(crate) fn preferred(headers: &HeaderMap) -> Language {
    let values = headers.get_all(header::ACCEPT_LANGUAGE).iter();
    let ranges: Vec<_> =
        values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).filter_map(range).collect();
    let weight = |language: &str| {
        let of = |wanted: &str| ranges.iter().filter(|(tag, _)| tag == wanted).map(|(_, weight)| *weight).max();
        of(language).or_else(|| of("*")).unwrap_or(0)
    };
    if weight("en") > weight("id") { Language::En } else { Language::Id }
}

/// A range's primary tag, lowered, and its weight in thousandths.
fn range(raw: &str) -> Option<(String, u16)> {
    let mut parts = raw.split(';');
    let tag = parts.next()?.trim().split('-').next()?.to_ascii_lowercase();
    // Android and older Java still send `in`, Indonesian's code until 1989.
    let tag = if tag == "in" { "id".to_owned() } else { tag };
    let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1_000), thousandths)?;
    (!tag.is_empty()).then_some((tag, weight))
}

fn thousandths(raw: &str) -> Option<u16> {
    let (whole, fraction) = raw.split_once('.').unwrap_or((raw, ""));
    let fits = matches!(whole, "0" | "1") && fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !fits {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    Some(if whole == "1" { 1_000 } else { fraction })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indonesian_comes_first() {
        for (header, language) in [
            ("", Language::Id),
            ("fr", Language::Id),
            ("*", Language::Id),
            ("en", Language::En),
            ("en-US,en;q=0.9", Language::En),
            ("en,id", Language::Id),
            ("id;q=0.8, en;q=0.9", Language::En),
            ("id-ID, en;q=0.9", Language::Id),
            ("en;q=0.5, *;q=0.6", Language::Id),
            ("EN ; q=0.05, id;q=0.04", Language::En),
            ("en;q=nonsense", Language::Id),
            ("en;q=0", Language::Id),
            // The old code (#16).
            ("in-ID,in;q=0.9,en-US;q=0.8,en;q=0.7", Language::Id),
            ("en;q=0.8,in;q=0.9", Language::Id),
            ("IN;q=0.5,en;q=0.6", Language::En),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, header.parse().unwrap());
            assert_eq!(preferred(&headers), language, "{header:?}");
        }
    }
}
