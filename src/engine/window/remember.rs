//! How a device remembers windows that leave memory, for rules that judge by a baseline.
//!
//! Older ones are in stored state for as long as a point may come to a window that needs them, and are [recalled](Device::recall)
//! for it.
//!
//! Invariant: `past` is sorted by start, and holds of each source as many as the longest baseline and [`SPARE`] at most.

use super::device::{Device, Window};
use super::past::Past;
use crate::engine::aggregate::judging::Judging;
use crate::engine::aggregate::moments::Moments;
use crate::engine::aggregate::partial::Partial;
use crate::engine::aggregate::state::AccumulatorState;
use crate::engine::ids::DefIndex;
use crate::engine::persist::stored::StoredWindow;
use crate::engine::schema::Summary;
use crate::engine::series::feed::{Feed, Sample};
use crate::engine::zone::Span;

/// Windows that are remembered beyond the longest baseline, for points that open a window late.
const SPARE: usize = 24;

/// The moments of a source in a window.
pub fn moments_of(window: &Window, def: DefIndex) -> Moments {
    moments_in(window.parts().map(|part| &part.partial), def)
}

/// The moments of a source in the partials of a window.
fn moments_in<'p>(partials: impl Iterator<Item = &'p Partial>, def: DefIndex) -> Moments {
    let mut all = Moments::default();
    for partial in partials {
        if let Some(AccumulatorState::Moments(moments)) = partial.accumulator(def).map(|accumulator| &accumulator.state)
        {
            all.merge(moments);
        }
    }
    all
}

/// What is remembered of a window that consists of some partials; `None` if no rule needs anything of it.
fn entry<'p, P: Iterator<Item = &'p Partial>>(span: Span, partials: impl Fn() -> P, summary: &Summary) -> Option<Past> {
    let mut moments: Vec<(DefIndex, Moments)> = Vec::new();
    for (_, score) in &summary.scores {
        let of = moments_in(partials(), score.moments);
        if of.n > 0 && !moments.iter().any(|(def, _)| *def == score.moments) {
            moments.push((score.moments, of));
        }
    }
    (!moments.is_empty()).then_some(Past { span, moments })
}

/// How many windows are remembered of each source.
fn remembered(summary: &Summary) -> usize {
    summary.longest_baseline() + SPARE
}

impl Device {
    /// Keeps the moments of a window that may leave memory.
    pub fn remember(&mut self, place: usize, summary: &Summary) {
        let window = &self.windows[place];
        let partials = || window.parts().map(|part| &part.partial);
        let Some(entry) = entry(window.span, partials, summary) else { return };
        match self.past.binary_search_by_key(&entry.span.start, |past| past.span.start) {
            Ok(known) if self.past[known] == entry => return,
            Ok(known) => self.past[known] = entry,
            Err(place) => self.past.insert(place, entry),
        }
        self.forget_past(summary);
        self.unsaved = true;
    }

    /// Remembers windows of stored state for a moment: until [`Device::forget_past`].
    pub fn recall(&mut self, windows: &[StoredWindow], summary: &Summary) {
        for window in windows {
            let start = window.span.start;
            let is_here = self.windows.binary_search_by_key(&start, |w| w.span.start).is_ok();
            let partials = || window.parts.iter().map(|part| &part.partial);
            if let (false, Err(place), Some(entry)) = (
                is_here,
                self.past.binary_search_by_key(&start, |past| past.span.start),
                entry(window.span, partials, summary),
            ) {
                self.past.insert(place, entry);
            }
        }
    }

    /// Lets go of what is remembered of a source beyond its newest windows.
    pub fn forget_past(&mut self, summary: &Summary) {
        let most = remembered(summary);
        if self.past.len() <= most {
            return;
        }
        let mut counts: Vec<(DefIndex, usize)> = Vec::new();
        for past in self.past.iter_mut().rev() {
            past.moments.retain(|(def, _)| {
                let place = counts.iter().position(|(known, _)| known == def).unwrap_or_else(|| {
                    counts.push((*def, 0));
                    counts.len() - 1
                });
                counts[place].1 += 1;
                counts[place].1 <= most
            });
        }
        self.past.retain(|past| !past.moments.is_empty());
    }

    /// The start of the oldest window that is remembered of a source, if older ones have been forgotten.
    pub fn past_begins(&self, summary: &Summary, def: DefIndex) -> Option<i64> {
        let has = |past: &&Past| past.moments.iter().any(|(known, _)| *known == def);
        let count = self.past.iter().filter(has).count();
        self.past.iter().find(has).filter(|_| count >= remembered(summary)).map(|past| past.span.start)
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
