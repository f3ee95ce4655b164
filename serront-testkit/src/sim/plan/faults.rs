//! What goes wrong: the links' weather, the receivers' and the mail server's behaviour, crashes and clocks.

use super::{HOOKS, HOUR, MINUTE, Plan, SECOND};
use crate::sim::random::Random;

/// A connection that calls take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// From a client to a host.
    Clients,
    /// From a host to the storage.
    Storage,
    /// From a host to the store of receipts.
    Receipts,
    /// From a host to Plugipay. `conflict` means a permanent refusal here.
    Plugipay,
    /// From Plugipay to the hosts. Here `refuse` sends a forged notification before the genuine one, `busy` delays one
    /// under its old signature, and `conflict` loses one permanently.
    Notifications,
}

/// How often each fault happens on a link, per thousand calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    pub(crate) lose_request: u32,
    pub(crate) lose_answer: u32,
    pub(crate) duplicate: u32,
    pub(crate) refuse: u32,
    pub(crate) busy: u32,
    pub(crate) conflict: u32,
    /// Upper bound of the delay in each direction.
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
    /// Accepts the mail and never answers.
    Silent,
    /// Neither accepts the mail nor answers.
    Gone,
    /// Refuses every mail permanently.
    Refusing,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Storm { link: Link, weather: Weather },
    // The host dies immediately.
    Crash { host: usize, down_ms: u64 },
    // The host dies after this many more polls of its tasks, in the middle of an operation.
    CrashInside { host: usize, polls: u64, down_ms: u64 },
    ClockStep { host: usize, by_ms: i64 },
    // One of the seller's receivers, or all of them. The last fault that names a receiver wins.
    Receivers { seller: usize, hook: Option<usize>, behave: Receiver },
    Mail { behave: MailServer },
    // Plugipay forgets every idempotency key: a repeated call creates a second session.
    KeysForgotten,
}

/// A trouble and the period in which it holds, in milliseconds since the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) from: i64,
    pub(crate) until: i64,
    pub(crate) trouble: Trouble,
}

impl Plan {
    pub(super) fn draw_faults(&mut self, random: &mut Random) {
        for _ in 0..random.between(0, 10) {
            let from = random.below(self.chaos_ms);
            let lasts = random.pick(&[10 * SECOND, MINUTE, 10 * MINUTE, 2 * HOUR, 12 * HOUR], MINUTE);
            let trouble = draw_trouble(random, self.hosts, self.sellers);
            self.faults.push(Fault { from, until: from + lasts, trouble });
        }
        // Weather for the whole run: short outages would miss most calls.
        for (link, often) in [(Link::Storage, 800), (Link::Plugipay, 600), (Link::Notifications, 600)] {
            if random.per_mille(often) {
                let weather = draw_weather(random);
                let trouble = Trouble::Storm { link, weather };
                self.faults.push(Fault { from: 0, until: self.chaos_ms, trouble });
            }
        }
        if random.per_mille(100) {
            let from = random.below(self.chaos_ms);
            self.faults.push(Fault { from, until: from, trouble: Trouble::KeysForgotten });
        }
        for _ in 0..random.between(0, 2) {
            let trouble = draw_receiver(random, self.sellers);
            self.faults.push(Fault { from: 0, until: self.chaos_ms, trouble });
        }
        self.faults.sort_by_key(|fault| fault.from);
    }
}

fn draw_weather(random: &mut Random) -> Weather {
    let mut share = |often, most| if random.per_mille(often) { random.between(1, most) } else { 0 };
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
