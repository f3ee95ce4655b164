//! Builds a statement from relations, which are its input, and steps that read them. It has only the steps that a
//! commit needs, because steps without rows cost time too.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;

use crate::sql::cells::Cell;
use crate::sql::error::Failed;
use crate::sql::tables::Columns;

/// The name and the columns of a relation. Its rows have as many cells.
#[derive(Debug)]
pub(super) struct Shape<const N: usize>(pub(super) &'static str, pub(super) [&'static str; N]);

/// Rows that are input of a statement. Each belongs to the `n`th of the change sets that share the statement.
#[derive(Debug)]
pub(super) struct Relation {
    /// The prefix of its name: what is done to rows of a table. Empty for other relations.
    pub(super) verb: &'static str,
    of: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The table of its rows, if they are rows of one.
    pub(super) table: Option<&'static Columns>,
    change_sets: Vec<i64>,
    /// The cells of all rows, row by row.
    cells: Vec<Cell>,
}

impl Relation {
    pub(super) const fn new<const N: usize>(shape: &'static Shape<N>) -> Self {
        let Shape(of, columns) = shape;
        Self { verb: "", of, columns, table: None, change_sets: Vec::new(), cells: Vec::new() }
    }

    /// A relation of these rows, numbered in order.
    pub(super) fn of<const N: usize>(shape: &'static Shape<N>, rows: impl IntoIterator<Item = [Cell; N]>) -> Self {
        let mut relation = Self::new(shape);
        for (n, cells) in (0..).zip(rows) {
            relation.push(n, cells);
        }
        relation
    }

    pub(super) fn name(&self) -> String {
        format!("{}{}", self.verb, self.of)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.change_sets.is_empty()
    }

    pub(super) fn rows(&self) -> std::slice::Chunks<'_, Cell> {
        self.cells.chunks(self.columns.len())
    }

    /// A cell of the first row.
    pub(super) fn at(&self, column: &str) -> Option<&Cell> {
        let place = self.columns.iter().position(|name| *name == column)?;
        self.rows().next()?.get(place)
    }

    /// The row, if there is no other one.
    pub(super) fn only<const N: usize>(&self) -> Option<&[Cell; N]> {
        let mut rows = self.rows();
        rows.next().filter(|_| rows.next().is_none())?.try_into().ok()
    }

    fn is<const N: usize>(&self, shape: &Shape<N>) -> bool {
        self.verb.is_empty() && self.of == shape.0
    }

    fn push(&mut self, n: i64, cells: impl IntoIterator<Item = Cell>) {
        self.change_sets.push(n);
        self.cells.extend(cells);
    }
}

/// The relations of a statement that have rows.
#[derive(Debug, Default)]
pub(super) struct Relations(Vec<Relation>);

impl Relations {
    /// Adds a row to the relation of this shape.
    pub(super) fn add<const N: usize>(&mut self, shape: &'static Shape<N>, n: i64, cells: [Cell; N]) {
        match self.0.iter_mut().find(|relation| relation.is(shape)) {
            Some(relation) => relation.push(n, cells),
            None => {
                let mut relation = Relation::new(shape);
                relation.push(n, cells);
                self.0.push(relation);
            }
        }
    }

    /// Adds a row of a table to the relation of this verb and these columns. It has a cell for each of `columns`.
    pub(super) fn add_row(
        &mut self,
        verb: &'static str,
        table: &'static Columns,
        columns: &'static [&'static str],
        n: i64,
        cells: Vec<Cell>,
    ) {
        let of = table.name;
        match self.0.iter_mut().find(|relation| relation.of == of && relation.verb == verb) {
            Some(relation) => relation.push(n, cells),
            None => self.0.push(Relation { verb, of, columns, table: Some(table), change_sets: vec![n], cells }),
        }
    }

    pub(super) fn get<const N: usize>(&self, shape: &Shape<N>) -> Option<&Relation> {
        self.0.iter().find(|relation| relation.is(shape))
    }

    pub(super) fn has<const N: usize>(&self, shape: &Shape<N>) -> bool {
        self.get(shape).is_some()
    }

    /// The relations of this verb, with their tables.
    pub(super) fn of(&self, verb: &str) -> impl Iterator<Item = (&Relation, &'static Columns)> {
        let of = self.0.iter().filter(move |relation| relation.verb == verb);
        of.filter_map(|relation| Some((relation, relation.table?)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Relation> {
        self.0.iter()
    }

    /// Sorts the relations, so that the same relations make the same text in any order of arrival.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|relation| (relation.of, relation.verb));
    }
}

/// How long a statement waits for each lock. The statement sets this limit itself, because separate statements before
/// and after would be two more round trips.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    limit: Duration,
    lent: bool,
}

