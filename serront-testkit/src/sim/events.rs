//! What can be seen of a run from outside the core: what landed in the storage, what left the process, what was asked and
//! answered. The invariants and the oracle see these, and nothing else.

use std::time::Duration;

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, Committed};
use serront_core::changes::effect::{Attempt, EffectId};
use serront_core::online::inbox::InboxStatus;
use serront_core::online::plugipay::{PlugipayAnswer, PlugipayCall};
use serront_core::orders::mail::MailMessage;
use serront_core::policy::Policy;
use serront_core::ports::{PortError, Post, WorkStorage};
use serront_core::primitives::ids::{AccountId, MailId, UploadId};
use serront_core::primitives::time::Timestamp;
use serront_core::snapshots::{Due, Fence, NextAttempt};

use crate::memory::MemoryReceipts;
use crate::sandbox::{Sandbox, SandboxSession};

/// A request as its client sends it. Ids, tokens and keys are text here, as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The seller's place in the plan, whose things are asked for.
    pub(crate) seller: usize,
    /// The API key, where one is needed.
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

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Place {
        slug: String,
        buyer: String,
        email: String,
    },
    Claim {
        token: String,
    },
    Upload {
        token: String,
        bytes: Vec<u8>,
    },
    View {
        token: String,
    },
    Visit {
        slug: String,
    },
    Confirm {
        order: String,
        note: Option<String>,
    },
    Patch {
        order: String,
        status: Option<&'static str>,
        quote: Option<i64>,
    },
    Read {
        order: String,
    },
    /// The order gets another access token.
    RotateToken {
        order: String,
    },
    List,
    Receipt {
        order: String,
    },
    PutStorefront {
        slug: String,
        variant: u32,
        hide_branding: bool,
        published: bool,
    },
    GetStorefront,
    Reprice {
        service: String,
        price: i64,
    },
    AddService {
        slug: String,
    },
    Services,
    DropService {
        service: String,
    },
    Subscribe {
        url: String,
        events: Vec<&'static str>,
    },
    Pause {
        subscription: String,
        active: bool,
    },
    Unsubscribe {
        subscription: String,
    },
    Subscriptions,
    /// The subscription gets a new secret.
    RotateSecret {
        subscription: String,
    },
    Deliveries,
    /// By hand, once more.
    Redeliver {
        delivery: String,
    },
    /// By an operator: whatever was given up is tried again.
    RetryGivenUp,
    AddKey {
        name: String,
    },
    /// By the admin, who needs no key.
    RevokeKey {
        account: String,
        id: String,
    },
    /// By the admin: a device gets a key.
    IssueKey {
        account: String,
    },
    SwitchPayment {
        on: bool,
    },
    SwitchMarketing {
        on: bool,
    },
    /// By the buyer: pay online.
    Pay {
        token: String,
    },
    Balance,
    Entries,
    Exceptions,
    Resolve {
        exception: String,
        note: String,
        adjustment: Option<String>,
    },
    /// By the admin: the notification endpoint gets a new secret.
    Rotate {
        account: String,
    },
    /// By the admin: whatever is parked is tried again.
    RetryParked,
    /// By the admin: the secrets at rest are sealed anew, under the present key.
    Reseal,
    /// By the admin: so they are, until there is nothing left to do; then all keys but the present one are forgotten.
    ForgetKeys,
    SetTier {
        account: String,
        tier: &'static str,
    },
    /// By the seller, or on the seller's behalf by an operator: so much to the bank account of this variant, or to the
    /// default one. The note is the request's own, so that a payout tells what asked for it.
    RequestPayout {
        account: String,
        amount: i64,
        bank: Option<u32>,
        note: String,
    },
    CancelPayout {
        payout: String,
    },
    /// The default bank account becomes the one of this variant; if not `whole`, without its holder.
    PatchBankAccount {
        variant: u32,
        whole: bool,
    },
    BankAccount,
    Payouts,
    Payout {
        payout: String,
    },
    PayoutBalance,
    /// By an operator, unless somebody tries who is none.
    MovePayout {
        payout: String,
        step: Step,
        text: Option<String>,
    },
    /// By an operator.
    Adjust {
        account: String,
        amount: i64,
        reference: String,
    },
    /// By an operator.
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
    /// The step's name in its path.
    const fn name(self) -> &'static str {
        match self {
            Self::InTransit => "mark-in-transit",
            Self::Paid => "mark-paid",
            Self::Failed => "mark-failed",
        }
    }
}

impl Verb {
    /// The method and path that the request has on the wire, which are part of an idempotency key's scope.
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

