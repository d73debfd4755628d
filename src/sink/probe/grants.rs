//! What an account may do, by the answer to SHOW GRANTS of MySQL and MariaDB, with the roles that are enabled.
//!
//! | line | what it gives |
//! |---|---|
//! | `` GRANT SELECT, INSERT ON *.* TO ... `` | on everything |
//! | `` GRANT ALL PRIVILEGES ON `metrics`.* TO ... `` | on a database; its name is a pattern: `%`, `_`, `\_` |
//! | `` GRANT SELECT, UPDATE (`a`) ON `metrics`.`t` TO ... `` | on a table; a right on some columns is none on the table |
//! | `` REVOKE INSERT ON `metrics`.* FROM ... `` | takes away what was given on everything (MySQL's partial revokes) |
//! | `` GRANT `role` TO ... ``, PROXY, procedures | nothing here |
//!
//! Of the patterns of one grantee that match a database, a server takes the most exact one, not all. A line that is not
//! understood makes the answer unknown instead of no. Lines may hold a hash of the password: they are never shown.

use std::cmp::Reverse;

/// Where a right holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum GrantScope {
    Everywhere,
    /// A pattern.
    Database(String),
    Table(String, String),
}

#[derive(Clone, Debug)]
struct Grant {
    is_revoked: bool,
    rights: Vec<String>,
    scope: GrantScope,
    grantee: String,
}

impl Grant {
    fn has(&self, right: &str) -> bool {
        self.rights.iter().any(|held| held == right || held == "ALL PRIVILEGES" || held == "ALL")
    }
}

/// How a server compares names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    /// Names of databases are no patterns (`partial_revokes`).
    pub is_literal: bool,
    /// Upper and lower case are the same (`lower_case_table_names`).
    pub ignores_case: bool,
}

/// What an account may do.
#[derive(Debug, Default)]
pub struct Grants {
    grants: Vec<Grant>,
    /// Roles that are granted, enabled or not.
    pub roles: Vec<String>,
    /// Lines that were not understood.
    pub unclear: usize,
}

impl Grants {
    /// Reads the lines of SHOW GRANTS.
    pub fn parse<'l>(lines: impl Iterator<Item = &'l str>) -> Grants {
        let mut out = Grants::default();
        for line in lines {
            match parse(line) {
                Some(GrantLine::Grant(grant)) => out.grants.push(grant),
                Some(GrantLine::Role(role)) => out.roles.push(role),
                Some(GrantLine::Other) => {}
                None => out.unclear += 1,
            }
        }
        out
    }

    /// True if the account has a right on everything.
    pub fn has_everywhere(&self, right: &str) -> bool {
        self.grants.iter().any(|g| !g.is_revoked && g.scope == GrantScope::Everywhere && g.has(right))
    }

    /// Returns whether the account has a right on a table of a database; `None` if that is not known.
    pub fn has(&self, right: &str, database: &str, table: &str, comparison: Comparison) -> Option<bool> {
        let same = |a: &str, b: &str| if comparison.ignores_case { a.eq_ignore_ascii_case(b) } else { a == b };
        let is_revoked = self.grants.iter().any(|grant| {
            grant.is_revoked
                && grant.has(right)
                && matches!(&grant.scope, GrantScope::Database(name) if same(name, database))
        });
        if !is_revoked && self.has_everywhere(right) {
            return Some(true);
        }
        let given = |grant: &&Grant| !grant.is_revoked;
        let on_table = self.grants.iter().filter(given).any(|grant| {
            let GrantScope::Table(of, name) = &grant.scope else { return false };
            grant.has(right) && same(of, database) && same(name, table)
        });
        if on_table
            || self.grants.iter().filter(given).any(|grant| self.on_database(grant, right, database, comparison))
        {
            return Some(true);
        }
        (self.unclear == 0).then_some(false)
    }

    /// True if a grant gives a right on a database, and no more exact one of its grantee takes its place.
    fn on_database(&self, grant: &Grant, right: &str, database: &str, comparison: Comparison) -> bool {
        let exactness = |grant: &Grant| match &grant.scope {
            GrantScope::Database(pattern) => matches(pattern, database, comparison),
            _ => None,
        };
        let Some(own) = exactness(grant).filter(|_| grant.has(right)) else { return false };
        // What comes from enabled roles is added; MySQL lists it as the account's own.
        let is_alone = self.roles.is_empty();
        let others = self.grants.iter().filter(|other| !other.is_revoked && other.grantee == grant.grantee);
        !is_alone || others.filter_map(exactness).all(|other| other >= own)
    }
}

/// How exactly a pattern matches a name: the less the better; `None` if it does not.
fn matches(pattern: &str, name: &str, comparison: Comparison) -> Option<Reverse<usize>> {
    let fold = |text: &str| if comparison.ignores_case { text.to_lowercase() } else { text.to_string() };
    let (pattern, name) = (fold(pattern), fold(name));
    if comparison.is_literal {
        return (pattern == name).then_some(Reverse(usize::MAX));
    }
    let parts = parts(&pattern);
    let name: Vec<char> = name.chars().collect();
    let exact = parts.iter().position(|part| !matches!(part, PatternPart::Char(_))).unwrap_or(usize::MAX);
    is_like(&parts, &name).then_some(Reverse(exact))
}

