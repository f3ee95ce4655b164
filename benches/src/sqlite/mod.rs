//! SQLite as a stage: one file for each database, in WAL mode at `synchronous=FULL` for everybody.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use serront_adapters::sqlite::SqliteStorage;
use serront_adapters::system::SystemClock;
use tokio::sync::oneshot;

use crate::fill::{self, Columns, Dialect};
use crate::library::Library;
use crate::notified::Posted;
use crate::stage::{Manner, Size, Stage, Trouble, Way, Written};

mod bound;
mod hand;
mod orm;
mod settle;

const DIALECT: Dialect = Dialect {
    id: |prefix, n| format!("printf('{prefix}01k%023d', {n})"),
    series: |count| {
        format!(
            "(WITH RECURSIVE g (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM g WHERE n + 1 < {count}) SELECT n FROM g) g"
        )
    },
    digits: |count| format!("lower(hex(randomblob({})))", count / 2),
    words: |_| "NULL".to_owned(),
    // A key that is only the row's place numbers itself.
    columns: |table| format!("SELECT name FROM pragma_table_xinfo('{table}') WHERE hidden = 0 AND name <> 'place'"),
};

/// A filled file.
pub(crate) struct SqliteStage {
    size: Size,
    columns: Columns,
    posted: Option<Posted>,
    admin: Arc<Mutex<Connection>>,
    storage: Arc<SqliteStorage>,
    library: Library<SqliteStorage>,
    floor: hand::Floor,
    limit: hand::Limit,
    bound: bound::Bound,
    orm: orm::Orm,
}

/// A connection as everybody has it.
fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000",
    )?;
    Ok(connection)
}

impl SqliteStage {
    /// Makes a file in this folder and fills it.
    pub(crate) async fn open(folder: &Path, size: Size) -> Result<Self, Trouble> {
        let Size { orders, accounts, sellers, online } = size;
        let path: PathBuf = folder.join(format!("{orders}-{accounts}-{sellers}-{online}.db"));
        let storage = Arc::new(SqliteStorage::open(&path, Arc::new(SystemClock)).await?);
        let template = fill::template(Arc::clone(&storage), size).await?;
        let admin = connect(&path)?;
        // What is filled in holds together; checking it would take longer than writing it.
        admin.execute_batch("PRAGMA foreign_keys = OFF")?;
        let mut columns = Columns::new();
        for table in fill::COPIED {
            let mut statement = admin.prepare(&(DIALECT.columns)(table))?;
            let names = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            columns.insert(table, names);
        }
        let writer = hand::Writer::start(connect(&path)?);
        let stage = Self {
            size,
            columns,
            posted: template.posted.clone(),
            admin: Arc::new(Mutex::new(admin)),
            library: Library::new(Arc::clone(&storage))?,
            floor: hand::Floor::new(writer.clone(), hand::Readers::open(&path)?),
            limit: hand::Limit::new(writer),
            bound: bound::Bound::new(Arc::clone(&storage))?,
            orm: orm::Orm::open(&path).await?,
            storage,
        };
        stage.run(fill::accounts(&DIALECT, &stage.columns, &template, size)).await?;
        stage.refill(size.orders).await?;
        Ok(stage)
    }

    async fn with_admin<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Trouble> {
        let admin = Arc::clone(&self.admin);
        let done = tokio::task::spawn_blocking(move || work(&admin.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(done.await??)
    }

    async fn run(&self, statements: Vec<String>) -> Result<(), Trouble> {
        self.with_admin(move |admin| {
            admin.execute_batch(&format!("BEGIN IMMEDIATE; {}; COMMIT", statements.join("; ")))
        })
        .await
    }
}

#[async_trait]
impl Stage for SqliteStage {
    fn size(&self) -> Size {
        self.size
    }

    fn way(&self, manner: Manner) -> &dyn Way {
        match manner {
            // By hand, a confirmation has a transaction of its own on SQLite already.
            Manner::Floor | Manner::FloorInside => &self.floor,
            Manner::Library => &self.library,
            Manner::Orm => &self.orm,
            Manner::Limit => &self.limit,
            Manner::Bound => &self.bound,
        }
    }

    async fn refill(&self, total: i64) -> Result<(), Trouble> {
        let mut statements: Vec<_> = fill::EMPTIED.iter().map(|table| format!("DELETE FROM {table}")).collect();
        statements.extend(fill::orders(&DIALECT, &self.columns, self.size, total));
        self.run(statements).await?;
        self.with_admin(|admin| admin.execute_batch("ANALYZE")).await
    }

    async fn rest(&self) -> Result<(), Trouble> {
        self.with_admin(|admin| admin.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))).await
    }

    fn posted(&self) -> Option<&Posted> {
        self.posted.as_ref()
    }

    async fn fold(&self, end: oneshot::Receiver<()>) -> Result<u64, Trouble> {
        self.library.fold(end).await
    }

    async fn written(&self) -> Result<Written, Trouble> {
        self.with_admin(|admin| {
            admin.query_row(&Written::sql(&["ledger_balances"]), [], |row| {
                let mut columns = [0; Written::COLUMNS];
                for (at, column) in columns.iter_mut().enumerate() {
                    *column = row.get(at)?;
                }
                Ok(Written::from_columns(columns))
            })
        })
        .await
    }

    async fn close(&self) -> Result<(), Trouble> {
        self.storage.close().await;
        self.orm.close().await;
        Ok(())
    }
}
