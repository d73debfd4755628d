//! Reads the imports of a source tree: which file uses which, through `crate`, `self`, `super` and names of child modules.

use std::collections::{BTreeMap, BTreeSet};

/// The path of a module, from the root of the crate.
pub type Module = Vec<String>;

/// Source text without comments, strings, characters and unit tests: each is replaced by a blank.
pub fn bare(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = |n: usize| bytes.get(at + n).copied().unwrap_or('\0');
        match bytes[at] {
            '/' if rest(1) == '/' => {
                while at < bytes.len() && bytes[at] != '\n' {
                    at += 1;
                }
            }
            '/' if rest(1) == '*' => {
                at += 2;
                while at < bytes.len() && !(bytes[at] == '*' && bytes.get(at + 1) == Some(&'/')) {
                    at += 1;
                }
                at += 2;
            }
            'r' if rest(1) == '#' && rest(2) == '"' || rest(1) == '"' && bytes[at] == 'r' => {
                let hashes = usize::from(rest(1) == '#');
                at += 2 + hashes;
                while at < bytes.len() && !(bytes[at] == '"' && (hashes == 0 || bytes.get(at + 1) == Some(&'#'))) {
                    at += 1;
                }
                at += 1 + hashes;
                out.push(' ');
            }
            '"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != '"' {
                    at += if bytes[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
                out.push(' ');
            }
            // A character, and not a lifetime.
            '\'' if rest(1) == '\\' || rest(2) == '\'' => {
                at += if rest(1) == '\\' { 3 } else { 2 };
                while at < bytes.len() && bytes[at] != '\'' {
                    at += 1;
                }
                at += 1;
                out.push(' ');
            }
            c => {
                out.push(c);
                at += 1;
            }
        }
    }
    out
}

/// Divides `a::{b, c::{d, e}}` into `a::b`, `a::c::d`, `a::c::e`.
fn flat(tree: &str, prefix: &str, out: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        out.push(format!("{prefix}{name}"));
        return;
    };
    let inside = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flat(&inside[from..at], &prefix, out);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inside[from..].trim().is_empty() {
        flat(&inside[from..], &prefix, out);
    }
}

/// The paths that a file names: those of its `use` declarations, and those in its code.
fn paths(bare: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut code = String::new();
    let mut rest = bare;
    while let Some(at) = rest.match_indices("use ").map(|(at, _)| at).find(|at| {
        let before = rest[..*at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
    }) {
        code.push_str(&rest[..at]);
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        flat(&rest[at + 4..end], "", &mut out);
        rest = &rest[end..];
    }
    code.push_str(rest);
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    out.extend(code.split(|c: char| !is_name(c)).filter(|word| word.contains("::")).map(str::to_string));
    out
}

/// Which file uses which, of files that are given by module path and text.
pub fn graph(files: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut graph = BTreeMap::new();
    for (module, text) in files {
        let mut used = BTreeSet::new();
        for path in paths(&bare(text)) {
            let mut names = path.split("::").filter(|name| !name.is_empty()).peekable();
            let child = names.peek().is_some_and(|name| {
                let mut child = module.clone();
                child.push((*name).to_string());
                files.contains_key(&child)
            });
            let mut at = match names.peek().copied() {
                Some("crate") => {
                    names.next();
                    Vec::new()
                }
                Some("self") => {
                    names.next();
                    module.clone()
                }
                Some("super") => {
                    let mut at = module.clone();
                    while names.peek() == Some(&"super") {
                        names.next();
                        at.pop();
                    }
                    at
                }
                _ if child => module.clone(),
                _ => continue,
            };
            for name in names {
                let mut next = at.clone();
                next.push(name.to_string());
                if !files.contains_key(&next) {
                    break;
                }
                at = next;
            }
            if at != *module && files.contains_key(&at) {
                used.insert(at);
            }
        }
        graph.insert(module.clone(), used);
    }
    graph
}

/// Returns a circle of files, if there is one.
pub fn circle(graph: &BTreeMap<Module, BTreeSet<Module>>) -> Option<Vec<Module>> {
    fn walk<'g>(
        at: &'g Module,
        graph: &'g BTreeMap<Module, BTreeSet<Module>>,
        done: &mut BTreeSet<&'g Module>,
        path: &mut Vec<&'g Module>,
    ) -> Option<Vec<Module>> {
        if let Some(begin) = path.iter().position(|known| *known == at) {
            return Some(path[begin..].iter().chain([&at]).map(|module| (*module).clone()).collect());
        }
        if done.contains(at) {
            return None;
        }
        path.push(at);
        for next in graph.get(at).into_iter().flatten() {
            if let Some(found) = walk(next, graph, done, path) {
                return Some(found);
            }
        }
        path.pop();
        done.insert(at);
        None
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|module| walk(module, graph, &mut done, &mut Vec::new()))
}
