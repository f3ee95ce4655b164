//! The plan of a run: who does what when, and what goes wrong when. Drawn from the seed, and a value, so that a failing
//! one can be cut down part by part.

use std::fmt;

use super::events::Step;
use super::random::Random;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Most by which a host's clock is off. Schedules and keys' lifetimes are judged with this much room.
pub(crate) const SKEW_MS_MAX: i64 = 20 * MINUTE;

/// What was sealed before there was a new key is stored by then, or never. So long operators wait before they forget the old one.
pub(crate) const KEYS_SETTLE_MS: i64 = 30 * MINUTE;

/// Who acts. Each does one thing after the other; all of them act side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    /// One of a seller's devices, with an API key of its own.
    Device { seller: usize, device: usize },
    /// Somebody who buys from a seller.
    Buyer { seller: usize, buyer: usize },
    /// Who runs the installation.
    Admin,
    /// Somebody who transfers payouts by hand.
    Operator { operator: usize },
}

/// What is done. An order is named by its place among those that are known by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Place,
    Claim {
        order: usize,
    },
    Upload {
        order: usize,
        image: u32,
    },
    View {
        order: usize,
    },
    Visit,
    Confirm {
        order: usize,
        key: Option<u8>,
        note: u8,
    },
    Patch {
        order: usize,
        status: Option<&'static str>,
        quote: Option<i64>,
        key: Option<u8>,
    },
    /// The last request that carried an idempotency key, once more as it was.
    Again,
    Read {
        order: usize,
    },
    /// The seller gives the order another access token. Some buyers go on with the old one.
    RotateToken {
        order: usize,
        key: Option<u8>,
    },
    List,
    Receipt {
        order: usize,
    },
    /// Another seller's order, read and confirmed with this seller's key.
    Trespass {
        order: usize,
    },
    PutStorefront {
        variant: u32,
        contended: bool,
        hide_branding: bool,
        published: bool,
    },
    GetStorefront,
    Reprice {
        price: i64,
    },
    AddService,
    DropService,
    Subscribe {
        hook: usize,
        filter: usize,
    },
    Pause {
        subscription: usize,
        active: bool,
    },
    Unsubscribe {
        subscription: usize,
    },
    RotateSecret {
        subscription: usize,
    },
    Deliveries,
    /// Looks at the log, and has a delivery sent again: one that was given up, if there is one.
    Redeliver {
        delivery: usize,
    },
    RetryGivenUp,
    AddKey,
    /// Revokes the key of one of the seller's devices, and gives it a new one.
    RevokeKey {
        device: usize,
    },
    SwitchPayment {
        on: bool,
    },
    SwitchMarketing {
        on: bool,
    },
    /// Presses "pay online"; twice at once, now and then.
    PayOnline {
        order: usize,
        twice: bool,
    },
    /// Something happens at the hosted page of one of the seller's latest sessions.
    HostedPage {
        session: usize,
        how: Hosted,
    },
    Balance,
    Entries,
    Exceptions,
    /// Looks which exceptions there are, and resolves one: an open one, if there is one.
    Resolve {
        exception: usize,
    },
    /// Asks for so many thousandths of what is available, after a look at it.
    RequestPayout {
        seller: usize,
        share: u32,
        bank: Option<u32>,
        key: Option<u8>,
    },
    CancelPayout {
        payout: usize,
        key: Option<u8>,
    },
    PatchBankAccount {
        variant: u32,
        whole: bool,
        key: Option<u8>,
    },
    BankAccount,
    Payouts,
    Payout {
        payout: usize,
    },
    PayoutBalance,
    MovePayout {
        seller: usize,
        payout: usize,
        step: Step,
        text: Option<u8>,
        key: Option<u8>,
    },
    Adjust {
        seller: usize,
        amount: i64,
        reference: u32,
    },
    VerifyBooks,
    Rotate {
        seller: usize,
    },
    RetryParked,
    /// Another key for secrets at rest.
    AddKeyAtRest,
    Reseal,
    ForgetKeys,
    SetTier {
        seller: usize,
        tier: usize,
    },
}

/// What happens at a hosted page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hosted {
    /// The buyer pays what is asked, also when it is too late.
    Pay,
    /// The buyer pays another amount.
    PayAmount(i64),
    /// The buyer pays in another currency.
    PayForeign(i64),
    Fail,
    Expire,
    /// It expires, and the money comes all the same, right after.
    ExpireAndPay,
    /// A session of the merchant's that is not ours is paid.
    Stranger,
}

/// One entry of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Milliseconds since the beginning.
    pub(crate) at: i64,
    pub(crate) actor: Actor,
    pub(crate) act: Act,
    /// What this entry draws by itself; stays the same when others are taken out.
    pub(crate) salt: u64,
}

