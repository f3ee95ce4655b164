//! A merchant's notification endpoint at Plugipay: the registered one, its secrets, and a registration in progress.

use serde::{Deserialize, Serialize};

use crate::accounts::sealed::SealedSecret;
use crate::primitives::ids::{AccountId, ChangeSetId};
use crate::primitives::provider::EndpointId;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// An account's endpoint, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Provisioning {
    pub account_id: AccountId,
    pub version: Version,
    pub state: ProvisioningState,
}

/// The mutable part of [`Provisioning`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisioningState {
    /// `None` until one is registered.
    pub endpoint: Option<Endpoint>,
    /// The replaced endpoint, whose secret is accepted for a limited time.
    pub previous: Option<Previous>,
    /// A registration in progress.
    pub attempt: Option<EndpointAttempt>,
}

/// A registered endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The id at Plugipay.
    pub id: EndpointId,
    /// Signs the endpoint's notifications.
    pub secret: SealedSecret,
}

/// A replaced endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// Signs the replaced endpoint's notifications.
    pub secret: SealedSecret,
    /// The secret is accepted before this time.
    pub until: Timestamp,
}

/// A registration whose outcome is not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointAttempt {
    /// The change set that started it; Plugipay's idempotency key is derived from it.
    pub id: ChangeSetId,
    /// Another registration may take over after a while.
    pub begun_at: Timestamp,
    /// The call ended without a certain outcome, so an endpoint of ours may be left at Plugipay.
    pub lost: bool,
}

impl ProvisioningState {
    /// The secrets accepted at this time.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        let previous = self.previous.as_ref().filter(move |previous| previous.until > now);
        self.endpoint.iter().map(|endpoint| &endpoint.secret).chain(previous.map(|previous| &previous.secret))
    }

    /// All stored secrets, including one that is no longer accepted.
    pub fn stored_secrets(&self) -> impl Iterator<Item = &SealedSecret> {
        let previous = self.previous.iter().map(|previous| &previous.secret);
        self.endpoint.iter().map(|endpoint| &endpoint.secret).chain(previous)
    }

    /// All stored secrets, for replacing them.
    pub fn stored_secrets_mut(&mut self) -> impl Iterator<Item = &mut SealedSecret> {
        let previous = self.previous.iter_mut().map(|previous| &mut previous.secret);
        self.endpoint.iter_mut().map(|endpoint| &mut endpoint.secret).chain(previous)
    }
}
