//! The model of all sellers' settings together, since their storefronts' slugs are one another's business: who has which
//! storefront, and who is on which plan.

use std::collections::BTreeMap;

use super::engine::Model;

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
    /// Those on the free plan.
    free: BTreeMap<usize, bool>,
    /// Those whose payment module is on.
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
    Put {
        seller: usize,
        front: Front,
    },
    Get {
        seller: usize,
    },
    Visit {
        slug: String,
    },
    /// What a buyer's order shows of the storefront.
    Shown {
        seller: usize,
    },
    SetTier {
        seller: usize,
        tier: &'static str,
    },
    SwitchPayment {
        seller: usize,
        on: bool,
    },
    SwitchMarketing {
        seller: usize,
    },
    /// What is possible only while the payment module is on.
    Money {
        seller: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Done,
    Refused(&'static str),
    Front(Option<Front>),
    /// The seller, whether the branding is hidden, and whether the payment module is on.
    Shop(usize, bool, bool),
    Shown {
        slug: String,
        variant: u32,
        hidden: bool,
        on: bool,
    },
}

pub(super) struct SettingsModel;

impl Model for SettingsModel {
    type State = State;
    type Command = Command;
    type Told = Told;

    fn apply(&self, state: &State, command: &Command) -> Vec<(State, Told)> {
        let same = |told| vec![(state.clone(), told)];
        match command {
            Command::Put { seller, front } => {
                let taken = |(other, held): (&usize, &Front)| other != seller && held.slug == front.slug;
                if front.hide_branding && state.is_free(*seller) {
                    return same(Told::Refused("UPGRADE_REQUIRED"));
                }
                if state.fronts.iter().any(taken) {
                    return same(Told::Refused("CONFLICT"));
                }
                let mut next = state.clone();
                next.fronts.insert(*seller, front.clone());
                vec![(next, Told::Done)]
            }
            Command::Get { seller } => same(Told::Front(state.fronts.get(seller).cloned())),
            Command::Visit { slug } => {
                let found = state.fronts.iter().find(|(_, front)| front.slug == *slug && front.published);
                same(match found {
                    None => Told::Refused("NOT_FOUND"),
                    Some((seller, front)) => {
                        let hidden = front.hide_branding && !state.is_free(*seller);
                        Told::Shop(*seller, hidden, state.is_on(*seller))
                    }
                })
            }
            Command::Shown { seller } => match state.fronts.get(seller) {
                None => Vec::new(),
                Some(Front { slug, variant, hide_branding, .. }) => {
                    let hidden = *hide_branding && !state.is_free(*seller);
                    same(Told::Shown { slug: slug.clone(), variant: *variant, hidden, on: state.is_on(*seller) })
                }
            },
            Command::SetTier { seller, tier } => {
                let mut next = state.clone();
                next.free.insert(*seller, *tier == "free");
                if *tier == "free" {
                    next.on.insert(*seller, false);
                }
                vec![(next, Told::Done)]
            }
            Command::SwitchPayment { seller, on: true } if state.is_free(*seller) => {
                same(Told::Refused("UPGRADE_REQUIRED"))
            }
            Command::SwitchPayment { seller, on } => vec![(state.switched(*seller, *on), Told::Done)],
            Command::SwitchMarketing { seller } if state.is_free(*seller) => same(Told::Refused("UPGRADE_REQUIRED")),
            Command::SwitchMarketing { .. } => same(Told::Refused("NOT_CONFIGURED")),
            Command::Money { seller } if state.is_on(*seller) => same(Told::Done),
            Command::Money { .. } => same(Told::Refused("PAYMENT_MODULE_DISABLED")),
        }
    }
}
