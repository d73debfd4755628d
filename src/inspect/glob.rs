//! What Telegraf's filters match, as its `filter` package and the library gobwas/glob below it have it.
//!
//! A list in which no word has `*`, `?` or `[` is compared letter by letter. In any other list, every word is a glob:
//! `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`, `{a,b}`, and `\` in front of a letter that stands for itself. What is spelled in another way is
//! answered with `None`: nobody claims what nobody knows.

use crate::engine::pattern::Pattern;
use regex::Regex;

/// A list of words by which Telegraf filters names.
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    words: Vec<String>,
    /// Some characters separate parts of names, which `*` does not cross.
    is_separated: bool,
}

fn has_meta(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

impl NameFilter {
    /// A filter of these words.
    pub fn new(words: Vec<String>, separators: &str) -> NameFilter {
        NameFilter { words, is_separated: !separators.is_empty() }
    }

    /// True if there is none: everything passes.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// True if it is of words alone, without a glob.
    fn is_plain(&self) -> bool {
        !self.is_separated && !self.words.iter().any(|word| has_meta(word))
    }

    /// Says whether a name is matched; `None`: that is not known.
    pub fn matches(&self, name: &str) -> Option<bool> {
        if self.is_plain() {
            return Some(self.words.iter().any(|word| word == name));
        }
        let answers: Vec<Option<bool>> = self.words.iter().map(|word| self.glob(word, name)).collect();
        match answers.contains(&Some(true)) {
            true => Some(true),
            false if answers.contains(&None) => None,
            false => Some(false),
        }
    }

    /// Says whether it matches a name that a source takes; `None`: that is not known.
    pub fn meets(&self, pattern: &Pattern) -> Option<bool> {
        if !has_meta(pattern.text()) {
            return self.matches(pattern.text());
        }
        if self.words.iter().any(|word| word == "*") {
            return Some(true);
        }
        self.is_plain().then(|| self.words.iter().any(|word| pattern.matches(word.as_bytes())))
    }

    fn glob(&self, word: &str, name: &str) -> Option<bool> {
        if !word.contains(['*', '?', '[', ']', '{', '}', '\\', ',']) {
            return Some(word == name);
        }
        if self.is_separated {
            return None;
        }
        let regex = Regex::new(&to_regex(word)?).ok()?;
        Some(regex.is_match(name))
    }
}

/// Translates a glob; `None` if it is not plainly one.
fn to_regex(glob: &str) -> Option<String> {
    let mut out = String::from("(?s)^");
    let mut is_in_braces = false;
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => out.push_str(&regex::escape(&chars.next()?.to_string())),
            '[' => {
                let list: String = chars.by_ref().take_while(|c| *c != ']').collect();
                out.push_str(&class(&list)?);
            }
            '{' if !is_in_braces => {
                is_in_braces = true;
                out.push_str("(?:");
            }
            '}' if is_in_braces => {
                is_in_braces = false;
                out.push(')');
            }
            ',' if is_in_braces => out.push('|'),
            // What older versions join, or what is not closed.
            ',' | ']' | '{' | '}' => return None,
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    (!is_in_braces).then_some(out)
}

/// The class of characters between brackets: a list, or one range.
fn class(list: &str) -> Option<String> {
    let (negated, list) = list.strip_prefix('!').map_or(("", list), |rest| ("^", rest));
    let letters: Vec<char> = list.chars().collect();
    let escape = |c: char| format!("\\x{{{:x}}}", u32::from(c));
    match letters[..] {
        [] => None,
        [from, '-', to] if from <= to => Some(format!("[{negated}{}-{}]", escape(from), escape(to))),
        _ if list.contains(['-', '[', '\\']) => None,
        _ => Some(format!("[{negated}{}]", letters.into_iter().map(escape).collect::<String>())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(words: &[&str]) -> NameFilter {
        NameFilter::new(words.iter().map(|word| (*word).to_string()).collect(), "")
    }

    #[test]
    fn words_are_compared_and_globs_match() {
        for (words, name, answer) in [
            (&["cpu", "mem"][..], "mem", Some(true)),
            (&["cpu", "mem"], "memory", Some(false)),
            (&["cpu", "net*"], "network", Some(true)),
            (&["cpu", "net*"], "cpu", Some(true)),
            (&["powerstat_?ore"], "powerstat_core", Some(true)),
            (&["[a-c]x"], "bx", Some(true)),
            (&["[!abc]x"], "bx", Some(false)),
            (&["{cpu,m*}"], "mem", Some(true)),
            // Without a glob beside it, a brace stands for itself.
            (&["{cpu,mem}"], "mem", Some(false)),
            (&["{cpu,mem}", "x*"], "mem", Some(true)),
            (&["a\\*b*"], "a*bc", Some(true)),
            // A bracket is a glob to Telegraf, also where a name is spelled like it.
            (&["CPU [#0]"], "CPU [#0]", Some(false)),
            (&["CPU [#0]"], "CPU #", Some(true)),
            (&["[a-cx]*"], "b", None),
            (&["{a,{b,c}}*"], "b", None),
            (&["a,b*"], "a", None),
            (&["*"], "°C", Some(true)),
        ] {
            assert_eq!(filter(words).matches(name), answer, "{words:?} {name}");
        }
        assert_eq!(NameFilter::new(vec!["cpu.*".to_string()], ".").matches("cpu.x"), None);
        assert_eq!(NameFilter::new(vec!["cpu".to_string()], ".").matches("cpu"), Some(true));
    }

    #[test]
    fn a_source_that_is_a_pattern_is_met_by_the_words_that_it_takes() {
        assert_eq!(filter(&["cpu", "win_cpu"]).meets(&Pattern::new("win_*")), Some(true));
        assert_eq!(filter(&["cpu"]).meets(&Pattern::new("win_*")), Some(false));
        assert_eq!(filter(&["c*"]).meets(&Pattern::new("*_cpu")), None);
        assert_eq!(filter(&["*"]).meets(&Pattern::new("*_cpu")), Some(true));
    }
}
