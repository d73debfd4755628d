//! The engine's state as it is stored: what a checkpoint takes out, and what a recovery puts back.
//!
//! A checkpoint ([`super::checkpoint`]) holds what has changed since the last one, as copies, and is written without holding
//! up the stream. If it could not be written, [`Engine::mark_all_unsaved`] makes the next one complete.
//!
//! Recovery is the stored state plus the lines behind it, through the same engine, with the same times of arrival and in
//! the name of the runs that took them; see [`crate::engine::window::device`].

use crate::engine::aggregate::moments::Moments;
use crate::engine::aggregate::partial::Partial;
use crate::engine::ids::{DeviceId, Key, SeriesId, SlotId, SummaryIndex};
use crate::engine::line::head::Head;
use crate::engine::series::feed::Sample;
use crate::engine::window::dedupe::StoredDedupe;
use crate::engine::window::device::Day;
use crate::engine::zone::Span;
use std::sync::Arc;

/// A device with its cursors and days.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDevice {
    pub id: DeviceId,
    /// Name of the summary.
    pub summary: String,
    pub key: Key,
    /// Name of the zone, if it is not that of the schema.
    pub zone: Option<Arc<str>>,
    pub filled_until: i64,
    pub filled_provisionally: i64,
    pub forgotten: Option<i64>,
    pub filled_after: Option<i64>,
    pub evicted_until: i64,
    /// Each with the name of its zone; in state of earlier versions only if it was not the schema's. The index means nothing here.
    pub days: Vec<(Day, Option<Arc<str>>)>,
    /// Of windows that rules with a baseline need: span, and the moments under the hashes of their definitions.
    pub past: Vec<(Span, Vec<(String, Moments)>)>,
}

/// A base window.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWindow {
    pub device: DeviceId,
    /// Index of the summary in the schema.
    pub summary: SummaryIndex,
    pub span: Span,
    /// Name of the zone that has cut it; `None` in state of earlier versions, which did not keep it: that of the device.
    pub zone: Option<Arc<str>>,
    pub newest: i64,
    /// The sink has all of it.
    pub written: bool,
    /// The sink has it as final.
    pub final_written: bool,
    pub parts: Vec<StoredPart>,
}

impl StoredWindow {
    /// True if the sink has all of it, as final.
    pub fn is_done(&self) -> bool {
        self.written && self.final_written
    }
}

/// What one run has seen of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPart {
    pub run: Arc<str>,
    pub rev: u64,
    /// The `rev` that the sink has.
    pub acknowledged: u64,
    /// Without pending points.
    pub partial: Partial,
}

/// A series, by its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSeries {
    pub id: SeriesId,
    pub head: Head,
}

/// A field of a series, with its pending point.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSlot {
    pub id: SlotId,
    pub series: SeriesId,
    pub field: Arc<[u8]>,
    pub pending: Option<(i64, Sample)>,
    /// The run that has taken the pending point.
    pub run: Arc<str>,
}

/// What has expired: it is removed from stored state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    pub devices: Vec<DeviceId>,
    pub series: Vec<SeriesId>,
}

/// What of a checkpoint is known when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Series that no checkpoint has held before.
    pub series: Vec<StoredSeries>,
    pub gone: Gone,
}

/// State, or what of it has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub devices: Vec<StoredDevice>,
    pub windows: Vec<StoredWindow>,
    pub series: Vec<StoredSeries>,
    pub slots: Vec<StoredSlot>,
    pub dedupe: StoredDedupe,
    pub gone: Gone,
    /// Windows that are stored, not written as final, and not in `windows`.
    pub away: u64,
}

impl Stored {
    /// Takes out what was known when the checkpoint began.
    pub fn take_news(&mut self) -> News {
        News { series: std::mem::take(&mut self.series), gone: std::mem::take(&mut self.gone) }
    }

    /// Adds another slice of the same checkpoint.
    pub fn extend(&mut self, other: Stored) {
        self.devices.extend(other.devices);
        self.windows.extend(other.windows);
        self.series.extend(other.series);
        self.slots.extend(other.slots);
        self.gone.devices.extend(other.gone.devices);
        self.gone.series.extend(other.gone.series);
        self.dedupe.oldest = other.dedupe.oldest;
        self.dedupe.chunks.extend(other.dedupe.chunks);
    }
}

/// Windows of a device that stay in memory although they could be looked up in stored state.
pub const WINDOWS_KEPT: usize = 3;
