//! Answers that are whole: how many rows a SELECT asks for, and how a question is divided whose answer is not whole.
//!
//! Servers and proxies limit the rows of an answer. Some refuse what is longer (Vitess: 10,000 rows), some cut it without a
//! word (`sql_select_limit`, the filter `maxrows` of MaxScale). So a SELECT ends with a row that no table has (see
//! [`super::sql::select::marked`]) and with a LIMIT of its own, which takes precedence over `sql_select_limit`. An answer without
//! that row is not used: the question is divided, until the answers are whole.
//!
//! Deliberately absent: anything that speaks to a server.

use super::port::{FoundPartial, PartialRange};
use crate::engine::zone::Span;
use std::collections::BTreeSet;

/// Rows that one SELECT asks for at most, the one behind the last among them.
pub const ANSWER_ROWS_MAX: usize = 8_000;
/// Ranges of one SELECT at most; see [`super::sql::select::condition`].
const RANGES_MAX: usize = 500;
/// A base window has so many partials, as long as nothing else is known: of one run before a restart, and one behind it.
const PARTIALS_A_WINDOW: usize = 2;
/// Tables hold whole seconds.
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// How many rows are expected of a range, and how many come back at once. It is learnt from answers that were not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    rows_max: usize,
    partials_a_window: usize,
}

impl Default for Measure {
    fn default() -> Measure {
        Measure { rows_max: ANSWER_ROWS_MAX, partials_a_window: PARTIALS_A_WINDOW }
    }
}

impl Measure {
    /// Returns for how many ranges of a length one SELECT may ask.
    pub fn ranges_max(self, span: Span) -> usize {
        let hours = usize::try_from(span.end.saturating_sub(span.start).max(1).unsigned_abs().div_ceil(HOUR as u64));
        let rows = hours.unwrap_or(usize::MAX).saturating_mul(self.partials_a_window);
        (self.rows_max / rows.max(1)).clamp(1, RANGES_MAX)
    }

    /// Notes that an answer ended after so many rows and was not whole. Returns true if it was not our own limit that ended it.
    pub fn ended_after(&mut self, rows: usize) -> bool {
        if rows >= ANSWER_ROWS_MAX {
            self.partials_a_window = (self.partials_a_window * 2).min(ANSWER_ROWS_MAX);
            return false;
        }
        self.rows_max = self.rows_max.min(rows.max(1));
        true
    }
}

/// A question for partials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub ranges: Vec<PartialRange>,
    /// Only runs whose name is greater than this one.
    pub after: Option<String>,
    /// Only runs whose name is not greater than this one.
    pub until: Option<String>,
}

impl Question {
    /// The question for all partials of some ranges.
    pub fn of(ranges: Vec<PartialRange>) -> Question {
        Question { ranges, after: None, until: None }
    }

