//! What the log and `replay` say of columns that do not get what they ask for, and of timestamps in another unit. Pure: figures
//! and a time in, sentences out.
//!
//! Invariants: a hint is said once, and again only after it has healed and at most once an hour; hints are judged by points
//! and lines that came, never by what a configuration might match.

use crate::driver::owner::figures::ColumnFigures;
use crate::engine::counters::{ColumnReason, Tally};
use crate::engine::precision::Misread;
use crate::engine::watch::sighting::{ColumnSightings, Instead, Sighting, SilentColumn};
use crate::sink::sql::times;

const MINUTE: i64 = 60 * 1_000_000_000;
/// A column that has taken nothing for so long is worth a word if its lines come.
const NOTHING_AFTER: i64 = 5 * MINUTE;
/// What has not been seen for so long has healed, and what was said is not said again before.
const HEALED_AFTER: i64 = 60 * MINUTE;

/// What hints are judged by.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// In the order of the configuration, as are the others.
    pub columns: Vec<ColumnFigures>,
    /// What came in place of what the columns ask for, since the last look.
    pub seen: Vec<ColumnSightings>,
    /// A series of which too many values came for a time that had another one since the last look, and how many of a hundred.
    pub differing: Vec<Option<(String, u8)>>,
    /// The devices without values for an hour; empty if nobody has looked for them.
    pub silent: Vec<SilentColumn>,
    pub misread: Misread,
}

/// One hint: whether it has been said, and whether it still holds.
#[derive(Clone, Copy, Debug, Default)]
struct Spoken {
    /// When it was said last, and when it was last so, while it holds.
    said: Option<i64>,
    holds: Option<i64>,
}

impl Spoken {
    /// Notes whether it is so at a time. True if it is to be said now.
    fn is_news(&mut self, is_so: bool, now: i64) -> bool {
        if !is_so {
            self.holds = self.holds.filter(|last| now - last < HEALED_AFTER);
            return false;
        }
        let is_news = self.holds.is_none() && self.said.is_none_or(|said| now - said >= HEALED_AFTER);
        if is_news {
            self.said = Some(now);
        }
        if is_news || self.holds.is_some() {
            self.holds = Some(now);
        }
        is_news
    }

    /// It is not so any more.
    fn heals(&mut self) {
        self.holds = None;
    }
}

/// What is known of a column.
#[derive(Clone, Debug)]
struct ColumnHints {
    /// When it was last seen to have taken a point, and its figures of then.
    took_at: i64,
    then: Tally,
    /// Texts when it was looked at last.
    texts: u64,
    nothing: Spoken,
    is_text: Spoken,
    silent: Spoken,
    /// How many devices were silent when that was said.
    silent_devices: u64,
    differing: Spoken,
}

/// What is to be said of the figures, look by look.
#[derive(Debug)]
pub struct Hints {
    /// Nothing more will come: what is so now is so for good.
    is_whole: bool,
    started: i64,
    columns: Vec<ColumnHints>,
    misread_count: u64,
    misread: Spoken,
    /// The columns for which nothing has come have been named.
    has_named_absent: bool,
}

impl Hints {
    /// For a process that has started at a time, in nanoseconds since the epoch.
    pub fn new(started: i64) -> Hints {
        Hints {
            is_whole: false,
            started,
            columns: Vec::new(),
            misread_count: 0,
            misread: Spoken::default(),
            has_named_absent: false,
        }
    }

    /// Judges an input that is complete.
    pub fn of_all(look: &Look) -> Vec<String> {
        Hints { is_whole: true, ..Hints::new(0) }.look(look, 0)
    }

    /// Names, once, the columns for which nothing has come at all: no note for a fault, since not every device has everything.
    pub fn absent(&mut self, columns: &[ColumnFigures], now: i64) -> Option<String> {
        if self.has_named_absent || now - self.started < NOTHING_AFTER {
            return None;
        }
        self.has_named_absent = true;
        // Of others something has been said.
        let is_absent = |(column, known): &(&ColumnFigures, &ColumnHints)| {
            column.tally == Tally::default() && known.nothing.said.is_none() && known.silent.said.is_none()
        };
        let absent = columns.iter().zip(&self.columns).filter(is_absent);
        let names: Vec<_> = absent.map(|(column, _)| format!("{}.{}", column.summary, column.name)).collect();
        (!names.is_empty()).then(|| {
            format!(
                "no line has come in 5 minutes that the sources of {} ask for: that is right where no device has such a sensor; \
                 else look at them with `telegraf --test | telegraf-rollup check --explain -`",
                names.join(", ")
            )
        })
    }

