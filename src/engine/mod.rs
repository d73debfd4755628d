//! The pure core: bytes and time in, state and rows out.
//!
//! Flow of one line ([`line`]): [`heads`] and [`plan`] find the series by its head; [`scan`] reads the fields that the plan wants; the point is
//! judged against `lateness`, passes the duplicate rules, and is folded into the [`partial`] of its device's base
//! window. [`row`] turns partials into rows.
//!
//! Architecture invariant: nothing in this folder reads a clock, opens a file or a socket, starts a thread, logs or
//! waits. Time and bytes are arguments. A test reads the sources and enforces it.

pub mod accumulate;
pub mod checkpoint;
pub mod dedupe;
pub mod device;
mod fold;
pub mod frame;
pub mod heads;
mod in_order;
mod line;
mod number;
pub mod partial;
pub mod pattern;
pub mod plan;
pub mod row;
pub mod scan;
pub mod schema;
pub mod score;
mod sift;
pub mod stored;
pub mod zone;

use dedupe::Dedupe;
use device::{Device, EMPTY, Key};
use fold::{observe, takes};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use partial::Partial;
use plan::{FieldState, Plans, Sample};
use schema::Schema;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use stored::StoredSlot;
use zone::{Span, Zone};

/// Event times outside of the years 1828 to 2112 are no measurement, whatever `lateness` allows: they are counted as late
/// or as in the future. Inside, no sum of a time, a window and a duration of the configuration leaves 64 bits.
const EVENT_TIME_MAX: i64 = 4_500_000_000_000_000_000;
const EVENT_TIME_MIN: i64 = -EVENT_TIME_MAX;

/// What became of the lines and points that were read, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines with something in them: not blank, not a comment.
    pub lines: u64,
    /// Lines of a series that feeds a column.
    pub matched: u64,
    /// Points (fields) folded into a window, or pending there.
    pub points: u64,
    /// Lines that Telegraf's parser would refuse.
    pub malformed: u64,
    /// Points older than `lateness.max` when they arrived.
    pub late: u64,
    /// Points further in the future than `lateness.future`.
    pub future: u64,
    /// Points seen before with the same value, or replaced by a later value for the same time.
    pub duplicates: u64,
    /// Points seen before with another value.
    pub conflicts: u64,
    /// Lines that match a source but lack a key tag.
    pub no_key: u64,
    /// Lines beyond `limits.series` or `limits.devices`.
    pub over_limit: u64,
    /// Series that name a time zone which does not exist.
    pub unknown_zones: u64,
    /// Values that scale and offset turned into something that is not a finite number.
    pub not_finite: u64,
    /// Lines that were counted but could not be journaled: a kill before the next checkpoint loses them.
    pub unjournaled: u64,
}

/// A due window, to be fetched with [`Engine::snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueWindow {
    pub device: u32,
    pub span: Span,
}

/// A window without a sample that needs an empty row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueEmpty {
    pub device: u32,
    pub span: Span,
    pub is_final: bool,
}

/// A day whose row is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDay {
    pub device: u32,
    pub span: Span,
    /// The zone that has cut it; see [`Engine::zone`].
    pub zone: u16,
    pub is_final: bool,
}

/// A window at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub summary: u16,
    pub key: Key,
    pub zone: Arc<Zone>,
    pub span: Span,
    pub version: u32,
    /// The sink has a row of it.
    pub was_written: bool,
    pub parts: Vec<PartSnapshot>,
}

/// What one run has seen of a window, pending points included.
#[derive(Clone, Debug)]
pub struct PartSnapshot {
    /// Index of the run in the engine.
    pub run: u32,
    pub name: Arc<str>,
    pub rev: u64,
    /// The sink has been given it.
    pub is_acknowledged: bool,
    pub partial: Partial,
}

/// All windows of all devices.
pub struct Engine {
    schema: Arc<Schema>,
    plans: Plans,
    devices: Vec<Device>,
    directory: Directory,
    /// The zones of devices; the first is that of the schema.
    zones: Vec<Arc<Zone>>,
    /// Names of the runs of which there are parts.
    runs: Vec<Arc<str>>,
    /// Index of the run that is at work.
    run: u32,
    dedupe: Dedupe,
    /// Windows that have left memory and wait to be written.
    away: u64,
    /// By id of the series: slots of fields that this configuration does not know, kept as they were stored.
    unknown_slots: HashMap<u32, Vec<StoredSlot>>,
    counters: Counters,
    /// Index and value of the wanted fields of the line in hand; kept to reuse its memory.
    found: Vec<(usize, Sample)>,
    /// Every point goes the long way: a rule with a baseline wants to know of every change.
    long_way: bool,
    /// Lines until it is time to look ahead.
    look_ahead: u32,
    /// The number of the last checkpoint.
    checkpoint: u32,
    /// The checkpoint that is being taken.
    copying: Option<checkpoint::Copying>,
}

