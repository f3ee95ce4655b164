//! Decisions about the seller's money on its way out: payouts, the account that they go to, and operators' adjustments.
//!
//! Every one that takes from what is available writes the account's funds, under an exact guard on their version, so two of
//! them never spend the same rupiah. Settlements write nothing there, so a storm of them starves none of these.

use serde::Deserialize;

use super::{Context, Decision};
use crate::accounts::account::Account;
use crate::accounts::actor::Actor;
use crate::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use crate::funds::balance::{Balance, Funds};
use crate::funds::ledger::{self, Adjustment, Direction};
use crate::funds::payout::{
    BankAccountInput, BankDetails, DefaultBankAccount, DefaultDetails, Payout, PayoutAct, PayoutAudit, PayoutInput,
    PayoutRequest, PayoutState, PayoutStatus,
};
use crate::primitives::compare::compared;
use crate::primitives::ids::AccountId;
use crate::primitives::money::Rupiah;
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::text;
use crate::primitives::version::Version;
use crate::snapshots::{FundsSnapshot, PayoutSnapshot};
use crate::views::{BankAccountView, PayoutView};

/// Writes the account's funds: the row that all its debits meet on.
fn debit(change: &mut ChangeSet, funds: &Funds, in_flight: Rupiah) {
    change.guards.push(Guard::Exact { row: Row::Funds, version: funds.version });
    change.writes.push(Write::PutFunds(funds.with(in_flight)));
}

fn record(
    change: &mut ChangeSet,
    payout: &Payout,
    from: Option<PayoutStatus>,
    actor: &Actor,
    note: Option<String>,
    context: &mut Context<'_>,
) {
    change.writes.push(Write::AppendPayoutAudit(PayoutAudit {
        id: context.ids.audit(),
        account_id: payout.account_id,
        payout_id: payout.id,
        at: context.now,
        actor: actor.clone(),
        from,
        to: payout.state.status,
        note,
    }));
}

/// Where a payout goes: as given, or the default account, which then may not change before the commit.
fn destination(
    change: &mut ChangeSet,
    given: Option<BankDetails>,
    default: Option<&DefaultBankAccount>,
) -> Result<BankDetails, Rejection> {
    if let Some(bank) = given {
        return Ok(bank);
    }
    let account = default.ok_or(Rejection::BankAccountRequired)?;
    let bank = account.details.complete().ok_or(Rejection::BankAccountRequired)?;
    change.guards.push(Guard::Exact { row: Row::BankAccount, version: account.version });
    Ok(bank)
}

/// On whose behalf a payout is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// The seller's: the payment module has to be on.
    Seller,
    /// An operator's, in every state of the module.
    Operator,
}

/// The seller's side of the money is there while the module is on: witnessed, so that nothing is committed after it was
/// switched off that was decided before.
fn witness_module(account: &Account, change: &mut ChangeSet) -> Result<(), Rejection> {
    if !account.state.modules.payment {
        return Err(Rejection::PaymentModuleDisabled);
    }
    change.guards.push(Guard::Settings(account.state.version));
    Ok(())
}

/// Asks for a payout.
///
/// # Errors
/// In this order: [`Rejection::PaymentModuleDisabled`] for a seller, [`Rejection::Invalid`],
/// [`Rejection::IdempotencyKeyInUse`], [`Rejection::BankAccountRequired`], [`Rejection::InsufficientBalance`].
pub fn request_payout(
    snapshot: &FundsSnapshot,
    input: &PayoutInput,
    (requester, actor): (Requester, &Actor),
    context: &mut Context<'_>,
) -> Result<Decision<PayoutView>, Rejection> {
    let FundsSnapshot { account, funds, totals, bank_account, .. } = snapshot;
    let account_id = account.id;
    let mut change = context.change_set(account_id);
    if requester == Requester::Seller {
        witness_module(account, &mut change)?;
    }
    let PayoutRequest { amount, bank, note } = input.validate()?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let bank = destination(&mut change, bank, bank_account.as_ref())?;
    // Sums too large to be told are nothing that can be drawn on.
    let balance = Balance::of(totals, funds).unwrap_or(Balance { ledger: 0, in_flight: funds.in_flight });
    let insufficient = Rejection::InsufficientBalance { available: balance.available() };
    let in_flight = funds.in_flight.checked_add(amount).filter(|_| balance.covers(amount)).ok_or(insufficient)?;
    let payout = Payout {
        id: context.ids.payout(),
        account_id,
        amount,
        bank,
        note: note.clone(),
        created_at: context.now,
        state: PayoutState {
            version: Version::FIRST,
            status: PayoutStatus::Pending,
            reference: None,
            failure_reason: None,
            processed_at: None,
            completed_at: None,
            updated_at: context.now,
        },
    };
    debit(&mut change, funds, in_flight);
    change.claims.push(Claim::of(ClaimName::Payout(payout.id)));
    change.writes.push(Write::InsertPayout(payout.clone()));
    record(&mut change, &payout, None, actor, note, context);
    context.conclude(change, PayoutView::from(&payout))
}