    /// Says what is new at `now`.
    pub fn look(&mut self, look: &Look, now: i64) -> Vec<String> {
        let begin = || ColumnHints {
            took_at: self.started,
            then: Tally::default(),
            texts: 0,
            nothing: Spoken::default(),
            is_text: Spoken::default(),
            silent: Spoken::default(),
            silent_devices: 0,
            differing: Spoken::default(),
        };
        self.columns.resize_with(look.columns.len(), begin);
        let mut said: Vec<(String, Vec<String>)> = Vec::new();
        for (index, (figures, known)) in look.columns.iter().zip(&mut self.columns).enumerate() {
            let name = format!("{}.{}", figures.summary, figures.name);
            for hint in known.look(look, index, now, self.is_whole) {
                // Columns of the same sources have the same to say.
                match said.iter_mut().find(|(known, _)| *known == hint) {
                    Some((_, names)) => names.push(name.clone()),
                    None => said.push((hint, vec![name.clone()])),
                }
            }
        }
        let mut hints: Vec<String> =
            said.into_iter().map(|(hint, names)| format!("column {}: {hint}", names.join(", "))).collect();
        let count = look.misread.count;
        let is_new = count > std::mem::replace(&mut self.misread_count, count);
        if self.misread.is_news(is_new, now)
            && let Some((at, precision)) = look.misread.last
        {
            hints.push(format!(
                "{count} timestamps look like {}, for example {at}, which is {} in nanoseconds: line protocol has nanoseconds; \
                 let their source write those, or replay them with --precision {}",
                precision.words(),
                times::datetime(at),
                precision.name()
            ));
        }
        hints
    }
}

impl ColumnHints {
    fn look(&mut self, look: &Look, index: usize, now: i64, is_whole: bool) -> Vec<String> {
        let tally = &look.columns[index].tally;
        let mut seen = look.seen.get(index).cloned().unwrap_or_default();
        // A value that has never come may still come.
        seen.silent.take_if(|(device, _)| device.last.is_none() && !is_whole);
        let mut hints = Vec::new();
        let has_taken = tally.points > self.then.points;
        if has_taken {
            self.nothing.heals();
            (self.took_at, self.then) = (now, tally.clone());
        }
        // Nothing is taken, although its lines come.
        let waited = if is_whole { !has_taken } else { now - self.took_at >= NOTHING_AFTER };
        let refused = refused(tally, &self.then);
        let never = tally.points == 0 && seen.instead.as_ref().is_some_and(|seen| seen.instead == Instead::OtherTags);
        if self.nothing.is_news(waited && (!refused.is_empty() || never), now) {
            let time = if is_whole { String::new() } else { format!(" in {} minutes", (now - self.took_at) / MINUTE) };
            hints.push(match refused.is_empty() {
                true => {
                    format!("has taken nothing{time}, although the measurement comes{}", example(seen.instead.as_ref()))
                }
                false => format!(
                    "has taken nothing{time}, although its series come: {}{}",
                    refused.join(", "),
                    example(seen.instead.as_ref())
                ),
            });
        }
        // Some of its values are texts.
        let texts = tally.left(ColumnReason::Text);
        let has_texts = texts > std::mem::replace(&mut self.texts, texts);
        if self.is_text.is_news(has_texts && !waited && tally.points > 0, now) {
            let text = seen.instead.as_ref().filter(|seen| matches!(seen.instead, Instead::Text { .. }));
            hints.push(format!("{texts} of its values are texts, which are not counted{}", example(text)));
        }
        // It has fallen silent on devices that go on.
        let silent = look.silent.get(index);
        let devices = silent.map_or(0, |silent| silent.devices).max(u64::from(seen.silent.is_some()));
        if self.nothing.holds.is_none() {
            if self.silent.holds.is_some() && devices >= 2 * self.silent_devices.max(1) {
                // It spreads.
                self.silent.heals();
            }
            if self.silent.is_news(devices > 0, now) {
                self.silent_devices = devices;
                let (device, sighting) = match (seen.silent, silent.and_then(|silent| silent.first.clone())) {
                    (Some((device, sighting)), _) => (Some(device), Some(sighting)),
                    (None, device) => (device, None),
                };
                if let Some(device) = device {
                    let others = if devices > 1 { format!(" and {} more devices", devices - 1) } else { String::new() };
                    let last = match device.last {
                        Some(last) => format!("the last value is of {}", times::datetime(last)),
                        None => "there has never been a value".to_string(),
                    };
                    hints.push(format!(
                        "is silent on {}{others}: {last}, and the device has gone on to {}{}",
                        device.device,
                        times::datetime(device.newest),
                        example(sighting.as_ref())
                    ));
                }
            }
        }
        // Two values for one time, again and again.
        let differing = look.differing.get(index).and_then(Option::as_ref);
        if self.differing.is_news(differing.is_some(), now)
            && let Some((head, share)) = differing
        {
            hints.push(format!(
                "{share} of 100 values of `{head}` come for a time that has another value already, and one of the two is \
                 dropped: two sensors with one name? Give their lines a tag that tells them apart"
            ));
        }
        hints
    }
}

