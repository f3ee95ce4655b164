//! A service that sells seats. Its bookings are in its tables, their payments are in the library's, and a booking is confirmed
//! together with its payment.
//!
//! The library requires:
//! - the host's tables are in the database of the library's storage. On SQLite the transaction runs on the storage's writer
//!   ([`SqliteStorage::transaction`]), with rusqlite; [`SqliteStorage::bind`] is for one that the host opens with sqlx;
//! - after a [`Failure::Conflict`], the host rolls back and begins a new transaction. The library does not retry within one;
//! - mails are sent by a dispatcher after the commit, as `examples/embed` shows.
//!
//! This example chose: departures with a number of seats, rolling back a confirmation when they are sold out, and the number of
//! attempts.

use std::path::Path;
use std::sync::Arc;

use serront_adapters::postgres::{PostgresOptions, PostgresStorage};
use serront_adapters::sqlite::SqliteStorage;
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::accounts::actor::Actor;
use serront_core::orders::order::{Language, OrderInput};
use serront_core::policy::Policy;
use serront_core::ports::{NoKeys, PortError, WorkStorage};
use serront_core::primitives::ids::{AccountId, OrderId};
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::tier::Tier;
use serront_core::service::{Commands, Environment, Failure};
use sqlx::{PgPool, SqlitePool};

mod confirm;

/// The tables of this service. Both engines understand this SQL, and `$1`.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS departures (departure TEXT PRIMARY KEY, seats_left BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS bookings (booking BIGINT PRIMARY KEY, seller TEXT NOT NULL, order_id TEXT NOT NULL, \
     departure TEXT NOT NULL, seats BIGINT NOT NULL, state TEXT NOT NULL)",
];
const OPEN: &str = "INSERT INTO departures (departure, seats_left) VALUES ($1, $2)";
const BOOK: &str = "INSERT INTO bookings (booking, seller, order_id, departure, seats, state) \
                    VALUES ($1, $2, $3, $4, $5, 'held')";
const SELECT: &str = "SELECT booking, seller, order_id, departure, seats, state FROM bookings ORDER BY booking";
const TAKE_SEATS: &str = "UPDATE departures SET seats_left = seats_left - $1 WHERE departure = $2 AND seats_left >= $1";
const CONFIRM: &str = "UPDATE bookings SET state = 'confirmed' WHERE booking = $1";

/// Most attempts of a confirmation after conflicts: this example's choice.
const ATTEMPTS_MAX: u32 = 5;

/// A booking of this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// The primary key.
    pub id: i64,
    /// The seller's account in the library.
    pub seller: AccountId,
    /// The library's order, which pays for the booking.
    pub order: OrderId,
    /// The departure's name, which is also the shop's slug.
    pub departure: String,
    /// Number of seats.
    pub seats: i64,
    /// False while it is held.
    pub confirmed: bool,
}

/// Writes to this service's tables, in the same way on both engines.
macro_rules! write {
    ($desk:expr, $sql:expr $(, $value:expr)*) => {
        match &$desk.database {
            Database::Sqlite { pool, .. } => {
                sqlx::query($sql)$(.bind($value))*.execute(pool).await?;
            }
            Database::Postgres { pool, .. } => {
                sqlx::query($sql)$(.bind($value))*.execute(pool).await?;
            }
        }
    };
}

