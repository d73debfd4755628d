//! What z-score rules judge by: the values of a source in the last finished windows of its device.
//!
//! Windows leave memory, so a device keeps the moments of its last ones ([`Past`]), in stored state too. Points that are
//! pending belong to them as they are at that moment.

use crate::engine::aggregate::judging::Baseline;
use crate::engine::aggregate::moments::Moments;
use crate::engine::core::Engine;
use crate::engine::ids::{DefIndex, SeriesIndex};
use crate::engine::schema::ZScore;
use crate::engine::window::device::Window;
use crate::engine::window::past::Past;
use crate::engine::window::remember::{moments_of, number};
use crate::engine::zone::Span;

/// What would be compared with is remembered no more.
struct Forgotten;

impl Engine {
    /// Settles, for the rules that the line in hand has a value for, what they judge its windows by.
    pub(crate) fn settle_line(&mut self, series: SeriesIndex, at: i64) {
        let mut asked: Vec<(usize, i64, (DefIndex, ZScore))> = Vec::new();
        for (index, sample) in &self.found {
            let Some(seen) = self.plans.fields(series).nth(*index) else { continue };
            for target in &seen.field.targets {
                let scores = &self.schema.summaries[target.summary.at()].scores;
                let device = seen.places[usize::from(target.place)].device.at();
                let Some(window) = self.devices[device].window(at) else { continue };
                let is_value =
                    |def: DefIndex| target.feeds.iter().any(|f| f.def == def && number(f, *sample).is_some());
                let unsettled =
                    scores.iter().filter(|(def, _)| !window.own.partial.has_baseline(*def) && is_value(*def));
                asked.extend(unsettled.map(|score| (device, window.span.start, *score)));
            }
        }
        for (device, start, score) in asked {
            self.settle(device, start, &score);
        }
    }

    /// Settles what the rules judge a window by that has been completed, if a value has asked for it.
    pub(crate) fn settle_all(&mut self, device: usize, start: i64) {
        let state = &self.devices[device];
        let Ok(place) = state.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let judgings: Vec<_> = state.windows[place].judgings().collect();
        let scores = self.schema.summaries[state.summary.at()].scores.iter();
        let asked = scores
            .filter(|(def, _)| judgings.iter().any(|j| j.proposed(*def).is_some() || j.waits(*def) || j.wants(*def)));
        for score in asked.copied().collect::<Vec<_>>() {
            self.settle(device, start, &score);
        }
    }

    /// Settles what a rule judges a window by; only proposes it while the window is not complete.
    fn settle(&mut self, device: usize, start: i64, (def, score): &(DefIndex, ZScore)) {
        let Ok(place) = self.devices[device].windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &self.devices[device].windows[place];
        // It may have been settled by another run, or before the window left memory.
        let known = window.judgings().find_map(|judging| judging.baseline(*def));
        let known = known.or_else(|| window.judgings().find_map(|judging| judging.proposed(*def)));
        let is_complete = window.is_complete;
        let baseline = match known.map_or_else(|| self.baseline(device, place, score), Ok) {
            Ok(baseline) => baseline,
            // The values wait until stored state has been asked.
            Err(Forgotten) if !is_complete => {
                let window = &mut self.devices[device].windows[place];
                return window.own.partial.judging.get_or_insert_default().want(*def);
            }
            Err(Forgotten) => None,
        };
        let window = &mut self.devices[device].windows[place];
        if window.is_complete {
            window.own.partial.settle(*def, score.threshold, baseline);
            for part in &mut window.older {
                // A point that was pending when its run ended.
                if part.partial.judging.as_ref().is_some_and(|judging| judging.waits(*def)) {
                    part.partial.settle(*def, score.threshold, baseline);
                }
            }
        } else {
            window.own.partial.judging.get_or_insert_default().propose(*def, baseline);
        }
    }

    /// How many windows before one stored state is to be asked for, because what a value is compared with is remembered no more.
    pub(crate) fn wanted_before(&self, device: usize, window: &Window) -> usize {
        let summary = &self.schema.summaries[self.devices[device].summary.at()];
        let wants = |def: DefIndex| window.judgings().any(|judging| judging.wants(def));
        let wanted = summary.scores.iter().filter(|(def, _)| wants(*def)).map(|(_, score)| usize::from(score.baseline));
        // Not every window has values of every source.
        wanted.max().map_or(0, |longest| 2 * longest + 24)
    }

    /// Mean and deviation of the values of a source in the last windows before one that hold a value; `None` if there are
    /// too few of them. An error if what is remembered does not reach back far enough to tell.
    fn baseline(&self, device: usize, place: usize, score: &ZScore) -> Result<Option<Baseline>, Forgotten> {
        let state = &self.devices[device];
        let pending = self.pending_values(device, score.moments);
        let with_pending = |mut moments: Moments, span: Span| {
            pending.iter().filter(|(at, _)| span.contains(*at)).for_each(|(_, value)| moments.observe(*value));
            moments
        };
        let past = |past: &Past| {
            let of = past.moments.iter().find(|(def, _)| *def == score.moments);
            of.map(|(_, moments)| moments.clone()).unwrap_or_default()
        };
        let mut before: Vec<(i64, Moments)> = Vec::new();
        let wanted = usize::from(score.baseline);
        for window in state.windows[..place].iter().rev() {
            let mut moments = moments_of(window, score.moments);
            if !window.is_complete
                && let Some(known) = state.past.iter().find(|past| past.span.start == window.span.start)
            {
                moments.merge(&past(known));
            }
            let moments = with_pending(moments, window.span);
            if moments.n > 0 {
                before.push((window.span.start, moments));
            }
            if before.len() == wanted {
                break;
            }
        }
        let start = state.windows[place].span.start;
        for known in state.past.iter().filter(|past| past.span.start < start) {
            if state.windows.binary_search_by_key(&known.span.start, |w| w.span.start).is_err() {
                before.push((known.span.start, with_pending(past(known), known.span)));
            }
        }
        before.retain(|(_, moments)| moments.n > 0);
        before.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
        let oldest = before.get(wanted.saturating_sub(1)).map(|(start, _)| *start);
        let begins = state.past_begins(&self.schema.summaries[state.summary.at()], score.moments);
        if begins.is_some_and(|begins| oldest.is_none_or(|oldest| oldest < begins)) {
            return Err(Forgotten);
        }
        if oldest.is_none() {
            return Ok(None);
        }
        let mut all = Moments::default();
        before[..wanted].iter().for_each(|(_, moments)| all.merge(moments));
        let baseline = all.deviation().map(|deviation| Baseline { mean: all.mean(), deviation });
        Ok(baseline.filter(|b| b.mean.is_finite() && b.deviation.is_finite()))
    }

    /// The pending values that an accumulator of a device will take.
    fn pending_values(&self, device: usize, def: DefIndex) -> Vec<(i64, f64)> {
        let mut values = Vec::new();
        let series = self.devices[device].series.iter();
        for seen in series.flat_map(|series| self.plans.fields(*series)) {
            let Some((at, sample)) = seen.slot.pending else { continue };
            let targets = seen.targets_of(device);
            let feeds = targets.flat_map(|target| target.feeds.iter()).filter(|feed| feed.def == def);
            values.extend(feeds.filter_map(|feed| Some((at, number(feed, sample)?))));
        }
        values
    }
}
