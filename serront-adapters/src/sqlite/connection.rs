//! Statements, and the two kinds of connections that they run on.
//!
//! ```text
//! Own   a connection of the storage: rusqlite, on the thread that calls; never waits for another thread
//! Host  a connection of the host: sqlx, which hands each statement to a thread of its own
//! ```
//!
//! Both are written as futures, so that each read and each write is there once. On a connection of the storage such a future
//! is ready at its first poll, which [`at_once`] does.

use std::borrow::Cow;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, ToSql};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments as _, AssertSqlSafe, Column as _, Row as _, TypeInfo as _, ValueRef as _};

use crate::sql::cells::{Cell, Cells, Read};
use crate::sql::error::Failed;

/// A connection that runs statements.
pub(super) enum Connection<'c> {
    Own(&'c mut rusqlite::Connection),
    Host(&'c mut SqliteConnection),
}

/// The result of a future that waits for nothing, because its statements run on the calling thread.
///
/// # Errors
/// [`Failed::Refused`] if it waits nevertheless, which would be a bug.
pub(super) fn at_once<T>(future: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    poll_once(future).unwrap_or(Err(Failed::Refused("a statement waited for another thread")))
}

/// The result of a future that is ready at its first poll; `None` if it waits.
pub(super) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A statement with the values of its parameters.
///
/// Parameters are `?`, or `?1` and `$1` for one that stands in several places.
#[derive(Debug, Default)]
pub(super) struct Query<'q> {
    sql: Cow<'q, str>,
    values: Vec<Cell>,
}

pub(super) fn query<'q>(sql: impl Into<Cow<'q, str>>) -> Query<'q> {
    Query { sql: sql.into(), values: Vec::new() }
}

impl<'q> Query<'q> {
    /// Binds the next parameter.
    pub(super) fn bind(mut self, value: impl Into<Cell>) -> Self {
        self.add(value);
        self
    }

    /// Binds the next parameter of a statement that is still being written.
    pub(super) fn add(&mut self, value: impl Into<Cell>) {
        self.values.push(value.into());
    }

    /// The text, to be continued.
    pub(super) fn text(&mut self) -> &mut String {
        self.sql.to_mut()
    }

    /// Runs the statement, and returns its rows.
    pub(super) async fn fetch_all(self, connection: &mut Connection<'_>) -> Result<Vec<SqliteRow>, Failed> {
        match connection {
            Connection::Own(connection) => Ok(rows(connection, &self)?),
            Connection::Host(connection) => hosts_rows(connection, self.sql.into_owned(), self.values).await,
        }
    }

    /// Runs the statement, and returns its first row if there is one.
    pub(super) async fn fetch_optional(self, connection: &mut Connection<'_>) -> Result<Option<SqliteRow>, Failed> {
        Ok(self.fetch_all(connection).await?.into_iter().next())
    }

    /// Runs the statement, and returns its row.
    pub(super) async fn fetch_one(self, connection: &mut Connection<'_>) -> Result<SqliteRow, Failed> {
        self.fetch_optional(connection).await?.ok_or(Failed::Unreadable("row"))
    }

    /// Runs the statement, and returns how many rows it changed.
    pub(super) async fn execute(self, connection: &mut Connection<'_>) -> Result<u64, Failed> {
        match connection {
            Connection::Own(connection) => {
                let mut statement = prepared(connection, &self)?;
                Ok(u64::try_from(statement.raw_execute()?).unwrap_or(u64::MAX))
            }
            Connection::Host(connection) => {
                let arguments = arguments(self.values)?;
                let sql = AssertSqlSafe(self.sql.into_owned());
                Ok(sqlx::query_with(sql, arguments).execute(&mut **connection).await?.rows_affected())
            }
        }
    }
}