/// What was not taken since some figures were so, by reason.
fn refused(tally: &Tally, since: &Tally) -> Vec<String> {
    use ColumnReason::{Future, Late, NoField, NotFinite, OutOfRange, Text};
    let reasons = [Text, NoField, OutOfRange, NotFinite, Late, Future].into_iter();
    let counted = reasons.map(|reason| (tally.left(reason) - since.left(reason).min(tally.left(reason)), reason));
    counted.filter(|(count, _)| *count > 0).map(|(count, reason)| format!("{count} {}", reason.things(count))).collect()
}

/// A line that came instead, and what to do.
fn example(sighting: Option<&Sighting>) -> String {
    let Some(Sighting { head, instead, is_new }) = sighting else {
        return "; `telegraf-rollup check --explain LINE` shows what its sources ask for".to_string();
    };
    match instead {
        Instead::Text { field, value } => {
            format!("; `{head}` has {field}=\"{value}\", a text: let the input send a number, without quotes and unit")
        }
        Instead::OtherField { wanted, came } => {
            format!("; `{head}` has no field {wanted}, but {came}: name that one in a source if it is meant")
        }
        Instead::OtherTags if *is_new => {
            format!("; since then `{head}` comes, whose tags no source of it asks for: add a source if it is meant")
        }
        Instead::OtherTags => {
            format!(
                "; what comes is for example `{head}`, whose tags no source of it asks for: add a source if it is meant"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::watch::sighting::SilentDevice;

    /// Figures of one column that has taken `points` and has left `texts`.
    fn look(points: u64, texts: u64) -> Look {
        let mut tally = Tally::default();
        (0..points).for_each(|at| tally.take(at.cast_signed()));
        (0..texts).for_each(|_| tally.leave(ColumnReason::Text));
        let columns = vec![ColumnFigures { summary: "s".to_string(), name: "c".to_string(), tally }];
        let seen = vec![ColumnSightings::default()];
        Look { columns, seen, differing: vec![None], ..Look::default() }
    }

    /// The minutes at which something is said, of looks once a minute.
    fn said(hints: &mut Hints, minutes: std::ops::Range<i64>, of: impl Fn(i64) -> Look) -> Vec<i64> {
        minutes.filter(|minute| !hints.look(&of(*minute), minute * MINUTE).is_empty()).collect()
    }

    #[test]
    fn columns_for_which_nothing_comes_are_named_once_in_one_line() {
        let column =
            |name: &str, tally: Tally| ColumnFigures { summary: "s".to_string(), name: name.to_string(), tally };
        let mut taken = Tally::default();
        taken.take(1);
        let columns = vec![column("cpu", taken), column("gpu", Tally::default()), column("fan", Tally::default())];
        let mut hints = Hints::new(0);
        hints.look(&Look { columns: columns.clone(), ..Look::default() }, 5 * MINUTE);
        assert_eq!(hints.absent(&columns, 5 * MINUTE - 1), None);
        let note = hints.absent(&columns, 5 * MINUTE).expect("a note");
        assert!(note.contains("the sources of s.gpu, s.fan ask for"), "{note}");
        assert_eq!(hints.absent(&columns, 6 * MINUTE), None);
    }

    #[test]
    fn a_column_that_takes_nothing_is_named_after_five_minutes_and_once() {
        let mut hints = Hints::new(0);
        assert_eq!(said(&mut hints, 1..500, |minute| look(0, minute.cast_unsigned())), [5]);
        let mut hints = Hints::new(0);
        for minute in 1..5 {
            assert_eq!(hints.look(&look(0, 7), minute * MINUTE), Vec::<String>::new());
        }
        let mut at_five = look(0, 7);
        let instead = Instead::Text { field: "f".to_string(), value: "887W".to_string() };
        at_five.seen[0].instead = Some(Sighting { head: "m,host=a".to_string(), instead, is_new: false });
        let hint = hints.look(&at_five, 5 * MINUTE).join("");
        assert!(
            hint.starts_with("column s.c: has taken nothing in 5 minutes, although its series come: 7 are texts"),
            "{hint}"
        );
        assert!(hint.contains("`m,host=a` has f=\"887W\", a text"), "{hint}");
        // Without lines, and with points, there is nothing to say.
        assert_eq!(said(&mut Hints::new(0), 1..500, |_| look(0, 0)), Vec::<i64>::new());
        assert_eq!(said(&mut Hints::new(0), 1..500, |minute| look(minute.cast_unsigned(), 0)), Vec::<i64>::new());
        // It stops in the middle: the first text is named at once, and after five minutes that there is nothing else.
        let turns = |minute: i64| look(minute.min(90).cast_unsigned(), (minute - 90).max(0).cast_unsigned());
        assert_eq!(said(&mut Hints::new(0), 1..200, turns), [91, 95]);
    }

    #[test]
    fn columns_of_the_same_sources_are_named_together() {
        let mut both = look(0, 3);
        both.columns.push(ColumnFigures { name: "d".to_string(), ..both.columns[0].clone() });
        let hints = Hints::of_all(&both);
        assert!(hints.len() == 1 && hints[0].starts_with("column s.c, s.d: has taken nothing, although"), "{hints:?}");
    }

    #[test]
    fn silence_is_said_once_and_again_when_it_spreads() {
        let silent = |devices: u64| {
            let first = SilentDevice { device: "host=a".to_string(), last: Some(0), newest: 2 * HEALED_AFTER };
            Look { silent: vec![SilentColumn { devices, first: (devices > 0).then_some(first) }], ..look(5, 0) }
        };
        let mut hints = Hints::new(0);
        // Devices are searched every ten minutes only.
        let every_ten = |devices: u64| move |minute: i64| if minute % 10 == 0 { silent(devices) } else { look(5, 0) };
        assert_eq!(said(&mut hints, 1..300, every_ten(1)), [10]);
        assert_eq!(said(&mut hints, 300..600, every_ten(2)), [300]);
        assert_eq!(said(&mut hints, 600..900, every_ten(3)), Vec::<i64>::new());
        // Healed for an hour, and broken again.
        assert_eq!(said(&mut hints, 900..1000, |_| look(5, 0)), Vec::<i64>::new());
        assert_eq!(said(&mut hints, 1000..1200, every_ten(1)), [1000]);
    }

    #[test]
    fn what_has_healed_and_breaks_again_is_said_again_an_hour_later() {
        let mut hints = Hints::new(0);
        let differs = |minute: i64| Look {
            differing: vec![Some(("m,host=a".to_string(), 50))],
            ..look(minute.cast_unsigned(), 0)
        };
        let fine = |minute: i64| look(minute.cast_unsigned(), 0);
        assert_eq!(said(&mut hints, 1..200, differs), [1]);
        assert_eq!(said(&mut hints, 200..230, fine), Vec::<i64>::new());
        assert_eq!(said(&mut hints, 230..300, differs), Vec::<i64>::new(), "half an hour is no healing");
        assert_eq!(said(&mut hints, 300..400, fine), Vec::<i64>::new());
        assert_eq!(said(&mut hints, 400..500, differs), [400]);
    }
}
