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
    /// Serve on embedded defaults in a temporary folder, with a seeded seller, and print what to try.
    Demo,
    /// Manage accounts, also while the host serves.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Look after notifications that could not be applied, also while the host serves.
    #[command(subcommand)]
    Inbox(InboxCommand),
    /// Look after mail, webhooks and whatever else was given up, also while the host serves.
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Manage what is registered at Plugipay, also while the host serves.
    #[command(subcommand)]
    Plugipay(PlugipayCommand),
    /// Manage operators' keys, also while the host serves.
    #[command(subcommand)]
    OperatorKey(OperatorKeyCommand),
    /// Look after the books, also while the host serves.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Look after payouts, also while the host serves.
    #[command(subcommand)]
    Payout(PayoutCommand),
    /// Look after the keys that secrets in the database are sealed under, also while the host serves.
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// Look after the folder of receipts, while no host serves.
    #[command(subcommand)]
    Proofs(ProofsCommand),
    /// Print the rows that this version can't read and has set aside, the oldest first, one JSON line each; also while the host
    /// serves.
    SetAside {
        /// Most lines.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Apply pending migrations.
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Open an account and print its id and its first API key, which is shown this once.
    Create {
        /// The seller's name.
        #[arg(long)]
        name: String,
        /// free, starter, growth or business.
        #[arg(long)]
        tier: Tier,
    },
    /// Put an account on another tier. One without modules switches them off.
    SetTier {
        /// The account's id.
        account: AccountId,
        /// free, starter, growth or business.
        tier: Tier,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// Print what was given up and not discarded, newest first, one JSON line each.
    List {
        /// The records of what was discarded instead, the latest first.
        #[arg(long)]
        discarded: bool,
        /// Most lines.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Try something again that was given up; a host that serves carries it out.
    Retry {
        /// The account's id.
        account: AccountId,
        /// The effect's id, as listed.
        effect: EffectId,
    },
    /// Take something off the list that was given up, on record with the reason. It can still be tried again.
    Discard {
        /// The account's id.
        account: AccountId,
        /// The effect's id, as listed.
        effect: EffectId,
        /// Why.
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
        /// Parked ones that are younger, too.
        #[arg(long)]
        all: bool,
        /// Most lines.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Try a parked notification again, and print what became of it.
    Retry {
        /// The account's id.
        account: AccountId,
        /// Plugipay's id of the event.
        #[arg(value_parser = event_id)]
        event_id: ProviderEventId,
    },
}

fn event_id(raw: &str) -> Result<ProviderEventId, &'static str> {
    ProviderEventId::parse(raw).ok_or("must be an event's id")
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlugipayCommand {
    /// Register a merchant's notification endpoint anew. The secret of the one before is accepted for another 24 h.
    RotateSecret {
        /// The account's id.
        account: AccountId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Add a new key to the file of keys and print its id: it seals from now on, and those until now still open. Where hosts
    /// have copies of the file, copy it to them next.
    Rotate,
    /// Seal every secret anew that is in plain or under an older key, and print how many there were. Stopped, it can be begun
    /// again. Exit code 1 if one can't be opened.
    Reseal,
    /// Reseal, and then remove every key but the newest from the file. Take the old ones out of no backup before the database's
    /// own backups that need them are gone.
    Forget,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProofsCommand {
    /// Make the folder of receipts this database's, where `serve` says that the two belong to different installations, and print
    /// the installation's id and the folder's before. Receipts in it that this database does not name go into quarantine a day
    /// after they were stored, and are deleted 30 days later: be sure that it is the right database.
    Adopt,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorKeyCommand {
    /// Make an operator's key and print it, this once.
    Create {
        /// What it is called in the list.
        #[arg(long, default_value = "Operator")]
        name: String,
    },
    /// Print the operators' keys, oldest first, one JSON line each, without the keys themselves.
    List,
    /// Delete an operator's key: from the next request on it opens nothing.
    Revoke {
        /// The key's id, as the list has it.
        id: KeyId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Recompute every balance from the entries and print what differs. Exit code 1 if anything does.
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
        /// Why. The seller sees it.
        #[arg(long)]
        reason: String,
        /// What it is about in the operator's books. The same adjustment under the same reference again changes nothing.
        #[arg(long)]
        reference: String,
        #[command(flatten)]
        by: By,
    },
    /// Compare the merchant's ledger at Plugipay with ours and print what either side lacks. It changes nothing; stopped, it goes
    /// on after the last page that it read. Exit code 1 if the two do not agree.
    Reconcile {
        /// The account's id.
        account: AccountId,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Forget how far an earlier run came.
        #[arg(long)]
        restart: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PayoutCommand {
    /// Ask for a payout on a seller's behalf, in every state of the payment module.
    Request(PayoutRequestArguments),
    /// Print the payouts that are pending or in transit, of all accounts, oldest first, one JSON line each.
    List,
}

/// `Debug` shows nothing of where the money goes.
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
    /// The bank; without bank details, the seller's default account.
    #[arg(long)]
    pub(crate) bank_name: Option<String>,
    /// The account's number there.
    #[arg(long)]
    pub(crate) bank_account_number: Option<String>,
    /// Who holds the account there.
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

/// Who acts, as the audit trail will have it.
#[derive(Debug, Args)]
pub(crate) struct By {
    /// Who does this, for the record.
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
    fn where_a_payout_goes_is_not_shown() {
        let command = parse(&["payout", "request", ACCOUNT, "5", "--bank-account-number", "123-456"]).unwrap();
        let shown = format!("{command:?}");
        assert!(shown.contains(ACCOUNT) && !shown.contains("123-456"), "{shown}");
    }
}
