//! Compares a merchant's ledger at Plugipay with ours. Changes nothing on either side.
//!
//! A run can take long, so the pages it has read are kept in `<data dir>/reconcile/<account>.jsonl` until it is done (see
//! [`super::journal`]).

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use serront_core::online::reconcile::{
    CodeComparison, OneSided, ProviderPage, Reconciled, ReconciliationReport, Unequal,
};
use serront_core::ports::WorkStorage;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::rejection::Rejection;
use serront_core::service::{Failure, OnlinePayments, Provider};

use super::journal::Journal;
use crate::adapters;
use crate::console::{self, Fatal};
use crate::settings::{PlugipayAccess, Settings};

/// How often the progress line moves while nothing arrives.
const TICK: Duration = Duration::from_millis(200);

pub(super) async fn reconcile(
    settings: &Settings,
    account: AccountId,
    as_json: bool,
    restart: bool,
) -> Result<(), Fatal> {
    let (policy, plugipay) = (settings.policy()?, adapters::plugipay(settings)?);
    if plugipay.is_none() {
        // Checked before the journal is opened: a missing setting must not discard what an earlier run read.
        return Err(Rejection::NotConfigured("online payment is not set up on this installation").into());
    }
    let place = settings.plugipay()?.map(|PlugipayAccess { url, .. }| url).unwrap_or_default();
    let folder = settings.data_dir().join("reconcile");
    adapters::private_folder(&folder)?;
    let (mut journal, known) = Journal::open(&folder, account, &place, restart)?;
    let compared = adapters::with_storage(settings, async |storage| {
        // A comparison makes no links, so the public address is not needed.
        let provider = Provider { plugipay: plugipay.as_deref(), public_url: "" };
        let online = OnlinePayments::new(storage, provider, adapters::environment(&policy));
        Ok(compare(&online, account, &known, &mut journal).await)
    });
    let report = match compared.await? {
        // Nothing was read, so there is nothing to continue from.
        Err(error @ Failure::Rejected(_)) if known.is_empty() => {
            journal.end()?;
            return Err(error.into());
        }
        Err(error) if known.is_empty() => return Err(error.into()),
        Err(error) => return Err(format!("{}; --restart forgets what was read before", console::causes(&error)).into()),
        Ok(report) => report,
    };
    if as_json {
        console::result(&json!(report))?;
    } else {
        console::say(&readable(&report))?;
    }
    journal.end()?;
    if report.agrees() { Ok(()) } else { Err("the two ledgers do not agree".into()) }
}

/// Compares and keeps each of Plugipay's pages, with a progress line on a terminal.
async fn compare(
    online: &OnlinePayments<'_, dyn WorkStorage>,
    account: AccountId,
    known: &[ProviderPage],
    journal: &mut Journal,
) -> Result<ReconciliationReport, Failure> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    let mut theirs: usize = known.iter().map(|page| page.entries.len()).sum();
    let mut kept = Ok(());
    let mut progress = |reconciled: Reconciled<'_>| match reconciled {
        Reconciled::Page(page) => {
            theirs = theirs.saturating_add(page.entries.len());
            bar.set_message(format!("{theirs} entries at Plugipay"));
            keep(&mut kept, journal, page);
        }
        Reconciled::Ours(ours) => bar.set_message(format!("{theirs} entries at Plugipay, {ours} of ours")),
    };
    let report = online.reconcile(account, known, &mut progress).await;
    bar.finish_and_clear();
    if let Err(error) = kept {
        tracing::warn!(%error, "not every page could be kept; an interrupted run would have started further back");
    }
    report
}

/// Keeps a page if all pages before it were kept.
fn keep(kept: &mut io::Result<()>, journal: &mut Journal, page: &ProviderPage) {
    if kept.is_ok() {
        *kept = journal.keep(page);
    }
}

/// The report for people.
fn readable(report: &ReconciliationReport) -> String {
    let ReconciliationReport {
        account_id,
        merchant_id,
        their_entries,
        our_entries,
        foreign_entries,
        matched,
        missing_here,
        missing_there,
        unequal,
        by_code,
    } = report;
    let mut text = format!(
        "Seller {account_id}, at Plugipay {}\n{their_entries} entries at Plugipay, {our_entries} in our ledger\n\
         {matched} sessions are equal on both sides\n",
        merchant_id.as_str()
    );
    if *foreign_entries > 0 {
        line(
            &mut text,
            format_args!("{foreign_entries} entries at Plugipay are in another currency and not in the sums"),
        );
    }
    let one_sided = |text: &mut String, title: &str, sessions: &[OneSided]| {
        if !sessions.is_empty() {
            line(text, format_args!("\n{title}: {}", sessions.len()));
        }
        for OneSided { session_id, amount } in sessions {
            line(text, format_args!("  {session_id}  {}", rupiah(*amount)));
        }
    };
    one_sided(&mut text, "Sessions that only Plugipay has", missing_here);
    one_sided(&mut text, "Sessions that only our ledger has", missing_there);
    if !unequal.is_empty() {
        line(&mut text, format_args!("\nSessions with another amount: {}", unequal.len()));
    }
    for Unequal { session_id, theirs, ours } in unequal {
        let (theirs, ours) = (rupiah(*theirs), rupiah(*ours));
        line(&mut text, format_args!("  {session_id}  {theirs} at Plugipay, {ours} in our ledger"));
    }
    sums(&mut text, by_code);
    text.push_str(if report.agrees() { "\nThe sessions agree." } else { "\nThe sessions do not agree." });
    text
}

/// A table of the sums of each code.
fn sums(text: &mut String, by_code: &[CodeComparison]) {
    if by_code.is_empty() {
        return;
    }
    let heads = ["", "debits there", "credits there", "debits here", "credits here"].map(str::to_owned);
    let rows = by_code.iter().map(|CodeComparison { code, theirs, ours }| {
        let [debits, credits] = [theirs.debits, theirs.credits].map(rupiah);
        let [our_debits, our_credits] = [ours.debits, ours.credits].map(rupiah);
        [code.clone(), debits, credits, our_debits, our_credits]
    });
    let rows: Vec<[String; 5]> = std::iter::once(heads).chain(rows).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    });
    text.push('\n');
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        line(text, format_args!("{}", cells.collect::<Vec<_>>().join("  ").trim_end()));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a `String` never fails.
    let _ = writeln!(text, "{line}");
}

/// A sum as written in Indonesia, or as a plain number if it is out of range for a payment.
fn rupiah(amount: i64) -> String {
    Rupiah::new(amount).map_or_else(|_| amount.to_string(), |amount| amount.to_string())
}
