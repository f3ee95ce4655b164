//! What can be observed of a run from outside the core: changes that landed in the storage, effects that left the
//! process, requests and answers. The invariants and the oracle see nothing else.

use serde_json::Value;
use serront_core::online::inbox::InboxStatus;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall};
use serront_core::orders::mail::MailMessage;
use serront_core::policy::Policy;
use serront_core::ports::prelude::*;
use serront_core::ports::{Post, WorkStorage};
use serront_core::primitives::ids::MailId;

use crate::memory::MemoryReceipts;
use crate::sandbox::{Sandbox, SandboxSession};

/// A request as its client sends it. Ids, tokens and keys are text here, as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The plan's index of the seller that the call is about.
    pub(crate) seller: usize,
    /// The API key; `None` for buyers and the admin.
    pub(crate) bearer: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) verb: Verb,
}

impl Call {
    /// Whether it carries an operator's key.
    pub(crate) fn is_operators(&self) -> bool {
        self.bearer.as_ref().is_some_and(|bearer| bearer.starts_with("sk_op_"))
    }
}

/// The operation requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Place { slug: String, buyer: String, email: String },
    Claim { token: String },
    Upload { token: String, bytes: Vec<u8> },
    View { token: String },
    Visit { slug: String },
    Confirm { order: String, note: Option<String> },
    Patch { order: String, status: Option<&'static str>, quote: Option<i64> },
    Read { order: String },
    // Rotates the order's access token.
    RotateToken { order: String },
    List,
    Receipt { order: String },
    PutStorefront { slug: String, variant: u32, hide_branding: bool, published: bool },
    GetStorefront,
    Reprice { service: String, price: i64 },
    AddService { slug: String },
    Services,
    DropService { service: String },
    Subscribe { url: String, events: Vec<&'static str> },
    Pause { subscription: String, active: bool },
    Unsubscribe { subscription: String },
    Subscriptions,
    // Rotates the subscription's secret.
    RotateSecret { subscription: String },
    Deliveries,
    // Sends a delivery again.
    Redeliver { delivery: String },
    // By an operator: retries every effect that was given up.
    RetryGivenUp,
    AddKey { name: String },
    // By the admin, who needs no key.
    RevokeKey { account: String, id: String },
    // By the admin: issues a key for a device.
    IssueKey { account: String },
    SwitchPayment { on: bool },
    SwitchMarketing { on: bool },
    // By the buyer: pays online.
    Pay { token: String },
    Balance,
    Entries,
    Exceptions,
    Resolve { exception: String, note: String, adjustment: Option<String> },
    // By the admin: rotates the secret of the notification endpoint.
    Rotate { account: String },
    // By the admin: retries every parked notification.
    RetryParked,
    // By the admin: reseals the secrets at rest under the present key.
    Reseal,
    // By the admin: reseals until nothing is left to do, then forgets all keys but the present one.
    ForgetKeys,
    SetTier { account: String, tier: &'static str },
    // By the seller, or by an operator on the seller's behalf. `bank` is the bank account's variant; `None` for the
    // default account. The note is unique, so that a payout names its request.
    RequestPayout { account: String, amount: i64, bank: Option<u32>, note: String },
    CancelPayout { payout: String },
    // Sets the default bank account to this variant, without its holder unless `whole`.
    PatchBankAccount { variant: u32, whole: bool },
    BankAccount,
    Payouts,
    Payout { payout: String },
    PayoutBalance,
    // By an operator; some sellers try it too.
    MovePayout { payout: String, step: Step, text: Option<String> },
    // By an operator.
    Adjust { account: String, amount: i64, reference: String },
    // By an operator.
    VerifyBooks,
}

/// An operator's step of a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    InTransit,
    Paid,
    Failed,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::InTransit => "mark-in-transit",
            Self::Paid => "mark-paid",
            Self::Failed => "mark-failed",
        }
    }
}

impl Verb {
    /// The request's method and path on the wire, which are part of an idempotency key's scope.
    pub(crate) fn route(&self) -> (&'static str, String) {
        match self {
            Self::Confirm { order, .. } => ("POST", format!("/api/v1/orders/{order}/confirm-payment")),
            Self::Patch { order, .. } => ("PATCH", format!("/api/v1/orders/{order}")),
            Self::RotateToken { order } => ("POST", format!("/api/v1/orders/{order}/rotate-token")),
            Self::RequestPayout { .. } => ("POST", "/api/v1/payouts".to_owned()),
            Self::CancelPayout { payout } => ("POST", format!("/api/v1/payouts/{payout}/cancel")),
            Self::MovePayout { payout, step, .. } => ("POST", format!("/api/v1/payouts/{payout}/{}", step.name())),
            Self::PatchBankAccount { .. } => ("PATCH", "/api/v1/payouts/bank-account".to_owned()),
            other => ("POST", format!("/{}", other.name())),
        }
    }