/// The failures of a [`Desk`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fewer seats are left than were booked; the payment is not confirmed either.
    #[error("sold out")]
    SoldOut,
    /// The booking does not exist or can't be parsed.
    #[error("no such booking")]
    Unknown,
    /// A command of the library failed.
    #[error(transparent)]
    Payment(#[from] Failure),
    /// The library's storage failed.
    #[error(transparent)]
    Storage(#[from] PortError),
    /// This service gave the library an invalid value.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A query of this service failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A query of this service failed on the storage's writer.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// The environment of the library's commands.
fn environment(policy: &Policy) -> Environment<'_> {
    Environment { clock: &SystemClock, ids: &RandomIds, secrets: &SystemSecrets, sealer: &NoKeys, policy }
}

/// The actor in the audit trail.
fn desk() -> Result<Actor, Invalid> {
    Actor::host("booking desk")
}

/// The library's storage and the host's connections, to one database.
enum Database {
    Sqlite { payments: Arc<SqliteStorage>, pool: SqlitePool },
    Postgres { payments: Arc<PostgresStorage>, pool: PgPool },
}

/// The booking desk.
pub struct Desk {
    database: Database,
    policy: Arc<Policy>,
}

type Row = (i64, String, String, String, i64, String);

impl TryFrom<Row> for Booking {
    type Error = Error;

    fn try_from((id, seller, order, departure, seats, state): Row) -> Result<Self, Error> {
        let (Ok(seller), Ok(order)) = (seller.parse(), order.parse()) else { return Err(Error::Unknown) };
        Ok(Self { id, seller, order, departure, seats, confirmed: state == "confirmed" })
    }
}

impl Desk {
    /// Opens `postgres://…` or `sqlite://<file>`, and creates missing tables.
    ///
    /// # Errors
    /// Failures of the library's storage or the database.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let database = if let Some(file) = url.strip_prefix("sqlite://") {
            let payments = SqliteStorage::open(Path::new(file), Arc::new(SystemClock)).await?;
            Database::Sqlite { payments: Arc::new(payments), pool: SqlitePool::connect(url).await? }
        } else {
            let payments = PostgresStorage::open(PostgresOptions::at(url)?).await?;
            Database::Postgres { payments: Arc::new(payments), pool: PgPool::connect(url).await? }
        };
        let desk = Self { database, policy: Arc::default() };
        for table in TABLES {
            write!(desk, table);
        }
        Ok(desk)
    }

    /// Closes the database.
    pub async fn close(self) {
        match self.database {
            Database::Sqlite { payments, pool } => {
                pool.close().await;
                payments.close().await;
            }
            Database::Postgres { payments, pool } => {
                pool.close().await;
                payments.close().await;
            }
        }
    }

    /// The library's storage, outside of transactions: for reads, simple commands and the dispatcher.
    #[must_use]
    pub fn payments(&self) -> Arc<dyn WorkStorage> {
        match &self.database {
            Database::Sqlite { payments, .. } => payments.clone(),
            Database::Postgres { payments, .. } => payments.clone(),
        }
    }

    fn environment(&self) -> Environment<'_> {
        environment(&self.policy)
    }

    /// Opens a shop with a departure of this many seats. Returns the seller's account.
    ///
    /// # Errors
    /// Failures of the library or the database.
    pub async fn open_departure(&self, departure: &str, seats: i64) -> Result<AccountId, Error> {
        let payments = self.payments();
        let payments = Commands::new(&*payments, self.environment());
        let (seller, _api_key) = payments.open_account(departure, Tier::Business).await?.value;
        let profile = serde_json::json!({"slug": departure, "displayName": departure, "published": true,
            "manualBankAccounts": [{"bankName": "BCA", "accountNumber": "123-456", "accountHolder": departure}]});
        let seat = serde_json::json!({"slug": "seat", "name": "Seat", "pricingType": "fixed", "priceIdr": 150_000});
        let (Ok(profile), Ok(seat)) = (serde_json::from_value(profile), serde_json::from_value(seat)) else {
            return Err(Error::Unknown);
        };
        payments.put_storefront(seller.id, &profile, None).await?;
        payments.create_service(seller.id, &seat, None).await?;
        write!(self, OPEN, departure, seats);
        Ok(seller.id)
    }

    /// Books seats: places the order first, then inserts the booking that names it. If the second step fails, the order is never
    /// paid.
    ///
    /// # Errors
    /// Failures of the library or the database.
    pub async fn book(&self, id: i64, seller: AccountId, departure: &str, seats: i64) -> Result<Booking, Error> {
        let payments = self.payments();
        let payments = Commands::new(&*payments, self.environment());
        let input = OrderInput {
            service_slug: "seat".to_owned(),
            buyer_name: format!("Buyer {id}"),
            buyer_email: format!("buyer-{id}@example.com"),
            ..OrderInput::default()
        };
        let placed = payments.place_order(departure, &input, Language::Id, None).await?.value;
        let order = placed.order_id.ok_or(Error::Unknown)?;
        write!(self, BOOK, id, seller.to_string(), order.to_string(), departure, seats);
        Ok(Booking { id, seller, order, departure: departure.to_owned(), seats, confirmed: false })
    }

    /// All bookings, ordered by id.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn bookings(&self) -> Result<Vec<Booking>, Error> {
        let rows: Vec<Row> = match &self.database {
            Database::Sqlite { pool, .. } => sqlx::query_as(SELECT).fetch_all(pool).await?,
            Database::Postgres { pool, .. } => sqlx::query_as(SELECT).fetch_all(pool).await?,
        };
        rows.into_iter().map(Booking::try_from).collect()
    }

    /// Confirms a booking and its payment. Begins a new transaction after a conflict.
    ///
    /// # Errors
    /// [`Error::SoldOut`], and failures of the library or the database.
    pub async fn confirm(&self, booking: &Booking) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            let confirmed = match &self.database {
                Database::Sqlite { payments, .. } => confirm::on_sqlite(payments, &self.policy, booking).await,
                Database::Postgres { payments, pool } => {
                    confirm::on_postgres(payments, pool, &self.policy, booking).await
                }
            };
            attempts += 1;
            match confirmed {
                Err(Error::Payment(Failure::Conflict)) if attempts < ATTEMPTS_MAX => {}
                done => return done,
            }
        }
    }
}
