//! Opens the storage's own connections to the file.

use std::path::Path;

use rusqlite::OpenFlags;
use rusqlite::config::DbConfig;

use super::options::BUSY_TIMEOUT;
use crate::sql::error::Failed;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Prepared statements that a connection keeps. There are about 200; those of change sets differ by their writes.
const STATEMENTS_KEPT: usize = 512;

/// Opens a connection to a file whose schema exists.
pub(super) fn connect(path: &Path, access: Access) -> Result<rusqlite::Connection, Failed> {
    // Each connection is used by one thread at a time, so the engine needs no lock of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Otherwise a statement is prepared again each time it runs, if a parameter is compared with a column that has a partial
    // index: its value might imply the index's condition. Our statements have these conditions as literals.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A checkpoint blocks the writer, so there is one every 10,000 pages instead of 1,000; the log grows as much.
    // Savepoints keep their undo data in memory instead of a file.
    connection.execute_batch(match access {
        Access::Read => "PRAGMA query_only = ON",
        Access::Write => {
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 10000; \
             PRAGMA temp_store = MEMORY"
        }
    })?;
    Ok(connection)
}
