//! What a report is made of.

/// What a column shows of its samples, as far as a chart differs by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnShape {
    /// A mean, a percentile, a first or last value: a line.
    Level,
    /// The lowest: the lower edge of a band.
    Low,
    /// The highest: the upper edge of a band.
    High,
    /// A count or a sum: bars from zero.
    Count,
    /// A count of anomalies: bars, and marks on the other charts.
    Anomalies,
}

/// A column of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportColumn {
    pub name: String,
    /// As people write it; empty if there is none.
    pub unit: String,
    pub shape: ColumnShape,
}

/// A row of an hour or a day.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRow {
    /// Start of the window, seconds since the epoch.
    pub start: i64,
    /// The same in the zone of the row: `2026-11-24 09:00:00`, or a date for a day.
    pub local: String,
    pub zone: String,
    /// In the order of the columns; `None` without samples.
    pub values: Vec<Option<f64>>,
    pub samples: u64,
    /// From 0 to 1.
    pub coverage: f64,
    pub is_final: bool,
    /// The last sample, seconds since the epoch.
    pub last_seen: Option<i64>,
}

/// A device with its rows, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceRows {
    /// The text of the key tags.
    pub name: String,
    pub hours: Vec<ReportRow>,
    pub days: Vec<ReportRow>,
}

/// A summary with all devices that the report is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SummaryRows {
    pub name: String,
    pub columns: Vec<ReportColumn>,
    /// A device that has sent nothing for so many seconds is silent.
    pub silent_after: i64,
    /// Charts begin here, in seconds since the epoch; `None`: where each of them does by itself.
    pub from: Option<i64>,
    pub devices: Vec<DeviceRows>,
}

impl SummaryRows {
    /// Returns the column that matters: the highest temperature, else the first one that shows a highest value, else the first.
    pub fn hottest_column(&self) -> Option<usize> {
        let is_temperature = |column: &ReportColumn| {
            let unit = column.unit.trim_start_matches('°').to_ascii_uppercase();
            unit == "C" || unit == "F" || column.name.to_ascii_lowercase().contains("temp")
        };
        let is_high = |column: &ReportColumn| column.shape == ColumnShape::High;
        let find = |wanted: &dyn Fn(&ReportColumn) -> bool| self.columns.iter().position(wanted);
        find(&|column| is_temperature(column) && is_high(column))
            .or_else(|| find(&is_temperature))
            .or_else(|| find(&is_high))
            .or_else(|| (!self.columns.is_empty()).then_some(0))
    }

    /// Returns the newest sample of all devices, seconds since the epoch.
    pub fn newest(&self) -> Option<i64> {
        self.devices.iter().filter_map(DeviceRows::last_seen).max()
    }
}

impl DeviceRows {
    /// Returns the last sample, seconds since the epoch.
    pub fn last_seen(&self) -> Option<i64> {
        self.hours.iter().chain(&self.days).filter_map(|row| row.last_seen).max()
    }

    /// Returns the row that was cut in the zone that the device has now.
    pub fn newest_row(&self) -> Option<&ReportRow> {
        self.hours.last().or(self.days.last())
    }
}
