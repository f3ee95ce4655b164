//! Bodies: read while they stream in, with bounds, and drained when they were refused.
//!
//! While it comes, a body is kept in the host's spool, so that a thousand slow uploads are a thousand files and not a thousand
//! buffers. One that pauses for longer than [`PAUSE_MAX`], or is not there after [`TIME_MAX`], is given up: a 400
//! `VALIDATION_ERROR` (the wire contract has no code for a 408), and the connection is closed.
//!
//! A client that is still sending when the connection closes may never see the answer. So whatever a handler left unread
//! is read and dropped before the answer goes out, up to [`DRAIN_BYTES_MAX`] in all; a longer body's connection is closed.
//!
//! JSON is parsed into values, which take up to sixty times as much as the text that they came in. So a body of JSON may be as
//! long as routes need and no longer, and has no more than [`VALUES_MAX`] values, which are counted before.
//!
//! JSON is taken whatever the `Content-Type` says. Published clients send `application/json`; a client that forgets it
//! meant JSON all the same, and no route of this API takes anything else beside it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;
use serront_core::primitives::rejection::{Code, Invalid};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::envelope::Problem;
use crate::spool::{Room, Spool};

/// Most bytes of a JSON body without a key: the largest order, every character escaped, is under 32 KiB.
pub(crate) const PUBLIC_JSON_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of a JSON body of a caller with a key: the largest service, every character escaped, is under 160 KiB.
pub(crate) const KEYED_JSON_BYTES_MAX: usize = 256 * 1024;
/// Most values of a JSON body: those of the largest service are not fifty.
const VALUES_MAX: usize = 1_000;
/// Most bytes read of one body, refused ones included: room for a receipt a little over its bound.
const DRAIN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a body that is read may pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long it may take in all: a receipt at its bound at 0.7 megabits a second.
const TIME_MAX: Duration = Duration::from_secs(60);
/// How long a refused body may pause before it is given up.
const DRAIN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long it may take in all: 8 MiB at about a megabit a second.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(60);

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// It was read to its end.
    Wholly,
    /// Some of it is still coming, or never will.
    Partly,
}

struct Stream {
    body: Body,
    bytes_read: usize,
    ended: bool,
    /// It came too slowly, and is not waited for any more.
    given_up: bool,
    /// The room that the body has in memory while its handler works on it.
    room: Option<Room>,
}

/// Why there are no next bytes.
enum Stopped {
    /// The connection ended.
    Early,
    /// The client took too long.
    Slow,
}

impl Stream {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, axum::Error> {
        while !self.ended {
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes_read = self.bytes_read.saturating_add(data.len());
                        return Ok(Some(data));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The same, as long as the client is in time: `left` is what it has left in all. What we take in between is not its doing.
    async fn next_within(&mut self, left: &mut Duration) -> Result<Option<Bytes>, Stopped> {
        let asked = Instant::now();
        let next = tokio::time::timeout(PAUSE_MAX.min(*left), self.next()).await;
        *left = left.saturating_sub(asked.elapsed());
        match next {
            Ok(next) => next.map_err(|_| Stopped::Early),
            Err(_) => {
                self.given_up = true;
                Err(Stopped::Slow)
            }
        }
    }
}

/// A request's body, shared by the handler, which reads it, and the outermost layer, which drains it.
#[derive(Clone)]
pub(crate) struct Intake {
    stream: Arc<Mutex<Stream>>,
    spool: Arc<Spool>,
    announced: Option<usize>,
    /// The client asked before sending (`Expect: 100-continue`); reading anything is what tells it to go ahead.
    asked: bool,
}

impl Intake {
    /// Takes the body out of a request.
    pub(crate) fn of(request: &mut Request, spool: &Arc<Spool>) -> Self {
        let body = std::mem::take(request.body_mut());
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let expected = headers.get(header::EXPECT).map(HeaderValue::as_bytes);
        let ended = body.is_end_stream();
        Self {
            announced: length.and_then(|length| length.parse().ok()),
            asked: expected.is_some_and(|expected| expected.eq_ignore_ascii_case(b"100-continue")),
            stream: Arc::new(Mutex::new(Stream { body, bytes_read: 0, ended, given_up: false, room: None })),
            spool: Arc::clone(spool),
        }
    }

