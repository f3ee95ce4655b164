//! Decisions about modules: their switches, and the provisioning before the payment module is first switched on.

use serde::Deserialize;

use super::account::settings_change;
use super::{Context, Decision};
use crate::accounts::account::{Account, Modules};
use crate::accounts::sealed::SealedSecret;
use crate::changes::change::{Claim, ClaimName, Guard, Row, Write};
use crate::online::provisioning::{Endpoint, EndpointAttempt, Previous, Provisioning, ProvisioningState};
use crate::primitives::ids::ChangeSetId;
use crate::primitives::provider::{EndpointId, MerchantId};
use crate::primitives::rejection::{Invalid, Rejection};
use crate::primitives::version::Version;
use crate::snapshots::AccountSnapshot;
use crate::views::ModulesView;

/// Which modules to switch on or off; `None` leaves a module as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct ModuleSwitches {
    /// Online payment.
    #[serde(default)]
    pub payment: Option<bool>,
    /// Marketing.
    #[serde(default)]
    pub marketing: Option<bool>,
}

/// What to do when a seller switches modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switched {
    /// The switches are set like this.
    Done(ModulesView),
    /// Provision the merchant first, then decide again.
    Provision,
}

/// Switches modules. "Off" only clears the flag. "On" needs a tier with modules, an installation that has the module,
/// and for payment a merchant with an endpoint.
///
/// # Errors
/// [`Rejection::Invalid`], [`Rejection::IdempotencyKeyInUse`], [`Rejection::UpgradeRequired`], then
/// [`Rejection::NotConfigured`].
pub fn switch_modules(
    snapshot: &AccountSnapshot,
    switches: ModuleSwitches,
    available: Modules,
    context: &mut Context<'_>,
) -> Result<Decision<Switched>, Rejection> {
    if switches == ModuleSwitches::default() {
        return Err(Invalid::new("", "payment or marketing must be given").into());
    }
    if let Some(replayed) = context.replay::<ModulesView>(snapshot.kept.as_ref())? {
        return Ok(replayed.map(Switched::Done));
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
    if payment_on && !is_provisioned(snapshot) {
        return Ok(Decision::Unchanged(Switched::Provision));
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
    Ok(context.conclude(change, view)?.map(Switched::Done))
}

/// The account's merchant at Plugipay; `None` before it is provisioned.
#[must_use]
pub fn merchant(account: &Account) -> Option<MerchantId> {
    account.state.plugipay_account_id.as_deref().and_then(MerchantId::parse)
}

fn is_provisioned(snapshot: &AccountSnapshot) -> bool {
    let endpoint = snapshot.provisioning.as_ref().and_then(|provisioning| provisioning.state.endpoint.as_ref());
    merchant(&snapshot.account).is_some() && endpoint.is_some()
}

/// Records the workspace that Plugipay created, or already had.
#[must_use]
pub fn record_workspace(snapshot: &AccountSnapshot, merchant: &MerchantId, context: &mut Context<'_>) -> Decision<()> {
    let account = &snapshot.account;
    if account.state.plugipay_account_id.is_some() {
        return Decision::Unchanged(());
    }
    let (mut change, mut state) = settings_change(account, context);
    state.plugipay_account_id = Some(merchant.as_str().to_owned());
    change.claims.push(Claim::of(ClaimName::Merchant(merchant.clone())));
    change.writes.push(Write::UpdateAccount(state));
    Decision::Change(Box::new(change), ())
}

/// The next step of registering an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// There is an endpoint.
    Done,
    /// Wait for another caller's registration.
    Wait,
    /// Register an endpoint with this attempt's key.
    Register {
        /// The key of the call.
        attempt: ChangeSetId,
        /// Whether an earlier attempt's answer was lost. Then first delete every endpoint of ours except `keep`.
        orphans: bool,
        /// The endpoint that this one replaces; `None` if there is none.
        keep: Option<EndpointId>,
    },
}

/// What to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// An endpoint, if there is none.
    Any,
    /// An endpoint with a new secret, in place of this one.
    Another(Option<EndpointId>),
}

