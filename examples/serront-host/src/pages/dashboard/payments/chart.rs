//! The balance over time, drawn on the server.
//!
//! ```text
//! the present balance ─▶ less the entries of each day, newest first ─▶ the balance at each day's end ─▶ SVG
//! ```
//!
//! The amounts and days are text next to the drawing, so that they are readable at every width. Balance and entries are two
//! reads: a payment that settles between them shifts the line's past by its amount, until the page is loaded again.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};
use serront_core::funds::ledger::Direction;
use serront_core::ports::WorkStorage;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::Limit;
use serront_core::primitives::time::Timestamp;
use serront_core::service::{Commands, Failure};
use serront_core::snapshots::EntryFilter;
use serront_core::views::EntryView;

use crate::pages::say::{Say, rupiah};

/// Days shown, including today.
const DAYS: i64 = 30;
/// Most pages of entries read: 3,000 entries, a hundred a day.
const PAGES_MAX: u32 = 3;
const DAY_MILLIS: i64 = 24 * 3_600_000;
/// Western Indonesia Time's offset from UTC, all year.
const AHEAD: Duration = Duration::from_secs(7 * 3_600);
/// The size in the drawing's units; the page scales them.
const WIDTH: i128 = 720;
const HEIGHT: i128 = 200;
/// Most steps of the scale.
const STEPS_MAX: i128 = 4;
/// The smallest step of the scale, in rupiah.
const STEP_MIN: i128 = 1_000;

/// A day in Western Indonesia, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Day(i64);

impl Day {
    fn of(at: Timestamp) -> Self {
        Self(at.plus(AHEAD).millis().div_euclid(DAY_MILLIS))
    }

    fn begins(self) -> Timestamp {
        Timestamp::from_millis(self.0.saturating_mul(DAY_MILLIS)).minus(AHEAD)
    }
}

/// The balance at the end of each day; for today, the present one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct History {
    /// Oldest first.
    ends: Vec<(Day, i64)>,
    /// Whether anything was posted in these days.
    has_entries: bool,
    /// Whether there were too many entries, so that the history starts later.
    is_cut: bool,
}

