//! The ledger as CSV: the seller's legs, newest first, however many there are.
//!
//! It is read a page at a time, as fast as the client takes it, so it needs the memory of a page. A failure in the middle breaks
//! the connection off: what arrived is then no whole answer, and no client takes it for one.
//!
//! **No row is missed.** An entry carries the time of its decision and lands a little later, so what was posted shortly before now
//! may not be complete. A `to` in that time is refused, since an export that begins there would not have what came late. The header
//! `Serront-Complete-Before` says up to when an answer is complete: the next export starts `from` there.
//!
//! `separator` and `bom` make it one that a spreadsheet opens as a table. There is no `sep=` line, since Excel takes no byte order
//! mark for one where a file begins with it, and reads the texts in another encoding.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use csv::{Terminator, WriterBuilder};
use futures_util::stream;
use serront_core::checkout::OPAQUE_BYTES_MAX;
use serront_core::ids::AccountId;
use serront_core::ledger::{EntryCode, LedgerEntry, POSTED_WITHIN, SourceType};
use serront_core::page::{EntryFilter, EntryPosition, Limit, Page};
use serront_core::ports::{PortError, WorkStorage};
use serront_core::rejection::Invalid;
use serront_core::service::Failure;
use serront_core::time::Timestamp;
use serront_core::view::CURRENCY;
use tracing::Span;

use crate::auth::Enabled;
use crate::log::describe;
use crate::outgoing::until_sent;
use crate::problem::Problem;
use crate::query::{Period, Query};

/// What a page takes in memory, and once more as it is sent: a thousand rows of a few hundred bytes.
const PAGE_BYTES: usize = 1024 * 1024;
/// The header that says up to when an answer is complete.
const COMPLETE_BEFORE: &str = "serront-complete-before";
const COLUMNS: [&str; 10] =
    ["id", "txId", "createdAt", "code", "direction", "amount", "currency", "sourceType", "sourceId", "description"];

pub(crate) async fn ledger_csv(Enabled(caller): Enabled, version: Version, query: Query) -> Result<Response, Problem> {
    if version < Version::HTTP_11 {
        // There the end of the connection is the end of the answer, also where it broke off.
        return Err(Invalid::new("", "an export is sent over HTTP/1.1 or later").into());
    }
    let period = query.period("from", "to")?;
    let Period { from, before, .. } = period;
    let filter = EntryFilter { from, before, ..entry_filter(&query)? };
    let form = Form::of(&query)?;
    // Before anything is read: what is complete then is in what is read.
    let complete_before = caller.storage().complete_before().await.map_err(Failure::from)?;
    check_end(&period, complete_before, caller.now())?;
    let held = caller.room(PAGE_BYTES).await?;
    let export = Export { storage: Arc::clone(caller.storage()), account_id: caller.account(), filter, form };
    // A storage that fails at once is told in the envelope.
    let first = export.page(None).await.map_err(Failure::from)?;
    let mut head = form.beginning();
    form.write_rows(&mut head, [COLUMNS]).map_err(|_| Problem::internal("the head of a CSV can't be written"))?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ledger-entries.csv\""),
        (header::CACHE_CONTROL, "private, no-store"),
    ];
    let complete_before = before.map_or(complete_before, |before| before.min(complete_before));
    let complete = [(COMPLETE_BEFORE, complete_before.to_string())];
    Ok((headers, complete, until_sent(export.body(head, first), held)).into_response())
}

/// The filter of a query, without its period.
pub(crate) fn entry_filter(query: &Query) -> Result<EntryFilter, Invalid> {
    Ok(EntryFilter {
        code: query.filter("code", EntryCode::parse, "must be one of all, sale, module_fee, payout, adjustment")?,
        source_type: query.filter(
            "sourceType",
            SourceType::parse,
            "must be one of all, checkout_session, payout, adjustment",
        )?,
        source_id: query.one("sourceId")?.map(source_id).transpose()?,
        ..EntryFilter::default()
    })
}

/// Plugipay's ids are opaque: only length and characters can be checked.
fn source_id(raw: &str) -> Result<String, Invalid> {
    let is_id = (1..=OPAQUE_BYTES_MAX).contains(&raw.len()) && raw.bytes().all(|byte| byte.is_ascii_graphic());
    if is_id { Ok(raw.to_owned()) } else { Err(Invalid::new("sourceId", "must be a well-formed id")) }
}

/// Refuses an end that has only just passed, by whichever clock: what is asked for looks like a whole period, and is none yet. One that
/// lies well ahead asks for what there is now, as none at all does; so does a day that has not ended.
fn check_end(period: &Period, complete_before: Timestamp, now: Timestamp) -> Result<(), Invalid> {
    let Some(end) = period.before else { return Ok(()) };
    let ahead = if period.ends_with_a_day { Duration::ZERO } else { POSTED_WITHIN };
    if end <= complete_before || end > now.plus(ahead) {
        return Ok(());
    }
    let again = end.plus(POSTED_WITHIN);
    let when = if again > now { format!("after {again}") } else { "in some minutes".to_owned() };
    let reason = format!(
        "has passed, and entries from before it may still come; ask again {when}, or leave it out for what is there now"
    );
    Err(Invalid::new("to", reason))
}

/// What is read, for as long as the client takes it.
struct Export {
    storage: Arc<dyn WorkStorage>,
    account_id: AccountId,
    filter: EntryFilter,
    form: Form,
}

/// How the rows are written.
#[derive(Debug, Clone, Copy)]
struct Form {
    separator: u8,
    has_byte_order_mark: bool,
}

