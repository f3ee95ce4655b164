//! Authentication of callers, and ids in the path.
//!
//! Extractors run in the order of a handler's arguments, so that order is the precedence of refusals: [`Keyed`], [`Enabled`] or
//! [`Operator`] first, then [`Id`].

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use serde::de::DeserializeOwned;
use serront_core::accounts::actor::Actor;
use serront_core::accounts::key::{AccessToken, Caller, OperatorKey};
use serront_core::changes::idempotency::IdempotentRequest;
use serront_core::ports::{Receipts, Secrets, Sink, WorkStorage};
use serront_core::primitives::ids::{
    AccountId, DeliveryId, ExceptionId, KeyId, OrderId, PayoutId, ServiceId, SubscriptionId,
};
use serront_core::primitives::rejection::Invalid;
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Commands, Failure, OnlinePayments, ReceiptUploads, WebhookRegistration};

use crate::body::{Intake, KEYED_JSON_BYTES_MAX};
use crate::log::Note;
use crate::outgoing::{Held, Reader};
use crate::problem::Problem;
use crate::state::Host;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

pub(crate) trait Who {
    /// The scope of the holder's idempotency keys, and the account in the log.
    fn account(&self) -> AccountId;
    fn actor(&self) -> Actor;
}

impl Who for Caller {
    fn account(&self) -> AccountId {
        self.account_id
    }

    fn actor(&self) -> Actor {
        Actor::Key { id: self.key_id }
    }
}

pub(crate) struct OperatorId(KeyId);

impl OperatorId {
    pub(crate) const fn new(id: KeyId) -> Self {
        Self(id)
    }
}

impl Who for OperatorId {
    fn account(&self) -> AccountId {
        AccountId::OPERATORS
    }

    fn actor(&self) -> Actor {
        Actor::Operator { id: self.0 }
    }
}

/// A caller with a valid key, and the parts of the request that commands need.
pub(crate) struct Authenticated<W> {
    who: W,
    host: Arc<Host>,
    method: Method,
    path: String,
    headers: HeaderMap,
}

/// A caller with a valid API key. An operator's key does not count, since it belongs to no account.
pub(crate) type Keyed = Authenticated<Caller>;

/// A caller with a valid operator's key. A seller's gets 403 `OPERATOR_ONLY`.
pub(crate) type Operator = Authenticated<OperatorId>;

impl<W: Who> Authenticated<W> {
    pub(crate) fn of(who: W, parts: &Parts, host: &Arc<Host>) -> Self {
        if let Some(note) = parts.extensions.get::<Note>() {
            note.caller(who.account());
        }
        Self {
            who,
            host: Arc::clone(host),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
        }
    }
}

impl FromRequestParts<Arc<Host>> for Keyed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let bearer = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let caller = host.commands().authenticate(bearer).await?.ok_or_else(Problem::unauthorized)?;
        Ok(Self::of(caller, parts, host))
    }
}

impl FromRequestParts<Arc<Host>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let bearer = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        if let Some(id) = host.commands().authenticate_operator(bearer).await? {
            return Ok(Self::of(OperatorId(id), parts, host));
        }
        Keyed::from_request_parts(parts, host).await?;
        Err(Problem::operator_only())
    }
}

/// The idempotency key of these headers, if there is one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Invalid::new(IDEMPOTENCY_KEY, "must be given once").into());
    }
    // A value outside of visible ASCII becomes the empty key, which the check of the key's characters refuses.
    Ok(Some(value.to_str().unwrap_or_default()))
}

/// The bearer key of exactly one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

impl<W: Who> Authenticated<W> {
    pub(crate) fn receipt_uploads(&self) -> ReceiptUploads<'_, dyn WorkStorage, dyn Receipts> {
        self.host.receipt_uploads()
    }

    pub(crate) fn webhook_registration(&self) -> WebhookRegistration<'_, dyn WorkStorage, dyn Sink> {
        self.host.webhook_registration()
    }

    pub(crate) fn commands(&self) -> Commands<'_, dyn WorkStorage> {
        self.host.commands()
    }

    pub(crate) fn online(&self) -> OnlinePayments<'_, dyn WorkStorage> {
        self.host.online()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.host.ports.clock.now()
    }

    /// For reads without a command. Shared, for answers that continue after their handler.
    pub(crate) fn storage(&self) -> &Arc<dyn WorkStorage> {
        &self.host.ports.storage
    }

    pub(crate) fn secrets(&self) -> &dyn Secrets {
        self.host.ports.secrets.as_ref()
    }

    /// Reserves memory for an answer.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Held, Problem> {
        self.host.outgoing.take(Reader::Account(self.account()), bytes).await
    }

    pub(crate) fn account(&self) -> AccountId {
        self.who.account()
    }

    pub(crate) fn actor(&self) -> Actor {
        self.who.actor()
    }

    /// The request's idempotency key, if it has one.
    fn idempotency(&self, body: &[u8]) -> Result<Option<IdempotentRequest>, Problem> {
        let Some(key) = idempotency_key(&self.headers)? else { return Ok(None) };
        Ok(Some(IdempotentRequest::new(self.account(), self.method.as_str(), &self.path, key, body)?))
    }

    /// The request's JSON object, with its idempotency key.
    pub(crate) async fn input<T: DeserializeOwned>(
        &self,
        intake: &Intake,
    ) -> Result<(T, Option<IdempotentRequest>), Problem> {
        let (input, bytes) = intake.json(KEYED_JSON_BYTES_MAX).await?;
        Ok((input, self.idempotency(&bytes)?))
    }

    /// The same for input whose fields are all optional: the body may be empty.
    pub(crate) async fn input_if_any<T: DeserializeOwned + Default>(
        &self,
        intake: &Intake,
    ) -> Result<(T, Option<IdempotentRequest>), Problem> {
        let (input, bytes) = intake.json_if_any(KEYED_JSON_BYTES_MAX).await?;
        Ok((input, self.idempotency(&bytes)?))
    }

    /// The idempotency key of a request without input. The body is read all the same, since the same key with another body is
    /// another request.
    pub(crate) async fn no_input(&self, intake: &Intake) -> Result<Option<IdempotentRequest>, Problem> {
        self.idempotency(&intake.read(KEYED_JSON_BYTES_MAX).await?)
    }
}

