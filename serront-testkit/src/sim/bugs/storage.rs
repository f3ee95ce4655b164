//! Planted bugs of a storage adapter, or of the way to it: a storage around another one, which gets one thing wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serront_core::accounts::key::KeyRecord;
use serront_core::accounts::sealed::SealedSecret;
use serront_core::changes::change::{ChangeSet, ClaimName, Committed, Guard, Row, Write};
use serront_core::changes::effect::{
    Attempt, DeliveryRecord, Discard, Effect, EffectId, EffectRecord, EffectStatus, Lane,
};
use serront_core::changes::idempotency::Scope;
use serront_core::funds::books::Verification;
use serront_core::funds::ledger::{Adjustment, CodeTotals, EntryCode, LedgerEntry};
use serront_core::funds::payout::{Payout, PayoutAudit, PayoutStatus};
use serront_core::online::exception::{ExceptionStatus, PaymentException};
use serront_core::online::inbox::InboxRecord;
use serront_core::online::provisioning::Provisioning;
use serront_core::orders::audit::AuditRecord;
use serront_core::orders::mail::{BuiltInTemplates, render};
use serront_core::orders::order::{OrderNumber, WorkCounts, WorkStatus};
use serront_core::policy::DeliveryShares;
use serront_core::ports::{Clock, CommitError, Mailer, PortError, PortErrorKind, RecordError, Storage, WorkStorage};
use serront_core::primitives::digest::Digest256;
use serront_core::primitives::ids::{
    AccountId, ChangeSetId, CheckoutId, DeliveryId, EventId, ExceptionId, InstallationId, KeyId, MailId, OrderId,
    PayoutId, ServiceId, SubscriptionId, UploadId,
};
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::provider::{MerchantId, ProviderEventId, SessionId};
use serront_core::primitives::text::Slug;
use serront_core::primitives::time::Timestamp;
use serront_core::shop::catalog::Service;
use serront_core::snapshots::set_aside::SetAsides;
use serront_core::snapshots::{
    AccountSnapshot, AdjustmentKey, CheckoutSnapshot, Due, DueEffect, ExceptionSnapshot, Fence, FundsSnapshot,
    InstallationRow, NextAttempt, OrderKey, OrderSnapshot, PayoutKey, PayoutSnapshot, Prune, Pruned, ServiceSnapshot,
    SessionSnapshot, ShopSnapshot, SubscriptionSecrets,
};
use serront_core::snapshots::{
    DeliveryFilter, DeliveryPosition, EffectPosition, EntryFilter, EntryPosition, ExceptionPosition, OrderFilter,
    OrderRow, PayoutPosition,
};
use serront_core::webhooks::event::EventType;
use serront_core::webhooks::subscription::Streak;
use ulid::Ulid;

use super::Bug;
use super::payouts::Totals;
use crate::memory::locked;

/// What the bugs wrongly remember.
#[derive(Default)]
pub(super) struct Memory {
    made: u64,
    pub(super) taken: BTreeMap<EffectId, Due>,
    gone: BTreeSet<EffectId>,
    pending: BTreeSet<EffectId>,
    tokens: BTreeMap<OrderId, Digest256>,
    /// The order that each token opens, or once opened.
    opened_by: BTreeMap<Digest256, (AccountId, OrderId)>,
    keys: BTreeMap<Digest256, KeyRecord>,
    orders: BTreeMap<OrderId, (Timestamp, OrderSnapshot)>,
    deltas: Vec<(AccountId, WorkStatus, bool)>,
    folded: Vec<(AccountId, WorkStatus, bool)>,
    /// From these numbers on, each number is one higher.
    gaps: BTreeMap<AccountId, Vec<u32>>,
    pub(super) totals: Totals,
}

/// A storage with one bug.
pub(super) struct Planted {
    pub(super) bug: Bug,
    pub(super) inner: Arc<dyn WorkStorage>,
    clock: Arc<dyn Clock>,
    mailer: Option<Arc<dyn Mailer>>,
    pub(super) memory: Mutex<Memory>,
}

