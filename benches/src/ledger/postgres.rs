//! PostgreSQL: a separate schema for each ledger, one pool for the library and one for the hand-written side.

use std::sync::Arc;

use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_core::policy::Policy;
use serront_core::primitives::tier::Tier;
use serront_core::service::Commands;
use serront_testkit::postgres::fresh_schema;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};

use crate::{ACCOUNTS, BACKLOG, ByHand, EACH, Filled, Trouble, environment};

const CONNECTIONS: u32 = 16;

struct Hand {
    pool: PgPool,
}

const READ: &str = "SELECT f.version, f.in_flight, (SELECT coalesce(sum(credits - debits), 0)::int8 FROM \
    (SELECT debits, credits FROM ledger_balances b WHERE b.account_id = f.account_id UNION ALL \
    SELECT debits, credits FROM ledger_deltas d WHERE d.account_id = f.account_id) every) AS balance \
    FROM funds f WHERE f.account_id = $1";

const WRITE: &str = "WITH f AS (UPDATE funds SET version = version + 1, in_flight = in_flight + 1 \
    WHERE account_id = $1 AND version = $2 RETURNING account_id), \
    p AS (INSERT INTO payouts (payout_id, account_id, amount, bank, created_at, version, status, updated_at) \
    SELECT $3, account_id, 1, $5, $4, 1, 'pending', $4 FROM f), \
    d AS (INSERT INTO directory (kind, name, account_id) SELECT 'payout', $3, account_id FROM f), \
    a AS (INSERT INTO payout_audit (audit_id, account_id, payout_id, at, actor, to_status) \
    SELECT $6, account_id, $3, $4, $7, 'pending' FROM f), \
    c AS (INSERT INTO change_sets (change_set_id, account_id, at) SELECT $8, account_id, $4 FROM f) \
    SELECT 1 FROM f";

#[async_trait::async_trait]
impl ByHand for Hand {
    async fn ask(&self, account: &str, number: u64) -> Result<bool, Trouble> {
        let row = sqlx::query(READ).bind(account).fetch_one(&self.pool).await?;
        let (version, in_flight, balance): (i64, i64, i64) =
            (row.try_get("version")?, row.try_get("in_flight")?, row.try_get("balance")?);
        if balance - in_flight < 1 {
            return Err("the account is empty".into());
        }
        let written = sqlx::query(WRITE)
            .bind(account)
            .bind(version)
            .bind(format!("po_01k{number:0>23}"))
            .bind(1_795_340_160_000_i64)
            .bind(crate::hand::BANK)
            .bind(format!("aud_01k{number:0>23}"))
            .bind(crate::hand::ACTOR)
            .bind(format!("chg_01k{number:0>23}"))
            .fetch_optional(&self.pool)
            .await?;
        Ok(written.is_some())
    }

    async fn sum(&self) -> Result<i64, Trouble> {
        let row = sqlx::query("SELECT sum(amount)::int8 AS sum FROM ledger_entries").fetch_one(&self.pool).await?;
        Ok(row.try_get("sum")?)
    }
}

/// A schema whose one seller's ledger has so many entries on the own book.
pub(crate) async fn filled(url: &str, entries: i64) -> Result<Filled, Trouble> {
    let connect: PgConnectOptions = url.parse()?;
    let schema = fresh_schema();
    let mut options = PostgresOptions::new(connect.clone());
    options.schema.clone_from(&schema);
    options.connections_max = CONNECTIONS;
    let storage = PostgresStorage::open(options).await?;
    let policy = Policy::default();
    let account = Commands::new(&storage, environment(&policy)).open_account("Renata", Tier::Starter).await?.value.0.id;
    let options = connect.options([("search_path", schema.as_str())]);
    let pool =
        PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false).connect_with(options).await?;
    let (sales, folded) = (entries, entries - BACKLOG.min(entries));
    for sql in [
        format!(
            "INSERT INTO ledger_entries (entry_id, account_id, tx_id, book, code, direction, amount, source_type, source_id, \
             description, created_at) SELECT 'le_01k' || lpad((n * 2 + leg)::text, 23, '0'), '{account}', \
             'tx_01k' || lpad(n::text, 23, '0'), CASE leg WHEN 0 THEN 'plugipay_clearing' ELSE 'seller' END, 'sale', \
             CASE leg WHEN 0 THEN 'debit' ELSE 'credit' END, 1000, 'checkout_session', 'cs_' || n, 'Order ' || n, \
             1795340160000 + n FROM generate_series(1, {sales}) n, generate_series(0, 1) leg"
        ),
        format!("INSERT INTO ledger_balances SELECT '{account}', 'sale', 0, {folded} * 1000"),
        format!(
            "INSERT INTO ledger_deltas (change_set_id, account_id, code, debits, credits) \
             SELECT 'chg_01z' || lpad(n::text, 23, '0'), '{account}', 'sale', 0, 1000 \
             FROM generate_series({folded} + 1, {sales}) n"
        ),
        format!(
            "INSERT INTO accounts (account_id, name, created_at, version, tier, modules) \
             SELECT 'acc_01k' || lpad(n::text, 23, '0'), name, created_at, version, tier, modules \
             FROM accounts, generate_series(0, {ACCOUNTS} - 1) n WHERE account_id = '{account}'"
        ),
        format!(
            "INSERT INTO ledger_entries (entry_id, account_id, tx_id, book, code, direction, amount, source_type, source_id, \
             created_at) SELECT 'le_01x' || lpad((n * 2 + leg)::text, 23, '0'), 'acc_01k' || lpad(n::text, 23, '0'), \
             'tx_01x' || lpad(n::text, 23, '0'), CASE leg WHEN 0 THEN 'adjustments' ELSE 'seller' END, 'adjustment', \
             CASE leg WHEN 0 THEN 'debit' ELSE 'credit' END, {EACH}, 'adjustment', 'adj_' || n, 1795340160000 \
             FROM generate_series(0, {ACCOUNTS} - 1) n, generate_series(0, 1) leg"
        ),
        format!(
            "INSERT INTO ledger_balances SELECT 'acc_01k' || lpad(n::text, 23, '0'), 'adjustment', 0, {EACH} \
             FROM generate_series(0, {ACCOUNTS} - 1) n"
        ),
        format!(
            "INSERT INTO funds SELECT 'acc_01k' || lpad(n::text, 23, '0'), 1, 0 FROM generate_series(0, {ACCOUNTS} - 1) n"
        ),
        "VACUUM ANALYZE".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&pool).await?;
    }
    Ok(Filled { storage: Arc::new(storage), by_hand: Arc::new(Hand { pool }), account })
}
