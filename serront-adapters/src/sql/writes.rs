//! Turns the writes of a change set into rows of tables, and its guards' rows into tables and keys.

use serront_core::accounts::account::Account;
use serront_core::changes::change::{Row, SessionName, Write};
use serront_core::changes::effect::{Delivery, Effect};
use serront_core::funds::balance::Funds;
use serront_core::funds::payout::DefaultBankAccount;
use serront_core::orders::order::{Order, WorkStatus};
use serront_core::ports::prelude::*;
use serront_core::primitives::version::Version;
use serront_core::shop::storefront::Storefront;
use serront_core::webhooks::subscription::Subscription;

use super::cells::{Cell, Value, json};
use super::error::Failed;
use super::tables::{Columns, Record, State};

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Insert,
    Update,
    /// Has only the cells of the key.
    Delete,
}

/// What an engine does with each part of a write.
pub(crate) trait Writer {
    /// Writes one row. The cells are those of the columns, in their order.
    fn row(&mut self, verb: Verb, columns: &'static Columns, cells: Vec<Cell>);

    /// Inserts an order with the account's next number, and indexes its words. The cells are those of its row.
    fn place_order(&mut self, order: &Order, cells: Vec<Cell>);

    /// Adds to the number of orders in a state.
    fn count_orders(&mut self, status: WorkStatus, added: i64);

    /// Adds to the number of the account's services; 0 for a new account.
    fn count_services(&mut self, added: i64);

    /// Replaces a subscription's secret. The present one stays valid as the previous one until this time, by the change
    /// set's clock.
    fn rotate_secret(&mut self, id: SubscriptionId, version: Version, secret: &SealedSecret, previous_until: Timestamp);

    /// Makes an effect pending and due.
    fn requeue(&mut self, id: EffectId);

    /// Marks a failed effect as discarded.
    fn discard(&mut self, id: EffectId);

    /// Marks a subscription's pending deliveries as failed and discarded.
    fn give_up_deliveries(&mut self, id: SubscriptionId);
}

/// Updates some columns of a row, each named with its value.
macro_rules! set {
    (
        $writer:expr, $table:literal $name:literal
        [$($key:ident: $id:expr),*] [$($column:ident: $value:expr),* $(,)?]
    ) => {{
        const COLUMNS: &Columns = &Columns {
            table: $table,
            name: $name,
            names: &[$(stringify!($key),)* $(stringify!($column),)*],
            key_len: <[&str]>::len(&[$(stringify!($key)),*]),
            also_set: "",
        };
        $writer.row(Verb::Update, COLUMNS, vec![$($id.cell()?,)* $($value.cell()?,)*]);
    }};
}

/// Passes the parts of a write to the engine.
pub(crate) fn write(writer: &mut impl Writer, account: AccountId, write: &Write) -> Result<(), Failed> {
    match write {
        Write::InsertAccount(new) => {
            insert(writer, account, new, [])?;
            writer.count_services(0);
        }
        Write::UpdateAccount(state) => update(writer, [account.cell()?], state)?,
        Write::PutStorefront(storefront) => put(writer, account, storefront.version, storefront)?,
        Write::PutService(service) => {
            put(writer, account, service.version, service)?;
            if service.version == Version::FIRST {
                writer.count_services(1);
            }
        }
        Write::DeleteService(id) => {
            delete::<Service>(writer, [id.cell()?, account.cell()?]);
            writer.count_services(-1);
        }
        Write::InsertOrder(order, payment) => {
            let cells = order.cells(account, [order.access_token.hash().cell()?])?;
            writer.place_order(order, cells);
            insert(writer, account, payment, [])?;
            writer.count_orders(order.state.status, 1);
        }
        Write::UpdateOrder { id, was, state } => {
            update(writer, [id.cell()?, account.cell()?], state)?;
            if *was != state.status {
                writer.count_orders(*was, -1);
                writer.count_orders(state.status, 1);
            }
        }
        Write::UpdatePayment { id, order_id, state } => {
            update(writer, [id.cell()?, account.cell()?, order_id.cell()?], state)?;
        }
        Write::InsertKey(key) => insert(writer, account, key, [])?,
        Write::DeleteKey(id) => delete::<KeyRecord>(writer, [id.cell()?, account.cell()?]),
        Write::InsertSubscription(subscription, secret) => insert(writer, account, subscription, [secret.cell()?])?,
        Write::UpdateSubscription(id, state) => update(writer, [id.cell()?, account.cell()?], state)?,
        Write::DeleteSubscription(id) => delete::<Subscription>(writer, [id.cell()?, account.cell()?]),
        Write::RotateSecret { id, version, secret, previous_until } => {
            writer.rotate_secret(*id, *version, secret, *previous_until);
        }
        Write::ResealSecrets { id, version, secret, previous_secret } => set!(
            writer, "subscriptions" "sealed_secrets" [subscription_id: id, account_id: account]
            [version: version, secret: secret, previous_secret: previous_secret]
        ),
        Write::RotateToken { id, version, access_token, updated_at } => set!(
            writer, "orders" "order_tokens" [order_id: id, account_id: account]
            [
                version: version, access_token: access_token, access_token_hash: access_token.hash(),
                updated_at: updated_at,
            ]
        ),
        Write::AppendAudit(record) => insert(writer, account, record, [])?,
        Write::InsertCheckout(checkout) => insert(writer, account, checkout, [])?,
        Write::UpdateCheckout { id, order_id, state } => {
            update(writer, [id.cell()?, account.cell()?, order_id.cell()?], state)?;
        }
        Write::PutSession(name) => put(writer, account, name.version, name)?,
        Write::PutProvisioning(provisioning) => put(writer, account, provisioning.version, provisioning)?,
        Write::Post(legs) => {
            for leg in legs {
                insert(writer, account, leg, [])?;
            }
        }
        Write::InsertException(exception) => insert(writer, account, exception, [])?,
        Write::UpdateException(id, state) => update(writer, [id.cell()?, account.cell()?], state)?,
        Write::InsertInbox(record) => insert(writer, account, record, [])?,
        Write::UpdateInbox(id, status) => {
            set!(writer, "inbox" "inbox" [event_id: id, account_id: account] [status: status]);
        }
        Write::PutFunds(funds) => put(writer, account, funds.version, funds)?,
        Write::PutBankAccount(bank_account) => put(writer, account, bank_account.version, bank_account)?,
        Write::InsertPayout(payout) => insert(writer, account, payout, [])?,
        Write::UpdatePayout(id, state) => update(writer, [id.cell()?, account.cell()?], state)?,
        Write::AppendPayoutAudit(record) => insert(writer, account, record, [])?,
        Write::InsertAdjustment(adjustment) => insert(writer, account, adjustment, [])?,
        Write::Requeue(id) => writer.requeue(*id),
        Write::Discard(discard) => {
            writer.discard(discard.effect_id);
            insert(writer, account, discard, [])?;
        }
        Write::GiveUpDeliveries(id) => writer.give_up_deliveries(*id),
    }
    Ok(())
}

fn insert<R: Record>(writer: &mut impl Writer, account: AccountId, record: &R, more: R::More) -> Result<(), Failed> {
    writer.row(Verb::Insert, R::COLUMNS, record.cells(account, more)?);
    Ok(())
}

/// Inserts a first version, so that a row that exists already violates the key. A guard has checked that a later
/// version has a row.
fn put<R: Record<More = [Cell; 0]>>(
    writer: &mut impl Writer,
    account: AccountId,
    version: Version,
    record: &R,
) -> Result<(), Failed> {
    let verb = if version == Version::FIRST { Verb::Insert } else { Verb::Update };
    writer.row(verb, R::COLUMNS, record.cells(account, [])?);
    Ok(())
}

fn update<S: State>(writer: &mut impl Writer, key: <S::Of as Record>::Key, state: &S) -> Result<(), Failed> {
    let columns = <S::Of as Record>::STATE_COLUMNS;
    let mut cells = Vec::with_capacity(columns.names.len());
    cells.extend(key);
    state.add_to(&mut cells)?;
    writer.row(Verb::Update, columns, cells);
    Ok(())
}

fn delete<R: Record>(writer: &mut impl Writer, key: R::Key) {
    writer.row(Verb::Delete, R::COLUMNS, key.into_iter().collect());
}

/// The table of a guarded row and, if the account has several rows there, its id.
pub(crate) fn guarded(row: &Row) -> (&'static Columns, Option<String>) {
    match row {
        Row::Account => (Account::COLUMNS, None),
        Row::Storefront => (Storefront::COLUMNS, None),
        Row::Service(id) => (Service::COLUMNS, Some(id.to_string())),
        Row::Order(id) => (Order::COLUMNS, Some(id.to_string())),
        Row::Subscription(id) => (Subscription::COLUMNS, Some(id.to_string())),
        Row::Provisioning => (Provisioning::COLUMNS, None),
        Row::Session(id) => (SessionName::COLUMNS, Some(id.as_str().to_owned())),
        Row::Exception(id) => (PaymentException::COLUMNS, Some(id.to_string())),
        Row::Funds => (Funds::COLUMNS, None),
        Row::BankAccount => (DefaultBankAccount::COLUMNS, None),
        Row::Payout(id) => (Payout::COLUMNS, Some(id.to_string())),
    }
}

/// How an effect is stored.
pub(crate) enum Queued<'e> {
    /// In the table of effects: its kind, its content up to the place of a new order's number, the content after that
    /// place, and the delivery if it is one.
    Effect(&'static str, String, Option<&'e str>, Option<&'e Delivery>),
    /// In the table of errands.
    Errand(String),
}

pub(crate) fn queued(effect: &Effect) -> Result<Queued<'_>, Failed> {
    Ok(match effect {
        Effect::Mail { mail, .. } => Queued::Effect("mail", json(mail)?, None, None),
        Effect::Removal { upload_id, .. } => Queued::Effect("removal", upload_id.to_string(), None, None),
        Effect::Delivery(delivery) => {
            let (before, after) = delivery.body.parts();
            Queued::Effect("delivery", before.to_owned(), after, Some(delivery))
        }
        Effect::Errand { errand, .. } => Queued::Errand(json(errand)?),
    })
}