/// Runs statements one after another up to the first that fails, and returns the rows of all.
pub(super) async fn run_all(
    statements: Vec<Query<'_>>,
    connection: &mut Connection<'_>,
) -> Result<Vec<SqliteRow>, Failed> {
    match connection {
        Connection::Own(connection) => {
            let mut found = Vec::new();
            for statement in &statements {
                found.append(&mut rows(connection, statement)?);
            }
            Ok(found)
        }
        // One text, because each statement handed to the driver's thread costs two thread switches.
        Connection::Host(connection) => {
            let (texts, values): (Vec<_>, Vec<_>) =
                statements.into_iter().map(|query| (query.sql, query.values)).unzip();
            hosts_rows(connection, texts.join(";\n"), values.into_iter().flatten().collect()).await
        }
    }
}

/// Runs a statement on a connection of the storage, and passes on the values of each row as it is read. For the books: they
/// have too many rows to keep.
pub(super) fn each<const N: usize>(
    connection: &mut Connection<'_>,
    query: &Query<'_>,
    mut take: impl FnMut([ValueRef<'_>; N]),
) -> Result<(), Failed> {
    let Connection::Own(connection) = connection else {
        return Err(Failed::Refused("rows are passed on only on a connection of the storage"));
    };
    let mut statement = prepared(connection, query)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let mut values = [ValueRef::Null; N];
        for (column, value) in values.iter_mut().enumerate() {
            *value = row.get_ref(column)?;
        }
        take(values);
    }
    Ok(())
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Text(Some(text)) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Int(Some(number)) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Flag(flag) => ToSqlOutput::Owned(Value::Integer(i64::from(*flag))),
            Self::Text(None) | Self::Int(None) => ToSqlOutput::Owned(Value::Null),
        })
    }
}

/// The prepared statement with its parameters. A connection keeps its statements.
fn prepared<'c>(connection: &'c rusqlite::Connection, query: &Query<'_>) -> rusqlite::Result<CachedStatement<'c>> {
    let mut statement = connection.prepare_cached(&query.sql)?;
    let count = statement.parameter_count();
    // SQLite numbers `$2` by where it stands first, not by its name.
    let by_name = query.sql.contains('$');
    for index in 1..=count {
        let name = if by_name { statement.parameter_name(index) } else { None };
        let place = name.and_then(|name| name.strip_prefix('$')?.parse().ok()).unwrap_or(index);
        let value = place.checked_sub(1).and_then(|place: usize| query.values.get(place));
        let value = value.ok_or(rusqlite::Error::InvalidParameterCount(query.values.len(), count))?;
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(statement)
}

/// Room for the names and texts of an answer at first: about those of one snapshot.
const TEXT_BYTES: usize = 4_096;

fn rows(connection: &rusqlite::Connection, query: &Query<'_>) -> rusqlite::Result<Vec<SqliteRow>> {
    let mut statement = prepared(connection, query)?;
    let columns = statement.column_count();
    let mut found = Table { text: String::with_capacity(TEXT_BYTES), ..Table::default() };
    for column in 0..columns {
        found.name(statement.column_name(column)?);
    }
    let mut rows = statement.raw_query();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        for column in 0..columns {
            match row.get_ref(column)? {
                ValueRef::Null => found.cells.push(Stored::Null),
                ValueRef::Integer(number) => found.cells.push(Stored::Int(number)),
                ValueRef::Text(text) => found.add_text(std::str::from_utf8(text).ok()),
                ValueRef::Real(_) | ValueRef::Blob(_) => found.cells.push(Stored::Other),
            }
        }
    }
    Ok(found.rows(count))
}

fn arguments(values: Vec<Cell>) -> Result<SqliteArguments, Failed> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        let added = match value {
            Cell::Text(text) => arguments.add(text),
            Cell::Int(number) => arguments.add(number),
            Cell::Flag(flag) => arguments.add(flag),
        };
        added.map_err(|_| Failed::Refused("a value that can't be sent"))?;
    }
    Ok(arguments)
}

