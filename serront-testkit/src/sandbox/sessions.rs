//! Checkout sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serront_core::primitives::money::Rupiah;
use serront_core::primitives::time::Timestamp;

use super::answers::Refusal;

/// Every method that a session may offer.
pub(super) const METHODS: [&str; 4] = ["qris", "va", "ewallet", "card"];

const EXPIRES_IN_DEFAULT: u64 = 86_400;
/// 30 days.
const EXPIRES_IN_MAX: u64 = 2_592_000;

/// A session's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxStatus {
    /// Payable.
    Open,
    /// Paid.
    Completed,
    /// The payment failed permanently.
    Failed,
    /// Not paid in time.
    Expired,
    /// Canceled by the host.
    Canceled,
}

/// An item of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LineItem {
    pub(crate) name: String,
    pub(crate) quantity: u32,
    pub(crate) unit_amount: i64,
}

/// A checkout session, as the sandbox keeps and shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxSession {
    /// Id at Plugipay.
    pub id: String,
    /// The merchant's account at Plugipay.
    pub account_id: String,
    /// Amount asked for; after completion, the amount that arrived.
    pub amount: i64,
    /// Currency of `amount`.
    pub currency: String,
    /// Present status.
    pub status: SandboxStatus,
    /// Methods offered.
    pub methods: Vec<String>,
    /// Method of the payment; `None` until it is paid.
    pub payment_method: Option<String>,
    pub(crate) line_items: Vec<LineItem>,
    /// URL for the buyer after paying.
    pub success_url: String,
    /// URL for the buyer after giving up.
    pub cancel_url: String,
    /// URL of the hosted page.
    pub hosted_url: String,
    /// End of the time to pay.
    pub expires_at: Timestamp,
    /// Time of the payment; `None` until it is paid.
    pub completed_at: Option<Timestamp>,
    /// Metadata of the creator.
    pub metadata: BTreeMap<String, String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

/// The body of a request for a session.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSession {
    amount: i64,
    currency: String,
    methods: Vec<String>,
    success_url: String,
    cancel_url: String,
    #[serde(default)]
    line_items: Vec<LineItem>,
    expires_in_sec: Option<u64>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

pub(super) fn is_web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'<' | b'>'))
}

impl NewSession {
    fn check(&self) -> Result<(), Refusal> {
        let is_total = || {
            let item = |item: &LineItem| item.unit_amount.checked_mul(i64::from(item.quantity));
            self.line_items.iter().try_fold(0_i64, |sum, next| sum.checked_add(item(next)?)) == Some(self.amount)
        };
        let is_item = |item: &LineItem| !item.name.trim().is_empty() && item.quantity > 0 && item.unit_amount >= 0;
        let distinct: BTreeSet<_> = self.methods.iter().collect();
        let rules = [
            (Rupiah::new(self.amount).is_ok_and(|amount| !amount.is_zero()), "amount must be from 1 to 2^53-1"),
            (self.currency == "IDR", "currency must be IDR"),
            (
                !self.methods.is_empty() && distinct.len() == self.methods.len(),
                "methods must not be empty or repeat one",
            ),
            (self.methods.iter().all(|method| METHODS.contains(&method.as_str())), "methods has an unknown method"),
            (is_web_address(&self.success_url), "successUrl must be an address"),
            (is_web_address(&self.cancel_url), "cancelUrl must be an address"),
            (self.line_items.iter().all(is_item), "lineItems must have a name, a quantity and a unitAmount"),
            (self.line_items.is_empty() || is_total(), "lineItems must add up to amount"),
            (
                self.expires_in_sec.is_none_or(|seconds| (1..=EXPIRES_IN_MAX).contains(&seconds)),
                "expiresInSec must be from 1 to 2592000",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(Refusal::invalid(broken)),
            None => Ok(()),
        }
    }

    /// The session, if the request is valid.
    pub(super) fn open(
        self,
        id: String,
        account_id: &str,
        pages_at: &str,
        now: Timestamp,
    ) -> Result<SandboxSession, Refusal> {
        self.check()?;
        let valid_for = Duration::from_secs(self.expires_in_sec.unwrap_or(EXPIRES_IN_DEFAULT));
        Ok(SandboxSession {
            hosted_url: format!("{pages_at}/checkout/{id}"),
            id,
            account_id: account_id.to_owned(),
            amount: self.amount,
            currency: self.currency,
            status: SandboxStatus::Open,
            methods: self.methods,
            payment_method: None,
            line_items: self.line_items,
            success_url: self.success_url,
            cancel_url: self.cancel_url,
            expires_at: now.plus(valid_for),
            completed_at: None,
            metadata: self.metadata.unwrap_or_default(),
            created_at: now,
            updated_at: now,
        })
    }
}