    /// Divides a question into two, by its ranges, by time or by run; `found` is what of its answer has come. `None` if it
    /// cannot be divided: not even two rows come back.
    pub fn halves(&self, found: &[FoundPartial]) -> Option<[Question; 2]> {
        if let [one, two, ..] = &self.ranges[..] {
            debug_assert_ne!(one, two, "a range is asked for once");
            let (first, second) = self.ranges.split_at(self.ranges.len() / 2);
            return Some([first, second].map(|ranges| Question { ranges: ranges.to_vec(), ..self.clone() }));
        }
        let PartialRange { key, span } = self.ranges.first()?;
        if span.end - span.start > SECOND {
            let middle = span.start + ((span.end - span.start) / 2).max(SECOND) / SECOND * SECOND;
            let spans = [Span { start: span.start, end: middle }, Span { start: middle, end: span.end }];
            return Some(
                spans.map(|span| Question { ranges: vec![PartialRange { key: key.clone(), span }], ..self.clone() }),
            );
        }
        let runs: BTreeSet<&str> = found.iter().map(|f| &*f.run).collect();
        let middle = runs.iter().nth(runs.len().checked_sub(2)? / 2)?.to_string();
        let first = Question { until: Some(middle.clone()), ..self.clone() };
        Some([first, Question { after: Some(middle), ..self.clone() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ids::Key;

    /// Partials of `devices`, each with `hours` windows of `runs` runs.
    fn table(devices: usize, hours: i64, runs: usize) -> Vec<FoundPartial> {
        let key = |device: usize| Key::from([format!("h{device}")]);
        let partial = |device, hour, run: usize| FoundPartial {
            key: key(device),
            window_start: hour * HOUR,
            writer: "w".into(),
            run: format!("{run:04}").into(),
            rev: 1,
            state: None,
        };
        (0..devices)
            .flat_map(|d| (0..hours).flat_map(move |h| (0..runs).map(move |r| (d, h, r))))
            .map(|(d, h, r)| partial(d, h, r))
            .collect()
    }

    /// Asks a server that lets at most `limit` rows through until all answers are whole. Returns the rows, and the number of
    /// questions.
    fn ask(table: &[FoundPartial], ranges: Vec<PartialRange>, limit: usize) -> Option<(Vec<FoundPartial>, usize)> {
        let (mut out, mut count) = (Vec::new(), 0);
        let mut open = vec![Question::of(ranges)];
        while let Some(question) = open.pop() {
            count += 1;
            let is_asked = |f: &&FoundPartial| {
                question.ranges.iter().any(|range| range.key == f.key && range.span.contains(f.window_start))
                    && question.after.as_deref().is_none_or(|after| &*f.run > after)
                    && question.until.as_deref().is_none_or(|until| &*f.run <= until)
            };
            let mut found: Vec<FoundPartial> = table.iter().filter(is_asked).cloned().collect();
            if found.len() >= limit {
                found.truncate(limit);
                open.extend(question.halves(&found)?);
            } else {
                out.extend(found);
            }
        }
        Some((out, count))
    }

    #[test]
    fn a_question_is_divided_until_its_answers_are_whole() {
        for (devices, hours, runs) in [(1, 1, 1), (1, 1, 300), (1, 25, 7), (60, 25, 2), (200, 1, 3)] {
            let table = table(devices, hours, runs);
            let day = Span { start: 0, end: 25 * HOUR };
            let keys: BTreeSet<Key> = table.iter().map(|f| f.key.clone()).collect();
            let ranges: Vec<_> = keys.into_iter().map(|key| PartialRange { key, span: day }).collect();
            for limit in [2, 3, 50, 1_000, ANSWER_ROWS_MAX] {
                let (mut found, count) = ask(&table, ranges.clone(), limit).expect("it can be divided");
                let place = |f: &FoundPartial| (f.key.clone(), f.window_start, f.run.clone());
                found.sort_by_key(place);
                let mut expected = table.clone();
                expected.sort_by_key(place);
                assert_eq!(found, expected, "limit {limit}");
                assert!(limit < 1_000 || count <= 15, "{count} questions");
            }
            assert_eq!(ask(&table, ranges, 1), None, "one row is not enough to know that there is no other");
        }
    }

    #[test]
    fn what_was_not_whole_is_asked_for_in_smaller_pieces() {
        let (hour, day) = (Span { start: 0, end: 1 }, Span { start: 0, end: 25 * HOUR });
        let mut measure = Measure::default();
        assert_eq!((measure.ranges_max(hour), measure.ranges_max(day)), (500, 160));
        assert!(!measure.ended_after(ANSWER_ROWS_MAX));
        assert_eq!((measure.ranges_max(hour), measure.ranges_max(day)), (500, 80));
        assert!(measure.ended_after(1_000));
        assert_eq!((measure.ranges_max(hour), measure.ranges_max(day)), (250, 10));
        assert!(measure.ended_after(0));
        assert_eq!((measure.ranges_max(hour), measure.ranges_max(Span { start: 0, end: i64::MAX })), (1, 1));
    }
}
