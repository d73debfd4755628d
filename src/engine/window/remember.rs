//! How a device remembers windows that leave memory, for rules that judge by a baseline.
//!
//! Invariant: `past` is sorted by start, and as long as the longest baseline and [`SPARE`] at most.

use super::device::{Device, Window};
use super::past::Past;
use crate::engine::aggregate::judging::Judging;
use crate::engine::aggregate::moments::Moments;
use crate::engine::aggregate::state::AccumulatorState;
use crate::engine::ids::DefIndex;
use crate::engine::schema::Summary;
use crate::engine::series::feed::{Feed, Sample};

/// Windows that are remembered beyond the longest baseline, for points that open a window late.
const SPARE: usize = 24;

/// The moments of a source in a window.
pub fn moments_of(window: &Window, def: DefIndex) -> Moments {
    let mut all = Moments::default();
    for part in window.parts() {
        if let Some(AccumulatorState::Moments(moments)) =
            part.partial.accumulator(def).map(|accumulator| &accumulator.state)
        {
            all.merge(moments);
        }
    }
    all
}

impl Device {
    /// Keeps the moments of a window that may leave memory.
    pub fn remember(&mut self, place: usize, summary: &Summary) {
        let Some(longest) = summary.scores.iter().map(|(_, score)| usize::from(score.baseline)).max() else { return };
        let window = &self.windows[place];
        let mut moments: Vec<(DefIndex, Moments)> = Vec::new();
        for (_, score) in &summary.scores {
            let of = moments_of(window, score.moments);
            if of.n > 0 && !moments.iter().any(|(def, _)| *def == score.moments) {
                moments.push((score.moments, of));
            }
        }
        if moments.is_empty() {
            return;
        }
        let entry = Past { span: window.span, moments };
        match self.past.binary_search_by_key(&entry.span.start, |past| past.span.start) {
            Ok(known) if self.past[known] == entry => return,
            Ok(known) => self.past[known] = entry,
            Err(place) => self.past.insert(place, entry),
        }
        self.past.drain(..self.past.len().saturating_sub(longest + SPARE));
        self.unsaved = true;
    }

    /// Adds a point to the moments of a window that has left memory.
    pub fn add_to_past(&mut self, feeds: &[Feed], at: i64, sample: Sample) {
        let Some(past) = self.past.iter_mut().find(|past| past.span.contains(at)) else { return };
        for (def, moments) in &mut past.moments {
            feeds.iter().filter(|feed| feed.def == *def).filter_map(|feed| number(feed, sample)).for_each(|v| {
                moments.observe(v);
            });
        }
        self.unsaved = true;
    }
}

/// The value that a feed takes of a sample, if it is one.
pub fn number(feed: &Feed, sample: Sample) -> Option<f64> {
    match sample {
        Sample::Number(value) => feed.value(value),
        Sample::Text(_) => None,
    }
}

impl Window {
    /// What the rules judge its parts by.
    pub fn judgings(&self) -> impl Iterator<Item = &Judging> {
        let parts = self.older.iter().chain(std::iter::once(&self.own));
        parts.filter_map(|part| part.partial.judging.as_deref())
    }
}
