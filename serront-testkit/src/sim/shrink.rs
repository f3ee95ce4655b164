//! Reduces a failing plan: removes parts as long as the same invariant fails.

use super::plan::Plan;

/// Upper bound of the runs for one reduction.
const RUNS_MAX: u32 = 600;
const MINUTE_MS: i64 = 60_000;

struct Shrinker<F> {
    plan: Plan,
    fails: F,
    runs: u32,
}

impl<F: Fn(&Plan) -> bool> Shrinker<F> {
    /// Keeps the smaller plan if it still fails.
    fn accept(&mut self, smaller: Plan) -> bool {
        if self.runs >= RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&smaller);
        if fails {
            self.plan = smaller;
        }
        fails
    }

    /// Removes ranges of entries, long ones first.
    fn cut<T: Clone>(&mut self, entries: impl Fn(&mut Plan) -> &mut Vec<T>) {
        let mut length = entries(&mut self.plan).len();
        while length > 0 {
            let mut at = 0;
            while at < entries(&mut self.plan).len() {
                let mut smaller = self.plan.clone();
                let list = entries(&mut smaller);
                let end = at.saturating_add(length).min(list.len());
                list.drain(at..end);
                if !self.accept(smaller) {
                    at = end;
                }
            }
            length /= 2;
        }
    }
}

pub(super) fn shrink(plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut shrinker = Shrinker { plan, fails, runs: 0 };
    shrinker.cut(|plan| &mut plan.faults);
    shrinker.cut(|plan| &mut plan.items);
    shrinker.cut(|plan| &mut plan.faults);
    let last = shrinker.plan.items.iter().map(|item| item.at).max().unwrap_or(0);
    let shorter = Plan { chaos_ms: last + MINUTE_MS, ..shrinker.plan.clone() };
    shrinker.accept(shorter);
    for hosts in 1..shrinker.plan.hosts {
        let fewer = Plan { hosts, ..shrinker.plan.clone() };
        if shrinker.accept(fewer) {
            break;
        }
    }
    for sellers in 1..shrinker.plan.sellers {
        let fewer = Plan { sellers, ..shrinker.plan.clone() };
        if shrinker.accept(fewer) {
            break;
        }
    }
    shrinker.plan
}