/// The ways that calls go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// From a client to a host.
    Clients,
    /// From a host to the storage.
    Storage,
    /// From a host to the receipts' store.
    Receipts,
    /// From a host to Plugipay. What elsewhere is a conflict is a call refused for good here.
    Plugipay,
    /// From Plugipay to the hosts. What is refused elsewhere is forged beside the genuine one here, what is busy comes late
    /// under its old signature, and what is a conflict is lost for good.
    Notifications,
}

/// How bad a link is, in so many of a thousand calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    pub(crate) lose_request: u32,
    pub(crate) lose_answer: u32,
    pub(crate) duplicate: u32,
    pub(crate) refuse: u32,
    pub(crate) busy: u32,
    pub(crate) conflict: u32,
    /// Each way takes up to this long.
    pub(crate) delay_ms_max: u64,
}

/// How a receiver of webhooks behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    Well,
    Dead,
    Slow,
    Flaky,
    Broken,
    Redirecting,
}

/// How the mail server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailServer {
    Well,
    Greylisting,
    /// Takes the mail and does not say so.
    Silent,
    /// Says nothing and takes nothing.
    Gone,
    /// Refuses every mail for good.
    Refusing,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Storm {
        link: Link,
        weather: Weather,
    },
    /// The host dies now.
    Crash {
        host: usize,
        down_ms: u64,
    },
    /// The host dies after so many more polls of its tasks: in the middle of something.
    CrashInside {
        host: usize,
        polls: u64,
        down_ms: u64,
    },
    ClockStep {
        host: usize,
        by_ms: i64,
    },
    /// One of the seller's receivers, or all of them; what is named later goes before.
    Receivers {
        seller: usize,
        hook: Option<usize>,
        behave: Receiver,
    },
    Mail {
        behave: MailServer,
    },
    /// Plugipay forgets every idempotency key: a minting call that comes again mints again.
    KeysForgotten,
}

/// A trouble and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) trouble: Trouble,
}

/// Everything that is not drawn on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) hosts: usize,
    pub(crate) sellers: usize,
    /// How long chaos lasts, in milliseconds.
    pub(crate) chaos_ms: i64,
    pub(crate) items: Vec<Item>,
    pub(crate) faults: Vec<Fault>,
    /// `None`: each seller has the usual two receivers.
    pub(crate) crowd: Option<Crowd>,
}

/// More receivers than usual, most of them dead. What is judged is whether they delay the others, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// How many each seller has.
    pub(crate) receivers: Vec<usize>,
    /// The seller and place of each that is alive.
    pub(crate) alive: Vec<(usize, usize)>,
}

