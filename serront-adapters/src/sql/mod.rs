//! What the SQL engines share. `tables.rs` names each table with its columns, `writes.rs` turns a change set's writes
//! into rows, and `rows.rs` reads snapshots. The other files are named after their subject.
//!
//! An engine's statements are in its own folder, where the engines differ. Texts here are in the SQL that SQLite and
//! PostgreSQL share (`$1`, `ON CONFLICT`, `FILTER`, `BIGINT`). Nothing here calls back into an engine: an
//! engine classifies its own errors, and [`error::Failed`] carries the kind.

pub(crate) mod books;
pub(crate) mod cells;
pub(crate) mod error;
pub(crate) mod installation;
pub(crate) mod ledger;
pub(crate) mod migrations;
pub(crate) mod names;
pub(crate) mod pages;
pub(crate) mod rows;
pub(crate) mod search;
pub(crate) mod set_aside;
pub(crate) mod tables;
pub(crate) mod work;
pub(crate) mod writes;