/// A caller with a valid API key whose payment module is on. Routes for money require it.
pub(crate) struct Enabled(pub(crate) Keyed);

impl FromRequestParts<Arc<Host>> for Enabled {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let caller = Keyed::from_request_parts(parts, host).await?;
        caller.commands().payment_module(caller.account()).await?;
        Ok(Self(caller))
    }
}

/// A caller that may see a payout: its seller with the module on, or any operator.
pub(crate) enum PayoutReader {
    Seller(Keyed),
    Operator(Operator),
}

impl FromRequestParts<Arc<Host>> for PayoutReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        if bearer(&parts.headers).is_some_and(|bearer| OperatorKey::parse(bearer).is_some()) {
            return Operator::from_request_parts(parts, host).await.map(Self::Operator);
        }
        let Enabled(caller) = Enabled::from_request_parts(parts, host).await?;
        Ok(Self::Seller(caller))
    }
}

/// Returns the input. If it is refused, first checks that its target exists, since 404 precedes 400.
pub(crate) async fn existing<T, U>(
    input: Result<T, Problem>,
    look: impl Future<Output = Result<U, Failure>>,
) -> Result<T, Problem> {
    if input.is_err() {
        look.await?;
    }
    input
}

/// A public caller, who only needs to know the address.
pub(crate) struct Open {
    host: Arc<Host>,
}

impl FromRequestParts<Arc<Host>> for Open {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        Ok(Self { host: Arc::clone(host) })
    }
}

impl Open {
    pub(crate) fn receipt_uploads(&self) -> ReceiptUploads<'_, dyn WorkStorage, dyn Receipts> {
        self.host.receipt_uploads()
    }

    pub(crate) fn commands(&self) -> Commands<'_, dyn WorkStorage> {
        self.host.commands()
    }

    pub(crate) fn online(&self) -> OnlinePayments<'_, dyn WorkStorage> {
        self.host.online()
    }

    /// The idempotency key of a request to a storefront. Its scope is the storefront, since a buyer has no account.
    pub(crate) fn at_shop(
        slug: &Slug,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<IdempotentRequest>, Problem> {
        let Some(key) = idempotency_key(headers)? else { return Ok(None) };
        Ok(Some(IdempotentRequest::of_shop(slug, method.as_str(), path, key, body)?))
    }
}

/// An id that can stand in a path.
pub(crate) trait Named: Sized {
    /// What was not found if the id is malformed.
    const WHAT: &'static str;
    fn parse(raw: &str) -> Option<Self>;
}

macro_rules! named {
    ($($id:ty: $what:literal),+ $(,)?) => {$(
        impl Named for $id {
            const WHAT: &'static str = $what;
            fn parse(raw: &str) -> Option<Self> {
                Self::from_str(raw).ok()
            }
        }
    )+};
}

named! {
    DeliveryId: "delivery",
    ExceptionId: "exception",
    KeyId: "API key",
    OrderId: "order",
    PayoutId: "payout",
    ServiceId: "service",
    SubscriptionId: "webhook subscription",
}

impl Named for AccessToken {
    const WHAT: &'static str = "order";
    fn parse(raw: &str) -> Option<Self> {
        Self::parse(raw)
    }
}

/// A storefront's slug, unchecked: the service refuses an invalid one.
pub(crate) struct ShopSlug(pub(crate) String);

impl Named for ShopSlug {
    const WHAT: &'static str = "storefront";
    fn parse(raw: &str) -> Option<Self> {
        Some(Self(raw.to_owned()))
    }
}

/// The last of the route's parameters; a malformed one is a 404.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: Named> FromRequestParts<Arc<Host>> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Problem> {
        let missing = || Problem::not_found(T::WHAT);
        let params = RawPathParams::from_request_parts(parts, host).await.map_err(|_| missing())?;
        // The last one: an app that nests this router may add parameters before it.
        params.iter().last().and_then(|(_, raw)| T::parse(raw)).map(Self).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_scheme_is_read_leniently_and_the_header_strictly() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        for (values, key) in [
            (&["Bearer k"][..], Some("k")),
            (&["bearer  k "], Some("k")),
            (&["BEARER k"], Some("k")),
            (&["Bearer"], None),
            (&["Basic k"], None),
            (&["k"], None),
            (&["Bearer k", "Bearer k"], None),
            (&[], None),
        ] {
            assert_eq!(bearer(&headers(values)), key, "{values:?}");
        }
    }
}
