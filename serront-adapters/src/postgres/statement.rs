//! A statement made of relations that it takes in and steps over them: composed of what a commit touches and nothing
//! else, for every step that finds nothing to do still costs.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;

use crate::sql::error::Failed;

/// One value of a relation. A column is of one kind in all of its rows.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Text(Option<String>),
    Int(Option<i64>),
    Flag(bool),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<&Option<String>> for Cell {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Cell {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Rows that a statement takes in. Each belongs to the `n`th of the change sets that share the statement.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    rows: Vec<(i64, Vec<Cell>)>,
}

impl Relation {
    pub(super) const fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, n: i64, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.name);
        self.rows.push((n, cells));
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Builds the text and the arguments.
pub(super) struct Builder {
    pub(super) sql: String,
    pub(super) arguments: PgArguments,
    count: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { sql: String::with_capacity(4_096), arguments: PgArguments::default(), count: 0 }
    }

    fn argument<'q, T>(&mut self, value: T) -> Result<(), Failed>
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.arguments.add(value).map_err(|_| Failed::Refused("a value that can't be sent"))?;
        self.count += 1;
        let _ = write!(self.sql, "${}", self.count);
        Ok(())
    }

    /// Begins the next step: `name AS `, after a comma if it is not the first.
    pub(super) fn step(&mut self, name: &str) -> &mut Self {
        self.sql.push_str(if self.sql.is_empty() { "WITH " } else { ",\n" });
        self.sql.push_str(name);
        self.sql.push_str(" AS ");
        self
    }

    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Bounds how long this statement waits for each lock, once its step `patience` is read. It says so itself, for to set it
    /// before and to set it back afterwards would be two more round trips.
    pub(super) fn patience(&mut self, patience: Duration) -> Result<(), Failed> {
        self.step("patience (ends)").push("MATERIALIZED (SELECT set_config('lock_timeout', ");
        // None at all would be no bound.
        self.argument(patience.as_millis().clamp(1, 60_000).to_string())?;
        self.push(", true))");
        Ok(())
    }

    /// Takes a relation in: as values where there is one change set, so that the planner sees single rows; as arrays
    /// where there are many, so that the text does not depend on how many.
    pub(super) fn relation(&mut self, relation: &Relation, many: bool) -> Result<(), Failed> {
        let columns = relation.columns.join(", ");
        self.step(&format!("{} (n, {columns})", relation.name)).push("NOT MATERIALIZED (");
        if many {
            self.arrays(relation)?
        } else {
            self.values(relation)?
        }
        self.push(")");
        Ok(())
    }

    fn values(&mut self, relation: &Relation) -> Result<(), Failed> {
        for (at, (n, cells)) in relation.rows.iter().enumerate() {
            self.push(if at == 0 { "VALUES (" } else { "), (" });
            let _ = write!(self.sql, "{n}::int8");
            for cell in cells {
                self.push(", ");
                match cell {
                    Cell::Text(text) => self.argument(text.clone())?,
                    Cell::Int(number) => self.argument(*number)?,
                    Cell::Flag(flag) => self.argument(*flag)?,
                }
            }
        }
        self.push(")");
        Ok(())
    }

    fn arrays(&mut self, relation: &Relation) -> Result<(), Failed> {
        self.push("SELECT * FROM unnest(");
        self.argument(relation.rows.iter().map(|(n, _)| *n).collect::<Vec<_>>())?;
        let first = relation.rows.first().map(|(_, cells)| cells.as_slice()).unwrap_or_default();
        for (column, kind) in first.iter().enumerate() {
            self.push(", ");
            let cells = relation.rows.iter().filter_map(|(_, cells)| cells.get(column));
            match kind {
                Cell::Text(_) => self.argument(
                    cells
                        .map(|cell| if let Cell::Text(text) = cell { text.clone() } else { None })
                        .collect::<Vec<Option<String>>>(),
                )?,
                Cell::Int(_) => self.argument(
                    cells
                        .map(|cell| if let Cell::Int(number) = cell { *number } else { None })
                        .collect::<Vec<Option<i64>>>(),
                )?,
                Cell::Flag(_) => {
                    self.argument(cells.map(|cell| matches!(cell, Cell::Flag(true))).collect::<Vec<bool>>())?;
                }
            }
        }
        self.push(")");
        Ok(())
    }

    /// The text, with the schema in its places.
    pub(super) fn finish(self, schema: &str) -> (String, PgArguments) {
        (self.sql.replace("@.", schema), self.arguments)
    }
}
