//! Which devices need attention, and why.

use super::rows::{ColumnShape, DeviceRows, SummaryRows};
use super::words;
use std::cmp::Ordering;

const DAY: i64 = 86_400;
/// Below this share of its slots a device is incomplete.
pub const COVERAGE_MIN: f64 = 0.9;
/// Anomalies are counted over so many days.
pub const ANOMALY_DAYS: i64 = 7;

/// What a device needs most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attention {
    /// It has sent nothing for so many seconds before the newest sample of all.
    Silent(i64),
    /// This share of the slots of its last 24 hours has a sample.
    Incomplete(f64),
    /// So many values were flagged in the last [`ANOMALY_DAYS`] days.
    Anomalous(f64),
    /// Nothing.
    Fine,
}

impl Attention {
    /// Returns the symbol, which says the same as the word without colour.
    pub fn symbol(self) -> &'static str {
        match self {
            Attention::Silent(_) => "✕",
            Attention::Incomplete(_) => "◐",
            Attention::Anomalous(_) => "▲",
            Attention::Fine => "●",
        }
    }

    /// Returns the word, which is also the class of the page's style.
    pub fn word(self) -> &'static str {
        match self {
            Attention::Silent(_) => "silent",
            Attention::Incomplete(_) => "incomplete",
            Attention::Anomalous(_) => "anomalies",
            Attention::Fine => "fine",
        }
    }

    /// Returns the reason in a few words.
    pub fn reason(self) -> String {
        match self {
            Attention::Silent(seconds) => format!("nothing for {}", words::span(seconds)),
            Attention::Incomplete(share) => format!("{} of 24 hours covered", words::percent(share)),
            Attention::Anomalous(count) => format!("{} in {ANOMALY_DAYS} days", words::count(count as u64, "anomaly")),
            Attention::Fine => "complete, no anomalies".to_string(),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Attention::Silent(_) => 0,
            Attention::Incomplete(_) => 1,
            Attention::Anomalous(_) => 2,
            Attention::Fine => 3,
        }
    }
}

/// Judges a device; `newest` is the newest sample of all, seconds since the epoch.
pub fn attention(summary: &SummaryRows, device: &DeviceRows, newest: i64) -> Attention {
    let silent = newest - device.last_seen().unwrap_or(i64::MIN / 2);
    if silent > summary.silent_after {
        return Attention::Silent(silent.min(newest));
    }
    let recent = device.hours.iter().filter(|row| row.is_final && row.start > newest - DAY - 3_600);
    let shares: Vec<f64> = recent.map(|row| row.coverage).collect();
    let share = if shares.is_empty() {
        device.days.iter().rev().find(|row| row.is_final).map_or(1.0, |row| row.coverage)
    } else {
        shares.iter().sum::<f64>() / shares.len() as f64
    };
    if share < COVERAGE_MIN {
        return Attention::Incomplete(share);
    }
    let anomalies = anomalies(summary, device, newest);
    if anomalies > 0.0 { Attention::Anomalous(anomalies) } else { Attention::Fine }
}

/// Returns how many values were flagged in the last [`ANOMALY_DAYS`] days.
fn anomalies(summary: &SummaryRows, device: &DeviceRows, newest: i64) -> f64 {
    let columns: Vec<usize> = flagged_columns(summary);
    let rows = if device.days.is_empty() { &device.hours } else { &device.days };
    let recent = rows.iter().filter(|row| row.start > newest - ANOMALY_DAYS * DAY);
    recent.flat_map(|row| columns.iter().filter_map(|at| row.values.get(*at).copied().flatten())).sum()
}

/// Returns the columns that count anomalies.
pub fn flagged_columns(summary: &SummaryRows) -> Vec<usize> {
    let all = summary.columns.iter().enumerate();
    all.filter(|(_, column)| column.shape == ColumnShape::Anomalies).map(|(at, _)| at).collect()
}

/// Returns the highest value of the column that matters in the last 30 days.
pub fn hottest(summary: &SummaryRows, device: &DeviceRows, newest: i64) -> Option<f64> {
    let column = summary.hottest_column()?;
    let rows = if device.days.is_empty() { &device.hours } else { &device.days };
    let recent = rows.iter().filter(|row| row.start > newest - 31 * DAY);
    recent.filter_map(|row| row.values.get(column).copied().flatten()).max_by(f64::total_cmp)
}

/// Returns the devices in the order in which they need attention, each with what it needs.
pub fn by_attention(summary: &SummaryRows, newest: i64) -> Vec<(usize, Attention)> {
    let judged = summary.devices.iter().enumerate().map(|(at, device)| {
        (at, attention(summary, device, newest), hottest(summary, device, newest).unwrap_or(f64::NEG_INFINITY))
    });
    let mut judged: Vec<_> = judged.collect();
    judged.sort_by(|(a, of_a, hot_a), (b, of_b, hot_b)| {
        let within = match (of_a, of_b) {
            (Attention::Anomalous(a), Attention::Anomalous(b)) => b.total_cmp(a),
            (Attention::Incomplete(a), Attention::Incomplete(b)) => a.total_cmp(b),
            _ => Ordering::Equal,
        };
        let names = || summary.devices[*a].name.cmp(&summary.devices[*b].name);
        of_a.rank().cmp(&of_b.rank()).then(within).then(hot_b.total_cmp(hot_a)).then_with(names)
    });
    judged.into_iter().map(|(at, attention, _)| (at, attention)).collect()
}
