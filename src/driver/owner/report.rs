//! What the log says of lines that were not counted, and of a stream of which nothing is.
//!
//! Invariant: the log says each count once; `seen` is what it has said.

use super::figures::Figures;
use crate::engine::Counters;
use crate::engine::schema::Schema;
use crate::engine::watch::arrivals::{Arrivals, Miss, Nearest};
use crate::words;
use log::Level;
use std::collections::BTreeMap;

/// A loss that has not been seen for so many looks is over.
const OVER_AFTER: u32 = 10;

/// A loss that goes on.
#[derive(Clone, Copy, Debug)]
struct Spell {
    /// The count when it began.
    from: u64,
    looks: u32,
    /// Looks since it was seen last.
    quiet: u32,
}

/// Says what was not counted since it said so last, and why, and when that is over.
#[derive(Debug, Default)]
pub struct LossReport {
    seen: Counters,
    /// By the names of the reasons.
    spells: BTreeMap<&'static str, Spell>,
}

impl LossReport {
    /// Compares figures with those of a minute ago.
    pub fn look(&mut self, figures: &Figures) {
        for (level, said) in self.compare(figures.counters) {
            log::log!(level, "{said}");
        }
    }

    /// What is to be said.
    fn compare(&mut self, counters: Counters) -> Vec<(Level, String)> {
        let mut said = Vec::new();
        for (reason, before) in counters.reasons().zip(self.seen.reasons()) {
            let Some(sentence) = reason.sentence else { continue };
            let count = reason.count.saturating_sub(before.count);
            if count > 0 {
                said.push((Level::Warn, format!("in the last minute {}", sentence.of(count))));
                let begin = Spell { from: before.count, looks: 0, quiet: 0 };
                let spell = self.spells.entry(reason.name).or_insert(begin);
                (spell.looks, spell.quiet) = (spell.looks + spell.quiet + 1, 0);
            } else if let Some(spell) = self.spells.get_mut(reason.name) {
                spell.quiet += 1;
                if spell.quiet >= OVER_AFTER {
                    let text = format!(
                        "no more {} in the last {OVER_AFTER} minutes; there were {} in {}",
                        reason.things,
                        words::number(reason.count.saturating_sub(spell.from)),
                        words::some(u64::from(spell.looks), "minute")
                    );
                    said.push((Level::Info, text));
                    self.spells.remove(reason.name);
                }
            }
        }
        self.seen = counters;
        said
    }
}