/// Stands for the order, or the payout, that is known last.
pub(crate) const LATEST: usize = usize::MAX;
pub(crate) const DEVICES: usize = 2;
pub(crate) const BUYERS: usize = 2;
pub(crate) const HOOKS: usize = 3;
pub(crate) const OPERATORS: usize = 2;
/// The wire contract's limit for an account.
const SUBSCRIPTIONS_MAX: usize = 100;
pub(crate) const STATUSES: [&str; 6] = ["confirmed", "declined", "in_progress", "delivered", "completed", "canceled"];
pub(crate) const TIERS: [&str; 4] = ["free", "starter", "growth", "business"];

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan");
        let hosts = usize::try_from(random.between(1, 3)).unwrap_or(1);
        let sellers = usize::try_from(random.between(1, 3)).unwrap_or(1);
        let chaos_ms = random.pick(&[2 * HOUR, 12 * HOUR, 36 * HOUR, 120 * HOUR], HOUR);
        let mut plan = Self { seed, hosts, sellers, chaos_ms, items: Vec::new(), faults: Vec::new(), crowd: None };
        plan.draw_faults(&mut random);
        plan.draw_items(&mut random);
        let mut random = Random::of(seed, "payouts");
        for _ in 0..random.between(2, 5) {
            plan.draw_payout_scene(&mut random);
        }
        plan.draw_payout_race(&mut Random::of(seed, "payout race"));
        plan.draw_quick_payment(&mut Random::of(seed, "quick payment"));
        plan.draw_subscription_race(&mut Random::of(seed, "subscription race"));
        plan.draw_clearing_up(&mut random);
        plan.draw_ways_out(&mut Random::of(seed, "ways out"));
        plan.draw_new_tokens(&mut Random::of(seed, "tokens"));
        plan.draw_new_key(&mut Random::of(seed, "keys"));
        plan.items.sort_by_key(|item| item.at);
        plan
    }

    /// Two accounts with as many receivers as one may have, all dead but one, beside a third account that is well. Fair
    /// weather, and one host, which has the fewest places.
    ///
    /// Twice there is a rush: enough orders at once that the dead ones alone could fill the host. What fails then comes again
    /// and again, the second rush meets the last of it, and all through it the live ones hear of orders.
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
                let at = rush + i64::try_from(random.below(480_000)).unwrap_or(0);
                plan.push_sale(&mut random, at, 2, nth);
            }
            let at = rush + i64::try_from(random.below(480_000)).unwrap_or(0);
            plan.push_sale(&mut random, at, 0, 0);
        }
        for nth in 0..40 {
            let at = i64::try_from(random.below(u64::try_from(chaos_ms - MINUTE).unwrap_or(0))).unwrap_or(0);
            plan.push_sale(&mut random, at, 2, nth);
        }
        plan.items.sort_by_key(|item| item.at);
        plan
    }

    /// An order, and a moment later a confirmation, which is a mail, too.
    fn push_sale(&mut self, random: &mut Random, at: i64, seller: usize, nth: usize) {
        let buyer = Actor::Buyer { seller, buyer: nth % BUYERS };
        let device = Actor::Device { seller, device: nth % DEVICES };
        self.items.push(Item { at, actor: buyer, act: Act::Place, salt: random.next() });
        let confirm = Act::Confirm { order: LATEST, key: None, note: 0 };
        self.items.push(Item { at: at + 400, actor: device, act: confirm, salt: random.next() });
    }

    /// Scenes: a few actors who meet over one order within moments, then a pause.
    fn draw_items(&mut self, random: &mut Random) {
        let scenes = random.between(10, 30);
        for _ in 0..scenes {
            let mut at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
            let seller = random.index(self.sellers);
            let order = random.index(8);
            for _ in 0..random.between(1, 6) {
                // Most meet within the time that a commit takes; some come later.
                let pause = random.pick(&[0, 1, 5, 20, 20, 200, 2_000, 30_000, 300_000], 0);
                at += i64::try_from(random.below(pause + 1)).unwrap_or(0);
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
                let (salt, at) = (random.next(), i64::try_from(random.below(60_000)).unwrap_or(0));
                let actor = Actor::Device { seller, device: 0 };
                self.items.push(Item { at, actor, act: Act::SwitchPayment { on: true }, salt });
            }
        }
        // There is somebody to confirm.
        for seller in 0..self.sellers {
            let (salt, at) = (random.next(), i64::try_from(random.below(5_000)).unwrap_or(0));
            self.items.push(Item { at, actor: Actor::Buyer { seller, buyer: 0 }, act: Act::Place, salt });
        }
        self.items.sort_by_key(|item| item.at);
    }

    /// Presses, payments and whatever contradicts them meet over one order.
    fn draw_online_scene(&mut self, random: &mut Random) {
        let mut at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let seller = random.index(self.sellers);
        let anew = random.per_mille(650);
        let order = if anew { LATEST } else { random.index(8) };
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        let buyer = |random: &mut Random| Actor::Buyer { seller, buyer: random.index(BUYERS) };
        if random.per_mille(400) {
            let device = Actor::Device { seller, device: random.index(DEVICES) };
            push(random, at, device, Act::SwitchPayment { on: true });
            at += 1_000;
        }
        if anew {
            let actor = buyer(random);
            push(random, at, actor, Act::Place);
            at += 1_000;
        }
        if random.per_mille(500) {
            let quote = Some(i64::try_from(random.between(1, 2_000_000)).unwrap_or(1));
            let device = Actor::Device { seller, device: random.index(DEVICES) };
            push(random, at, device, Act::Patch { order, status: None, quote, key: None });
            at += 500;
        }
        for _ in 0..random.between(1, 2) {
            let actor = buyer(random);
            let twice = random.per_mille(300);
            push(random, at, actor, Act::PayOnline { order, twice });
            at += i64::try_from(random.below(100)).unwrap_or(0);
        }
        for _ in 0..random.between(1, 5) {
            let pause = random.pick(&[5, 50, 400, 5_000, 60_000, 3_600_000, 14_400_000], 0);
            at += i64::try_from(random.below(pause + 1)).unwrap_or(0);
            let (actor, act) = draw_online_act(random, seller, order);
            push(random, at, actor, act);
        }
    }

    /// Towards the end, when there are some, both of a seller's devices resolve exceptions.
    fn draw_clearing_up(&mut self, random: &mut Random) {
        for seller in 0..self.sellers {
            let late = self.chaos_ms / 10 * 9;
            let at = late + i64::try_from(random.below(u64::try_from(self.chaos_ms / 10).unwrap_or(0))).unwrap_or(0);
            for _ in 0..random.between(0, 4) {
                let actor = Actor::Device { seller, device: random.index(DEVICES) };
                let act = Act::Resolve { exception: random.index(2) };
                self.items.push(Item { at, actor, act, salt: random.next() });
            }
        }
    }

    /// Requests for payouts, operators' steps and whatever contradicts them meet over one seller's balance.
    fn draw_payout_scene(&mut self, random: &mut Random) {
        let mut at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let seller = random.index(self.sellers);
        let reference = u32::try_from(random.below(1_000)).unwrap_or(0);
        let credit = i64::try_from(random.between(1, 3_000_000)).unwrap_or(1);
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        let device = |random: &mut Random| Actor::Device { seller, device: random.index(DEVICES) };
        let operator = |random: &mut Random| Actor::Operator { operator: random.index(OPERATORS) };
        if random.per_mille(600) {
            let actor = device(random);
            push(random, at, actor, Act::SwitchPayment { on: true });
        }
        if random.per_mille(650) {
            let actor = operator(random);
            push(random, at, actor, Act::Adjust { seller, amount: credit, reference });
        }
        if random.per_mille(600) {
            let (actor, act) = (device(random), draw_bank_account(random, 900));
            push(random, at, actor, act);
        }
        at += 1_000;
        for _ in 0..random.between(1, 3) {
            let (actor, act) = (device(random), draw_request(random, seller));
            push(random, at, actor, act);
            at += i64::try_from(random.below(30)).unwrap_or(0);
        }
        let pause = |random: &mut Random| {
            let pause = random.pick(&[0, 5, 50, 400, 5_000, 60_000, 3_600_000], 0);
            i64::try_from(random.below(pause + 1)).unwrap_or(0)
        };
        if random.per_mille(600) {
            at += 1_000;
            let (actor, act) = (operator(random), draw_step(random, seller, LATEST, Step::InTransit));
            push(random, at, actor, act);
            if random.per_mille(400) {
                let actor = device(random);
                push(random, at, actor, Act::CancelPayout { payout: LATEST, key: None });
            }
            at += pause(random);
            let step = if random.per_mille(700) { Step::Paid } else { Step::Failed };
            let (actor, act) = (operator(random), draw_step(random, seller, LATEST, step));
            push(random, at, actor, act);
        }
        for _ in 0..random.between(2, 7) {
            at += pause(random);
            let (actor, act) = draw_payout_act(random, seller, (credit, reference));
            push(random, at, actor, act);
        }
    }

    /// An order gets another access token, now and then two at once, while its buyer is at it.
    fn draw_new_tokens(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 3) {
            let mut at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
            let (seller, order) = (random.index(self.sellers), random.index(8));
            let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
                self.items.push(Item { at, actor, act, salt: random.next() });
            };
            for _ in 0..random.between(1, 2) {
                let key = random.per_mille(600).then(|| u8::try_from(random.below(3)).unwrap_or(0));
                let device = Actor::Device { seller, device: random.index(DEVICES) };
                push(random, at, device, Act::RotateToken { order, key });
                if key.is_some() && random.per_mille(400) {
                    push(random, at + 1_000, device, Act::Again);
                }
            }
            for _ in 0..random.between(2, 5) {
                let pause = random.pick(&[0, 5, 50, 400, 5_000], 0);
                at += i64::try_from(random.below(pause + 1)).unwrap_or(0);
                let act = match random.below(5) {
                    0 => Act::Claim { order },
                    1 => Act::Upload { order, image: u32::try_from(random.below(1_000)).unwrap_or(0) },
                    2 => Act::PayOnline { order, twice: false },
                    _ => Act::View { order },
                };
                let buyer = random.index(BUYERS);
                push(random, at, Actor::Buyer { seller, buyer }, act);
            }
        }
    }

    /// Another key for secrets at rest, while secrets are made and used; everything sealed anew under it; and the old key gone.
    fn draw_new_key(&mut self, random: &mut Random) {
        let from = i64::try_from(random.below(u64::try_from(self.chaos_ms / 2).unwrap_or(0))).unwrap_or(0);
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        push(random, from, Actor::Admin, Act::AddKeyAtRest);
        for at in [MINUTE, KEYS_SETTLE_MS + MINUTE] {
            push(random, from + at, Actor::Admin, Act::Reseal);
        }
        // One of them may come to nothing.
        for nth in 1..4 {
            push(random, from + KEYS_SETTLE_MS + 3 * nth * MINUTE, Actor::Admin, Act::ForgetKeys);
        }
        for _ in 0..random.between(2, 6) {
            let at = from + i64::try_from(random.below(3_600_000)).unwrap_or(0);
            let seller = random.index(self.sellers);
            let device = Actor::Device { seller, device: random.index(DEVICES) };
            let buyer = Actor::Buyer { seller, buyer: random.index(BUYERS) };
            let (actor, act) = match random.below(4) {
                0 => (device, Act::Subscribe { hook: random.index(HOOKS), filter: 0 }),
                1 => (device, Act::RotateSecret { subscription: random.index(2) }),
                2 => (Actor::Admin, Act::Rotate { seller }),
                _ => (buyer, Act::Place),
            };
            push(random, at, actor, act);
        }
    }

    /// Both of a seller's devices ask for most of what there is, at the same moment.
    fn draw_payout_race(&mut self, random: &mut Random) {
        let at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let seller = random.index(self.sellers);
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        let device = |device: usize| Actor::Device { seller, device };
        let operator = Actor::Operator { operator: random.index(OPERATORS) };
        let amount = i64::try_from(random.between(1_000_000, 3_000_000)).unwrap_or(1);
        let reference = u32::try_from(random.between(10_000, 19_999)).unwrap_or(0);
        push(random, at, device(0), Act::SwitchPayment { on: true });
        push(random, at, operator, Act::Adjust { seller, amount, reference });
        for nth in 0..DEVICES {
            let bank = Some(u32::try_from(random.below(1_000)).unwrap_or(0));
            let act = Act::RequestPayout { seller, share: 900, bank, key: Some(1) };
            push(random, at + 5_000, device(nth), act);
        }
    }

    /// A session is paid within moments: it may be told of before it is known here.
    fn draw_quick_payment(&mut self, random: &mut Random) {
        let at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let seller = random.index(self.sellers);
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        let buyer = |buyer: usize| Actor::Buyer { seller, buyer };
        push(random, at, Actor::Device { seller, device: 0 }, Act::SwitchPayment { on: true });
        push(random, at + 1_000, buyer(0), Act::Place);
        push(random, at + 2_000, buyer(0), Act::PayOnline { order: LATEST, twice: false });
        for pause in [30, 45, 60, 90, 150] {
            push(random, at + 2_000 + pause, buyer(1), Act::HostedPage { session: 0, how: Hosted::Pay });
        }
    }

    /// A subscription is paused and made active again while orders come.
    fn draw_subscription_race(&mut self, random: &mut Random) {
        let at = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let seller = random.index(self.sellers);
        for nth in 0..4 {
            let device = Actor::Device { seller, device: 0 };
            let act = Act::Pause { subscription: 0, active: nth % 2 == 1 };
            self.items.push(Item { at: at + 10, actor: device, act, salt: random.next() });
        }
        for nth in 0..2 * BUYERS {
            let buyer = Actor::Buyer { seller, buyer: nth % BUYERS };
            self.items.push(Item { at, actor: buyer, act: Act::Place, salt: random.next() });
        }
    }

    /// Dead receivers, refused mail, new secrets, and what people do about it by hand.
    fn draw_ways_out(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 2) {
            self.draw_dead_receiver(random);
        }
        if random.per_mille(400) {
            self.draw_dead_mail(random);
        }
        self.faults.sort_by_key(|fault| fault.from);
    }

    /// A receiver that is dead long enough to be switched off, while orders come; then all of it is sent again.
    fn draw_dead_receiver(&mut self, random: &mut Random) {
        let from = i64::try_from(random.below(u64::try_from(self.chaos_ms / 2).unwrap_or(0))).unwrap_or(0);
        let (seller, hook) = (random.index(self.sellers), random.index(2));
        let lasts = random.pick(&[MINUTE, 40 * MINUTE, 3 * HOUR, 9 * HOUR, 16 * HOUR], HOUR);
        let trouble = Trouble::Receivers { seller, hook: Some(hook), behave: Receiver::Dead };
        self.faults.push(Fault { from, until: from + lasts, trouble });
        let device = Actor::Device { seller, device: random.index(DEVICES) };
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        let mut at = from;
        for _ in 0..random.between(1, 4) {
            at += i64::try_from(random.below(u64::try_from(lasts / 3).unwrap_or(0) + 1)).unwrap_or(0);
            let buyer = random.index(BUYERS);
            push(random, at, Actor::Buyer { seller, buyer }, Act::Place);
            push(random, at + 1_000, device, Act::Confirm { order: LATEST, key: None, note: 0 });
        }
        for _ in 0..random.between(1, 4) {
            let at = from + i64::try_from(random.below(u64::try_from(2 * lasts).unwrap_or(0))).unwrap_or(0);
            let act = match random.below(4) {
                0 | 1 => Act::RotateSecret { subscription: random.index(2) },
                2 => Act::Redeliver { delivery: random.index(4) },
                _ => Act::Pause { subscription: random.index(2), active: true },
            };
            push(random, at, device, act);
        }
        // After that: active again, if it was switched off, and what was given up once more.
        let at = from + lasts + MINUTE;
        push(random, at, device, Act::Pause { subscription: hook, active: true });
        for nth in 0..3 {
            push(random, at + 1_000, device, Act::Redeliver { delivery: nth });
        }
    }

    /// A mail server that refuses for a while, and an operator who tries again what was given up.
    fn draw_dead_mail(&mut self, random: &mut Random) {
        let from = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let lasts = random.pick(&[MINUTE, 40 * MINUTE, 3 * HOUR], MINUTE);
        self.faults.push(Fault { from, until: from + lasts, trouble: Trouble::Mail { behave: MailServer::Refusing } });
        let seller = random.index(self.sellers);
        let device = Actor::Device { seller, device: random.index(DEVICES) };
        let operator = |random: &mut Random| Actor::Operator { operator: random.index(OPERATORS) };
        let mut push = |random: &mut Random, at: i64, actor: Actor, act: Act| {
            self.items.push(Item { at, actor, act, salt: random.next() });
        };
        let buyer = random.index(BUYERS);
        push(random, from, Actor::Buyer { seller, buyer }, Act::Place);
        push(random, from + 1_000, device, Act::Confirm { order: LATEST, key: None, note: 0 });
        for at in [from + lasts / 2, from + lasts + MINUTE] {
            let actor = operator(random);
            push(random, at, actor, Act::RetryGivenUp);
        }
    }

    /// Many orders at once, while nobody takes what is told of them.
    fn draw_rush(&mut self, random: &mut Random) {
        let from = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
        let seller = random.index(self.sellers);
        let trouble = Trouble::Receivers { seller, hook: Some(0), behave: Receiver::Dead };
        self.faults.push(Fault { from, until: from + MINUTE, trouble });
        self.faults.sort_by_key(|fault| fault.from);
        for nth in 0..8 {
            let actor = Actor::Buyer { seller, buyer: nth % BUYERS };
            self.items.push(Item { at: from + 100, actor, act: Act::Place, salt: random.next() });
        }
    }

    fn draw_faults(&mut self, random: &mut Random) {
        let count = random.between(0, 10);
        for _ in 0..count {
            let from = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
            let lasts = random.pick(&[10 * SECOND, MINUTE, 10 * MINUTE, 2 * HOUR, 12 * HOUR], MINUTE);
            let trouble = draw_trouble(random, self.hosts, self.sellers);
            self.faults.push(Fault { from, until: from + lasts, trouble });
        }
        // Weather that lasts: short outages would miss most of what happens.
        for (link, often) in [(Link::Storage, 800), (Link::Plugipay, 600), (Link::Notifications, 600)] {
            if random.per_mille(often) {
                let weather = draw_weather(random);
                let trouble = Trouble::Storm { link, weather };
                self.faults.push(Fault { from: 0, until: self.chaos_ms, trouble });
            }
        }
        if random.per_mille(100) {
            let from = i64::try_from(random.below(u64::try_from(self.chaos_ms).unwrap_or(0))).unwrap_or(0);
            self.faults.push(Fault { from, until: from, trouble: Trouble::KeysForgotten });
        }
        for _ in 0..random.between(0, 2) {
            let trouble = draw_receiver(random, self.sellers);
            self.faults.push(Fault { from: 0, until: self.chaos_ms, trouble });
        }
        self.faults.sort_by_key(|fault| fault.from);
    }
}