/// Which device has a key.
struct Directory {
    by_key: HashTable<u32>,
    hasher: FixedState,
    /// The highest id that a device has.
    ids: u32,
}

impl Directory {
    /// Adds a device that is not in it.
    fn add(&mut self, devices: &[Device], index: u32) {
        let hash = |index: &u32| {
            let device = &devices[*index as usize];
            self.hasher.hash_one((device.summary, &device.key))
        };
        self.ids = self.ids.max(devices[index as usize].id);
        self.by_key.insert_unique(hash(&index), index, hash);
    }

    /// Index of a device, which is made if need be; `None` if the limit on devices is reached.
    fn find_or_make(&mut self, schema: &Schema, devices: &mut Vec<Device>, key: plan::DeviceKey) -> Option<u32> {
        let hash = self.hasher.hash_one((key.0, &key.1));
        let is_it = |index: &u32| {
            let device = &devices[*index as usize];
            device.summary == key.0 && device.key == key.1
        };
        if let Some(index) = self.by_key.find(hash, is_it) {
            return Some(*index);
        }
        if devices.len() >= schema.limits.devices {
            return None;
        }
        let index = devices.len() as u32;
        devices.push(Device::new(self.ids + 1, key.0, key.1));
        self.add(devices, index);
        Some(index)
    }
}

impl Engine {
    /// An engine without any state.
    pub fn new(schema: Arc<Schema>) -> Engine {
        Engine {
            plans: Plans::new(&schema),
            devices: Vec::new(),
            directory: Directory { by_key: HashTable::new(), hasher: FixedState::default(), ids: 0 },
            zones: vec![schema.zone.clone()],
            runs: vec!["".into()],
            run: 0,
            dedupe: Dedupe::new(schema.limits.dedupe_points),
            away: 0,
            unknown_slots: HashMap::new(),
            counters: Counters::default(),
            found: Vec::new(),
            long_way: schema.judges,
            look_ahead: 0,
            checkpoint: 0,
            copying: None,
            schema,
        }
    }

    /// Takes every point the long way from now on: it is what the short one is held to.
    pub fn take_the_long_way(&mut self) {
        self.long_way = true;
    }

    /// Another run is at work from now on: the points that come are its own.
    pub fn begin_run(&mut self, name: &str) {
        let run = self.run_index(name);
        if run == self.run {
            return;
        }
        self.run = run;
        for device in &mut self.devices {
            device.windows.iter_mut().for_each(|window| window.begin_run(run));
        }
    }

    /// Index of the run that is at work.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Index of a run.
    fn run_index(&mut self, name: &str) -> u32 {
        let known = self.runs.iter().position(|run| **run == *name);
        known.unwrap_or_else(|| {
            self.runs.push(name.into());
            self.runs.len() - 1
        }) as u32
    }

    /// What is computed.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// What became of the lines so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Devices known.
    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// Series that feed something.
    pub fn series_count(&self) -> usize {
        self.plans.matched_series()
    }

    /// The first few heads that fed nothing, as text.
    pub fn unmatched_heads(&self) -> &[String] {
        self.plans.unmatched_heads()
    }

    /// Base windows in memory.
    pub fn window_count(&self) -> usize {
        self.devices.iter().map(|d| d.windows.len()).sum()
    }