/// The key tags that summaries ask for.
pub fn keys(schema: &Schema) -> Vec<String> {
    let mut keys = Vec::new();
    for key in schema.summaries.iter().flat_map(|summary| &summary.key) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

/// So many measurements are named.
const NAMED_MAX: usize = 5;

/// Says what comes while no line matches, in a few short lines: what has come, and the `keys` that summaries ask for.
pub fn nothing_matched(counters: &Counters, arrivals: &Arrivals, keys: &[String]) -> Vec<String> {
    let Counters { lines, no_key, .. } = *counters;
    if lines == 0 {
        return vec![
            "no line has come yet: look whether Telegraf's inputs run, and at `namepass`, `namedrop` and `order` in the snippet"
                .to_string(),
        ];
    }
    let (most, rest) = arrivals.most(NAMED_MAX);
    let named: Vec<String> = most.iter().map(|(name, lines)| format!("{name} ({})", words::number(*lines))).collect();
    let rest = if rest > 0 { format!(", others ({})", words::number(rest)) } else { String::new() };
    let came = format!("{}{rest}", named.join(", "));
    if no_key > 0 {
        let missing = if arrivals.missing().is_empty() { keys } else { arrivals.missing() };
        let tags = format!("{}{}", if missing.len() == 1 { "tag " } else { "tags " }, missing.join(", "));
        return vec![
            format!(
                "nothing is counted: {} of {} {} a source, but {} the {tags} of the key; lines by measurement: {came}",
                words::number(no_key),
                words::some(lines, "line"),
                words::verb(no_key, "matches", "match"),
                words::verb(no_key, "lacks", "lack"),
            ),
            "what to do: look at `omit_hostname`, `tagexclude` and `taginclude` in Telegraf's configuration, and at `key` in the \
             [[summary]]"
                .to_string(),
        ];
    }
    let none = match lines {
        1 => "the only line that has come does not match".to_string(),
        _ => format!("none of {} matches", words::some(lines, "line")),
    };
    let mut said = vec![format!("nothing is counted: {none} a source; lines by measurement: {came}")];
    said.extend(arrivals.nearest().map(|nearest| format!("what comes closest: {}", closest(nearest))));
    said.push(
        "what to do: compare the sources with what `telegraf --test` prints, by `telegraf-rollup check --explain LINE`, and look at \
         `namepass` and `namedrop` in the snippet"
            .to_string(),
    );
    said
}

/// The line that comes closest to a source, and what is not as it asks.
pub fn closest(nearest: &Nearest) -> String {
    let Nearest { head, column, miss } = nearest;
    match miss {
        Miss::Measurement { wanted } => {
            format!("`{head}`; {column} asks for the measurement {wanted:?}")
        }
        Miss::Tag { tag, wanted, came: Some(came), .. } => {
            format!("`{head}`; {column} asks for {tag}={wanted:?}, and this line has {tag}={came:?}")
        }
        Miss::Tag { tag, wanted, came: None, .. } => {
            format!("`{head}`; {column} asks for {tag}={wanted:?}, and this line has no tag {tag}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::driver::intake::shared::Shared;
    use crate::engine::Engine;

    const CONFIG: &str = r#"
[[summary]]
name = "s"
key = ["host", "site"]
column = [{ name = "c", method = "max", sources = [{ measurement = "cpu", tags = { cpu = "cpu-total" }, field = "v" }] }]
"#;

    /// A clock that runs ahead for an hour, with a pause, is said each minute, and once when it has been right for ten.
    #[test]
    fn a_loss_that_is_over_is_said_to_be() {
        let mut report = LossReport::default();
        let mut said = Vec::new();
        let mut future = 0;
        for minute in 0..200 {
            future += match minute {
                5..30 | 35..65 => 2,
                100 => 1,
                _ => 0,
            };
            let counters = Counters { future, ..Counters::default() };
            said.extend(report.compare(counters).into_iter().map(|(level, text)| (minute, level, text)));
        }
        assert_eq!(said.iter().filter(|(_, level, _)| *level == Level::Warn).count(), 56);
        assert!(said[0].2.starts_with("in the last minute 2 points are further in the future"), "{:?}", said[0]);
        let over: Vec<_> = said.iter().filter(|(_, level, _)| *level == Level::Info).collect();
        assert_eq!(over.len(), 2);
        assert_eq!(over[0].0, 74);
        assert_eq!(over[0].2, "no more points in the future in the last 10 minutes; there were 110 in 60 minutes");
        assert!(over[1].2.ends_with("there were 1 in 1 minute"), "{:?}", over[1]);
        assert!(said.iter().any(|(_, _, text)| text.starts_with("in the last minute 1 point is further")));
    }

    /// What is said after some lines; `None` if one has matched.
    fn said(lines: &[&str]) -> Option<String> {
        let config = Config::check(CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        let shared = Shared::starting(1, || 1);
        assert!(shared.nothing_matched().is_none(), "no configuration yet");
        shared.configured(Engine::new(config.schema), None);
        shared.batch(lines.iter().map(|line| line.as_bytes()), 1);
        let keys = ["host".to_string(), "site".to_string()];
        let (counters, arrivals) = shared.nothing_matched()?;
        Some(nothing_matched(&counters, &arrivals, &keys).join("\n"))
    }

    #[test]
    fn what_comes_before_the_first_match_is_said_with_what_to_do() {
        let said = |lines: &[&str]| said(lines).expect("no line has matched");
        assert!(said(&[]).contains("no line has come yet") && said(&[]).contains("namepass"));
        assert!(said(&["\n", "# a remark\n"]).contains("no line has come yet"));
        let text = said(&["cpu,cpu=cpu-total,site=x v=1\n", "mem,host=a v=1\n", "cpu,cpu=cpu-total,site=y v=1\n"]);
        assert!(text.contains("2 of 3 lines match a source, but lack the tag host of the key"), "{text}");
        assert!(text.contains("cpu (2), mem (1)") && text.contains("omit_hostname"), "{text}");
        let text = said(&["cpu,cpu=cpu-total v=1\n"]);
        assert!(text.contains("1 of 1 line matches a source, but lacks the tags host, site of the key"), "{text}");
        let text = said(&["mem,host=a v=1\n"]);
        assert!(text.contains("the only line that has come does not match a source"), "{text}");
        assert!(!text.contains("closest") && text.contains("check --explain"), "{text}");
    }

    /// A tag with another value is closer than a missing one, and that is closer than a name that is alike.
    #[test]
    fn the_line_that_comes_closest_is_named() {
        let near = |line| said(&["mem,host=a v=1\n", line, "mem,host=b v=1\n"]).expect("no line has matched");
        let text = near("win_cpu,host=a v=1\n");
        assert!(text.contains("closest: `win_cpu,host=a`; s.c asks for the measurement \"cpu\""), "{text}");
        let text = near("cpu,host=a v=1\n");
        assert!(
            text.contains("closest: `cpu,host=a`; s.c asks for cpu=\"cpu-total\", and this line has no tag cpu"),
            "{text}"
        );
        let text = near("cpu,host=a,cpu=cpu0 v=1\n");
        assert!(text.contains("s.c asks for cpu=\"cpu-total\", and this line has cpu=\"cpu0\""), "{text}");
        let both = ["win_cpu,host=a v=1\n", "cpu,host=a v=1\n", "cpu,host=a,cpu=cpu0 v=1\n", "cpu,host=b v=1\n"];
        assert!(said(&both).expect("no line has matched").contains("closest: `cpu,cpu=cpu0,host=a`"));
        assert!(said(&["mem,host=a v=1\n", "cpu,cpu=cpu-total,host=a,site=x v=1\n"]).is_none(), "one has matched");
    }

    /// Ten thousand names take no more room than sixty-four, and every line is counted.
    #[test]
    fn measurements_without_end_are_counted_in_bounded_room() {
        let lines: Vec<String> =
            (0..10_000).map(|n| format!("m{n},host=a v=1\n")).chain((0..50).map(|_| "m7 v=1\n".to_string())).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let text = said(&lines).expect("no line has matched");
        assert!(
            text.contains("none of 10,050 lines") && text.contains("m7 (51)") && text.contains("others (9,995)"),
            "{text}"
        );
    }
}
