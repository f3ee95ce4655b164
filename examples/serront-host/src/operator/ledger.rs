//! The books: verifying and correcting them. [`super::reconcile`] compares them with Plugipay's.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use serront_core::decide::AdjustmentInput;
use serront_core::funds::books::{Verification, VerificationReport};
use serront_core::policy::Policy;
use serront_core::ports::{PortError, WorkStorage};
use serront_core::primitives::ids::AccountId;
use serront_core::service::{self, Commands, Failure};
use serront_core::views::AdjustmentView;

use super::reconcile::reconcile;
use crate::adapters;
use crate::commands::{By, LedgerCommand};
use crate::console::{self, Fatal};
use crate::settings::Settings;

/// How often the progress bar is updated.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn ledger(settings: &Settings, command: LedgerCommand) -> Result<(), Fatal> {
    match command {
        LedgerCommand::Verify { account } => verify(settings, account).await,
        LedgerCommand::Adjust { account, amount, reason, reference, by } => {
            adjust(settings, account, &AdjustmentInput { amount, reason, reference }, &by).await
        }
        LedgerCommand::Reconcile { account, json, restart } => reconcile(settings, account, json, restart).await,
    }
}

async fn verify(settings: &Settings, account: Option<AccountId>) -> Result<(), Fatal> {
    let report = adapters::with_storage(settings, async |storage| Ok(watched(storage, account).await?)).await?;
    console::result(&json!(report))?;
    match report.differences.len() {
        0 => Ok(()),
        count => Err(format!("the books do not balance: {count} differences").into()),
    }
}

/// Verifies, with a progress bar on a terminal.
async fn watched(storage: &dyn WorkStorage, account: Option<AccountId>) -> Result<VerificationReport, Failure> {
    if let Some(id) = account {
        // An unknown account would have no differences.
        Commands::new(storage, adapters::environment(&Policy::default())).account(id).await?;
    }
    let verification = Verification::default();
    let bar = ProgressBar::new(0).with_style(style()?);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let verifying = service::verify(storage, account, &verification);
    tokio::pin!(verifying);
    let report = loop {
        tokio::select! {
            report = &mut verifying => break report,
            _ = looks.tick() => {
                let far = verification.progress();
                // Entries posted after the count make it read more than expected.
                bar.set_length(far.expected.max(far.entries));
                bar.set_position(far.entries);
            }
        }
    };
    bar.finish_and_clear();
    Ok(report?)
}

fn style() -> Result<ProgressStyle, PortError> {
    let template = "{elapsed_precise} {wide_bar} {human_pos}/{human_len} entries, {eta} left";
    ProgressStyle::with_template(template).map_err(PortError::permanent)
}

async fn adjust(settings: &Settings, account: AccountId, input: &AdjustmentInput, by: &By) -> Result<(), Fatal> {
    let actor = by.actor()?;
    let adjusted = adapters::with_commands(settings, async |commands| commands.adjust(account, input, &actor).await);
    console::result(&json!(AdjustmentView::from(&adjusted.await?.value)))
}
