//! Rows that this version can't read. Each is set aside, so that it stops nothing else.
//!
//! Such a row was written by a newer version, before a rollback or during an upgrade, or it was damaged. A storage leaves it
//! as it is, puts it on record, and continues with the others. It tries the row again every few minutes, and a newer version
//! tries it within seconds; once it can be read it is taken up and the record is deleted.

use crate::primitives::time::Timestamp;

/// What a row that was set aside is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetAsideKind {
    /// A mail, a delivery or a removal: queued, or given up.
    Effect,
    /// An errand at Plugipay.
    Errand,
    /// The record of a discarded effect.
    Discard,
    /// A notification of Plugipay's.
    Notification,
    /// A payout.
    Payout,
    /// A webhook subscription with its secrets.
    Subscription,
    /// An account's endpoint at Plugipay with its secrets.
    Endpoint,
    /// How many orders of an account are in one state: their sum is beyond an integer, and is not folded.
    OrderCount,
    /// A balance of an account, of one code: its sum is beyond an integer, and is not folded.
    Balance,
    /// Something that only a newer version knows.
    Unknown,
}

impl SetAsideKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Effect,
        Self::Errand,
        Self::Discard,
        Self::Notification,
        Self::Payout,
        Self::Subscription,
        Self::Endpoint,
        Self::OrderCount,
        Self::Balance,
        Self::Unknown,
    ];

    /// The kind's name, as stored and as listed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Effect => "effect",
            Self::Errand => "errand",
            Self::Discard => "discard",
            Self::Notification => "notification",
            Self::Payout => "payout",
            Self::Subscription => "subscription",
            Self::Endpoint => "endpoint",
            Self::OrderCount => "order_count",
            Self::Balance => "balance",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of this name; [`SetAsideKind::Unknown`] for every other name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap_or(Self::Unknown)
    }

    /// Whether such a row holds secrets that are sealed.
    #[must_use]
    pub const fn holds_secrets(self) -> bool {
        matches!(self, Self::Subscription | Self::Endpoint)
    }
}

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What it is.
    pub kind: SetAsideKind,
    /// Its id as stored, which need not be one; of an endpoint the account's, of a sum its state or code.
    pub id: String,
    /// Its account's id as stored.
    pub account_id: String,
    /// Which part of it can't be read. A column's name, never its content.
    pub what: String,
    /// When it was set aside.
    pub since: Timestamp,
    /// When it was last tried.
    pub tried_at: Timestamp,
}

/// What was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetAsides {
    /// How many rows there are.
    pub count: u64,
    /// Those that were asked for, the oldest first.
    pub rows: Vec<SetAside>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        for kind in SetAsideKind::ALL {
            assert_eq!(SetAsideKind::parse(kind.as_str()), kind);
        }
        assert_eq!(SetAsideKind::parse("refund"), SetAsideKind::Unknown);
    }
}
