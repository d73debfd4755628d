//! Methods by the names that other programs have for them.

use crate::config::nearest::{folded, nearest};
use crate::engine::schema::Method;

/// Other words for a method, in lower case.
const SYNONYMS: [(&str, &[&str]); 10] = [
    ("avg", &["mean", "average", "avrg", "arithmetic_mean", "medium", "time_avg", "twa"]),
    ("max", &["maximum", "highest", "peak", "upper"]),
    ("min", &["minimum", "lowest", "lower"]),
    ("sum", &["total", "add", "summation"]),
    ("count", &["n", "cnt", "number", "samples", "num"]),
    ("first", &["oldest", "earliest", "open"]),
    ("last", &["newest", "latest", "current", "close"]),
    (
        "stddev",
        &["stdev", "std", "std_dev", "sd", "sigma", "standard_deviation", "stddev_samp", "stddev_pop", "deviation"],
    ),
    ("range", &["spread", "amplitude", "max_min"]),
    ("anomalies", &["anomaly", "outliers", "alerts"]),
];

/// Says what to write in place of a word that is no method.
pub fn method(text: &str) -> String {
    let word = folded(text);
    let words: Vec<&str> = Method::ALL.iter().map(|(word, _)| *word).collect();
    let list = || format!("write one of {}, or a percentile as in \"p95\"", words.join(", "));
    if let Some((known, _)) = SYNONYMS.iter().find(|(known, others)| *known == word || others.contains(&word.as_str()))
    {
        return format!("write {known:?}");
    }
    if let Some(percentile) = percentile(&word) {
        return format!("write {percentile:?}");
    }
    match word.as_str() {
        "median" | "med" => return "write \"p50\", the percentile that is the median".to_string(),
        "percentile" | "quantile" | "p" | "pct" => {
            return "write the percentile by its number, as in \"p95\"".to_string();
        }
        "variance" | "var" | "s2" => return "write \"stddev\", whose square is the variance".to_string(),
        "rate" | "derivative" | "non_negative_derivative" | "increase" | "delta" | "diff" | "irate" => {
            return format!("there is no rate of a counter: let Telegraf make one, or {}", list());
        }
        "integral" | "duration" | "mode" | "distinct" | "count_distinct" => {
            return format!("it is not built yet: {}", list());
        }
        _ => {}
    }
    match nearest(text, &words) {
        Some(near) => format!("did you mean {near:?}?"),
        None => list(),
    }
}

/// A percentile that is written in another way: `P95`, `95p`, `p_95`, `95th`, `percentile_95`, `q95`, `0.95`.
fn percentile(word: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let start = word.find(is_part)?;
    let (before, rest) = word.split_at(start);
    let (number, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
    let before_fits =
        ["", "p", "q", "perc", "pct", "percentile", "quantile", "pctl"].contains(&before.trim_end_matches('_'));
    let after_fits = ["", "p", "th", "%", "percentile", "th_percentile", "_percentile"].contains(&after);
    if !before_fits || !after_fits {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    let is_share = value > 0.0 && value < 1.0;
    let percent = if is_share { value * 100.0 } else { value };
    let name = format!("p{}", (percent * 1e4).round() / 1e4);
    (0.0..=100.0).contains(&percent).then_some(name).filter(|name| Method::of(name).is_some())
}

/// Returns a warning for a percentile that is hardly what was meant: `p0.95`, which is a share, or `p100`.
pub fn doubtful(text: &str) -> Option<String> {
    let value: f64 = text.strip_prefix('p')?.parse().ok()?;
    let exact = |method: &str| Some(format!("{text:?} is estimated: write {method:?}, which is exact"));
    match value {
        0.0 => exact("min"),
        100.0 => exact("max"),
        value if (0.5..1.0).contains(&value) => {
            let meant = format!("p{}", (value * 1e6).round() / 1e4);
            Some(format!(
                "{text:?} is the value below which {value} % of the values lie: write {meant:?} if that is meant"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_other_programs() {
        for (text, meant) in [
            ("mean", "avg"),
            ("Average", "avg"),
            ("AVG", "avg"),
            ("maximum", "max"),
            ("minimum", "min"),
            ("stdev", "stddev"),
            ("std", "stddev"),
            ("total", "sum"),
            ("P95", "p95"),
            ("95p", "p95"),
            ("95th", "p95"),
            ("percentile_99.9", "p99.9"),
            ("0.95", "p95"),
            ("quantile 0.5", "p50"),
        ] {
            assert_eq!(method(text), format!("write {meant:?}"), "{text}");
            assert!(Method::of(meant).is_some(), "{meant}");
        }
        assert!(method("median").contains("\"p50\""));
        assert!(method("percentile").contains("as in \"p95\""));
        assert_eq!(method("agv"), "did you mean \"avg\"?");
        assert_eq!(method("cuont"), "did you mean \"count\"?");
        for odd in ["", "p101", "colour", "p", ".", "p.", "p1.2.3"] {
            assert!(method(odd).contains("\"p95\""), "{odd}: {}", method(odd));
        }
    }

    #[test]
    fn no_synonym_is_a_method_itself() {
        for (known, others) in SYNONYMS {
            assert!(Method::of(known).is_some(), "{known}");
            for other in others {
                assert!(Method::of(other).is_none(), "{other}");
            }
        }
    }

    #[test]
    fn percentiles_that_are_hardly_meant_are_told() {
        assert!(doubtful("p0.95").is_some_and(|said| said.contains("\"p95\"")));
        assert!(doubtful("p100").is_some_and(|said| said.contains("\"max\"")));
        for fine in ["p0.1", "p95", "p50", "avg", "percent"] {
            assert_eq!(doubtful(fine), None, "{fine}");
        }
    }
}
