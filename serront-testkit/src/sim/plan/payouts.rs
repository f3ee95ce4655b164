//! Scenes around one seller's balance: requests for payouts, operators' steps, adjustments.

use super::{Action, Actor, DEVICES, LATEST, OPERATORS, Plan};
use crate::sim::events::Step;
use crate::sim::random::Random;

impl Plan {
    /// Requests for payouts, operators' steps and conflicting actions on one seller's balance.
    pub(super) fn draw_payout_scene(&mut self, random: &mut Random) {
        let mut at = random.below(self.chaos_ms);
        let seller = random.index(self.sellers);
        let reference = random.below(1_000);
        let credit = random.between(1, 3_000_000);
        let device = |random: &mut Random| Actor::Device { seller, device: random.index(DEVICES) };
        let operator = |random: &mut Random| Actor::Operator { operator: random.index(OPERATORS) };
        if random.per_mille(600) {
            let actor = device(random);
            self.push(random, at, actor, Action::SwitchPayment { on: true });
        }
        if random.per_mille(650) {
            let actor = operator(random);
            self.push(random, at, actor, Action::Adjust { seller, amount: credit, reference });
        }
        if random.per_mille(600) {
            let (actor, action) = (device(random), draw_bank_account(random, 900));
            self.push(random, at, actor, action);
        }
        at += 1_000;
        for _ in 0..random.between(1, 3) {
            let (actor, action) = (device(random), draw_request(random, seller));
            self.push(random, at, actor, action);
            at += random.below(30);
        }
        let pause = |random: &mut Random| {
            let pause = random.pick(&[0, 5, 50, 400, 5_000, 60_000, 3_600_000], 0);
            random.below(pause + 1)
        };
        if random.per_mille(600) {
            at += 1_000;
            let (actor, action) = (operator(random), draw_step(random, seller, LATEST, Step::InTransit));
            self.push(random, at, actor, action);
            if random.per_mille(400) {
                let actor = device(random);
                self.push(random, at, actor, Action::CancelPayout { payout: LATEST, key: None });
            }
            at += pause(random);
            let step = if random.per_mille(700) { Step::Paid } else { Step::Failed };
            let (actor, action) = (operator(random), draw_step(random, seller, LATEST, step));
            self.push(random, at, actor, action);
        }
        for _ in 0..random.between(2, 7) {
            at += pause(random);
            let (actor, action) = draw_payout_action(random, seller, (credit, reference));
            self.push(random, at, actor, action);
        }
    }

    /// Both of a seller's devices request most of the available balance at the same moment.
    pub(super) fn draw_payout_race(&mut self, random: &mut Random) {
        let at = random.below(self.chaos_ms);
        let seller = random.index(self.sellers);
        let device = |device: usize| Actor::Device { seller, device };
        let operator = Actor::Operator { operator: random.index(OPERATORS) };
        let amount = random.between(1_000_000, 3_000_000);
        let reference = random.between(10_000, 19_999);
        self.push(random, at, device(0), Action::SwitchPayment { on: true });
        self.push(random, at, operator, Action::Adjust { seller, amount, reference });
        for nth in 0..DEVICES {
            let bank = Some(random.below(1_000));
            let action = Action::RequestPayout { seller, share: 900, bank, key: Some(1) };
            self.push(random, at + 5_000, device(nth), action);
        }
    }
}

/// Mostly a unique key, sometimes one shared with other requests, sometimes none.
fn draw_payout_key(random: &mut Random) -> Option<u8> {
    random.per_mille(850).then(|| u8::from(random.per_mille(850)))
}

fn draw_bank_account(random: &mut Random, whole: u32) -> Action {
    let variant = random.below(1_000);
    Action::PatchBankAccount { variant, whole: random.per_mille(whole), key: draw_payout_key(random) }
}

fn draw_request(random: &mut Random, seller: usize) -> Action {
    let share = random.pick(&[1_000, 1_000, 600, 600, 300, 50, 1_100], 1_000);
    let bank = random.per_mille(500).then(|| random.below(1_000));
    Action::RequestPayout { seller, share, bank, key: draw_payout_key(random) }
}

fn draw_step(random: &mut Random, seller: usize, payout: usize, step: Step) -> Action {
    // A failure needs a reason, so that one without is mostly refused.
    let said = random.per_mille(if step == Step::Failed { 950 } else { 600 });
    let text = said.then(|| random.below(100));
    Action::MovePayout { seller, payout, step, text, key: draw_payout_key(random) }
}

fn draw_payout_action(random: &mut Random, seller: usize, (credit, reference): (i64, u32)) -> (Actor, Action) {
    let device = Actor::Device { seller, device: random.index(DEVICES) };
    let operator = Actor::Operator { operator: random.index(OPERATORS) };
    let payout = if random.per_mille(700) { LATEST } else { random.index(8) };
    match random.below(100) {
        0..=11 => (operator, draw_step(random, seller, payout, Step::InTransit)),
        12..=25 => (operator, draw_step(random, seller, payout, Step::Paid)),
        26..=35 => (operator, draw_step(random, seller, payout, Step::Failed)),
        36..=45 => (device, Action::CancelPayout { payout, key: draw_payout_key(random) }),
        46..=53 => (device, draw_request(random, seller)),
        54..=57 => (operator, draw_request(random, seller)),
        58..=62 => {
            let amount = -random.between(1, 2_000_000);
            let reference = random.between(1_000, 9_999);
            (operator, Action::Adjust { seller, amount, reference })
        }
        63..=66 => (operator, Action::Adjust { seller, amount: credit, reference }),
        67..=68 => (operator, Action::Adjust { seller, amount: -credit, reference }),
        69..=76 => (device, Action::SwitchPayment { on: random.per_mille(600) }),
        77..=80 => (device, Action::PayoutBalance),
        81..=83 => (device, Action::Payouts),
        84..=85 => (device, Action::Payout { payout }),
        86 => (device, Action::Balance),
        87 => (device, Action::Resolve { exception: random.index(4) }),
        88 => (device, Action::BankAccount),
        89..=91 => (device, draw_bank_account(random, 700)),
        92..=93 => (device, Action::Again),
        94..=95 => (operator, Action::Again),
        96..=97 => (device, draw_step(random, seller, payout, Step::Paid)),
        _ => (operator, Action::VerifyBooks),
    }
}
