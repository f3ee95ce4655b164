//! Decisions about an account: opening it, its tier, its modules and its API keys. They need the account's settings.

use serde::Deserialize;

use super::{Context, Decision};
use crate::account::{Account, AccountState, Modules, Version};
use crate::change::{ChangeSet, Claim, ClaimName, Guard, Row, Write};
use crate::ids::AccountId;
use crate::key::{ApiKey, KeyRecord};
use crate::ports::AccountSnapshot;
use crate::rejection::{Invalid, Rejection};
use crate::text;
use crate::tier::Tier;
use crate::view::{KeyView, ModulesView, NewKeyView};

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

/// Which modules are to be on or off. What is left out stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct ModuleSwitches {
    /// Online payment.
    #[serde(default)]
    pub payment: Option<bool>,
    /// Marketing.
    #[serde(default)]
    pub marketing: Option<bool>,
}

/// Switches modules. Off only flips the flag; on needs a tier with modules and an installation that has the module.
///
/// # Errors
/// [`Rejection::Invalid`], [`Rejection::IdempotencyKeyInUse`], [`Rejection::UpgradeRequired`], then
/// [`Rejection::NotConfigured`].
pub fn switch_modules(
    snapshot: &AccountSnapshot,
    switches: ModuleSwitches,
    available: Modules,
    context: &mut Context<'_>,
) -> Result<Decision<ModulesView>, Rejection> {
    if switches == ModuleSwitches::default() {
        return Err(Invalid::new("", "payment or marketing must be given").into());
    }
    if let Some(replayed) = context.replay(snapshot.kept.as_ref())? {
        return Ok(replayed);
    }
    let account = &snapshot.account;
    let asks_for = |wanted: Option<bool>, on: bool| wanted == Some(true) && !on;
    let payment_on = asks_for(switches.payment, account.state.modules.payment);
    let marketing_on = asks_for(switches.marketing, account.state.modules.marketing);
    if (payment_on || marketing_on) && !account.state.tier.terms().module_access {
        return Err(Rejection::UpgradeRequired { tier: account.state.tier, feature: "modules" });
    }
    if payment_on && !available.payment {
        return Err(Rejection::NotConfigured("online payment is not set up on this installation"));
    }
    if marketing_on && !available.marketing {
        return Err(Rejection::NotConfigured("marketing is not set up on this installation"));
    }
    let (mut change, mut state) = settings_change(account, context);
    state.modules = Modules {
        payment: switches.payment.unwrap_or(account.state.modules.payment),
        marketing: switches.marketing.unwrap_or(account.state.modules.marketing),
    };
    let after = Account { state, ..account.clone() };
    let view = ModulesView::new(&after, available);
    if after.state.modules != account.state.modules {
        change.writes.push(Write::UpdateAccount(after.state));
    }
    context.conclude(change, view)
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
