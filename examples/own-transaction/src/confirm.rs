//! Confirms a booking and its payment together: both become durable, or neither does.
use std::time::Duration;

use serront_adapters::postgres::PostgresStorage;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::service::{Commands, Environment};
use sqlx::PgPool;

use crate::{Booking, CONFIRM, Error, TAKE_SEATS, desk};

/// On PostgreSQL the transaction comes from the host's pool.
pub(crate) async fn on_postgres(
    payments: &PostgresStorage,
    pool: &PgPool,
    environment: Environment<'_>,
    booking: &Booking,
) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    {
        let bound = payments.bind(&mut transaction);
        let commands = Commands::bound(&bound, environment);
        commands.confirm_payment(booking.seller, booking.order, &desk()?, None, None).await?;
    }
    let taken = sqlx::query(TAKE_SEATS).bind(booking.seats).bind(&booking.departure).execute(&mut *transaction).await?;
    if taken.rows_affected() == 0 {
        return Err(Error::SoldOut); // dropping the transaction rolls back the payment's confirmation and its mail
    }
    sqlx::query(CONFIRM).bind(booking.id).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// On SQLite it is borrowed from the storage's one writer, for a bounded time, since all other changes wait for it.
pub(crate) async fn on_sqlite(
    payments: &SqliteStorage,
    environment: Environment<'_>,
    booking: &Booking,
) -> Result<(), Error> {
    let transaction = payments.begin(Duration::from_secs(2)).await?;
    let commands = Commands::bound(&transaction, environment);
    commands.confirm_payment(booking.seller, booking.order, &desk()?, None, None).await?;
    let seats_left = async |connection: &mut sqlx::SqliteConnection| -> Result<bool, sqlx::Error> {
        let taken =
            sqlx::query(TAKE_SEATS).bind(booking.seats).bind(&booking.departure).execute(&mut *connection).await?;
        sqlx::query(CONFIRM).bind(booking.id).execute(connection).await?;
        Ok(taken.rows_affected() == 1)
    };
    if !transaction.run(seats_left).await?? {
        return Err(Error::SoldOut);
    }
    Ok(transaction.commit().await?)
}
