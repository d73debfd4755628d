//! Values in statements: as literals, or bound to placeholders.
//!
//! MySQL gets its values as literals in the text: one round trip for each statement, no limit of placeholders, and no answer of
//! one packet for each of them. SQLite gets placeholders.

use super::dialect::Dialect;
use std::borrow::Cow;

/// A value that is bound to a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound<'a> {
    Null,
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Bound<'a> {
    /// A text that is there.
    pub fn text(text: &'a str) -> Bound<'a> {
        Bound::Text(Cow::Borrowed(text))
    }

    /// A text that was made for this.
    pub(super) fn made(text: String) -> Bound<'static> {
        Bound::Text(Cow::Owned(text))
    }
}

/// Appends a value as a literal. MySQL reads a backslash in a text as an escape (the session's mode says so); a number with
/// an exponent is a double for it, and one without would be a decimal.
pub fn literal(dialect: Dialect, out: &mut String, value: &Bound<'_>) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = match value {
        Bound::Null => write!(out, "NULL"),
        Bound::Integer(value) => write!(out, "{value}"),
        Bound::Float(value) => write!(out, "{value:e}"),
        Bound::Text(text) => {
            out.push('\'');
            let is_special = |c: char| c == '\'' || (dialect != Dialect::Sqlite && matches!(c, '\\' | '\0'));
            let mut rest = &**text;
            while let Some(at) = rest.find(is_special) {
                out.push_str(&rest[..at]);
                // All three are one byte long.
                out.push_str(match &rest[at..=at] {
                    "'" => "''",
                    "\\" => "\\\\",
                    _ => "\\0",
                });
                rest = &rest[at + 1..];
            }
            out.push_str(rest);
            write!(out, "'")
        }
    };
}

/// Appends one row of literals, `(1,'a',NULL)`.
pub fn literals(dialect: Dialect, out: &mut String, row: &[Bound<'_>]) {
    out.push('(');
    for (i, value) in row.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        literal(dialect, out, value);
    }
    out.push(')');
}

/// One row of placeholders.
pub fn placeholders(count: usize) -> String {
    format!("({})", vec!["?"; count].join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_break_out() {
        let text = |dialect, text: &str| {
            let mut out = String::new();
            literal(dialect, &mut out, &Bound::text(text));
            out
        };
        assert_eq!(text(Dialect::MySql, "a'b\\' OR 1=1 -- \0"), "'a''b\\\\'' OR 1=1 -- \\0'");
        assert_eq!(text(Dialect::Sqlite, "a'b\\"), "'a''b\\'");
        let mut row = String::new();
        literals(Dialect::MySql, &mut row, &[Bound::Null, Bound::Integer(-7), Bound::Float(0.1), Bound::Float(-1e300)]);
        assert_eq!(row, "(NULL,-7,1e-1,-1e300)");
    }
}
