//! A merchant's notification endpoint at Plugipay: what is registered, with which secret, and a registration under way.

use serde::{Deserialize, Serialize};

use crate::accounts::sealed::SealedSecret;
use crate::primitives::ids::{AccountId, ChangeSetId};
use crate::primitives::provider::EndpointId;
use crate::primitives::time::Timestamp;
use crate::primitives::version::Version;

/// What is known of an account's endpoint. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioning {
    /// Whose.
    pub account_id: AccountId,
    /// How often it was written.
    pub version: Version,
    /// What may change.
    pub state: ProvisioningState,
}

/// The part that may change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisioningState {
    /// The registered endpoint.
    pub endpoint: Option<Endpoint>,
    /// The one before, while its secret is still accepted.
    pub previous: Option<Previous>,
    /// A registration under way.
    pub attempt: Option<EndpointAttempt>,
}

/// A registered endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its id at Plugipay.
    pub id: EndpointId,
    /// What its notifications are signed with.
    pub secret: SealedSecret,
}

/// An endpoint that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// What its notifications are signed with.
    pub secret: SealedSecret,
    /// Until when that is accepted.
    pub until: Timestamp,
}

/// A registration whose answer is waited for, or was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointAttempt {
    /// The change set that began it: the provider's key is derived from it.
    pub id: ChangeSetId,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// Whoever made the call gave up on its answer.
    pub lost: bool,
}

impl ProvisioningState {
    /// The secrets that are accepted at this time.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &SealedSecret> {
        let previous = self.previous.as_ref().filter(move |previous| previous.until > now);
        self.endpoint.iter().map(|endpoint| &endpoint.secret).chain(previous.map(|previous| &previous.secret))
    }
    /// The secrets that are stored, accepted or not.
    pub fn stored_secrets(&self) -> impl Iterator<Item = &SealedSecret> {
        let previous = self.previous.iter().map(|previous| &previous.secret);
        self.endpoint.iter().map(|endpoint| &endpoint.secret).chain(previous)
    }

    /// The same, to be put in place of.
    pub fn stored_secrets_mut(&mut self) -> impl Iterator<Item = &mut SealedSecret> {
        let previous = self.previous.iter_mut().map(|previous| &mut previous.secret);
        self.endpoint.iter_mut().map(|endpoint| &mut endpoint.secret).chain(previous)
    }
}
