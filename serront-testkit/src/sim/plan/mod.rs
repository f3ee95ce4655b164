//! The plan of a run: who does what when, and what goes wrong when. It is drawn from the seed before the run, and is a
//! value, so that a failing plan can be reduced part by part.
//!
//! Each scene has a file by subject (`orders`, `online`, `payouts`, `receivers`); `faults` is what goes wrong. The
//! order of the draws is part of every seed: a change of it changes all runs.

mod faults;
mod online;
mod orders;
mod payouts;
mod receivers;

use std::fmt;

pub(crate) use self::faults::{Fault, Link, MailServer, Receiver, Trouble, Weather};

use super::events::Step;
use super::random::Random;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Largest offset of a host's clock. Schedules and keys' lifetimes are checked with this tolerance.
pub(crate) const SKEW_MS_MAX: i64 = 20 * MINUTE;

/// Anything that was sealed before the key changed is stored within this time, or never. Operators wait this long
/// before they forget the old key.
pub(crate) const KEYS_SETTLE_MS: i64 = 30 * MINUTE;

/// Who acts. Each actor does one thing after the other; actors run concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    /// One of a seller's devices, each with its API key.
    Device { seller: usize, device: usize },
    /// A buyer of this seller.
    Buyer { seller: usize, buyer: usize },
    /// Runs the installation.
    Admin,
    /// Transfers payouts manually.
    Operator { operator: usize },
}

/// What an actor does. An order is named by its index among the orders known when the action starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Place,
    Claim { order: usize },
    Upload { order: usize, image: u32 },
    View { order: usize },
    Visit,
    Confirm { order: usize, key: Option<u8>, note: u8 },
    Patch { order: usize, status: Option<&'static str>, quote: Option<i64>, key: Option<u8> },
    // Repeats the last request that carried an idempotency key.
    Again,
    Read { order: usize },
    // The seller rotates the order's access token. Some buyers keep using the old one.
    RotateToken { order: usize, key: Option<u8> },
    List,
    Receipt { order: usize },
    // Reads or confirms another seller's order with this seller's key.
    Trespass { order: usize },
    PutStorefront { variant: u32, contended: bool, hide_branding: bool, published: bool },
    GetStorefront,
    Reprice { price: i64 },
    AddService,
    DropService,
    Subscribe { hook: usize, filter: usize },
    Pause { subscription: usize, active: bool },
    Unsubscribe { subscription: usize },
    RotateSecret { subscription: usize },
    Deliveries,
    // Reads the delivery log and redelivers one delivery, preferably one that was given up.
    Redeliver { delivery: usize },
    RetryGivenUp,
    AddKey,
    // Replaces the key of one of the seller's devices and revokes the old one.
    RevokeKey { device: usize },
    SwitchPayment { on: bool },
    SwitchMarketing { on: bool },
    // Presses "pay online", sometimes twice at the same time.
    PayOnline { order: usize, twice: bool },
    // An event at the hosted page of one of the seller's latest sessions.
    HostedPage { session: usize, how: HostedPageEvent },
    Balance,
    Entries,
    Exceptions,
    // Lists the exceptions and resolves one, preferably an open one.
    Resolve { exception: usize },
    // Reads the available balance and requests `share` thousandths of it.
    RequestPayout { seller: usize, share: u32, bank: Option<u32>, key: Option<u8> },
    CancelPayout { payout: usize, key: Option<u8> },
    PatchBankAccount { variant: u32, whole: bool, key: Option<u8> },
    BankAccount,
    Payouts,
    Payout { payout: usize },
    PayoutBalance,
    MovePayout { seller: usize, payout: usize, step: Step, text: Option<u8>, key: Option<u8> },
    Adjust { seller: usize, amount: i64, reference: u32 },
    VerifyBooks,
    Rotate { seller: usize },
    RetryParked,
    // Adds a key for secrets at rest.
    AddKeyAtRest,
    Reseal,
    ForgetKeys,
    SetTier { seller: usize, tier: usize },
}

/// What happens at a hosted page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostedPageEvent {
    /// The buyer pays the amount asked, even after the session has ended.
    Pay,
    /// The buyer pays another amount.
    PayAmount(i64),
    /// The buyer pays in another currency.
    PayForeign(i64),
    Fail,
    Expire,
    /// The session expires, and is paid immediately afterwards.
    ExpireAndPay,
    /// Pays a session of the merchant that another partner created.
    Stranger,
}

/// One entry of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Milliseconds since the beginning.
    pub(crate) at: i64,
    pub(crate) actor: Actor,
    pub(crate) action: Action,
    /// Seed of this entry's own draws, independent of the other entries.
    pub(crate) salt: u64,
}

/// Everything that is drawn before the run starts.
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

/// More receivers than usual, most of them dead. Such a run only checks that they do not delay the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// Receivers of each seller.
    pub(crate) receivers: Vec<usize>,
    /// Seller and index of each live receiver.
    pub(crate) alive: Vec<(usize, usize)>,
}

/// Index that stands for the latest known order or payout.
pub(crate) const LATEST: usize = usize::MAX;
pub(crate) const DEVICES: usize = 2;
pub(crate) const BUYERS: usize = 2;
pub(crate) const HOOKS: usize = 3;
pub(crate) const OPERATORS: usize = 2;
pub(crate) const STATUSES: [&str; 6] = ["confirmed", "declined", "in_progress", "delivered", "completed", "canceled"];
pub(crate) const TIERS: [&str; 4] = ["free", "starter", "growth", "business"];

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan");
        let (hosts, sellers) = (random.between(1, 3), random.between(1, 3));
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
        plan.draw_resolutions(&mut random);
        plan.draw_outages(&mut Random::of(seed, "ways out"));
        plan.draw_new_tokens(&mut Random::of(seed, "tokens"));
        plan.draw_new_key(&mut Random::of(seed, "keys"));
        plan.items.sort_by_key(|item| item.at);
        plan
    }

    fn push(&mut self, random: &mut Random, at: i64, actor: Actor, action: Action) {
        self.items.push(Item { at, actor, action, salt: random.next() });
    }

    /// A new key for secrets at rest while secrets are created and used; everything is resealed, and the old key is
    /// forgotten.
    fn draw_new_key(&mut self, random: &mut Random) {
        let from = random.below(self.chaos_ms / 2);
        self.push(random, from, Actor::Admin, Action::AddKeyAtRest);
        for at in [MINUTE, KEYS_SETTLE_MS + MINUTE] {
            self.push(random, from + at, Actor::Admin, Action::Reseal);
        }
        // The first attempts may find secrets that are not resealed yet.
        for nth in 1..4 {
            self.push(random, from + KEYS_SETTLE_MS + 3 * nth * MINUTE, Actor::Admin, Action::ForgetKeys);
        }
        for _ in 0..random.between(2, 6) {
            let at = from + random.below(3_600_000);
            let seller = random.index(self.sellers);
            let device = Actor::Device { seller, device: random.index(DEVICES) };
            let buyer = Actor::Buyer { seller, buyer: random.index(BUYERS) };
            let (actor, action) = match random.below(4) {
                0 => (device, Action::Subscribe { hook: random.index(HOOKS), filter: 0 }),
                1 => (device, Action::RotateSecret { subscription: random.index(2) }),
                2 => (Actor::Admin, Action::Rotate { seller }),
                _ => (buyer, Action::Place),
            };
            self.push(random, at, actor, action);
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
            writeln!(formatter, "  at {} ms, {:?}: {:?}", item.at, item.actor, item.action)?;
        }
        Ok(())
    }
}
