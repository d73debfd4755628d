//! The engine: all windows of all devices, and what it needs to fold lines into them.
//!
//! The fields are shared by the rooms beside this file, each of which adds what it does to [`Engine`]: [`super::ingest`] takes
//! lines, [`super::export`] says what is due, [`super::persist`] stores and restores, [`super::rules`] judges.
//!
//! Invariants: the devices that a series feeds are not gone, and list the series; `runs` and `zones` only grow, so an
//! index of them is good for the life of the engine.

use super::counters::{Counters, Tally};
use super::ids::{DeviceIndex, HeadNumber, Key, RunIndex, SeriesId, SummaryIndex, ZoneIndex};
use super::persist::copying::Copying;
use super::persist::stored::{Gone, StoredSlot};
use super::precision::Misread;
use super::schema::Schema;
use super::series::compile::DeviceKey;
use super::series::feed::Sample;
use super::series::plan::Plans;
use super::watch::sighting::Watch;
use super::window::dedupe::Dedupe;
use super::window::device::Device;
use super::window::directory::Directory;
use super::zone::Zone;
use std::collections::HashMap;
use std::sync::Arc;

/// All windows of all devices.
pub struct Engine {
    pub(super) schema: Arc<Schema>,
    pub(super) plans: Plans,
    pub(super) devices: Vec<Device>,
    pub(super) directory: Directory,
    /// The zones of devices; the first is that of the schema.
    pub(super) zones: Vec<Arc<Zone>>,
    /// Names of the runs of which there are parts.
    pub(super) runs: Vec<Arc<str>>,
    /// Index of the run that is at work.
    pub(super) run: RunIndex,
    pub(super) dedupe: Dedupe,
    /// Windows that have left memory and wait to be written.
    pub(super) away: u64,
    /// Windows that have left memory unwritten since the start.
    pub(super) spilled: u64,
    /// By id of the series: slots of fields that this configuration does not know, kept as they were stored.
    pub(super) unknown_slots: HashMap<SeriesId, Vec<StoredSlot>>,
    pub(super) counters: Counters,
    /// Timestamps of matched lines that look like another unit than nanoseconds.
    pub(super) misread: Misread,
    /// Index and value of the wanted fields of the line in hand; kept to reuse its memory.
    pub(super) found: Vec<(usize, Sample)>,
    /// Every point goes the long way: a rule with a baseline wants to know of every change.
    pub(super) long_way: bool,
    /// Lines until it is time to look ahead, and how many they were at first.
    pub(super) look_ahead: u32,
    pub(super) looked_ahead: u32,
    /// Looks for what comes in place of what columns ask for, if somebody wants to know.
    pub(super) watch: Option<Box<Watch>>,
    /// The number of the last checkpoint.
    pub(super) checkpoint: u32,
    /// What has expired since the last checkpoint.
    pub(super) gone: Gone,
    /// Numbers of heads will mean other heads than before.
    pub(super) has_renumbered: bool,
    /// The checkpoint that is being taken.
    pub(super) copying: Option<Copying>,
}

impl Engine {
    /// An engine without any state.
    pub fn new(schema: Arc<Schema>) -> Engine {
        Engine {
            plans: Plans::new(&schema),
            devices: Vec::new(),
            directory: Directory::default(),
            zones: vec![schema.zone.clone()],
            runs: vec!["".into()],
            run: RunIndex(0),
            dedupe: Dedupe::new(schema.limits.dedupe_points),
            away: 0,
            spilled: 0,
            unknown_slots: HashMap::new(),
            counters: Counters::default(),
            misread: Misread::default(),
            found: Vec::new(),
            long_way: schema.judges,
            look_ahead: 0,
            looked_ahead: 0,
            watch: None,
            checkpoint: 0,
            gone: Gone::default(),
            has_renumbered: false,
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
    pub fn run(&self) -> RunIndex {
        self.run
    }

    /// Index of a run.
    pub(super) fn run_index(&mut self, name: &str) -> RunIndex {
        let known = self.runs.iter().position(|run| **run == *name);
        RunIndex::of(known.unwrap_or_else(|| {
            self.runs.push(name.into());
            self.runs.len() - 1
        }))
    }

    /// What is computed.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// What became of the lines so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What became of the values of each column so far, in the order of the configuration.
    pub fn tallies(&self) -> Vec<Tally> {
        self.plans.tallies()
    }

    /// How many points the memory of duplicates holds at most.
    pub fn dedupe_capacity(&self) -> usize {
        self.dedupe.capacity()
    }

    /// Timestamps of matched lines that look like another unit than nanoseconds.
    pub fn misread(&self) -> Misread {
        self.misread
    }

    /// Devices known.
    pub fn device_count(&self) -> usize {
        self.directory.live(&self.devices)
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

    /// Index of a device, which is made if need be; `None` if the limit on devices is reached.
    pub(super) fn device_for(&mut self, key: DeviceKey) -> Option<DeviceIndex> {
        self.directory.find_or_make(&self.schema, &mut self.devices, key, self.checkpoint)
    }

    /// Number and length of the head of the line that was taken last, for as long as the engine lives;
    /// [`super::ids::NO_HEAD`] if the line has a form that is not numbered.
    pub fn last_head(&self) -> (HeadNumber, usize) {
        self.plans.hit()
    }

    /// A zone by its index.
    pub fn zone(&self, index: ZoneIndex) -> &Arc<Zone> {
        &self.zones[index.at()]
    }

    /// Summary and key of a device.
    pub fn device(&self, device: DeviceIndex) -> (SummaryIndex, &Key) {
        let device = &self.devices[device.at()];
        (device.summary, &device.key)
    }
}
