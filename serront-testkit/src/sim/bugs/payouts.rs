//! Planted bugs of balances, payouts and adjustments, in the storage or on the way to it.

use serront_core::changes::change::{ClaimName, Guard, Row, Write};
use serront_core::funds::ledger::{self, Book, Direction, EntryCode, SourceType};
use serront_core::ports::prelude::*;
use serront_core::primitives::ids::IdSequence;
use serront_core::primitives::money::Rupiah;
use ulid::Ulid;

use super::Bug;
use super::storage::{Defect, Totals};
use crate::memory::locked;

/// The duration of a torn fold, and the lifetime of a cached balance.
const TORN_MS: i64 = 1_000;
const CACHED_MS: i64 = 60_000;

fn add(totals: &mut Vec<CodeTotals>, of: &CodeTotals, sign: i64) {
    match totals.iter_mut().find(|known| known.code == of.code) {
        Some(known) => {
            known.debits += sign * of.debits;
            known.credits += sign * of.credits;
        }
        None => totals.push(CodeTotals { code: of.code, debits: sign * of.debits, credits: sign * of.credits }),
    }
}

fn is_from(source: SourceType, write: &Write) -> bool {
    matches!(write, Write::Post(legs) if legs.iter().all(|leg| leg.source_type == source))
}

impl Defect {
    pub(super) async fn balance(&self, account_id: AccountId) -> Result<Vec<CodeTotals>, PortError> {
        let mut totals = self.inner.balance(account_id).await?;
        self.spoil_totals(account_id, &mut totals, self.clock.now());
        if self.is(Bug::BalanceOff) {
            totals.retain(|of| of.code != EntryCode::ModuleFee);
        }
        Ok(totals)
    }

    pub(super) async fn funds(
        &self,
        account_id: AccountId,
        key: Option<Scope>,
    ) -> Result<Option<FundsSnapshot>, PortError> {
        let mut found = self.inner.funds(account_id, key).await?;
        if let Some(found) = &mut found {
            self.spoil_funds(found, self.clock.now()).await?;
        }
        Ok(found)
    }

