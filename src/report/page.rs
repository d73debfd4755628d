//! Rows -> what the page shows: texts and drawings, in the order in which they are read.

use super::charts::{self, DAY, Extent, HOUR};
use super::judge::{self, Attention};
use super::rows::{DeviceRows, ReportRow, SummaryRows};
use super::words;

/// Hours are drawn of so many days, squares of so many, days of so many, and so many days stand as numbers.
const HOURS_DAYS: i64 = 14;
const HEAT_DAYS: i64 = 31;
const YEAR_DAYS: i64 = 366;
const NUMBER_DAYS: usize = 31;
/// So many days make the ranges, sparklines and strips of the first table.
const RANGE_DAYS: i64 = 30;
/// So many devices have a section of their own in one page.
pub const SECTIONS_MAX: usize = 50;

/// A number as it is shown, and with all its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    pub exact: String,
    pub text: String,
}

impl Figure {
    fn new(value: f64) -> Figure {
        Figure { exact: format!("{value}"), text: words::number(value) }
    }
}

/// What a device shows of one column in the first table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnCell {
    /// Of the newest day.
    pub today: Option<Figure>,
    /// The lowest and the highest day of the last [`RANGE_DAYS`].
    pub range: Option<(Figure, Figure)>,
    pub spark: String,
}

/// A row of the first table.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetLine {
    pub symbol: &'static str,
    pub word: &'static str,
    pub reason: String,
    pub name: String,
    /// Where its section is; empty if there is none.
    pub link: String,
    pub last_seen: String,
    pub cells: Vec<ColumnCell>,
    pub strip: String,
}

/// A day as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayLine {
    pub day: String,
    /// What is special about it: 25 hours, provisional.
    pub note: String,
    pub is_provisional: bool,
    pub is_incomplete: bool,
    pub cells: Vec<Option<Figure>>,
    pub samples: String,
    pub coverage: String,
}

/// A chart with its heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartBlock {
    pub heading: String,
    pub drawing: String,
}

/// The section of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSection {
    pub anchor: String,
    pub name: String,
    pub symbol: &'static str,
    pub word: &'static str,
    pub reason: String,
    pub zone: String,
    pub charts: Vec<ChartBlock>,
    pub days: Vec<DayLine>,
}

/// A summary on the page.
#[derive(Clone, Debug, PartialEq)]
pub struct SummarySection {
    pub name: String,
    /// A sentence: how many devices, how many need attention, up to when there is data.
    pub sentence: String,
    /// Names of columns with their units.
    pub headings: Vec<String>,
    pub fleet: Vec<FleetLine>,
    pub devices: Vec<DeviceSection>,
    /// What the page leaves out; empty if nothing.
    pub left_out: String,
}

/// Which sections stand on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Everything on one page; at most so many sections.
    One { sections: usize },
    /// The first table alone, with links to a page for each device.
    Overview,
    /// The section of the device at this place in the rows alone.
    Device(usize),
}

/// Returns the name of the file with the page of a device: its place, and what of its name is plain.
pub fn file_name(place: usize, name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(40).collect();
    format!("device-{:04}-{plain}.html", place + 1)
}

/// Makes what a page shows of a summary.
pub fn section(summary: &SummaryRows, layout: Layout) -> SummarySection {
    let newest = summary.newest().unwrap_or(0);
    let order = judge::by_attention(summary, newest);
    let limit = match layout {
        Layout::One { sections } => sections,
        Layout::Overview | Layout::Device(_) => 0,
    };
    let anchor = |place: usize| format!("{}-{}", plain(&summary.name), place + 1);
    let line = |rank: usize, place: usize, attention: Attention| {
        let link = match layout {
            Layout::One { .. } if rank < limit => format!("#{}", anchor(place)),
            Layout::Overview => file_name(place, &summary.devices[place].name),
            Layout::One { .. } | Layout::Device(_) => String::new(),
        };
        fleet_line(summary, &summary.devices[place], attention, newest, link)
    };
    let shows = |place: usize| !matches!(layout, Layout::Device(only) if only != place);
    let shown = || order.iter().enumerate().filter(|(_, (place, _))| shows(*place));
    let fleet = shown().map(|(rank, (place, attention))| line(rank, *place, *attention)).collect();
    let has_section = |rank: usize| rank < limit || matches!(layout, Layout::Device(_));
    let devices = shown().filter(|(rank, _)| has_section(*rank)).map(|(_, (place, attention))| {
        device_section(summary, &summary.devices[*place], *attention, newest, anchor(*place))
    });
    let devices: Vec<DeviceSection> = devices.collect();
    let missing = order.len().saturating_sub(devices.len());
    let left_out = match layout {
        Layout::One { .. } if missing > 0 => format!(
            "{} of {} have no section here: those that need attention least. `--device` makes a page of others, `--output DIR/` one \
             of each.",
            missing,
            words::count(order.len() as u64, "device")
        ),
        _ => String::new(),
    };
    let needing = order.iter().filter(|(_, attention)| *attention != Attention::Fine).count();
    SummarySection {
        name: summary.name.clone(),
        sentence: sentence(summary, needing, newest),
        headings: summary.columns.iter().map(heading).collect(),
        fleet,
        devices,
        left_out,
    }
}

/// Returns "14 devices, 3 need attention, data to 2026-11-24 09:10 Asia/Seoul".
fn sentence(summary: &SummaryRows, needing: usize, newest: i64) -> String {
    let devices = words::count(summary.devices.len() as u64, "device");
    let need = match needing {
        0 => "none needs attention".to_string(),
        1 => "1 needs attention".to_string(),
        more => format!("{more} need attention"),
    };
    let row =
        summary.devices.iter().filter(|device| device.last_seen() == Some(newest)).find_map(DeviceRows::newest_row);
    match row {
        Some(row) => format!("{devices}, {need}, data to {} {}", words::moment(newest, row), row.zone),
        None => format!("{devices}, no data yet"),
    }
}

