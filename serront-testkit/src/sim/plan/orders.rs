//! Scenes around one order: buyers and devices meet within moments, rushes, new access tokens.

use super::faults::{Fault, Receiver, Trouble};
use super::{Action, Actor, BUYERS, DEVICES, HOOKS, Item, MINUTE, Plan, STATUSES, TIERS};
use crate::sim::random::Random;

impl Plan {
    /// Scenes: a few actors act on one order within moments, then a pause.
    pub(super) fn draw_items(&mut self, random: &mut Random) {
        for _ in 0..random.between(10, 30) {
            let mut at = random.below(self.chaos_ms);
            let seller = random.index(self.sellers);
            let order = random.index(8);
            for _ in 0..random.between(1, 6) {
                // Most overlap within the duration of a commit; some come later.
                let pause = random.pick(&[0, 1, 5, 20, 20, 200, 2_000, 30_000, 300_000], 0);
                at += random.below(pause + 1);
                let item = draw_item(random, at, seller, order, self.sellers);
                self.items.push(item);
            }
        }
        for _ in 0..random.between(4, 10) {
            self.draw_online_scene(random);
        }
        if random.per_mille(200) {
            self.draw_rush(random);
        }
        for seller in 0..self.sellers {
            if random.per_mille(900) {
                let (salt, at) = (random.next(), random.below(60_000));
                let actor = Actor::Device { seller, device: 0 };
                self.items.push(Item { at, actor, action: Action::SwitchPayment { on: true }, salt });
            }
        }
        // Every seller gets an order that can be confirmed.
        for seller in 0..self.sellers {
            let (salt, at) = (random.next(), random.below(5_000));
            self.items.push(Item { at, actor: Actor::Buyer { seller, buyer: 0 }, action: Action::Place, salt });
        }
        self.items.sort_by_key(|item| item.at);
    }

    /// Many orders at the same moment, while a receiver is dead.
    fn draw_rush(&mut self, random: &mut Random) {
        let from = random.below(self.chaos_ms);
        let seller = random.index(self.sellers);
        let trouble = Trouble::Receivers { seller, hook: Some(0), behave: Receiver::Dead };
        self.faults.push(Fault { from, until: from + MINUTE, trouble });
        self.faults.sort_by_key(|fault| fault.from);
        for nth in 0..8 {
            let actor = Actor::Buyer { seller, buyer: nth % BUYERS };
            self.push(random, from + 100, actor, Action::Place);
        }
    }

    /// An order gets a new access token, sometimes two in a row, while its buyer uses the old one.
    pub(super) fn draw_new_tokens(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 3) {
            let mut at = random.below(self.chaos_ms);
            let (seller, order) = (random.index(self.sellers), random.index(8));
            for _ in 0..random.between(1, 2) {
                let key = random.per_mille(600).then(|| random.below(3));
                let device = Actor::Device { seller, device: random.index(DEVICES) };
                self.push(random, at, device, Action::RotateToken { order, key });
                if key.is_some() && random.per_mille(400) {
                    self.push(random, at + 1_000, device, Action::Again);
                }
            }
            for _ in 0..random.between(2, 5) {
                let pause = random.pick(&[0, 5, 50, 400, 5_000], 0);
                at += random.below(pause + 1);
                let action = match random.below(5) {
                    0 => Action::Claim { order },
                    1 => Action::Upload { order, image: random.below(1_000) },
                    2 => Action::PayOnline { order, twice: false },
                    _ => Action::View { order },
                };
                let buyer = random.index(BUYERS);
                self.push(random, at, Actor::Buyer { seller, buyer }, action);
            }
        }
    }
}

fn draw_item(random: &mut Random, at: i64, seller: usize, order: usize, sellers: usize) -> Item {
    let device = Actor::Device { seller, device: random.index(DEVICES) };
    let buyer = Actor::Buyer { seller, buyer: random.index(BUYERS) };
    let key = |random: &mut Random| random.per_mille(600).then(|| random.below(3));
    let (actor, action) = match random.below(100) {
        0..=13 => (buyer, Action::Place),
        14..=21 => (buyer, Action::Claim { order }),
        22..=29 => (buyer, Action::Upload { order, image: random.below(1_000) }),
        30..=34 => (buyer, Action::View { order }),
        35..=36 => (buyer, Action::Visit),
        37..=48 => {
            let key = key(random);
            (device, Action::Confirm { order, key, note: random.below(3) })
        }
        49..=62 => {
            let status = random.per_mille(700).then(|| random.pick(&STATUSES, "confirmed"));
            let quoted = status.is_none() || random.per_mille(300);
            let quote = quoted.then(|| random.below(2_000_000));
            (device, Action::Patch { order, status, quote, key: key(random) })
        }
        63..=68 => (device, Action::Again),
        69..=70 => (device, Action::Read { order }),
        71..=72 => (device, Action::List),
        73..=74 => (device, Action::Receipt { order }),
        75..=76 => (device, Action::Trespass { order }),
        77..=80 => {
            let variant = random.below(1_000);
            let (contended, published) = (random.per_mille(400), random.per_mille(850));
            (device, Action::PutStorefront { variant, contended, hide_branding: random.per_mille(300), published })
        }
        81 => (device, Action::GetStorefront),
        82..=83 => (device, Action::Reprice { price: random.below(900_000) }),
        84 => (device, Action::AddService),
        85 => (device, Action::DropService),
        86..=88 => (device, Action::Subscribe { hook: random.index(HOOKS), filter: random.index(4) }),
        89..=91 => (device, Action::Pause { subscription: random.index(4), active: random.per_mille(500) }),
        92 => (device, Action::Unsubscribe { subscription: random.index(4) }),
        93 => (device, Action::Deliveries),
        94 => (device, Action::AddKey),
        95..=96 => (Actor::Admin, Action::RevokeKey { device: seller * DEVICES + random.index(DEVICES) }),
        97 => (device, Action::SwitchPayment { on: random.per_mille(800) }),
        _ => (Actor::Admin, Action::SetTier { seller: random.index(sellers), tier: random.index(TIERS.len()) }),
    };
    Item { at, actor, action, salt: random.next() }
}
