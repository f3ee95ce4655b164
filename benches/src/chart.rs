//! The chart of throughput by callers, as an SVG.
#![allow(clippy::float_arithmetic, reason = "places in a picture; no money is computed here")]

use std::fmt::Write as _;

/// The bars of one number of callers: the way's name and its confirmations a second.
pub(crate) struct Group {
    pub(crate) callers: usize,
    pub(crate) bars: Vec<(&'static str, f64)>,
}

/// One engine's part of the chart.
pub(crate) struct Panel {
    pub(crate) engine: &'static str,
    pub(crate) groups: Vec<Group>,
}

const COLORS: [&str; 4] = ["#9aa5b1", "#0b7285", "#e8a33d", "#5f3dc4"];
const PANEL_WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const BASE: f64 = 240.0;
const BARS_HEIGHT: f64 = 180.0;

/// Draws confirmations a second by callers, one panel beside the other. Each panel has a scale of its own.
pub(crate) fn svg(panels: &[Panel]) -> Result<String, std::fmt::Error> {
    let width = PANEL_WIDTH * f64::from(u32::try_from(panels.len()).unwrap_or(1));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for (panel, left) in panels.iter().zip((0_u32..).map(|n| f64::from(n) * PANEL_WIDTH)) {
        let most = panel.groups.iter().flat_map(|group| &group.bars).map(|(_, rate)| *rate).fold(1.0, f64::max);
        let title = format!("{}: confirmations a second, by callers", panel.engine);
        writeln!(text, "<text x=\"{}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{title}</text>", left + 20.0)?;
        let group_width = (PANEL_WIDTH - 40.0) / f64::from(u32::try_from(panel.groups.len().max(1)).unwrap_or(1));
        for (group, x) in panel.groups.iter().zip((0_u32..).map(|n| left + 20.0 + f64::from(n) * group_width)) {
            let bar = (group_width - 20.0) / f64::from(u32::try_from(group.bars.len().max(1)).unwrap_or(1));
            for (((_, rate), color), n) in group.bars.iter().zip(COLORS).zip(0_u32..) {
                let (x, height) = (x + f64::from(n) * bar, rate / most * BARS_HEIGHT);
                let y = BASE - height;
                writeln!(
                    text,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\">{rate:.0}</text>",
                    bar - 3.0,
                    x + (bar - 3.0) / 2.0,
                    y - 4.0
                )?;
            }
            let middle = x + (group_width - 20.0) / 2.0;
            writeln!(
                text,
                "<text x=\"{middle:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BASE + 16.0,
                group.callers
            )?;
        }
        let names = panel.groups.first().map(|group| group.bars.as_slice()).unwrap_or_default();
        for (((name, _), color), n) in names.iter().zip(COLORS).zip(0_u32..) {
            let x = left + 20.0 + f64::from(n) * 130.0;
            writeln!(
                text,
                "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{color}\"/><text x=\"{}\" y=\"{}\">{name}</text>",
                BASE + 30.0,
                x + 14.0,
                BASE + 39.0
            )?;
        }
    }
    text.push_str("</svg>\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_bar_fills_the_panel_and_others_are_in_proportion() {
        let bars = vec![("by hand", 500.0), ("library", 1_000.0)];
        let drawn = svg(&[Panel { engine: "SQLite", groups: vec![Group { callers: 32, bars }] }]).unwrap();
        assert!(drawn.contains("height=\"180.0\"") && drawn.contains("height=\"90.0\""), "{drawn}");
        assert!(drawn.contains(">1000</text>") && drawn.contains(">32</text>"), "{drawn}");
    }
}
