//! Names of users and groups of this machine, and paths as its shell takes them, for what a person is to type.

use std::path::Path;

/// The name of a user, or the number where it has no name: users of a directory service are not in the file.
pub fn user(id: u32) -> String {
    named("/etc/passwd", id)
}

/// The name of a group, or the number where it has no name.
pub fn group(id: u32) -> String {
    named("/etc/group", id)
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn named(file: &str, id: u32) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    find(&String::from_utf8_lossy(&text), id).unwrap_or_else(|| id.to_string())
}

/// Finds a name in lines of `name:password:number:...`.
fn find(text: &str, id: u32) -> Option<String> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id) && !name.is_empty()).then(|| name.to_string())
    };
    text.lines().find_map(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_numbers() {
        let text =
            "root:x:0:0:root:/root:/bin/bash\n# a remark\nbroken\ntelegraf:x:998:997::/etc/telegraf:/bin/false\n";
        assert_eq!(find(text, 998).as_deref(), Some("telegraf"));
        assert_eq!(find(text, 0).as_deref(), Some("root"));
        assert_eq!(find(text, 997), None);
    }

    #[test]
    fn a_path_can_be_typed() {
        assert_eq!(quoted(Path::new("/var/lib/telegraf-rollup")), "/var/lib/telegraf-rollup");
        assert_eq!(quoted(Path::new("/srv/it's here")), "'/srv/it'\\''s here'");
    }
}