#[derive(Clone, Copy)]
enum PatternPart {
    Char(char),
    One,
    Any,
}

fn parts(pattern: &str) -> Vec<PatternPart> {
    let mut chars = pattern.chars();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        out.push(match c {
            '%' => PatternPart::Any,
            '_' => PatternPart::One,
            '\\' => PatternPart::Char(chars.next().unwrap_or('\\')),
            c => PatternPart::Char(c),
        });
    }
    out
}

fn is_like(parts: &[PatternPart], name: &[char]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            let before = at.checked_sub(1);
            next[at] = match part {
                PatternPart::Any => reached[at] || before.is_some_and(|before| next[before]),
                PatternPart::One => before.is_some_and(|before| reached[before]),
                PatternPart::Char(c) => before.is_some_and(|before| reached[before] && name[before] == *c),
            };
        }
        reached = next;
    }
    reached[name.len()]
}

enum GrantLine {
    Grant(Grant),
    Role(String),
    Other,
}

fn parse(line: &str) -> Option<GrantLine> {
    let (is_revoked, rest) = match (line.strip_prefix("GRANT "), line.strip_prefix("REVOKE ")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        // MariaDB shows the default role of an account, too.
        _ if line.starts_with("SET DEFAULT ROLE ") => return Some(GrantLine::Other),
        _ => return None,
    };
    let (target, behind) = if is_revoked { (" FROM ", "REVOKE") } else { (" TO ", "GRANT") };
    let Some((rights, rest)) = divide(rest, " ON ") else {
        return divide(rest, target)
            .map(|(role, _)| if behind == "GRANT" { GrantLine::Role(role.to_string()) } else { GrantLine::Other });
    };
    let (object, grantee) = divide(rest, target)?;
    if rights == "PROXY"
        || ["PROCEDURE ", "FUNCTION ", "PACKAGE ", "LIBRARY "].iter().any(|kind| object.starts_with(kind))
    {
        return Some(GrantLine::Other);
    }
    let object = object.strip_prefix("TABLE ").unwrap_or(object);
    let (database, table) = divide(object, ".")?;
    let scope = match (database, table) {
        ("*", "*") => GrantScope::Everywhere,
        (_, "*") => GrantScope::Database(unquoted(database)?),
        _ => GrantScope::Table(unquoted(database)?, unquoted(table)?),
    };
    let mut names = Vec::new();
    let mut rest = rights;
    loop {
        let (right, more) = divide(rest, ",").map_or((rest, None), |(right, more)| (right, Some(more)));
        let right = right.trim();
        // A right on some columns only.
        if !right.contains('(') {
            names.push(right.to_uppercase());
        }
        match more {
            Some(more) => rest = more,
            None => break,
        }
    }
    let grantee = divide(grantee, " ").map_or(grantee, |(grantee, _)| grantee).to_string();
    Some(GrantLine::Grant(Grant { is_revoked, rights: names, scope, grantee }))
}

/// Divides a text at the first mark that stands outside of quotes and brackets.
fn divide<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let (mut quote, mut depth) = (None, 0_usize);
    for (at, c) in text.char_indices() {
        if quote.is_none() && depth == 0 && text[at..].starts_with(mark) {
            return Some((&text[..at], &text[at + mark.len()..]));
        }
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '`' | '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.checked_sub(1)?,
            (None, _) => {}
        }
    }
    None
}

