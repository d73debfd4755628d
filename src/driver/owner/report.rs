//! What the log says of lines that were not counted, and of a stream of which nothing is.
//!
//! Invariant: the log says each count once; `seen` is what it has said.

use super::figures::Figures;
use crate::engine::Counters;

/// Says what was not counted since it said so last, and why.
#[derive(Debug, Default)]
pub struct LossReport {
    seen: Counters,
}

impl LossReport {
    /// Compares figures with the last ones.
    pub fn look(&mut self, figures: &Figures) {
        let counters = figures.counters;
        for (reason, before) in counters.reasons().zip(self.seen.reasons()) {
            let count = reason.count.saturating_sub(before.count);
            if let Some(sentence) = reason.sentence.filter(|_| count > 0) {
                log::warn!("in the last minute {count} {sentence}");
            }
        }
        self.seen = counters;
    }
}

/// Says what comes while no line matches: `counters` and a few `heads` of what has come, and the `keys` that summaries ask for.
pub fn nothing_matched(counters: &Counters, heads: &[String], keys: &[String]) -> String {
    let Counters { lines, no_key, .. } = counters;
    if *lines == 0 {
        return "no line has come yet: look whether Telegraf's inputs run, and at `namepass`, `namedrop` and `order` in the snippet"
            .to_string();
    }
    if *no_key > 0 {
        return format!(
            "nothing is counted: {no_key} of {lines} lines match a source, but lack a tag of the key ({}); look at `key` in the \
             [[summary]], and at `omit_hostname`, `tagexclude` and `taginclude` in Telegraf's configuration",
            keys.join(", ")
        );
    }
    format!(
        "nothing is counted: none of {lines} lines matches a source; seen were for example {}; `telegraf-rollup check --explain \
         LINE` shows what the sources ask for",
        heads.join("  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::driver::intake::shared::Shared;
    use crate::engine::Engine;

    /// What has come is counted while nothing matches, and no longer.
    #[test]
    fn what_comes_before_the_first_match_is_known() {
        let text = "[[summary]]\nname = \"s\"\nkey = [\"host\"]\n\
                    column = [{ name = \"c\", method = \"max\", sources = [{ measurement = \"m\", field = \"v\" }] }]\n";
        let config = Config::check(text, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        let shared = Shared::starting(1, || 1);
        assert!(shared.nothing_matched().is_none(), "no configuration yet");
        shared.configured(Engine::new(config.schema), None);
        assert_eq!(shared.nothing_matched(), Some((Counters::default(), Vec::new())));
        shared.batch([&b"m,site=x v=1\n"[..], b"mem,host=a v=1\n", b"\n"].into_iter(), 1);
        let (counters, heads) = shared.nothing_matched().expect("no line has matched");
        assert_eq!((counters.lines, counters.no_key, heads), (2, 1, vec!["mem,host=a".to_string()]));
        shared.batch([&b"m,host=a v=1\n"[..]].into_iter(), 1);
        assert!(shared.nothing_matched().is_none(), "one has matched");
    }

    #[test]
    fn what_comes_in_place_of_a_match_is_named() {
        let keys = ["host".to_string(), "site".to_string()];
        let said = |lines, no_key| {
            let counters = Counters { lines, no_key, ..Counters::default() };
            nothing_matched(&counters, &["mem,host=a".to_string()], &keys)
        };
        assert!(said(0, 0).contains("no line has come") && said(0, 0).contains("namepass"));
        assert!(said(7, 3).contains("3 of 7 lines") && said(7, 3).contains("(host, site)"));
        assert!(said(7, 0).contains("none of 7 lines") && said(7, 0).contains("mem,host=a"));
    }
}
