//! PostgreSQL as a stage: a separate schema for each database, one pool for the library and one of the same size for
//! the hand-written side, with the server's durability settings.

use std::sync::Arc;

use async_trait::async_trait;
use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_testkit::postgres::fresh_schema;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use tokio::sync::oneshot;

use crate::fill::{self, Columns, Dialect};
use crate::library::Library;
use crate::notified::Posted;
use crate::stage::{Manner, Size, Stage, Trouble, Way, Written};

mod bound;
mod hand;
mod orm;
mod settle;

/// The library's default, and everybody's here.
const CONNECTIONS: u32 = 16;

const DIALECT: Dialect = Dialect {
    id: |prefix, n| format!("'{prefix}01k' || lpad(({n})::text, 23, '0')"),
    series: |count| format!("generate_series(0, {}::int8) g (n)", count - 1),
    digits: |count| format!("left(md5(random()::text || g.n) || md5(random()::text || g.n), {count})"),
    // Each word begins with the account's id, without its prefix.
    words: |account| {
        format!(
            "array_to_tsvector(ARRAY(SELECT replace(w.word, substr(t.account_id, 5), substr({account}, 5)) \
             FROM unnest(tsvector_to_array(t.search)) w (word)))"
        )
    },
    columns: |table| {
        format!(
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() \
             AND table_name = '{table}' AND is_generated = 'NEVER' ORDER BY ordinal_position"
        )
    },
};

/// A filled schema.
pub(crate) struct PostgresStage {
    size: Size,
    columns: Columns,
    schema: String,
    posted: Option<Posted>,
    pool: PgPool,
    storage: Arc<PostgresStorage>,
    library: Library<PostgresStorage>,
    floor: hand::Floor,
    limit: hand::Limit,
    bound: bound::Bound,
    floor_inside: hand::FloorInside,
    orm: orm::Orm,
}

impl PostgresStage {
    /// Makes a schema and fills it.
    pub(crate) async fn open(connect: &PgConnectOptions, size: Size) -> Result<Self, Trouble> {
        let schema = fresh_schema();
        let mut options = PostgresOptions::new(connect.clone());
        options.schema.clone_from(&schema);
        options.connections_max = CONNECTIONS;
        let storage = Arc::new(PostgresStorage::open(options).await?);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .test_before_acquire(false)
            .connect_with(hand::settings(connect.clone(), &schema))
            .await?;
        let mut columns = Columns::new();
        for table in fill::COPIED {
            let rows = sqlx::query(AssertSqlSafe((DIALECT.columns)(table))).fetch_all(&pool).await?;
            columns.insert(table, rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?);
        }
        let template = fill::template(Arc::clone(&storage), size).await?;
        let stage = Self {
            size,
            columns,
            posted: template.posted.clone(),
            library: Library::new(Arc::clone(&storage))?,
            floor: hand::Floor::new(pool.clone()),
            limit: hand::Limit::new(pool.clone()),
            bound: bound::Bound::new(Arc::clone(&storage), pool.clone())?,
            floor_inside: hand::FloorInside::new(pool.clone()),
            orm: orm::Orm::new(pool.clone()),
            schema,
            pool,
            storage,
        };
        stage.run(fill::accounts(&DIALECT, &stage.columns, &template, size)).await?;
        stage.run(vec!["TRUNCATE order_count_deltas, attempts".to_owned()]).await?;
        stage.refill(size.orders).await?;
        Ok(stage)
    }

    async fn run(&self, statements: Vec<String>) -> Result<(), Trouble> {
        let mut connection = self.pool.acquire().await?;
        for statement in statements {
            connection.execute(AssertSqlSafe(statement)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Stage for PostgresStage {
    fn size(&self) -> Size {
        self.size
    }

    fn way(&self, manner: Manner) -> &dyn Way {
        match manner {
            Manner::Floor => &self.floor,
            Manner::Library => &self.library,
            Manner::Orm => &self.orm,
            Manner::Limit => &self.limit,
            Manner::Bound => &self.bound,
            Manner::FloorInside => &self.floor_inside,
        }
    }

    async fn refill(&self, total: i64) -> Result<(), Trouble> {
        let mut statements = vec![format!("TRUNCATE {}, ledger_deltas", fill::EMPTIED.join(", "))];
        statements.extend(fill::orders(&DIALECT, &self.columns, self.size, total));
        self.run(statements).await?;
        // Outside a transaction, and all tables: what a database has that has been in use for a while.
        self.run(vec!["VACUUM ANALYZE".to_owned()]).await
    }

    async fn rest(&self) -> Result<(), Trouble> {
        Ok(())
    }

    fn posted(&self) -> Option<&Posted> {
        self.posted.as_ref()
    }

    async fn fold(&self, end: oneshot::Receiver<()>) -> Result<u64, Trouble> {
        self.library.fold(end).await
    }

    async fn written(&self) -> Result<Written, Trouble> {
        let sql = Written::sql(&["ledger_balances", "ledger_deltas"]);
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.pool).await?;
        let mut columns = [0; Written::COLUMNS];
        for (at, column) in columns.iter_mut().enumerate() {
            *column = row.try_get(at)?;
        }
        Ok(Written::from_columns(columns))
    }

    async fn close(&self) -> Result<(), Trouble> {
        self.storage.close().await;
        self.run(vec![format!("DROP SCHEMA \"{}\" CASCADE", self.schema)]).await?;
        self.pool.close().await;
        Ok(())
    }
}

/// What the results say of the server.
pub(crate) async fn server(connect: &PgConnectOptions) -> Result<Vec<(String, String)>, Trouble> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(connect.clone()).await?;
    let mut told = Vec::new();
    for setting in [
        "server_version",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "wal_sync_method",
        "shared_buffers",
        "max_wal_size",
    ] {
        let row = sqlx::query("SELECT current_setting($1)").bind(setting).fetch_one(&pool).await?;
        told.push((setting.to_owned(), row.try_get(0)?));
    }
    pool.close().await;
    Ok(told)
}
