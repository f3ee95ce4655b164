//! Statements that run one after another in one call. Each call costs two switches between a task and the engine's
//! thread, however many statements it has.

use serront_core::orders::order::Order;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Sqlite};

use crate::sql::cells::Cell;
use crate::sql::error::Failed;
use crate::sql::tables::{Columns, Record};
use crate::sql::writes::Verb;

/// The text of statements, and the values of their parameters in order.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
    unsendable: bool,
    /// The columns of the last statement, if it is an insertion that can take more rows.
    inserting: Option<&'static Columns>,
}

impl Script {
    /// Begins the next statement.
    pub(super) fn add(&mut self, statement: &str) -> &mut Self {
        self.inserting = None;
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        self.sql.push_str(statement);
        self
    }

    /// Appends to the present one.
    pub(super) fn push(&mut self, more: &str) -> &mut Self {
        self.sql.push_str(more);
        self
    }

    /// Binds the next parameter.
    pub(super) fn bind<'t, T>(&mut self, value: T) -> &mut Self
    where
        T: sqlx::Encode<'t, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.unsendable |= self.arguments.add(value).is_err();
        self
    }

    fn bind_cell(&mut self, cell: Cell) {
        match cell {
            Cell::Text(text) => self.bind(text),
            Cell::Int(number) => self.bind(number),
            Cell::Flag(flag) => self.bind(flag),
        };
    }

    /// Writes names with something after each and commas in between.
    fn list<'n>(&mut self, names: impl Iterator<Item = &'n str>, after: &str, between: &str) {
        for (place, name) in names.enumerate() {
            self.push(if place == 0 { "" } else { between }).push(name).push(after);
        }
    }

    /// Writes one row. Rows that are inserted one after another into the same table share a statement.
    pub(super) fn row(&mut self, verb: Verb, columns: &'static Columns, mut cells: Vec<Cell>) {
        let Columns { table, names, .. } = columns;
        match verb {
            Verb::Insert => {
                if self.inserting.is_some_and(|inserting| inserting.name == columns.name) {
                    self.push(", ");
                } else {
                    self.add("INSERT INTO ").push(table).push(" (");
                    self.list(names.iter().copied(), "", ", ");
                    self.push(") VALUES ");
                    self.inserting = Some(columns);
                }
                self.push("(");
                self.list(names.iter().map(|_| "?"), "", ", ");
                self.push(")");
            }
            Verb::Update => {
                self.add("UPDATE ").push(table).push(" SET ");
                self.list(columns.changed().map(|(_, name)| name), " = ?", ", ");
                self.push(columns.also_set).push(" WHERE ");
                self.list(columns.key().iter().copied(), " = ?", " AND ");
                for place in columns.changed().map(|(place, _)| place).chain(0..columns.key_len) {
                    if let Some(cell) = cells.get_mut(place) {
                        self.bind_cell(std::mem::replace(cell, Cell::Int(None)));
                    }
                }
                return;
            }
            Verb::Delete => {
                self.add("DELETE FROM ").push(table).push(" WHERE ");
                self.list(columns.key().iter().copied(), " = ?", " AND ");
            }
        }
        for cell in cells {
            self.bind_cell(cell);
        }
    }

    /// Inserts an order with the account's last number.
    pub(super) fn place_order(&mut self, cells: Vec<Cell>, account: &str) {
        let columns = <Order as Record>::COLUMNS;
        self.add("INSERT INTO orders (");
        self.list(columns.names.iter().copied(), ", ", "");
        self.push("number) VALUES (");
        self.list(columns.names.iter().map(|_| "?"), ", ", "");
        self.push("(SELECT last_number FROM order_numbers WHERE account_id = ?))");
        for cell in cells {
            self.bind_cell(cell);
        }
        self.bind(account.to_owned());
    }

    /// Runs the statements up to the first that fails, and returns their rows.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if self.unsendable {
            return Err(sqlx::Error::InvalidArgument("a value can't be sent".to_owned()));
        }
        sqlx::query_with(AssertSqlSafe(self.sql), self.arguments).fetch_all(connection).await
    }

    /// Runs one statement of one row.
    pub(super) async fn one(self, connection: &mut SqliteConnection) -> Result<SqliteRow, Failed> {
        self.run(connection).await?.into_iter().next().ok_or(Failed::Unreadable("row"))
    }
}
