//! Storage in one SQLite file, which needs no server.
//!
//! ```text
//! reads  ─▶ read-only connections, short reads on the thread that asks; each read sees one snapshot
//! writes ─▶ the writer's thread: queued writes share a transaction and its fsync; each fails alone
//! ```
//!
//! The file is in WAL mode with `synchronous=FULL`: acknowledged writes survive a crash of the machine. Several
//! processes on one machine may open the same file, such as a host and its admin subcommands; their writers wait for
//! each other up to [`BUSY_TIMEOUT`].
//!
//! It does not work on network file systems or for several machines. No database type appears in the ports.
//!
//! | file | subject |
//! |---|---|
//! | `open.rs`, `options.rs`, `file.rs` | the storage, and how it and its connections are opened |
//! | `storage.rs` | the port |
//! | `transaction.rs`, `bound.rs` | a host's transaction: on the writer's thread, or on a connection of the host |
//! | `connection.rs` | statements, and the two kinds of connections that they run on |
//! | `pool.rs` | the connections that read |
//! | `writer.rs`, `jobs.rs`, `gate.rs` | the writer, its jobs, and the ends of its transactions |
//! | `line.rs` | debits of one account wait for each other |
//! | `commit.rs`, `changes.rs`, `script.rs` | a commit: its guards and claims, its writes, its text |
//! | `read.rs`, `funds.rs`, `books.rs` | reads, and the sums of the books |
//! | `work.rs` | leases, attempts and pruning |
//! | `set_aside.rs` | rows that can't be read |
//! | `migrations.rs`, `rewrite.rs` | the schema, and data that earlier versions wrote |
//! | `installation.rs`, `error.rs` | the installation's row, the engine's errors |

mod books;
mod bound;
mod changes;
mod commit;
mod connection;
mod error;
mod file;
mod funds;
mod gate;
mod installation;
mod jobs;
mod line;
mod migrations;
mod open;
mod options;
mod pool;
mod read;
mod rewrite;
mod script;
mod set_aside;
mod storage;
mod transaction;
mod work;
mod writer;

pub use bound::BoundSqlite;
pub use open::SqliteStorage;
pub use options::{BUSY_TIMEOUT, SqliteOptions};
pub use transaction::SqliteTransaction;
