//! Plugipay's envelope `{data, error, meta}`, read within bounds.

use reqwest::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serront_core::online::plugipay::PlugipayAnswer;

use super::failure::Failure;

/// Maximum bytes of an answer that are read; a full page of any list is far smaller.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest code that is copied into an error.
const CODE_BYTES_MAX: usize = 64;

/// The answer's complete body, or why it can't be read.
pub(super) async fn body(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX => {
                return Err(Failure::Unreadable("is larger than 1 MiB"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) if error.is_timeout() => return Err(Failure::TimedOut),
            Err(_) => return Err(Failure::Unreadable("broke off")),
        }
    }
}

/// The contents of a success. Only used fields are read: `data` is required, the others are optional.
pub(super) fn read(body: Vec<u8>) -> Result<PlugipayAnswer, Failure> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
        #[serde(default)]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        cursor: Option<String>,
        has_more: Option<bool>,
    }
    const NO_ENVELOPE: Failure = Failure::Unreadable("is not Plugipay's envelope");
    let text = String::from_utf8(body).map_err(|_| Failure::Unreadable("is not UTF-8"))?;
    // A derived deserializer would also accept an array of the fields' values.
    if !text.trim_start().starts_with('{') {
        return Err(NO_ENVELOPE);
    }
    let envelope: Envelope<'_> = serde_json::from_str(&text).map_err(|_| NO_ENVELOPE)?;
    if envelope.error.is_some() {
        return Err(Failure::Unreadable("is a success with an error in it"));
    }
    let meta = envelope.meta.filter(|meta| meta.has_more != Some(false));
    let cursor = meta.and_then(|meta| meta.cursor).filter(|cursor| !cursor.is_empty());
    Ok(PlugipayAnswer { data: envelope.data.get().to_owned(), cursor })
}

/// The code in a refusal, if it has a code's form: other parts of the body may be personal data.
pub(super) fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope {
        error: Refusal,
    }
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
    }
    let code = serde_json::from_slice::<Envelope>(body).ok()?.error.code;
    let fits = (1..=CODE_BYTES_MAX).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    fits.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Option<(String, Option<String>)> {
        read(body.as_bytes().to_vec()).ok().map(|answer| (answer.data, answer.cursor))
    }

    #[test]
    fn data_keeps_its_bytes_and_paging_may_be_missing() {
        let told = |body: &str| told(body).unwrap();
        let data = r#"{ "amount":1.50, "é":"\u00e9" }"#;
        assert_eq!(told(&format!(r#"{{"data": {data} ,"error":null,"meta":{{"new":[1]}},"x":1}}"#)).0, data);
        for (meta, cursor) in [
            ("", None),
            (r#","meta":null"#, None),
            (r#","meta":{}"#, None),
            (r#","meta":{"cursor":null,"hasMore":false}"#, None),
            (r#","meta":{"cursor":"next","hasMore":true}"#, Some("next")),
            (r#","meta":{"cursor":"next"}"#, Some("next")),
            (r#","meta":{"cursor":"next","hasMore":null}"#, Some("next")),
            (r#","meta":{"cursor":"next","hasMore":false}"#, None),
            (r#","meta":{"cursor":"","hasMore":true}"#, None),
        ] {
            assert_eq!(
                told(&format!(r#"{{"data":[]{meta}}}"#)),
                ("[]".to_owned(), cursor.map(str::to_owned)),
                "{meta}"
            );
        }
    }

    #[test]
    fn what_is_no_envelope_is_not_read() {
        for body in [
            "",
            "null",
            "[]",
            "[1]",
            r#"[{"id":1},null,null]"#,
            "{}",
            "<html>",
            r#"{"data":{}"#,
            r#"{"data":{}} {}"#,
            r#"{"error":null}"#,
            r#"{"data":{},"error":{"code":"X"}}"#,
            r#"{"data":[],"meta":{"cursor":7}}"#,
        ] {
            assert_eq!(told(body), None, "{body}");
        }
        assert!(read(b"{\"data\":\"\xff\"}".to_vec()).is_err());
    }

    #[test]
    fn a_code_is_short_and_plain_or_nothing() {
        let of = |code: &str| super::code(format!(r#"{{"data":null,"error":{{"code":"{code}"}}}}"#).as_bytes());
        assert_eq!(of("idempotency_mismatch").as_deref(), Some("idempotency_mismatch"));
        assert_eq!(of("A.b-9").as_deref(), Some("A.b-9"));
        for bad in ["", "two words", "é", &"x".repeat(65), r"line\nbreak", "<b>"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(super::code(b"not JSON"), None);
        assert_eq!(super::code(br#"{"error":"INVALID_KEY"}"#), None);
    }
}
