//! The drawings of one device: hours, days, the heat strip, sparklines and strips of coverage.

use super::judge::{COVERAGE_MIN, flagged_columns};
use super::plot::{PlotFrame, ranges, round_range, stretches};
use super::rows::{ColumnShape, ReportColumn, ReportRow, SummaryRows};
use super::svg::{self, MARGIN_BOTTOM, MARGIN_LEFT, MARGIN_TOP};
use super::words;
use std::fmt::Write;

pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 86_400;
const WIDTH: i32 = 700;
const HEIGHT: i32 = 90;
/// So many marks are drawn, the highest counts first; more would be a bar.
const MARKS_MAX: usize = 40;
/// Levels of the heat strip.
const LEVELS: usize = 6;

/// Columns that are drawn together: a line, in the band of the lowest and the highest where they are columns, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartGroup {
    /// The column of the line, or of the bars.
    pub line: usize,
    pub low: Option<usize>,
    pub high: Option<usize>,
}

/// Returns the charts of a summary: `avg_x`, `min_x` and `max_x` are one.
pub fn groups(summary: &SummaryRows) -> Vec<ChartGroup> {
    let columns = &summary.columns;
    let stem = |at: usize| {
        let name = columns[at].name.as_str();
        ["avg_", "min_", "max_", "mean_"].iter().find_map(|word| name.strip_prefix(word)).map(str::to_string)
    };
    let find = |of: usize, shape: ColumnShape| {
        let wanted = stem(of)?;
        (0..columns.len()).find(|at| columns[*at].shape == shape && stem(*at).as_ref() == Some(&wanted))
    };
    let mut used = vec![false; columns.len()];
    let mut out = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        if column.shape == ColumnShape::Level {
            let (low, high) = (find(at, ColumnShape::Low), find(at, ColumnShape::High));
            let (low, high) = low.zip(high).map_or((None, None), |(low, high)| (Some(low), Some(high)));
            for taken in [Some(at), low, high].into_iter().flatten() {
                used[taken] = true;
            }
            out.push(ChartGroup { line: at, low, high });
        }
    }
    out.extend((0..columns.len()).filter(|at| !used[*at]).map(|line| ChartGroup { line, low: None, high: None }));
    out.sort_by_key(|group| group.line);
    out
}

/// Where a chart begins and ends, and how long its windows are, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub from: i64,
    pub to: i64,
    pub step: i64,
}

impl Extent {
    fn words(self) -> String {
        let unit = if self.step == HOUR { "hours" } else { "days" };
        format!("{unit} of {}", words::span(self.to - self.from))
    }

    fn has(self, row: &ReportRow) -> bool {
        row.start >= self.from && row.start < self.to
    }
}

fn values(rows: &[ReportRow], extent: Extent, column: usize) -> impl Iterator<Item = (&ReportRow, f64)> {
    let inside = rows.iter().filter(move |row| extent.has(row));
    inside.filter_map(move |row| row.values.get(column).copied().flatten().map(|value| (row, value)))
}

/// What a chart says in words.
fn description(summary: &SummaryRows, device: &str, rows: &[ReportRow], extent: Extent, column: usize) -> String {
    let ReportColumn { name, unit, .. } = &summary.columns[column];
    let found = values(rows, extent, column);
    let lowest = found.min_by(|a, b| a.1.total_cmp(&b.1));
    let highest = values(rows, extent, column).max_by(|a, b| a.1.total_cmp(&b.1));
    let Some(((_, lowest), (at, highest))) = lowest.zip(highest) else {
        return format!("{name} of {device}: there is no value.");
    };
    let inside = || rows.iter().filter(|row| extent.has(row));
    let (empty, open) = (inside().filter(|row| row.samples == 0).count(), inside().filter(|row| !row.is_final).count());
    let when = if extent.step == HOUR { words::hour(at) } else { words::day(at) };
    let mut text = format!(
        "{name} of {device}: from {} to {}, highest at {when} {}.",
        words::with_unit(lowest, unit),
        words::with_unit(highest, unit),
        at.zone
    );
    if empty > 0 {
        let _ = write!(text, " {} without a sample.", words::count(empty as u64, unit_of(extent)));
    }
    if open > 0 {
        let _ = write!(text, " {} provisional.", words::count(open as u64, unit_of(extent)));
    }
    text
}

