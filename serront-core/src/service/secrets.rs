//! Secrets at rest: seals outdated ones again, and recognizes the keys of another installation.

use super::commands::rounds;
use super::{Commands, Failure};
use crate::accounts::sealed::{SealedSecret, SecretHolder};
use crate::decide::{self, Decision};
use crate::online::provisioning::{Provisioning, ProvisioningState};
use crate::ports::{PortError, WorkStorage};
use crate::primitives::ids::{AccountId, SubscriptionId};
use crate::primitives::page::Limit;
use crate::snapshots::{InstallationRow, SubscriptionSecrets};

/// What a pass over the secrets at rest did. A row's current and previous secret count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Rows that hold secrets.
    pub seen: u64,
    /// Rows whose secrets were sealed again.
    pub resealed: u64,
    /// Rows with a secret that can't be opened: its key is missing, it belongs to another row, or this version can't
    /// read the row.
    pub unopened: u64,
}

/// The text that is sealed as an installation's key check.
const KEY_CHECK: &str = "these are this installation's keys";

/// This process's keys are not those that sealed the installation's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these keys do not open the installation's secrets")]
pub struct OtherKeys;

/// Why [`Commands::check_keys`] failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The keys belong to another installation.
    #[error(transparent)]
    Other(#[from] OtherKeys),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Counts of sealed secrets.
#[derive(Default)]
struct Openable {
    opened: u64,
    unopened: u64,
}

/// Whether a row's secrets need to be sealed again, and the new sealed form.
enum Sealing<T> {
    UpToDate,
    Unopened,
    Outdated(T),
}

impl<S: WorkStorage + ?Sized> Commands<'_, S> {
    /// Seals every secret again that is stored in plain text or under an older key. It commits each row separately, so
    /// other commands continue. It can be interrupted and repeated, and can run on several hosts: each row is sealed by
    /// one of them. It counts secrets that can't be opened, and leaves them as they are.
    pub async fn reseal(&self) -> Result<Resealed, Failure> {
        let mut tally = Resealed::default();
        self.reseal_key_check(&mut tally).await?;
        let mut after = None;
        loop {
            let page = self.storage.subscription_secrets(after, Limit::EXPORT).await?;
            for row in &page.rows {
                tally.seen += 1;
                match self.subscription_sealing(row)? {
                    Sealing::UpToDate => {}
                    Sealing::Unopened => tally.unopened += 1,
                    Sealing::Outdated(_) => tally.resealed += u64::from(self.reseal_subscription(after, row.id).await?),
                }
                after = Some(row.id);
            }
            if !page.has_more {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = self.storage.provisionings(after, Limit::EXPORT).await?;
            for row in &page.rows {
                tally.seen += 1;
                match self.endpoint_sealing(row)? {
                    Sealing::UpToDate => {}
                    Sealing::Unopened => tally.unopened += 1,
                    Sealing::Outdated(_) => tally.resealed += u64::from(self.reseal_endpoint(row.account_id).await?),
                }
                after = Some(row.account_id);
            }
            if !page.has_more {
                break;
            }
        }
        // The pages leave out unreadable rows, whose secrets may be sealed under any key.
        let unread = self.unread_holders().await?;
        tally.seen += unread;
        tally.unopened += unread;
        Ok(tally)
    }

    /// Checks that this process's keys are the installation's: they must open its key check, a known text that the
    /// first host with keys sealed. If there is no key check, this writes one. If hosts with different keys start
    /// concurrently, one of them writes it, and the others fail with [`OtherKeys`].
    ///
    /// An earlier version without key checks may have dropped the key of the key check when no secret needed that key
    /// any longer. So a key check that does not open is replaced if there are sealed secrets and all that are examined
    /// open.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn check_keys(&self) -> Result<(), KeysError> {
        let sealer = self.environment.sealer;
        let id = self.environment.ids.sequence(self.environment.clock.now()).installation();
        let holder = SecretHolder::Installation(self.storage.begin_installation(id).await?);
        // Another host may replace the check between the read and the write. That is rare, so a few rounds suffice.
        for _ in 0..self.environment.policy.commits.rounds_max.max(1) {
            let was = self.storage.installation().await?.key_check;
            let Openable { opened, unopened } = match &was {
                Some(check) if check.open(sealer, holder).is_ok_and(|text| text == KEY_CHECK) => return Ok(()),
                Some(_) | None => self.count_openable().await?,
            };
            let ours = if was.is_some() { opened > 0 && unopened == 0 } else { opened > 0 || unopened == 0 };
            if !ours {
                return Err(OtherKeys.into());
            }
            let check = SealedSecret::seal(sealer, holder, KEY_CHECK)?;
            if self.storage.put_key_check(was, check).await? {
                return Ok(());
            }
        }
        Err(PortError::transient("other hosts keep replacing the installation's key check").into())
    }

    /// How many of the sealed secrets on the first pages open, and how many do not.
    async fn count_openable(&self) -> Result<Openable, PortError> {
        let mut counts = Openable::default();
        for row in self.storage.subscription_secrets(None, Limit::EXPORT).await?.rows {
            let holder = SecretHolder::Subscription(row.account_id, row.id);
            self.count(&mut counts, holder, &row.secret);
        }
        for row in self.storage.provisionings(None, Limit::EXPORT).await?.rows {
            let holder = SecretHolder::Endpoint(row.account_id);
            row.state.stored_secrets().for_each(|secret| self.count(&mut counts, holder, secret));
        }
        Ok(counts)
    }

    fn count(&self, counts: &mut Openable, holder: SecretHolder, secret: &SealedSecret) {
        if secret.is_sealed() {
            let open = secret.open(self.environment.sealer, holder).is_ok();
            *(if open { &mut counts.opened } else { &mut counts.unopened }) += 1;
        }
    }

    /// Seals the key check again if it is under an older key, which a host may remove once no secret needs it.
    async fn reseal_key_check(&self, tally: &mut Resealed) -> Result<(), Failure> {
        let sealer = self.environment.sealer;
        for _ in 0..self.environment.policy.commits.rounds_max.max(1) {
            let InstallationRow { id: Some(id), key_check: Some(was), .. } = self.storage.installation().await? else {
                return Ok(());
            };
            if !was.is_outdated(sealer)? {
                return Ok(());
            }
            let Ok(check) = was.resealed(sealer, SecretHolder::Installation(id)) else {
                tally.unopened += 1;
                return Ok(());
            };
            if self.storage.put_key_check(Some(was), check).await? {
                return Ok(());
            }
        }
        Err(Failure::Busy)
    }

    /// How many unreadable rows hold secrets.
    async fn unread_holders(&self) -> Result<u64, Failure> {
        let aside = self.storage.set_aside(u32::MAX).await?;
        let holders = aside.rows.iter().filter(|row| row.kind.holds_secrets()).count();
        Ok(u64::try_from(holders).unwrap_or(u64::MAX))
    }

    /// Whether any stored secret is sealed, under any key.
    pub async fn has_sealed(&self) -> Result<bool, Failure> {
        let mut after = None;
        loop {
            let page = self.storage.subscription_secrets(after, Limit::EXPORT).await?;
            if page.rows.iter().any(|row| row.secret.is_sealed()) {
                return Ok(true);
            }
            after = page.rows.last().map(|row| row.id);
            if !page.has_more {
                break;
            }
        }
        let mut after = None;
        loop {
            let page = self.storage.provisionings(after, Limit::EXPORT).await?;
            if page.rows.iter().any(|row| row.state.stored_secrets().any(SealedSecret::is_sealed)) {
                return Ok(true);
            }
            after = page.rows.last().map(|row| row.account_id);
            if !page.has_more {
                // An unreadable row may hold one.
                return Ok(self.unread_holders().await? > 0);
            }
        }
    }

    /// Seals a secret and the previous one again if either is outdated. One that can't be opened is an operator's
    /// problem, and no reason to stop at this row.
    fn sealed_again(
        &self,
        holder: SecretHolder,
        secret: &SealedSecret,
        previous: Option<&SealedSecret>,
    ) -> Result<Sealing<(SealedSecret, Option<SealedSecret>)>, PortError> {
        let sealer = self.environment.sealer;
        let mut outdated = secret.is_outdated(sealer)?;
        if let Some(previous) = previous {
            outdated |= previous.is_outdated(sealer)?;
        }
        if !outdated {
            return Ok(Sealing::UpToDate);
        }
        let Ok(opened) = secret.open(sealer, holder) else { return Ok(Sealing::Unopened) };
        let previous = match previous.map(|previous| previous.open(sealer, holder)).transpose() {
            Ok(opened) => opened.map(|opened| SealedSecret::seal(sealer, holder, &opened)).transpose()?,
            Err(_) => return Ok(Sealing::Unopened),
        };
        Ok(Sealing::Outdated((SealedSecret::seal(sealer, holder, &opened)?, previous)))
    }

    fn subscription_sealing(
        &self,
        row: &SubscriptionSecrets,
    ) -> Result<Sealing<(SealedSecret, Option<SealedSecret>)>, PortError> {
        let holder = SecretHolder::Subscription(row.account_id, row.id);
        self.sealed_again(holder, &row.secret, row.previous_secret.as_ref())
    }

    fn endpoint_sealing(&self, row: &Provisioning) -> Result<Sealing<ProvisioningState>, PortError> {
        let holder = SecretHolder::Endpoint(row.account_id);
        let mut state = row.state.clone();
        let mut outdated = false;
        for secret in state.stored_secrets_mut() {
            match self.sealed_again(holder, secret, None)? {
                Sealing::UpToDate => {}
                Sealing::Unopened => return Ok(Sealing::Unopened),
                Sealing::Outdated((sealed, _)) => {
                    *secret = sealed;
                    outdated = true;
                }
            }
        }
        Ok(if outdated { Sealing::Outdated(state) } else { Sealing::UpToDate })
    }

    /// Returns whether the secrets were still outdated. The row is the first one after `after`, unless it was deleted.
    async fn reseal_subscription(&self, after: Option<SubscriptionId>, id: SubscriptionId) -> Result<bool, Failure> {
        let answer = rounds!(self, None, |context| {
            let page = self.storage.subscription_secrets(after, Limit::ONE).await?;
            match page.rows.first().filter(|row| row.id == id) {
                Some(row) => match self.subscription_sealing(row)? {
                    Sealing::Outdated((secret, previous)) => {
                        decide::reseal_subscription(row, secret, previous, &mut context).map(|()| true)
                    }
                    Sealing::UpToDate | Sealing::Unopened => Decision::Unchanged(false),
                },
                None => Decision::Unchanged(false),
            }
        });
        Ok(answer.value)
    }

    async fn reseal_endpoint(&self, account_id: AccountId) -> Result<bool, Failure> {
        let answer = rounds!(self, None, |context| {
            match self.account_snapshot(account_id, None).await?.provisioning {
                Some(row) => match self.endpoint_sealing(&row)? {
                    Sealing::Outdated(state) => decide::reseal_endpoint(&row, state, &mut context).map(|()| true),
                    Sealing::UpToDate | Sealing::Unopened => Decision::Unchanged(false),
                },
                None => Decision::Unchanged(false),
            }
        });
        Ok(answer.value)
    }
}
