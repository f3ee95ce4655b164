//! Secrets at rest: outdated ones are sealed again, and keys of another installation are recognized.

use super::commands::rounds;
use super::{Commands, Failure};
use crate::accounts::sealed::{SealedSecret, SecretHolder};
use crate::decide::{self, Decision};
use crate::online::provisioning::{Provisioning, ProvisioningState};
use crate::ports::{PortError, WorkStorage};
use crate::primitives::ids::{AccountId, SubscriptionId};
use crate::primitives::page::Limit;
use crate::snapshots::{InstallationRow, SubscriptionSecrets};

/// What a pass over the secrets at rest did. A secret and the one before it, of one row, count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Rows that hold secrets.
    pub seen: u64,
    /// Rows whose secrets were sealed anew.
    pub resealed: u64,
    /// Rows with a secret that can't be opened: its key is missing, it is not this row's, or this version can't read the row.
    pub unopened: u64,
}

/// What is sealed as the key check of an installation.
const KEY_CHECK: &str = "these are this installation's keys";

/// The keys of this process are not those that the installation's secrets are sealed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these keys do not open what the installation's secrets are sealed under")]
pub struct OtherKeys;

/// Why the keys could not be found to be the installation's.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// They are others.
    #[error(transparent)]
    Other(#[from] OtherKeys),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Sealed secrets that were looked at.
#[derive(Default)]
struct Looked {
    opened: u64,
    unopened: u64,
}

/// The secrets of one row, as they are and as they are to be.
enum Found<T> {
    UpToDate,
    Unopened,
    Anew(T),
}

impl<S: WorkStorage + ?Sized> Commands<'_, S> {
    /// Seals every secret anew that is stored in plain, or under another key than the present one: page by page, each row in a
    /// commit of its own, while everything else goes on. It can be stopped anywhere and begun again; of several at once, each
    /// row is done by one. A secret that can't be opened stays as it is, and is counted.
    ///
    /// # Errors
    /// [`Failure::Busy`]; a port's failure, the sealer's included where it can't seal.
    pub async fn reseal(&self) -> Result<Resealed, Failure> {
        let mut tally = Resealed::default();
        self.reseal_key_check(&mut tally).await?;
        let mut after = None;
        loop {
            let page = self.storage.subscription_secrets(after, Limit::EXPORT).await?;
            for row in &page.rows {
                tally.seen += 1;
                match self.subscription_anew(row)? {
                    Found::UpToDate => {}
                    Found::Unopened => tally.unopened += 1,
                    Found::Anew(_) => tally.resealed += u64::from(self.reseal_subscription(after, row.id).await?),
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
                match self.endpoint_anew(row)? {
                    Found::UpToDate => {}
                    Found::Unopened => tally.unopened += 1,
                    Found::Anew(_) => tally.resealed += u64::from(self.reseal_endpoint(row.account_id).await?),
                }
                after = Some(row.account_id);
            }
            if !page.has_more {
                break;
            }
        }
        // What the pages left out may be sealed under any key.
        let unread = self.unread_holders().await?;
        tally.seen += unread;
        tally.unopened += unread;
        Ok(tally)
    }

    /// Checks that the keys of this process are the installation's: that they open its key check, a known text that the first
    /// host with keys sealed. Where there is none yet it is written; of hosts that start at the same time with different keys,
    /// one writes it, and the others find that they have other keys.
    ///
    /// A version that knew no key check may have removed its key from the file, once no secret needed it. So what does not open is
    /// replaced where secrets are sealed and all of those looked at open.
    ///
    /// # Errors
    /// [`KeysError`].
    pub async fn check_keys(&self) -> Result<(), KeysError> {
        let sealer = self.environment.sealer;
        let id = self.environment.ids.sequence(self.environment.clock.now()).installation();
        let holder = SecretHolder::Installation(self.storage.begin_installation(id).await?);
        // Another host replaced the check between the read and the write. That happens seldom, so a few rounds suffice.
        for _ in 0..self.environment.policy.commits.rounds_max.max(1) {
            let was = self.storage.installation().await?.key_check;
            let Looked { opened, unopened } = match &was {
                Some(check) if check.open(sealer, holder).is_ok_and(|text| text == KEY_CHECK) => return Ok(()),
                Some(_) | None => self.look_at_secrets().await?,
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
        Err(PortError::transient("the installation's key check changes all the time").into())
    }

    /// How many of the sealed secrets on the first pages open, and how many do not.
    async fn look_at_secrets(&self) -> Result<Looked, PortError> {
        let mut looked = Looked::default();
        for row in self.storage.subscription_secrets(None, Limit::EXPORT).await?.rows {
            let holder = SecretHolder::Subscription(row.account_id, row.id);
            self.look_at(&mut looked, holder, &row.secret);
        }
        for row in self.storage.provisionings(None, Limit::EXPORT).await?.rows {
            let holder = SecretHolder::Endpoint(row.account_id);
            row.state.stored_secrets().for_each(|secret| self.look_at(&mut looked, holder, secret));
        }
        Ok(looked)
    }

    fn look_at(&self, looked: &mut Looked, holder: SecretHolder, secret: &SealedSecret) {
        if secret.is_sealed() {
            let open = secret.open(self.environment.sealer, holder).is_ok();
            *(if open { &mut looked.opened } else { &mut looked.unopened }) += 1;
        }
    }

    /// Seals the key check again if it is under an older key. It goes with the secrets: `forget` removes that key after them.
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

    /// How many rows that hold secrets were set aside.
    async fn unread_holders(&self) -> Result<u64, Failure> {
        let aside = self.storage.set_aside(u32::MAX).await?;
        let holders = aside.rows.iter().filter(|row| row.kind.holds_secrets()).count();
        Ok(u64::try_from(holders).unwrap_or(u64::MAX))
    }

    /// Whether any secret is stored sealed, under whatever key.
    ///
    /// # Errors
    /// A port's failure.
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
                // A row that can't be read may hold one.
                return Ok(self.unread_holders().await? > 0);
            }
        }
    }

    /// `Ok(None)` if one of them can't be opened; that is a matter for whoever keeps the keys, and holds up no other row.
    fn anew(
        &self,
        holder: SecretHolder,
        secret: &SealedSecret,
        previous: Option<&SealedSecret>,
    ) -> Result<Found<(SealedSecret, Option<SealedSecret>)>, PortError> {
        let sealer = self.environment.sealer;
        let mut outdated = secret.is_outdated(sealer)?;
        if let Some(previous) = previous {
            outdated |= previous.is_outdated(sealer)?;
        }
        if !outdated {
            return Ok(Found::UpToDate);
        }
        let Ok(opened) = secret.open(sealer, holder) else { return Ok(Found::Unopened) };
        let previous = match previous.map(|previous| previous.open(sealer, holder)).transpose() {
            Ok(opened) => opened.map(|opened| SealedSecret::seal(sealer, holder, &opened)).transpose()?,
            Err(_) => return Ok(Found::Unopened),
        };
        Ok(Found::Anew((SealedSecret::seal(sealer, holder, &opened)?, previous)))
    }

    fn subscription_anew(
        &self,
        row: &SubscriptionSecrets,
    ) -> Result<Found<(SealedSecret, Option<SealedSecret>)>, PortError> {
        let holder = SecretHolder::Subscription(row.account_id, row.id);
        self.anew(holder, &row.secret, row.previous_secret.as_ref())
    }

    fn endpoint_anew(&self, row: &Provisioning) -> Result<Found<ProvisioningState>, PortError> {
        let holder = SecretHolder::Endpoint(row.account_id);
        let mut state = row.state.clone();
        let mut found = false;
        for secret in state.stored_secrets_mut() {
            match self.anew(holder, secret, None)? {
                Found::UpToDate => {}
                Found::Unopened => return Ok(Found::Unopened),
                Found::Anew((anew, _)) => {
                    *secret = anew;
                    found = true;
                }
            }
        }
        Ok(if found { Found::Anew(state) } else { Found::UpToDate })
    }

    /// Answers whether there was something to do, once its turn came. The row is the first one after `after`, unless it has
    /// gone meanwhile.
    async fn reseal_subscription(&self, after: Option<SubscriptionId>, id: SubscriptionId) -> Result<bool, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            let page = self.storage.subscription_secrets(after, Limit::ONE).await?;
            match page.rows.first().filter(|row| row.id == id) {
                Some(row) => match self.subscription_anew(row)? {
                    Found::Anew((secret, previous)) => {
                        decide::reseal_subscription(row, secret, previous, &mut context).map(|()| true)
                    }
                    Found::UpToDate | Found::Unopened => Decision::Unchanged(false),
                },
                None => Decision::Unchanged(false),
            }
        });
        Ok(answer.value)
    }

    async fn reseal_endpoint(&self, account_id: AccountId) -> Result<bool, Failure> {
        let (answer, _) = rounds!(self, None, |context| {
            match self.account_snapshot(account_id, None).await?.provisioning {
                Some(row) => match self.endpoint_anew(&row)? {
                    Found::Anew(state) => decide::reseal_endpoint(&row, state, &mut context).map(|()| true),
                    Found::UpToDate | Found::Unopened => Decision::Unchanged(false),
                },
                None => Decision::Unchanged(false),
            }
        });
        Ok(answer.value)
    }
}
