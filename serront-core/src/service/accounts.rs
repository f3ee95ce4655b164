//! The commands about accounts, their tiers and API keys, and about operators' keys.

use super::commands::rounds;
use super::{Answer, Commands, Failure};
use crate::accounts::account::Account;
use crate::accounts::key::{ApiKey, OperatorKey};
use crate::changes::idempotency::IdempotentRequest;
use crate::decide;
use crate::ports::Storage;
use crate::primitives::ids::{AccountId, KeyId};
use crate::primitives::rejection::Rejection;
use crate::primitives::tier::Tier;
use crate::snapshots::AccountSnapshot;
use crate::views::{KeyView, NewKeyView};

impl<S: Storage + ?Sized> Commands<'_, S> {
    pub(super) async fn account_snapshot(
        &self,
        id: AccountId,
        request: Option<IdempotentRequest>,
    ) -> Result<AccountSnapshot, Failure> {
        let scope = request.map(|request| request.scope);
        Ok(self.storage.account(id, scope).await?.ok_or(Rejection::NotFound("account"))?)
    }

    /// The account, with its tier and modules.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn account(&self, id: AccountId) -> Result<Account, Failure> {
        Ok(self.account_snapshot(id, None).await?.account)
    }

    /// Opens an account with its first API key.
    ///
    /// # Errors
    /// [`Rejection::Invalid`].
    pub async fn open_account(&self, name: &str, tier: Tier) -> Result<Answer<(Account, NewKeyView)>, Failure> {
        Ok(rounds!(self, None, |context| {
            let key = ApiKey::from_bytes(&self.environment.secrets.draw()?);
            decide::open_account(name, tier, key, &mut context)?
        }))
    }

    /// Moves the account to another tier.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn set_tier(&self, id: AccountId, tier: Tier) -> Result<Answer<Account>, Failure> {
        Ok(rounds!(self, None, |context| {
            let snapshot = self.account_snapshot(id, None).await?;
            if id == AccountId::OPERATORS {
                return Err(Rejection::NotFound("account").into());
            }
            decide::set_tier(&snapshot, tier, &mut context)
        }))
    }

    /// The account's API keys, oldest first.
    pub async fn keys(&self, id: AccountId) -> Result<Vec<KeyView>, Failure> {
        Ok(self.storage.keys(id).await?.iter().map(KeyView::from).collect())
    }

    /// Creates an API key. It is never shown again.
    ///
    /// # Errors
    /// Those of [`decide::create_key`].
    pub async fn create_key(
        &self,
        id: AccountId,
        name: &str,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<NewKeyView>, Failure> {
        Ok(rounds!(self, request, |context| {
            let snapshot = self.account_snapshot(id, request).await?;
            let key = ApiKey::from_bytes(&self.environment.secrets.draw()?);
            decide::create_key(&snapshot, name, key, &mut context)?
        }))
    }

    /// Deletes an API key.
    ///
    /// # Errors
    /// [`Rejection::NotFound`].
    pub async fn delete_key(&self, account_id: AccountId, id: KeyId) -> Result<(), Failure> {
        rounds!(self, None, |context| {
            let keys = self.storage.keys(account_id).await?;
            let key = keys.iter().find(|key| key.id == id).ok_or(Rejection::NotFound("API key"))?;
            decide::delete_key(key, &mut context)
        });
        Ok(())
    }

    /// Creates an operator's key. It is never shown again.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] for the name.
    pub async fn create_operator_key(&self, name: &str) -> Result<(KeyView, OperatorKey), Failure> {
        let answer = rounds!(self, None, |context| {
            let snapshot = self.storage.account(AccountId::OPERATORS, None).await?;
            let key = OperatorKey::from_bytes(&self.environment.secrets.draw()?);
            decide::create_operator_key(snapshot.as_ref(), name, key, &mut context)?
        });
        Ok(answer.value)
    }

    /// Requires the account's payment module to be on. A host calls it before it shows a seller the balance, ledger
    /// entries, payouts or the bank account.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; [`Rejection::PaymentModuleDisabled`].
    pub async fn payment_module(&self, id: AccountId) -> Result<(), Failure> {
        if self.account(id).await?.state.modules.payment {
            Ok(())
        } else {
            Err(Rejection::PaymentModuleDisabled.into())
        }
    }
}
