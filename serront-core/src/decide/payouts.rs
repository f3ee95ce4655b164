//! Decisions about payouts, the bank account that they go to by default, and operators' adjustments.
//!
//! Every decision that reduces what is available writes the account's funds, under an exact guard on their version. So
//! two of them never spend the same rupiah. Settlements do not write that row, so many settlements never delay a
//! payout.

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

/// Writes the account's funds, the row on which concurrent debits conflict.
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

/// Where a payout goes: the given account, or the default one, which must not change before the commit.
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

/// Who requests a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// The seller, while the payment module is on.
    Seller,
    /// An operator, whether the module is on or off.
    Operator,
}

/// Requires the payment module to be on, until the commit is done.
fn require_module(account: &Account, change: &mut ChangeSet) -> Result<(), Rejection> {
    if !account.state.modules.payment {
        return Err(Rejection::PaymentModuleDisabled);
    }
    change.guards.push(Guard::Settings(account.state.version));
    Ok(())
}

/// Requests a payout.
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
        require_module(account, &mut change)?;
    }
    let PayoutRequest { amount, bank, note } = input.validate()?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let bank = destination(&mut change, bank, bank_account.as_ref())?;
    // If the sums overflow, nothing is available.
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

/// A step of a payout and its text, which has up to 2,000 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each text is described at its variant")]
pub enum PayoutStep {
    /// The seller cancels it.
    Cancel,
    /// An operator begins to transfer it, with the transfer's reference at the bank.
    MarkInTransit { reference: Option<String> },
    /// An operator has transferred it, with the transfer's reference at the bank; `None` keeps the earlier one.
    MarkPaid { reference: Option<String> },
    /// An operator could not transfer it. The reason is required.
    MarkFailed { failure_reason: Option<String> },
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

    /// Validates the step's text.
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

/// Moves a payout to its next state. A paid payout is posted to the ledger; a cancelled or failed one is available
/// again. Sellers cancel while the module is on; operators take the other steps whether it is on or off.
///
/// # Errors
/// In this order: [`Rejection::PaymentModuleDisabled`] for [`PayoutStep::Cancel`]; [`Rejection::Invalid`] for the text,
/// [`Rejection::IdempotencyKeyInUse`], [`Rejection::InvalidTransition`].
pub fn move_payout(
    snapshot: &PayoutSnapshot,
    step: &PayoutStep,
    actor: &Actor,
    context: &mut Context<'_>,
) -> Result<Decision<PayoutView>, Rejection> {
    let PayoutSnapshot { account, payout, funds, .. } = snapshot;
    let mut change = context.change_set(payout.account_id);
    if *step == PayoutStep::Cancel {
        require_module(account, &mut change)?;
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
        // The amount in flight is the sum of these payouts, so it includes this one.
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
/// [`Rejection::PaymentModuleDisabled`], then [`Rejection::Invalid`] naming the field, then
/// [`Rejection::IdempotencyKeyInUse`].
pub fn patch_bank_account(
    snapshot: &FundsSnapshot,
    input: &BankAccountInput,
    context: &mut Context<'_>,
) -> Result<Decision<BankAccountView>, Rejection> {
    let FundsSnapshot { account, funds: Funds { account_id, .. }, bank_account, .. } = snapshot;
    let mut change = context.change_set(*account_id);
    require_module(account, &mut change)?;
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
    /// In whole rupiah: positive credits the seller, negative debits the seller.
    pub amount: i64,
    /// 1–2,000 characters. The seller sees it.
    pub reason: String,
    /// The entry in the operator's books, 1–100 characters, unique in the account. It is kept in its [compared] form,
    /// so references that look the same are the same.
    pub reference: String,
}

/// Corrects a seller's balance. Repeating an adjustment with the same reference answers the first one.
///
/// # Errors
/// In this order: [`Rejection::Invalid`]; [`Rejection::Conflict`] if the reference belongs to another adjustment.
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
        // Validated before `compared`, which would drop characters that a name must not contain instead of refusing
        // them.
        reference: text::name("reference", &compared(&text::name("reference", &input.reference)?))?,
        actor: actor.clone(),
        created_at: context.now,
    })
}
