//! The commands about modules, and provisioning: creating an account's workspace and notification endpoint at Plugipay.

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
    /// Switches modules on or off. Switching payment on for the first time creates the merchant's workspace and
    /// registers the endpoint for its notifications. A failure on the way leaves the module off, and the next call
    /// continues from there.
    ///
    /// The idempotency key covers the switches, not the provisioning.
    ///
    /// # Errors
    /// Those of [`decide::switch_modules`]; [`Failure::Provider`].
    pub async fn switch_modules(
        &self,
        id: AccountId,
        switches: ModuleSwitches,
        request: Option<IdempotentRequest>,
    ) -> Result<Answer<ModulesView>, Failure> {
        let commands = self.commands();
        // In the second iteration the merchant is provisioned.
        for _ in 0..2 {
            let answer = rounds!(&commands, request, |context| {
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
                    decide::record_workspace(&snapshot, &workspace.0, &mut context)
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
    /// [`Rejection::NotConfigured`] if the module was never switched on; [`Failure::Provider`].
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
            let answer = rounds!(&commands, None, |context| {
                let snapshot = commands.account_snapshot(id, None).await?;
                decide::begin_registration(&snapshot, wanted, &mut context)
            });
            match answer.value {
                Registration::Done => return Ok(()),
                Registration::Wait if self.environment.clock.now() >= deadline => return Err(Failure::Busy),
                Registration::Wait => self.environment.clock.sleep(REGISTRATION_PAUSE).await,
                Registration::Register { attempt, orphans, keep } => {
                    match self.register_once(id, merchant, attempt, orphans, keep.as_ref()).await {
                        Ok(true) => return Ok(()),
                        // Another attempt has replaced this one: look for its endpoint.
                        Ok(false) => {}
                        Err(failure) => {
                            let lost = orphans || !is_certain(&failure);
                            // If this fails too, another attempt replaces this one after `endpoint_patience`.
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
            decide::give_up_registration(&snapshot, attempt, lost, &mut context)
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
        let recorded = rounds!(&commands, None, |context| {
            let snapshot = commands.account_snapshot(id, None).await?;
            decide::record_endpoint(&snapshot, attempt, &endpoint, &secret, &mut context)
        });
        // Removes the endpoint that is not used. If that fails, its notifications are refused, which does no harm.
        let unused = if recorded.value { keep } else { Some(&endpoint) };
        if let Some(unused) = unused {
            let _ = self.call(&plugipay::delete_endpoint(merchant, unused)).await;
        }
        Ok(recorded.value)
    }

    /// Deletes our endpoints except one. Their secrets were lost with Plugipay's answers.
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
                // It was already deleted.
                Err(Failure::Provider { error }) if error.kind() == PortErrorKind::Permanent => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}

/// The pause between two checks of whether another caller's registration has finished.
const REGISTRATION_PAUSE: Duration = Duration::from_millis(200);

/// How long a request waits for another caller's registration before it fails with `Busy`.
const REGISTRATION_WAIT_MAX: Duration = Duration::from_secs(5);

/// The most pages of a merchant's list of endpoints to read, in case the list never ends.
const ENDPOINT_PAGES_MAX: u32 = 20;

/// Whether a failed call certainly changed nothing.
const fn is_certain(failure: &Failure) -> bool {
    match failure {
        Failure::Rejected(_) => true,
        Failure::Provider { error } => {
            matches!(error.kind(), PortErrorKind::Permanent | PortErrorKind::Transient | PortErrorKind::Busy)
        }
        Failure::Busy | Failure::Conflict | Failure::Port { .. } => false,
    }
}