    /// Reads the body. What it takes in memory is the handler's until it answers.
    ///
    /// # Errors
    /// 413 above `bytes_max`; 400 if it ends too early or comes too slowly; 503 if too many others are in memory.
    pub(crate) async fn read(&self, bytes_max: usize) -> Result<Vec<u8>, Problem> {
        if self.announced.is_some_and(|announced| announced > bytes_max) {
            return Err(Problem::payload_too_large(bytes_max));
        }
        let mut stream = self.stream.lock().await;
        let mut left = TIME_MAX;
        let mut kept = self.spool.begin();
        loop {
            match stream.next_within(&mut left).await {
                Ok(None) => break,
                Ok(Some(data)) if kept.len().saturating_add(data.len()) > bytes_max => {
                    return Err(Problem::payload_too_large(bytes_max));
                }
                Ok(Some(data)) => kept.append(data).await?,
                Err(Stopped::Early) => return Err(Invalid::new("", "the body ended too early").into()),
                Err(Stopped::Slow) => return Err(Invalid::new("", "the body came too slowly").into()),
            }
        }
        let (bytes, room) = kept.take().await?;
        stream.room = room;
        Ok(bytes)
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// As [`Intake::read`]; 400 with the offending field.
    pub(crate) async fn json<T: DeserializeOwned>(&self, bytes_max: usize) -> Result<(T, Vec<u8>), Problem> {
        let bytes = self.read(bytes_max).await?;
        Ok((object(&bytes)?, bytes))
    }

    /// Reads a JSON object, or nothing at all, which says no more than an empty object.
    ///
    /// # Errors
    /// As [`Intake::json`].
    pub(crate) async fn json_if_any<T: DeserializeOwned + Default>(
        &self,
        bytes_max: usize,
    ) -> Result<(T, Vec<u8>), Problem> {
        let bytes = self.read(bytes_max).await?;
        let input = if bytes.is_empty() { T::default() } else { object(&bytes)? };
        Ok((input, bytes))
    }

    /// Reads and drops what is left of the body.
    pub(crate) async fn drain(&self) -> Drained {
        let mut stream = self.stream.lock().await;
        // The handler has answered.
        stream.room = None;
        if stream.given_up || (self.asked && stream.bytes_read == 0 && !stream.ended) {
            return Drained::Partly;
        }
        let drained = tokio::time::timeout(DRAIN_TIME_MAX, async {
            while stream.bytes_read <= DRAIN_BYTES_MAX {
                match tokio::time::timeout(DRAIN_PAUSE_MAX, stream.next()).await {
                    Ok(Ok(Some(_))) => {}
                    Ok(Ok(None)) => return Drained::Wholly,
                    Ok(Err(_)) | Err(_) => return Drained::Partly,
                }
            }
            Drained::Partly
        });
        drained.await.unwrap_or(Drained::Partly)
    }
}

impl<S: Sync> FromRequestParts<S> for Intake {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("the envelope's layer is missing"))
    }
}

/// Reads a JSON object that is not too much to parse.
fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if count_values(bytes) > VALUES_MAX {
        return Err(Problem::of(Code::PayloadTooLarge, format!("the body has more than {VALUES_MAX} JSON values")));
    }
    Ok(parse(bytes)?)
}

/// How many values a JSON text has at most. What is no JSON has some number too, and is refused when it is parsed.
fn count_values(bytes: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            // Each value but the first stands behind one of these.
            b'[' | b'{' | b',' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// Parses a JSON object. Unknown fields are passed over; of a field given twice the last one counts.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Invalid> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Invalid::new("", "the body must be JSON"))?;
    if !value.is_object() {
        return Err(Invalid::new("", "the body must be a JSON object"));
    }
    serde_path_to_error::deserialize(Strict(value)).map_err(|error| {
        let parent = error.path().iter().next().map(|_| error.path().to_string());
        let text = error.inner().to_string();
        match text.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
            Some((field, _)) => {
                let param = parent.map_or_else(|| field.to_owned(), |parent| format!("{parent}.{field}"));
                Invalid::new(param, "is required")
            }
            None => Invalid::new(parent.unwrap_or_default(), expectation(&text)),
        }
    })
}

/// What was expected, without what was found: that may be a secret in the wrong place.
fn expectation(text: &str) -> String {
    let Some((_, expected)) = text.rsplit_once(", expected ") else {
        return "is not well formed".to_owned();
    };
    let expected = match expected {
        "i64" | "i32" | "u64" | "u32" => "a whole number within its range",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    };
    format!("must be {}", expected.replace('`', ""))
}

