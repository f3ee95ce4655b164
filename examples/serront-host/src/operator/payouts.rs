//! Payouts: those that wait for an operator, and a request on a seller's behalf.

use serde_json::json;
use serront_core::decide::Requester;
use serront_core::funds::payout::{Payout, PayoutInput};
use serront_core::primitives::page::Limit;
use serront_core::views::PayoutView;

use crate::adapters;
use crate::commands::{PayoutCommand, PayoutRequestArguments};
use crate::console::{self, Fatal};
use crate::settings::Settings;

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
    let actor = by.actor()?;
    let requested = adapters::with_commands(settings, async |commands| {
        commands.request_payout(account, &input, (Requester::Operator, &actor), None).await
    });
    console::result(&json!(requested.await?.value))
}

/// Prints all of them: an operator transfers each by hand, so they are few.
async fn list(settings: &Settings) -> Result<(), Fatal> {
    let payouts = adapters::with_storage(settings, async |storage| {
        let mut payouts = Vec::new();
        loop {
            let page = storage.payouts_in_flight(payouts.last().map(Payout::position), Limit::EXPORT).await?;
            payouts.extend(page.rows);
            if !page.has_more {
                return Ok(payouts);
            }
        }
    });
    payouts.await?.iter().try_for_each(|payout| console::result(&json!(PayoutView::from(payout))))
}