impl Planted {
    pub(super) fn new(
        bug: Bug,
        inner: Arc<dyn WorkStorage>,
        clock: Arc<dyn Clock>,
        mailer: Option<Arc<dyn Mailer>>,
    ) -> Self {
        Self { bug, inner, clock, mailer, memory: Mutex::default() }
    }

    pub(super) fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    pub(super) fn fresh(&self) -> Ulid {
        let mut memory = locked(&self.memory);
        memory.made += 1;
        Ulid::from_parts(1, memory.made.into())
    }

    /// Writes whatever was decided over whatever is there.
    async fn without_order_guards(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        for guard in &mut change.guards {
            let Guard::Exact { row: Row::Order(id), version } = guard else { continue };
            let Some(order) = self.inner.order(OrderKey::Id(change.account_id, *id), None).await? else { continue };
            *version = order.order.state.version;
            for write in &mut change.writes {
                if let Write::UpdateOrder { was, state, .. } = write {
                    *was = order.order.state.status;
                    state.version = order.order.state.version.next();
                }
            }
        }
        Ok(())
    }

    /// What the change set becomes on its way.
    async fn spoilt(&self, change: &ChangeSet) -> Result<ChangeSet, PortError> {
        let mut change = change.clone();
        let places = change.places_order();
        match self.bug {
            Bug::OrderGuardDropped => self.without_order_guards(&mut change).await?,
            Bug::WitnessDropped => change.guards.retain(|guard| !matches!(guard, Guard::Settings(_))),
            Bug::IdempotencyNotStored => {
                change.claims.retain(|claim| !matches!(claim.name, ClaimName::Idempotency(_)));
            }
            Bug::ChangeSetIdForgotten => change.id = ChangeSetId::from_ulid(self.fresh()),
            Bug::PausedPosted => change.writes.retain(|write| !matches!(write, Write::GiveUpDeliveries(_))),
            // As if the two clocks said the same.
            Bug::DueByHostClock => change.at = self.clock.now(),
            Bug::KeyEndsByHostClock => {
                let off = change.at.millis() - self.clock.now().millis();
                for kept in change.claims.iter_mut().filter_map(|claim| claim.kept.as_mut()) {
                    kept.until = Timestamp::from_millis(kept.until.millis().saturating_add(off.saturating_mul(100)));
                }
            }
            Bug::OldSecretKept => {
                for write in &mut change.writes {
                    if let Write::RotateSecret { previous_until, .. } = write {
                        *previous_until = previous_until.plus(Duration::from_secs(1_000_000_000));
                    }
                }
            }
            Bug::SwitchOffUntold => change.effects.retain(
                |effect| !matches!(effect, Effect::Delivery(of) if of.event_type == EventType::SubscriptionDisabled),
            ),
            Bug::RequeueForgotten => change.writes.retain(|write| !matches!(write, Write::Requeue(_))),
            Bug::ResealForgotten => change.writes.retain(|write| !matches!(write, Write::ResealSecrets { .. })),
            Bug::MailForgotten => change.effects.retain(|effect| !matches!(effect, Effect::Mail { .. })),
            Bug::MailTwice => {
                let mut copies = Vec::new();
                for effect in &change.effects {
                    if let Effect::Mail { mail, .. } = effect {
                        copies.push(Effect::Mail { id: MailId::from_ulid(self.fresh()), mail: mail.clone() });
                    }
                }
                change.effects.extend(copies);
            }
            Bug::AuditForgotten if !places => {
                change.writes.retain(|write| !matches!(write, Write::AppendAudit(_)));
            }
            _ => self.spoil_money(&mut change).await?,
        }
        Ok(change)
    }