fn put<T>(snapshot: &AccountSnapshot, state: ProvisioningState, outcome: T, context: &mut Context<'_>) -> Decision<T> {
    let account_id = snapshot.account.id;
    let version = snapshot.provisioning.as_ref().map_or(Version::ABSENT, |provisioning| provisioning.version);
    let mut change = context.change_set(account_id);
    change.guards.push(Guard::Exact { row: Row::Provisioning, version });
    change.writes.push(Write::PutProvisioning(Provisioning { account_id, version: version.next(), state }));
    Decision::Change(Box::new(change), outcome)
}

/// Begins to register an endpoint. The attempt is committed before the call.
#[must_use]
pub fn begin_registration(
    snapshot: &AccountSnapshot,
    wanted: &Wanted,
    context: &mut Context<'_>,
) -> Decision<Registration> {
    let known = snapshot.provisioning.as_ref();
    let mut state = known.map(|provisioning| provisioning.state.clone()).unwrap_or_default();
    let satisfied = match wanted {
        Wanted::Any => state.endpoint.is_some(),
        Wanted::Another(than) => state.endpoint.as_ref().is_some_and(|endpoint| Some(&endpoint.id) != than.as_ref()),
    };
    if satisfied {
        return Decision::Unchanged(Registration::Done);
    }
    let patience = context.policy.online.endpoint_patience;
    if state.attempt.as_ref().is_some_and(|attempt| !attempt.lost && context.now.apart(attempt.begun_at) < patience) {
        return Decision::Unchanged(Registration::Wait);
    }
    let orphans = state.attempt.is_some();
    let attempt = context.ids.change_set();
    state.attempt = Some(EndpointAttempt { id: attempt, begun_at: context.now, lost: false });
    let keep = state.endpoint.as_ref().map(|endpoint| endpoint.id.clone());
    put(snapshot, state, Registration::Register { attempt, orphans, keep }, context)
}

/// Ends an attempt with the endpoint that Plugipay answered. The previous endpoint's secret stays accepted for a while.
///
/// Returns `false` if another attempt has replaced this one. Its endpoint is then an orphan.
#[must_use]
pub fn record_endpoint(
    snapshot: &AccountSnapshot,
    attempt: ChangeSetId,
    id: &EndpointId,
    secret: &SealedSecret,
    context: &mut Context<'_>,
) -> Decision<bool> {
    let Some(mut state) = present(snapshot, attempt) else {
        return Decision::Unchanged(false);
    };
    if let Some(replaced) = state.endpoint.replace(Endpoint { id: id.clone(), secret: secret.clone() }) {
        let until = context.now.plus(context.policy.online.endpoint_secret_kept);
        state.previous = Some(Previous { secret: replaced.secret, until });
    }
    state.attempt = None;
    put(snapshot, state, true, context)
}

/// Ends an attempt without an endpoint. `lost` says that Plugipay may have created one; then the next attempt looks for
/// it and deletes it.
#[must_use]
pub fn give_up_registration(
    snapshot: &AccountSnapshot,
    attempt: ChangeSetId,
    lost: bool,
    context: &mut Context<'_>,
) -> Decision<()> {
    let Some(mut state) = present(snapshot, attempt) else {
        return Decision::Unchanged(());
    };
    state.attempt = state.attempt.filter(|_| lost).map(|attempt| EndpointAttempt { lost, ..attempt });
    put(snapshot, state, (), context)
}

/// The provisioning, if this attempt is still the latest.
fn present(snapshot: &AccountSnapshot, attempt: ChangeSetId) -> Option<ProvisioningState> {
    let state = &snapshot.provisioning.as_ref()?.state;
    state.attempt.as_ref().is_some_and(|present| present.id == attempt).then(|| state.clone())
}
