//! Provisioning: an account's workspace and notification endpoint at Plugipay.

use std::time::Duration;

use super::commands::rounds;
use super::online::{OnlinePayments, readable};
use super::{Answer, Failure};
use crate::accounts::sealed::{SealedSecret, SecretHolder};
use crate::changes::idempotency::IdempotentRequest;
use crate::decide::{self, ModuleSwitches, Registration, Switched, Wanted};
use crate::online::plugipay::{self, NOTIFIED_PATH};
use crate::ports::{PortErrorKind, WorkStorage};
use crate::primitives::ids::{AccountId, ChangeSetId};
use crate::primitives::provider::{EndpointId, MerchantId};
use crate::primitives::rejection::Rejection;
use crate::views::ModulesView;

impl<S: WorkStorage + ?Sized> OnlinePayments<'_, S> {
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
        let commands = self.commands();
        // The second round has a provisioned merchant.
        for _ in 0..2 {
            let (answer, _) = rounds!(&commands, request, |context| {
                let snapshot = commands.account_snapshot(id, request).await?;
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
        let commands = self.commands();
        let snapshot = commands.account_snapshot(id, None).await?;
        let merchant = match decide::merchant(&snapshot.account) {
            Some(merchant) => merchant,
            None => {
                let brand = match &snapshot.storefront {
                    Some(storefront) => &storefront.profile.display_name,
                    None => &snapshot.account.name,
                };
                let call = plugipay::create_workspace(id, self.environment.policy.online.fee, brand);
                let answer = self.call(&call).await?;
                let workspace = readable(plugipay::Workspace::read(&answer.data))?;
                rounds!(&commands, None, |context| {
                    let snapshot = commands.account_snapshot(id, None).await?;
                    decide::record_workspace(&snapshot, &workspace.0, &mut context)?
                });
                workspace.0
            }
        };
        self.register(id, &merchant, &Wanted::Any).await
    }

    /// Registers a new endpoint in place of the present one, whose secret stays accepted for
    /// [`Policy::online`](crate::policy::Policy::online), and removes the old one.
    ///
    /// # Errors
    /// [`Rejection::NotConfigured`] before the module was first on; [`Failure::Provider`]; [`Failure::Busy`]; a port's
    /// failure.
    pub async fn rotate_endpoint(&self, id: AccountId) -> Result<(), Failure> {
        let snapshot = self.commands().account_snapshot(id, None).await?;
        let (Some(merchant), Some(provisioning)) = (decide::merchant(&snapshot.account), snapshot.provisioning) else {
            return Err(Rejection::NotConfigured("the payment module was never switched on").into());
        };
        let replaced = provisioning.state.endpoint.map(|endpoint| endpoint.id);
        self.register(id, &merchant, &Wanted::Another(replaced)).await
    }

    async fn register(&self, id: AccountId, merchant: &MerchantId, wanted: &Wanted) -> Result<(), Failure> {
        let commands = self.commands();
        let deadline = self.environment.clock.now().plus(REGISTRATION_WAIT_MAX);
        loop {
            let (answer, _) = rounds!(&commands, None, |context| {
                let snapshot = commands.account_snapshot(id, None).await?;
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
        let commands = self.commands();
        rounds!(&commands, None, |context| {
            let snapshot = commands.account_snapshot(id, None).await?;
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
        let commands = self.commands();
        let url = format!("{}{NOTIFIED_PATH}", self.provider.public_url);
        if orphans {
            self.delete_endpoints(merchant, &url, keep).await?;
        }
        let answer = self.call(&plugipay::create_endpoint(merchant, &url, attempt)).await?;
        let (endpoint, secret) = readable(plugipay::endpoint(&answer.data))?;
        let secret = SealedSecret::seal(self.environment.sealer, SecretHolder::Endpoint(id), secret.reveal())?;
        let (recorded, _) = rounds!(&commands, None, |context| {
            let snapshot = commands.account_snapshot(id, None).await?;
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
}

/// How long somebody else's registration is waited for between two looks.
const REGISTRATION_PAUSE: Duration = Duration::from_millis(200);

/// How long a request waits for somebody else's registration in all; then the caller is told to come again.
const REGISTRATION_WAIT_MAX: Duration = Duration::from_secs(5);

/// Most pages of a merchant's list of endpoints that are read.
const ENDPOINT_PAGES_MAX: u32 = 20;

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
