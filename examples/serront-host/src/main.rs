//! The host as a process: settings, adapters, loops, and a graceful stop. Results go to stdout, logs to stderr.

use std::process::ExitCode;

use clap::Parser as _;
use serde_json::json;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::tier::Tier;

mod adapters;
mod commands;
mod console;
mod demo;
mod installation;
mod operator;
mod process;
mod serve;
mod settings;

use commands::{AccountCommand, Command, CommandLine};
use console::Fatal;
use settings::Settings;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let result = console::logs(matches!(command_line.command, Command::Demo)).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(run(command_line));
        // Tasks that did not end in time are dropped; their work is taken up again when its lease expires.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::complain(error.as_ref());
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
        Command::Proofs(command) => operator::proofs(&settings, command).await,
        Command::SetAside { limit } => operator::set_aside(&settings, limit).await,
        Command::Migrate => {
            adapters::engine(&settings).await?.close().await;
            console::result(&json!({ "migrated": true }))
        }
    }
}

async fn create_account(settings: &Settings, name: &str, tier: Tier) -> Result<(), Fatal> {
    let opened = adapters::with_commands(settings, async |commands| commands.open_account(name, tier).await);
    let (account, key) = opened.await?.value;
    console::result(&json!({ "accountId": account.id, "apiKey": key.key }))
}

async fn set_tier(settings: &Settings, account: AccountId, tier: Tier) -> Result<(), Fatal> {
    let set = adapters::with_commands(settings, async |commands| commands.set_tier(account, tier).await);
    let account = set.await?.value;
    console::result(&json!({
        "accountId": account.id,
        "tier": account.state.tier,
        // A tier without modules switches them off.
        "modules": account.state.modules,
    }))
}
