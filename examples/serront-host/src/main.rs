//! The host as a process: settings, adapters, loops, and a graceful stop. Results go to stdout, logs to stderr.

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;
use serront_adapters::system::{RandomIds, SystemClock, SystemSecrets};
use serront_core::policy::Policy;
use serront_core::ports::NoKeys;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::tier::Tier;
use serront_core::service::{Commands, Environment};

mod adapters;
mod commands;
mod demo;
mod installation;
mod operator;
mod process;
mod serve;
mod settings;

use commands::{AccountCommand, Command, CommandLine};
use settings::Settings;

/// Why the process can't go on. Shown to whoever started it.
type Fatal = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let result = process::logs(matches!(command_line.command, Command::Demo)).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(run(command_line));
        // What did not end in time is not waited for: its work comes back when its lease runs out.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::complain(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

async fn run(command_line: CommandLine) -> Result<(), Fatal> {
    let settings = command_line.settings;
    match command_line.command {
        Command::Serve => process::serve(&settings).await,
        Command::Demo => demo::run(&settings).await,
        Command::Account(AccountCommand::Create { name, tier }) => create_account(&settings, &name, tier).await,
        Command::Account(AccountCommand::SetTier { account, tier }) => set_tier(&settings, account, tier).await,
        Command::Outbox(command) => operator::outbox(&settings, command).await,
        Command::Inbox(command) => operator::inbox(&settings, command).await,
        Command::Plugipay(command) => operator::plugipay(&settings, command).await,
        Command::OperatorKey(command) => operator::key(&settings, command).await,
        Command::Ledger(command) => operator::ledger(&settings, command).await,
        Command::Secrets(command) => operator::secrets(&settings, command).await,
        Command::Payout(command) => operator::payout(&settings, command).await,
        Command::Proofs(command) => installation::proofs(&settings, command).await,
        Command::SetAside { limit } => operator::set_aside(&settings, limit).await,
        Command::Migrate => {
            adapters::engine(&settings).await?.close().await;
            process::result(&json!({ "migrated": true }))
        }
    }
}

/// For subcommands that meet no secrets at rest.
fn environment(policy: &Policy) -> Environment<'_> {
    Environment { clock: &SystemClock, ids: &RandomIds, secrets: &SystemSecrets, sealer: &NoKeys, policy }
}

async fn create_account(settings: &Settings, name: &str, tier: Tier) -> Result<(), Fatal> {
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let policy = Policy::default();
    let opened = Commands::new(storage.as_ref(), environment(&policy)).open_account(name, tier).await;
    engine.close().await;
    let (account, key) = opened?.value;
    process::result(&json!({ "accountId": account.id, "apiKey": key.key }))
}

async fn set_tier(settings: &Settings, account: AccountId, tier: Tier) -> Result<(), Fatal> {
    let engine = adapters::engine(settings).await?;
    let storage = engine.storage();
    let policy = Policy::default();
    let set = Commands::new(storage.as_ref(), environment(&policy)).set_tier(account, tier).await;
    engine.close().await;
    let account = set?.value;
    process::result(&json!({
        "accountId": account.id,
        "tier": account.state.tier,
        // A tier without modules has switched them off.
        "modules": account.state.modules,
    }))
}
