//! Storage in PostgreSQL (15 or later), for several hosts or for a team that runs it already.
//!
//! ```text
//! reads   ─▶ one statement each; concurrent ones of the frequent kinds share it
//! commits ─▶ one statement each, one round trip; concurrent ones share it, each fails alone
//! ```
//!
//! All tables are in one schema, which the host chooses. Every statement names it, so that the search path does not
//! matter. Commits run at `READ COMMITTED`: guards are compared with rows that the statement has locked, in the order
//! that `commit.rs` documents.
//!
//! It does not change the server's durability (the host sets `synchronous_commit`), and it keeps no transaction open
//! between two statements.
//!
//! | file | subject |
//! |---|---|
//! | `open.rs`, `options.rs`, `address.rs` | the storage, how it is opened, and the options that an address gives |
//! | `storage.rs`, `bound.rs` | the port, and the storage bound to a transaction of the host |
//! | `pool.rs`, `connections.rs`, `servers.rs`, `answer.rs` | the pool, its connections, and statements that get no answer |
//! | `together.rs`, `coalesce.rs`, `batch.rs` | what concurrent callers share |
//! | `waiting.rs`, `events.rs` | change sets that wait for rows which another transaction has locked, or for another one with the same event |
//! | `commit.rs`, `input.rs`, `steps.rs`, `statement.rs` | the statement of commits: its input, its steps, its text |
//! | `lone.rs` | the shortest statement, for one commit that probably lands |
//! | `read.rs`, `funds.rs`, `books.rs` | reads, and the sums of the books |
//! | `work.rs`, `records.rs`, `fold.rs` | leases and pruning; records of attempts; folding |
//! | `set_aside.rs` | rows that can't be read |
//! | `migrations.rs`, `migration_lock.rs`, `rewrite.rs` | the schema, and data that earlier versions wrote |
//! | `installation.rs`, `clock.rs`, `error.rs` | the installation's row, the storage's time, the server's errors |

mod address;
mod answer;
mod batch;
mod books;
mod bound;
mod clock;
mod coalesce;
mod commit;
mod connections;
mod error;
mod events;
mod fold;
mod funds;
mod input;
mod installation;
mod lone;
mod migration_lock;
mod migrations;
mod open;
mod options;
mod pool;
mod read;
mod records;
mod rewrite;
mod servers;
mod set_aside;
mod statement;
mod steps;
mod storage;
mod together;
mod waiting;
mod work;

pub use address::TargetSession;
pub use bound::BoundPostgres;
pub use open::PostgresStorage;
pub use options::{PostgresOptions, SCHEMA_DEFAULT};
