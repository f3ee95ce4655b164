//! Confirms a booking and its payment together: both become durable, or neither does.
use std::sync::Arc;
use std::time::Duration;

use serront_adapters::postgres::PostgresStorage;
use serront_adapters::sqlite::SqliteStorage;
use serront_core::policy::Policy;
use serront_core::service::Commands;
use sqlx::PgPool;

use crate::{Booking, CONFIRM, Error, TAKE_SEATS, desk, environment};

/// On PostgreSQL the transaction comes from the host's pool.
pub(crate) async fn on_postgres(
    payments: &PostgresStorage,
    pool: &PgPool,
    policy: &Policy,
    booking: &Booking,
) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    {
        let bound = payments.bind(&mut transaction);
        let commands = Commands::bound(&bound, environment(policy));
        commands.confirm_payment(booking.seller, booking.order, &desk()?, None, None).await?;
    }
    let taken = sqlx::query(TAKE_SEATS).bind(booking.seats).bind(&booking.departure).execute(&mut *transaction).await?;
    if taken.rows_affected() == 0 {
        return Err(Error::SoldOut); // dropping the transaction rolls back the payment's confirmation and its mail
    }
    sqlx::query(CONFIRM).bind(booking.id).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// On SQLite it runs on the storage's one writer, for a bounded time, since all other changes wait for it.
pub(crate) async fn on_sqlite(payments: &SqliteStorage, policy: &Arc<Policy>, booking: &Booking) -> Result<(), Error> {
    let (policy, booking) = (Arc::clone(policy), booking.clone());
    let confirmed = payments.transaction(Duration::from_secs(2), move |transaction| {
        let commands = Commands::bound(transaction, environment(&policy));
        transaction.complete(commands.confirm_payment(booking.seller, booking.order, &desk()?, None, None))?;
        transaction.run(|connection| {
            if connection.execute(TAKE_SEATS, (booking.seats, &booking.departure))? == 0 {
                return Err(Error::SoldOut); // an error rolls back the payment's confirmation and its mail
            }
            connection.execute(CONFIRM, [booking.id])?;
            Ok(())
        })?
    });
    confirmed.await
}
