//! What Plugipay answers and notifies of, as read.

use serde::{Deserialize, Serialize};

use super::calls::EVENTS;
use super::signing::EndpointSecret;
use crate::funds::ledger::{Direction, SourceType};
use crate::online::checkout::{Session, SessionStatus};
use crate::primitives::provider::{EndpointId, MerchantId, ProviderEventId, SessionId};
use crate::primitives::time::Timestamp;

/// An answer or a notification that does not say what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Plugipay answered without a usable {0}")]
pub struct Unreadable(pub &'static str);

/// What Plugipay says about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Which session.
    pub session_id: SessionId,
    /// How it stands.
    pub status: SessionStatus,
    /// How much, in the currency's whole units.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
}

impl Observation {
    /// Reads a checkout session.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(json: &str) -> Result<Self, Unreadable> {
        serde_json::from_str::<SessionObject>(json).map_err(|_| Unreadable("session"))?.observation()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionObject {
    id: String,
    // In a notification the type says it all; elsewhere a session without a status is one of which nothing is known.
    #[serde(default)]
    status: Option<String>,
    amount: i64,
    currency: String,
}

/// What only the call that mints a session needs of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MintedObject {
    hosted_url: Option<String>,
    expires_at: Option<String>,
}

impl SessionObject {
    fn observation(&self) -> Result<Observation, Unreadable> {
        Ok(Observation {
            session_id: SessionId::parse(&self.id).ok_or(Unreadable("session id"))?,
            status: SessionStatus::told(self.status.as_deref().unwrap_or_default()),
            amount: self.amount,
            currency: self.currency.clone(),
        })
    }
}

/// A session as it is answered to the call that mints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// Where the buyer pays.
    pub session: Session,
    /// How it stands.
    pub observation: Observation,
}

/// Longest address of a hosted page that is taken, in bytes.
const URL_BYTES_MAX: usize = 2_048;

impl Minted {
    /// Reads the answer. A session without a readable end is taken to end at `expires_at`, which is what was asked for.
    ///
    /// # Errors
    /// [`Unreadable`]: an address that is not `https` or `http` is none that a buyer may be sent to.
    pub fn read(json: &str, expires_at: Timestamp) -> Result<Self, Unreadable> {
        let object: SessionObject = serde_json::from_str(json).map_err(|_| Unreadable("session"))?;
        let observation = object.observation()?;
        let object: MintedObject = serde_json::from_str(json).map_err(|_| Unreadable("session"))?;
        let hosted_url = object.hosted_url.ok_or(Unreadable("hostedUrl"))?;
        let fits = hosted_url.len() <= URL_BYTES_MAX
            && (hosted_url.starts_with("https://") || hosted_url.starts_with("http://"))
            && hosted_url.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if !fits {
            return Err(Unreadable("hostedUrl"));
        }
        let told = object.expires_at.and_then(|time| serde_json::from_value(time.into()).ok());
        let expires_at = told.unwrap_or(expires_at);
        Ok(Self { session: Session { id: observation.session_id.clone(), hosted_url, expires_at }, observation })
    }
}

/// A merchant's workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace(pub MerchantId);

impl Workspace {
    /// Reads the answer.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Object {
            account_id: String,
        }
        let object: Object = serde_json::from_str(json).map_err(|_| Unreadable("workspace"))?;
        MerchantId::parse(&object.account_id).map(Self).ok_or(Unreadable("accountId"))
    }
}

/// Reads a new endpoint with its secret.
///
/// # Errors
/// [`Unreadable`].
pub fn endpoint(json: &str) -> Result<(EndpointId, EndpointSecret), Unreadable> {
    #[derive(Deserialize)]
    struct Object {
        id: String,
        secret: String,
    }
    let object: Object = serde_json::from_str(json).map_err(|_| Unreadable("endpoint"))?;
    let id = EndpointId::parse(&object.id).ok_or(Unreadable("endpoint id"))?;
    Ok((id, EndpointSecret::parse(&object.secret).ok_or(Unreadable("secret"))?))
}

/// An endpoint as listed: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointListed {
    /// Which endpoint.
    pub id: EndpointId,
    /// Where it posts to.
    pub url: String,
}

/// Reads a list of endpoints.
///
/// # Errors
/// [`Unreadable`].
pub fn endpoints(json: &str) -> Result<Vec<EndpointListed>, Unreadable> {
    #[derive(Deserialize)]
    struct Object {
        id: String,
        url: String,
    }
    let objects: Vec<Object> = serde_json::from_str(json).map_err(|_| Unreadable("list of endpoints"))?;
    objects
        .into_iter()
        .map(|object| {
            let id = EndpointId::parse(&object.id).ok_or(Unreadable("endpoint id"))?;
            Ok(EndpointListed { id, url: object.url })
        })
        .collect()
}

/// An entry of a merchant's ledger at Plugipay, as much of it as is compared with ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderEntry {
    /// Plugipay's code; the contract names none.
    pub code: String,
    /// On which side of the merchant's balance.
    pub direction: Direction,
    /// How much, in the currency's whole units.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// The session that it comes from, if it comes from one.
    pub session_id: Option<String>,
}

