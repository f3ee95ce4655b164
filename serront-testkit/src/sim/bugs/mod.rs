//! Planted bugs: what an adapter, a view or a host could get wrong, one at a time. Each has to be caught by name.
//!
//! To add one: its line in the list below, and the few lines that get it wrong in `storage.rs`, `money.rs` or `payouts.rs` (the storage,
//! or the way to it), in `host.rs` or in a port of `outside.rs` or `plugipay.rs`. `docs/planted-bugs.md` then wants its row.

use std::sync::Arc;

use serront_core::ports::{Clock, Mailer, WorkStorage};

mod commits;
pub(crate) mod host;
mod online;
mod orders;
mod outbox;
mod payouts;
mod storage;

use self::storage::Planted;

/// Where a bug sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the storage.
    Storage,
    /// In a host's way to the storage.
    Link,
    /// In a host, or in another port.
    Host,
}

macro_rules! bugs {
    ($($variant:ident: $name:literal, $place:ident, $doc:literal;)+) => {
        /// A bug to be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Bug {
            $(#[doc = $doc] $variant,)+
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The bug's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// What is wrong with it, in a sentence.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $doc),+ }
            }

            const fn place(self) -> Place {
                match self { $(Self::$variant => Place::$place),+ }
            }
        }
    };
}

