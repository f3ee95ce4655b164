//! Time, ids and secrets that go wrong as told, as far as these ports can.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::SecretBytes;
use serront_core::ports::{Clock, Ids, PortError, Secrets};
use serront_core::primitives::ids::IdSequence;
use serront_core::primitives::time::Timestamp;

use super::outside::wrapper;
use super::{Call, Fault, Faults, TOLD};

/// A clock around another one. It steps when told, and a sleep may take longer; it never fails, for the port can't.
pub struct FaultyClock<C: ?Sized> {
    faults: Faults,
    stepped: AtomicI64,
    inner: Arc<C>,
}

impl<C: ?Sized> std::fmt::Debug for FaultyClock<C> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FaultyClock").field("stepped", &self.stepped).finish_non_exhaustive()
    }
}

impl<C: ?Sized> FaultyClock<C> {
    /// Around this clock, with nothing told yet.
    #[must_use]
    pub fn new(inner: Arc<C>) -> Self {
        Self::told_by(inner, &Faults::default())
    }

    /// Around this clock, under a plan that others share.
    #[must_use]
    pub fn told_by(inner: Arc<C>, faults: &Faults) -> Self {
        Self { faults: faults.clone(), stepped: AtomicI64::new(0), inner }
    }

    /// The plan, to tell what is to go wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The clock within, which never steps.
    #[must_use]
    pub fn inner(&self) -> &Arc<C> {
        &self.inner
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<C: Clock + ?Sized> Clock for FaultyClock<C> {
    fn now(&self) -> Timestamp {
        match self.faults.next_now(Call::Now) {
            Some(Fault::Step(millis)) => {
                self.stepped.fetch_add(millis, Ordering::SeqCst);
            }
            Some(Fault::CrashBefore | Fault::CrashAfter) => self.faults.stop(Call::Now),
            _ => {}
        }
        let millis = self.inner.now().millis().saturating_add(self.stepped.load(Ordering::SeqCst));
        Timestamp::from_millis(millis)
    }

    async fn sleep(&self, duration: Duration) {
        let (life, fault) = self.faults.next(Call::Sleep).await;
        // It can't fail: it has slept, as the others would have it.
        let fault = fault.filter(|fault| {
            matches!(
                fault,
                Fault::Delay(_) | Fault::DelayAnswer(_) | Fault::Duplicate | Fault::CrashBefore | Fault::CrashAfter
            )
        });
        self.faults.carry_out(life, Call::Sleep, fault, || self.inner.sleep(duration), |_| ()).await;
    }
}

wrapper! {
    /// Ids around others: a sequence may be drawn in vain. They stay unique, and drawing never fails, for the port can't.
    FaultyIds
}

#[deny(clippy::missing_trait_methods)]
impl<P: Ids + ?Sized> Ids for FaultyIds<P> {
    fn sequence(&self, now: Timestamp) -> IdSequence {
        let draw = || self.inner.sequence(now);
        self.faults.at_once(Call::DrawIds, draw).unwrap_or_else(|_| draw())
    }
}

wrapper! {
    /// Secrets around others, which fail to be drawn as told.
    FaultySecrets
}

#[deny(clippy::missing_trait_methods)]
impl<P: Secrets + ?Sized> Secrets for FaultySecrets<P> {
    fn draw(&self) -> Result<SecretBytes, PortError> {
        let drawn = self.faults.at_once(Call::DrawSecret, || self.inner.draw());
        drawn.unwrap_or_else(|kind| Err(PortError::new(kind, TOLD)))
    }
}