/// Reads a page of a merchant's ledger.
///
/// # Errors
/// [`Unreadable`]: an entry that can't be read would be missing from every sum.
pub fn ledger_entries(json: &str) -> Result<Vec<ProviderEntry>, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Object {
        code: String,
        direction: Direction,
        amount: i64,
        currency: String,
        source_type: Option<String>,
        source_id: Option<String>,
    }
    let objects: Vec<Object> = serde_json::from_str(json).map_err(|_| Unreadable("list of entries"))?;
    let entries = objects.into_iter().map(|object| {
        let Object { code, direction, amount, currency, source_type, source_id } = object;
        let session_id = session_of(source_type.as_deref(), source_id);
        ProviderEntry { code, direction, amount, currency, session_id }
    });
    Ok(entries.collect())
}

/// Whose notification it claims to be. Nothing of it is believed yet: this only tells which secret to check against.
#[must_use]
pub fn named_merchant(body: &[u8]) -> Option<MerchantId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        account_id: String,
    }
    // As a text: over bytes the parser would pass over what is no UTF-8 in fields that it ignores.
    let named: Named = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    MerchantId::parse(&named.account_id)
}

/// A notification whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Which event.
    pub event_id: ProviderEventId,
    /// Of which type.
    pub event_type: String,
    /// About which session, if its type is one that we know.
    pub observed: Option<Result<Observation, Unreadable>>,
}

/// Longest name of a type that is kept, in characters.
const TYPE_CHARACTERS_MAX: usize = 200;

impl Notification {
    /// Reads a notification.
    ///
    /// # Errors
    /// [`Unreadable`] without an id or a type. What a type that we know says of its session may be unreadable all the same.
    pub fn read(body: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Envelope {
            id: String,
            r#type: String,
        }
        #[derive(Deserialize)]
        struct Whole {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            object: SessionObject,
        }
        let envelope: Envelope = serde_json::from_str(body).map_err(|_| Unreadable("id or type"))?;
        let event_id = ProviderEventId::parse(&envelope.id).ok_or(Unreadable("event id"))?;
        let fits = (1..=TYPE_CHARACTERS_MAX).contains(&envelope.r#type.chars().count());
        if !fits || envelope.r#type.chars().any(char::is_control) {
            return Err(Unreadable("type"));
        }
        let [completed, expired] = EVENTS;
        let said = match envelope.r#type.as_str() {
            name if name == completed => Some(SessionStatus::Completed),
            name if name == expired => Some(SessionStatus::Expired),
            _ => None,
        };
        let observed = said.map(|said| {
            let whole: Whole = serde_json::from_str(body).map_err(|_| Unreadable("session"))?;
            let observation = whole.data.object.observation()?;
            // The type is what happened. Only news of money is stronger: a session told as expired that was paid.
            let status = if observation.status == SessionStatus::Completed { observation.status } else { said };
            Ok(Observation { status, ..observation })
        });
        Ok(Self { event_id, event_type: envelope.r#type, observed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_that_is_no_text_names_nobody() {
        assert!(named_merchant(b"{\"accountId\":\"mrc_1\",\"x\":\"\"}").is_some());
        // Found by fuzzing (#8): in a field that is passed over.
        assert_eq!(named_merchant(b"{\"accountId\":\"mrc_1\",\"x\":\"\xff\"}"), None);
    }

    #[test]
    fn answers_are_read_strictly_in_what_is_used_and_tolerantly_of_the_rest() {
        let whole = r#"{"id":"cs_1","accountId":"m","amount":5,"currency":"IDR","status":"teleported","new":{"a":[1]},
            "hostedUrl":"https://pay.example/cs_1","expiresAt":"2026-11-22T10:00:00+07:00"}"#;
        let minted = Minted::read(whole, Timestamp::from_millis(1)).unwrap();
        assert_eq!(minted.observation.status, SessionStatus::Pending);
        assert_eq!(minted.session.expires_at.to_string(), "2026-11-22T03:00:00.000Z");
        for bad in [
            "",
            "null",
            "[]",
            r#"{"id":"cs_1"}"#,
            &whole.replace("\"amount\":5", "\"amount\":\"5\""),
            &whole.replace("\"amount\":5", "\"amount\":5.5"),
            &whole.replace("cs_1\",\"acc", "\",\"acc"),
            &whole.replace("https://", "javascript:"),
        ] {
            assert!(Minted::read(bad, Timestamp::from_millis(1)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_notifications_type_is_what_happened() {
        let read = |r#type: &str, status: &str| {
            let body = format!(
                r#"{{"id":"evt_1","type":"{type}","accountId":"m","data":{{"object":{{"id":"cs_1","status":"{status}","amount":5,"currency":"IDR"}}}}}}"#
            );
            Notification::read(&body).unwrap().observed.map(|observed| observed.unwrap().status)
        };
        let [completed, expired] = EVENTS;
        assert_eq!(read(completed, "open"), Some(SessionStatus::Completed));
        assert_eq!(read(expired, "expired"), Some(SessionStatus::Expired));
        assert_eq!(read(expired, "completed"), Some(SessionStatus::Completed));
        assert_eq!(read("plugipay.refund.created.v1", "completed"), None);
        let hollow = format!(r#"{{"id":"evt_1","type":"{completed}","data":{{}}}}"#);
        assert_eq!(Notification::read(&hollow).unwrap().observed, Some(Err(Unreadable("session"))));
        assert!(Notification::read("{}").is_err());
        // No text column takes a NUL.
        assert!(Notification::read(r#"{"id":"evt_1","type":"a\u0000"}"#).is_err());
    }
}

/// The session of an entry's source, if it has one.
pub(crate) fn session_of(source_type: Option<&str>, source_id: Option<String>) -> Option<String> {
    let of_session = source_type == Some(SourceType::CheckoutSession.as_str());
    source_id.filter(|id| of_session && SessionId::parse(id).is_some())
}
