//! `[[anomaly]]`: rules that flag values.

use super::read::{At, Table};
use super::source::source;
use crate::engine::schema::{Operator, Source, When};

/// Finished windows that a z-score is made from, unless the rule says another number ...
const BASELINE: u16 = 24;
/// ... and at most: a month.
const BASELINE_MAX: u16 = 720;

/// What a rule flags, as written.
#[derive(Clone, Copy)]
pub enum Condition {
    /// `when`
    When(When),
    /// `zscore` and `baseline`
    ZScore {
        /// Deviations from the mean beyond which a value is flagged.
        threshold: f64,
        /// Hours with values that make the mean.
        baseline: u16,
    },
}

/// A rule as written.
pub struct AnomalyDraft {
    /// `name`
    pub name: At<String>,
    /// `column`: whose values are watched
    pub column: Option<At<String>>,
    /// `source`: values that no column shows
    pub source: Option<Source>,
    /// What is flagged; `None` if there is a problem, which is reported.
    pub judge: Option<Condition>,
}

/// Reads all rules; those with a problem, which is reported, are incomplete.
pub fn anomalies(root: &Table<'_, '_>) -> Vec<AnomalyDraft> {
    let document = root.document;
    let mut out: Vec<AnomalyDraft> = Vec::new();
    for table in root.tables("anomaly") {
        let name = table.required("name", "name = \"overheat\"");
        let column = table.string("column");
        let has_source = table.has("source");
        let source = table.table("source").and_then(|s| source(&s));
        let when = table.string("when").and_then(|text| {
            let when = when(&text.value);
            if when.is_none() {
                let message = format!("{:?} is not a condition: {}", text.value, condition(&text.value));
                document.problem_at(&text, message);
            }
            when
        });
        let (has_zscore, has_baseline) = (table.has("zscore"), table.has("baseline"));
        let judge = match (table.has("when"), has_zscore || has_baseline) {
            (true, false) => when.map(Condition::When),
            (false, true) => zscore(&table),
            (true, true) => {
                let message = "has both `when` and a z-score: keep one, or write two rules";
                document.problem(table.offset, &table.path, message);
                None
            }
            (false, false) => {
                table.missing("when", "when = \"> 80\", or zscore = 3.0");
                None
            }
        };
        if column.is_some() == has_source {
            let what = if has_source { "has both: remove one" } else { "has neither: write one" };
            let message = format!(
                "needs either `column` or `source`, and {what}; column = \"max_temp\" watches the values of that column, \
                 source = {{ measurement = \"temp\", field = \"temp\" }} values that no column shows"
            );
            document.problem(table.offset, &table.path, message);
        }
        table.finish();
        let Some(name) = name else { continue };
        if out.iter().any(|rule| rule.name.value == name.value) {
            let message = format!("there is an anomaly {:?} already: choose another name", name.value);
            document.problem_at(&name, message);
        }
        out.push(AnomalyDraft { name, column, source, judge });
    }
    out
}

/// Reads `zscore` and `baseline`.
fn zscore(table: &Table<'_, '_>) -> Option<Condition> {
    let document = table.document;
    if !table.has("zscore") {
        table.missing("zscore", "zscore = 3.0");
    }
    let threshold = table.float("zscore");
    let path = |key: &str| format!("{}.{key}", table.path);
    if threshold.is_some_and(|t| t <= 0.0) {
        let message = "must be above 0: write how many deviations from the mean are an anomaly, as in 3.0";
        document.problem(table.offset_of("zscore"), &path("zscore"), message);
    }
    let baseline = table.count("baseline");
    let number = baseline.as_ref().map_or(Some(BASELINE), |at| u16::try_from(at.value).ok());
    let number = number.filter(|n| (1..=BASELINE_MAX).contains(n));
    if let (None, Some(at)) = (number, &baseline) {
        let message = format!(
            "must be from 1 to {BASELINE_MAX}: write how many finished hours a value is compared with, as in 24"
        );
        document.problem_at(at, message);
    }
    Some(Condition::ZScore { threshold: threshold?, baseline: number? })
}

/// Says what to write in place of a text that is no condition.
fn condition(text: &str) -> String {
    const FORM: &str = "write an operator and a number, as in \"> 80\"";
    let text = text.trim();
    let number =
        |text: &str| text.trim().trim_end_matches(|c: char| c.is_alphabetic() || c == '%').trim().parse::<f64>().ok();
    let words = [
        ("above", ">"),
        ("over", ">"),
        ("more than", ">"),
        ("below", "<"),
        ("under", "<"),
        ("less than", "<"),
        ("gt", ">"),
        ("ge", ">="),
        ("lt", "<"),
        ("le", "<="),
        ("eq", "=="),
        ("ne", "!="),
        ("=>", ">="),
        ("=<", "<="),
        ("<>", "!="),
        ("≥", ">="),
        ("≤", "<="),
        ("≠", "!="),
        ("=", "=="),
        ("value >", ">"),
        ("value <", "<"),
        ("x >", ">"),
        ("x <", "<"),
    ];
    if let Some(number) = number(text) {
        return format!("write \"> {number}\", or another operator in front of the number");
    }
    let lower = text.to_lowercase();
    let known = words.iter().find_map(|(word, sign)| Some((sign, number(lower.strip_prefix(word)?)?)));
    let own = Operator::ALL.into_iter().find_map(|(sign, _)| Some((sign, number(lower.strip_prefix(sign)?)?)));
    match own.or(known.map(|(sign, number)| (*sign, number))).filter(|(_, number)| number.is_finite()) {
        Some((sign, number)) => format!("write \"{sign} {number}\""),
        None if ["&&", "||", " and ", " or ", ".."].iter().any(|word| lower.contains(word)) => {
            format!("there is one comparison in a rule: {FORM}, and another rule for the other")
        }
        None => FORM.to_string(),
    }
}

/// Reads a condition: `> 80`, `<= -1.5`, `!= 0`.
fn when(text: &str) -> Option<When> {
    let text = text.trim();
    let (spelling, operator) = Operator::ALL.into_iter().find(|(spelling, _)| text.starts_with(spelling))?;
    let number = text[spelling.len()..].trim();
    // Rust also reads "inf", "nan" and "+5"; a threshold is a plain number.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'e' | b'E'));
    let threshold: f64 = number.parse().ok().filter(|t: &f64| plain && t.is_finite())?;
    Some(When { operator, threshold })
}