/// Reads the account's entries backwards from its present balance.
pub(super) async fn read(
    commands: Commands<'_, dyn WorkStorage>,
    account: AccountId,
    balance: i64,
    now: Timestamp,
) -> Result<History, Failure> {
    let today = Day::of(now);
    let mut first = Day(today.0.saturating_sub(DAYS - 1));
    let filter = EntryFilter { from: Some(first.begins()), ..EntryFilter::default() };
    let mut moved = BTreeMap::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page = commands.entries(account, &filter, cursor.as_deref(), Limit::EXPORT).await?;
        for entry in &page.entries {
            // The clock of the host that posted it may be ahead.
            let sum: &mut i64 = moved.entry(Day::of(entry.created_at).min(today)).or_default();
            *sum = sum.saturating_add(signed(entry));
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let is_cut = cursor.is_some();
    if is_cut {
        // The oldest day may be incomplete, but all later entries are known, and so is the balance at its end.
        first = moved.keys().next().copied().unwrap_or(today);
    }
    Ok(History { ends: ends(balance, &moved, first, today), has_entries: !moved.is_empty(), is_cut })
}

fn signed(entry: &EntryView) -> i64 {
    match entry.direction {
        Direction::Credit => entry.amount.get(),
        Direction::Debit => entry.amount.get().saturating_neg(),
    }
}

/// Computes the balances backwards from the present one.
fn ends(balance: i64, moved: &BTreeMap<Day, i64>, first: Day, today: Day) -> Vec<(Day, i64)> {
    let mut end = balance;
    let mut ends = Vec::new();
    for day in (first.0..=today.0).rev().map(Day) {
        ends.push((day, end));
        end = end.saturating_sub(moved.get(&day).copied().unwrap_or(0));
    }
    ends.reverse();
    ends
}

/// The scale: multiples of a round step that include all amounts and zero.
#[derive(Debug, PartialEq, Eq)]
struct Scale {
    bottom: i128,
    top: i128,
    step: i128,
}

impl Scale {
    fn around(amounts: impl Iterator<Item = i64> + Clone) -> Self {
        let low = i128::from(amounts.clone().min().unwrap_or(0).min(0));
        let high = i128::from(amounts.max().unwrap_or(0).max(0));
        let mut step = STEP_MIN;
        for factor in [2, 5, 10].into_iter().cycle() {
            let (bottom, top) = (low.div_euclid(step), -(-high).div_euclid(step));
            if top - bottom <= STEPS_MAX {
                return Self { bottom: bottom * step, top: top.max(bottom + 1) * step, step };
            }
            // 1, 2, 5, 10, …
            step = if factor == 5 { step / 2 * 5 } else { step * 2 };
        }
        Self { bottom: low, top: high + 1, step }
    }

    /// From top to bottom.
    fn ticks(&self) -> impl Iterator<Item = i64> {
        let (top, step) = (self.top, self.step);
        (0..=(self.top - self.bottom) / step).filter_map(move |index| i64::try_from(top - index * step).ok())
    }

    fn height_of(&self, amount: i64) -> i128 {
        (self.top - i128::from(amount)) * HEIGHT / (self.top - self.bottom).max(1)
    }
}

/// The line in the drawing's units: horizontal for each day, vertical between days.
fn outline(scale: &Scale, ends: &[(Day, i64)]) -> String {
    let mut line = String::new();
    let count = i128::try_from(ends.len()).unwrap_or(1).max(1);
    for ((_, end), right) in ends.iter().zip(1_i128..) {
        let begin = if line.is_empty() { "M0 " } else { "V" };
        line.push_str(&format!("{begin}{}H{}", scale.height_of(*end), right * WIDTH / count));
    }
    line
}

/// The drawing with its amounts and days, and the same data as a table.
pub(super) fn draw(say: Say, history: &History) -> Markup {
    let ends = &history.ends;
    let (Some(first), Some(today)) = (ends.first(), ends.last()) else { return html! {} };
    if !history.has_entries && today.1 == 0 {
        return html! {
            p.empty { (say.of("Grafik muncul setelah pembayaran online yang pertama.", "The chart appears with the first online payment.")) }
        };
    }
    let scale = Scale::around(ends.iter().map(|(_, end)| *end));
    let line = outline(&scale, ends);
    let zero = scale.height_of(0);
    let middle = ends.get(ends.len() / 2).filter(|_| ends.len() > 2);
    let day = |day: Day| say.short_day(day.begins());
    html! {
        div.plot {
            div.plot-amounts aria-hidden="true" { @for tick in scale.ticks() { span { (rupiah(tick)) } } }
            svg #balance-chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                aria-labelledby="balance-chart-title balance-chart-text" {
                title #balance-chart-title { (say.of("Saldo di akhir setiap hari", "The balance at the end of each day")) }
                desc #balance-chart-text { (summary(say, ends)) }
                g stroke="#dfe5e2" stroke-width="1" {
                    @for tick in scale.ticks() {
                        line x1="0" x2=(WIDTH) y1=(scale.height_of(tick)) y2=(scale.height_of(tick)) vector-effect="non-scaling-stroke" {}
                    }
                }
                path d=(format!("{line}V{zero}H0Z")) fill="#e2f3ec" {}
                line x1="0" x2=(WIDTH) y1=(zero) y2=(zero) stroke="#8a9a94" stroke-width="1" vector-effect="non-scaling-stroke" {}
                path d=(line) fill="none" stroke="#0b5c4a" stroke-width="2" stroke-linejoin="round" vector-effect="non-scaling-stroke" {}
            }
            div.plot-days aria-hidden="true" {
                @if ends.len() > 1 { span { (day(first.0)) } }
                @if let Some(middle) = middle { span { (day(middle.0)) } }
                span { (say.of("Hari ini", "Today")) }
            }
        }
        @if history.is_cut {
            p.muted.small {
                (say.of(
                    format!("Transaksinya terlalu banyak untuk {DAYS} hari, jadi grafik dimulai pada {}.", day(first.0)),
                    format!("There are too many transactions for {DAYS} days, so the chart begins on {}.", day(first.0)),
                ))
            }
        }
        details {
            summary { (say.of("Lihat sebagai tabel", "Show as a table")) }
            table {
                thead {
                    tr {
                        th scope="col" { (say.of("Tanggal", "Day")) }
                        th.right scope="col" { (say.of("Saldo di akhir hari", "Balance at the end of the day")) }
                    }
                }
                tbody {
                    @for (day, end) in ends.iter().rev() {
                        tr { td { (say.day(day.begins())) } td.right.money { (rupiah(*end)) } }
                    }
                }
            }
        }
    }
}

