//! Faults from a seed.

use std::time::Duration;

use super::{Call, Fault};

/// The rate of each fault, in calls per thousand. A fault that can't affect a call does not strike it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rates {
    /// [`Fault::FailBefore`].
    pub fail_before: u16,
    /// [`Fault::LoseRequest`].
    pub lose_request: u16,
    /// [`Fault::LoseAnswer`].
    pub lose_answer: u16,
    /// [`Fault::Conflict`], for commits only.
    pub conflict: u16,
    /// [`Fault::Busy`].
    pub busy: u16,
    /// [`Fault::Delay`].
    pub delay: u16,
    /// [`Fault::DelayAnswer`].
    pub delay_answer: u16,
    /// [`Fault::Duplicate`].
    pub duplicate: u16,
    /// [`Fault::CrashBefore`].
    pub crash_before: u16,
    /// [`Fault::CrashAfter`].
    pub crash_after: u16,
    /// [`Fault::Step`], for [`Call::Now`] only.
    pub step: u16,
    /// The longest delay.
    pub delay_max: Duration,
    /// The longest step of the clock, forwards or backwards.
    pub step_max: Duration,
}

impl Rates {
    /// Nothing strikes.
    pub const NONE: Self = Self {
        fail_before: 0,
        lose_request: 0,
        lose_answer: 0,
        conflict: 0,
        busy: 0,
        delay: 0,
        delay_answer: 0,
        duplicate: 0,
        crash_before: 0,
        crash_after: 0,
        step: 0,
        delay_max: Duration::from_secs(5),
        step_max: Duration::from_secs(60),
    };

    /// Every fault except crashes, each at this rate: a bad network with hosts that stay alive.
    #[must_use]
    pub const fn each(per_thousand: u16) -> Self {
        Self {
            fail_before: per_thousand,
            lose_request: per_thousand,
            lose_answer: per_thousand,
            conflict: per_thousand,
            busy: per_thousand,
            delay: per_thousand,
            delay_answer: per_thousand,
            duplicate: per_thousand,
            step: per_thousand,
            ..Self::NONE
        }
    }

    /// The fault of this call, given the number of earlier calls of its kind. The same arguments always give the same fault.
    #[must_use]
    pub fn draw(&self, seed: u64, call: Call, before: u64) -> Option<Fault> {
        let drawn = mixed(mixed(mixed(seed) ^ kind_number(call)) ^ before);
        let mut at = drawn % 1_000;
        let amount = mixed(drawn);
        let delay = Duration::from_millis(amount % millis(self.delay_max).saturating_add(1));
        let reach = millis(self.step_max);
        let step = i64::try_from(amount % reach.saturating_mul(2).saturating_add(1)).unwrap_or(0)
            - i64::try_from(reach).unwrap_or(0);
        let faults = [
            (self.fail_before, Fault::FailBefore),
            (self.lose_request, Fault::LoseRequest),
            (self.lose_answer, Fault::LoseAnswer),
            (self.conflict, Fault::Conflict),
            (self.busy, Fault::Busy),
            (self.delay, Fault::Delay(delay)),
            (self.delay_answer, Fault::DelayAnswer(delay)),
            (self.duplicate, Fault::Duplicate),
            (self.crash_before, Fault::CrashBefore),
            (self.crash_after, Fault::CrashAfter),
            (self.step, Fault::Step(step)),
        ];
        for (rate, fault) in faults {
            match at.checked_sub(u64::from(rate)) {
                None => return means_something(call, fault).then_some(fault),
                Some(rest) => at = rest,
            }
        }
        None
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self::NONE
    }
}

fn millis(duration: Duration) -> u64 {
    // A year is enough, and leaves room to calculate.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(31_536_000_000)
}

/// Whether a fault affects a call in a way that no other fault does.
fn means_something(call: Call, fault: Fault) -> bool {
    match fault {
        Fault::Conflict => call == Call::Commit,
        Fault::Step(_) => call == Call::Now,
        Fault::FailBefore | Fault::LoseRequest | Fault::LoseAnswer | Fault::Busy => {
            !matches!(call, Call::Now | Call::Sleep | Call::DrawIds | Call::Point(_))
        }
        Fault::Delay(_) | Fault::DelayAnswer(_) => !matches!(call, Call::Now | Call::DrawIds | Call::DrawSecret),
        Fault::Duplicate => !matches!(call, Call::Now | Call::Point(_)),
        Fault::CrashBefore | Fault::CrashAfter => true,
    }
}

/// A number for each kind of call, which never changes when kinds are added.
fn kind_number(call: Call) -> u64 {
    match call {
        Call::Read => 1,
        Call::Commit => 2,
        Call::TakeDue => 3,
        Call::RecordAttempt => 4,
        Call::FoldDeltas => 5,
        Call::Prune => 6,
        Call::TouchKey => 7,
        Call::PutReceipt => 8,
        Call::GetReceipt => 9,
        Call::DeleteReceipt => 10,
        Call::ListReceipts => 11,
        Call::SendMail => 12,
        Call::CheckTarget => 13,
        Call::Post => 14,
        Call::CallPlugipay => 15,
        Call::Now => 16,
        Call::Sleep => 17,
        Call::DrawIds => 18,
        Call::DrawSecret => 19,
        Call::BeginInstallation => 21,
        Call::PutKeyCheck => 22,
        Call::QuarantineReceipt => 23,
        Call::RestoreReceipt => 24,
        Call::DiscardReceipt => 25,
        Call::AdoptReceipts => 26,
        Call::Point(name) => name.bytes().fold(20, |number, byte| mixed(number ^ u64::from(byte))),
    }
}

/// SplitMix64's step: small, and every bit of the input reaches every bit of the output.
const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
