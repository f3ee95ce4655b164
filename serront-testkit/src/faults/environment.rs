//! Faults of time, ids and secrets, as far as these ports can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::SecretBytes;
use serront_core::ports::{Clock, Ids, PortError, Secrets};
use serront_core::primitives::ids::IdSequence;
use serront_core::primitives::time::Timestamp;

use super::outside::wrapper;
use super::{Call, FAILURE, Fault, Faults};

wrapper! {
    /// Wraps a clock: it may step, and a sleep may take longer, as its [`Faults`] say. The port can't fail.
    FaultyClock { stepped: AtomicI64 }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<P: Clock + ?Sized> Clock for FaultyClock<P> {
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
        // Sleeping can't fail, so only these faults apply.
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
    /// Wraps a source of ids: a sequence may be drawn and not used. Ids stay unique, and drawing never fails.
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
    /// Wraps a source of secrets: drawing fails as its [`Faults`] say.
    FaultySecrets
}

#[deny(clippy::missing_trait_methods)]
impl<P: Secrets + ?Sized> Secrets for FaultySecrets<P> {
    fn draw(&self) -> Result<SecretBytes, PortError> {
        let drawn = self.faults.at_once(Call::DrawSecret, || self.inner.draw());
        drawn.unwrap_or_else(|kind| Err(PortError::new(kind, FAILURE)))
    }
}
