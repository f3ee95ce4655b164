//! Scenes around receivers of webhooks and the mail server: dead receivers, refused mail, paused subscriptions.

use super::faults::{Fault, MailServer, Receiver, Trouble};
use super::{Action, Actor, BUYERS, Crowd, DEVICES, HOUR, LATEST, MINUTE, OPERATORS, Plan};
use crate::sim::random::Random;

/// The wire contract's limit for an account.
const SUBSCRIPTIONS_MAX: usize = 100;

impl Plan {
    /// Two accounts with the maximum number of receivers, all dead but one, and a third account whose receivers work.
    /// No network faults, and one host, which has the fewest places.
    ///
    /// There are two rushes, each with enough orders that deliveries to dead receivers alone could fill the host. Their
    /// retries last into the second rush, and the live receivers get events throughout.
    pub(crate) fn beside_dead_receivers(seed: u64) -> Self {
        let mut random = Random::of(seed, "dead receivers");
        let crowd =
            Crowd { receivers: vec![SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_MAX, 2], alive: vec![(0, 0), (2, 0), (2, 1)] };
        let chaos_ms = 3 * HOUR;
        let dead = |(seller, hook, behave)| Fault {
            from: 0,
            until: chaos_ms,
            trouble: Trouble::Receivers { seller, hook, behave },
        };
        let faults = [(0, None, Receiver::Dead), (0, Some(0), Receiver::Well), (1, None, Receiver::Dead)];
        let faults = faults.into_iter().map(dead).collect();
        let (sellers, items) = (crowd.receivers.len(), Vec::new());
        let mut plan = Self { seed, hosts: 1, sellers, chaos_ms, items, faults, crowd: Some(crowd) };
        for rush in [10 * MINUTE, 2 * HOUR + 41 * MINUTE] {
            for nth in 0..4 {
                plan.push_sale(&mut random, rush, 0, nth);
                plan.push_sale(&mut random, rush, 1, nth);
            }
            // The first retries of the rush are over within six minutes.
            for nth in 0..24 {
                let at = rush + random.below(480_000);
                plan.push_sale(&mut random, at, 2, nth);
            }
            let at = rush + random.below(480_000);
            plan.push_sale(&mut random, at, 0, 0);
        }
        for nth in 0..40 {
            let at = random.below(chaos_ms - MINUTE);
            plan.push_sale(&mut random, at, 2, nth);
        }
        plan.items.sort_by_key(|item| item.at);
        plan
    }

    /// An order, and a moment later its confirmation, which also sends a mail.
    fn push_sale(&mut self, random: &mut Random, at: i64, seller: usize, nth: usize) {
        let buyer = Actor::Buyer { seller, buyer: nth % BUYERS };
        let device = Actor::Device { seller, device: nth % DEVICES };
        self.push(random, at, buyer, Action::Place);
        let confirm = Action::Confirm { order: LATEST, key: None, note: 0 };
        self.push(random, at + 400, device, confirm);
    }

    /// A subscription is paused and made active again while orders come.
    pub(super) fn draw_subscription_race(&mut self, random: &mut Random) {
        let at = random.below(self.chaos_ms);
        let seller = random.index(self.sellers);
        for nth in 0..4 {
            let device = Actor::Device { seller, device: 0 };
            let action = Action::Pause { subscription: 0, active: nth % 2 == 1 };
            self.push(random, at + 10, device, action);
        }
        for nth in 0..2 * BUYERS {
            let buyer = Actor::Buyer { seller, buyer: nth % BUYERS };
            self.push(random, at, buyer, Action::Place);
        }
    }

    /// Dead receivers, refused mail, new secrets, and the manual retries that follow.
    pub(super) fn draw_outages(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 2) {
            self.draw_dead_receiver(random);
        }
        if random.per_mille(400) {
            self.draw_dead_mail(random);
        }
        self.faults.sort_by_key(|fault| fault.from);
    }

    /// A receiver that may be dead long enough to be switched off, while orders come; then failed deliveries are sent
    /// again.
    fn draw_dead_receiver(&mut self, random: &mut Random) {
        let from = random.below(self.chaos_ms / 2);
        let (seller, hook) = (random.index(self.sellers), random.index(2));
        let lasts = random.pick(&[MINUTE, 40 * MINUTE, 3 * HOUR, 9 * HOUR, 16 * HOUR], HOUR);
        let trouble = Trouble::Receivers { seller, hook: Some(hook), behave: Receiver::Dead };
        self.faults.push(Fault { from, until: from + lasts, trouble });
        let device = Actor::Device { seller, device: random.index(DEVICES) };
        let mut at = from;
        for _ in 0..random.between(1, 4) {
            at += random.below(lasts / 3 + 1);
            let buyer = random.index(BUYERS);
            self.push(random, at, Actor::Buyer { seller, buyer }, Action::Place);
            self.push(random, at + 1_000, device, Action::Confirm { order: LATEST, key: None, note: 0 });
        }
        for _ in 0..random.between(1, 4) {
            let at = from + random.below(2 * lasts);
            let action = match random.below(4) {
                0 | 1 => Action::RotateSecret { subscription: random.index(2) },
                2 => Action::Redeliver { delivery: random.index(4) },
                _ => Action::Pause { subscription: random.index(2), active: true },
            };
            self.push(random, at, device, action);
        }
        // Afterwards the seller reactivates it, if it was switched off, and redelivers what was given up.
        let at = from + lasts + MINUTE;
        self.push(random, at, device, Action::Pause { subscription: hook, active: true });
        for nth in 0..3 {
            self.push(random, at + 1_000, device, Action::Redeliver { delivery: nth });
        }
    }

    /// A mail server that refuses for a while, and an operator who retries the mails given up.
    fn draw_dead_mail(&mut self, random: &mut Random) {
        let from = random.below(self.chaos_ms);
        let lasts = random.pick(&[MINUTE, 40 * MINUTE, 3 * HOUR], MINUTE);
        self.faults.push(Fault { from, until: from + lasts, trouble: Trouble::Mail { behave: MailServer::Refusing } });
        let seller = random.index(self.sellers);
        let device = Actor::Device { seller, device: random.index(DEVICES) };
        let buyer = random.index(BUYERS);
        self.push(random, from, Actor::Buyer { seller, buyer }, Action::Place);
        self.push(random, from + 1_000, device, Action::Confirm { order: LATEST, key: None, note: 0 });
        for at in [from + lasts / 2, from + lasts + MINUTE] {
            let actor = Actor::Operator { operator: random.index(OPERATORS) };
            self.push(random, at, actor, Action::RetryGivenUp);
        }
    }
}
