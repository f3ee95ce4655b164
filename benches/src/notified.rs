//! Notifications as Plugipay posts them, and the hand-written side's processing of one.
//!
//! Like [`crate::hand`], it is written for this bench's data: each order has one session, paid with the amount asked
//! for.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serront_core::primitives::digest::{hex, unhex};
use sha2::Sha256;

use crate::hand::{Confirmation, Ids, Seen};
use crate::stage::{Request, Trouble, id_text};

/// The texts in which one order's notification differs from another's.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) event: String,
    pub(crate) merchant: String,
    pub(crate) session: String,
    pub(crate) checkout: String,
    pub(crate) order: String,
}

impl Named {
    fn of(request: &Request) -> Self {
        let number = |text: &str| text.chars().skip_while(|letter| *letter != '_').skip(1).collect::<String>();
        let (account, order) = (number(&request.account_text), number(&request.order_text));
        Self {
            event: format!("evt_{order}"),
            merchant: format!("mer_{account}"),
            session: format!("cs_{order}"),
            checkout: format!("chk_{order}"),
            order: request.order_text.clone(),
        }
    }

    const fn texts(&self) -> [&String; 5] {
        let Self { event, merchant, session, checkout, order } = self;
        [event, merchant, session, checkout, order]
    }
}

/// Plugipay's notification of the template's order.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) named: Named,
    pub(crate) secret: String,
    pub(crate) body: String,
}

/// The secret of the merchant whose account has this number, different for each.
pub(crate) fn secret(account: i64) -> String {
    id_text("whsec_", account)
}

/// One order's notification, signed when it was made.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub(crate) signature: String,
    pub(crate) body: String,
}

fn mac(secret: &str, at: i64, body: &str) -> Result<Hmac<Sha256>, Trouble> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    Ok(mac)
}

fn unix_seconds() -> Result<i64, Trouble> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

impl Notification {
    /// The notification with this order's texts, signed with its merchant's secret.
    pub(crate) fn of(posted: &Posted, request: &Request) -> Result<Self, Trouble> {
        let named = Named::of(request);
        let mut body = posted.body.clone();
        for (from, to) in posted.named.texts().into_iter().zip(named.texts()) {
            if !body.contains(from) {
                return Err("a notification that does not name what it is about".into());
            }
            body = body.replace(from, to);
        }
        let account: i64 = request.account_text.trim_start_matches("acc_01k").parse()?;
        let at = unix_seconds()?;
        let signature = mac(&secret(account), at, &body)?.finalize().into_bytes();
        Ok(Self { signature: format!("t={at},v1={}", hex(&signature)), body })
    }
}

/// The parts of a notification's body that are read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) r#type: String,
    /// The merchant.
    pub(crate) account_id: String,
    pub(crate) data: Data,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Data {
    pub(crate) object: Object,
}

/// A checkout session.
#[derive(Debug, Deserialize)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// The rows that are read in one query before a notification is verified and settles a session.
#[derive(Debug, Clone)]
pub(crate) struct Paid {
    pub(crate) seen: Seen,
    pub(crate) account: String,
    /// The merchant's endpoint, as JSON.
    pub(crate) endpoint: String,
    /// The stored status of the event, if it was delivered before.
    pub(crate) event: Option<String>,
    pub(crate) checkout: String,
    pub(crate) checkout_status: String,
    pub(crate) amount: i64,
    pub(crate) fee_rate: String,
}

/// The columns of [`Paid`] after those of [`Seen`], in its order; `$event` is the argument with the event's id.
macro_rules! paid_columns {
    ($event:literal) => {
        concat!(
            "v.account_id, v.state, (SELECT i.status FROM inbox i WHERE i.event_id = ",
            $event,
            " AND i.account_id = v.account_id), h.checkout_id, h.status, h.amount, h.fee_rate"
        )
    };
}
/// The tables of [`Paid`], starting at the merchant; `$session` is the argument with the session's id.
macro_rules! paid_tables {
    ($session:literal) => {
        concat!(
            "directory d JOIN provisioning v ON v.account_id = d.account_id JOIN sessions n ON n.session_id = ",
            $session,
            " AND n.account_id = v.account_id \
             JOIN checkouts h ON h.checkout_id = n.checkout_id AND h.account_id = n.account_id \
             JOIN orders o ON o.order_id = h.order_id AND o.account_id = h.account_id \
             JOIN payments p ON p.order_id = o.order_id AND p.account_id = o.account_id \
             JOIN services s ON s.account_id = o.account_id AND s.service_id = o.service_id \
             JOIN accounts a ON a.account_id = o.account_id LEFT JOIN storefronts f ON f.account_id = o.account_id"
        )
    };
}
pub(crate) use paid_columns;
pub(crate) use paid_tables;

/// Largest difference of a notification's time, in seconds.
const TOLERANCE: i64 = 300;