fn unit_of(extent: Extent) -> &'static str {
    if extent.step == HOUR { "hour" } else { "day" }
}

/// Draws a group of columns; empty if there is no value, or no anomaly.
pub fn chart(summary: &SummaryRows, device: &str, rows: &[ReportRow], extent: Extent, group: &ChartGroup) -> String {
    let shown = [Some(group.line), group.low, group.high].into_iter().flatten();
    let all: Vec<f64> = shown.flat_map(|column| values(rows, extent, column).map(|(_, value)| value)).collect();
    let column = &summary.columns[group.line];
    let Some((low, high)) = all.iter().copied().fold(None, |range: Option<(f64, f64)>, value| {
        Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    }) else {
        return String::new();
    };
    let is_bar = matches!(column.shape, ColumnShape::Count | ColumnShape::Anomalies);
    if column.shape == ColumnShape::Anomalies && high <= 0.0 {
        return String::new();
    }
    let (low, high) = if is_bar { (low.min(0.0), high.max(1.0)) } else { (low, high) };
    let (low, high, lines) = round_range(low, high);
    let frame =
        PlotFrame { from: extent.from, to: extent.to, low, high, width: f64::from(WIDTH), height: f64::from(HEIGHT) };
    let title = format!("{} of {device}, {}", column.name, extent.words());
    let words = description(summary, device, rows, extent, group.line);
    let size = (MARGIN_LEFT + WIDTH + 6, MARGIN_TOP + HEIGHT + MARGIN_BOTTOM);
    let mut out = svg::open("c", size.0, size.1, &title, &words);
    let _ = write!(out, "<g transform=\"translate({MARGIN_LEFT} {MARGIN_TOP})\">");
    let poor = ranges(&frame, rows, extent.step, |row| row.samples > 0 && row.is_final && row.coverage < COVERAGE_MIN);
    svg::path(&mut out, "i", &svg::rectangles(&poor, 0, HEIGHT));
    let mut grid = String::new();
    for value in &lines {
        let y = frame.y(*value).round() as i32;
        let _ = write!(grid, "M0 {y}h{WIDTH}");
        svg::label(&mut out, -5, y + 4, true, &words::number(*value));
    }
    svg::path(&mut out, "g", &grid);
    days(&mut out, &frame, rows, extent);
    let found = stretches(&frame, rows, group.line, extent.step);
    if is_bar {
        let count = (extent.to - extent.from) / extent.step.max(1);
        let width = (WIDTH / i32::try_from(count.max(1)).unwrap_or(WIDTH)).max(1);
        let (open, done): (Vec<_>, Vec<_>) = found.into_iter().partition(|stretch| stretch.is_provisional);
        svg::path(&mut out, "a", &svg::bars(&done, &frame, width));
        svg::path(&mut out, "a o", &svg::bars(&open, &frame, width));
    } else {
        if let Some((low, high)) = group.low.zip(group.high) {
            let edge = |column| stretches(&frame, rows, column, extent.step);
            svg::path(&mut out, "b", &svg::band(&edge(low), &edge(high)));
        }
        svg::path(&mut out, "l", &svg::line(found.iter().filter(|stretch| !stretch.is_provisional)));
        svg::path(&mut out, "l o", &svg::line(found.iter().filter(|stretch| stretch.is_provisional)));
        marks(&mut out, summary, &frame, rows, extent);
    }
    out.push_str("</g></svg>");
    out
}