impl Patience {
    /// For a statement that is a transaction of its own: the limit ends with it.
    pub(super) const fn own(limit: Duration) -> Self {
        Self { limit, lent: false }
    }

    /// For a statement in a transaction of the host: the host's limit applies if it is shorter, and again afterwards.
    pub(super) const fn lent(limit: Duration) -> Self {
        Self { limit, lent: true }
    }

    fn millis(self) -> u128 {
        // 0 would mean no limit, and the server's numbers end there.
        self.limit.as_millis().clamp(1, 2_147_483_647)
    }
}

/// A condition that sets the time limit before any lock is awaited.
pub(super) const PATIENT: &str = " AND (SELECT p.ends FROM patience p) IS NOT NULL";

/// A step that writes and has not ended, by its name.
#[must_use]
pub(super) struct Begun(String);

/// Builds the text and the arguments.
pub(super) struct Builder {
    pub(super) sql: String,
    pub(super) arguments: PgArguments,
    count: usize,
    /// Whether the limit for locks is set back at the end.
    lent: bool,
    /// Conditions that are true once every step that may wait for a lock has ended.
    ended: Vec<String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            sql: String::with_capacity(4_096),
            arguments: PgArguments::default(),
            count: 0,
            lent: false,
            ended: Vec::new(),
        }
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

    pub(super) fn cell(&mut self, cell: &Cell) -> Result<&mut Self, Failed> {
        match cell {
            Cell::Text(text) => self.argument(text.as_deref())?,
            Cell::Int(number) => self.argument(*number)?,
            Cell::Flag(flag) => self.argument(*flag)?,
        }
        Ok(self)
    }

    /// Makes the account's id the first argument, `$1`.
    pub(super) fn first(&mut self, account: &Cell) -> Result<(), Failed> {
        self.cell(account)?;
        self.sql.clear();
        Ok(())
    }

    /// The rows of one change set as a table `v`, without some columns, and with `$1` for the account's id.
    pub(super) fn rows(&mut self, relation: &Relation, without: &[&str]) -> Result<(), Failed> {
        let columns = || relation.columns.iter().copied().enumerate().filter(|(_, column)| !without.contains(column));
        for (row, cells) in relation.rows().enumerate() {
            self.push(if row == 0 { "(VALUES (" } else { "), (" });
            for (place, ((_, column), cell)) in
                columns().filter_map(|(at, column)| Some(((at, column), cells.get(at)?))).enumerate()
            {
                self.push(if place == 0 { "" } else { ", " });
                if column == "account_id" {
                    self.push("$1");
                } else {
                    self.cell(cell)?;
                }
            }
        }
        let names: Vec<_> = columns().map(|(_, column)| column).collect();
        self.push(")) v (").push(&names.join(", ")).push(")");
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

    /// Limits how long this statement waits for each lock, once its step `patience` is read.
    pub(super) fn patience(&mut self, patience: Patience) -> Result<(), Failed> {
        self.lent = patience.lent;
        self.step("patience (was, ends)").push("MATERIALIZED (SELECT s.was, set_config('lock_timeout', ");
        if patience.lent {
            // The server writes its setting as an interval.
            self.push("CASE WHEN s.was = '0' OR s.was::interval > ");
            self.argument(format!("{}ms", patience.millis()))?;
            let _ = write!(self.sql, "::interval THEN ${} ELSE s.was END", self.count);
            self.push(", true) FROM (SELECT current_setting('lock_timeout') AS was OFFSET 0) s)");
        } else {
            self.argument(patience.millis().to_string())?;
            self.push(", true) FROM (SELECT NULL::text AS was) s)");
        }
        Ok(())
    }

    /// Begins a step that writes.
    pub(super) fn begin(&mut self, name: &str, sql: &str) -> Begun {
        self.step(name).push("(").push(sql);
        Begun(name.to_owned())
    }

    /// Ends a step that writes without waiting for a lock.
    pub(super) fn end(&mut self, _: Begun) {
        self.push(")");
    }

    /// Ends a step that writes, and may wait for a lock.
    pub(super) fn end_waiting(&mut self, begun: Begun) {
        if self.lent {
            self.end_counted(begun);
        } else {
            self.push(")");
        }
    }

    /// Ends a step that writes without waiting for a lock, and whose rows are counted.
    pub(super) fn end_returning(&mut self, _: Begun) {
        self.push(" RETURNING 1)");
    }

    /// Ends a step that writes, may wait for a lock, and whose rows are counted.
    pub(super) fn end_counted(&mut self, Begun(name): Begun) {
        self.push(" RETURNING 1)");
        if self.lent {
            self.ended.push(format!("(SELECT count(*) FROM {name}) >= 0"));
        }
    }

    /// Adds a step that writes, and may wait for a lock.
    pub(super) fn write(&mut self, name: &str, sql: &str) {
        let begun = self.begin(name, sql);
        self.end_waiting(begun);
    }

    /// Adds a step that writes, may wait for a lock, and whose rows are counted.
    pub(super) fn write_counted(&mut self, name: &str, sql: &str) {
        let begun = self.begin(name, sql);
        self.end_counted(begun);
    }

    /// Adds a column that sets the limit for locks back to what it was, after every step that may wait for one.
    pub(super) fn set_back(&mut self) {
        if !self.lent {
            return;
        }
        let ended = if self.ended.is_empty() { "true".to_owned() } else { self.ended.join(" AND ") };
        self.push(&format!(
            ", CASE WHEN {ended} THEN set_config('lock_timeout', (SELECT was FROM patience), true) END AS set_back"
        ));
    }

    /// Adds a relation: as values for one change set, so that the planner sees single rows; as arrays for many, so that
    /// the text does not depend on their number.
    pub(super) fn relation(&mut self, relation: &Relation, many: bool) -> Result<(), Failed> {
        let columns = relation.columns.join(", ");
        self.step(&format!("{} (n, {columns})", relation.name())).push("NOT MATERIALIZED (");
        if many {
            self.arrays(relation)?
        } else {
            self.values(relation)?
        }
        self.push(")");
        Ok(())
    }

    fn values(&mut self, relation: &Relation) -> Result<(), Failed> {
        for (place, (n, cells)) in relation.change_sets.iter().zip(relation.rows()).enumerate() {
            self.push(if place == 0 { "VALUES (" } else { "), (" });
            let _ = write!(self.sql, "{n}::int8");
            for cell in cells {
                self.push(", ").cell(cell)?;
            }
        }
        self.push(")");
        Ok(())
    }

    fn arrays(&mut self, relation: &Relation) -> Result<(), Failed> {
        self.push("SELECT * FROM unnest(");
        self.argument(relation.change_sets.as_slice())?;
        for (column, first) in relation.cells.iter().take(relation.columns.len()).enumerate() {
            self.push(", ");
            let cells = relation.cells.iter().skip(column).step_by(relation.columns.len());
            match first {
                Cell::Text(_) => self.argument(
                    cells
                        .map(|cell| if let Cell::Text(text) = cell { text.as_deref() } else { None })
                        .collect::<Vec<Option<&str>>>(),
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

    /// The text with the schema filled in, and the arguments.
    pub(super) fn finish(self, schema: &str) -> (String, PgArguments) {
        (self.sql.replace("@.", schema), self.arguments)
    }
}