fn heading(column: &super::rows::ReportColumn) -> String {
    if column.unit.is_empty() { column.name.clone() } else { format!("{} ({})", column.name, column.unit) }
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The days behind the newest one, to the end of it: from where the report begins if it says so, else so many, but a year is not
/// shown where there are a few weeks.
fn extent(newest: i64, days: i64, step: i64, rows: &[ReportRow], from: Option<i64>) -> Extent {
    let last = rows.iter().take_while(|row| row.start <= newest).last();
    let to = last.map_or(newest, |row| row.start).max(newest - newest.rem_euclid(step)) + step;
    let back = to - days * DAY;
    // So many dates, of which one may have 25 hours.
    let since = last.and_then(words::date).and_then(|date| date.checked_sub(jiff::Span::new().days(days - 1)).ok());
    let first_date = rows.iter().find(|row| words::date(row) >= since).map_or(back, |row| row.start);
    let start = if step == DAY { back.min(first_date) } else { back };
    let first_row = rows.first().map_or(to, |row| row.start).min(to - RANGE_DAYS * DAY);
    Extent { from: from.unwrap_or(first_row.max(start)).min(to - step), to, step }
}

fn fleet_line(
    summary: &SummaryRows,
    device: &DeviceRows,
    attention: Attention,
    newest: i64,
    link: String,
) -> FleetLine {
    let days = extent(newest, RANGE_DAYS, DAY, &device.days, None);
    let cell = |column: usize| {
        let of = |row: &ReportRow| row.values.get(column).copied().flatten();
        let inside = || device.days.iter().filter(|row| row.start >= days.from && row.start < days.to).filter_map(of);
        let range = inside().min_by(f64::total_cmp).zip(inside().max_by(f64::total_cmp));
        ColumnCell {
            today: device.days.last().filter(|row| row.start > newest - 2 * DAY).and_then(of).map(Figure::new),
            range: range.map(|(low, high)| (Figure::new(low), Figure::new(high))),
            spark: charts::spark(summary, &device.name, &device.days, days, column),
        }
    };
    let seen = device.last_seen().zip(device.newest_row());
    FleetLine {
        symbol: attention.symbol(),
        word: attention.word(),
        reason: attention.reason(),
        name: device.name.clone(),
        link,
        last_seen: seen.map_or_else(|| "never".to_string(), |(at, row)| words::moment(at, row)),
        cells: (0..summary.columns.len()).map(cell).collect(),
        strip: charts::strip(&device.name, &device.days, days),
    }
}

fn device_section(
    summary: &SummaryRows,
    device: &DeviceRows,
    attention: Attention,
    newest: i64,
    anchor: String,
) -> DeviceSection {
    let mut blocks = Vec::new();
    let mut add = |heading: String, drawing: String| {
        if !drawing.is_empty() {
            blocks.push(ChartBlock { heading, drawing });
        }
    };
    let hours = extent(newest, HOURS_DAYS, HOUR, &device.hours, summary.from);
    let squares = extent(newest, HEAT_DAYS, HOUR, &device.hours, summary.from);
    let year = extent(newest, YEAR_DAYS, DAY, &device.days, summary.from);
    for group in charts::groups(summary) {
        let name = heading(&summary.columns[group.line]);
        add(
            format!("{name}: hours of {HOURS_DAYS} days"),
            charts::chart(summary, &device.name, &device.hours, hours, &group),
        );
        add(
            format!("{name}: days of {}", words::span(year.to - year.from)),
            charts::chart(summary, &device.name, &device.days, year, &group),
        );
    }
    if let Some(column) = summary.hottest_column() {
        let name = heading(&summary.columns[column]);
        add(
            format!("{name}: each hour of {HEAT_DAYS} days"),
            charts::heat(summary, &device.name, &device.hours, squares),
        );
    }
    let first = device.days.len().saturating_sub(NUMBER_DAYS);
    let lines = (first..device.days.len()).rev().map(|at| day_line(&device.days, at)).collect();
    DeviceSection {
        anchor,
        name: device.name.clone(),
        symbol: attention.symbol(),
        word: attention.word(),
        reason: attention.reason(),
        zone: device.newest_row().map(|row| row.zone.clone()).unwrap_or_default(),
        charts: blocks,
        days: lines,
    }
}

fn day_line(days: &[ReportRow], at: usize) -> DayLine {
    let row = &days[at];
    let mut notes = Vec::new();
    // The next day says how long this one was.
    let next =
        days.get(at + 1).filter(|next| words::date(row).and_then(|date| date.tomorrow().ok()) == words::date(next));
    if let Some(length) = next.map(|next| next.start - row.start).filter(|length| *length != DAY) {
        let hours = words::count((length / HOUR).unsigned_abs(), "hour");
        let way = if length > DAY { "back" } else { "forward" };
        notes.push(format!("{hours}: clocks were set {way}"));
    }
    if !row.is_final {
        notes.push("provisional".to_string());
    }
    DayLine {
        day: words::day(row),
        note: notes.join(", "),
        is_provisional: !row.is_final,
        is_incomplete: row.is_final && row.coverage < judge::COVERAGE_MIN,
        cells: row.values.iter().map(|value| value.map(Figure::new)).collect(),
        samples: words::number(row.samples as f64),
        coverage: words::percent(row.coverage),
    }
}
