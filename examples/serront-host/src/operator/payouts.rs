//! Payouts: what waits for an operator, and one asked for on a seller's behalf.

use serde_json::json;
use serront_core::decide::Requester;
use serront_core::funds::payout::{Payout, PayoutInput};
use serront_core::policy::Policy;
use serront_core::ports::{PortError, WorkStorage};
use serront_core::primitives::page::Limit;
use serront_core::service::Commands;
use serront_core::views::PayoutView;

use crate::commands::{PayoutCommand, PayoutRequestArguments};
use crate::settings::Settings;
use crate::{Fatal, adapters, environment, process};

pub(crate) async fn payout(settings: &Settings, command: PayoutCommand) -> Result<(), Fatal> {
    match command {
        PayoutCommand::Request(arguments) => request(settings, arguments).await,
        PayoutCommand::List => list(settings).await,
    }
}

async fn request(settings: &Settings, arguments: PayoutRequestArguments) -> Result<(), Fatal> {
    let PayoutRequestArguments { account, amount, by, note, .. } = arguments;
    let input = PayoutInput {
        amount,
        currency: None,
        bank_code: arguments.bank_code,
        bank_name: arguments.bank_name,
        bank_account_number: arguments.bank_account_number,
        bank_account_holder: arguments.bank_account_holder,
        note,
    };
    let (policy, actor) = (Policy::default(), by.actor()?);
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let commands = Commands::new(storage.as_ref(), environment(&policy));
    let requested = commands.request_payout(account, &input, (Requester::Operator, &actor), None).await;
    engine.close().await;
    process::result(&json!(requested?.value))
}

async fn list(settings: &Settings) -> Result<(), Fatal> {
    let engine = adapters::engine(settings).await?;
    let payouts = in_flight(engine.storage().as_ref()).await;
    engine.close().await;
    payouts?.iter().try_for_each(|payout| process::result(&json!(PayoutView::from(payout))))
}

/// All of them: somebody is to transfer each by hand, so they are few.
async fn in_flight(storage: &dyn WorkStorage) -> Result<Vec<Payout>, PortError> {
    let mut payouts = Vec::new();
    loop {
        let after = payouts.last().map(Payout::position);
        let page = storage.payouts_in_flight(after, Limit::EXPORT).await?;
        payouts.extend(page.rows);
        if !page.has_more {
            return Ok(payouts);
        }
    }
}
