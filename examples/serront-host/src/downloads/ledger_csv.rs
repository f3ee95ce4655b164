//! The ledger as CSV: all of the seller's legs, newest first.
//!
//! It is read a page at a time, as fast as the client receives it, so it takes the memory of one page. A failure in the middle
//! closes the connection, so that the client sees an incomplete answer.
//!
//! **No row is missed.** An entry's time is the time of its decision, but it is committed a little later. So the entries of the
//! last minutes may be incomplete. A `to` in that time is refused, since an export that starts there would miss the late ones. The
//! header `Serront-Complete-Before` tells up to which time an answer is complete: start the next export `from` there.
//!
//! `separator` and `bom` make a file that a spreadsheet opens as a table. There is no `sep=` line: with one before it, Excel
//! ignores the byte order mark and reads the texts in another encoding.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use csv::{Terminator, WriterBuilder};
use futures_util::stream;
use serront_core::funds::ledger::{EntryCode, LedgerEntry, POSTED_WITHIN, SourceType};
use serront_core::ports::{PortError, WorkStorage};
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::money::CURRENCY;
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::provider::OPAQUE_BYTES_MAX;
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::time::Timestamp;
use serront_core::service::Failure;
use serront_core::snapshots::{EntryFilter, EntryPosition};
use tracing::Span;

use crate::auth::Enabled;
use crate::log::describe;
use crate::outgoing::until_sent;
use crate::problem::Problem;
use crate::query::{Period, Query};

/// Memory of a page and of its copy that is being sent: a thousand rows of a few hundred bytes.
const PAGE_BYTES: usize = 1024 * 1024;
const COMPLETE_BEFORE: &str = "serront-complete-before";
const COLUMNS: [&str; 10] =
    ["id", "txId", "createdAt", "code", "direction", "amount", "currency", "sourceType", "sourceId", "description"];

pub(crate) async fn ledger_csv(Enabled(caller): Enabled, version: Version, query: Query) -> Result<Response, Problem> {
    if version < Version::HTTP_11 {
        // In HTTP/1.0 a closed connection ends the answer, so a client could not see that it is incomplete.
        return Err(Invalid::new("", "an export is sent over HTTP/1.1 or later").into());
    }
    let period = query.period("from", "to")?;
    let Period { from, before, .. } = period;
    let filter = EntryFilter { from, before, ..entry_filter(&query)? };
    let form = Form::of(&query)?;
    // Asked before the first read, so that the reads include everything that is complete by then.
    let complete_before = caller.storage().complete_before().await.map_err(Failure::from)?;
    check_end(&period, complete_before, caller.now())?;
    let held = caller.room(PAGE_BYTES).await?;
    let export = Export { storage: Arc::clone(caller.storage()), account_id: caller.account(), filter, form };
    // If the first read fails, the envelope can still report it.
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

/// Refuses an end that has just passed by any clock: the period looks complete but is not yet. An end well in the future, a day
/// that has not ended, or no end at all mean "up to now" and are accepted.
fn check_end(period: &Period, complete_before: Timestamp, now: Timestamp) -> Result<(), Invalid> {
    let Some(end) = period.before else { return Ok(()) };
    let ahead = if period.ends_with_a_day { Duration::ZERO } else { POSTED_WITHIN };
    if end <= complete_before || end > now.plus(ahead) {
        return Ok(());
    }
    let again = end.plus(POSTED_WITHIN);
    let when = if again > now { format!("after {again}") } else { "in some minutes".to_owned() };
    let reason = format!(
        "has just passed, and entries before it may still arrive; try again {when}, or omit it to export up to now"
    );
    Err(Invalid::new("to", reason))
}

/// What the export reads while the client receives it.
struct Export {
    storage: Arc<dyn WorkStorage>,
    account_id: AccountId,
    filter: EntryFilter,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
struct Form {
    separator: u8,
    has_byte_order_mark: bool,
}

impl Form {
    /// RFC 4180, unless the query asks for something else.
    fn of(query: &Query) -> Result<Self, Invalid> {
        let separator = match query.one("separator")? {
            None | Some("comma") => b',',
            // Spreadsheets expect it where numbers contain commas, as in Indonesia.
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

    /// The text before the first row: the byte order mark, by which spreadsheets recognise UTF-8.
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

enum Next {
    /// Write the text and a page that was already read.
    Write(Vec<u8>, Page<LedgerEntry>),
    /// Read the page after this position.
    Read(EntryPosition),
    End,
}

impl Export {
    async fn page(&self, after: Option<EntryPosition>) -> Result<Page<LedgerEntry>, PortError> {
        self.storage.entries(self.account_id, &self.filter, after, Limit::EXPORT).await
    }

    /// The rows. Each page is read after the client has received the one before.
    fn body(self, head: Vec<u8>, first: Page<LedgerEntry>) -> Body {
        let span = Span::current();
        Body::from_stream(stream::try_unfold((self, Next::Write(head, first)), move |(export, next)| {
            let span = span.clone();
            async move {
                let piece = export.piece(next).await.inspect_err(|error| {
                    span.in_scope(|| tracing::error!(cause = describe(error), "an export was aborted"));
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

/// Makes a foreign text safe for spreadsheets: an apostrophe is put before one that would be a formula, even behind blanks, which
/// some spreadsheets skip.
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
        // An open transaction delays the time up to which entries are complete.
        let period = Period { from: None, before: Some(end), ends_with_a_day: true };
        assert!(check_end(&period, end.minus(minute), end.plus(minute * 600)).is_err());
    }

    #[test]
    fn a_formula_becomes_a_text() {
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