    /// Whether a seller or a buyer needs the payment module for this.
    pub(crate) const fn uses_payment_module(&self) -> bool {
        matches!(
            self,
            Self::Pay { .. }
                | Self::Balance
                | Self::Entries
                | Self::RequestPayout { .. }
                | Self::CancelPayout { .. }
                | Self::PatchBankAccount { .. }
                | Self::BankAccount
                | Self::Payouts
                | Self::Payout { .. }
                | Self::PayoutBalance
        )
    }

    /// Text that stands for the body.
    pub(crate) fn body(&self) -> String {
        match self {
            Self::Confirm { note, .. } => format!("{note:?}"),
            Self::Patch { status, quote, .. } => format!("{status:?} {quote:?}"),
            other => format!("{other:?}"),
        }
    }

    /// The variant's name.
    pub(crate) fn name(&self) -> String {
        format!("{self:?}").chars().take_while(char::is_ascii_alphabetic).collect()
    }
}

/// A client's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Success, with the answer's data.
    Done { data: Value, replayed: bool },
    /// A receipt's bytes.
    Bytes(Vec<u8>),
    /// Refused with this code; nothing was changed.
    Refused(String),
    /// Certainly not done.
    NotDone,
    /// The outcome is unknown.
    Unknown,
}

/// A field of an answer's data; empty if it is no text.
pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A notification as it reaches a host, and the host's answer.
pub(crate) struct Notified<'a> {
    pub(crate) body: &'a str,
    /// Whether Plugipay sent these bytes under this signature.
    pub(crate) genuine: bool,
    /// The time in its signature.
    pub(crate) signed_at: i64,
    /// The host's clock at arrival and after processing.
    pub(crate) during: (Timestamp, Timestamp),
    /// The stored status, or the code of the refusal.
    pub(crate) answer: Result<InboxStatus, &'a str>,
}

/// One observation.
pub(crate) enum Event<'a> {
    /// A change set landed, for the first time.
    Landed { change: &'a ChangeSet, committed: Committed },
    /// Due work was leased.
    Taken { due: &'a [Due], lease: Duration },
    /// The storage took an attempt into its log.
    Recorded { id: EffectId, fence: Fence, attempt: &'a Attempt, next: NextAttempt },
    /// A host's storage call failed or met a conflict, or a host died: its work may stay undone.
    Hindered,
    /// Deltas were folded.
    Folded,
    /// A mail arrived at the mail server.
    Mailed(&'a MailMessage),
    /// The mail server refused a mail permanently.
    MailRefused(MailId),
    /// A post arrived at its receiver, which answers with this status; `None`: it does not answer.
    Posted { post: &'a Post, seller: usize, status: Option<u16> },
    /// A receipt's bytes were removed.
    Removed { upload: UploadId },
    /// A receipt was moved into quarantine.
    Quarantined { upload: UploadId },
    /// A receipt was deleted from quarantine.
    Discarded { upload: UploadId },
    /// A client sends a request.
    Requested { id: u64, call: &'a Call },
    /// The client got its answer, or gave up waiting.
    Answered { id: u64, call: &'a Call, reply: &'a Reply },
    /// The host finished the request, or died during it; its storage calls may still arrive.
    Ended { id: u64 },
    /// Plugipay carried out a call, or refused it.
    Called { call: &'a PlugipayCall, answer: &'a Result<PlugipayAnswer, PortError> },
    /// Plugipay forgot every idempotency key.
    KeysForgotten,
    /// Secrets at rest have a new present key.
    KeyAdded,
    /// A buyer paid at the hosted page; `minted` is the amount that the session asked for.
    Paid { session: &'a SandboxSession, minted: i64 },
    /// A host processed a notification.
    Notified(&'a Notified<'a>),
    /// Text that a host might log.
    Said(&'a str),
    /// A secret was created. It must never be logged.
    Secret(&'a str),
}

/// A seller of the plan, as set up.
#[derive(Debug, Clone)]
pub(crate) struct SellerFacts {
    pub(crate) account: AccountId,
    pub(crate) slug: String,
    pub(crate) service: String,
}

/// What an invariant may read in addition to the events.
pub(crate) struct View<'a> {
    /// True time in milliseconds.
    pub(crate) now: i64,
    pub(crate) storage: &'a dyn WorkStorage,
    pub(crate) receipts: &'a MemoryReceipts,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) policy: &'a Policy,
    pub(crate) sellers: &'a [SellerFacts],
    /// Largest difference between two clocks, in milliseconds.
    pub(crate) skew_ms: i64,
}

/// `Err` describes what is wrong.
pub(crate) type Verdict = Result<(), String>;

/// A condition that must always hold.
pub(crate) trait Invariant: Send {
    /// Its name in reports and in the table of planted bugs.
    fn name(&self) -> &'static str;

    /// Looks at one event.
    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict;

    /// Looks at the world after it has healed and come to rest.
    fn end(&mut self, _view: &View<'_>) -> Verdict {
        Ok(())
    }
}
