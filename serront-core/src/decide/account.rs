//! Decisions about an account: opening it, its tier and its API keys. They need the account's settings.

use super::{Context, Decision};
use crate::account::{Account, AccountState, Modules, Version};
use crate::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use crate::ids::AccountId;
use crate::key::{ApiKey, KeyRecord};
use crate::ports::AccountSnapshot;
use crate::rejection::Rejection;
use crate::text;
use crate::tier::Tier;
use crate::view::{KeyView, NewKeyView};

/// Adds an API key to a change set.
fn add_key(
    change: &mut ChangeSet,
    account_id: AccountId,
    name: String,
    key: ApiKey,
    context: &mut Context<'_>,
) -> NewKeyView {
    let record = KeyRecord {
        id: context.ids.key(),
        account_id,
        name,
        prefix: key.prefix(),
        hash: key.hash(),
        created_at: context.now,
        last_used_at: None,
    };
    let shown = KeyView::from(&record);
    change.claims.push(Claim::of(ClaimName::KeyHash(record.hash)));
    change.writes.push(Write::InsertKey(record));
    NewKeyView { shown, key }
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
    let account = Account {
        id: context.ids.account(),
        name: text::name("name", name)?,
        created_at: context.now,
        state: AccountState { version: Version::FIRST, tier, modules: Modules::default(), plugipay_account_id: None },
    };
    let mut change = context.change_set(account.id);
    change.writes.push(Write::InsertAccount(account.clone()));
    let key = add_key(&mut change, account.id, "first key".to_owned(), key, context);
    Ok(Decision::Change(Box::new(change), (account, key)))
}

/// A change of the account's settings, which moves the settings epoch.
pub(super) fn settings_change(account: &Account, context: &mut Context<'_>) -> (ChangeSet, AccountState) {
    let mut change = context.change_set(account.id);
    change.guards.push(Guard::Exact { row: Row::Account, version: account.state.version });
    let state = AccountState { version: account.state.version.next(), ..account.state.clone() };
    (change, state)
}

/// Puts the account on another tier. A downgrade to one without modules switches them off, and keeps what they hold.
///
/// # Errors
/// None; the type leaves room for them.
pub fn set_tier(
    snapshot: &AccountSnapshot,
    tier: Tier,
    context: &mut Context<'_>,
) -> Result<Decision<Account>, Rejection> {
    let account = &snapshot.account;
    if account.state.tier == tier {
        return Ok(Decision::Unchanged(account.clone()));
    }
    let (mut change, mut state) = settings_change(account, context);
    state.tier = tier;
    if !tier.terms().module_access {
        state.modules = Modules::default();
    }
    change.writes.push(Write::UpdateAccount(state.clone()));
    Ok(Decision::Change(Box::new(change), Account { state, ..account.clone() }))
}

/// Makes an API key, which is shown this once.
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

/// Deletes an API key; from the commit on it opens nothing.
///
/// # Errors
/// None; the type leaves room for them.
pub fn delete_key(key: &KeyRecord, context: &mut Context<'_>) -> Result<Decision<()>, Rejection> {
    let mut change = context.change_set(key.account_id);
    change.releases.push(ClaimName::KeyHash(key.hash));
    change.writes.push(Write::DeleteKey(key.id));
    Ok(Decision::Change(Box::new(change), ()))
}
