//! Typed identifiers: a prefix and a lowercase ULID, parsed strictly (wire contract, section 1).
//!
//! Nothing here is random. A decision receives one [`IdSequence`], seeded by the host's
//! [`Ids`](crate::ports::Ids) port, and takes every id that it needs from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A text that is not a well-formed id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed id")]
pub struct MalformedId;

const ULID_LENGTH: usize = 26;

fn parse_ulid(prefix: &str, text: &str) -> Result<Ulid, MalformedId> {
    let body = text.strip_prefix(prefix).ok_or(MalformedId)?;
    // The decoder takes upper case and look-alike letters; an id has one spelling only.
    // 26 digits hold 130 bits and a ULID has 128, so the first digit is at most 7.
    let canonical = body.len() == ULID_LENGTH
        && matches!(body.as_bytes().first(), Some(b'0'..=b'7'))
        && body.bytes().all(|byte| {
            byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !matches!(byte, b'i' | b'l' | b'o' | b'u'))
        });
    if !canonical {
        return Err(MalformedId);
    }
    Ulid::from_string(body).map_err(|_| MalformedId)
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// The text before the ULID.
            pub const PREFIX: &'static str = $prefix;

            /// The id that wraps this ULID.
            #[must_use]
            pub const fn from_ulid(ulid: Ulid) -> Self {
                Self(ulid)
            }

            /// The ULID without its prefix.
            #[must_use]
            pub const fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}{}", $prefix, self.0.to_string().to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                parse_ulid($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

impl AccountId {
    /// The operators' own: nobody's shop. It holds their keys, and nothing else.
    pub const OPERATORS: Self = Self::from_ulid(Ulid::nil());
}

typed_id! {
    /// An account: one seller, and the unit of partitioning.
    AccountId = "acc_";
    /// An operator's correction of the ledger.
    AdjustmentId = "adj_";
    /// An audit record.
    AuditId = "aud_";
    /// A change set; doubles as the claim that makes sending it twice harmless.
    ChangeSetId = "chg_";
    /// A checkout: one try to have a payment paid online.
    CheckoutId = "chk_";
    /// A webhook delivery: one event on its way to one subscription.
    DeliveryId = "whd_";
    /// A ledger entry: one leg of a transaction.
    EntryId = "le_";
    /// An errand at Plugipay: a session to ask after or to call off, a notification to try again.
    ErrandId = "erd_";
    /// An event, as told to the seller's systems.
    EventId = "evt_";
    /// An exception: money that arrived and could not confirm its order.
    ExceptionId = "exc_";
    /// An API key's record (not the key itself).
    KeyId = "key_";
    /// An installation: one database with its receipts' store.
    InstallationId = "ins_";
    /// A mail on its way out; also names the mail's file and its Message-ID.
    MailId = "mail_";
    /// An order.
    OrderId = "ord_";
    /// A payment under an order.
    PaymentId = "pay_";
    /// A payout.
    PayoutId = "po_";
    /// The deletion of a receipt that nothing names any more.
    RemovalId = "rem_";
    /// A request, as shown in `meta.requestId` and in every log line.
    RequestId = "req_";
    /// A service in the catalog.
    ServiceId = "svc_";
    /// A webhook subscription.
    SubscriptionId = "whs_";
    /// A ledger transaction.
    TransactionId = "tx_";
    /// One upload of a receipt's bytes.
    UploadId = "upl_";
}

/// Every id that one decision needs, in ascending order, derived from one seed.
///
/// The seed's 80 random bits come from the host; the following ids count up from there, so a decision stays a pure
/// function and its ids stay sortable. Ids are names, not secrets: tokens and keys come from the
/// [`Secrets`](crate::ports::Secrets) port instead.
#[derive(Debug, Clone)]
pub struct IdSequence {
    next: Ulid,
}

impl IdSequence {
    /// A sequence that begins with this ULID.
    #[must_use]
    pub const fn from_seed(seed: Ulid) -> Self {
        Self { next: seed }
    }

    /// The next ULID. An exhausted random part goes on from zero: 2^80 ids of one millisecond do not happen.
    pub fn next_ulid(&mut self) -> Ulid {
        let current = self.next;
        self.next = match current.increment() {
            Ok(next) => next,
            Err(_) => Ulid::from_parts(current.timestamp_ms(), 0),
        };
        current
    }
}

macro_rules! sequence {
    ($($method:ident: $name:ident),+ $(,)?) => {
        impl IdSequence {$(
            #[doc = concat!("The next id, as a [`", stringify!($name), "`].")]
            pub fn $method(&mut self) -> $name {
                $name::from_ulid(self.next_ulid())
            }
        )+}
    };
}

sequence! {
    account: AccountId,
    adjustment: AdjustmentId,
    audit: AuditId,
    change_set: ChangeSetId,
    checkout: CheckoutId,
    delivery: DeliveryId,
    entry: EntryId,
    errand: ErrandId,
    event: EventId,
    exception: ExceptionId,
    installation: InstallationId,
    key: KeyId,
    mail: MailId,
    order: OrderId,
    payment: PaymentId,
    payout: PayoutId,
    removal: RemovalId,
    request: RequestId,
    service: ServiceId,
    subscription: SubscriptionId,
    transaction: TransactionId,
    upload: UploadId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let good = "ord_01jtestvect0r0000000000000";
        assert_eq!(good.parse::<OrderId>().unwrap().to_string(), good);
        for bad in [
            "",
            "ord_",
            "ord_01jtestvect0r000000000000",
            "ord_01jtestvect0r00000000000000",
            "ORD_01jtestvect0r0000000000000",
            "ord_01JTESTVECT0R0000000000000",
            "ord_01jtestvector0000000000000",
            "ord_81jtestvect0r0000000000000",
            "svc_01jtestvect0r0000000000000",
            "ord_01jtestvect0r00000000000ß",
            " ord_01jtestvect0r0000000000000",
            "ord_01jtestvect0r000000000000\0",
        ] {
            assert_eq!(bad.parse::<OrderId>(), Err(MalformedId), "{bad:?}");
        }
    }

    #[test]
    fn a_sequence_ascends_and_survives_its_end() {
        let mut ids = IdSequence::from_seed(Ulid::from_parts(7, 0));
        let (first, second) = (ids.order(), ids.order());
        assert!(first < second);
        let mut last = IdSequence::from_seed(Ulid::max());
        last.next_ulid();
        assert_eq!(last.next_ulid().random(), 0);
    }
}
