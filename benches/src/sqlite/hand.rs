//! (a) The floor and (d) the limit: rusqlite with prepared statements on a separate thread, because SQLite has one
//! writer. A confirmation is one job: its read, writes and commit run on the thread, with one fsync each.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use tokio::sync::{OnceCell, Semaphore, oneshot};

use crate::hand::{Confirmation, Counts, EVENT, SHOWN, Seen, Shown, shown, shown_columns};
use crate::stage::{PAGE, PageSeen, Request, Trouble, Way};

const READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", coalesce(f.display_name, a.name) FROM orders o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
     JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
     JOIN accounts a ON a.account_id = o.account_id LEFT JOIN storefronts f ON f.account_id = o.account_id \
     WHERE o.order_id = ?1 AND o.account_id = ?2"
);

const PAGE_READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", (SELECT json_group_object(status, orders) FROM order_counts WHERE account_id = ?1) \
     FROM (SELECT * FROM orders WHERE account_id = ?1 AND number < ?2 ORDER BY number DESC LIMIT 51) o \
     JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
     JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id ORDER BY o.number DESC"
);

pub(super) fn shown_of(row: &Row<'_>) -> Result<Shown, rusqlite::Error> {
    Ok(shown!(row, get))
}

fn read(connection: &Connection, request: &Request) -> Result<Seen, Trouble> {
    let seen = connection
        .prepare_cached(READ)?
        .query_row([&request.order_text, &request.account_text], |row| Ok((shown_of(row)?, row.get(SHOWN)?)))
        .optional()?;
    let (shown, seller_name) = seen.ok_or("no such order")?;
    let subscriptions = connection
        .prepare_cached("SELECT subscription_id, events FROM subscriptions WHERE account_id = ?1 AND active")?
        .query_map([&request.account_text], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(Seen { shown, seller_name, subscriptions })
}

/// `false` if the order is at another version.
fn write(connection: &Connection, request: &Request, seen: &Seen, version: i64) -> Result<bool, Trouble> {
    let made = Confirmation::of(seen, request)?;
    let (account, order, payment) = (&request.account_text, &request.order_text, &seen.shown.payment_id);
    let updated = connection
        .prepare_cached(
            "UPDATE orders SET version = version + 1, payment_status = 'payment_confirmed', updated_at = :at \
             WHERE order_id = :order AND account_id = :account AND version = :version",
        )?
        .execute(named_params! { ":at": made.at, ":order": order, ":account": account, ":version": version })?;
    if updated != 1 {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE payments SET status = 'payment_confirmed' WHERE payment_id = ?1 AND account_id = ?2")?
        .execute([payment, account])?;
    connection
        .prepare_cached("INSERT INTO claims (name, kind, account_id) VALUES (?1, 'confirmation', ?2)")?
        .execute([payment, account])?;
    connection
        .prepare_cached(
            "INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![made.audit, account, order, payment, made.at, made.actor, made.act])?;
    write_effects(connection, account, &made)?;
    connection
        .prepare_cached("INSERT INTO change_sets (change_set_id, account_id, at) VALUES (?1, ?2, ?3)")?
        .execute(params![made.change_set, account, made.at])?;
    Ok(true)
}

/// Writes a confirmation's mail and delivery.
pub(super) fn write_effects(connection: &Connection, account: &str, made: &Confirmation) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "INSERT INTO effects (effect_id, account_id, kind, content, subscription_id, event_id, event_type, \
             created_at, status, due_at) VALUES (?1, ?2, 'mail', ?3, NULL, NULL, NULL, ?4, 'pending', ?4), \
             (?5, ?2, 'delivery', ?6, ?7, ?8, ?9, ?4, 'pending', ?4)",
        )?
        .execute(params![
            made.mail,
            account,
            made.mail_content,
            made.at,
            made.delivery,
            made.body,
            made.subscription,
            made.event,
            EVENT
        ])?;
    Ok(())
}

/// A request to the thread.
enum Job {
    Read(Request, oneshot::Sender<Result<Seen, Trouble>>),
    /// With what is assumed to have been read; nothing: read it.
    Confirm(Request, Option<Box<Seen>>, oneshot::Sender<Result<(), Trouble>>),
    Notify(Request, oneshot::Sender<Result<(), Trouble>>),
}

fn transact(connection: &Connection, request: &Request, assumed: Option<&Seen>, stale: i64) -> Result<bool, Trouble> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = (|| {
        let read = if assumed.is_none() { Some(read(connection, request)?) } else { None };
        let seen = assumed.or(read.as_ref()).ok_or("nothing was read")?;
        write(connection, request, seen, seen.shown.version - stale)
    })();
    let end = if matches!(done, Ok(true)) { "COMMIT" } else { "ROLLBACK" };
    connection.prepare_cached(end)?.execute([])?;
    done
}