fn draw_online_act(random: &mut Random, seller: usize, order: usize) -> (Actor, Act) {
    let device = Actor::Device { seller, device: random.index(DEVICES) };
    let buyer = Actor::Buyer { seller, buyer: random.index(BUYERS) };
    let amount = |random: &mut Random| i64::try_from(random.between(1, 3_000_000)).unwrap_or(1);
    let hosted = |random: &mut Random, how| (buyer, Act::HostedPage { session: random.index(3), how });
    match random.below(100) {
        0..=31 => hosted(random, Hosted::Pay),
        32..=36 => hosted(random, Hosted::ExpireAndPay),
        37..=41 => {
            let amount = amount(random);
            hosted(random, Hosted::PayAmount(amount))
        }
        42..=44 => {
            let amount = amount(random);
            hosted(random, Hosted::PayForeign(amount))
        }
        45..=48 => hosted(random, Hosted::Fail),
        49..=54 => hosted(random, Hosted::Expire),
        55..=56 => hosted(random, Hosted::Stranger),
        57..=64 => (buyer, Act::PayOnline { order, twice: random.per_mille(300) }),
        65..=72 => (device, Act::Confirm { order, key: None, note: 0 }),
        73..=76 => {
            let status = Some(random.pick(&["declined", "canceled"], "canceled"));
            (device, Act::Patch { order, status, quote: None, key: None })
        }
        77..=79 => (device, Act::Patch { order, status: None, quote: Some(amount(random)), key: None }),
        80..=84 => (device, Act::SwitchPayment { on: random.per_mille(500) }),
        85 => (device, Act::SwitchMarketing { on: true }),
        86..=88 => (device, Act::Balance),
        89 => (device, Act::Entries),
        90 => (device, Act::Exceptions),
        91..=94 => (device, Act::Resolve { exception: random.index(4) }),
        95..=96 => (Actor::Admin, Act::Rotate { seller }),
        97 => (Actor::Admin, Act::RetryParked),
        _ => (buyer, Act::View { order }),
    }
}