/// Marks the windows in which values were flagged.
fn marks(out: &mut String, summary: &SummaryRows, frame: &PlotFrame, rows: &[ReportRow], extent: Extent) {
    let columns = flagged_columns(summary);
    let flagged = |row: &ReportRow| columns.iter().filter_map(|at| row.values.get(*at).copied().flatten()).sum::<f64>();
    let inside = rows.iter().filter(|row| extent.has(row)).map(|row| (row, flagged(row)));
    let mut found: Vec<_> = inside.filter(|(_, count)| *count > 0.0).collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.start.cmp(&b.0.start)));
    for (row, count) in found.into_iter().take(MARKS_MAX) {
        let when = if extent.step == HOUR { words::hour(row) } else { words::day(row) };
        let x = frame.x(row.start + extent.step / 2).round() as i32;
        svg::mark(out, x, &format!("{when}: {}", words::count(count as u64, "anomaly")));
    }
}

/// Draws where days or months begin, in the zone of the rows.
fn days(out: &mut String, frame: &PlotFrame, rows: &[ReportRow], extent: Extent) {
    let mut ticks = String::new();
    let mut last = i32::MIN;
    for row in rows.iter().filter(|row| extent.has(row)) {
        let Some(date) = words::date(row) else { continue };
        let is_short = extent.to - extent.from <= 92 * DAY;
        let begins = match extent.step == HOUR {
            true => row.local.ends_with("00:00:00"),
            false if is_short => date.weekday() == jiff::civil::Weekday::Monday,
            false => date.day() == 1,
        };
        if !begins {
            continue;
        }
        let x = frame.x(row.start).round() as i32;
        let _ = write!(ticks, "M{x} 0v{}", HEIGHT + 4);
        let format = match (extent.step == HOUR, is_short) {
            (true, _) => "%a %d",
            (false, true) => "%d %b",
            (false, false) => "%b",
        };
        let label = date.strftime(format).to_string();
        if x >= last.saturating_add(46) && x <= WIDTH - 30 {
            svg::label(out, x + 2, HEIGHT + 14, false, &label);
            last = x;
        }
    }
    svg::path(out, "g", &ticks);
}

