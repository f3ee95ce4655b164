//! Online payment: the commands that wait for Plugipay, and so can't be bound to a host's transaction.

use std::fmt;
use std::time::Duration;

use super::commands::rounds;
use super::{Commands, Environment, Failure};
use crate::accounts::account::Modules;
use crate::accounts::key::AccessToken;
use crate::decide::{self, Begun, Decision};
use crate::online::checkout::{Checkout, CheckoutStatus};
use crate::online::plugipay::{self, Minted, Observation, PlugipayAnswer, PlugipayCall, Returns, Unreadable};
use crate::ports::{Plugipay, PortError, PortErrorKind, WorkStorage};
use crate::primitives::ids::{AccountId, CheckoutId};
use crate::primitives::provider::{MerchantId, SessionId};
use crate::primitives::rejection::Rejection;
use crate::snapshots::{CheckoutSnapshot, OrderKey};
use crate::views::{CheckoutView, ModulesView};

/// How often a press mints anew if what it gets can't be paid (a session that has ended by the time it is told of).
const MINTS_MAX: u32 = 3;

/// How long a press that was turned away waits before it looks whether another one got through.
const PRESS_PAUSE: Duration = Duration::from_millis(300);

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
pub struct OnlinePayments<'p, S: ?Sized> {
    pub(super) storage: &'p S,
    pub(super) provider: Provider<'p>,
    pub(super) environment: Environment<'p>,
}

impl<S: ?Sized> Clone for OnlinePayments<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for OnlinePayments<'_, S> {}

impl<'p, S: WorkStorage + ?Sized> OnlinePayments<'p, S> {
    /// Over these ports.
    pub const fn new(storage: &'p S, provider: Provider<'p>, environment: Environment<'p>) -> Self {
        Self { storage, provider, environment }
    }

    /// The local commands and the reads.
    #[must_use]
    pub const fn commands(&self) -> Commands<'p, S> {
        Commands::new(self.storage, self.environment)
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
        Ok(ModulesView::new(&self.commands().account(id).await?, self.available()))
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
        let commands = self.commands();
        let returns = self.returns(token);
        let mut asked = false;
        for _ in 0..=MINTS_MAX {
            let (answer, _) = rounds!(&commands, None, |context| {
                let snapshot = commands.order_snapshot(OrderKey::Token(token.hash()), None).await?;
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
        let commands = self.commands();
        let snapshot = commands.order_snapshot(OrderKey::Token(token.hash()), None).await?;
        match decide::begin_checkout(&snapshot, returns, &mut commands.context(None)) {
            Ok(Decision::Unchanged(Begun::Session(view) | Begun::Known(_, view))) => Ok(view),
            Ok(Decision::Unchanged(Begun::Mint(..)) | Decision::Change(..) | Decision::Replayed(_)) | Err(_) => {
                Err(failure)
            }
        }
    }

    /// Makes the minting call and records what it answered.
    async fn mint(&self, merchant: &MerchantId, checkout: &Checkout) -> Result<(), Failure> {
        let commands = self.commands();
        let (account_id, id) = (checkout.account_id, checkout.id);
        let answer = match self.call(&plugipay::create_session(merchant, checkout)).await {
            Ok(answer) => answer,
            Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {
                rounds!(&commands, None, |context| {
                    let snapshot = commands.checkout_snapshot(account_id, id).await?;
                    decide::refuse_session(&snapshot, &mut context)?
                });
                return Err(Failure::Provider { error });
            }
            Err(failure) => return Err(failure),
        };
        let expires_at = checkout.created_at.plus(self.environment.policy.online.session_valid_for);
        let minted = readable(Minted::read(&answer.data, expires_at))?;
        let session_id = &minted.session.id;
        rounds!(&commands, None, |context| {
            let snapshot = commands.checkout_snapshot(account_id, id).await?;
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
            self.commands().retry_notification(account_id, &event_id).await?;
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
            snapshot = self.commands().checkout_snapshot(account_id, id).await?;
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
        let commands = self.commands();
        rounds!(&commands, None, |context| {
            let snapshot = commands.checkout_snapshot(account_id, id).await?;
            decide::observe(&snapshot, &observation, &mut context)?
        });
        Ok(Some(commands.checkout_snapshot(account_id, id).await?.checkout))
    }
}

/// An answer that can't be read leaves open what became of the call.
pub(super) fn readable<T>(read: Result<T, Unreadable>) -> Result<T, Failure> {
    read.map_err(|unreadable| Failure::Provider { error: PortError::outcome_unknown(unreadable) })
}
