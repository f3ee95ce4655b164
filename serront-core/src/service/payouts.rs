//! Payouts, the account that they go to, operators' adjustments and keys.
//!
//! What a seller changes is refused while the module is off, by the decision itself; the reads are behind
//! [`Commands::payment_module`]. What operators do works in every state of it, since the money moves all the same.

use super::commands::rounds;
use super::{Answer, Commands, Failure};
use crate::accounts::actor::Actor;
use crate::changes::idempotency::IdempotentRequest;
use crate::decide::{self, AdjustmentInput, PayoutStep, Requester};
use crate::funds::balance::Balance;
use crate::funds::ledger::Adjustment;
use crate::funds::payout::{BankAccountInput, DefaultDetails, Payout, PayoutAudit, PayoutInput, PayoutStatus};
use crate::ports::{PortError, Storage};
use crate::primitives::compare::compared;
use crate::primitives::ids::{AccountId, PayoutId};
use crate::primitives::page::{self, Limit};
use crate::primitives::rejection::Rejection;
use crate::snapshots::{AdjustmentKey, FundsSnapshot, PayoutKey};
use crate::views::{BankAccountView, PayoutBalanceView, PayoutView};

/// A page of payouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutsPage {
    /// The payouts, newest first.
    pub payouts: Vec<PayoutView>,
    /// Where the next page begins; `None` on the last one.
    pub cursor: Option<String>,
}

impl<S: Storage + ?Sized> Commands<'_, S> {
    async fn funds_snapshot(
        &self,
        id: AccountId,
        request: Option<IdempotentRequest>,
    ) -> Result<FundsSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        // The operators' account is nobody's shop: there is no money in it, and none gets there.
        let snapshot = if id == AccountId::OPERATORS { None } else { self.storage.funds(id, scope).await? };
        Ok(snapshot.ok_or(Rejection::NotFound("account"))?)
    }

    /// What the seller has, what is in flight, and what is available.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn payout_balance(&self, id: AccountId) -> Result<PayoutBalanceView, Failure> {
        let FundsSnapshot { funds, totals, .. } = self.funds_snapshot(id, None).await?;
        let balance = Balance::of(&totals, &funds);
        Ok(balance.ok_or_else(|| PortError::permanent("a balance larger than can be told"))?.into())
    }

    /// A page of the account's payouts, newest first.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor; a port's failure.
    pub async fn payouts(
        &self,
        id: AccountId,
        status: Option<PayoutStatus>,
        cursor: Option<&str>,
        limit: Limit,
    ) -> Result<PayoutsPage, Failure> {
        let after = page::parse_cursor(id, cursor)?;
        let page = self.storage.payouts(id, status, after, limit).await?;
        let position = page.position(Payout::position);
        Ok(PayoutsPage {
            payouts: page.rows.iter().map(PayoutView::from).collect(),
            cursor: position.map(|position| page::cursor(id, &position)),
        })
    }

    /// One payout.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn payout(&self, key: PayoutKey) -> Result<PayoutView, Failure> {
        let snapshot = self.storage.payout(key, None).await?.ok_or(Rejection::NotFound("payout"))?;
        Ok(PayoutView::from(&snapshot.payout))
    }

    /// The steps of a payout, oldest first.
    ///
    /// # Errors
    /// A port's failure.
    pub async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, Failure> {
        Ok(self.storage.payout_audit(account_id, id).await?)
    }

    /// Asks for a payout: the seller while the module is on, or an operator for it in every state of it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for the account; those of [`decide::request_payout`]; [`Failure::Busy`]; a port's failure.
    pub async fn request_payout(
        &self,
        id: AccountId,
        input: &PayoutInput,
        by: (Requester, &Actor),
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PayoutView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.funds_snapshot(id, request).await?;
            decide::request_payout(&snapshot, input, by, &mut context)?
        });
        Ok(answer)
    }

    /// Moves a payout along. [`PayoutStep::Cancel`] is the seller's, the others are operators'; who may do what is for the
    /// caller to know.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::move_payout`]; [`Failure::Busy`]; a port's failure.
    pub async fn move_payout(
        &self,
        key: PayoutKey,
        step: &PayoutStep,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PayoutView>, Failure> {
        let scope = request.map(|request| request.scope);
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.storage.payout(key, scope).await?.ok_or(Rejection::NotFound("payout"))?;
            decide::move_payout(&snapshot, step, actor, &mut context)?
        });
        Ok(answer)
    }

    /// The account that payouts go to by default.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn bank_account(&self, id: AccountId) -> Result<BankAccountView, Failure> {
        let account = self.funds_snapshot(id, None).await?.bank_account;
        Ok(account.map_or_else(DefaultDetails::default, |account| account.details).into())
    }

    /// Changes the account that payouts go to by default. Payouts asked for before keep theirs.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::patch_bank_account`]; [`Failure::Busy`]; a port's failure.
    pub async fn patch_bank_account(
        &self,
        id: AccountId,
        input: &BankAccountInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<BankAccountView>, Failure> {
        let (answer, _) = rounds!(self, request, |context| {
            let snapshot = self.funds_snapshot(id, request).await?;
            decide::patch_bank_account(&snapshot, input, &mut context)?
        });
        Ok(answer)
    }

    /// Corrects a seller's balance, once for each reference.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for the account; those of [`decide::adjust`]; [`Failure::Busy`]; a port's failure.
    pub async fn adjust(
        &self,
        id: AccountId,
        input: &AdjustmentInput,
        actor: &Actor,
    ) -> Result<Answer<Adjustment>, Failure> {
        let key = AdjustmentKey::Reference(compared(&input.reference));
        let (answer, _) = rounds!(self, None, |context| {
            let snapshot = self.funds_snapshot(id, None).await?;
            let known = self.storage.adjustment(id, &key).await?;
            decide::adjust(&snapshot, known.as_ref(), input, actor, &mut context)?
        });
        Ok(answer)
    }
}
