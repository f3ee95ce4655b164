//! Online payment: the commands that call Plugipay, and therefore can't run in a host's transaction.

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

/// How often one request mints again if the session can't be paid, such as one that ended before Plugipay answered.
const MINTS_MAX: u32 = 3;

/// How long a request whose call failed waits before it looks for the session of a concurrent request.
const CONCURRENT_PAUSE: Duration = Duration::from_millis(300);

/// The payment provider, and the address under which it reaches this installation.
#[derive(Clone, Copy)]
pub struct Provider<'p> {
    /// `None`: the payment module is not available on this installation.
    pub plugipay: Option<&'p dyn Plugipay>,
    /// The URL under which Plugipay and the buyers reach this installation, without a slash at its end.
    pub public_url: &'p str,
}

impl fmt::Debug for Provider<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Provider({})", self.public_url)
    }
}

/// The commands that call Plugipay.
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

    /// The reads and the commands that need only the storage.
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

    /// The modules that this installation has.
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
    /// [`Rejection::NotFound`].
    pub async fn modules(&self, id: AccountId) -> Result<ModulesView, Failure> {
        Ok(ModulesView::new(&self.commands().account(id).await?, self.available()))
    }

    /// Where a buyer returns after paying: the order's page.
    fn returns(&self, token: &AccessToken) -> Returns {
        let page = format!("{}/o/{}", self.provider.public_url, token.reveal());
        Returns { success_url: format!("{page}?paid=1"), cancel_url: page }
    }

    /// Returns the session where the buyer pays, and has Plugipay mint one if there is none.
    ///
    /// The intent is committed before the call and the session after it. If the payment is no longer needed by then,
    /// the session is not returned. Concurrent requests send the same bytes with the same key. For a session that was
    /// minted a while ago, it first asks Plugipay, because the session may have failed or have been paid. If Plugipay
    /// does not answer, it returns the session in its last known state.
    ///
    /// # Errors
    /// [`Rejection::NotFound`]; those of [`decide::begin_checkout`], in its order; [`Failure::Provider`].
    pub async fn pay(&self, token: &AccessToken) -> Result<CheckoutView, Failure> {
        let commands = self.commands();
        let returns = self.returns(token);
        let mut asked = false;
        for _ in 0..=MINTS_MAX {
            let answer = rounds!(&commands, None, |context| {
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
                        return self.minted_concurrently(token, &returns, failure).await;
                    }
                }
            }
        }
        Err(Failure::Provider { error: PortError::permanent("the minted sessions can't be paid") })
    }

    /// After a call that failed without effect: the session of a concurrent request, if there is one.
    async fn minted_concurrently(
        &self,
        token: &AccessToken,
        returns: &Returns,
        failure: Failure,
    ) -> Result<CheckoutView, Failure> {
        if !matches!(&failure, Failure::Provider { error } if error.kind() == PortErrorKind::Transient) {
            return Err(failure);
        }
        self.environment.clock.sleep(CONCURRENT_PAUSE).await;
        let commands = self.commands();
        let snapshot = commands.order_snapshot(OrderKey::Token(token.hash()), None).await?;
        match decide::begin_checkout(&snapshot, returns, &mut commands.context(None)) {
            Ok(Decision::Unchanged(Begun::Session(view) | Begun::Known(_, view))) => Ok(view),
            Ok(Decision::Unchanged(Begun::Mint(..)) | Decision::Change(..) | Decision::Replayed(_)) | Err(_) => {
                Err(failure)
            }
        }
    }

    /// Has Plugipay mint a session, and records the answer.
    async fn mint(&self, merchant: &MerchantId, checkout: &Checkout) -> Result<(), Failure> {
        let commands = self.commands();
        let (account_id, id) = (checkout.account_id, checkout.id);
        let answer = match self.call(&plugipay::create_session(merchant, checkout)).await {
            Ok(answer) => answer,
            Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {
                rounds!(&commands, None, |context| {
                    let snapshot = commands.checkout_snapshot(account_id, id).await?;
                    decide::refuse_session(&snapshot, &mut context)
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
            decide::record_session(&snapshot, &name, &minted, &mut context)
        });
        // The janitor retries what fails here; the session is usable already.
        let _ = self.unpark(account_id, session_id).await;
        Ok(())
    }

    /// Applies the notifications that arrived before their session was known.
    async fn unpark(&self, account_id: AccountId, session_id: &SessionId) -> Result<(), Failure> {
        for event_id in self.storage.session(account_id, session_id, None).await?.parked {
            self.commands().retry_notification(account_id, &event_id).await?;
        }
        Ok(())
    }

    /// Brings a checkout up to date: resends an intent, cancels a session that is no longer needed, and applies the
    /// state that Plugipay reports. Returns the checkout afterwards; `None` if there is no such checkout, or no
    /// merchant.
    ///
    /// # Errors
    /// [`Failure::Provider`].
    pub async fn attend(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<Checkout>, Failure> {
        let Some(mut snapshot) = self.storage.checkout(account_id, id).await? else { return Ok(None) };
        let Some(merchant) = decide::merchant(&snapshot.order.account) else { return Ok(None) };
        if snapshot.checkout.state.status == CheckoutStatus::Intended {
            match self.mint(&merchant, &snapshot.checkout).await {
                // Plugipay refused it permanently, and `mint` has recorded that.
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
                // It can no longer be canceled, so ask for its state.
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
            decide::observe(&snapshot, &observation, &mut context)
        });
        Ok(Some(commands.checkout_snapshot(account_id, id).await?.checkout))
    }
}

/// After an unreadable answer, the call's outcome is unknown.
pub(super) fn readable<T>(read: Result<T, Unreadable>) -> Result<T, Failure> {
    read.map_err(|unreadable| Failure::Provider { error: PortError::outcome_unknown(unreadable) })
}
