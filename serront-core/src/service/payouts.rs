//! The commands about payouts, the bank account that they go to by default, and operators' adjustments.
//!
//! While the payment module is off, decisions refuse sellers' changes, and a host checks [`Commands::payment_module`]
//! before it shows a seller the reads. Operators' commands work whether it is on or off.

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
        // The operators' account has no shop, so it never holds money.
        let snapshot = if id == AccountId::OPERATORS { None } else { self.storage.funds(id, scope).await? };
        Ok(snapshot.ok_or(Rejection::NotFound("account"))?)
    }

    /// The balance, the amount in flight, and the amount available, in whole rupiah.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn payout_balance(&self, id: AccountId) -> Result<PayoutBalanceView, Failure> {
        let FundsSnapshot { funds, totals, .. } = self.funds_snapshot(id, None).await?;
        let balance = Balance::of(&totals, &funds);
        Ok(balance.ok_or_else(|| PortError::permanent("the balance overflows"))?.into())
    }

    /// A page of the account's payouts, newest first.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the cursor.
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
    /// [`Rejection::NotFound`].
    pub async fn payout(&self, key: PayoutKey) -> Result<PayoutView, Failure> {
        let snapshot = self.storage.payout(key, None).await?.ok_or(Rejection::NotFound("payout"))?;
        Ok(PayoutView::from(&snapshot.payout))
    }

    /// The steps of a payout, oldest first.
    pub async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, Failure> {
        Ok(self.storage.payout_audit(account_id, id).await?)
    }

    /// Requests a payout.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for the account; those of [`decide::request_payout`].
    pub async fn request_payout(
        &self,
        id: AccountId,
        input: &PayoutInput,
        by: (Requester, &Actor),
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PayoutView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.funds_snapshot(id, request).await?;
            decide::request_payout(&snapshot, input, by, &mut context)?
        }))
    }

    /// Takes a step of a payout. The caller must check permissions: sellers may take [`PayoutStep::Cancel`], operators
    /// the other steps.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::move_payout`].
    pub async fn move_payout(
        &self,
        key: PayoutKey,
        step: &PayoutStep,
        actor: &Actor,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<PayoutView>, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(rounds!(self, request, |context| {
            let snapshot = self.storage.payout(key, scope).await?.ok_or(Rejection::NotFound("payout"))?;
            decide::move_payout(&snapshot, step, actor, &mut context)?
        }))
    }

    /// The account that payouts go to by default.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn bank_account(&self, id: AccountId) -> Result<BankAccountView, Failure> {
        let account = self.funds_snapshot(id, None).await?.bank_account;
        Ok(account.map_or_else(DefaultDetails::default, |account| account.details).into())
    }

    /// Changes the account that payouts go to by default. Earlier payouts keep the account that they were requested
    /// with.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::patch_bank_account`].
    pub async fn patch_bank_account(
        &self,
        id: AccountId,
        input: &BankAccountInput,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<BankAccountView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.funds_snapshot(id, request).await?;
            decide::patch_bank_account(&snapshot, input, &mut context)?
        }))
    }

    /// Corrects a seller's balance, once for each reference.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] for the account; those of [`decide::adjust`].
    pub async fn adjust(
        &self,
        id: AccountId,
        input: &AdjustmentInput,
        actor: &Actor,
    ) -> Result<Answer<Adjustment>, Failure> {
        let key = AdjustmentKey::Reference(compared(&input.reference));
        Ok(rounds!(self, None, |context| {
            let snapshot = self.funds_snapshot(id, None).await?;
            let known = self.storage.adjustment(id, &key).await?;
            decide::adjust(&snapshot, known.as_ref(), input, actor, &mut context)?
        }))
    }
}