/// A step of a payout, with what comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayoutStep {
    /// The seller takes it back.
    Cancel,
    /// An operator begins to transfer it.
    MarkInTransit {
        /// The transfer's reference at the bank, up to 2,000 characters.
        reference: Option<String>,
    },
    /// An operator has transferred it.
    MarkPaid {
        /// The transfer's reference at the bank; left out, the one given before stays.
        reference: Option<String>,
    },
    /// An operator could not transfer it.
    MarkFailed {
        /// Why, up to 2,000 characters. Required.
        failure_reason: Option<String>,
    },
}

impl PayoutStep {
    const fn act(&self) -> PayoutAct {
        match self {
            Self::Cancel => PayoutAct::Cancel,
            Self::MarkInTransit { .. } => PayoutAct::MarkInTransit,
            Self::MarkPaid { .. } => PayoutAct::MarkPaid,
            Self::MarkFailed { .. } => PayoutAct::MarkFailed,
        }
    }

    /// The text that comes with it, validated.
    ///
    /// # Errors
    /// [`Invalid`] naming `reference` or `failureReason`.
    pub fn text(&self) -> Result<Option<String>, Invalid> {
        match self {
            Self::Cancel => Ok(None),
            Self::MarkInTransit { reference } | Self::MarkPaid { reference } => {
                text::optional_prose("reference", reference.as_deref())
            }
            Self::MarkFailed { failure_reason } => text::optional_prose("failureReason", failure_reason.as_deref())?
                .map(Some)
                .ok_or_else(|| Invalid::new("failureReason", "must say why it failed")),
        }
    }
}

