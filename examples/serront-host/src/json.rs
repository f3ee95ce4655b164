//! JSON of requests: an object within bounds, and refusals that name the field.
//!
//! Parsed values take up to sixty times the memory of their text, so the values are counted before parsing.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;
use serront_core::primitives::rejection::{Code, Invalid};

use crate::problem::Problem;

/// Most values of a body. The largest service has under fifty.
const VALUES_MAX: usize = 1_000;

/// Parses a JSON object. 413 for too many values, 400 with the field otherwise.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if count_values(bytes) > VALUES_MAX {
        return Err(Problem::of(Code::PayloadTooLarge, format!("the body has more than {VALUES_MAX} JSON values")));
    }
    Ok(parse(bytes)?)
}

/// An upper bound of the values in a JSON text. Also counts in invalid JSON, which parsing then refuses.
fn count_values(bytes: &[u8]) -> usize {
    let (mut count, mut quoted, mut escaped) = (1, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            // One of these precedes each value but the first.
            b'[' | b'{' | b',' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// Ignores unknown fields. If a field is given twice, the last one counts.
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

/// Says what was expected, never what was found: that may be a secret in the wrong field.
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

/// A JSON value that deserializes into a struct only if it is an object. Derived structs would also accept an array of their
/// fields, which the wire contract does not have.
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
        // serde would also accept an object with one field; the wire contract only has names.
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
    use crate::body::{KEYED_JSON_BYTES_MAX, PUBLIC_JSON_BYTES_MAX};

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
        assert_eq!(refused.code, Code::PayloadTooLarge);
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
    fn unknown_fields_and_nulls_are_ignored() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Input {
            #[serde(default)]
            a: Option<u32>,
        }
        assert_eq!(parse::<Input>(br#"{"a":null,"b":[[{}]]}"#).unwrap(), Input { a: None });
        assert_eq!(parse::<Input>(br#"{"a":1,"a":2}"#).unwrap(), Input { a: Some(2) });
        assert!(parse::<Input>(b"{\"a\xff\":1}").is_err());
    }
}
