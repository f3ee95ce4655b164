//! (a) A notification by hand: one job of the thread that writes. A duplicate ends with the read, without an fsync.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::hand::{shown_of, write_effects};
use crate::hand::{SHOWN, Seen, shown_columns};
use crate::notified::{Notification, Paid, Settlement, Told, paid_columns, paid_tables, verify};
use crate::stage::{Request, Trouble};

const READ: &str = concat!(
    "SELECT ",
    shown_columns!(),
    ", coalesce(f.display_name, a.name), ",
    paid_columns!("?2"),
    " FROM ",
    paid_tables!("?3"),
    " WHERE d.kind = 'merchant' AND d.name = ?1"
);

fn read(connection: &Connection, told: &Told) -> Result<Paid, Trouble> {
    let mut paid = connection
        .prepare_cached(READ)?
        .query_row([&told.account_id, &told.id, &told.data.object.id], |row| {
            Ok(Paid {
                seen: Seen { shown: shown_of(row)?, seller_name: row.get(SHOWN)?, subscriptions: Vec::new() },
                account: row.get(SHOWN + 1)?,
                endpoint: row.get(SHOWN + 2)?,
                event: row.get(SHOWN + 3)?,
                checkout: row.get(SHOWN + 4)?,
                checkout_status: row.get(SHOWN + 5)?,
                amount: row.get(SHOWN + 6)?,
                fee_rate: row.get(SHOWN + 7)?,
            })
        })
        .optional()?
        .ok_or("no such session")?;
    if paid.event.is_none() {
        paid.seen.subscriptions = connection
            .prepare_cached("SELECT subscription_id, events FROM subscriptions WHERE account_id = ?1 AND active")?
            .query_map([&paid.account], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
    }
    Ok(paid)
}

fn write(connection: &Connection, notification: &Notification, told: &Told, paid: &Paid) -> Result<(), Trouble> {
    let Settlement { confirmation: made, audit, act, transaction, entries, description, amount, fee } =
        Settlement::of(paid, told)?;
    let shown = &paid.seen.shown;
    let (account, order, payment, at) = (&paid.account, &shown.order_id, &shown.payment_id, made.at);
    let (session, event) = (&told.data.object.id, &told.id);
    let updated = connection
        .prepare_cached(
            "UPDATE orders SET version = version + 1, payment_status = 'payment_confirmed', updated_at = ?1 \
             WHERE order_id = ?2 AND account_id = ?3 AND version = ?4",
        )?
        .execute(params![at, order, account, shown.version])?;
    if updated != 1 {
        return Err("a conflict".into());
    }
    connection
        .prepare_cached("UPDATE payments SET status = 'payment_confirmed' WHERE payment_id = ?1 AND account_id = ?2")?
        .execute([payment, account])?;
    connection
        .prepare_cached(
            "UPDATE checkouts SET status = 'completed', ended_at = ?1 WHERE checkout_id = ?2 AND account_id = ?3",
        )?
        .execute(params![at, paid.checkout, account])?;
    connection
        .prepare_cached(
            "INSERT INTO claims (name, kind, account_id) VALUES (?1, 'confirmation', ?4), (?2, 'settlement', ?4), \
             (?3, 'provider_event', ?4)",
        )?
        .execute([payment, session, event, account])?;
    connection
        .prepare_cached(
            "INSERT INTO audit (audit_id, account_id, order_id, payment_id, at, actor, act) \
             VALUES (?1, ?3, ?4, ?5, ?6, ?7, ?2), (?8, ?3, ?4, ?5, ?6, ?7, ?9)",
        )?
        .execute(params![audit, act, account, order, payment, at, made.actor, made.audit, made.act])?;
    write_effects(connection, account, &made)?;
    connection
        .prepare_cached(
            "INSERT INTO inbox (event_id, account_id, event_type, session_id, body, received_at, status) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'applied')",
        )?
        .execute(params![event, account, told.r#type, session, notification.body, at])?;
    let [clearing, sale, charge, income] = entries;
    connection
        .prepare_cached(
            "INSERT INTO ledger_entries (entry_id, account_id, tx_id, book, code, direction, amount, source_type, \
             source_id, description, created_at) VALUES \
             (?1, ?5, ?6, 'plugipay_clearing', 'sale', 'debit', ?7, 'checkout_session', ?9, ?10, ?11), \
             (?2, ?5, ?6, 'seller', 'sale', 'credit', ?7, 'checkout_session', ?9, ?10, ?11), \
             (?3, ?5, ?6, 'seller', 'module_fee', 'debit', ?8, 'checkout_session', ?9, ?10, ?11), \
             (?4, ?5, ?6, 'module_fee_income', 'module_fee', 'credit', ?8, 'checkout_session', ?9, ?10, ?11)",
        )?
        .execute(params![
            clearing,
            sale,
            charge,
            income,
            account,
            transaction,
            amount,
            fee,
            session,
            description,
            at
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO ledger_balances (account_id, code, debits, credits) VALUES (?1, 'sale', 0, ?2), \
             (?1, 'module_fee', ?3, 0) ON CONFLICT (account_id, code) DO UPDATE SET \
             debits = debits + excluded.debits, credits = credits + excluded.credits",
        )?
        .execute(params![account, amount, fee])?;
    connection
        .prepare_cached("INSERT INTO change_sets (change_set_id, account_id, at) VALUES (?1, ?2, ?3)")?
        .execute(params![made.change_set, account, at])?;
    Ok(())
}

pub(super) fn transact(connection: &Connection, request: &Request) -> Result<(), Trouble> {
    let notification = request.notification.as_ref().ok_or("an order without a notification")?;
    let told: Told = serde_json::from_str(&notification.body)?;
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = (|| {
        let paid = read(connection, &told)?;
        verify(notification, &paid.endpoint)?;
        if paid.event.is_some() {
            return Ok(());
        }
        write(connection, notification, &told, &paid)
    })();
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.prepare_cached(end)?.execute([])?;
    done
}