    /// Adds base windows in memory, and how many of them are not in the sink as they are, of at most `count` devices from
    /// `from` on. Returns where to go on, or `None` after the last device.
    pub fn open_windows(&self, from: usize, count: usize, (all, due): (&mut usize, &mut usize)) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for window in self.devices[from.min(until)..until].iter().flat_map(|device| &device.windows) {
            *all += 1;
            *due += usize::from(window.version != window.acknowledged);
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Index of a device, which is made if need be; `None` if the limit on devices is reached.
    fn device_for(&mut self, key: plan::DeviceKey) -> Option<u32> {
        self.directory.find_or_make(&self.schema, &mut self.devices, key)
    }

    /// Number and length of the head of the line that was taken last, for as long as the engine lives;
    /// [`heads::NO_HEAD`] if the line has a form that is not numbered.
    pub fn last_head(&self) -> (u32, usize) {
        self.plans.hit()
    }

    /// Appends the devices, of at most `count` from `from` on, of which anything may be due, and lets go of windows that are
    /// done. Returns where to go on, or `None` after the last device.
    pub fn busy(&mut self, from: usize, count: usize, now: i64, busy: &mut Vec<u32>) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        let (schema, allowed) = (&self.schema, self.schema.lateness.allowed);
        for (index, device) in self.devices.iter_mut().enumerate().take(until).skip(from) {
            device.forget(&schema.summaries[usize::from(device.summary)], schema.lateness.max, now);
            let zone = &self.zones[usize::from(device.zone)];
            let mut is_busy = device.windows.iter().any(|window| window.may_be_empty || window.is_due(allowed, now))
                || device.days.iter().any(|day| day.is_due(allowed, now, true));
            if !is_busy {
                device.empty_windows(zone, schema.missing_horizon, allowed, now, |_, _| {
                    is_busy = true;
                    false
                });
            }
            if is_busy {
                busy.push(index as u32);
            }
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Appends the windows of some devices that are to be written.
    pub fn due_windows(&self, devices: &[u32], now: i64, due: &mut Vec<DueWindow>) {
        let allowed = self.schema.lateness.allowed;
        for &index in devices {
            let windows = self.devices[index as usize].windows.iter().filter(|window| window.is_due(allowed, now));
            due.extend(windows.map(|window| DueWindow { device: index, span: window.span }));
        }
    }

    /// Appends the windows of some devices that need a row without a sample.
    pub fn due_empty(&mut self, devices: &[u32], now: i64, due: &mut Vec<DueEmpty>) {
        for &index in devices {
            if self.devices[index as usize].windows.iter().any(|window| window.may_be_empty) {
                self.look_for_empty(index as usize);
            }
            let (schema, device) = (&self.schema, &self.devices[index as usize]);
            let zone = &self.zones[usize::from(device.zone)];
            device.empty_windows(zone, schema.missing_horizon, schema.lateness.allowed, now, |span, is_final| {
                due.push(DueEmpty { device: index, span, is_final });
                true
            });
        }
    }

    /// Finds out which windows of a device have lost their only samples, and when the last sample of the others was.
    fn look_for_empty(&mut self, device: usize) {
        let fields = self.devices[device].series.iter().flat_map(|series| self.plans.fields(*series));
        let counts = |seen: FieldState<'_>| {
            let (at, sample) = seen.slot.pending?;
            seen.targets_of(device).any(|t| takes(&t.feeds, sample)).then_some(at)
        };
        let pending: Vec<i64> = fields.filter_map(counts).collect();
        for window in self.devices[device].windows.iter_mut().filter(|window| window.may_be_empty) {
            window.may_be_empty = false;
            let folded = window.parts().filter(|p| p.partial.samples > 0).map(|p| p.partial.last_seen).max();
            let waiting = pending.iter().copied().filter(|at| window.span.contains(*at)).max();
            window.newest = folded.max(waiting).unwrap_or(EMPTY);
            window.unsaved = true;
        }
    }

    /// Appends the days of some devices whose row is due. Days that have not ended are listed only if `running` is true.
    pub fn due_days(&self, devices: &[u32], now: i64, running: bool, due: &mut Vec<DueDay>) {
        let allowed = self.schema.lateness.allowed;
        for &device in devices {
            for day in self.devices[device as usize].days.iter().filter(|day| day.is_due(allowed, now, running)) {
                let is_final = day.is_over(allowed, now);
                due.push(DueDay { device, span: day.span, zone: day.zone, is_final });
            }
        }
    }

    /// A zone by its index.
    pub fn zone(&self, index: u16) -> &Arc<Zone> {
        &self.zones[usize::from(index)]
    }

    /// Summary, key and zone of a device.
    pub fn device(&self, device: u32) -> (u16, &Key, &Arc<Zone>) {
        let device = &self.devices[device as usize];
        (device.summary, &device.key, &self.zones[usize::from(device.zone)])
    }

    /// A window with its parts; `None` if it has left memory.
    pub fn snapshot(&self, device: u32, start: i64) -> Option<Snapshot> {
        let state = &self.devices[device as usize];
        let place = state.windows.binary_search_by_key(&start, |w| w.span.start).ok()?;
        let window = &state.windows[place];
        let summary = &self.schema.summaries[usize::from(state.summary)];
        let mut parts: Vec<PartSnapshot> = window
            .parts()
            .map(|part| PartSnapshot {
                run: part.run,
                name: self.runs[part.run as usize].clone(),
                rev: part.rev,
                is_acknowledged: part.rev == part.acknowledged,
                partial: part.partial.clone(),
            })
            .collect();
        let mut not_finite = 0;
        for seen in state.series.iter().flat_map(|series| self.plans.fields(*series)) {
            if let Some((at, sample)) = seen.slot.pending
                && window.span.contains(at)
                && let Some(part) = parts.iter_mut().find(|part| part.run == seen.slot.run)
            {
                for target in seen.targets_of(device as usize) {
                    observe(&mut part.partial, window.span, summary, &target.feeds, at, sample, &mut not_finite);
                }
            }
        }
        Some(Snapshot {
            summary: state.summary,
            key: state.key.clone(),
            zone: self.zones[usize::from(state.zone)].clone(),
            span: window.span,
            version: window.version,
            was_written: window.parts().any(|part| part.acknowledged > 0),
            parts,
        })
    }

    /// Notes that the sink has a window at `version`, as final or not, and `parts` of it: run and `rev` of each.
    pub fn acknowledge(&mut self, device: u32, start: i64, version: u32, is_final: bool, parts: &[(u32, u64)]) {
        let device = &mut self.devices[device as usize];
        let zone = &self.zones[usize::from(device.zone)];
        let Ok(place) = device.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut device.windows[place];
        for (run, rev) in parts {
            window.part(*run).acknowledged = *rev;
        }
        window.acknowledged = version;
        window.final_written = is_final;
        window.unsaved = true;
        device.day_changed(start, zone);
    }

    /// Notes that the sink has lost the part of a run that it had: it is due again.
    pub fn lost(&mut self, device: u32, start: i64, run: u32) {
        let device = &mut self.devices[device as usize];
        let Ok(place) = device.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut device.windows[place];
        window.part(run).acknowledged = 0;
        window.version = window.version.wrapping_add(1);
        window.unsaved = true;
    }

    /// Makes every window in memory due that ends after `from`, whatever the sink has of it. `away` windows in stored state
    /// are due as well.
    pub fn resend(&mut self, from: i64, away: u64) {
        for device in &mut self.devices {
            for window in device.windows.iter_mut().filter(|window| window.span.end > from) {
                let parts = window.older.iter_mut().chain(std::iter::once(&mut window.own));
                parts.for_each(|part| part.acknowledged = 0);
                window.acknowledged = window.version.wrapping_sub(1);
                window.unsaved = true;
            }
        }
        self.away = self.away.max(away);
    }

    /// Notes that the sink has the partials of a window, but not its row: that of its day is due.
    pub fn day_changed(&mut self, device: u32, start: i64) {
        let device = &mut self.devices[device as usize];
        let zone = &self.zones[usize::from(device.zone)];
        device.day_changed(start, zone);
    }

    /// Notes that the empty rows of a device have been written.
    pub fn acknowledge_empty(&mut self, device: u32, windows: &[(Span, bool)]) {
        let device = &mut self.devices[device as usize];
        let zone = &self.zones[usize::from(device.zone)];
        device.acknowledge_empty(windows);
        device.unsaved = true;
        for (span, _) in windows {
            // A day whose first window is empty gets its row too; any other day has one by its samples.
            if zone.day(span.start).start == span.start {
                device.day_changed(span.start, zone);
            }
        }
    }

    /// Notes that the sink has the row of a day, as final or not.
    pub fn acknowledge_day(&mut self, device: u32, start: i64, is_final: bool) {
        let device = &mut self.devices[device as usize];
        if let Ok(place) = device.days.binary_search_by_key(&start, |d| d.span.start) {
            let day = &mut device.days[place];
            // What is stored of a day counts once it is final, see [`Day::stale`].
            device.unsaved |= day.final_written || is_final;
            (day.stale, day.final_written) = (false, is_final);
        }
    }
}

/// Index of a zone; `None` if there is no zone of that name.
fn zone_index(zones: &mut Vec<Arc<Zone>>, name: &[u8]) -> Option<u16> {
    let name = std::str::from_utf8(name).ok()?;
    if let Some(known) = zones.iter().position(|zone| zone.name() == name) {
        return u16::try_from(known).ok();
    }
    let zone = Zone::named(name)?;
    let index = u16::try_from(zones.len()).ok()?;
    zones.push(Arc::new(zone));
    Some(index)
}