bugs! {
    OrderGuardDropped: "guard-dropped", Storage, "A commit looks at no order's version: the last writer wins.";
    WitnessDropped: "witness-dropped", Storage, "A commit does not look at the settings epoch.";
    IdempotencyNotStored: "key-not-stored", Storage, "An idempotency key is not stored with its outcome.";
    ChangeSetIdForgotten: "change-set-id-forgotten", Storage, "A change set's id is not tested: sent again, it lands again.";
    ConflictSwallowed: "conflict-swallowed", Storage, "A conflict is answered as a success.";
    MailForgotten: "mail-forgotten", Storage, "A commit forgets the mails among its effects.";
    MailTwice: "mail-twice", Link, "A decision asks for each mail twice, under two ids.";
    AuditForgotten: "audit-forgotten", Storage, "A commit forgets the audit records.";
    NumberBeforeCommit: "number-gap", Storage, "Numbers are drawn before the commit, and lost with it.";
    AccountIgnored: "account-ignored", Storage, "An order is found by its id alone, whoever asks.";
    KeyCached: "key-cached", Storage, "A key once seen opens for ever.";
    StaleRead: "stale-read", Storage, "An order is read from a cache for a minute.";
    LeaseIgnored: "lease-ignored", Storage, "Work that is under a lease is taken again.";
    FenceIgnored: "fence-ignored", Storage, "Who has lost the lease may still write into the log.";
    SubscriptionLimitIgnored: "subscription-limit-ignored", Storage, "One subscription has any number of deliveries under way.";
    SharesIgnored: "shares-ignored", Storage, "Deliveries are shared out neither by account nor by who fails.";
    OldSecretForgotten: "old-secret-forgotten", Storage, "A secret that was replaced signs no more at once.";
    OldSecretKept: "old-secret-kept", Storage, "A secret that was replaced goes on signing.";
    OldTokenOpens: "old-token-opens", Storage, "An order's access token that was replaced still opens it.";
    SwitchedOffEarly: "switched-off-early", Storage, "A subscription is switched off after its first failed attempt.";
    NeverSwitchedOff: "never-switched-off", Storage, "Failures in a row are not counted, so that no subscription is switched off.";
    SwitchOffUntold: "switch-off-untold", Link, "A subscription is switched off, and nobody is told.";
    RequeueForgotten: "requeue-forgotten", Storage, "What is to be tried again by hand is not queued.";
    DoneWhenTaken: "done-when-taken", Storage, "Work is marked as done when it is taken.";
    BodyRenderedAgain: "body-rendered-again", Storage, "A retry has other bytes than the first attempt.";
    EventIdRenewed: "event-id-renewed", Storage, "A retry has another event id than the first attempt.";
    PausedPosted: "paused-posted", Storage, "A paused subscription is posted to.";
    RetriedEarly: "retried-early", Storage, "A retry comes before its time.";
    GivenUpEarly: "given-up-early", Storage, "An effect is given up before its schedule ends.";
    FoldedTwice: "folded-twice", Storage, "The folder adds deltas that it does not delete.";
    PendingPruned: "pending-pruned", Storage, "Pruning takes effects that are still pending.";
    NamedUploadsForgotten: "named-uploads-forgotten", Storage, "The sweeper is told that no payment names anything.";
    SentBeforeCommit: "sent-before-commit", Link, "A mail is sent before the commit that makes it.";
    UnknownIsConflict: "unknown-is-conflict", Link, "A lost answer to a commit is taken for a conflict.";
    UnknownIsSuccess: "unknown-is-success", Link, "A lost answer to a commit is taken for success.";
    UnknownIsFailure: "unknown-is-failure", Link, "A lost answer to a commit is taken for failure.";
    BankDetailsAfterConfirmation: "bank-details-stay", Host, "A view goes on showing the bank details after the confirmation.";
    BankDetailsOnStorefront: "bank-details-on-storefront", Host, "The storefront's page shows what is for buyers with an order.";
    IdempotencyByKeyOnly: "key-without-body", Host, "An idempotency key counts whatever the body is.";
    RefusalsKept: "refusals-kept", Host, "A refusal is kept under its idempotency key, and answered again.";
    ModuleAlwaysAvailable: "module-always-available", Host, "A module can be switched on though nothing is set up for it.";
    SignatureNotChecked: "signature-not-checked", Host, "A notification is believed whoever signed it.";
    StaleAccepted: "stale-accepted", Host, "A notification is believed however old its signature is.";
    DisabledStopsSettlements: "disabled-stops-settlements", Host, "With the module off, notifications are acknowledged and dropped.";
    NewKeyOnResend: "new-key-on-resend", Host, "Each sending of a minting call has a key of its own.";
    UnknownMintIsRefusal: "unknown-mint-is-refusal", Host, "A lost answer to a minting call is taken for a refusal.";
    IntentNotCommitted: "intent-not-committed", Link, "A session is minted without a commit of its intent.";
    CancelForgotten: "cancel-forgotten", Link, "A confirmation by hand leaves the open session open.";
    FeeRoundedTwice: "fee-rounded-twice", Link, "The fee is rounded to a tenth of a rupiah, and then to the rupiah.";
    FeeOfMinted: "fee-of-minted", Link, "The fee is taken from the amount that was asked for.";
    SettledByEvent: "settled-by-event", Storage, "A settlement is known by its event: one found by polling is booked again when it is told.";
    DuplicateBooked: "duplicate-booked", Storage, "A notification that comes again is booked again.";
    ExpiryBelieved: "expiry-believed", Link, "An expiry that is told after the payment ends the session once more.";
    LateMoneyIgnored: "late-money-ignored", Link, "Money that follows another end of its session is not booked.";
    ConfirmedAgain: "confirmed-again", Storage, "Money for an order that is confirmed confirms it again.";
    ExceptionForgotten: "exception-forgotten", Storage, "Money that could not confirm its order leaves no exception.";
    ParkedForgotten: "parked-forgotten", Link, "A parked notification stays so when its session becomes known.";
    ForeignAsRupiah: "foreign-as-rupiah", Link, "Money in another currency is booked as rupiah.";
    PollEndsAtExpiry: "poll-ends-at-expiry", Link, "The janitor asks no more once a session has ended unpaid.";
    BalanceOff: "balance-off", Storage, "A balance leaves the fees out.";
    SecretLogged: "secret-logged", Host, "A refused request is logged with its credential.";
    SecretsInPlain: "secrets-in-plain", Host, "What is to seal secrets at rest hides nothing.";
    ResealForgotten: "reseal-forgotten", Storage, "Secrets that are sealed anew stay as they were.";
    KeysForgottenEarly: "keys-forgotten-early", Host, "Old keys are forgotten while secrets are still sealed under them.";
    RedirectIsSuccess: "redirect-is-success", Host, "A redirect counts as a successful delivery.";
    NothingSwept: "nothing-swept", Host, "The receipts' store lists nothing, so that orphans stay.";
    QuarantineCutShort: "quarantine-cut-short", Host, "The next sweep deletes everything in quarantine, however young.";
    DueByHostClock: "due-by-host-clock", Storage, "What is due later is due by the clock of the host that said so.";
    KeyEndsByHostClock: "key-ends-by-host-clock", Storage, "A key ends by the clock of the host that used it, counted a hundred times as far off as it is.";
    InTransitAvailable: "in-transit-available", Link, "What is in transit counts as available again.";
    PostedWhenRequested: "posted-when-requested", Link, "A payout is posted when it is requested, and again when it is paid.";
    PaidNotPosted: "paid-not-posted", Link, "A payout that is paid is not posted.";
    CancelledInTransit: "cancelled-in-transit", Link, "A payout that is in transit can still be cancelled.";
    FundsGuardDropped: "funds-guard-dropped", Storage, "A commit looks at no version of the funds: two payouts spend the same rupiah.";
    PayoutGuardDropped: "payout-guard-dropped", Storage, "A commit looks at no payout's version: cancelling and marking as in transit both win.";
    FailedStaysInFlight: "failed-stays-in-flight", Link, "The money of a payout that failed stays in flight.";
    FundsCached: "funds-cached", Storage, "The balance behind what is available is told from a cache for a minute.";
    SettlementWritesFunds: "settlement-writes-funds", Link, "A settlement writes the funds, so that a storm of them starves payouts.";
    AdjustedAgain: "adjusted-again", Storage, "An adjustment is not known by its reference: told again, it is made again.";
    AdjustmentUnsigned: "adjustment-unsigned", Link, "An adjustment always goes to the seller, whatever its sign.";
    DestinationReadAnew: "destination-read-anew", Storage, "A payout to the default account goes to what that is by now.";
    PayoutByIdAlone: "payout-by-id-alone", Storage, "A payout is found by its id alone, whoever asks.";
    PayoutStepForgotten: "payout-step-forgotten", Storage, "A commit forgets the records of payouts' steps.";
    LedgerFoldedTwice: "ledger-folded-twice", Storage, "The folder adds deltas of a balance that it does not delete.";
    FoldTorn: "fold-torn", Storage, "The folder deletes deltas of a balance some time before it adds them up.";
    BooksCutShort: "books-cut-short", Storage, "A verification is handed no books.";
    DisabledForgets: "disabled-forgets", Storage, "Switching the module off begins the balance anew.";
    ResolvedAgain: "resolved-again", Storage, "An exception that is resolved is read as open.";
    OperatorsGated: "operators-gated", Host, "An operator's step is refused while the module is off.";
    AnybodyMovesPayouts: "anybody-moves-payouts", Host, "A seller's key marks payouts, as an operator's does.";
}

impl Bug {
    /// The bug of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }

    /// The storage with the bug in it, if it is one of the storage's.
    pub(crate) fn plant(self, storage: Arc<dyn WorkStorage>, clock: Arc<dyn Clock>) -> Arc<dyn WorkStorage> {
        match self.place() {
            Place::Storage => Arc::new(Planted::new(self, storage, clock, None)),
            Place::Link | Place::Host => storage,
        }
    }

    /// A host's way to the storage with the bug in it, if it is one of those.
    pub(crate) fn plant_in_link(
        self,
        storage: Arc<dyn WorkStorage>,
        clock: Arc<dyn Clock>,
        mailer: Arc<dyn Mailer>,
    ) -> Arc<dyn WorkStorage> {
        match self.place() {
            Place::Link => Arc::new(Planted::new(self, storage, clock, Some(mailer))),
            Place::Storage | Place::Host => storage,
        }
    }
}