/// Checks that this was signed with the endpoint's secret, recently.
pub(crate) fn verify(notification: &Notification, endpoint: &str) -> Result<(), Trouble> {
    #[derive(Deserialize)]
    struct State {
        endpoint: Endpoint,
    }
    #[derive(Deserialize)]
    struct Endpoint {
        secret: String,
    }
    let State { endpoint } = serde_json::from_str(endpoint)?;
    let parts = notification.signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1="));
    let (at, signature) = parts.ok_or("a malformed signature")?;
    let at: i64 = at.parse()?;
    if (unix_seconds()? - at).abs() > TOLERANCE {
        return Err("a signature of another time".into());
    }
    let signature = unhex::<32>(signature).ok_or("a malformed signature")?;
    Ok(mac(&endpoint.secret, at, &notification.body)?.verify_slice(&signature)?)
}

/// An amount times a rate such as `0.003`, rounded half up to the rupiah.
fn share(amount: i64, rate: &str) -> Result<i64, Trouble> {
    let (whole, digits) = rate.split_once('.').unwrap_or((rate, ""));
    let by = 10_i64.pow(u32::try_from(digits.len())?);
    let rate: i64 = format!("{whole}{digits}").parse()?;
    Ok((amount * rate + by / 2) / by)
}

#[derive(Serialize)]
struct Plugipay<'a> {
    kind: &'static str,
    event_id: &'a str,
}

#[derive(Serialize)]
struct Settled<'a> {
    kind: &'static str,
    session_id: &'a str,
    amount: i64,
    fee: i64,
    exception: Option<&'a str>,
}

/// The rows that one settlement writes, except the new states.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(crate) confirmation: Confirmation,
    /// The second audit record, of the payment's arrival.
    pub(crate) audit: String,
    pub(crate) act: String,
    pub(crate) transaction: String,
    pub(crate) entries: [String; 4],
    pub(crate) description: String,
    pub(crate) amount: i64,
    pub(crate) fee: i64,
}

impl Settlement {
    /// The writes of `decide::notify`, hand-written.
    pub(crate) fn of(paid: &Paid, told: &Told) -> Result<Self, Trouble> {
        let Object { id: session, amount, currency } = &told.data.object;
        let as_asked = *amount == paid.amount && *amount == paid.seen.shown.amount_due && currency == "IDR";
        if told.r#type != "plugipay.checkout_session.completed.v1" || paid.checkout_status != "open" || !as_asked {
            return Err("written for open sessions that are paid as asked for".into());
        }
        let mut ids = Ids::draw()?;
        let actor = serde_json::to_string(&Plugipay { kind: "plugipay", event_id: &told.id })?;
        let confirmation = Confirmation::made(&paid.seen, &paid.account, actor, &mut ids)?;
        let fee = share(*amount, &paid.fee_rate)?;
        let act = Settled { kind: "settled", session_id: session, amount: *amount, fee, exception: None };
        Ok(Self {
            confirmation,
            audit: ids.next("aud_"),
            act: serde_json::to_string(&act)?,
            transaction: ids.next("tx_"),
            entries: [ids.next("le_"), ids.next("le_"), ids.next("le_"), ids.next("le_")],
            description: format!("Order {}", paid.seen.shown.number),
            amount: *amount,
            fee,
        })
    }
}

#[cfg(test)]
mod tests {
    use serront_core::funds::fee::FeeRate;
    use serront_core::primitives::money::Rupiah;

    use super::*;
    use crate::stage::{self, Depth, Size};

    #[test]
    fn a_notification_is_signed_for_its_own_merchant_and_no_other() {
        let named = Named {
            event: "evt_sandbox_1".into(),
            merchant: "acct_sandbox_1".into(),
            session: "cs_sandbox_1".into(),
            checkout: "chk_sandbox_1".into(),
            order: "ord_sandbox_1".into(),
        };
        let body = named.texts().map(String::as_str).join(" ");
        let posted = Posted { named, secret: "whsec".into(), body };
        let size = Size::online(100, false);
        let request = stage::request(size, 100, 7, Depth::First, false).unwrap();
        let notification = Notification::of(&posted, &request).unwrap();
        assert!(!notification.body.contains("sandbox") && notification.body.contains(&request.order_text));
        let account: i64 = request.account_text.trim_start_matches("acc_01k").parse().unwrap();
        let endpoint = |account| format!(r#"{{"endpoint":{{"id":"we_1","secret":"{}"}}}}"#, secret(account));
        assert!(verify(&notification, &endpoint(account)).is_ok());
        assert!(verify(&notification, &endpoint(account + 1)).is_err());
        let other = Notification { body: format!("{} ", notification.body), ..notification };
        assert!(verify(&other, &endpoint(account)).is_err());
    }

    #[test]
    fn the_fee_by_hand_is_the_librarys() {
        for amount in [1, 166, 167, 499, 500, 750_000] {
            let fee = FeeRate::DEFAULT.of(Rupiah::new(amount).unwrap()).get();
            assert_eq!(share(amount, &FeeRate::DEFAULT.to_string()).unwrap(), fee, "{amount}");
        }
    }
}
