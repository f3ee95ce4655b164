//! Typed texts: E.164 numbers, e-mail addresses, slugs, names and idempotency keys. Parsing an accepted text again
//! returns the same value, and it can't break out of a link, a header or an address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::primitives::search::{search_words, words_of};
use serront_core::primitives::text::{EmailAddress, Slug, WhatsAppNumber, is_blank, is_invisible, name, prose};

fuzz_target!(|raw: &str| {
    if let Ok(number) = WhatsAppNumber::parse("x", raw) {
        let digits = number.link().strip_prefix("https://wa.me/").map(str::to_owned).expect("a link");
        assert!((8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(WhatsAppNumber::parse("x", number.as_str()), Ok(number));
    }
    if let Ok(address) = EmailAddress::parse("x", raw) {
        assert!(address.as_str().len() <= 254 && !address.as_str().contains(['\r', '\n', '\0']));
        assert!(!address.as_str().contains(is_invisible));
        assert_eq!(EmailAddress::parse("x", address.as_str()), Ok(address));
    }
    if let Ok(slug) = Slug::parse("x", raw) {
        assert!((1..=60).contains(&slug.as_str().len()));
        assert!(slug.as_str().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
    }
    if let Ok(taken) = name("x", raw) {
        assert!((1..=100).contains(&taken.chars().count()) && !taken.contains(['\r', '\n', '\0']) && !is_blank(&taken));
        assert_eq!(name("x", &taken), Ok(taken));
    }
    if let Ok(taken) = prose("x", raw) {
        assert!(taken.chars().count() <= 2_000);
        assert_eq!(prose("x", &taken), Ok(taken));
    }
    let account = "acc_01jtestvect0r0000000000001".parse().expect("an id");
    let request = IdempotentRequest::new(account, "POST", "/x", raw, b"");
    assert_eq!(request.is_ok(), (1..=255).contains(&raw.len()) && raw.bytes().all(|byte| matches!(byte, b'!'..=b'~')));
    if let Ok(words) = search_words(raw) {
        assert_eq!(words, words_of(raw));
    }
});
