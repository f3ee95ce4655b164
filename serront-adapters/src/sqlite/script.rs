//! Statements that run one after another, and are written piece by piece.

use serront_core::orders::order::Order;

use super::connection::{Connection, Query, SqliteRow, query, run_all};
use crate::sql::cells::Cell;
use crate::sql::error::Failed;
use crate::sql::tables::{Columns, Record};
use crate::sql::writes::Verb;

/// Statements with the values of their parameters.
#[derive(Default)]
pub(super) struct Script {
    statements: Vec<Query<'static>>,
    /// The columns of the last statement, if it is an insertion that can take more rows.
    inserting: Option<&'static Columns>,
}

impl Script {
    /// Begins the next statement.
    pub(super) fn add(&mut self, statement: &str) -> &mut Self {
        self.inserting = None;
        self.statements.push(query(statement.to_owned()));
        self
    }

    /// Appends to the present one.
    pub(super) fn push(&mut self, more: &str) -> &mut Self {
        if let Some(last) = self.statements.last_mut() {
            last.text().push_str(more);
        }
        self
    }

    /// Binds the next parameter of the present one.
    pub(super) fn bind(&mut self, value: impl Into<Cell>) -> &mut Self {
        if let Some(last) = self.statements.last_mut() {
            last.add(value);
        }
        self
    }

    /// Puts the statements into a savepoint.
    pub(super) fn within(&mut self, savepoint: &str) {
        self.statements.insert(0, query(format!("SAVEPOINT {savepoint}")));
        self.add(&format!("RELEASE {savepoint}"));
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
                        self.bind(std::mem::replace(cell, Cell::Int(None)));
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
            self.bind(cell);
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
            self.bind(cell);
        }
        self.bind(account.to_owned());
    }

    /// Runs the statements up to the first that fails, and returns their rows.
    pub(super) async fn run(self, connection: &mut Connection<'_>) -> Result<Vec<SqliteRow>, Failed> {
        run_all(self.statements, connection).await
    }

    /// Runs one statement of one row.
    pub(super) async fn one(self, connection: &mut Connection<'_>) -> Result<SqliteRow, Failed> {
        self.run(connection).await?.into_iter().next().ok_or(Failed::Unreadable("row"))
    }
}
