//! The network: delays, losses and duplicates of each call, drawn from the seed and the plan's weather.
//!
//! ```text
//! caller ── request ─▶ (late · lost · twice) ─▶ callee ── answer ─▶ (late · lost) ─▶ caller
//! ```
//!
//! A request on its way arrives even after its caller has given up or died.

use super::plan::{Fault, Link, MailServer, Receiver, Trouble, Weather};
use super::random::Random;

/// What happens to one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fate {
    pub(crate) request_ms: u64,
    pub(crate) answer_ms: u64,
    pub(crate) loses_request: bool,
    pub(crate) loses_answer: bool,
    /// The same request arrives again, this many milliseconds later.
    pub(crate) again_after: Option<u64>,
    /// Refused before anything was done.
    pub(crate) refused: bool,
    pub(crate) busy: bool,
    /// A commit is refused as a conflict although its guards hold.
    pub(crate) conflict: bool,
}

#[derive(Debug)]
pub(crate) struct Network {
    random: Random,
    faults: Vec<Fault>,
    begin: i64,
    healed: bool,
}

impl Network {
    pub(crate) const fn new(random: Random, faults: Vec<Fault>, begin: i64) -> Self {
        Self { random, faults, begin, healed: false }
    }

    /// Ends all faults.
    pub(crate) const fn heal(&mut self) {
        self.healed = true;
    }

    pub(crate) const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    fn present(&self, now: i64) -> impl Iterator<Item = &Trouble> {
        let since = now - self.begin;
        let healed = self.healed;
        self.faults
            .iter()
            .filter(move |fault| !healed && (fault.from..fault.until).contains(&since))
            .map(|fault| &fault.trouble)
    }

    pub(crate) fn fate(&mut self, link: Link, now: i64) -> Fate {
        let worst =
            self.present(now).fold(Weather { delay_ms_max: 3, ..Weather::default() }, |worst, trouble| match trouble {
                Trouble::Storm { link: stormy, weather } if *stormy == link => Weather {
                    lose_request: worst.lose_request.max(weather.lose_request),
                    lose_answer: worst.lose_answer.max(weather.lose_answer),
                    duplicate: worst.duplicate.max(weather.duplicate),
                    refuse: worst.refuse.max(weather.refuse),
                    busy: worst.busy.max(weather.busy),
                    conflict: worst.conflict.max(weather.conflict),
                    delay_ms_max: worst.delay_ms_max.max(weather.delay_ms_max),
                },
                _ => worst,
            });
        let random = &mut self.random;
        // Most calls are quick; some take up to the maximum delay.
        let delay = |random: &mut Random| {
            let most = if random.per_mille(100) { worst.delay_ms_max } else { worst.delay_ms_max.min(20) };
            random.below(most + 1)
        };
        Fate {
            request_ms: delay(random),
            answer_ms: delay(random),
            loses_request: random.per_mille(worst.lose_request),
            loses_answer: random.per_mille(worst.lose_answer),
            again_after: random.per_mille(worst.duplicate).then(|| random.pick(&[0, 10, 1_000, 60_000], 0)),
            refused: random.per_mille(worst.refuse),
            busy: random.per_mille(worst.busy),
            conflict: random.per_mille(worst.conflict),
        }
    }

    pub(crate) fn receiver(&self, seller: usize, hook: usize, now: i64) -> Receiver {
        let behaves = |trouble: &Trouble| match trouble {
            Trouble::Receivers { seller: of, hook: at, behave } if *of == seller && at.is_none_or(|at| at == hook) => {
                Some(*behave)
            }
            _ => None,
        };
        self.present(now).filter_map(behaves).last().unwrap_or(Receiver::Well)
    }

    pub(crate) fn mail_server(&self, now: i64) -> MailServer {
        let behaves = |trouble: &Trouble| match trouble {
            Trouble::Mail { behave } => Some(*behave),
            _ => None,
        };
        self.present(now).filter_map(behaves).last().unwrap_or(MailServer::Well)
    }
}
