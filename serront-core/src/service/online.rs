//! Online payment: the commands that wait for Plugipay, and so can't be bound to a host's transaction.

use std::fmt;
use std::time::Duration;

use super::{Answer, Environment, Failure, Local, rounds};
use crate::account::Modules;
use crate::checkout::{Checkout, CheckoutStatus, EndpointId, MerchantId, SessionId};
use crate::decide::{self, Begun, Decision, ModuleSwitches, Registration, Switched, Wanted};
use crate::idempotency::IdempotentRequest;
use crate::ids::{AccountId, ChangeSetId, CheckoutId};
use crate::key::AccessToken;
use crate::plugipay::{self, Minted, NOTIFIED_PATH, Observation, Returns, Unreadable};
use crate::ports::{
    CheckoutSnapshot, OrderKey, Plugipay, PlugipayAnswer, PlugipayCall, PortError, PortErrorKind, WorkStorage,
};
use crate::rejection::Rejection;
use crate::sealed::{SealedSecret, SecretHolder};
use crate::view::{CheckoutView, ModulesView};

/// How often a press mints anew if what it gets can't be paid (a session that has ended by the time it is told of).
const MINTS_MAX: u32 = 3;

/// How long somebody else's registration is waited for between two looks.
const REGISTRATION_PAUSE: Duration = Duration::from_millis(200);

/// How long a request waits for somebody else's registration in all; then the caller is told to come again.
const REGISTRATION_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a press that was turned away waits before it looks whether another one got through.
const PRESS_PAUSE: Duration = Duration::from_millis(300);

/// Most pages of a merchant's list of endpoints that are read.
const ENDPOINT_PAGES_MAX: u32 = 20;

/// The provider, if this installation has one, and where it finds us.
#[derive(Clone, Copy)]
pub struct Provider<'p> {
    /// Calls Plugipay; `None`: the payment module is not available here.
    pub plugipay: Option<&'p dyn Plugipay>,
    /// Under which address Plugipay and the buyers reach this installation, without a slash at its end.
    pub public_url: &'p str,
}

impl fmt::Debug for Provider<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Provider({})", self.public_url)
    }
}

/// The commands that wait for Plugipay.
#[derive(Debug)]
pub struct Online<'p, S: ?Sized> {
    storage: &'p S,
    provider: Provider<'p>,
    environment: Environment<'p>,
}

impl<S: ?Sized> Clone for Online<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Online<'_, S> {}

impl<'p, S: WorkStorage + ?Sized> Online<'p, S> {
    /// Over these ports.
    pub const fn new(storage: &'p S, provider: Provider<'p>, environment: Environment<'p>) -> Self {
        Self { storage, provider, environment }
    }