async fn hosts_rows(
    connection: &mut SqliteConnection,
    sql: String,
    values: Vec<Cell>,
) -> Result<Vec<SqliteRow>, Failed> {
    let answered = sqlx::query_with(AssertSqlSafe(sql), arguments(values)?).fetch_all(connection).await?;
    let mut found = Table::default();
    for column in answered.first().map(sqlx::sqlite::SqliteRow::columns).unwrap_or_default() {
        found.name(column.name());
    }
    for row in &answered {
        for column in 0..row.len() {
            let value = row.try_get_raw(column)?;
            if value.is_null() {
                found.cells.push(Stored::Null);
                continue;
            }
            let kind = value.type_info();
            match kind.name() {
                "INTEGER" => found.cells.push(Stored::Int(row.try_get_unchecked(column)?)),
                "TEXT" => found.add_text(row.try_get_unchecked(column).ok()),
                _ => found.cells.push(Stored::Other),
            }
        }
    }
    Ok(found.rows(answered.len()))
}

/// A stored value; a text is a part of its table's.
#[derive(Debug, Clone)]
enum Stored {
    Null,
    Int(i64),
    Text(Range<usize>),
    /// A type that no column has, or a text that is not UTF-8.
    Other,
}

/// The rows of one answer. Names and texts share one allocation, because an answer has many of them.
#[derive(Debug, Default)]
struct Table {
    text: String,
    names: Vec<Range<usize>>,
    cells: Vec<Stored>,
}

impl Table {
    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn name(&mut self, name: &str) {
        let name = self.keep(name);
        self.names.push(name);
    }

    fn add_text(&mut self, text: Option<&str>) {
        let stored = text.map_or(Stored::Other, |text| Stored::Text(self.keep(text)));
        self.cells.push(stored);
    }

    fn rows(self, count: usize) -> Vec<SqliteRow> {
        let table = Arc::new(self);
        let row = |at| SqliteRow { table: Arc::clone(&table), at, next: AtomicUsize::new(0) };
        (0..count).map(row).collect()
    }
}

/// A row of an answer.
#[derive(Debug)]
pub(super) struct SqliteRow {
    table: Arc<Table>,
    at: usize,
    /// The column after the one that was read last. Columns are mostly read in their order.
    next: AtomicUsize,
}

impl SqliteRow {
    fn cell(&self, column: &str) -> Result<&Stored, Failed> {
        let Table { text, names, cells } = &*self.table;
        let first = self.next.load(Ordering::Relaxed).min(names.len());
        let is_named = |place: &usize| names.get(*place).and_then(|name| text.get(name.clone())) == Some(column);
        let place = (first..names.len()).find(is_named).or_else(|| (0..first).find(is_named));
        let place = place.ok_or(Failed::Refused("a statement without a column that is read"))?;
        self.next.store(place + 1, Ordering::Relaxed);
        cells.get(self.at * names.len() + place).ok_or(Failed::Unreadable("row"))
    }
}

/// The stored value is of another type.
const OTHER: Failed = Failed::Unreadable("text");

impl Cells for SqliteRow {
    fn optional_text(&self, column: &str) -> Read<Option<&str>> {
        match self.cell(column)? {
            Stored::Null => Ok(None),
            Stored::Text(range) => self.table.text.get(range.clone()).map(Some).ok_or(OTHER),
            Stored::Int(_) | Stored::Other => Err(OTHER),
        }
    }

    fn optional_int(&self, column: &str) -> Read<Option<i64>> {
        match self.cell(column)? {
            Stored::Null => Ok(None),
            Stored::Int(number) => Ok(Some(*number)),
            Stored::Text(_) | Stored::Other => Err(OTHER),
        }
    }

    fn text(&self, column: &str) -> Read<&str> {
        self.optional_text(column)?.ok_or(OTHER)
    }

    fn int(&self, column: &str) -> Read<i64> {
        self.optional_int(column)?.ok_or(OTHER)
    }

    fn flag(&self, column: &str) -> Read<bool> {
        self.int(column).map(|flag| flag != 0)
    }
}
