//! How a text is written in TOML.

/// Returns a text in quotes: in single ones where that saves escapes.
pub fn quoted(text: &str) -> String {
    let needs_escapes = text.contains(['\\', '"']);
    if needs_escapes && !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Returns a list of texts.
pub fn quoted_list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

/// Returns a key: in quotes where it needs them.
pub fn key(name: &str) -> String {
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_plain { name.to_string() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for text in
            ["", "plain", "C:\\Program Files\\x", "it's", "a \"b\"", "it's \"b\" \\", "tab\there\n", "\u{1}", "ü"]
        {
            let table: toml::Table = format!("{} = {}", key(text), quoted(text)).parse().expect(text);
            assert_eq!(table.get(text).and_then(toml::Value::as_str), Some(text));
        }
        assert_eq!(quoted_list(["a", "b c"]), "[\"a\", \"b c\"]");
    }
}
