//! Laws of the library's mails, for all names of people.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy.toml does not reach")]

use proptest::collection::vec;
use proptest::prelude::*;
use serront_core::orders::mail::{BuiltInTemplates, Mail, MailTemplates, MailText, PaymentConfirmed};
use serront_testkit::generators;

/// Names made of what HTML, headers and the direction of a text are made of; not all of them could be typed.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "<",
        ">",
        "</p>",
        "<script>",
        "<!--",
        "]]>",
        "&",
        "&lt;",
        "&#60;",
        "\"",
        "'",
        "`",
        "\r\n",
        "\n.\n",
        "\0",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{2067}",
        "\u{200f}",
        "\u{61c}",
        "שלום",
        "日本",
        "Bcc: x@y.z",
        "=?utf-8?q?=3Cb=3E?=",
        "--=_mail_01jtestvect0r0000000000001",
        " ",
        "Budi",
    ];
    vec(proptest::sample::select(pieces.to_vec()), 1..12).prop_map(|pieces| pieces.concat())
}

fn content() -> impl Strategy<Value = PaymentConfirmed> {
    (generators::payment_confirmed(), hostile(), hostile(), hostile(), any::<bool>()).prop_map(
        |(content, buyer_name, seller_name, service_name, typed)| {
            if typed { content } else { PaymentConfirmed { buyer_name, seller_name, service_name, ..content } }
        },
    )
}

fn words(content: &PaymentConfirmed) -> (String, String, String) {
    let MailText { subject, text, html } = BuiltInTemplates.render(&Mail::PaymentConfirmedV1(content.clone()));
    (subject, text, html.unwrap())
}

/// The tags in their order, and the text between them as a reader sees it.
fn taken_apart(html: &str) -> (Vec<String>, String) {
    let mut pieces = html.split('<');
    let mut shown = pieces.next().unwrap().to_owned();
    let mut tags = Vec::new();
    for piece in pieces {
        let (tag, rest) = piece.split_once('>').unwrap();
        tags.push(tag.to_owned());
        shown.push_str(rest);
    }
    for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        shown = shown.replace(entity, character);
    }
    (tags, shown)
}

proptest! {
    #[test]
    fn what_people_typed_is_text_in_html_and_never_a_tag(content in content()) {
        let named = |name: &str| PaymentConfirmed {
            buyer_name: name.to_owned(),
            seller_name: name.to_owned(),
            service_name: name.to_owned(),
            ..content.clone()
        };
        let (_, text, html) = words(&content);
        let (tags, shown) = taken_apart(&html);
        prop_assert_eq!(&tags, &taken_apart(&words(&named("Budi")).2).0);
        // Both say the same.
        let shown: Vec<_> = shown.split_whitespace().collect();
        let text: Vec<_> = text.split_whitespace().collect();
        prop_assert!(shown.ends_with(&text), "{shown:?} {text:?}");
    }

    #[test]
    fn names_add_no_line_and_turn_no_text_around(content in content()) {
        let plain = PaymentConfirmed {
            buyer_name: "Budi".to_owned(),
            seller_name: "Renata".to_owned(),
            service_name: "Logo".to_owned(),
            ..content.clone()
        };
        let (subject, text, html) = words(&content);
        let (plain_subject, plain_text, plain_html) = words(&plain);
        prop_assert_eq!(&subject, &plain_subject, "no name is in the subject");
        prop_assert_eq!(text.lines().count(), plain_text.lines().count());
        prop_assert_eq!(html.lines().count(), plain_html.lines().count());
        let forbidden = |character: char| {
            (character.is_control() && character != '\n')
                || "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}".contains(character)
                || ('\u{202a}'..='\u{202e}').contains(&character)
                || ('\u{2066}'..='\u{2069}').contains(&character)
        };
        prop_assert!(!text.contains(forbidden) && !html.contains(forbidden));
    }

    #[test]
    fn the_same_mail_is_worded_the_same_again_and_nothing_is_fetched_to_read_it(content in content()) {
        prop_assert_eq!(words(&content), words(&content));
        let (_, _, html) = words(&content);
        let (tags, _) = taken_apart(&html);
        for tag in tags {
            let reaches_out = ["src", "href", "url(", "@import", "http"].iter().any(|outside| tag.contains(outside));
            prop_assert!(!reaches_out, "{}", tag);
        }
    }
}
