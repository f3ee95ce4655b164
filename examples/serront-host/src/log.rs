//! The log line of a request: an allow-list of fields, so that nothing is logged by accident.
//!
//! It never contains the path (which holds access tokens), the query, a header or a body. It has the route's pattern instead.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serront_core::ports::{PortError, PortErrorKind};
use serront_core::primitives::ids::{AccountId, RequestId};
use serront_core::primitives::rejection::Code;

/// What inner layers learn about a request, for its log line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note(Arc<OnceLock<AccountId>>);

impl Note {
    /// Notes the account of the request's key.
    pub(crate) fn caller(&self, account: AccountId) {
        // A request has only one caller.
        let _ = self.0.set(account);
    }

    pub(crate) fn account(&self) -> Option<AccountId> {
        self.0.get().copied()
    }
}

/// The fields of a request's log line.
pub(crate) struct Line {
    pub(crate) request_id: RequestId,
    pub(crate) method: Method,
    pub(crate) route: Option<String>,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
    pub(crate) account_id: Option<AccountId>,
    pub(crate) code: Option<Code>,
    pub(crate) cause: Option<String>,
}

/// A standard method's name; another method would be text that the client chose.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

pub(crate) fn line(line: &Line) {
    let request_id = tracing::field::display(line.request_id);
    let method = method_name(&line.method);
    let route = line.route.as_deref().unwrap_or("none");
    let status = line.status.as_u16();
    let duration_ms = u64::try_from(line.took.as_millis()).unwrap_or(u64::MAX);
    let account_id = line.account_id.map(tracing::field::display);
    let code = line.code.map(Code::as_str);
    let cause = line.cause.as_deref();
    // `BUSY` and `NOT_CONFIGURED` are 5xx too, but without a cause they need no attention.
    if line.code == Some(Code::InternalError) {
        tracing::error!(request_id, method, route, status, duration_ms, account_id, code, cause, "answered");
    } else if cause.is_some() {
        tracing::warn!(request_id, method, route, status, duration_ms, account_id, code, cause, "answered");
    } else {
        tracing::info!(request_id, method, route, status, duration_ms, account_id, code, "answered");
    }
}

/// Most characters of a failure's description.
const DESCRIPTION_CHARACTERS_MAX: usize = 300;
/// Most characters of a word in a description. Column names are shorter; keys and tokens are longer.
const WORD_CHARACTERS_MAX: usize = 24;

/// Describes a port's failure and its sources without anything that could be a value.
///
/// A database or a mail server may repeat its input, quoted or not. So quoted text is removed, and of the rest only short words
/// of letters are kept: no digits (account numbers, tokens, keys) and no addresses. The sentence that the library's author wrote
/// remains.
pub(crate) fn describe(error: &PortError) -> String {
    let mut text = match error.kind() {
        PortErrorKind::Transient => "transient",
        PortErrorKind::Permanent => "permanent",
        PortErrorKind::Busy => "busy",
        PortErrorKind::OutcomeUnknown => "outcome unknown",
    }
    .to_owned();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&without_values(&error.to_string()));
        source = error.source();
    }
    text.chars().take(DESCRIPTION_CHARACTERS_MAX).collect()
}

fn without_values(text: &str) -> String {
    let mut outside = String::with_capacity(text.len());
    let mut quote = None;
    for character in text.chars() {
        match quote {
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'' | '`') => {
                quote = Some(character);
                outside.push('…');
            }
            None => outside.push(character),
        }
    }
    let words = outside.split_whitespace().map(|word| {
        let plain = word.chars().count() <= WORD_CHARACTERS_MAX
            && word.chars().all(|character| {
                character.is_ascii_alphabetic()
                    || matches!(character, '.' | ',' | ':' | ';' | '(' | ')' | '_' | '-' | '…')
            });
        if plain { word } else { "…" }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_described_without_values() {
        for (text, shown) in [
            ("database is locked", "database is locked"),
            ("UNIQUE constraint failed: orders.number", "UNIQUE constraint failed: orders.number"),
            ("(code: 5) no", "(code: … no"),
            ("550 no such user budi@example.com here", "… no such user … here"),
            ("bad value 'Bank BCA' for \"Renata\" `x`", "bad value … for … …"),
            ("unterminated 'secret text", "unterminated …"),
            ("key sk_live_0123 and aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "key … and …"),
            ("account 5550-123 456", "account … …"),
        ] {
            assert_eq!(without_values(text), shown);
        }
        let error = PortError::transient(std::io::Error::other("pipe 17 broke"));
        assert_eq!(describe(&error), "transient: pipe … broke");
    }
}
