//! Parses Plugipay's answers and notifications.

use serde::{Deserialize, Serialize};

use crate::funds::ledger::{Direction, SourceType};
use crate::online::checkout::{Session, SessionStatus};
use crate::online::plugipay::{EVENTS, EndpointSecret};
use crate::primitives::provider::{EndpointId, MerchantId, ProviderEventId, SessionId};
use crate::primitives::time::Timestamp;

/// An answer or notification without a usable field or object, which the value names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Plugipay answered without a usable {0}")]
pub struct Unreadable(pub &'static str);

/// A session's state at Plugipay.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Observation {
    pub session_id: SessionId,
    pub status: SessionStatus,
    /// In whole units of the currency.
    pub amount: i64,
    /// The currency's ISO 4217 code.
    pub currency: String,
}

impl Observation {
    /// Parses a checkout session.
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
    // Optional: a notification's type already says the status. Elsewhere, a missing status counts as pending.
    #[serde(default)]
    status: Option<String>,
    amount: i64,
    currency: String,
}

/// The fields that only the call that mints a session needs.
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
            status: SessionStatus::from_name(self.status.as_deref().unwrap_or_default()),
            amount: self.amount,
            currency: self.currency.clone(),
        })
    }
}

/// The answer to the call that mints a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub struct Minted {
    pub session: Session,
    pub observation: Observation,
}

/// Longest accepted URL of a hosted page, in bytes.
const URL_BYTES_MAX: usize = 2_048;

impl Minted {
    /// Parses the answer. Without a readable expiry, the session expires at `expires_at`, the requested time.
    ///
    /// # Errors
    /// [`Unreadable`], also for a URL other than `https` and `http`, because buyers are redirected to it.
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
        let stated = object.expires_at.and_then(|time| serde_json::from_value(time.into()).ok());
        let expires_at = stated.unwrap_or(expires_at);
        Ok(Self { session: Session { id: observation.session_id.clone(), hosted_url, expires_at }, observation })
    }
}

/// A merchant's workspace, by its account id at Plugipay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace(pub MerchantId);

impl Workspace {
    /// Parses the answer.
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

/// Parses a new endpoint with its secret.
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

/// An endpoint in a list, which omits the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct EndpointListed {
    pub id: EndpointId,
    /// Receives the notifications.
    pub url: String,
}

/// Parses a list of endpoints.
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

/// An entry of a merchant's ledger at Plugipay, reduced to the fields that are compared with ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderEntry {
    /// Plugipay's code, which the contract does not define.
    pub code: String,
    /// A credit adds to the merchant's balance.
    pub direction: Direction,
    /// In whole units of the currency.
    pub amount: i64,
    /// The currency's ISO 4217 code.
    pub currency: String,
    /// The session that caused the entry; `None` for other sources.
    pub session_id: Option<String>,
}

/// Parses a page of a merchant's ledger.
///
/// # Errors
/// [`Unreadable`], even for a single malformed entry, because it would be missing from the sums.
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

/// The session that a ledger entry's source names; `None` for other sources.
fn session_of(source_type: Option<&str>, source_id: Option<String>) -> Option<String> {
    let of_session = source_type == Some(SourceType::CheckoutSession.as_str());
    source_id.filter(|id| of_session && SessionId::parse(id).is_some())
}

/// The merchant that an unverified notification names, for choosing the secrets to verify it with.
#[must_use]
pub fn named_merchant(body: &[u8]) -> Option<MerchantId> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        account_id: String,
    }
    // Checked for UTF-8 first: given bytes, the parser would not check the fields that it ignores.
    let named: Named = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    MerchantId::parse(&named.account_id)
}

/// A notification with a verified signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the other fields are what their names say")]
pub struct Notification {
    pub event_id: ProviderEventId,
    /// 1–200 characters; may be a type unknown to this library.
    pub event_type: String,
    /// The session's state; `None` if the type is unknown.
    pub observed: Option<Result<Observation, Unreadable>>,
}

/// Longest accepted name of a type, in characters.
const TYPE_CHARACTERS_MAX: usize = 200;

impl Notification {
    /// Parses a notification.
    ///
    /// # Errors
    /// [`Unreadable`] without a usable id or type. A malformed session is not an error here, but in `observed`.
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
        let stated = match envelope.r#type.as_str() {
            name if name == completed => Some(SessionStatus::Completed),
            name if name == expired => Some(SessionStatus::Expired),
            _ => None,
        };
        let observed = stated.map(|stated| {
            let whole: Whole = serde_json::from_str(body).map_err(|_| Unreadable("session"))?;
            let observation = whole.data.object.observation()?;
            // The type decides, except that an expired session with status `completed` was paid.
            let status = if observation.status == SessionStatus::Completed { observation.status } else { stated };
            Ok(Observation { status, ..observation })
        });
        Ok(Self { event_id, event_type: envelope.r#type, observed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_that_is_not_utf8_names_no_merchant() {
        assert!(named_merchant(b"{\"accountId\":\"mrc_1\",\"x\":\"\"}").is_some());
        // Found by fuzzing (#8): invalid UTF-8 in an ignored field.
        assert_eq!(named_merchant(b"{\"accountId\":\"mrc_1\",\"x\":\"\xff\"}"), None);
    }

    #[test]
    fn used_fields_are_parsed_strictly_and_others_ignored() {
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
    fn a_notifications_type_decides_the_status() {
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
        // PostgreSQL's text columns reject NUL.
        assert!(Notification::read(r#"{"id":"evt_1","type":"a\u0000"}"#).is_err());
    }
}