/// A name without its quotes.
fn unquoted(name: &str) -> Option<String> {
    let first = name.chars().next()?;
    if !matches!(first, '`' | '"' | '\'') {
        return name.chars().all(|c| c.is_alphanumeric() || "_$%\\-".contains(c)).then(|| name.to_string());
    }
    let inner = name.strip_prefix(first)?.strip_suffix(first)?;
    Some(inner.replace(&format!("{first}{first}"), &first.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Comparison = Comparison { is_literal: false, ignores_case: false };

    fn has(lines: &[&str], right: &str, database: &str, table: &str) -> Option<bool> {
        Grants::parse(lines.iter().copied()).has(right, database, table, PLAIN)
    }

    #[test]
    fn grants_as_servers_write_them() {
        let usage = "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*D821809F681A40A6E379B50D0463EFAE20BDD122'";
        for (line, right, database, table, expected) in [
            (usage, "SELECT", "d", "t", false),
            ("GRANT SELECT, INSERT ON `d`.* TO `u`@`%`", "INSERT", "d", "t", true),
            ("GRANT SELECT, INSERT ON `d`.* TO `u`@`%`", "UPDATE", "d", "t", false),
            ("GRANT SELECT, INSERT ON `d`.* TO `u`@`%`", "INSERT", "e", "t", false),
            ("GRANT ALL PRIVILEGES ON `d`.* TO 'u'@'%' WITH GRANT OPTION", "ALTER", "d", "t", true),
            ("GRANT ALL PRIVILEGES ON *.* TO `u`@`%` REQUIRE SSL", "ALTER", "d", "t", true),
            ("GRANT SELECT, INSERT, CREATE ROLE, DROP ROLE ON *.* TO `u`@`%`", "CREATE", "d", "t", false),
            ("GRANT CREATE TEMPORARY TABLES ON `d`.* TO `u`@`%`", "CREATE", "d", "t", false),
            ("GRANT SELECT ON `m\\_d`.* TO `u`@`%`", "SELECT", "m_d", "t", true),
            ("GRANT SELECT ON `m\\_d`.* TO `u`@`%`", "SELECT", "mxd", "t", false),
            ("GRANT SELECT ON `m_d`.* TO `u`@`%`", "SELECT", "mxd", "t", true),
            ("GRANT SELECT ON `m%`.* TO `u`@`%`", "SELECT", "metrics", "t", true),
            ("GRANT SELECT ON `m%s`.* TO `u`@`%`", "SELECT", "metrix", "t", false),
            ("GRANT SELECT ON `%`.* TO `u`@`%`", "SELECT", "d", "t", true),
            ("GRANT SELECT ON `a``b.c TO d`.* TO `u`@`%`", "SELECT", "a`b.c TO d", "t", true),
            ("GRANT SELECT, UPDATE (`a`, `b ON c`) ON `d`.`t` TO `u`@`%`", "SELECT", "d", "t", true),
            ("GRANT SELECT, UPDATE (`a`, `b ON c`) ON `d`.`t` TO `u`@`%`", "UPDATE", "d", "t", false),
            ("GRANT SELECT ON `d`.`t` TO `u`@`%`", "SELECT", "d", "x", false),
            ("GRANT SELECT ON d.* TO u@%", "SELECT", "d", "t", true),
            ("GRANT `r1`@`%`,`r2`@`%` TO `u`@`%`", "SELECT", "d", "t", false),
            ("GRANT `r ON x` TO `u`@`%` WITH ADMIN OPTION", "SELECT", "d", "t", false),
            ("SET DEFAULT ROLE `r` FOR `u`@`%`", "SELECT", "d", "t", false),
            ("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", "SELECT", "d", "t", false),
            ("GRANT EXECUTE ON PROCEDURE `d`.`p` TO `u`@`%`", "SELECT", "d", "p", false),
            (
                "GRANT APPLICATION_PASSWORD_ADMIN,AUDIT_ABORT_EXEMPT ON *.* TO `root`@`localhost`",
                "SELECT",
                "d",
                "t",
                false,
            ),
        ] {
            assert_eq!(has(&[line], right, database, table), Some(expected), "{line}: {right} on {database}.{table}");
        }
    }

    #[test]
    fn the_most_exact_pattern_of_a_grantee_counts() {
        let lines = ["GRANT ALL PRIVILEGES ON `d%`.* TO `u`@`%`", "GRANT SELECT ON `d`.* TO `u`@`%`"];
        assert_eq!(has(&lines, "INSERT", "d", "t"), Some(false));
        assert_eq!(has(&lines, "SELECT", "d", "t"), Some(true));
        assert_eq!(has(&lines, "INSERT", "dx", "t"), Some(true));
        let of_role = ["GRANT INSERT ON `d%`.* TO `r`", "GRANT SELECT ON `d`.* TO `u`@`%`"];
        assert_eq!(has(&of_role, "INSERT", "d", "t"), Some(true));
    }

    #[test]
    fn what_is_revoked_in_part_is_not_held() {
        let lines = ["GRANT SELECT, INSERT ON *.* TO `u`@`%`", "REVOKE INSERT ON `d`.* FROM `u`@`%`"];
        assert_eq!(has(&lines, "INSERT", "d", "t"), Some(false));
        assert_eq!(has(&lines, "SELECT", "d", "t"), Some(true));
        assert_eq!(has(&lines, "INSERT", "e", "t"), Some(true));
    }

    #[test]
    fn what_is_not_understood_is_unknown() {
        let odd = "ALLOW EVERYTHING";
        assert_eq!(has(&[odd], "SELECT", "d", "t"), None);
        assert_eq!(has(&["GRANT SELECT ON what TO `u`@`%`"], "SELECT", "d", "t"), None);
        assert_eq!(has(&[odd, "GRANT SELECT ON `d`.* TO `u`@`%`"], "SELECT", "d", "t"), Some(true));
    }

    #[test]
    fn servers_compare_names_in_their_own_way() {
        let grants = Grants::parse(["GRANT SELECT ON `m_d`.* TO `u`@`%`"].into_iter());
        let literal = Comparison { is_literal: true, ignores_case: false };
        assert_eq!(grants.has("SELECT", "mxd", "t", literal), Some(false));
        assert_eq!(grants.has("SELECT", "m_d", "t", literal), Some(true));
        let folded = Comparison { is_literal: false, ignores_case: true };
        assert_eq!(grants.has("SELECT", "M_D", "t", folded), Some(true));
        assert_eq!(grants.has("SELECT", "M_D", "t", PLAIN), Some(false));
    }
}
