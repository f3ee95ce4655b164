//! The ledger as CSV: the seller's legs, newest first, however many there are.
//!
//! It is read a page at a time, as fast as the client takes it, so it needs the memory of a page. A failure in the middle breaks
//! the connection off: what arrived is then no whole answer, and no client takes it for one.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Version, header};
use axum::response::{IntoResponse, Response};
use csv::{Terminator, WriterBuilder};
use futures_util::stream;
use serront_core::ids::AccountId;
use serront_core::ledger::LedgerEntry;
use serront_core::page::{EntryFilter, EntryPosition, Limit, Page};
use serront_core::ports::{PortError, WorkStorage};
use serront_core::rejection::Invalid;
use serront_core::service::Failure;
use serront_core::view::CURRENCY;
use tracing::Span;

use super::ledger::filter;
use crate::auth::Enabled;
use crate::envelope::Problem;
use crate::log::describe;
use crate::outgoing::until_sent;
use crate::query::Query;

/// What a page takes in memory, and once more as it is sent: a thousand rows of a few hundred bytes.
const PAGE_BYTES: usize = 1024 * 1024;
const COLUMNS: [&str; 10] =
    ["id", "txId", "createdAt", "code", "direction", "amount", "currency", "sourceType", "sourceId", "description"];

pub(crate) async fn entries(Enabled(caller): Enabled, version: Version, query: Query) -> Result<Response, Problem> {
    if version < Version::HTTP_11 {
        // There the end of the connection is the end of the answer, also where it broke off.
        return Err(Invalid::new("", "an export is sent over HTTP/1.1 or later").into());
    }
    let (from, before) = query.period("from", "to")?;
    let filter = EntryFilter { from, before, ..filter(&query)? };
    let held = caller.room(PAGE_BYTES).await?;
    let export = Export { storage: Arc::clone(caller.storage()), account_id: caller.account(), filter };
    // A storage that fails at once is told in the envelope.
    let first = export.page(None).await.map_err(Failure::from)?;
    let mut head = Vec::new();
    write_rows(&mut head, [COLUMNS]).map_err(|_| Problem::internal("the head of a CSV can't be written"))?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ledger-entries.csv\""),
        (header::CACHE_CONTROL, "private, no-store"),
    ];
    Ok((headers, until_sent(export.body(head, first), held)).into_response())
}

/// What is read, for as long as the client takes it.
struct Export {
    storage: Arc<dyn WorkStorage>,
    account_id: AccountId,
    filter: EntryFilter,
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
        write_rows(&mut bytes, page.rows.iter().map(cells)).map_err(PortError::permanent)?;
        Ok(Some((bytes.into(), page.position(LedgerEntry::position).map_or(Next::End, Next::Read))))
    }
}

fn write_rows<R, C>(into: &mut Vec<u8>, rows: impl IntoIterator<Item = R>) -> csv::Result<()>
where
    R: IntoIterator<Item = C>,
    C: AsRef<[u8]>,
{
    // As RFC 4180 has it.
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(into);
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(writer.flush()?)
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
        let mut bytes = Vec::new();
        write_rows(&mut bytes, [["a,b", "say \"no\""], ["two\nlines", "日本"]]).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "\"a,b\",\"say \"\"no\"\"\"\r\n\"two\nlines\",日本\r\n");
    }
}
