//! A window at one moment, as a copy that can be written without the engine.

use crate::engine::aggregate::partial::Partial;
use crate::engine::core::Engine;
use crate::engine::ids::Key;
use crate::engine::window::fold::observe;
use crate::engine::zone::{Span, Zone};
use std::sync::Arc;

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

impl Engine {
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
}
