//! Scenes of online payment: presses of "pay online", hosted pages, exceptions.

use super::{Action, Actor, BUYERS, DEVICES, HostedPageEvent, LATEST, Plan};
use crate::sim::random::Random;

impl Plan {
    /// Presses, payments and conflicting actions on one order.
    pub(super) fn draw_online_scene(&mut self, random: &mut Random) {
        let mut at = random.below(self.chaos_ms);
        let seller = random.index(self.sellers);
        let new_order = random.per_mille(650);
        let order = if new_order { LATEST } else { random.index(8) };
        let buyer = |random: &mut Random| Actor::Buyer { seller, buyer: random.index(BUYERS) };
        if random.per_mille(400) {
            let device = Actor::Device { seller, device: random.index(DEVICES) };
            self.push(random, at, device, Action::SwitchPayment { on: true });
            at += 1_000;
        }
        if new_order {
            let actor = buyer(random);
            self.push(random, at, actor, Action::Place);
            at += 1_000;
        }
        if random.per_mille(500) {
            let quote = Some(random.between(1, 2_000_000));
            let device = Actor::Device { seller, device: random.index(DEVICES) };
            self.push(random, at, device, Action::Patch { order, status: None, quote, key: None });
            at += 500;
        }
        for _ in 0..random.between(1, 2) {
            let actor = buyer(random);
            let twice = random.per_mille(300);
            self.push(random, at, actor, Action::PayOnline { order, twice });
            at += random.below(100);
        }
        for _ in 0..random.between(1, 5) {
            let pause = random.pick(&[5, 50, 400, 5_000, 60_000, 3_600_000, 14_400_000], 0);
            at += random.below(pause + 1);
            let (actor, action) = draw_online_action(random, seller, order);
            self.push(random, at, actor, action);
        }
    }

    /// A session is paid within moments: its notification may arrive before the host has stored the session.
    pub(super) fn draw_quick_payment(&mut self, random: &mut Random) {
        let at = random.below(self.chaos_ms);
        let seller = random.index(self.sellers);
        let buyer = |buyer: usize| Actor::Buyer { seller, buyer };
        self.push(random, at, Actor::Device { seller, device: 0 }, Action::SwitchPayment { on: true });
        self.push(random, at + 1_000, buyer(0), Action::Place);
        self.push(random, at + 2_000, buyer(0), Action::PayOnline { order: LATEST, twice: false });
        for pause in [30, 45, 60, 90, 150] {
            self.push(
                random,
                at + 2_000 + pause,
                buyer(1),
                Action::HostedPage { session: 0, how: HostedPageEvent::Pay },
            );
        }
    }

    /// Towards the end, when exceptions exist, both of a seller's devices resolve them.
    pub(super) fn draw_resolutions(&mut self, random: &mut Random) {
        for seller in 0..self.sellers {
            let late = self.chaos_ms / 10 * 9;
            let at = late + random.below(self.chaos_ms / 10);
            for _ in 0..random.between(0, 4) {
                let actor = Actor::Device { seller, device: random.index(DEVICES) };
                let action = Action::Resolve { exception: random.index(2) };
                self.push(random, at, actor, action);
            }
        }
    }
}

fn draw_online_action(random: &mut Random, seller: usize, order: usize) -> (Actor, Action) {
    let device = Actor::Device { seller, device: random.index(DEVICES) };
    let buyer = Actor::Buyer { seller, buyer: random.index(BUYERS) };
    let amount = |random: &mut Random| random.between(1, 3_000_000);
    let hosted = |random: &mut Random, how| (buyer, Action::HostedPage { session: random.index(3), how });
    match random.below(100) {
        0..=31 => hosted(random, HostedPageEvent::Pay),
        32..=36 => hosted(random, HostedPageEvent::ExpireAndPay),
        37..=41 => {
            let amount = amount(random);
            hosted(random, HostedPageEvent::PayAmount(amount))
        }
        42..=44 => {
            let amount = amount(random);
            hosted(random, HostedPageEvent::PayForeign(amount))
        }
        45..=48 => hosted(random, HostedPageEvent::Fail),
        49..=54 => hosted(random, HostedPageEvent::Expire),
        55..=56 => hosted(random, HostedPageEvent::Stranger),
        57..=64 => (buyer, Action::PayOnline { order, twice: random.per_mille(300) }),
        65..=72 => (device, Action::Confirm { order, key: None, note: 0 }),
        73..=76 => {
            let status = Some(random.pick(&["declined", "canceled"], "canceled"));
            (device, Action::Patch { order, status, quote: None, key: None })
        }
        77..=79 => (device, Action::Patch { order, status: None, quote: Some(amount(random)), key: None }),
        80..=84 => (device, Action::SwitchPayment { on: random.per_mille(500) }),
        85 => (device, Action::SwitchMarketing { on: true }),
        86..=88 => (device, Action::Balance),
        89 => (device, Action::Entries),
        90 => (device, Action::Exceptions),
        91..=94 => (device, Action::Resolve { exception: random.index(4) }),
        95..=96 => (Actor::Admin, Action::Rotate { seller }),
        97 => (Actor::Admin, Action::RetryParked),
        _ => (buyer, Action::View { order }),
    }
}