    /// The bytes that stand for the body.
    pub(crate) fn body(&self) -> String {
        match self {
            Self::Confirm { note, .. } => format!("{note:?}"),
            Self::Patch { status, quote, .. } => format!("{status:?} {quote:?}"),
            other => format!("{other:?}"),
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Claim { .. } => "claim",
            Self::Upload { .. } => "upload",
            Self::View { .. } => "view",
            Self::Visit { .. } => "visit",
            Self::Confirm { .. } => "confirm",
            Self::Patch { .. } => "patch",
            Self::Read { .. } => "read",
            Self::RotateToken { .. } => "rotate-token",
            Self::List => "list",
            Self::Receipt { .. } => "receipt",
            Self::PutStorefront { .. } => "put-storefront",
            Self::GetStorefront => "get-storefront",
            Self::Reprice { .. } => "reprice",
            Self::AddService { .. } => "add-service",
            Self::Services => "services",
            Self::DropService { .. } => "drop-service",
            Self::Subscribe { .. } => "subscribe",
            Self::Pause { .. } => "pause",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Subscriptions => "subscriptions",
            Self::RotateSecret { .. } => "rotate-secret",
            Self::Redeliver { .. } => "redeliver",
            Self::RetryGivenUp => "retry-given-up",
            Self::Deliveries => "deliveries",
            Self::AddKey { .. } => "add-key",
            Self::RevokeKey { .. } => "revoke-key",
            Self::IssueKey { .. } => "issue-key",
            Self::SwitchPayment { .. } => "switch-payment",
            Self::SwitchMarketing { .. } => "switch-marketing",
            Self::Pay { .. } => "pay",
            Self::Balance => "balance",
            Self::Entries => "entries",
            Self::Exceptions => "exceptions",
            Self::Resolve { .. } => "resolve",
            Self::Rotate { .. } => "rotate",
            Self::RetryParked => "retry-parked",
            Self::Reseal => "reseal",
            Self::ForgetKeys => "forget-keys",
            Self::SetTier { .. } => "set-tier",
            Self::RequestPayout { .. } => "request-payout",
            Self::CancelPayout { .. } => "cancel-payout",
            Self::PatchBankAccount { .. } => "patch-bank-account",
            Self::BankAccount => "bank-account",
            Self::Payouts => "payouts",
            Self::Payout { .. } => "payout",
            Self::PayoutBalance => "payout-balance",
            Self::MovePayout { .. } => "move-payout",
            Self::Adjust { .. } => "adjust",
            Self::VerifyBooks => "verify-books",
        }
    }
}

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It is done, and this is what there is to see.
    Done { data: Value, replayed: bool },
    /// A receipt's bytes.
    Bytes(Vec<u8>),
    /// It is refused with this code; nothing was changed.
    Refused(String),
    /// It did not happen, and the client knows.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// A notification as it reaches a host, and what the host makes of it.
pub(crate) struct Notified<'a> {
    pub(crate) body: &'a str,
    /// Whether Plugipay sent these bytes under this signature.
    pub(crate) genuine: bool,
    /// The time in its signature.
    pub(crate) signed_at: i64,
    /// The host's clock when it came and when it was through with it.
    pub(crate) during: (Timestamp, Timestamp),
    /// What became of it, or why it was not taken.
    pub(crate) answer: Result<InboxStatus, &'a str>,
}

/// One thing seen.
pub(crate) enum Event<'a> {
    /// A change set landed, for the first time.
    Landed { change: &'a ChangeSet, committed: Committed },
    /// Due work was taken.
    Taken { due: &'a [Due], lease: Duration },
    /// The storage took an attempt into its log.
    Recorded { id: EffectId, fence: Fence, attempt: &'a Attempt, next: NextAttempt },
    /// A host's call of the storage failed or met a conflict, or a host died: what it was about to do may come to nothing.
    Hindered,
    /// Deltas were folded.
    Folded,
    /// A mail arrived at the mail server.
    Mailed(&'a MailMessage),
    /// The mail server refused a mail for good.
    MailRefused(MailId),
    /// A post arrived at its receiver, who answers with this status; `None`: the receiver answers nothing.
    Posted { post: &'a Post, seller: usize, status: Option<u16> },
    /// A receipt's bytes were removed.
    Removed { upload: UploadId },
    /// A receipt was moved into quarantine.
    Quarantined { upload: UploadId },
    /// A receipt was deleted from quarantine.
    Discarded { upload: UploadId },
    /// A client asks.
    Asked { id: u64, call: &'a Call },
    /// The client is told.
    Told { id: u64, call: &'a Call, reply: &'a Reply },
    /// The host is through with it, or died over it; what it sent to the storage may still arrive.
    Ended { id: u64 },
    /// Plugipay carried out a call, or refused it.
    Called { call: &'a PlugipayCall, answer: &'a Result<PlugipayAnswer, PortError> },
    /// Plugipay forgot every idempotency key.
    KeysForgotten,
    /// Secrets at rest are sealed under a new key from now on.
    KeyAdded,
    /// A buyer paid at the hosted page; this much had been asked for.
    Paid { session: &'a SandboxSession, minted: i64 },
    /// A host is through with a notification.
    Notified(&'a Notified<'a>),
    /// Something that a host might write into its log.
    Said(&'a str),
    /// A secret came into the world, which must be in no log.
    Secret(&'a str),
}

/// A seller of the plan, as set up.
#[derive(Debug, Clone)]
pub(crate) struct SellerFacts {
    pub(crate) account: AccountId,
    pub(crate) slug: String,
    pub(crate) service: String,
}

/// What an invariant may look at besides the events.
pub(crate) struct View<'a> {
    /// True time in milliseconds.
    pub(crate) now: i64,
    pub(crate) storage: &'a dyn WorkStorage,
    pub(crate) receipts: &'a MemoryReceipts,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) policy: &'a Policy,
    pub(crate) sellers: &'a [SellerFacts],
    /// By how much a host's clock may be off, in milliseconds.
    pub(crate) skew_ms: i64,
}

/// `Err` says what is wrong, in words.
pub(crate) type Verdict = Result<(), String>;

/// Something that must always be true.
pub(crate) trait Invariant: Send {
    /// Its name in reports and in the table of planted bugs.
    fn name(&self) -> &'static str;

    /// Looks at one event.
    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict;

    /// Looks at the world after it has healed and come to rest.
    fn end(&mut self, view: &View<'_>) -> Verdict;
}
