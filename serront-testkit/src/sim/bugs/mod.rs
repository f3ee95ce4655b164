//! Planted bugs: mistakes that an adapter, a view or a host could make, one for each run. The simulator must catch every one.
//!
//! To add a bug of the storage, or of the way to it:
//! 1. Add its line to the list below.
//! 2. Change the method that it affects, in the file of the subject: `orders.rs`, `commits.rs`, `online.rs`, `payouts.rs` or
//!    `outbox.rs`. A method of [`Defect`](storage::Defect) replaces the storage's method of the same name.
//! 3. Write `docs/planted-bugs.md` again: `sim --bugs > docs/planted-bugs.md`.
//!
//! A bug of a host is in `host.rs`, or in a port of `outside.rs` or `plugipay.rs`.

mod commits;
pub(crate) mod host;
mod online;
mod orders;
mod outbox;
mod payouts;
mod storage;

/// The place of a bug.
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
        /// A planted bug.
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

            /// The mistake, in one sentence.
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
    OrderGuardDropped: "guard-dropped", Storage, "A commit ignores the versions of orders: the last writer wins.";
    WitnessDropped: "witness-dropped", Storage, "A commit ignores the settings epoch.";
    IdempotencyNotStored: "key-not-stored", Storage, "An outcome is not stored under its idempotency key.";
    ChangeSetIdForgotten: "change-set-id-forgotten", Storage, "A change set's id is not looked up: a resend lands again.";
    ConflictSwallowed: "conflict-swallowed", Storage, "A conflict is reported as a success.";
    MailForgotten: "mail-forgotten", Storage, "A commit drops its mails.";
    MailTwice: "mail-twice", Link, "A decision adds each mail twice, under two ids.";
    AuditForgotten: "audit-forgotten", Storage, "A commit drops its audit records.";
    NumberBeforeCommit: "number-gap", Storage, "A number is drawn before the commit, and lost if the commit fails.";
    AccountIgnored: "account-ignored", Storage, "An order is found by its id, regardless of the account.";
    KeyCached: "key-cached", Storage, "A deleted API key still works if it was used before.";
    StaleRead: "stale-read", Storage, "An order is cached for a minute.";
    LeaseIgnored: "lease-ignored", Storage, "A leased effect is leased again.";
    FenceIgnored: "fence-ignored", Storage, "A worker that lost its lease still writes into the log.";
    SubscriptionLimitIgnored: "subscription-limit-ignored", Storage, "One subscription may hold any number of deliveries.";
    SharesIgnored: "shares-ignored", Storage, "The limits for one account and for failing subscriptions are ignored.";
    OldSecretForgotten: "old-secret-forgotten", Storage, "A replaced secret stops signing immediately.";
    OldSecretKept: "old-secret-kept", Storage, "A replaced secret never stops signing.";
    OldTokenOpens: "old-token-opens", Storage, "A replaced access token still opens its order.";
    SwitchedOffEarly: "switched-off-early", Storage, "A subscription is disabled after its first failed attempt.";
    NeverSwitchedOff: "never-switched-off", Storage, "Failures in a row are not counted, so no subscription is disabled.";
    SwitchOffUntold: "switch-off-untold", Link, "A subscription is disabled without an event.";
    RequeueForgotten: "requeue-forgotten", Storage, "An effect that is retried manually is not queued.";
    DoneWhenTaken: "done-when-taken", Storage, "An effect is recorded as succeeded when it is leased.";
    BodyRenderedAgain: "body-rendered-again", Storage, "A retry has a different body than the first attempt.";
    EventIdRenewed: "event-id-renewed", Storage, "A retry has a different event id than the first attempt.";
    PausedPosted: "paused-posted", Storage, "A delivery is posted to a paused subscription.";
    RetriedEarly: "retried-early", Storage, "A retry comes too early.";
    GivenUpEarly: "given-up-early", Storage, "An effect is given up before its schedule ends.";
    FoldedTwice: "folded-twice", Storage, "The folder adds deltas and does not delete them.";
    PendingPruned: "pending-pruned", Storage, "Pruning deletes pending effects.";
    NamedUploadsForgotten: "named-uploads-forgotten", Storage, "The sweeper learns that no payment refers to any upload.";
    SentBeforeCommit: "sent-before-commit", Link, "A mail is sent before its commit lands.";
    UnknownIsConflict: "unknown-is-conflict", Link, "An unknown outcome of a commit is treated as a conflict.";
    UnknownIsSuccess: "unknown-is-success", Link, "An unknown outcome of a commit is treated as success.";
    UnknownIsFailure: "unknown-is-failure", Link, "An unknown outcome of a commit is treated as failure.";
    BankDetailsAfterConfirmation: "bank-details-stay", Host, "A view still shows the bank details after the confirmation.";
    BankDetailsOnStorefront: "bank-details-on-storefront", Host, "The storefront's page shows the bank details, which only buyers with an order may see.";
    IdempotencyByKeyOnly: "key-without-body", Host, "An idempotency key is accepted with a different body.";
    RefusalsKept: "refusals-kept", Host, "A refusal is stored under its idempotency key, and returned again.";
    ModuleAlwaysAvailable: "module-always-available", Host, "A module can be enabled before it is set up.";
    SignatureNotChecked: "signature-not-checked", Host, "A notification is accepted with any signature.";
    StaleAccepted: "stale-accepted", Host, "A notification is accepted with a signature of any age.";
    DisabledStopsSettlements: "disabled-stops-settlements", Host, "While the module is disabled, notifications are acknowledged and dropped.";
    NewKeyOnResend: "new-key-on-resend", Host, "Each resend of a minting call has a new idempotency key.";
    UnknownMintIsRefusal: "unknown-mint-is-refusal", Host, "An unknown outcome of a minting call is treated as a refusal.";
    IntentNotCommitted: "intent-not-committed", Link, "A session is minted before its intent is committed.";
    CancelForgotten: "cancel-forgotten", Link, "A manual confirmation does not cancel the open session.";
    FeeRoundedTwice: "fee-rounded-twice", Link, "The fee is rounded to a tenth of a rupiah first, and then to the rupiah.";
    FeeOfMinted: "fee-of-minted", Link, "The fee is calculated from the requested amount, not from the paid one.";
    SettledByEvent: "settled-by-event", Storage, "A settlement is recognized only by its event: one found by polling is booked again when its event arrives.";
    DuplicateBooked: "duplicate-booked", Storage, "A repeated notification is booked again.";
    ExpiryBelieved: "expiry-believed", Link, "An expiry that arrives after the payment ends the session again.";
    LateMoneyIgnored: "late-money-ignored", Link, "Money that arrives after its session ended unpaid is not booked.";
    ConfirmedAgain: "confirmed-again", Storage, "Money for a confirmed order confirms it again.";
    ExceptionForgotten: "exception-forgotten", Storage, "Money that could not confirm its order creates no exception.";
    ParkedForgotten: "parked-forgotten", Link, "A parked notification stays parked when its session becomes known.";
    ForeignAsRupiah: "foreign-as-rupiah", Link, "Money in another currency is booked as rupiah.";
    PollEndsAtExpiry: "poll-ends-at-expiry", Link, "The janitor stops polling once a session has ended unpaid.";
    BalanceOff: "balance-off", Storage, "A balance does not include the fees.";
    SecretLogged: "secret-logged", Host, "A refused request is logged with its credential.";
    SecretsInPlain: "secrets-in-plain", Host, "The sealer stores secrets in plain text.";
    ResealForgotten: "reseal-forgotten", Storage, "Secrets are not sealed again under the new key.";
    KeysForgottenEarly: "keys-forgotten-early", Host, "Old keys are deleted while secrets are still sealed under them.";
    RedirectIsSuccess: "redirect-is-success", Host, "A redirect counts as a successful delivery.";
    NothingSwept: "nothing-swept", Host, "The receipts' store lists nothing, so orphans stay.";
    QuarantineCutShort: "quarantine-cut-short", Host, "The next sweep deletes everything in quarantine, regardless of age.";
    DueByHostClock: "due-by-host-clock", Storage, "Due times follow the clock of the host that set them.";
    KeyEndsByHostClock: "key-ends-by-host-clock", Storage, "An idempotency key ends by the host's clock, with a hundred times its error.";
    InTransitAvailable: "in-transit-available", Link, "Money in transit counts as available again.";
    PostedWhenRequested: "posted-when-requested", Link, "A payout is posted when it is requested, and again when it is paid.";
    PaidNotPosted: "paid-not-posted", Link, "A paid payout is not posted.";
    CancelledInTransit: "cancelled-in-transit", Link, "A payout in transit can still be cancelled.";
    FundsGuardDropped: "funds-guard-dropped", Storage, "A commit ignores the version of the funds: two payouts spend the same rupiah.";
    PayoutGuardDropped: "payout-guard-dropped", Storage, "A commit ignores the versions of payouts: cancelling and marking as in transit both land.";
    FailedStaysInFlight: "failed-stays-in-flight", Link, "The money of a failed payout stays in flight.";
    FundsCached: "funds-cached", Storage, "The balance is cached for a minute.";
    SettlementWritesFunds: "settlement-writes-funds", Link, "A settlement writes the funds, so many settlements starve payouts.";
    AdjustedAgain: "adjusted-again", Storage, "An adjustment's reference is ignored: a repeated adjustment is made again.";
    AdjustmentUnsigned: "adjustment-unsigned", Link, "An adjustment always credits the seller, regardless of its sign.";
    DestinationReadAnew: "destination-read-anew", Storage, "A payout follows later changes of the default bank account.";
    PayoutByIdAlone: "payout-by-id-alone", Storage, "A payout is found by its id, regardless of the account.";
    PayoutStepForgotten: "payout-step-forgotten", Storage, "A commit drops the records of payouts' steps.";
    LedgerFoldedTwice: "ledger-folded-twice", Storage, "The folder adds a balance's deltas and does not delete them.";
    FoldTorn: "fold-torn", Storage, "The folder deletes a balance's deltas some time before it adds them.";
    BooksCutShort: "books-cut-short", Storage, "A verification gets no books.";
    DisabledForgets: "disabled-forgets", Storage, "Disabling the module resets the balance.";
    ResolvedAgain: "resolved-again", Storage, "A resolved exception is read as open.";
    OperatorsGated: "operators-gated", Host, "An operator's step is refused while the module is disabled.";
    AnybodyMovesPayouts: "anybody-moves-payouts", Host, "A seller's key can mark payouts, as an operator's key can.";
}

impl Bug {
    /// The bug of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}
