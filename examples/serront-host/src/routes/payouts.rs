//! Payouts. Sellers request, see and cancel them while the module is on. Operators mark them in every state of the module, since
//! the money moves anyway.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serront_core::decide::{PayoutStep, Requester};
use serront_core::funds::payout::{BankAccountInput, PayoutInput, PayoutStatus};
use serront_core::primitives::ids::PayoutId;
use serront_core::primitives::page::Limit;
use serront_core::snapshots::PayoutKey;

use crate::answer::{Answer, Reply};
use crate::auth::{Enabled, Id, Operator, PayoutReader, existing};
use crate::body::Intake;
use crate::query::Query;

pub(super) async fn list(Enabled(caller): Enabled, query: Query) -> Reply {
    let must_be = "must be one of all, pending, in_transit, paid, cancelled, failed";
    let status = query.filter("status", PayoutStatus::parse, must_be)?;
    let limit = Limit::parse(query.one("limit")?)?;
    let page = caller.commands().payouts(caller.account(), status, query.one("cursor")?, limit).await?;
    Answer::list("payouts", &page.payouts, page.cursor)
}

pub(super) async fn create(Enabled(caller): Enabled, intake: Intake) -> Reply {
    let (input, request) = caller.input::<PayoutInput>(&intake).await?;
    let by = (Requester::Seller, &caller.actor());
    Answer::created(&caller.commands().request_payout(caller.account(), &input, by, request).await?)
}

/// A seller gets only their own payouts; an operator gets any.
pub(super) async fn get(reader: PayoutReader, Id(id): Id<PayoutId>) -> Reply {
    let payout = match reader {
        PayoutReader::Seller(caller) => caller.commands().payout(PayoutKey::Id(caller.account(), id)).await?,
        PayoutReader::Operator(operator) => operator.commands().payout(PayoutKey::Any(id)).await?,
    };
    Answer::ok(&payout)
}

pub(super) async fn cancel(Enabled(caller): Enabled, Id(id): Id<PayoutId>, intake: Intake) -> Reply {
    let (commands, key) = (caller.commands(), PayoutKey::Id(caller.account(), id));
    let request = existing(caller.no_input(&intake).await, commands.payout(key)).await?;
    Answer::done(&commands.move_payout(key, &PayoutStep::Cancel, &caller.actor(), request).await?)
}

#[derive(Default, Deserialize)]
struct Transferred {
    #[serde(default)]
    reference: Option<String>,
}

pub(super) async fn mark_in_transit(operator: Operator, Id(id): Id<PayoutId>, intake: Intake) -> Reply {
    mark(operator, id, intake, |Transferred { reference }| PayoutStep::MarkInTransit { reference }).await
}

pub(super) async fn mark_paid(operator: Operator, Id(id): Id<PayoutId>, intake: Intake) -> Reply {
    mark(operator, id, intake, |Transferred { reference }| PayoutStep::MarkPaid { reference }).await
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    #[serde(default)]
    failure_reason: Option<String>,
}

pub(super) async fn mark_failed(operator: Operator, Id(id): Id<PayoutId>, intake: Intake) -> Reply {
    mark(operator, id, intake, |Failed { failure_reason }| PayoutStep::MarkFailed { failure_reason }).await
}

async fn mark<T: DeserializeOwned + Default>(
    operator: Operator,
    id: PayoutId,
    intake: Intake,
    step: impl FnOnce(T) -> PayoutStep,
) -> Reply {
    let (commands, key) = (operator.commands(), PayoutKey::Any(id));
    let (input, request) = existing(operator.input_if_any(&intake).await, commands.payout(key)).await?;
    Answer::done(&commands.move_payout(key, &step(input), &operator.actor(), request).await?)
}

pub(super) async fn balance(Enabled(caller): Enabled) -> Reply {
    Answer::ok(&caller.commands().payout_balance(caller.account()).await?)
}

pub(super) async fn bank_account(Enabled(caller): Enabled) -> Reply {
    Answer::ok(&caller.commands().bank_account(caller.account()).await?)
}

pub(super) async fn patch_bank_account(Enabled(caller): Enabled, intake: Intake) -> Reply {
    let (input, request) = caller.input::<BankAccountInput>(&intake).await?;
    Answer::done(&caller.commands().patch_bank_account(caller.account(), &input, request).await?)
}