/// A JSON value that a struct can be read from only if it is an object: serde's derived structs would also take a list of
/// their fields, which the wire contract does not have.
struct Strict(Value);

impl<'de> IntoDeserializer<'de, serde_json::Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(values) => visitor.visit_seq(SeqDeserializer::new(values.into_iter().map(Strict))),
            Value::Object(fields) => {
                visitor.visit_map(MapDeserializer::new(fields.into_iter().map(|(name, value)| (name, Strict(value)))))
            }
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                scalar.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.0.is_array() {
            return Err(Self::Error::invalid_type(Unexpected::Seq, &visitor));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        // serde would also take an object of one field; on the wire there are only names.
        if self.0.is_string() {
            self.0.deserialize_enum(name, variants, visitor)
        } else {
            Err(Self::Error::unknown_variant("", variants))
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serront_core::orders::instructions::BANK_ACCOUNTS_MAX;
    use serront_core::orders::order::OrderInput;
    use serront_core::primitives::text::{EMAIL_BYTES_MAX, NAME_CHARACTERS_MAX, PROSE_CHARACTERS_MAX};
    use serront_core::shop::catalog::{PACKAGES_MAX, ServiceInput};
    use serront_core::shop::storefront::StorefrontInput;

    use super::*;

    fn refused<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> (String, String) {
        let invalid = parse::<T>(json.as_bytes()).unwrap_err();
        (invalid.param, invalid.reason.into_owned())
    }

    #[test]
    fn the_offending_field_is_named_by_its_path() {
        for (json, param, reason) in [
            ("", "", "the body must be JSON"),
            ("{", "", "the body must be JSON"),
            ("[]", "", "the body must be a JSON object"),
            ("null", "", "the body must be a JSON object"),
            ("{}", "slug", "is required"),
            (r#"{"slug":"a","displayName":7}"#, "displayName", "must be a string"),
            (r#"{"slug":"a","displayName":"A","published":"yes"}"#, "published", "must be true or false"),
            (r#"{"slug":"a","displayName":"A","manualBankAccounts":"x"}"#, "manualBankAccounts", "must be a list"),
            (
                r#"{"slug":"a","displayName":"A","manualBankAccounts":[["b","1","h"]]}"#,
                "manualBankAccounts[0]",
                "must be an object",
            ),
            (
                r#"{"slug":"a","displayName":"A","manualBankAccounts":[{"bankName":"b","accountNumber":"1"}]}"#,
                "manualBankAccounts[0].accountHolder",
                "is required",
            ),
            (
                r#"{"slug":"a","displayName":"A","manualBankAccounts":[{"bankName":null}]}"#,
                "manualBankAccounts[0].bankName",
                "must be a string",
            ),
        ] {
            assert_eq!(refused::<StorefrontInput>(json), (param.to_owned(), reason.to_owned()), "{json}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_value() {
        for (json, param, reason) in [
            (r#"{"pricingType":", expected "}"#, "pricingType", "must be one of fixed, hourly, package"),
            (r#"{"pricingType":{"fixed":null}}"#, "pricingType", "must be one of fixed, hourly, package"),
            (r#"{"pricingType":7}"#, "pricingType", "must be one of fixed, hourly, package"),
            (r#"{"priceIdr":"sk_live_1"}"#, "priceIdr", "must be a whole number within its range"),
            (r#"{"priceIdr":1.5}"#, "priceIdr", "must be a whole number within its range"),
            (r#"{"priceIdr":1e300}"#, "priceIdr", "must be a whole number within its range"),
            (r#"{"sortOrder":2147483648}"#, "sortOrder", "must be a whole number within its range"),
            (
                r#"{"packages":[{"name":"x","priceIdr":true}]}"#,
                "packages[0].priceIdr",
                "must be a whole number within its range",
            ),
        ] {
            assert_eq!(refused::<ServiceInput>(json), (param.to_owned(), reason.to_owned()), "{json}");
        }
    }

    #[test]
    fn what_stands_in_a_text_is_no_value() {
        for (json, count) in [
            ("{}", 2),
            (r#"{"a":[1,2],"b":{}}"#, 6),
            (r#"{"a":"[{,,,,"}"#, 2),
            (r#"{"a\"[,":"\\"}"#, 2),
            (r#"{"a":"\\\"[,","b":"\\"}"#, 3),
            ("[[[[", 5),
            ("", 1),
        ] {
            assert_eq!(count_values(json.as_bytes()), count, "{json}");
        }
    }

    #[test]
    fn a_body_of_too_many_values_is_not_parsed() {
        #[derive(Debug, Deserialize)]
        struct Input {}
        let body = |values: usize| format!(r#"{{"x":[{}0]}}"#, "0,".repeat(values - 3));
        assert!(object::<Input>(body(VALUES_MAX).as_bytes()).is_ok());
        let refused = object::<Input>(body(VALUES_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(refused.code(), Code::PayloadTooLarge);
    }

    #[test]
    fn the_largest_inputs_fit_with_every_character_escaped() {
        let text = |characters: usize| "\\ud83d\\udd8b".repeat(characters);
        let (name, prose) = (text(NAME_CHARACTERS_MAX), text(PROSE_CHARACTERS_MAX));
        let package = format!(r#"{{"name":"{name}","priceIdr":9007199254740991,"description":"{prose}"}}"#);
        let packages = vec![package; PACKAGES_MAX].join(",");
        let service = format!(r#"{{"slug":"{name}","name":"{name}","description":"{prose}","packages":[{packages}]}}"#);
        let bank = format!(r#"{{"bankName":"{name}","accountNumber":"{name}","accountHolder":"{name}"}}"#);
        let banks = vec![bank; BANK_ACCOUNTS_MAX].join(",");
        let storefront = format!(
            r#"{{"slug":"{name}","displayName":"{name}","bio":"{prose}","manualBankAccounts":[{banks}],"manualInstructions":"{prose}"}}"#
        );
        let mail = text(EMAIL_BYTES_MAX);
        let order = format!(
            r#"{{"serviceSlug":"{name}","packageName":"{name}","buyerName":"{name}","buyerEmail":"{mail}","buyerPhone":"{name}","preferredDate":"{name}","notes":"{prose}"}}"#
        );
        assert!(object::<ServiceInput>(service.as_bytes()).is_ok() && service.len() < 160 * 1024, "{}", service.len());
        assert!(object::<StorefrontInput>(storefront.as_bytes()).is_ok() && storefront.len() < KEYED_JSON_BYTES_MAX);
        assert!(
            object::<OrderInput>(order.as_bytes()).is_ok() && order.len() < PUBLIC_JSON_BYTES_MAX,
            "{}",
            order.len()
        );
    }

    #[test]
    fn unknown_fields_and_nulls_are_passed_over() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Input {
            #[serde(default)]
            a: Option<u32>,
        }
        assert_eq!(parse::<Input>(br#"{"a":null,"b":[[{}]]}"#).unwrap(), Input { a: None });
        assert_eq!(parse::<Input>(br#"{"a":1,"a":2}"#).unwrap(), Input { a: Some(2) });
        assert!(parse::<Input>(b"{\"a\xff\":1}").is_err());
    }

    /// A body that comes in these parts, each after a pause.
    fn intake(parts: Vec<(u64, &'static [u8])>) -> Intake {
        let body = futures_util::stream::unfold(parts.into_iter(), |mut parts| async move {
            let (seconds, bytes) = parts.next()?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(bytes)), parts))
        });
        Intake::of(&mut Request::new(Body::from_stream(body)), &Arc::new(Spool::in_folder(std::env::temp_dir())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time_and_no_more() {
        let patient = intake(vec![(9, b"a"); 6]);
        assert_eq!(patient.read(6).await.unwrap(), b"aaaaaa");
        assert_eq!(patient.drain().await, Drained::Wholly);
        for slow in [vec![(9, &b"a"[..]), (11, b"b")], vec![(9, b"a"); 7]] {
            let began = Instant::now();
            let slow = intake(slow);
            let refused = slow.read(100).await.unwrap_err();
            assert_eq!(refused.code(), serront_core::primitives::rejection::Code::ValidationError);
            assert!(began.elapsed() <= TIME_MAX);
            let refused_at = Instant::now();
            assert_eq!(slow.drain().await, Drained::Partly);
            assert_eq!(refused_at.elapsed(), Duration::ZERO, "it is not waited for any more");
        }
    }
}
