//! Texts that people type.

use proptest::collection::vec;
use proptest::prelude::*;
use serront_core::primitives::text::{
    EMAIL_BYTES_MAX, EmailAddress, NAME_CHARACTERS_MAX, PROSE_CHARACTERS_MAX, SLUG_CHARACTERS_MAX, Slug, WhatsAppNumber,
};

/// Texts that have broken other programs: they look like JSON, SQL, a header or markup, or use other scripts.
const AWKWARD: [&str; 12] = [
    "\"number\":null",
    "{\"number\":null}",
    "'; DROP TABLE orders; --",
    "100% _real_",
    "Bcc: a@b.example",
    "<b>&amp;</b>",
    "日本 — kopi susu",
    "ناظم",
    "e\u{301}",
    "👩\u{200d}🔧",
    "\\u0000",
    "null",
];

fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        8 => proptest::char::range('a', 'z'),
        2 => proptest::char::range('0', '9'),
        1 => proptest::char::range('A', 'Z'),
        1 => proptest::sample::select(vec!['-', '_', '.', '\'', '"', '\\', '/', '%', '&', '<', ' ', '日', 'é', '🙂']),
    ]
}

/// Names, titles and bank details: 1–100 characters, nothing to trim, no control character.
pub fn name() -> impl Strategy<Value = String> {
    let edge = || proptest::char::range('a', 'z');
    let typed = (edge(), vec(character(), 0..30), edge())
        .prop_map(|(first, middle, last)| std::iter::once(first).chain(middle).chain([last]).collect::<String>());
    prop_oneof![
        6 => typed,
        2 => proptest::sample::select(AWKWARD.to_vec()).prop_map(str::to_owned),
        1 => edge().prop_map(String::from),
        1 => Just("日".repeat(NAME_CHARACTERS_MAX)),
    ]
    .boxed()
}

/// Names that must be refused: blank, too long, or with a control character inside.
pub fn almost_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(" \t ".to_owned()),
        Just("\u{200b} \u{2069}".to_owned()),
        Just("x".repeat(NAME_CHARACTERS_MAX + 1)),
        (name(), control(), name()).prop_map(|(before, control, after)| format!("{before}{control}{after}")),
    ]
    .boxed()
}

fn control() -> impl Strategy<Value = char> {
    proptest::sample::select(vec!['\0', '\u{1}', '\u{1b}', '\u{7f}', '\u{85}'])
}

/// Free text of up to 2,000 characters, not blank, nothing to trim, with its line breaks.
pub fn prose() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => vec(name(), 1..6).prop_map(|lines| lines.join("\n")),
        1 => Just("日".repeat(PROSE_CHARACTERS_MAX)),
    ]
    .boxed()
}

/// Free text that must be refused: too long, or with a control character that is neither a line break nor a tab.
pub fn almost_prose() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x".repeat(PROSE_CHARACTERS_MAX + 1)),
        (name(), control(), name()).prop_map(|(before, control, after)| format!("{before}{control}{after}")),
    ]
    .boxed()
}

/// Free text, or none.
pub fn optional_prose() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(prose())
}

/// Slugs, mostly short.
pub fn slug() -> impl Strategy<Value = Slug> {
    prop_oneof![8 => "[a-z0-9-]{1,20}", 1 => "[a-z0-9-]{60}"]
        .prop_map(|raw| Slug::parse("slug", &raw).expect("a well-formed slug"))
        .boxed()
}

/// Texts that are not quite a slug.
pub fn almost_slug() -> impl Strategy<Value = String> {
    let foreign = proptest::sample::select(vec!["A", " ", "_", "é", "\n", "\0", "/", "."]);
    prop_oneof![
        Just(String::new()),
        Just("a".repeat(SLUG_CHARACTERS_MAX + 1)),
        (slug(), foreign, slug()).prop_map(|(before, foreign, after)| format!("{before}{foreign}{after}")),
    ]
}

/// E-mail addresses under names that are reserved for examples.
pub fn email_address() -> impl Strategy<Value = EmailAddress> {
    ("[a-z0-9]{1,10}([.+_-][a-z0-9]{1,8}){0,2}", "(([a-z0-9]{1,8}\\.){0,2})example\\.(com|org|net)")
        .prop_map(|(local, domain)| format!("{local}@{domain}"))
        .prop_map(|raw| EmailAddress::parse("email", &raw).expect("a well-formed address"))
        .boxed()
}

/// Texts that are not quite an e-mail address, attempts to add header lines among them.
pub fn almost_email_address() -> impl Strategy<Value = String> {
    (email_address(), 0..8_u8).prop_map(|(good, how)| {
        let good = good.as_str();
        match how {
            0 => String::new(),
            1 => good.replace('@', ""),
            2 => good.split('@').next().unwrap_or_default().to_owned() + "@",
            3 => format!("@{}", good.rsplit('@').next().unwrap_or_default()),
            4 => format!("Budi <{good}>"),
            5 => format!("{good}\r\nBcc: x@example.com"),
            6 => format!("{good}, {good}"),
            _ => format!("{}{good}", "a".repeat(EMAIL_BYTES_MAX)),
        }
    })
}

/// WhatsApp numbers in E.164. None of the first digits is a 0, so none is a national one.
pub fn whatsapp_number() -> impl Strategy<Value = WhatsAppNumber> {
    "\\+[1-9]{4}[0-9]{4,11}"
        .prop_map(|raw| WhatsAppNumber::parse("whatsappNumber", &raw).expect("a well-formed number"))
        .boxed()
}

/// Texts that are not quite a WhatsApp number; one without a `+` lacks its country code.
pub fn almost_whatsapp_number() -> impl Strategy<Value = String> {
    prop_oneof![
        "[1-9][0-9]{7,14}",
        "\\+0[0-9]{7,13}",
        "\\+[1-9][0-9]{0,6}",
        "\\+[1-9][0-9]{15,20}",
        "\\+[1-9][0-9]{3}[ -][0-9]{6}",
        "\\+620[0-9]{6,12}",
        Just(String::new()),
    ]
}

/// Account numbers: digits, spaces and dashes, at least one digit.
pub fn account_number() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[0-9]{1,6}([ -]{0,2}[0-9]{1,6}){0,3}", 1 => Just("9".repeat(NAME_CHARACTERS_MAX))].boxed()
}

/// Texts that are not quite an account number.
pub fn almost_account_number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("- -".to_owned()),
        Just("١٢٣".to_owned()),
        Just("9".repeat(NAME_CHARACTERS_MAX + 1)),
        "[0-9]{1,6}[a-z./+][0-9]{1,6}",
        almost_name(),
    ]
    .boxed()
}