    fn remember(&self, change: &ChangeSet) {
        let mut memory = locked(&self.memory);
        memory.pending.extend(change.effects.iter().map(Effect::id));
        for write in &change.writes {
            match write {
                Write::InsertOrder(order, _) => {
                    memory.tokens.insert(order.id, order.access_token.hash());
                    memory.opened_by.insert(order.access_token.hash(), (change.account_id, order.id));
                    memory.deltas.push((change.account_id, order.state.status, true));
                }
                Write::RotateToken { id, access_token, .. } => {
                    memory.tokens.insert(*id, access_token.hash());
                    memory.opened_by.insert(access_token.hash(), (change.account_id, *id));
                }
                Write::UpdateOrder { was, state, .. } if *was != state.status => {
                    memory.deltas.push((change.account_id, *was, false));
                    memory.deltas.push((change.account_id, state.status, true));
                }
                _ => {}
            }
        }
    }

    /// The number that is told instead of this one.
    fn shifted(&self, account: AccountId, number: OrderNumber) -> OrderNumber {
        let memory = locked(&self.memory);
        let gaps = memory.gaps.get(&account).into_iter().flatten().filter(|from| **from <= number.0).count();
        OrderNumber(number.0.saturating_add(u32::try_from(gaps).unwrap_or(0)))
    }

    /// A number was drawn before the commit failed, and is lost.
    async fn lose_number(&self, account: AccountId) -> Result<(), PortError> {
        let limit = Limit::parse(None).map_err(PortError::permanent)?;
        let newest = self.inner.orders(account, &OrderFilter::default(), None, limit).await?;
        let next = newest.rows.first().map_or(1, |row| row.number.0.saturating_add(1));
        locked(&self.memory).gaps.entry(account).or_default().push(next);
        Ok(())
    }

    /// Sends the mails of a change set that may never land.
    async fn send_early(&self, change: &ChangeSet) {
        for effect in &change.effects {
            if let (Effect::Mail { id, mail }, Some(mailer)) = (effect, &self.mailer) {
                let _ = mailer.send(&render(&BuiltInTemplates, *id, mail)).await;
            }
        }
    }