/// Moves a payout along its table. What is paid is posted; what is cancelled or failed is available again. Cancelling is the
/// seller's; the other steps are operators', in every state of the module.
///
/// # Errors
/// In this order: [`Rejection::PaymentModuleDisabled`] where it is cancelled; [`Rejection::Invalid`] for the text that comes with it, [`Rejection::IdempotencyKeyInUse`],
/// [`Rejection::InvalidTransition`].
pub fn move_payout(
    snapshot: &PayoutSnapshot,
    step: &PayoutStep,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<PayoutView>, Rejection> {
    let PayoutSnapshot { account, payout, funds, .. } = snapshot;
    let mut change = context.change_set(payout.account_id);
    if *step == PayoutStep::Cancel {
        witness_module(account, &mut change)?;
    }
    let text = step.text()?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let from = payout.state.status;
    let to = from.apply(step.act())?;
    let mut state = PayoutState {
        version: payout.state.version.next(),
        status: to,
        updated_at: context.now,
        ..payout.state.clone()
    };
    change.guards.push(Guard::Exact { row: Row::Payout(payout.id), version: payout.state.version });
    if !to.is_in_flight() {
        // In flight is the sum of these very payouts: it holds at least this one.
        debit(&mut change, funds, funds.in_flight.checked_sub(payout.amount).unwrap_or(Rupiah::ZERO));
    }
    match to {
        PayoutStatus::Pending | PayoutStatus::Cancelled => {}
        PayoutStatus::InTransit => {
            state.reference.clone_from(&text);
            state.processed_at = Some(context.now);
        }
        PayoutStatus::Paid => {
            state.reference = text.clone().or(state.reference);
            state.completed_at = Some(context.now);
            let legs = ledger::payout(payout.account_id, payout.id, payout.amount, context.now, &mut context.ids);
            change.guards.push(Guard::Fresh(context.now));
            change.writes.push(Write::Post(legs));
        }
        PayoutStatus::Failed => {
            state.failure_reason.clone_from(&text);
            state.processed_at = state.processed_at.or(Some(context.now));
        }
    }
    let after = Payout { state: state.clone(), ..payout.clone() };
    change.writes.push(Write::UpdatePayout(payout.id, state));
    record(&mut change, &after, Some(from), actor, text, context);
    context.conclude(change, PayoutView::from(&after))
}

/// Changes the account that payouts go to by default.
///
/// # Errors
/// [`Rejection::PaymentModuleDisabled`], then [`Rejection::Invalid`] naming the field, then [`Rejection::IdempotencyKeyInUse`].
pub fn patch_bank_account(
    snapshot: &FundsSnapshot,
    input: &BankAccountInput,
    context: &mut Context<'_>,
) -> Result<Decision<BankAccountView>, Rejection> {
    let FundsSnapshot { account, funds: Funds { account_id, .. }, bank_account, .. } = snapshot;
    let mut change = context.change_set(*account_id);
    witness_module(account, &mut change)?;
    let none = DefaultDetails::default();
    let before = bank_account.as_ref().map_or(&none, |account| &account.details);
    let details = input.validate(before)?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let version = bank_account.as_ref().map_or(Version::ABSENT, |account| account.version);
    if details != *before {
        change.guards.push(Guard::Exact { row: Row::BankAccount, version });
        change.writes.push(Write::PutBankAccount(DefaultBankAccount {
            account_id: *account_id,
            version: version.next(),
            details: details.clone(),
        }));
    }
    context.conclude(change, BankAccountView::from(details))
}

/// An adjustment, not yet validated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdjustmentInput {
    /// Whole rupiah: above zero to the seller, below zero from the seller.
    pub amount: i64,
    /// Why, 1–2,000 characters. The seller sees it.
    pub reason: String,
    /// What it is about in the operator's books, 1–100 characters: no two adjustments of an account have the same. It is
    /// kept as it is [compared], so a reference that only looks the same is the same.
    pub reference: String,
}

/// Corrects a seller's balance. The same adjustment under the same reference again answers the first one.
///
/// # Errors
/// In this order: [`Rejection::Invalid`]; [`Rejection::Conflict`] if the reference stands for another adjustment.
pub fn adjust(
    snapshot: &FundsSnapshot,
    known: Option<&Adjustment>,
    input: &AdjustmentInput,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<Adjustment>, Rejection> {
    let account_id = snapshot.funds.account_id;
    let adjustment = validate(input, account_id, actor, context)?;
    if let Some(known) = known {
        let same = (known.direction, known.amount, compared(&known.reason))
            == (adjustment.direction, adjustment.amount, compared(&adjustment.reason));
        return if same {
            Ok(Decision::Replayed(known.clone()))
        } else {
            Err(Rejection::Conflict("the reference stands for another adjustment"))
        };
    }
    let mut change = context.change_set(account_id);
    debit(&mut change, &snapshot.funds, snapshot.funds.in_flight);
    change.claims.push(Claim::of(ClaimName::Adjustment(adjustment.reference.clone())));
    change.guards.push(Guard::Fresh(context.now));
    change.writes.push(Write::Post(adjustment.transaction(&mut context.ids)));
    change.writes.push(Write::InsertAdjustment(adjustment.clone()));
    Ok(Decision::Change(Box::new(change), adjustment))
}

fn validate(
    input: &AdjustmentInput,
    account_id: AccountId,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Adjustment, Invalid> {
    let amount = input.amount.checked_abs().and_then(|amount| Rupiah::new(amount).ok());
    let amount = amount.filter(|amount| !amount.is_zero()).ok_or_else(|| {
        Invalid::new("amount", format!("must be a whole number of rupiah, not zero, at most {}", Rupiah::MAX.get()))
    })?;
    Ok(Adjustment {
        id: context.ids.adjustment(),
        account_id,
        direction: if input.amount > 0 { Direction::Credit } else { Direction::Debit },
        amount,
        reason: text::optional_prose("reason", Some(&input.reason))?
            .ok_or_else(|| Invalid::new("reason", "must say why"))?,
        // Looked at before it is made comparable, so that what a name must not hold is refused and not left out.
        reference: text::name("reference", &compared(&text::name("reference", &input.reference)?))?,
        actor: actor.clone(),
        created_at: context.now,
    })
}