impl Form {
    /// As RFC 4180 has it, unless something else is asked for.
    fn of(query: &Query) -> Result<Self, Invalid> {
        let separator = match query.one("separator")? {
            None | Some("comma") => b',',
            // Where a comma stands in numbers, as in Indonesia, spreadsheets expect this one.
            Some("semicolon") => b';',
            Some("tab") => b'\t',
            Some(_) => return Err(Invalid::new("separator", "must be one of comma, semicolon, tab")),
        };
        let has_byte_order_mark = match query.one("bom")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Invalid::new("bom", "must be true or false")),
        };
        Ok(Self { separator, has_byte_order_mark })
    }

    /// What stands before the first row: the mark by which a spreadsheet knows UTF-8.
    fn beginning(self) -> Vec<u8> {
        if self.has_byte_order_mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() }
    }

    fn write_rows<R, C>(self, into: &mut Vec<u8>, rows: impl IntoIterator<Item = R>) -> csv::Result<()>
    where
        R: IntoIterator<Item = C>,
        C: AsRef<[u8]>,
    {
        let mut writer = WriterBuilder::new().delimiter(self.separator).terminator(Terminator::CRLF).from_writer(into);
        for row in rows {
            writer.write_record(row)?;
        }
        Ok(writer.flush()?)
    }
}

/// How far it is.
enum Next {
    /// This was read, and is to be written.
    Write(Vec<u8>, Page<LedgerEntry>),
    /// This is to be read.
    Read(EntryPosition),
    /// Nothing is left.
    End,
}

impl Export {
    async fn page(&self, after: Option<EntryPosition>) -> Result<Page<LedgerEntry>, PortError> {
        self.storage.entries(self.account_id, &self.filter, after, Limit::EXPORT).await
    }

    /// The rows, each page once the one before was taken.
    fn body(self, head: Vec<u8>, first: Page<LedgerEntry>) -> Body {
        let span = Span::current();
        Body::from_stream(stream::try_unfold((self, Next::Write(head, first)), move |(export, next)| {
            let span = span.clone();
            async move {
                let piece = export.piece(next).await.inspect_err(|error| {
                    span.in_scope(|| tracing::error!(cause = describe(error), "an export broke off"));
                })?;
                Ok::<_, PortError>(piece.map(|(bytes, next)| (bytes, (export, next))))
            }
        }))
    }

    async fn piece(&self, next: Next) -> Result<Option<(Bytes, Next)>, PortError> {
        let (mut bytes, page) = match next {
            Next::Write(head, page) => (head, page),
            Next::Read(after) => (Vec::new(), self.page(Some(after)).await?),
            Next::End => return Ok(None),
        };
        self.form.write_rows(&mut bytes, page.rows.iter().map(cells)).map_err(PortError::permanent)?;
        Ok(Some((bytes.into(), page.position(LedgerEntry::position).map_or(Next::End, Next::Read))))
    }
}

fn cells(entry: &LedgerEntry) -> [String; COLUMNS.len()] {
    [
        entry.id.to_string(),
        entry.tx_id.to_string(),
        entry.created_at.to_string(),
        entry.code.as_str().to_owned(),
        entry.direction.as_str().to_owned(),
        entry.amount.get().to_string(),
        CURRENCY.to_owned(),
        entry.source_type.as_str().to_owned(),
        defused(&entry.source_id),
        defused(entry.description.as_deref().unwrap_or_default()),
    ]
}

/// A text that somebody else wrote, as a cell that no spreadsheet calculates: one that would begin a formula is begun with an
/// apostrophe. Blanks before it keep some of them from nothing.
fn defused(text: &str) -> String {
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_has_only_just_ended_is_not_exported_yet() {
        let end = Timestamp::from_millis(1_795_453_200_000);
        let minute = Duration::from_secs(60);
        let checked = |now: Timestamp, ends_with_a_day: bool| {
            let period = Period { from: None, before: Some(end), ends_with_a_day };
            check_end(&period, now.minus(POSTED_WITHIN), now).is_ok()
        };
        for (now, as_day, as_time) in [
            (end.minus(POSTED_WITHIN + minute), true, true),
            (end.minus(minute), true, false),
            (end, false, false),
            (end.plus(POSTED_WITHIN - minute), false, false),
            (end.plus(POSTED_WITHIN), true, true),
        ] {
            assert_eq!((checked(now, true), checked(now, false)), (as_day, as_time), "{now}");
        }
        // A transaction that is open keeps all that may still be written into from being complete.
        let period = Period { from: None, before: Some(end), ends_with_a_day: true };
        assert!(check_end(&period, end.minus(minute), end.plus(minute * 600)).is_err());
    }

    #[test]
    fn what_would_be_a_formula_is_a_text() {
        for formula in ["=1+1", "+62 812", "-1", "@SUM(A1)", " =1", "\t=1", "\r\n=1"] {
            assert_eq!(defused(formula), format!("'{formula}"));
        }
        for harmless in ["", " ", "Order 1", "a=b", "1-2"] {
            assert_eq!(defused(harmless), harmless);
        }
    }

    #[test]
    fn quotes_commas_and_line_breaks_stay_within_their_cell() {
        for (separator, expected) in [
            (b',', "\"a,b\",\"say \"\"no\"\"\"\r\n\"two\nlines\",c;d\r\n"),
            (b';', "a,b;\"say \"\"no\"\"\"\r\n\"two\nlines\";\"c;d\"\r\n"),
        ] {
            let mut bytes = Vec::new();
            let form = Form { separator, has_byte_order_mark: false };
            form.write_rows(&mut bytes, [["a,b", "say \"no\""], ["two\nlines", "c;d"]]).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }
}