    fn spoil_due(&self, due: &mut Due) {
        let bug = self.bug;
        let fresh = self.fresh();
        if let DueEffect::Delivery { event_id, body, target, .. } = &mut due.effect {
            match bug {
                Bug::BodyRenderedAgain if due.attempts > 0 => body.push(' '),
                Bug::EventIdRenewed if due.attempts > 0 => *event_id = EventId::from_ulid(fresh),
                Bug::OldSecretForgotten => {
                    if let Some(target) = target {
                        target.previous_secret = None;
                    }
                }
                Bug::PausedPosted => {
                    if let Some(target) = target {
                        target.subscription.state.active = true;
                    }
                }
                _ => {}
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Storage for Planted {
    async fn account(&self, id: AccountId, key: Option<Scope>) -> Result<Option<AccountSnapshot>, PortError> {
        self.inner.account(id, key).await
    }

    async fn service(
        &self,
        account_id: AccountId,
        id: ServiceId,
        key: Option<Scope>,
    ) -> Result<Option<ServiceSnapshot>, PortError> {
        self.inner.service(account_id, id, key).await
    }

    async fn shop(&self, slug: &Slug, scope: Option<Scope>) -> Result<Option<ShopSnapshot>, PortError> {
        self.inner.shop(slug, scope).await
    }

    async fn order(&self, key: OrderKey, scope: Option<Scope>) -> Result<Option<OrderSnapshot>, PortError> {
        let mut key = key;
        if let (Bug::AccountIgnored, OrderKey::Id(_, id)) = (self.bug, key)
            && let Some(token) = locked(&self.memory).tokens.get(&id)
        {
            key = OrderKey::Token(*token);
        }
        if let (Bug::OldTokenOpens, OrderKey::Token(token)) = (self.bug, key)
            && let Some((account, id)) = locked(&self.memory).opened_by.get(&token)
        {
            key = OrderKey::Id(*account, *id);
        }
        let now = self.clock.now();
        if let (Bug::StaleRead, OrderKey::Id(_, id), None) = (self.bug, key, scope)
            && let Some((at, snapshot)) = locked(&self.memory).orders.get(&id)
            && now.since(*at) < Duration::from_secs(60)
        {
            return Ok(Some(snapshot.clone()));
        }
        let mut found = self.inner.order(key, scope).await?;
        if let Some(snapshot) = &mut found {
            snapshot.number = self.shifted(snapshot.account.id, snapshot.number);
            if self.is(Bug::StaleRead) {
                locked(&self.memory).orders.insert(snapshot.order.id, (now, snapshot.clone()));
            }
        }
        Ok(found)
    }

    async fn key(&self, hash: Digest256) -> Result<Option<KeyRecord>, PortError> {
        if self.is(Bug::KeyCached)
            && let Some(known) = locked(&self.memory).keys.get(&hash)
        {
            return Ok(Some(known.clone()));
        }
        let found = self.inner.key(hash).await?;
        if let Some(found) = &found {
            locked(&self.memory).keys.insert(hash, found.clone());
        }
        Ok(found)
    }

    async fn keys(&self, account_id: AccountId) -> Result<Vec<KeyRecord>, PortError> {
        self.inner.keys(account_id).await
    }

    async fn services(&self, account_id: AccountId) -> Result<Vec<Service>, PortError> {
        self.inner.services(account_id).await
    }

    async fn orders(
        &self,
        account_id: AccountId,
        filter: &OrderFilter,
        after: Option<OrderNumber>,
        limit: Limit,
    ) -> Result<Page<OrderRow>, PortError> {
        let mut page = self.inner.orders(account_id, filter, after, limit).await?;
        for row in &mut page.rows {
            row.number = self.shifted(account_id, row.number);
        }
        Ok(page)
    }

    async fn counts(&self, account_id: AccountId) -> Result<WorkCounts, PortError> {
        let mut counts = self.inner.counts(account_id).await?;
        for (_, status, more) in locked(&self.memory).folded.iter().filter(|(account, ..)| *account == account_id) {
            let count = counts.of(*status);
            *count = if *more { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
        Ok(counts)
    }

    async fn audit(&self, account_id: AccountId, order_id: OrderId) -> Result<Vec<AuditRecord>, PortError> {
        self.inner.audit(account_id, order_id).await
    }

    async fn deliveries(
        &self,
        account_id: AccountId,
        filter: &DeliveryFilter,
        after: Option<DeliveryPosition>,
        limit: Limit,
    ) -> Result<Page<DeliveryRecord>, PortError> {
        self.inner.deliveries(account_id, filter, after, limit).await
    }

    async fn delivery(&self, account_id: AccountId, id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        self.inner.delivery(account_id, id).await
    }

    async fn effect(&self, account_id: AccountId, id: EffectId) -> Result<Option<EffectRecord>, PortError> {
        self.inner.effect(account_id, id).await
    }

    async fn merchant(&self, id: &MerchantId) -> Result<Option<Provisioning>, PortError> {
        self.inner.merchant(id).await
    }

    async fn checkout(&self, account_id: AccountId, id: CheckoutId) -> Result<Option<CheckoutSnapshot>, PortError> {
        let mut found = self.inner.checkout(account_id, id).await?;
        found.iter_mut().for_each(|found| self.spoil_checkout(found));
        Ok(found)
    }

    async fn session(
        &self,
        account_id: AccountId,
        id: &SessionId,
        event_id: Option<ProviderEventId>,
    ) -> Result<SessionSnapshot, PortError> {
        let asked = event_id.is_some();
        let mut found = self.inner.session(account_id, id, event_id).await?;
        self.spoil_session(&mut found, asked);
        Ok(found)
    }

    async fn inbox(&self, account_id: AccountId, id: &ProviderEventId) -> Result<Option<InboxRecord>, PortError> {
        self.inner.inbox(account_id, id).await
    }

    async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        let mut totals = self.inner.balance(account_id).await?;
        self.spoil_totals(account_id, &mut totals, self.clock.now());
        if self.is(Bug::BalanceOff) {
            totals.retain(|of| of.code != EntryCode::ModuleFee);
        }
        Ok(totals)
    }

    async fn entries(
        &self,
        account_id: AccountId,
        filter: &EntryFilter,
        after: Option<EntryPosition>,
        limit: Limit,
    ) -> Result<Page<LedgerEntry>, PortError> {
        self.inner.entries(account_id, filter, after, limit).await
    }

    async fn exceptions(
        &self,
        account_id: AccountId,
        status: Option<ExceptionStatus>,
        after: Option<ExceptionPosition>,
        limit: Limit,
    ) -> Result<Page<PaymentException>, PortError> {
        self.inner.exceptions(account_id, status, after, limit).await
    }

    async fn exception(
        &self,
        account_id: AccountId,
        id: ExceptionId,
        key: Option<Scope>,
    ) -> Result<Option<ExceptionSnapshot>, PortError> {
        let mut found = self.inner.exception(account_id, id, key).await?;
        if let (true, Some(found)) = (self.is(Bug::ResolvedAgain), &mut found) {
            found.exception.state.status = ExceptionStatus::Open;
        }
        Ok(found)
    }

    async fn funds(&self, account_id: AccountId, key: Option<Scope>) -> Result<Option<FundsSnapshot>, PortError> {
        let mut found = self.inner.funds(account_id, key).await?;
        if let Some(found) = &mut found {
            self.spoil_funds(found, self.clock.now()).await?;
        }
        Ok(found)
    }

    async fn payout(&self, key: PayoutKey, scope: Option<Scope>) -> Result<Option<PayoutSnapshot>, PortError> {
        let seller = matches!(key, PayoutKey::Id(..));
        let key = match key {
            PayoutKey::Id(_, id) if self.is(Bug::PayoutByIdAlone) => PayoutKey::Any(id),
            key => key,
        };
        let mut found = self.inner.payout(key, scope).await?;
        if let Some(found) = &mut found {
            self.spoil_payout(&mut found.payout, seller).await?;
        }
        Ok(found)
    }

    async fn payouts(
        &self,
        account_id: AccountId,
        status: Option<PayoutStatus>,
        after: Option<PayoutPosition>,
        limit: Limit,
    ) -> Result<Page<Payout>, PortError> {
        let mut page = self.inner.payouts(account_id, status, after, limit).await?;
        for row in &mut page.rows {
            self.spoil_payout(row, false).await?;
        }
        Ok(page)
    }

    async fn payout_audit(&self, account_id: AccountId, id: PayoutId) -> Result<Vec<PayoutAudit>, PortError> {
        self.inner.payout_audit(account_id, id).await
    }

    async fn adjustment(&self, account_id: AccountId, key: &AdjustmentKey) -> Result<Option<Adjustment>, PortError> {
        if let (Bug::AdjustedAgain, AdjustmentKey::Reference(_)) = (self.bug, key) {
            return Ok(None);
        }
        self.inner.adjustment(account_id, key).await
    }

    async fn outcome(&self, account_id: AccountId, id: ChangeSetId) -> Result<Option<Committed>, PortError> {
        self.inner.outcome(account_id, id).await
    }

    async fn commit(&self, change: &ChangeSet) -> Result<Committed, CommitError> {
        let begins = change.writes.iter().any(|write| matches!(write, Write::InsertCheckout(_)));
        if begins && self.is(Bug::IntentNotCommitted) {
            return Ok(Committed { number: None });
        }
        let spoilt = self.spoilt(change).await?;
        if self.is(Bug::SentBeforeCommit) {
            self.send_early(change).await;
        }
        let result = self.inner.commit(&spoilt).await;
        match (self.bug, result) {
            (_, Ok(mut committed)) => {
                self.remember(change);
                self.remember_posted(change);
                committed.number = committed.number.map(|number| self.shifted(change.account_id, number));
                Ok(committed)
            }
            (Bug::ConflictSwallowed, Err(CommitError::Conflict)) => Ok(Committed { number: None }),
            (Bug::NumberBeforeCommit, Err(CommitError::Conflict)) if change.places_order() => {
                self.lose_number(change.account_id).await?;
                Err(CommitError::Conflict)
            }
            (bug, Err(CommitError::Port(error))) if error.kind() == PortErrorKind::OutcomeUnknown => match bug {
                Bug::UnknownIsConflict => Err(CommitError::Conflict),
                Bug::UnknownIsSuccess => Ok(Committed { number: None }),
                Bug::UnknownIsFailure => Err(PortError::transient("it surely did not happen").into()),
                _ => Err(error.into()),
            },
            (_, Err(error)) => Err(error),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl WorkStorage for Planted {
    async fn take_due(
        &self,
        lane: Lane,
        limit: u32,
        shares: DeliveryShares,
        lease: Duration,
    ) -> Result<Vec<Due>, PortError> {
        let shares = match self.bug {
            Bug::SubscriptionLimitIgnored => DeliveryShares { per_subscription: u32::MAX, ..shares },
            Bug::SharesIgnored => DeliveryShares { per_account: u32::MAX, failing: u32::MAX, ..shares },
            _ => shares,
        };
        let mut due = self.inner.take_due(lane, limit, shares, lease).await?;
        let mut lost = Vec::new();
        {
            let mut memory = locked(&self.memory);
            if self.is(Bug::LeaseIgnored) {
                let again = memory.taken.values().filter(|due| due.id.lane() == lane).cloned();
                due.extend(again.map(|due| Due { fence: Fence(due.fence.0 + 1), ..due }));
            }
            due.retain(|due| !memory.gone.contains(&due.id));
            for due in &due {
                memory.taken.insert(due.id, due.clone());
            }
            if self.is(Bug::DoneWhenTaken) {
                lost.extend(due.iter().cloned());
            }
        }
        for due in lost {
            let attempt = Attempt {
                attempt_number: due.attempts.saturating_add(1),
                status: EffectStatus::Succeeded,
                response_code: None,
                error: None,
                duration_ms: 0,
                attempted_at: self.clock.now(),
                next_retry_at: None,
            };
            let _ =
                self.inner.record_attempt(due.account_id, due.id, due.fence, &attempt, NextAttempt::Succeeded).await;
        }
        due.iter_mut().for_each(|due| self.spoil_due(due));
        Ok(due)
    }

    async fn complete_before(&self) -> Result<Timestamp, PortError> {
        self.inner.complete_before().await
    }

    async fn next_due(&self, lane: Lane) -> Result<Option<Timestamp>, PortError> {
        if !locked(&self.memory).gone.is_empty() {
            return Ok(None);
        }
        self.inner.next_due(lane).await
    }

    async fn record_attempt(
        &self,
        account_id: AccountId,
        id: EffectId,
        fence: Fence,
        attempt: &Attempt,
        next: NextAttempt,
    ) -> Result<(), RecordError> {
        if self.is(Bug::DoneWhenTaken) {
            return Ok(());
        }
        let known = locked(&self.memory).taken.get(&id).map(|due| due.fence);
        let fence = if self.is(Bug::FenceIgnored) { known.unwrap_or(fence) } else { fence };
        let next = match (self.bug, next) {
            (Bug::RetriedEarly, NextAttempt::At(time)) => {
                NextAttempt::At(self.clock.now().plus(time.since(self.clock.now()) / 4))
            }
            (Bug::GivenUpEarly, NextAttempt::At(_)) if attempt.attempt_number >= 3 => NextAttempt::Failed,
            (Bug::PollEndsAtExpiry, NextAttempt::At(_)) if self.has_ended_unpaid(account_id, id).await? => {
                NextAttempt::Succeeded
            }
            (_, next) => next,
        };
        self.inner.record_attempt(account_id, id, fence, attempt, next).await?;
        let mut memory = locked(&self.memory);
        memory.taken.remove(&id);
        if !matches!(next, NextAttempt::At(_)) {
            memory.pending.remove(&id);
        }
        Ok(())
    }

    async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        self.spoil_folding(self.clock.now());
        if self.is(Bug::FoldedTwice) {
            let mut memory = locked(&self.memory);
            let deltas = std::mem::take(&mut memory.deltas);
            memory.folded.extend(deltas);
        }
        self.inner.fold_deltas(limit).await
    }

    async fn waiting(&self, parked_before: Timestamp, limit: u32) -> Result<Vec<InboxRecord>, PortError> {
        self.inner.waiting(parked_before, limit).await
    }

    async fn payouts_in_flight(&self, after: Option<PayoutPosition>, limit: Limit) -> Result<Page<Payout>, PortError> {
        self.inner.payouts_in_flight(after, limit).await
    }

    async fn streak(&self, account_id: AccountId, id: SubscriptionId) -> Result<Option<Streak>, PortError> {
        let streak = self.inner.streak(account_id, id).await?;
        if self.is(Bug::SwitchedOffEarly) {
            return Ok(streak.map(|_| Streak { failures: u32::MAX, since: Timestamp::from_millis(0) }));
        }
        if self.is(Bug::NeverSwitchedOff) {
            return Ok(None);
        }
        Ok(streak)
    }

    async fn subscription_secrets(
        &self,
        after: Option<SubscriptionId>,
        limit: Limit,
    ) -> Result<Page<SubscriptionSecrets>, PortError> {
        self.inner.subscription_secrets(after, limit).await
    }

    async fn provisionings(&self, after: Option<AccountId>, limit: Limit) -> Result<Page<Provisioning>, PortError> {
        self.inner.provisionings(after, limit).await
    }

    async fn given_up(&self, after: Option<EffectPosition>, limit: Limit) -> Result<Page<EffectRecord>, PortError> {
        self.inner.given_up(after, limit).await
    }

    async fn discards(&self, limit: u32) -> Result<Vec<Discard>, PortError> {
        self.inner.discards(limit).await
    }

    async fn set_aside(&self, limit: u32) -> Result<SetAsides, PortError> {
        self.inner.set_aside(limit).await
    }

    async fn books(&self, account_id: Option<AccountId>, verification: &Verification) -> Result<(), PortError> {
        if self.is(Bug::BooksCutShort) {
            return Ok(());
        }
        self.inner.books(account_id, verification).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, PortError> {
        if self.is(Bug::PendingPruned) {
            let mut memory = locked(&self.memory);
            let pending = memory.pending.clone();
            memory.gone.extend(pending);
        }
        self.inner.prune(prune).await
    }

    async fn touch_key(&self, account_id: AccountId, id: KeyId, pause: Duration) -> Result<(), PortError> {
        self.inner.touch_key(account_id, id, pause).await
    }

    async fn named_uploads(&self, uploads: &[(AccountId, UploadId)]) -> Result<Vec<UploadId>, PortError> {
        if self.is(Bug::NamedUploadsForgotten) {
            return Ok(Vec::new());
        }
        self.inner.named_uploads(uploads).await
    }

    async fn now(&self) -> Result<Timestamp, PortError> {
        self.inner.now().await
    }

    async fn installation(&self) -> Result<InstallationRow, PortError> {
        self.inner.installation().await
    }

    async fn begin_installation(&self, id: InstallationId) -> Result<InstallationId, PortError> {
        self.inner.begin_installation(id).await
    }

    async fn put_key_check(&self, was: Option<SealedSecret>, check: SealedSecret) -> Result<bool, PortError> {
        self.inner.put_key_check(was, check).await
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.inner.ready().await
    }
}