/// Draws the hours of days as squares: a day to the right, an hour down. An hour that comes twice is two halves.
pub fn heat(summary: &SummaryRows, device: &str, rows: &[ReportRow], extent: Extent) -> String {
    const CELL: (i32, i32) = (22, 5);
    let Some(column) = summary.hottest_column() else { return String::new() };
    let found: Vec<(&ReportRow, f64)> = values(rows, extent, column).collect();
    let low = found.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let high = found.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    if found.is_empty() {
        return String::new();
    }
    let mut dates: Vec<&str> =
        rows.iter().filter(|row| extent.has(row)).filter_map(|row| row.local.get(..10)).collect();
    dates.dedup();
    // Hours of one day that follow each other on one level are one rectangle.
    let mut levels = vec![String::new(); LEVELS];
    let mut open: Option<HeatRun> = None;
    for (at, (row, value)) in found.iter().enumerate() {
        let Some(day) = row.local.get(..10).and_then(|date| dates.iter().position(|other| *other == date)) else {
            continue;
        };
        let Some(hour) = row.local.get(11..13).and_then(|hour| hour.parse::<i32>().ok()) else { continue };
        let same = |other: Option<&(&ReportRow, f64)>| other.is_some_and(|(other, _)| other.local == row.local);
        let (shift, width) = match (same(found.get(at + 1)), at > 0 && same(found.get(at - 1))) {
            (true, _) => (0, CELL.0 / 2),
            (false, true) => (CELL.0 / 2, CELL.0 / 2),
            (false, false) => (0, CELL.0),
        };
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        let level = ((share * LEVELS as f64) as usize).min(LEVELS - 1);
        let run = HeatRun {
            level,
            x: i32::try_from(day).unwrap_or(0) * CELL.0 + shift,
            width: width - 1,
            from: hour,
            to: hour + 1,
        };
        match &mut open {
            Some(open) if open.to == hour && HeatRun { from: open.from, ..run } == HeatRun { to: run.to, ..*open } => {
                open.to = run.to
            }
            _ => {
                if let Some(done) = open.replace(run) {
                    done.draw(&mut levels, CELL.1);
                }
            }
        }
    }
    if let Some(done) = open {
        done.draw(&mut levels, CELL.1);
    }
    let ReportColumn { name, unit, .. } = &summary.columns[column];
    let title = format!("{name} of {device} by day and hour");
    let ends = (words::with_unit(low, unit), words::with_unit(high, unit));
    let words = format!("{} A column is a day, midnight is above.", description(summary, device, rows, extent, column));
    let width = MARGIN_LEFT + i32::try_from(dates.len()).unwrap_or(0) * CELL.0 + 6;
    let mut out = svg::open("c", width.max(WIDTH + MARGIN_LEFT + 6), 24 * CELL.1 + MARGIN_BOTTOM + 20, &title, &words);
    let _ = write!(out, "<g transform=\"translate({MARGIN_LEFT} 4)\">");
    for (level, d) in levels.iter().enumerate() {
        svg::path(&mut out, &format!("q{level}"), d);
    }
    for hour in [0, 6, 12, 18] {
        svg::label(&mut out, -5, hour * CELL.1 + 8, true, &format!("{hour:02}:00"));
    }
    // What the colours mean, from the lowest to the highest.
    let legend = WIDTH - LEVELS as i32 * 14 - 60;
    svg::label(&mut out, legend - 5, 24 * CELL.1 + 28, true, &ends.0);
    for level in 0..LEVELS {
        let x = legend + level as i32 * 14;
        svg::path(&mut out, &format!("q{level}"), &svg::rectangles(&[(x, x + 14)], 24 * CELL.1 + 19, 10));
    }
    svg::label(&mut out, legend + LEVELS as i32 * 14 + 5, 24 * CELL.1 + 28, false, &ends.1);
    for (at, date) in dates.iter().enumerate().step_by(3) {
        let x = i32::try_from(at).unwrap_or(0) * CELL.0;
        let day = date.parse::<jiff::civil::Date>().map(|date| date.strftime("%a %d").to_string());
        svg::label(&mut out, x, 24 * CELL.1 + 13, false, &day.unwrap_or_default());
    }
    out.push_str("</g></svg>");
    out
}

/// Hours of a day on one level, at a place in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeatRun {
    level: usize,
    x: i32,
    width: i32,
    from: i32,
    to: i32,
}

impl HeatRun {
    fn draw(self, levels: &mut [String], height: i32) {
        let (y, height) = (self.from * height, (self.to - self.from) * height);
        let _ = write!(levels[self.level], "M{} {y}h{}v{height}h-{}z", self.x, self.width, self.width);
    }
}

/// Draws a column's days in the size of a word.
pub fn spark(summary: &SummaryRows, device: &str, rows: &[ReportRow], extent: Extent, column: usize) -> String {
    let found: Vec<f64> = values(rows, extent, column).map(|(_, value)| value).collect();
    let low = found.iter().copied().fold(f64::INFINITY, f64::min);
    let high = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if found.is_empty() {
        return String::new();
    }
    let frame = PlotFrame { from: extent.from, to: extent.to, low, high, width: 90.0, height: 18.0 };
    let ReportColumn { name, unit, .. } = &summary.columns[column];
    let title = format!("{name} of {device}, {}", extent.words());
    let words = format!("From {} to {}.", words::with_unit(low, unit), words::with_unit(high, unit));
    let mut out = svg::open("s", 92, 22, &title, &words);
    let lines = stretches(&frame, rows, column, extent.step);
    out.push_str("<g transform=\"translate(1 2)\">");
    svg::path(&mut out, "l", &svg::line(lines.iter().filter(|stretch| !stretch.is_provisional)));
    svg::path(&mut out, "l o", &svg::line(lines.iter().filter(|stretch| stretch.is_provisional)));
    out.push_str("</g></svg>");
    out
}

