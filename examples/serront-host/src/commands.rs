//! The subcommands (wire contract, section 5).

use std::fmt;

use clap::{Args, Parser, Subcommand};
use serront_core::accounts::actor::Actor;
use serront_core::changes::effect::EffectId;
use serront_core::primitives::ids::{AccountId, KeyId};
use serront_core::primitives::provider::ProviderEventId;
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::tier::Tier;

use crate::settings::Settings;

/// The reference host of Serront's payment library.
#[derive(Debug, Parser)]
#[command(name = "serront-host", version)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API; applies pending migrations first.
    Serve,
    /// Serve in a temporary folder with default settings and a seeded seller, and print what to try.
    Demo,
    /// Manage accounts; works while the host serves.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Manage notifications that could not be applied; works while the host serves.
    #[command(subcommand)]
    Inbox(InboxCommand),
    /// Manage mails, webhooks and other effects that were given up; works while the host serves.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Manage the registration at Plugipay; works while the host serves.
    #[command(subcommand)]
    Plugipay(PlugipayCommand),
    /// Manage operators' keys; works while the host serves.
    #[command(subcommand)]
    OperatorKey(OperatorKeyCommand),
    /// Verify, correct and reconcile the books; works while the host serves.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Request and list payouts; works while the host serves.
    #[command(subcommand)]
    Payout(PayoutCommand),
    /// Manage the keys that seal secrets in the database; works while the host serves.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Manage the folder of receipts, while no host serves.
    #[command(subcommand)]
    Proofs(ProofsCommand),
    /// Print the rows that this version can't read and has set aside, oldest first, one JSON line each; works while the host
    /// serves.
    SetAside {
        /// Maximum of lines.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Apply pending migrations.
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Open an account. Prints its id and its first API key, which is not shown again.
    Create {
        /// The seller's name.
        #[arg(long)]
        name: String,
        /// free, starter, growth or business.
        #[arg(long)]
        tier: Tier,
    },
    /// Change an account's tier. A tier without modules switches them off.
    SetTier {
        /// The account's id.
        account: AccountId,
        /// free, starter, growth or business.
        tier: Tier,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// Print the effects that were given up and not discarded, newest first, one JSON line each.
    List {
        /// Print the records of discarded effects instead, latest first.
        #[arg(long)]
        discarded: bool,
        /// Maximum of lines.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Queue an effect that was given up; a serving host carries it out.
    Retry {
        /// The account's id.
        account: AccountId,
        /// The effect's id, as listed.
        effect: EffectId,
    },
    /// Discard an effect that was given up, and record the reason. It can still be retried.
    Discard {
        /// The account's id.
        account: AccountId,
        /// The effect's id, as listed.
        effect: EffectId,
        /// The reason, for the record.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: By,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum InboxCommand {
    /// Print the notifications that wait for the operator, oldest first, one JSON line each: parked ones older than 24 h,
    /// those in another currency than IDR, and unreadable ones.
    List {
        /// Also print younger parked ones.
        #[arg(long)]
        all: bool,
        /// Maximum of lines.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Retry a parked notification and print its new status.
    Retry {
        /// The account's id.
        account: AccountId,
        /// The event's id at Plugipay.
        #[arg(value_parser = event_id)]
        event_id: ProviderEventId,
    },
}

fn event_id(raw: &str) -> Result<ProviderEventId, &'static str> {
    ProviderEventId::parse(raw).ok_or("must be an event's id")
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlugipayCommand {
    /// Register a merchant's notification endpoint again. The previous endpoint's secret is accepted for another 24 h.
    RotateSecret {
        /// The account's id.
        account: AccountId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Add a new key to the key file and print its id. The new key seals; the old keys still open. If hosts have copies of the
    /// file, copy it to them next.
    Rotate,
    /// Reseal every secret that is in plain text or sealed with an older key, and print how many there were. It can be repeated
    /// if it was interrupted. Exit code 1 if a secret can't be opened.
    Reseal,
    /// Reseal, and then remove all keys but the newest from the file. Keep the old keys in backups as long as database backups
    /// need them.
    Forget,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProofsCommand {
    /// Assign the folder of receipts to this database, if `serve` reports that the two belong to different installations. Prints
    /// the installation's id and the folder's previous one. Receipts that this database does not reference are quarantined a day
    /// after they were stored and deleted 30 days later: make sure that it is the right database.
    Adopt,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorKeyCommand {
    /// Create an operator's key and print it; it is not shown again.
    Create {
        /// The key's name in the list.
        #[arg(long, default_value = "Operator")]
        name: String,
    },
    /// Print the operators' keys, oldest first, one JSON line each, without the keys themselves.
    List,
    /// Delete an operator's key. It stops working with the next request.
    Revoke {
        /// The key's id, as listed.
        id: KeyId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Recompute every balance from the entries and print the differences. Exit code 1 if there are any.
    Verify {
        /// The account's id; without one, all accounts.
        account: Option<AccountId>,
    },
    /// Correct a seller's balance: a refund made at Plugipay, a payout that the bank sent back.
    Adjust {
        /// The account's id.
        account: AccountId,
        /// Whole rupiah: above zero to the seller, below zero from the seller.
        #[arg(allow_negative_numbers = true)]
        amount: i64,
        /// The reason, which the seller sees.
        #[arg(long)]
        reason: String,
        /// The reference in the operator's books. Repeating an adjustment with the same reference changes nothing.
        #[arg(long)]
        reference: String,
        #[command(flatten)]
        by: By,
    },
    /// Compare the merchant's ledger at Plugipay with ours and print what either side lacks. It changes nothing. An interrupted
    /// run continues after the last page that it read. Exit code 1 if the two do not agree.
    Reconcile {
        /// The account's id.
        account: AccountId,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Start over instead of continuing an earlier run.
        #[arg(long)]
        restart: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PayoutCommand {
    /// Request a payout on a seller's behalf, in every state of the payment module.
    Request(PayoutRequestArguments),
    /// Print the payouts that are pending or in transit, of all accounts, oldest first, one JSON line each.
    List,
}

/// `Debug` does not show the bank account.
#[derive(Args)]
pub(crate) struct PayoutRequestArguments {
    /// The account's id.
    pub(crate) account: AccountId,
    /// Whole rupiah.
    #[arg(allow_negative_numbers = true)]
    pub(crate) amount: i64,
    /// The bank's code.
    #[arg(long)]
    pub(crate) bank_code: Option<String>,
    /// The bank's name; without bank details, the seller's default account is used.
    #[arg(long)]
    pub(crate) bank_name: Option<String>,
    /// The account number.
    #[arg(long)]
    pub(crate) bank_account_number: Option<String>,
    /// The account holder.
    #[arg(long)]
    pub(crate) bank_account_holder: Option<String>,
    /// A note, which the seller sees.
    #[arg(long)]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) by: By,
}

impl fmt::Debug for PayoutRequestArguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PayoutRequestArguments({}, {}, …)", self.account, self.amount)
    }
}

/// The actor in the audit trail.
#[derive(Debug, Args)]
pub(crate) struct By {
    /// The name of the person who does this, for the record.
    #[arg(long = "by", value_name = "NAME", default_value = "serront-host")]
    name: String,
}

impl By {
    pub(crate) fn actor(&self) -> Result<Actor, Invalid> {
        Actor::host(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "acc_01jtestvect0r0000000000000";

    fn parse(arguments: &[&str]) -> Result<Command, clap::Error> {
        CommandLine::try_parse_from([&["serront-host"], arguments].concat()).map(|command_line| command_line.command)
    }

    #[test]
    fn the_operator_names_a_notification_by_account_and_event() {
        assert!(parse(&["inbox", "list", "--all", "--limit", "5"]).is_ok());
        assert!(parse(&["inbox", "retry", ACCOUNT, "evt_1"]).is_ok());
        assert!(parse(&["plugipay", "rotate-secret", ACCOUNT]).is_ok());
        assert!(parse(&["proofs", "adopt"]).is_ok());
        assert!(["rotate", "reseal", "forget"].iter().all(|command| parse(&["secrets", command]).is_ok()));
        for bad in
            [&["inbox", "list", "--limit", "0"][..], &["inbox", "retry", ACCOUNT, "a b"], &["inbox", "retry", "x"]]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_adjustment_has_a_sign() {
        let adjust = |amount: &str| match parse(&[
            "ledger",
            "adjust",
            ACCOUNT,
            amount,
            "--reason",
            "A refund",
            "--reference",
            "R-1",
        ]) {
            Ok(Command::Ledger(LedgerCommand::Adjust { amount, .. })) => Some(amount),
            _ => None,
        };
        for (raw, amount) in [
            ("5000", Some(5_000)),
            ("+5000", Some(5_000)),
            ("-5000", Some(-5_000)),
            ("1.5", None),
            ("-1.5", None),
            ("--5", None),
            ("Rp5", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(adjust(raw), amount, "{raw}");
        }
        assert!(parse(&["ledger", "adjust", ACCOUNT, "5", "--reason", "A refund"]).is_err(), "a reference is required");
    }

    #[test]
    fn a_payouts_bank_account_is_not_shown() {
        let command = parse(&["payout", "request", ACCOUNT, "5", "--bank-account-number", "123-456"]).unwrap();
        let shown = format!("{command:?}");
        assert!(shown.contains(ACCOUNT) && !shown.contains("123-456"), "{shown}");
    }
}
