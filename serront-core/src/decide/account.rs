//! Decisions about an account: opening it, its tier and its API keys. They need the account's settings.

use super::{Context, Decision};
use crate::accounts::account::{Account, AccountState, Modules};
use crate::accounts::key::{ApiKey, KeyRecord, OperatorKey};
use crate::changes::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use crate::primitives::digest::Digest256;
use crate::primitives::ids::AccountId;
use crate::primitives::rejection::Rejection;
use crate::primitives::text;
use crate::primitives::tier::Tier;
use crate::primitives::version::Version;
use crate::snapshots::AccountSnapshot;
use crate::views::{KeyView, NewKeyView};

/// Adds a key to a change set: its name, the prefix that people see, and its hash.
fn insert_key(
    change: &mut ChangeSet,
    account_id: AccountId,
    (name, prefix, hash): (String, String, Digest256),
    context: &mut Context<'_>,
) -> KeyView {
    let id = context.ids.key();
    let record = KeyRecord { id, account_id, name, prefix, hash, created_at: context.now, last_used_at: None };
    let shown = KeyView::from(&record);
    change.claims.push(Claim::of(ClaimName::KeyHash(record.hash)));
    change.writes.push(Write::InsertKey(record));
    shown
}

fn add_key(
    change: &mut ChangeSet,
    account_id: AccountId,
    name: String,
    key: ApiKey,
    context: &mut Context<'_>,
) -> NewKeyView {
    NewKeyView { shown: insert_key(change, account_id, (name, key.prefix(), key.hash()), context), key }
}

/// A new account: no module is on, and nothing is provisioned at Plugipay.
fn new_account(id: AccountId, name: String, tier: Tier, context: &Context<'_>) -> Account {
    let state = AccountState { version: Version::FIRST, tier, modules: Modules::default(), plugipay_account_id: None };
    Account { id, name, created_at: context.now, state }
}

/// Opens an account with its first API key.
///
/// # Errors
/// [`Rejection::Invalid`] for the name.
pub fn open_account(
    name: &str,
    tier: Tier,
    key: ApiKey,
    context: &mut Context<'_>,
) -> Result<Decision<(Account, NewKeyView)>, Rejection> {
    let account = new_account(context.ids.account(), text::name("name", name)?, tier, context);
    let mut change = context.change_set(account.id);
    change.writes.push(Write::InsertAccount(account.clone()));
    let key = add_key(&mut change, account.id, "first key".to_owned(), key, context);
    Ok(Decision::Change(Box::new(change), (account, key)))
}

/// Creates an operator's key, and the operators' account if this is the first one. The key is never shown again.
///
/// # Errors
/// [`Rejection::Invalid`] for the name.
pub fn create_operator_key(
    snapshot: Option<&AccountSnapshot>,
    name: &str,
    key: OperatorKey,
    context: &mut Context<'_>,
) -> Result<Decision<(KeyView, OperatorKey)>, Rejection> {
    let account_id = AccountId::OPERATORS;
    let name = text::name("name", name)?;
    let mut change = context.change_set(account_id);
    if snapshot.is_none() {
        let account = new_account(account_id, "Operators".to_owned(), Tier::Free, context);
        change.writes.push(Write::InsertAccount(account));
    }
    let shown = insert_key(&mut change, account_id, (name, key.prefix(), key.hash()), context);
    Ok(Decision::Change(Box::new(change), (shown, key)))
}

/// Begins a change of the account's settings, which advances the settings epoch.
pub(super) fn settings_change(account: &Account, context: &mut Context<'_>) -> (ChangeSet, AccountState) {
    let mut change = context.change_set(account.id);
    change.guards.push(Guard::Exact { row: Row::Account, version: account.state.version });
    let state = AccountState { version: account.state.version.next(), ..account.state.clone() };
    (change, state)
}

/// Moves the account to another tier. A tier without modules switches them off, and keeps their data.
#[must_use]
pub fn set_tier(snapshot: &AccountSnapshot, tier: Tier, context: &mut Context<'_>) -> Decision<Account> {
    let account = &snapshot.account;
    if account.state.tier == tier {
        return Decision::Unchanged(account.clone());
    }
    let (mut change, mut state) = settings_change(account, context);
    state.tier = tier;
    if !tier.terms().module_access {
        state.modules = Modules::default();
    }
    change.writes.push(Write::UpdateAccount(state.clone()));
    Decision::Change(Box::new(change), Account { state, ..account.clone() })
}

/// Creates an API key. It is never shown again.
///
/// # Errors
/// [`Rejection::Invalid`] for the name, then [`Rejection::IdempotencyKeyInUse`].
pub fn create_key(
    snapshot: &AccountSnapshot,
    name: &str,
    key: ApiKey,
    context: &mut Context<'_>,
) -> Result<Decision<NewKeyView>, Rejection> {
    let name = text::name("name", name)?;
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let mut change = context.change_set(snapshot.account.id);
    let view = add_key(&mut change, snapshot.account.id, name, key, context);
    context.conclude(change, view)
}

/// Deletes an API key. It stops working with the commit.
#[must_use]
pub fn delete_key(key: &KeyRecord, context: &mut Context<'_>) -> Decision<()> {
    let mut change = context.change_set(key.account_id);
    change.releases.push(ClaimName::KeyHash(key.hash));
    change.writes.push(Write::DeleteKey(key.id));
    Decision::Change(Box::new(change), ())
}
