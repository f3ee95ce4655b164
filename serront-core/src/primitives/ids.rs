//! Typed ids: a prefix and a lowercase ULID, parsed strictly (wire contract, section 1).
//!
//! This module has no random source. A decision receives one [`IdSequence`], seeded by the host's
//! [`Ids`](crate::ports::Ids) port, and takes all its ids from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A text that is not a well-formed id of the expected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed id")]
pub struct MalformedId;

const ULID_LENGTH: usize = 26;

fn parse_ulid(prefix: &str, text: &str) -> Result<Ulid, MalformedId> {
    let body = text.strip_prefix(prefix).ok_or(MalformedId)?;
    // The decoder also accepts uppercase and look-alike letters, but an id has exactly one spelling.
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
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $method:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// The text before the ULID.
            pub const PREFIX: &'static str = $prefix;

            /// Adds the prefix to a ULID.
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

        impl IdSequence {
            #[doc = concat!("The next id, as a [`", stringify!($name), "`].")]
            pub fn $method(&mut self) -> $name {
                $name(self.next_ulid())
            }
        }
    )+};
}

impl AccountId {
    /// The operators' account. It holds their keys and has no orders.
    pub const OPERATORS: Self = Self::from_ulid(Ulid::nil());
}

typed_id! {
    /// An account: one seller, and the unit of partitioning.
    AccountId = "acc_", account;
    /// An operator's correction of the ledger.
    AdjustmentId = "adj_", adjustment;
    /// An audit record.
    AuditId = "aud_", audit;
    /// A change set; also its claim, which makes committing it twice harmless.
    ChangeSetId = "chg_", change_set;
    /// A checkout: one attempt to collect a payment online.
    CheckoutId = "chk_", checkout;
    /// A webhook delivery: one event for one subscription.
    DeliveryId = "whd_", delivery;
    /// A ledger entry: one leg of a transaction.
    EntryId = "le_", entry;
    /// An errand: the janitor's work at Plugipay on one checkout or one parked notification.
    ErrandId = "erd_", errand;
    /// An event that is delivered to the seller's webhooks.
    EventId = "evt_", event;
    /// An exception: money that arrived but could not confirm its order.
    ExceptionId = "exc_", exception;
    /// An API key's record (not the key itself).
    KeyId = "key_", key;
    /// An installation: one database with its receipt store.
    InstallationId = "ins_", installation;
    /// An outgoing mail; also part of its Message-ID and file name.
    MailId = "mail_", mail;
    /// An order.
    OrderId = "ord_", order;
    /// A payment under an order.
    PaymentId = "pay_", payment;
    /// A payout.
    PayoutId = "po_", payout;
    /// The deletion of a receipt that no order refers to.
    RemovalId = "rem_", removal;
    /// A request, in `meta.requestId` and in every log line.
    RequestId = "req_", request;
    /// A service in the catalog.
    ServiceId = "svc_", service;
    /// A webhook subscription.
    SubscriptionId = "whs_", subscription;
    /// A ledger transaction.
    TransactionId = "tx_", transaction;
    /// One upload of a receipt's bytes.
    UploadId = "upl_", upload;
}

/// The ids for one decision, in ascending order, derived from one seed.
///
/// The host supplies the seed's 80 random bits, and ids count up from there. So decisions stay pure functions and their
/// ids sortable. Ids are not secrets: tokens and keys come from the [`Secrets`](crate::ports::Secrets) port.
#[derive(Debug, Clone)]
pub struct IdSequence {
    next: Ulid,
}

impl IdSequence {
    /// The first id has this ULID.
    #[must_use]
    pub const fn from_seed(seed: Ulid) -> Self {
        Self { next: seed }
    }

    /// The next ULID. An exhausted random part wraps around to zero.
    pub fn next_ulid(&mut self) -> Ulid {
        let current = self.next;
        self.next = match current.increment() {
            Ok(next) => next,
            Err(_) => Ulid::from_parts(current.timestamp_ms(), 0),
        };
        current
    }
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
    fn a_sequence_ascends_and_wraps_at_its_end() {
        let mut ids = IdSequence::from_seed(Ulid::from_parts(7, 0));
        let (first, second) = (ids.order(), ids.order());
        assert!(first < second);
        let mut last = IdSequence::from_seed(Ulid::max());
        last.next_ulid();
        assert_eq!(last.next_ulid().random(), 0);
    }
}
