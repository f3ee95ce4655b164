//! The storefront.

use serde_json::{Value, json};

use super::in_process::{ask, but};
use super::town::{NUL, Town, check, invalid, long, malformed, row};

#[tokio::test]
async fn a_storefront_with_a_mistake_is_refused_whole() {
    check(|town| {
        let Town { seller, .. } = town;
        let put = |fields| seller.put_storefront(fields);
        let raw = |body: &[u8]| ask("PUT", "/api/v1/storefront").key(&seller.key).body(body);
        let bank = json!({"bankName": "BCA", "accountNumber": "1", "accountHolder": "R"});
        let banks = |count, last: Value| {
            let mut banks = vec![bank.clone(); count];
            banks.push(but(bank.clone(), last));
            put(json!({"manualBankAccounts": banks}))
        };
        let nested = [b"[".repeat(400), b"]".repeat(400)].concat();
        vec![
            invalid("six bank accounts", banks(5, json!({})), "manualBankAccounts"),
            invalid("a blank bank", banks(4, json!({"bankName": " "})), "manualBankAccounts[4].bankName"),
            invalid("a bank of 101", banks(0, json!({"bankName": long(101)})), "manualBankAccounts[0].bankName"),
            invalid("NUL in a bank", banks(0, json!({"bankName": NUL})), "manualBankAccounts[0].bankName"),
            invalid("letters", banks(1, json!({"accountNumber": "12a"})), "manualBankAccounts[1].accountNumber"),
            invalid("no digits", banks(1, json!({"accountNumber": "- -"})), "manualBankAccounts[1].accountNumber"),
            invalid("a blank number", banks(1, json!({"accountNumber": ""})), "manualBankAccounts[1].accountNumber"),
            invalid("a number", banks(3, json!({"accountNumber": 123})), "manualBankAccounts[3].accountNumber"),
            invalid("no holder", banks(2, json!({"accountHolder": null})), "manualBankAccounts[2].accountHolder"),
            invalid(
                "a broken holder",
                banks(2, json!({"accountHolder": "a\nb"})),
                "manualBankAccounts[2].accountHolder",
            ),
            invalid("a text for an account", put(json!({"manualBankAccounts": ["BCA 1"]})), "manualBankAccounts[0]"),
            invalid("a list for one", put(json!({"manualBankAccounts": [["b", "1", "h"]]})), "manualBankAccounts[0]"),
            invalid("an object for the list", put(json!({"manualBankAccounts": bank})), "manualBankAccounts"),
            invalid("no slug", put(json!({"slug": null})), "slug"),
            invalid("an empty slug", put(json!({"slug": ""})), "slug"),
            invalid("capitals in a slug", put(json!({"slug": "Renata"})), "slug"),
            invalid("a slug of 61", put(json!({"slug": "a".repeat(61)})), "slug"),
            invalid("NUL in a slug", put(json!({"slug": "a\0"})), "slug"),
            invalid("a blank name", put(json!({"displayName": " \t "})), "displayName"),
            invalid("a name of 101", put(json!({"displayName": long(101)})), "displayName"),
            invalid("a line break in a name", put(json!({"displayName": "a\r\nBcc: x@example.com"})), "displayName"),
            invalid("a list for a name", put(json!({"displayName": ["a"]})), "displayName"),
            invalid("a bio of 2,001", put(json!({"bio": long(2_001)})), "bio"),
            invalid("an escape in a bio", put(json!({"bio": "\u{1b}[31m"})), "bio"),
            invalid("instructions of 2,001", put(json!({"manualInstructions": long(2_001)})), "manualInstructions"),
            invalid("NUL in instructions", put(json!({"manualInstructions": NUL})), "manualInstructions"),
            invalid("no plus", put(json!({"whatsappNumber": "628120000000"})), "whatsappNumber"),
            invalid("a trunk zero", put(json!({"whatsappNumber": "08120000000"})), "whatsappNumber"),
            invalid("blanks in a number", put(json!({"whatsappNumber": "+62 812 0000"})), "whatsappNumber"),
            invalid("16 digits", put(json!({"whatsappNumber": "+6281234567890123"})), "whatsappNumber"),
            invalid("no number", put(json!({"whatsappNumber": ""})), "whatsappNumber"),
            invalid("a number for a number", put(json!({"whatsappNumber": 628_120_000_000_i64})), "whatsappNumber"),
            invalid("a word for a switch", put(json!({"published": "yes"})), "published"),
            invalid("1 for a switch", put(json!({"hideBranding": 1})), "hideBranding"),
            row("hidden branding, free", put(json!({"hideBranding": true})), 403, "UPGRADE_REQUIRED", None),
            row("another's slug", put(json!({"slug": "other-shop"})), 409, "CONFLICT", None),
            invalid("invalid goes before the plan", put(json!({"hideBranding": true, "bio": NUL})), "bio"),
            malformed("no body", raw(b"")),
            malformed("broken JSON", raw(b"{\"slug\": \"a\",")),
            malformed("more than JSON", raw(b"{} {}")),
            malformed("no JSON", raw(b"slug=a&displayName=A")),
            malformed("a list", raw(b"[]")),
            malformed("null", raw(b"null")),
            malformed("no UTF-8", raw(b"{\"slug\":\"a\",\"displayName\":\"\xff\"}")),
            malformed("half a pair of surrogates", raw(br#"{"slug":"a","displayName":"\ud800"}"#)),
            malformed("a deep list", raw(&nested)),
            row(
                "too many values",
                raw(format!("{{\"x\":[{}0]}}", "{\"\":0},".repeat(999)).as_bytes()),
                413,
                "PAYLOAD_TOO_LARGE",
                None,
            ),
            row("more than 256 KiB", raw(&vec![b' '; 256 * 1024 + 1]), 413, "PAYLOAD_TOO_LARGE", None),
            row(
                "more than 256 KiB, as announced",
                raw(b"{}").header("content-length", "262145"),
                413,
                "PAYLOAD_TOO_LARGE",
                None,
            ),
        ]
    })
    .await;
}
