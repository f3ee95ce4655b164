//! Outgoing webhook requests to the sellers' systems.

use async_trait::async_trait;

use crate::primitives::ids::{DeliveryId, EventId};
use crate::webhooks::event::EventType;

/// The reason why the library must not post to an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetRefused(pub &'static str);

/// Why a target was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The library must not post to it.
    #[error(transparent)]
    Refused(#[from] TargetRefused),
    /// Too many checks are running, so this target was not checked. Try again shortly.
    #[error("too many targets are being checked")]
    Busy,
}

/// One request to a seller's system, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// The address.
    pub url: String,
    /// `Serront-Signature`.
    pub signature: String,
    /// `Serront-Event-Id`.
    pub event_id: EventId,
    /// `Serront-Event-Type`.
    pub event_type: EventType,
    /// `Serront-Delivery-Id`.
    pub delivery_id: DeliveryId,
    /// `Serront-Delivery-Attempt`.
    pub attempt: u32,
    /// The exact body.
    pub body: String,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Post({}, attempt {})", self.delivery_id, self.attempt)
    }
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// The receiver answered with this status. Only 200–299 is success; a redirect is a failure and is not followed.
    Answered(u16),
    /// There was no answer, for this reason. The text contains no secret.
    Failed(String),
}

/// Posts events to sellers' systems.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Checks whether the library may post to this address: its scheme, and every IP address that its name resolves to.
    ///
    /// - Must refuse a name that does not resolve.
    /// - Must not use resources that posts wait for, so that registering many addresses delays no delivery.
    ///
    /// # Errors
    /// [`TargetError::Refused`] with a reason that may be shown to the seller; [`TargetError::Busy`].
    async fn check_target(&self, url: &str) -> Result<(), TargetError>;

    /// Posts once.
    ///
    /// - Must check the target again, for the IP address that it connects to.
    /// - Must send the body's bytes unchanged, with the wire contract's headers.
    /// - Must not follow a redirect, must return within 10 s, and must read only the head of the answer.
    async fn post(&self, post: &Post) -> Posted;
}
