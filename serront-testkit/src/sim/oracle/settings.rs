//! The model of all sellers' settings together, because slugs are unique across sellers: storefronts, plans and
//! modules.

use std::collections::BTreeMap;

use serde_json::Value;

use super::engine::{Commands as _, Engine, Model};
use crate::sim::events::{Call, Reply, Verb, text};
use crate::sim::host::bank_account;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Front {
    pub(super) slug: String,
    pub(super) variant: u32,
    pub(super) hide_branding: bool,
    pub(super) published: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct State {
    fronts: BTreeMap<usize, Front>,
    /// Whether the seller is on the free plan.
    free: BTreeMap<usize, bool>,
    /// Whether the seller's payment module is on.
    on: BTreeMap<usize, bool>,
}

impl State {
    fn is_on(&self, seller: usize) -> bool {
        self.on.get(&seller).copied().unwrap_or(false)
    }

    fn switched(&self, seller: usize, on: bool) -> Self {
        let mut next = self.clone();
        next.on.insert(seller, on);
        next
    }

    fn is_free(&self, seller: usize) -> bool {
        self.free.get(&seller).copied().unwrap_or(false)
    }
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    Put { seller: usize, front: Front },
    Get { seller: usize },
    Visit { slug: String },
    // What a buyer's order shows of the storefront.
    Shown { seller: usize },
    SetTier { seller: usize, tier: &'static str },
    SwitchPayment { seller: usize, on: bool },
    SwitchMarketing { seller: usize },
    // A request that needs the payment module.
    UsePaymentModule { seller: usize },
}

impl Command {
    /// What a call reads or changes of the settings; `None` if nothing.
    pub(super) fn of(call: &Call) -> Option<Self> {
        let seller = call.seller;
        Some(match &call.verb {
            Verb::PutStorefront { slug, variant, hide_branding, published } => {
                let (variant, hide_branding, published) = (*variant, *hide_branding, *published);
                Self::Put { seller, front: Front { slug: slug.clone(), variant, hide_branding, published } }
            }
            Verb::GetStorefront => Self::Get { seller },
            Verb::Visit { slug } => Self::Visit { slug: slug.clone() },
            Verb::View { .. } => Self::Shown { seller },
            Verb::SetTier { tier, .. } => Self::SetTier { seller, tier },
            Verb::SwitchPayment { on } => Self::SwitchPayment { seller, on: *on },
            Verb::SwitchMarketing { .. } => Self::SwitchMarketing { seller },
            // Operators' requests do not depend on the module.
            Verb::RequestPayout { .. } if call.is_operators() => return None,
            verb if verb.uses_payment_module() => Self::UsePaymentModule { seller },
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Response {
    Done,
    Refused(&'static str),
    Front(Option<Front>),
    // Seller, whether the branding is hidden, and whether the payment module is on.
    Shop(usize, bool, bool),
    Shown { slug: String, variant: u32, hidden: bool, on: bool },
}

pub(super) struct SettingsModel;

impl Model for SettingsModel {
    type State = State;
    type Command = Command;
    type Response = Response;

    fn apply(&self, state: &State, command: &Command) -> Vec<(State, Response)> {
        let same = |response| vec![(state.clone(), response)];
        match command {
            Command::Put { seller, front } => {
                let taken = |(other, held): (&usize, &Front)| other != seller && held.slug == front.slug;
                if front.hide_branding && state.is_free(*seller) {
                    return same(Response::Refused("UPGRADE_REQUIRED"));
                }
                if state.fronts.iter().any(taken) {
                    return same(Response::Refused("CONFLICT"));
                }
                let mut next = state.clone();
                next.fronts.insert(*seller, front.clone());
                vec![(next, Response::Done)]
            }
            Command::Get { seller } => same(Response::Front(state.fronts.get(seller).cloned())),
            Command::Visit { slug } => {
                let found = state.fronts.iter().find(|(_, front)| front.slug == *slug && front.published);
                same(match found {
                    None => Response::Refused("NOT_FOUND"),
                    Some((seller, front)) => {
                        let hidden = front.hide_branding && !state.is_free(*seller);
                        Response::Shop(*seller, hidden, state.is_on(*seller))
                    }
                })
            }
            Command::Shown { seller } => match state.fronts.get(seller) {
                None => Vec::new(),
                Some(Front { slug, variant, hide_branding, .. }) => {
                    let hidden = *hide_branding && !state.is_free(*seller);
                    same(Response::Shown { slug: slug.clone(), variant: *variant, hidden, on: state.is_on(*seller) })
                }
            },
            Command::SetTier { seller, tier } => {
                let mut next = state.clone();
                next.free.insert(*seller, *tier == "free");
                if *tier == "free" {
                    next.on.insert(*seller, false);
                }
                vec![(next, Response::Done)]
            }
            Command::SwitchPayment { seller, on: true } if state.is_free(*seller) => {
                same(Response::Refused("UPGRADE_REQUIRED"))
            }
            Command::SwitchPayment { seller, on } => vec![(state.switched(*seller, *on), Response::Done)],
            Command::SwitchMarketing { seller } if state.is_free(*seller) => {
                same(Response::Refused("UPGRADE_REQUIRED"))
            }
            Command::SwitchMarketing { .. } => same(Response::Refused("NOT_CONFIGURED")),
            Command::UsePaymentModule { seller } if state.is_on(*seller) => same(Response::Done),
            Command::UsePaymentModule { .. } => same(Response::Refused("PAYMENT_MODULE_DISABLED")),
        }
    }
}

/// Whether the payment module is checked first, and another part may refuse afterwards.
const fn needs_payment_module_first(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::Pay { .. }
            | Verb::RequestPayout { .. }
            | Verb::CancelPayout { .. }
            | Verb::PatchBankAccount { .. }
            | Verb::Payout { .. }
    )
}

impl Engine<SettingsModel> {
    pub(super) fn explains(&mut self, id: u64, call: &Call, reply: &Reply, now: i64) -> bool {
        let data = match reply {
            // Plugipay failed before anything was switched.
            Reply::Refused(code) if code == "PLUGIPAY_ERROR" => return self.did_not_happen(id),
            // A request with an old token is refused before the settings are read.
            Reply::Refused(code)
                if code == "NOT_FOUND" && matches!(call.verb, Verb::View { .. } | Verb::Pay { .. }) =>
            {
                return self.did_not_happen(id);
            }
            // The order or the funds refuse, so the module was on.
            Reply::Refused(code) if needs_payment_module_first(&call.verb) && code != "PAYMENT_MODULE_DISABLED" => {
                return self.answered(id, now, |response| *response == Response::Done);
            }
            Reply::Refused(code) => {
                return self.answered(
                    id,
                    now,
                    |response| matches!(response, Response::Refused(expected) if expected == code),
                );
            }
            Reply::Bytes(_) | Reply::NotDone | Reply::Unknown => return false,
            Reply::Done { data, .. } => data,
        };
        let hidden = |of: &Value| of.get("hideBranding").and_then(Value::as_bool).unwrap_or(false);
        let number = |accounts: Option<&Value>| {
            let account = accounts.and_then(Value::as_array).and_then(|accounts| accounts.first());
            account.map(|account| text(account, "accountNumber").to_owned()).unwrap_or_default()
        };
        self.answered(id, now, |response| match (&call.verb, response) {
            (Verb::GetStorefront, Response::Front(None)) => data.is_null(),
            (Verb::GetStorefront, Response::Front(Some(front))) => {
                text(data, "slug") == front.slug
                    && number(data.get("manualBankAccounts")) == bank_account(call.seller, front.variant)
                    && hidden(data) == front.hide_branding
                    && data.get("published").and_then(Value::as_bool) == Some(front.published)
            }
            (Verb::Visit { .. }, Response::Shop(seller, hides, on)) => {
                let front = data.get("storefront").unwrap_or(&Value::Null);
                text(front, "displayName") == format!("Studio {seller}")
                    && hidden(front) == *hides
                    && front.get("onlinePayment").and_then(Value::as_bool) == Some(*on)
            }
            (Verb::View { .. }, Response::Shown { on: false, .. })
                if data.get("onlinePayment").and_then(Value::as_bool) == Some(true) =>
            {
                false
            }
            (Verb::View { .. }, Response::Shown { slug, variant, hidden: hides, .. }) => {
                let front = data.get("storefront").unwrap_or(&Value::Null);
                let accounts = data.get("payment").and_then(|payment| payment.get("bankAccounts"));
                text(front, "slug") == slug
                    && hidden(front) == *hides
                    && accounts.is_none_or(|accounts| number(Some(accounts)) == bank_account(call.seller, *variant))
            }
            (_, Response::Done) => true,
            (_, Response::Front(_) | Response::Shop(..) | Response::Shown { .. } | Response::Refused(_)) => false,
        })
    }
}