/// Mostly a key of the request's own, now and then one that another request has, or none.
fn draw_payout_key(random: &mut Random) -> Option<u8> {
    random.per_mille(850).then(|| u8::from(random.per_mille(850)))
}

fn draw_bank_account(random: &mut Random, whole: u32) -> Act {
    let variant = u32::try_from(random.below(1_000)).unwrap_or(0);
    Act::PatchBankAccount { variant, whole: random.per_mille(whole), key: draw_payout_key(random) }
}

fn draw_request(random: &mut Random, seller: usize) -> Act {
    let share = random.pick(&[1_000, 1_000, 600, 600, 300, 50, 1_100], 1_000);
    let bank = random.per_mille(500).then(|| u32::try_from(random.below(1_000)).unwrap_or(0));
    Act::RequestPayout { seller, share, bank, key: draw_payout_key(random) }
}

fn draw_step(random: &mut Random, seller: usize, payout: usize, step: Step) -> Act {
    // Why it failed has to be said.
    let said = random.per_mille(if step == Step::Failed { 950 } else { 600 });
    let text = said.then(|| u8::try_from(random.below(100)).unwrap_or(0));
    Act::MovePayout { seller, payout, step, text, key: draw_payout_key(random) }
}

fn draw_payout_act(random: &mut Random, seller: usize, (credit, reference): (i64, u32)) -> (Actor, Act) {
    let device = Actor::Device { seller, device: random.index(DEVICES) };
    let operator = Actor::Operator { operator: random.index(OPERATORS) };
    let payout = if random.per_mille(700) { LATEST } else { random.index(8) };
    match random.below(100) {
        0..=11 => (operator, draw_step(random, seller, payout, Step::InTransit)),
        12..=25 => (operator, draw_step(random, seller, payout, Step::Paid)),
        26..=35 => (operator, draw_step(random, seller, payout, Step::Failed)),
        36..=45 => (device, Act::CancelPayout { payout, key: draw_payout_key(random) }),
        46..=53 => (device, draw_request(random, seller)),
        54..=57 => (operator, draw_request(random, seller)),
        58..=62 => {
            let amount = i64::try_from(random.between(1, 2_000_000)).unwrap_or(1).saturating_neg();
            let reference = u32::try_from(random.between(1_000, 9_999)).unwrap_or(0);
            (operator, Act::Adjust { seller, amount, reference })
        }
        63..=66 => (operator, Act::Adjust { seller, amount: credit, reference }),
        67..=68 => (operator, Act::Adjust { seller, amount: credit.saturating_neg(), reference }),
        69..=76 => (device, Act::SwitchPayment { on: random.per_mille(600) }),
        77..=80 => (device, Act::PayoutBalance),
        81..=83 => (device, Act::Payouts),
        84..=85 => (device, Act::Payout { payout }),
        86 => (device, Act::Balance),
        87 => (device, Act::Resolve { exception: random.index(4) }),
        88 => (device, Act::BankAccount),
        89..=91 => (device, draw_bank_account(random, 700)),
        92..=93 => (device, Act::Again),
        94..=95 => (operator, Act::Again),
        96..=97 => (device, draw_step(random, seller, payout, Step::Paid)),
        _ => (operator, Act::VerifyBooks),
    }
}

