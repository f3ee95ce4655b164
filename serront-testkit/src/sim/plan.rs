//! The plan of a run: who does what when, and what goes wrong when. Drawn from the seed, and a value, so that a failing
//! one can be cut down part by part.

use std::fmt;

use super::random::Random;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Most by which a host's clock is off. Schedules and keys' lifetimes are judged with this much room.
pub(crate) const SKEW_MS_MAX: i64 = 20 * MINUTE;

/// Who acts. Each does one thing after the other; all of them act side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    /// One of a seller's devices, with an API key of its own.
    Device { seller: usize, device: usize },
    /// Somebody who buys from a seller.
    Buyer { seller: usize, buyer: usize },
    /// Who runs the installation.
    Admin,
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
    Deliveries,
    AddKey,
    /// Revokes the key of one of the seller's devices, and gives it a new one.
    RevokeKey {
        device: usize,
    },
    SwitchPayment {
        on: bool,
    },
    SetTier {
        seller: usize,
        tier: usize,
    },
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
    Receivers {
        seller: usize,
        hook: usize,
        behave: Receiver,
    },
    Mail {
        behave: MailServer,
    },
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
}

pub(crate) const DEVICES: usize = 2;
pub(crate) const BUYERS: usize = 2;
pub(crate) const HOOKS: usize = 3;
pub(crate) const STATUSES: [&str; 6] = ["confirmed", "declined", "in_progress", "delivered", "completed", "canceled"];
pub(crate) const TIERS: [&str; 4] = ["free", "starter", "growth", "business"];

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan");
        let hosts = usize::try_from(random.between(1, 3)).unwrap_or(1);
        let sellers = usize::try_from(random.between(1, 3)).unwrap_or(1);
        let chaos_ms = random.pick(&[2 * HOUR, 12 * HOUR, 36 * HOUR, 60 * HOUR], HOUR);
        let mut plan = Self { seed, hosts, sellers, chaos_ms, items: Vec::new(), faults: Vec::new() };
        plan.draw_faults(&mut random);
        plan.draw_items(&mut random);
        plan
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
        // There is somebody to confirm.
        for seller in 0..self.sellers {
            let (salt, at) = (random.next(), i64::try_from(random.below(5_000)).unwrap_or(0));
            self.items.push(Item { at, actor: Actor::Buyer { seller, buyer: 0 }, act: Act::Place, salt });
        }
        self.items.sort_by_key(|item| item.at);
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
        if random.per_mille(800) {
            let weather = draw_weather(random);
            let trouble = Trouble::Storm { link: Link::Storage, weather };
            self.faults.push(Fault { from: 0, until: self.chaos_ms, trouble });
        }
        for _ in 0..random.between(0, 2) {
            let trouble = draw_receiver(random, self.sellers);
            self.faults.push(Fault { from: 0, until: self.chaos_ms, trouble });
        }
        self.faults.sort_by_key(|fault| fault.from);
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
    Trouble::Receivers { seller: random.index(sellers), hook: random.index(HOOKS), behave }
}

fn draw_trouble(random: &mut Random, hosts: usize, sellers: usize) -> Trouble {
    let down_ms = random.pick(&[0, 50, 2_000, 40_000, 600_000], 0);
    let host = random.index(hosts);
    match random.below(12) {
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
                _ => Link::Storage,
            };
            Trouble::Storm { link, weather: draw_weather(random) }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, hosts, sellers, chaos_ms, items, faults } = self;
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