    /// The local commands and the reads.
    #[must_use]
    pub const fn local(&self) -> Local<'p, S> {
        Local::new(self.storage, self.environment)
    }

    pub(crate) const fn storage(&self) -> &'p S {
        self.storage
    }

    pub(crate) const fn environment(&self) -> Environment<'p> {
        self.environment
    }

    /// Which modules this installation has.
    #[must_use]
    pub const fn available(&self) -> Modules {
        Modules { payment: self.provider.plugipay.is_some(), marketing: false }
    }

    pub(super) async fn call(&self, call: &PlugipayCall) -> Result<PlugipayAnswer, Failure> {
        let plugipay = self
            .provider
            .plugipay
            .ok_or(Rejection::NotConfigured("online payment is not set up on this installation"))?;
        plugipay.call(call).await.map_err(|error| Failure::Provider { error })
    }

    /// The modules and their switches.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; a port's failure.
    pub async fn modules(&self, id: AccountId) -> Result<ModulesView, Failure> {
        Ok(ModulesView::new(&self.local().account(id).await?, self.available()))
    }

    /// Switches modules on or off. The first "on" of payment provisions the merchant's workspace and registers where its
    /// notifications go. Each step can be repeated: a failure on the way leaves the module off, and the next try goes on.
    ///
    /// # Errors
    /// Those of [`decide::switch_modules`]; [`Failure::Provider`]; [`Failure::Busy`]; a port's failure.
    pub async fn switch_modules(
        &self,
        id: AccountId,
        switches: ModuleSwitches,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ModulesView>, Failure> {
        let local = self.local();
        // The second round has a provisioned merchant.
        for _ in 0..2 {
            let (answer, _) = rounds!(&local, request, |context| {
                let snapshot = local.account_snapshot(id, request).await?;
                decide::switch_modules(&snapshot, switches, self.available(), &mut context)?
            });
            match answer.value {
                Switched::Done(view) => {
                    let Answer { replayed, change_set, .. } = answer;
                    return Ok(Answer { value: view, replayed, change_set });
                }
                Switched::Provision => {
                    self.provision(id).await?;
                }
            }
        }
        Err(Failure::Busy)
    }

    async fn provision(&self, id: AccountId) -> Result<(), Failure> {
        let local = self.local();
        let snapshot = local.account_snapshot(id, None).await?;
        let merchant = match decide::merchant(&snapshot.account) {
            Some(merchant) => merchant,
            None => {
                let brand = match &snapshot.storefront {
                    Some(storefront) => &storefront.profile.display_name,
                    None => &snapshot.account.name,
                };
                let call = plugipay::create_workspace(id, self.environment.policy.module_fee, brand);
                let answer = self.call(&call).await?;
                let workspace = readable(plugipay::Workspace::read(&answer.data))?;
                rounds!(&local, None, |context| {
                    let snapshot = local.account_snapshot(id, None).await?;
                    decide::record_workspace(&snapshot, &workspace.0, &mut context)?
                });
                workspace.0
            }
        };
        self.register(id, &merchant, &Wanted::Any).await
    }

    /// Registers a new endpoint in place of the present one, whose secret stays accepted for
    /// [`Policy::endpoint_secret_kept`](crate::policy::Policy::endpoint_secret_kept), and removes the old one.
    ///
    /// # Errors
    /// [`Rejection::NotConfigured`] before the module was first on; [`Failure::Provider`]; [`Failure::Busy`]; a port's
    /// failure.
    pub async fn rotate_endpoint(&self, id: AccountId) -> Result<(), Failure> {
        let snapshot = self.local().account_snapshot(id, None).await?;
        let (Some(merchant), Some(provisioning)) = (decide::merchant(&snapshot.account), snapshot.provisioning) else {
            return Err(Rejection::NotConfigured("the payment module was never switched on").into());
        };
        let replaced = provisioning.state.endpoint.map(|endpoint| endpoint.id);
        self.register(id, &merchant, &Wanted::Another(replaced)).await
    }

    async fn register(&self, id: AccountId, merchant: &MerchantId, wanted: &Wanted) -> Result<(), Failure> {
        let local = self.local();
        let deadline = self.environment.clock.now().plus(REGISTRATION_WAIT_MAX);
        loop {
            let (answer, _) = rounds!(&local, None, |context| {
                let snapshot = local.account_snapshot(id, None).await?;
                decide::begin_registration(&snapshot, wanted, &mut context)?
            });
            match answer.value {
                Registration::Done => return Ok(()),
                Registration::Wait if self.environment.clock.now() >= deadline => return Err(Failure::Busy),
                Registration::Wait => self.environment.clock.sleep(REGISTRATION_PAUSE).await,
                Registration::Register { attempt, orphans, keep } => {
                    match self.register_once(id, merchant, attempt, orphans, keep.as_ref()).await {
                        Ok(true) => return Ok(()),
                        // Somebody else took over; theirs is looked for.
                        Ok(false) => {}
                        Err(failure) => {
                            let lost = orphans || !is_certain(&failure);
                            // If this fails too, the attempt is taken over once its time is up.
                            let _ = self.give_up(id, attempt, lost).await;
                            return Err(failure);
                        }
                    }
                }
            }
        }
    }

    async fn give_up(&self, id: AccountId, attempt: ChangeSetId, lost: bool) -> Result<(), Failure> {
        let local = self.local();
        rounds!(&local, None, |context| {
            let snapshot = local.account_snapshot(id, None).await?;
            decide::give_up_registration(&snapshot, attempt, lost, &mut context)?
        });
        Ok(())
    }

    async fn register_once(
        &self,
        id: AccountId,
        merchant: &MerchantId,
        attempt: ChangeSetId,
        orphans: bool,
        keep: Option<&EndpointId>,
    ) -> Result<bool, Failure> {
        let local = self.local();
        let url = format!("{}{NOTIFIED_PATH}", self.provider.public_url);
        if orphans {
            self.delete_endpoints(merchant, &url, keep).await?;
        }
        let answer = self.call(&plugipay::create_endpoint(merchant, &url, attempt)).await?;
        let (endpoint, secret) = readable(plugipay::endpoint(&answer.data))?;
        let secret = SealedSecret::seal(self.environment.sealer, SecretHolder::Endpoint(id), secret.reveal())?;
        let (recorded, _) = rounds!(&local, None, |context| {
            let snapshot = local.account_snapshot(id, None).await?;
            decide::record_endpoint(&snapshot, attempt, &endpoint, &secret, &mut context)?
        });
        // What is not used any more is removed; if that fails, its notifications are refused, and nothing else.
        let unused = if recorded.value { keep } else { Some(&endpoint) };
        if let Some(unused) = unused {
            let _ = self.call(&plugipay::delete_endpoint(merchant, unused)).await;
        }
        Ok(recorded.value)
    }

    /// Deletes every endpoint of ours but one: those whose secret was never seen.
    async fn delete_endpoints(
        &self,
        merchant: &MerchantId,
        url: &str,
        keep: Option<&EndpointId>,
    ) -> Result<(), Failure> {
        let mut cursor = None;
        let mut orphans = Vec::new();
        for _ in 0..ENDPOINT_PAGES_MAX {
            let answer = self.call(&plugipay::list_endpoints(merchant, cursor.as_deref())).await?;
            let listed = readable(plugipay::endpoints(&answer.data))?;
            orphans.extend(listed.into_iter().filter(|listed| listed.url == url && Some(&listed.id) != keep));
            cursor = answer.cursor;
            if cursor.is_none() {
                break;
            }
        }
        for orphan in orphans {
            match self.call(&plugipay::delete_endpoint(merchant, &orphan.id)).await {
                Ok(_) => {}
                // Gone already.
                Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Where a buyer comes back to: the order's own page.
    fn returns(&self, token: &AccessToken) -> Returns {
        let page = format!("{}/o/{}", self.provider.public_url, token.reveal());
        Returns { success_url: format!("{page}?paid=1"), cancel_url: page }
    }

    /// The buyer pays online: answers the session to go to, minting it if there is none.
    ///
    /// The intent is committed before the call, the session after it; if the need to pay has ended between the two, the
    /// address is not handed out. Whoever presses at the same time sends the same bytes under the same key. A session that was
    /// minted a while ago is asked after first, for it may have failed since, or have been paid; if Plugipay does not answer,
    /// it is answered as it was last heard of.
    ///
    /// # Errors
    /// Those of [`decide::begin_checkout`], in its order; [`Failure::Provider`]; [`Failure::Busy`]; a port's failure.
    pub async fn pay(&self, token: &AccessToken) -> Result<CheckoutView, Failure> {
        let local = self.local();
        let returns = self.returns(token);
        let mut asked = false;
        for _ in 0..=MINTS_MAX {
            let (answer, _) = rounds!(&local, None, |context| {
                let snapshot = local.order_snapshot(OrderKey::Token(token.hash()), None).await?;
                if self.provider.plugipay.is_none() && snapshot.account.state.modules.payment {
                    let refusal = Rejection::NotConfigured("online payment is not set up on this installation");
                    return Err(refusal.into());
                }
                decide::begin_checkout(&snapshot, &returns, &mut context)?
            });
            match answer.value {
                Begun::Session(view) => return Ok(view),
                Begun::Known(known, view) => {
                    if asked || self.attend(known.account_id, known.id).await.is_err() {
                        return Ok(view);
                    }
                    asked = true;
                }
                Begun::Mint(merchant, checkout) => {
                    if let Err(failure) = self.mint(&merchant, &checkout).await {
                        return self.minted_by_another(token, &returns, failure).await;
                    }
                }
            }
        }
        Err(Failure::Provider { error: PortError::permanent("the minted sessions can't be paid") })
    }

    /// A press whose call did nothing may have met another press whose call is under way: what that one got is answered.
    async fn minted_by_another(
        &self,
        token: &AccessToken,
        returns: &Returns,
        failure: Failure,
    ) -> Result<CheckoutView, Failure> {
        if !matches!(&failure, Failure::Provider { error } if error.kind() == PortErrorKind::Transient) {
            return Err(failure);
        }
        self.environment.clock.sleep(PRESS_PAUSE).await;
        let local = self.local();
        let snapshot = local.order_snapshot(OrderKey::Token(token.hash()), None).await?;
        match decide::begin_checkout(&snapshot, returns, &mut local.context(None)) {
            Ok(Decision::Unchanged(Begun::Session(view) | Begun::Known(_, view))) => Ok(view),
            Ok(Decision::Unchanged(Begun::Mint(..)) | Decision::Change(..) | Decision::Replayed(_)) | Err(_) => {
                Err(failure)
            }
        }
    }

    /// Makes the minting call and records what it answered.
    async fn mint(&self, merchant: &MerchantId, checkout: &Checkout) -> Result<(), Failure> {
        let local = self.local();
        let (account_id, id) = (checkout.account_id, checkout.id);
        let answer = match self.call(&plugipay::create_session(merchant, checkout)).await {
            Ok(answer) => answer,
            Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {
                rounds!(&local, None, |context| {
                    let snapshot = local.checkout_snapshot(account_id, id).await?;
                    decide::refuse_session(&snapshot, &mut context)?
                });
                return Err(Failure::Provider { error });
            }
            Err(failure) => return Err(failure),
        };
        let expires_at = checkout.created_at.plus(self.environment.policy.session_valid_for);
        let minted = readable(Minted::read(&answer.data, expires_at))?;
        let session_id = &minted.session.id;
        rounds!(&local, None, |context| {
            let snapshot = local.checkout_snapshot(account_id, id).await?;
            let name = self.storage.session(account_id, session_id, None).await?;
            decide::record_session(&snapshot, &name, &minted, &mut context)?
        });
        // What fails here is tried again by the janitor; the session is there all the same.
        let _ = self.unpark(account_id, session_id).await;
        Ok(())
    }

    /// Applies what came before its session was known.
    async fn unpark(&self, account_id: AccountId, session_id: &SessionId) -> Result<(), Failure> {
        for event_id in self.storage.session(account_id, session_id, None).await?.parked {
            self.local().retry_notification(account_id, &event_id).await?;
        }
        Ok(())
    }

    /// Looks after one checkout: an intent is sent again, what is not needed any more is called off, and whatever Plugipay
    /// says of the session is applied. Answers how it stands then; `None` if there is no such checkout.
    ///
    /// # Errors
    /// [`Failure::Provider`]; [`Failure::Busy`]; a port's failure.
    pub async fn attend(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<Checkout>, Failure> {
        let Some(mut snapshot) = self.storage.checkout(account_id, id).await? else { return Ok(None) };
        let Some(merchant) = decide::merchant(&snapshot.order.account) else { return Ok(None) };
        if snapshot.checkout.state.status == CheckoutStatus::Intended {
            match self.mint(&merchant, &snapshot.checkout).await {
                // Refused for good: ended, and known to be.
                Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {}
                other => other?,
            }
            snapshot = self.local().checkout_snapshot(account_id, id).await?;
        }
        let CheckoutSnapshot { checkout, .. } = &snapshot;
        let Some(session) = &checkout.state.session else { return Ok(Some(snapshot.checkout)) };
        if checkout.state.status == CheckoutStatus::Completed {
            return Ok(Some(snapshot.checkout));
        }
        let session_id = session.id.clone();
        let ask = plugipay::get_session(&merchant, &session_id);
        let answer = if checkout.state.unneeded && checkout.state.status.is_live() {
            match self.call(&plugipay::cancel_session(&merchant, &session_id)).await {
                // It can't be called off any more; how it stands is to be asked.
                Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => self.call(&ask).await?,
                other => other?,
            }
        } else {
            self.call(&ask).await?
        };
        let observation = readable(Observation::read(&answer.data))?;
        if observation.session_id != session_id {
            return readable(Err(Unreadable("session id")));
        }
        let local = self.local();
        rounds!(&local, None, |context| {
            let snapshot = local.checkout_snapshot(account_id, id).await?;
            decide::observe(&snapshot, &observation, &mut context)?
        });
        Ok(Some(local.checkout_snapshot(account_id, id).await?.checkout))
    }
}

/// An answer that can't be read leaves open what became of the call.
pub(super) fn readable<T>(read: Result<T, Unreadable>) -> Result<T, Failure> {
    read.map_err(|unreadable| Failure::Provider { error: PortError::outcome_unknown(unreadable) })
}

/// Whether a failed call certainly did nothing.
const fn is_certain(failure: &Failure) -> bool {
    match failure {
        Failure::Rejected(_) => true,
        Failure::Provider { error } => {
            matches!(error.kind(), PortErrorKind::Permanent | PortErrorKind::Transient | PortErrorKind::Busy)
        }
        Failure::Busy | Failure::Conflict | Failure::Port { .. } => false,
    }
}