    pub(super) async fn payout(
        &self,
        key: PayoutKey,
        scope: Option<Scope>,
    ) -> Result<Option<PayoutSnapshot>, PortError> {
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

    pub(super) async fn payouts(
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

    pub(super) async fn adjustment(
        &self,
        account_id: AccountId,
        key: &AdjustmentKey,
    ) -> Result<Option<Adjustment>, PortError> {
        if let (Bug::AdjustedAgain, AdjustmentKey::Reference(_)) = (self.bug, key) {
            return Ok(None);
        }
        self.inner.adjustment(account_id, key).await
    }

    pub(super) async fn fold_deltas(&self, limit: u32) -> Result<u64, PortError> {
        self.spoil_folding(self.clock.now());
        if self.is(Bug::FoldedTwice) {
            let mut memory = locked(&self.memory);
            let deltas = std::mem::take(&mut memory.deltas);
            memory.folded.extend(deltas);
        }
        self.inner.fold_deltas(limit).await
    }

    pub(super) async fn books(
        &self,
        account_id: Option<AccountId>,
        verification: &Verification,
    ) -> Result<(), PortError> {
        if self.is(Bug::BooksCutShort) {
            return Ok(());
        }
        self.inner.books(account_id, verification).await
    }

    async fn amount(&self, account: AccountId, id: PayoutId) -> Result<i64, PortError> {
        let found = self.inner.payout(PayoutKey::Id(account, id), None).await?;
        Ok(found.map_or(0, |found| found.payout.amount.get()))
    }

    pub(super) async fn spoil_payouts(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        let account = change.account_id;
        match self.bug {
            Bug::PostedWhenRequested => {
                for write in change.writes.clone() {
                    if let Write::InsertPayout(Payout { id, amount, .. }) = write {
                        let mut ids = IdSequence::from_seed(Ulid(self.fresh().0 << 16));
                        change.writes.push(Write::Post(ledger::payout(account, id, amount, change.at, &mut ids)));
                    }
                }
            }
            Bug::PaidNotPosted => change.writes.retain(|write| !is_from(SourceType::Payout, write)),
            Bug::FailedStaysInFlight => {
                for write in change.writes.clone() {
                    if let Write::UpdatePayout(id, state) = write
                        && state.status == PayoutStatus::Failed
                    {
                        let stays = self.amount(account, id).await?;
                        self.rewrite_funds(change, |in_flight| in_flight + stays);
                    }
                }
            }
            Bug::FundsGuardDropped => self.without_funds_guard(change).await?,
            Bug::PayoutGuardDropped => {
                for guard in &mut change.guards {
                    let Guard::Exact { row: Row::Payout(id), version } = guard else { continue };
                    let Some(found) = self.inner.payout(PayoutKey::Id(account, *id), None).await? else { continue };
                    *version = found.payout.state.version;
                    for write in &mut change.writes {
                        if let Write::UpdatePayout(_, state) = write {
                            state.version = version.next();
                        }
                    }
                }
            }
            Bug::SettlementWritesFunds => {
                if change.writes.iter().any(|write| is_from(SourceType::CheckoutSession, write))
                    && let Some(FundsSnapshot { funds, .. }) = self.inner.funds(account, None).await?
                {
                    change.guards.push(Guard::Exact { row: Row::Funds, version: funds.version });
                    change.writes.push(Write::PutFunds(funds.with(funds.in_flight)));
                }
            }
            Bug::AdjustedAgain => {
                let nth = self.fresh();
                for write in &mut change.writes {
                    if let Write::InsertAdjustment(made) = write {
                        made.reference = format!("{} {nth}", made.reference);
                    }
                }
                for claim in &mut change.claims {
                    if let ClaimName::Adjustment(reference) = &mut claim.name {
                        *reference = format!("{reference} {nth}");
                    }
                }
            }
            Bug::AdjustmentUnsigned => {
                for write in change.writes.iter_mut().filter(|write| is_from(SourceType::Adjustment, write)) {
                    let Write::Post(legs) = write else { continue };
                    for leg in legs {
                        leg.direction = if leg.book == Book::Seller { Direction::Credit } else { Direction::Debit };
                    }
                }
            }
            Bug::PayoutStepForgotten => change.writes.retain(|write| !matches!(write, Write::AppendPayoutAudit(_))),
            Bug::DisabledForgets => {
                let off = |write: &Write| matches!(write, Write::UpdateAccount(state) if !state.modules.payment);
                if change.writes.iter().any(off) {
                    let before = self.inner.balance(account).await?;
                    let mut totals = locked(&self.memory);
                    let surplus = &mut totals.totals.surplus;
                    surplus.retain(|(of, _)| *of != account);
                    for CodeTotals { code, debits, credits } in before {
                        surplus.push((account, CodeTotals { code, debits: -debits, credits: -credits }));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rewrite_funds(&self, change: &mut ChangeSet, rewrite: impl Fn(i64) -> i64) {
        for write in &mut change.writes {
            if let Write::PutFunds(funds) = write {
                funds.in_flight = Rupiah::new(rewrite(funds.in_flight.get())).unwrap_or_default();
            }
        }
    }

    /// Applies the change to the present amount in flight, so that the commit lands although its decision is stale.
    async fn without_funds_guard(&self, change: &mut ChangeSet) -> Result<(), PortError> {
        let account = change.account_id;
        let Some(FundsSnapshot { funds: now, .. }) = self.inner.funds(account, None).await? else { return Ok(()) };
        let mut moved = 0;
        for write in &change.writes {
            match write {
                Write::InsertPayout(payout) => moved += payout.amount.get(),
                Write::UpdatePayout(id, state) if !state.status.is_in_flight() => {
                    moved -= self.amount(account, *id).await?;
                }
                _ => {}
            }
        }
        for guard in &mut change.guards {
            if let Guard::Exact { row: Row::Funds, version } = guard {
                *version = now.version;
            }
        }
        for write in &mut change.writes {
            if let Write::PutFunds(funds) = write {
                *funds = now.with(Rupiah::new(now.in_flight.get() + moved).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Records the entries that were posted, for the bugs of folding.
    pub(super) fn remember_posted(&self, change: &ChangeSet) {
        let mut memory = locked(&self.memory);
        for write in &change.writes {
            let Write::Post(legs) = write else { continue };
            for leg in legs.iter().filter(|leg| leg.book == Book::Seller) {
                let amount = leg.amount.get();
                let (debits, credits) = if leg.direction == Direction::Debit { (amount, 0) } else { (0, amount) };
                let delta = CodeTotals { code: leg.code, debits, credits };
                memory.totals.unfolded.push((change.account_id, delta));
            }
        }
    }

    pub(super) fn spoil_folding(&self, now: Timestamp) {
        let mut memory = locked(&self.memory);
        let Totals { unfolded, surplus, missing, .. } = &mut memory.totals;
        match self.bug {
            Bug::LedgerFoldedTwice => surplus.append(unfolded),
            Bug::FoldTorn => {
                let until = Timestamp::from_millis(now.millis() + TORN_MS);
                missing.extend(unfolded.drain(..).map(|(account, delta)| (until, account, delta)));
            }
            _ => {}
        }
    }

    /// Changes the totals of a balance.
    pub(super) fn spoil_totals(&self, account: AccountId, totals: &mut Vec<CodeTotals>, now: Timestamp) {
        let mut memory = locked(&self.memory);
        let Totals { surplus, missing, cached, .. } = &mut memory.totals;
        for (_, delta) in surplus.iter().filter(|(of, _)| *of == account) {
            add(totals, delta, 1);
        }
        for (_, _, delta) in missing.iter().filter(|(until, of, _)| *until > now && *of == account) {
            add(totals, delta, -1);
        }
        if self.bug == Bug::FundsCached {
            cached.retain(|(at, _, _)| now.millis() - at.millis() < CACHED_MS);
            match cached.iter().find(|(_, of, _)| *of == account) {
                Some((_, _, known)) => totals.clone_from(known),
                None => cached.push((now, account, totals.clone())),
            }
        }
    }

    pub(super) async fn spoil_funds(&self, found: &mut FundsSnapshot, now: Timestamp) -> Result<(), PortError> {
        let account = found.funds.account_id;
        self.spoil_totals(account, &mut found.totals, now);
        if self.is(Bug::InTransitAvailable) {
            let limit = Limit::parse(Some("100")).map_err(PortError::permanent)?;
            let rows = self.inner.payouts(account, Some(PayoutStatus::InTransit), None, limit).await?.rows;
            let in_transit: i64 = rows.iter().map(|row| row.amount.get()).sum();
            found.funds.in_flight = Rupiah::new(found.funds.in_flight.get() - in_transit).unwrap_or_default();
        }
        Ok(())
    }

    /// Changes a payout that was read. `seller` says whether the seller reads it.
    pub(super) async fn spoil_payout(&self, payout: &mut Payout, seller: bool) -> Result<(), PortError> {
        match self.bug {
            Bug::CancelledInTransit if seller && payout.state.status == PayoutStatus::InTransit => {
                payout.state.status = PayoutStatus::Pending;
            }
            Bug::DestinationReadAnew if payout.state.status != PayoutStatus::Pending => {
                let default = self.inner.funds(payout.account_id, None).await?.and_then(|found| found.bank_account);
                if let Some(bank) = default.and_then(|account| account.details.complete()) {
                    payout.bank = bank;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
