//! Rule 8: with the module off, online payment, ledger and payouts answer `PAYMENT_MODULE_DISABLED`, except to
//! operators (the oracle checks when). After it is on again, balance and history are unchanged, and nothing is
//! provisioned a second time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serront_core::changes::change::{ChangeSet, Write};
use serront_core::funds::ledger::{Book, Direction};
use serront_core::online::provisioning::Provisioning;
use serront_core::primitives::ids::AccountId;

use crate::sim::events::{Call, Event, Invariant, Reply, Verb, Verdict, View};

/// Histories longer than a page are not compared.
const PAGE: usize = 100;

#[derive(Default)]
pub(super) struct ModuleOff {
    /// Balance, number of legs and number of payouts of each account, since the beginning.
    history: BTreeMap<AccountId, Vec<(i64, usize, usize)>>,
    /// Length of the history when a request was sent.
    asked: BTreeMap<u64, usize>,
    merchants: BTreeMap<AccountId, String>,
    provisionings: BTreeMap<AccountId, Provisioning>,
    rotated: BTreeSet<AccountId>,
}

fn account(call: &Call, view: &View<'_>) -> Option<AccountId> {
    view.sellers.get(call.seller).map(|seller| seller.account)
}

impl ModuleOff {
    fn history(&mut self, account: AccountId) -> &mut Vec<(i64, usize, usize)> {
        self.history.entry(account).or_insert_with(|| vec![(0, 0, 0)])
    }

    fn landed(&mut self, change: &ChangeSet) -> Verdict {
        let account = change.account_id;
        for write in &change.writes {
            match write {
                Write::Post(legs) => {
                    let history = self.history(account);
                    let mut now = history.last().copied().unwrap_or_default();
                    for leg in legs.iter().filter(|leg| leg.book == Book::Seller) {
                        let sign = if leg.direction == Direction::Credit { 1 } else { -1 };
                        now = (now.0 + sign * leg.amount.get(), now.1 + 1, now.2);
                    }
                    history.push(now);
                }
                Write::InsertPayout(_) => {
                    let history = self.history(account);
                    let (balance, legs, payouts) = history.last().copied().unwrap_or_default();
                    history.push((balance, legs, payouts + 1));
                }
                Write::UpdateAccount(state) => {
                    if state.modules.marketing {
                        return Err("a module is on although it is not provisioned".to_owned());
                    }
                    let before = self.merchants.get(&account);
                    if before.is_some() && before != state.plugipay_account_id.as_ref() {
                        return Err("the account has another merchant than before".to_owned());
                    }
                    if let Some(merchant) = &state.plugipay_account_id {
                        self.merchants.insert(account, merchant.clone());
                    }
                }
                Write::PutProvisioning(now) => {
                    let before = self.provisionings.insert(account, now.clone()).map(|before| before.state);
                    let had = before.as_ref().is_some_and(|before| before.endpoint.is_some());
                    let begins =
                        now.state.attempt.is_some() && before.and_then(|before| before.attempt) != now.state.attempt;
                    if had && begins && !self.rotated.contains(&account) {
                        return Err("an endpoint is registered a second time".to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn told(&mut self, id: u64, call: &Call, data: &Value, view: &View<'_>) -> Verdict {
        let payment = || data.get("modules").and_then(|modules| modules.get("payment")).and_then(Value::as_bool);
        let since = self.asked.get(&id).copied().unwrap_or(0);
        let Some(account) = account(call, view) else { return Ok(()) };
        let mut possible = self.history(account).iter().skip(since);
        let fits = match &call.verb {
            Verb::SwitchPayment { on } => payment() == Some(*on),
            Verb::SwitchMarketing { .. } => false,
            Verb::Balance => {
                let told = data.get("balance").and_then(Value::as_i64);
                possible.any(|(balance, ..)| Some(*balance) == told)
            }
            Verb::PayoutBalance => {
                let told = data.get("ledgerBalance").and_then(Value::as_i64);
                possible.any(|(balance, ..)| Some(*balance) == told)
            }
            Verb::Payouts => {
                let told = data.as_array().map_or(0, Vec::len);
                possible.any(|(_, _, payouts)| *payouts == told || *payouts > PAGE)
            }
            Verb::Entries => {
                let told = data.as_array().map_or(0, Vec::len);
                possible.any(|(_, legs, _)| *legs == told || *legs > PAGE)
            }
            _ => true,
        };
        if fits { Ok(()) } else { Err(format!("{} answers {data}", call.verb.name())) }
    }
}

impl Invariant for ModuleOff {
    fn name(&self) -> &'static str {
        "rule 8: module off"
    }

    fn see(&mut self, event: &Event<'_>, view: &View<'_>) -> Verdict {
        match event {
            Event::Landed { change, .. } => self.landed(change),
            Event::Requested { id, call } => {
                let Some(account) = account(call, view) else { return Ok(()) };
                if matches!(call.verb, Verb::Rotate { .. }) {
                    self.rotated.insert(account);
                }
                let last = self.history(account).len().saturating_sub(1);
                self.asked.insert(*id, last);
                Ok(())
            }
            Event::Answered { id, call, reply: Reply::Done { data, .. } } => self.told(*id, call, data, view),
            Event::Answered { call, reply: Reply::Refused(code), .. }
                if call.is_operators() && code == "PAYMENT_MODULE_DISABLED" =>
            {
                Err(format!("an operator's {} is refused", call.verb.name()))
            }
            _ => Ok(()),
        }
    }
}