/// A short description of the drawing.
fn summary(say: Say, ends: &[(Day, i64)]) -> String {
    let lowest = ends.iter().min_by_key(|(_, end)| *end);
    let highest = ends.iter().max_by_key(|(_, end)| *end);
    let (Some(first), Some(today), Some(lowest), Some(highest)) = (ends.first(), ends.last(), lowest, highest) else {
        return String::new();
    };
    let day = |(day, _): &(Day, i64)| say.day(day.begins());
    let (then, now, low, high) = (rupiah(first.1), rupiah(today.1), rupiah(lowest.1), rupiah(highest.1));
    say.of(
        format!(
            "{then} pada {}, {now} hari ini. Tertinggi {high} pada {}, terendah {low} pada {}.",
            day(first),
            day(highest),
            day(lowest)
        ),
        format!(
            "{then} on {}, {now} today. The highest is {high} on {}, the lowest {low} on {}.",
            day(first),
            day(highest),
            day(lowest)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_days_balance_excludes_the_later_entries() {
        let moved = BTreeMap::from([(Day(11), 500), (Day(13), -200)]);
        let shown: Vec<_> = ends(300, &moved, Day(10), Day(14)).into_iter().map(|(day, end)| (day.0, end)).collect();
        assert_eq!(shown, [(10, 0), (11, 500), (12, 500), (13, 300), (14, 300)]);
    }

    #[test]
    fn a_day_begins_at_midnight_in_western_indonesia() {
        // 2026-11-22T17:00:00Z is midnight there.
        let midnight = Timestamp::from_millis(1_795_366_800_000);
        assert_eq!(midnight.to_string(), "2026-11-22T17:00:00.000Z");
        let day = Day::of(midnight);
        assert_eq!(day.begins(), midnight);
        assert_eq!(Day::of(Timestamp::from_millis(midnight.millis() - 1)), Day(day.0 - 1));
    }

    #[test]
    fn the_scale_is_round_and_short_and_includes_all_amounts() {
        for (amounts, ticks) in [
            (&[0][..], &[1_000, 0][..]),
            (&[300], &[1_000, 0]),
            (&[997_000, 0], &[1_000_000, 500_000, 0]),
            (&[4_018_000, 1_000], &[6_000_000, 4_000_000, 2_000_000, 0]),
            (&[-2_250, 747_750], &[1_000_000, 500_000, 0, -500_000]),
            (&[-500_000, -20_000], &[0, -200_000, -400_000, -600_000]),
        ] {
            let scale = Scale::around(amounts.iter().copied());
            assert_eq!(scale.ticks().collect::<Vec<_>>(), ticks, "{amounts:?}");
        }
        for extreme in [i64::MAX, i64::MIN] {
            let scale = Scale::around([extreme].into_iter());
            assert!((0..=HEIGHT).contains(&scale.height_of(extreme)), "{scale:?}");
        }
    }

    #[test]
    fn the_line_is_horizontal_for_each_day() {
        let scale = Scale { bottom: 0, top: 1_000, step: 1_000 };
        let ends = [(Day(1), 0), (Day(2), 500), (Day(3), 1_000)];
        assert_eq!(outline(&scale, &ends), "M0 200H240V100H480V0H720");
    }
}