fn draw_item(random: &mut Random, at: i64, seller: usize, order: usize, sellers: usize) -> Item {
    let device = Actor::Device { seller, device: random.index(DEVICES) };
    let buyer = Actor::Buyer { seller, buyer: random.index(BUYERS) };
    let key = |random: &mut Random| random.per_mille(600).then(|| u8::try_from(random.below(3)).unwrap_or(0));
    let (actor, act) = match random.below(100) {
        0..=13 => (buyer, Act::Place),
        14..=21 => (buyer, Act::Claim { order }),
        22..=29 => (buyer, Act::Upload { order, image: u32::try_from(random.below(1_000)).unwrap_or(0) }),
        30..=34 => (buyer, Act::View { order }),
        35..=36 => (buyer, Act::Visit),
        37..=48 => {
            let key = key(random);
            (device, Act::Confirm { order, key, note: u8::try_from(random.below(3)).unwrap_or(0) })
        }
        49..=62 => {
            let status = random.per_mille(700).then(|| random.pick(&STATUSES, "confirmed"));
            let quoted = status.is_none() || random.per_mille(300);
            let quote = quoted.then(|| i64::try_from(random.below(2_000_000)).unwrap_or(0));
            (device, Act::Patch { order, status, quote, key: key(random) })
        }
        63..=68 => (device, Act::Again),
        69..=70 => (device, Act::Read { order }),
        71..=72 => (device, Act::List),
        73..=74 => (device, Act::Receipt { order }),
        75..=76 => (device, Act::Trespass { order }),
        77..=80 => {
            let variant = u32::try_from(random.below(1_000)).unwrap_or(0);
            let (contended, published) = (random.per_mille(400), random.per_mille(850));
            (device, Act::PutStorefront { variant, contended, hide_branding: random.per_mille(300), published })
        }
        81 => (device, Act::GetStorefront),
        82..=83 => (device, Act::Reprice { price: i64::try_from(random.below(900_000)).unwrap_or(0) }),
        84 => (device, Act::AddService),
        85 => (device, Act::DropService),
        86..=88 => (device, Act::Subscribe { hook: random.index(HOOKS), filter: random.index(4) }),
        89..=91 => (device, Act::Pause { subscription: random.index(4), active: random.per_mille(500) }),
        92 => (device, Act::Unsubscribe { subscription: random.index(4) }),
        93 => (device, Act::Deliveries),
        94 => (device, Act::AddKey),
        95..=96 => (Actor::Admin, Act::RevokeKey { device: seller * DEVICES + random.index(DEVICES) }),
        97 => (device, Act::SwitchPayment { on: random.per_mille(800) }),
        _ => (Actor::Admin, Act::SetTier { seller: random.index(sellers), tier: random.index(TIERS.len()) }),
    };
    Item { at, actor, act, salt: random.next() }
}