/// Draws the coverage of days: the fuller, the higher and darker.
pub fn strip(device: &str, rows: &[ReportRow], extent: Extent) -> String {
    let days = ((extent.to - extent.from) / extent.step.max(1)).max(1);
    let mut classes = [const { String::new() }; 4];
    let mut counts = [0u64; 4];
    for row in rows.iter().filter(|row| extent.has(row)) {
        let class = match row.coverage {
            _ if row.samples == 0 => 0,
            share if share < 0.5 => 1,
            share if share < COVERAGE_MIN => 2,
            _ => 3,
        };
        counts[class] += 1;
        let x = (row.start - extent.from) / extent.step.max(1) * 4;
        let height = [2, 6, 11, 16][class];
        let _ = write!(classes[class], "M{x} {}h3v{height}h-3z", 18 - height);
    }
    let names = ["without a sample", "below 50 %", "below 90 %", "at least 90 %"];
    let parts = (0..4).rev().filter(|class| counts[*class] > 0);
    let parts: Vec<String> =
        parts.map(|class| format!("{} {}", words::count(counts[class], "day"), names[class])).collect();
    let words = if parts.is_empty() { "There is no day.".to_string() } else { format!("{}.", parts.join(", ")) };
    let width = i32::try_from(days * 4).unwrap_or(124);
    let mut out = svg::open("s", width, 20, &format!("Coverage of {device}, {}", extent.words()), &words);
    for (class, d) in classes.iter().enumerate() {
        svg::path(&mut out, &format!("k{class}"), d);
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(columns: &[(&str, ColumnShape)]) -> SummaryRows {
        let column = |(name, shape): &(&str, ColumnShape)| ReportColumn {
            name: name.to_string(),
            unit: "°C".to_string(),
            shape: *shape,
        };
        SummaryRows { columns: columns.iter().map(column).collect(), ..SummaryRows::default() }
    }

    #[test]
    fn the_lowest_and_the_highest_are_a_band_around_the_mean() {
        use ColumnShape::{Anomalies, High, Level, Low};
        let found = groups(&summary(&[
            ("avg_cpu", Level),
            ("max_temp", High),
            ("min_cpu", Low),
            ("max_cpu", High),
            ("hot", Anomalies),
        ]));
        let group = |line, low, high| ChartGroup { line, low, high };
        assert_eq!(found, [group(0, Some(2), Some(3)), group(1, None, None), group(4, None, None)]);
        // One edge alone is a chart of its own.
        let found = groups(&summary(&[("avg_cpu", Level), ("max_cpu", High)]));
        assert_eq!(found, [group(0, None, None), group(1, None, None)]);
    }

    /// The hour that comes twice when clocks are set back.
    #[test]
    fn an_hour_that_comes_twice_is_two_halves() {
        let row = |at: i64, local: &str, value: f64| ReportRow {
            start: at * HOUR,
            local: local.to_string(),
            zone: "Europe/Berlin".to_string(),
            values: vec![Some(value)],
            samples: 60,
            coverage: 1.0,
            is_final: true,
            last_seen: None,
        };
        let rows = [
            row(0, "2026-10-25 02:00:00", 90.0),
            row(1, "2026-10-25 02:00:00", 30.0),
            row(2, "2026-10-25 03:00:00", 30.0),
        ];
        let drawing = heat(
            &summary(&[("max_temp", ColumnShape::High)]),
            "a",
            &rows,
            Extent { from: 0, to: 3 * HOUR, step: HOUR },
        );
        assert!(drawing.contains("<path class=\"q5\" d=\"M0 10h10v5h-10z\"/>"), "{drawing}");
        assert!(drawing.contains("<path class=\"q0\" d=\"M11 10h10v5h-10zM0 15h21v5h-21z\"/>"), "{drawing}");
    }
}