/// The thread with the connection that writes. It ends with the last sender.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Self {
        let (jobs, queue) = mpsc::channel();
        std::thread::spawn(move || {
            for job in queue {
                // The caller may have been dropped.
                let _ = match job {
                    Job::Read(request, reply) => reply.send(read(&connection, &request)).is_ok(),
                    Job::Notify(request, reply) => reply.send(super::settle::transact(&connection, &request)).is_ok(),
                    Job::Confirm(request, assumed, reply) => {
                        let mut done = transact(&connection, &request, assumed.as_deref(), i64::from(request.stale));
                        if request.stale && matches!(done, Ok(false)) {
                            done = transact(&connection, &request, assumed.as_deref(), 0);
                        }
                        let done = done.and_then(|done| if done { Ok(()) } else { Err("a conflict".into()) });
                        reply.send(done).is_ok()
                    }
                };
            }
        });
        Self { jobs }
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Trouble>>) -> Job) -> Result<T, Trouble> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).map_err(|_| "the writer has ended")?;
        answer.await?
    }
}

/// As many as the library has.
const READERS: usize = 8;

/// Connections that read, used on the runtime's threads for blocking work.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Semaphore,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, rusqlite::Error> {
        let idle = (0..READERS).map(|_| super::connect(path)).collect::<Result<_, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), free: Semaphore::new(READERS) })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let _permit = self.free.acquire().await?;
        let idle = Arc::clone(&self.idle);
        tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = taken.ok_or("no reader is free")?;
            let done = work(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            done
        })
        .await?
    }
}

fn page(connection: &Connection, account: &str, below: i64) -> Result<PageSeen, Trouble> {
    let mut statement = connection.prepare_cached(PAGE_READ)?;
    let mut rows = statement.query(params![account, below])?;
    let (mut shown, mut counts) = (Vec::with_capacity(PAGE), None);
    while let Some(row) = rows.next()? {
        if counts.is_none() {
            counts = Some(row.get::<_, String>(SHOWN)?);
        }
        if shown.len() < PAGE {
            shown.push(shown_of(row)?);
        }
    }
    page_seen(&shown, &serde_json::from_str(counts.as_deref().unwrap_or("{}"))?)
}

pub(super) fn page_seen(shown: &[Shown], counts: &Counts) -> Result<PageSeen, Trouble> {
    let first = shown.first().map_or(0, |shown| shown.number);
    Ok(PageSeen { rows: shown.len(), first: u32::try_from(first)?, orders: counts.sum() })
}

/// (a)
pub(super) struct Floor {
    writer: Writer,
    readers: Readers,
}

impl Floor {
    pub(super) const fn new(writer: Writer, readers: Readers) -> Self {
        Self { writer, readers }
    }
}

#[async_trait]
impl Way for Floor {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        self.writer.ask(|reply| Job::Confirm(request.clone(), None, reply)).await
    }

    async fn page(&self, request: &Request) -> Result<PageSeen, Trouble> {
        let below = request.after.map_or(i64::MAX, |after| i64::from(after.0));
        let account = request.account_text.clone();
        self.readers.read(move |connection| page(connection, &account, below)).await
    }

    async fn notify(&self, request: &Request) -> Result<(), Trouble> {
        self.writer.ask(|reply| Job::Notify(request.clone(), reply)).await
    }
}

/// (d)
pub(super) struct Limit {
    writer: Writer,
    /// What some order looked like: what is written is made of it.
    assumed: OnceCell<Seen>,
}

impl Limit {
    pub(super) const fn new(writer: Writer) -> Self {
        Self { writer, assumed: OnceCell::const_new() }
    }
}

#[async_trait]
impl Way for Limit {
    async fn confirm(&self, request: &Request) -> Result<(), Trouble> {
        let read = || self.writer.ask(|reply| Job::Read(request.clone(), reply));
        let seen = Box::new(self.assumed.get_or_try_init(read).await?.assumed_for(request));
        self.writer.ask(|reply| Job::Confirm(request.clone(), Some(seen), reply)).await
    }

    async fn page(&self, _request: &Request) -> Result<PageSeen, Trouble> {
        Err("a page has no write".into())
    }
}
