//! SQLite: a file for each ledger. The hand-written side uses rusqlite with prepared statements on a separate thread,
//! and one transaction per payout.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use rusqlite::{Connection, OptionalExtension as _, params};
use serront_adapters::sqlite::SqliteStorage;
use serront_adapters::system::SystemClock;
use serront_core::policy::Policy;
use serront_core::primitives::tier::Tier;
use serront_core::service::Commands;
use tokio::sync::oneshot;

use crate::{ACCOUNTS, ByHand, EACH, Filled, Trouble, environment};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

struct Hand {
    jobs: Mutex<mpsc::Sender<Job>>,
}

fn open(path: &Path) -> Result<Connection, Trouble> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

impl Hand {
    fn start(path: &Path) -> Result<Self, Trouble> {
        let mut connection = open(path)?;
        let (jobs, waiting) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            while let Ok(job) = waiting.recv() {
                job(&mut connection);
            }
        });
        Ok(Self { jobs: Mutex::new(jobs) })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = reply.send(work(connection));
        });
        self.jobs.lock().map_err(|_| "the thread has ended")?.send(job).map_err(|_| "the thread has ended")?;
        Ok(answer.await??)
    }
}

fn ask(connection: &mut Connection, account: &str, number: u64) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: Option<(i64, i64, i64)> = transaction
        .prepare_cached(
            "SELECT f.version, f.in_flight, (SELECT coalesce(sum(credits - debits), 0) FROM ledger_balances b \
             WHERE b.account_id = f.account_id) FROM funds f WHERE f.account_id = ?",
        )?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((version, in_flight, balance)) = found else { return Err(rusqlite::Error::QueryReturnedNoRows) };
    if balance - in_flight < 1 {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    let payout = format!("po_01k{number:0>23}");
    let at = 1_795_340_160_000_i64;
    transaction
        .prepare_cached("UPDATE funds SET version = ?, in_flight = ? WHERE account_id = ?")?
        .execute(params![version + 1, in_flight + 1, account])?;
    transaction
        .prepare_cached(
            "INSERT INTO payouts (payout_id, account_id, amount, bank, created_at, version, status, updated_at) \
             VALUES (?, ?, 1, ?, ?, 1, 'pending', ?)",
        )?
        .execute(params![payout, account, crate::hand::BANK, at, at])?;
    transaction
        .prepare_cached("INSERT INTO directory (kind, name, account_id) VALUES ('payout', ?, ?)")?
        .execute(params![payout, account])?;
    transaction
        .prepare_cached(
            "INSERT INTO payout_audit (audit_id, account_id, payout_id, at, actor, to_status) \
             VALUES (?, ?, ?, ?, ?, 'pending')",
        )?
        .execute(params![format!("aud_01k{number:0>23}"), account, payout, at, crate::hand::ACTOR])?;
    transaction
        .prepare_cached("INSERT INTO change_sets (change_set_id, account_id, at) VALUES (?, ?, ?)")?
        .execute(params![format!("chg_01k{number:0>23}"), account, at])?;
    transaction.commit()?;
    Ok(true)
}

#[async_trait::async_trait]
impl ByHand for Hand {
    async fn ask(&self, account: &str, number: u64) -> Result<bool, Trouble> {
        let account = account.to_owned();
        self.run(move |connection| ask(connection, &account, number)).await
    }

    async fn sum(&self) -> Result<i64, Trouble> {
        self.run(|connection| connection.query_row("SELECT sum(amount) FROM ledger_entries", [], |row| row.get(0)))
            .await
    }
}

/// A file whose one seller's ledger has so many entries on the own book.
pub(crate) async fn filled(path: PathBuf, entries: i64) -> Result<Filled, Trouble> {
    let storage = SqliteStorage::open(&path, Arc::new(SystemClock)).await?;
    let policy = Policy::default();
    let account = Commands::new(&storage, environment(&policy)).open_account("Renata", Tier::Starter).await?.value.0.id;
    let sales = entries;
    let series =
        |count: i64| format!("WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {count} - 1)");
    let legs = "(SELECT 0 AS leg UNION ALL SELECT 1) l";
    let filling = open(&path)?;
    filling.execute_batch(&format!(
        "BEGIN; \
         INSERT INTO ledger_entries (entry_id, account_id, tx_id, book, code, direction, amount, source_type, source_id, \
         description, created_at) {sales_series} SELECT printf('le_01k%023d', n * 2 + leg), '{account}', \
         printf('tx_01k%023d', n), iif(leg = 0, 'plugipay_clearing', 'seller'), 'sale', iif(leg = 0, 'debit', 'credit'), \
         1000, 'checkout_session', 'cs_' || n, 'Order ' || n, 1795340160000 + n FROM s, {legs}; \
         INSERT INTO ledger_balances VALUES ('{account}', 'sale', 0, {sales} * 1000); \
         INSERT INTO accounts (account_id, name, created_at, version, tier, modules) {accounts} \
         SELECT printf('acc_01k%023d', n), name, created_at, version, tier, modules FROM accounts, s \
         WHERE account_id = '{account}'; \
         INSERT INTO ledger_entries (entry_id, account_id, tx_id, book, code, direction, amount, source_type, source_id, \
         created_at) {accounts} SELECT printf('le_01x%023d', n * 2 + leg), printf('acc_01k%023d', n), \
         printf('tx_01x%023d', n), iif(leg = 0, 'adjustments', 'seller'), 'adjustment', iif(leg = 0, 'debit', 'credit'), \
         {EACH}, 'adjustment', 'adj_' || n, 1795340160000 FROM s, {legs}; \
         INSERT INTO ledger_balances {accounts} SELECT printf('acc_01k%023d', n), 'adjustment', 0, {EACH} FROM s; \
         INSERT INTO funds {accounts} SELECT printf('acc_01k%023d', n), 1, 0 FROM s; \
         COMMIT; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);",
        sales_series = series(sales),
        accounts = series(ACCOUNTS),
    ))?;
    drop(filling);
    let by_hand = Arc::new(Hand::start(&path)?);
    Ok(Filled { storage: Arc::new(storage), by_hand, account })
}
