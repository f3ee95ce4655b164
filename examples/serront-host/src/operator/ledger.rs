//! The books: their verification, and corrections. Their comparison with Plugipay's is in [`super::reconcile`].

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use serront_core::decide::AdjustmentInput;
use serront_core::funds::books::{Verification, VerificationReport};
use serront_core::policy::Policy;
use serront_core::ports::{PortError, WorkStorage};
use serront_core::primitives::ids::AccountId;
use serront_core::service::{Commands, Failure};
use serront_core::views::AdjustmentView;

use super::reconcile::reconcile;
use crate::commands::{By, LedgerCommand};
use crate::settings::Settings;
use crate::{Fatal, adapters, environment, process};

/// How often a verification is asked how far it is.
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
    let engine = adapters::engine(settings).await?;
    let verified = watched(engine.storage().as_ref(), account).await;
    engine.close().await;
    let report = verified?;
    process::result(&json!(report))?;
    match report.differences.len() {
        0 => Ok(()),
        count => Err(format!("the books are not as they have to be: {count} differences").into()),
    }
}

/// Verifies, and shows how far it is where somebody looks on.
async fn watched(storage: &dyn WorkStorage, account: Option<AccountId>) -> Result<VerificationReport, Failure> {
    if let Some(id) = account {
        // Of an account that there is not, nothing would differ.
        Commands::new(storage, environment(&Policy::default())).account(id).await?;
    }
    let verification = Verification::default();
    // On a terminal only; anywhere else it shows nothing.
    let bar = ProgressBar::new(0).with_style(style()?);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let verifying = serront_core::service::verify(storage, account, &verification);
    tokio::pin!(verifying);
    let report = loop {
        tokio::select! {
            report = &mut verifying => break report,
            _ = looks.tick() => {
                let far = verification.progress();
                // Entries may be posted while it counts what to expect.
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
    let (policy, actor) = (Policy::default(), by.actor()?);
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let adjusted = Commands::new(storage.as_ref(), environment(&policy)).adjust(account, input, &actor).await;
    engine.close().await;
    process::result(&json!(AdjustmentView::from(&adjusted?.value)))
}