fn draw_weather(random: &mut Random) -> Weather {
    let mut share = |often: u32, most: u64| {
        if random.per_mille(often) { u32::try_from(random.between(1, most)).unwrap_or(0) } else { 0 }
    };
    Weather {
        lose_request: share(500, 150),
        lose_answer: share(700, 250),
        duplicate: share(500, 200),
        refuse: share(500, 150),
        busy: share(200, 60),
        conflict: share(400, 300),
        delay_ms_max: random.pick(&[2, 10, 50, 400, 3_000, 90_000], 2),
    }
}

fn draw_receiver(random: &mut Random, sellers: usize) -> Trouble {
    use Receiver::{Broken, Dead, Flaky, Redirecting, Slow};
    let behave = random.pick(&[Dead, Slow, Flaky, Broken, Redirecting], Dead);
    Trouble::Receivers { seller: random.index(sellers), hook: Some(random.index(HOOKS)), behave }
}

fn draw_trouble(random: &mut Random, hosts: usize, sellers: usize) -> Trouble {
    let down_ms = random.pick(&[0, 50, 2_000, 40_000, 600_000], 0);
    let host = random.index(hosts);
    match random.below(14) {
        0..=1 => Trouble::Crash { host, down_ms },
        2..=5 => Trouble::CrashInside { host, polls: random.between(1, 60), down_ms },
        6 => {
            let by_ms = random.pick(&[-10 * MINUTE, -5 * SECOND, 3 * SECOND, 2 * MINUTE, 10 * MINUTE], 0);
            Trouble::ClockStep { host, by_ms }
        }
        7 => draw_receiver(random, sellers),
        8 => {
            let modes = [MailServer::Greylisting, MailServer::Silent, MailServer::Gone];
            Trouble::Mail { behave: random.pick(&modes, MailServer::Gone) }
        }
        link => {
            let link = match link {
                9 => Link::Clients,
                10 => Link::Receipts,
                11 => Link::Plugipay,
                12 => Link::Notifications,
                _ => Link::Storage,
            };
            Trouble::Storm { link, weather: draw_weather(random) }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, hosts, sellers, chaos_ms, items, faults, crowd: _ } = self;
        writeln!(formatter, "plan of seed {seed}: {hosts} hosts, {sellers} sellers, {} minutes", chaos_ms / MINUTE)?;
        for fault in faults {
            writeln!(formatter, "  from {} to {} ms: {:?}", fault.from, fault.until, fault.trouble)?;
        }
        for item in items {
            writeln!(formatter, "  at {} ms, {:?}: {:?}", item.at, item.actor, item.act)?;
        }
        Ok(())
    }
}
