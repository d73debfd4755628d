//! Rules of the source that no compiler checks.

#[path = "tidy/imports.rs"]
mod imports;
mod support;

use imports::{Module, bare, circle, graph};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use support::repository;

/// All files below a folder with an ending.
fn files(folder: &str, ending: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, ending: &str, out: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, ending, out);
            } else if path.extension().is_some_and(|e| e == ending) {
                let text = std::fs::read_to_string(&path).expect("text");
                out.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    walk(&repository(folder), ending, &mut out);
    assert!(!out.is_empty());
    out
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

#[test]
fn the_engine_is_pure() {
    // No clock, file, socket, thread, log, environment, and no layer above.
    let forbidden = [
        "std::time",
        "Instant",
        "SystemTime",
        "std::fs",
        "std::net",
        "std::io",
        "std::thread",
        "std::env",
        "std::process",
        "std::sync::Mutex",
        "log::",
        "println!",
        "eprintln!",
        "async ",
        "tokio",
        "rusqlite",
        "mysql_async",
        "crate::driver",
        "crate::sink",
        "crate::config",
        "crate::cli",
        "Timestamp::now",
        "Zoned::now",
        "unsafe",
    ];
    for (path, text) in files("src/engine", "rs") {
        for (number, line) in code(&text).lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in forbidden {
                assert!(!line.contains(word), "{}:{}: the engine must not use {word}", path.display(), number + 1);
            }
        }
    }
}

/// The modules of a folder of sources, each with its text.
fn modules(folder: &str) -> BTreeMap<Module, String> {
    let root = repository(folder);
    let module = |path: &Path| {
        let names = path.strip_prefix(&root).expect("below the folder").with_extension("");
        let mut names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
            names.pop();
        }
        names
    };
    files(folder, "rs").into_iter().map(|(path, text)| (module(&path), text)).collect()
}

fn name(module: &Module) -> String {
    if module.is_empty() { "lib".to_string() } else { module.join("/") }
}

/// No file imports one that imports it, directly or through others, and no arrow points up.
#[test]
fn imports_make_no_circle_and_point_down() {
    let graph = graph(&modules("src"));
    let arrows: usize = graph.values().map(BTreeSet::len).sum();
    assert!(arrows > 300, "only {arrows} imports were found");
    if let Some(circle) = circle(&graph) {
        panic!("files import each other: {}", circle.iter().map(name).collect::<Vec<_>>().join(" -> "));
    }
    // cli > driver > durable, sink > config > engine; inside of the driver the rooms have an order, too.
    let above: [(&str, &[&str]); 11] = [
        ("report", &["engine", "config", "sink", "durable", "driver", "inspect", "cli"]),
        ("engine", &["config", "sink", "durable", "driver", "inspect", "cli"]),
        ("config", &["sink", "durable", "driver", "inspect", "cli"]),
        ("sink", &["durable", "driver", "inspect", "cli"]),
        ("durable", &["config", "sink", "driver", "inspect", "cli"]),
        ("driver", &["inspect", "cli"]),
        ("inspect", &["driver", "cli"]),
        ("driver/intake", &["driver/stream", "driver/flush", "driver/deliver", "driver/owner", "driver/jobs"]),
        ("driver/stream", &["driver/flush", "driver/deliver", "driver/owner", "driver/jobs"]),
        ("driver/flush", &["driver/stream", "driver/deliver", "driver/owner", "driver/jobs"]),
        ("driver/deliver", &["driver/stream", "driver/owner", "driver/jobs"]),
    ];
    let is_in = |module: &Module, room: &str| {
        let name = name(module);
        name == room || name.starts_with(&format!("{room}/"))
    };
    for (module, used) in &graph {
        for (room, layers) in above.iter().filter(|(room, _)| is_in(module, room)) {
            for layer in *layers {
                let up = used.iter().find(|used| is_in(used, layer));
                assert!(up.is_none(), "{} in {room} imports {}, which is above", name(module), name(up.expect("one")));
            }
        }
    }
}

/// The test above finds what it is for.
#[test]
fn circles_of_every_kind_are_found() {
    let tree = |files: &[(&str, &str)]| -> BTreeMap<Module, String> {
        let module = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_string).collect();
        files.iter().map(|(path, text)| (module(path), (*text).to_string())).collect()
    };
    let circles: [&[(&str, &str)]; 5] = [
        &[("", ""), ("a", "use crate::b::B;"), ("b", "use super::a::{self, A};")],
        &[("", ""), ("r", "mod x;\npub use x::X;"), ("r/x", "use super::{Y, Z};")],
        &[
            ("", ""),
            ("a", "fn f() { crate::b::g() }"),
            ("b", "use crate::{c::C, d};"),
            ("c", "use super::a;"),
            ("d", ""),
        ],
        &[("", ""), ("r", "fn f() { x::g(\"'\") }"), ("r/x", "fn g() { super::f('\"') }")],
        &[("", ""), ("a", "use crate::r::x::X;"), ("r", ""), ("r/x", "pub(in crate::r) use crate::a as b;")],
    ];
    for files in circles {
        assert!(circle(&graph(&tree(files))).is_some(), "{files:?}");
    }
    let none: [&[(&str, &str)]; 2] = [
        &[("", ""), ("a", "use crate::b::B; // use crate::a"), ("b", "const T: &str = \"crate::a::A\";")],
        &[("", ""), ("r", "mod x; mod y;"), ("r/x", "use super::y::Y;"), ("r/y", "/// See [`super::x`].\nstruct Y;")],
    ];
    for files in none {
        assert_eq!(circle(&graph(&tree(files))), None, "{files:?}");
    }
}

/// A type's name is used once. What a platform has in its own way has one name on all of them.
#[test]
fn a_type_has_a_name_of_its_own() {
    let twins = ["Bypass", "Caught", "Input", "Output", "Progress"];
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (path, text) in files("src", "rs") {
        let bare = bare(&text);
        let words: Vec<&str> =
            bare.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let [kind, name] = pair else { continue };
            let is_type = matches!(*kind, "struct" | "enum" | "trait" | "type") && name.starts_with(char::is_uppercase);
            if !is_type || twins.contains(name) || ["Target", "Item", "Output", "Error"].contains(name) {
                continue;
            }
            let place = path.display().to_string();
            if let Some(other) = known.insert((*name).to_string(), place.clone()) {
                panic!("{name} is a type in {other} and in {place}");
            }
        }
    }
    assert!(known.len() > 150, "only {} types", known.len());
}

#[test]
fn unsafe_and_unwrap_have_no_place() {
    for (path, text) in files("src", "rs") {
        for (number, line) in code(&text).lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in ["unsafe", ".unwrap()", ".expect(", "todo!", "unimplemented!", "dbg!"] {
                assert!(!line.contains(word), "{}:{}: {word}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in files("src", "rs") {
        assert!(text.starts_with("//! "), "{}: a module head is missing", path.display());
        let lines = code(&text).lines().count();
        assert!(lines <= 650, "{} has {lines} lines: is it still one noun?", path.display());
    }
}

#[test]
fn the_repository_speaks_of_the_product_alone() {
    let mut all = files("src", "rs");
    for (folder, ending) in [
        ("telegraf", "conf"),
        ("telegraf", "toml"),
        ("telegraf", "md"),
        ("tests", "rs"),
        ("tests", "md"),
        ("packaging", "sh"),
    ] {
        all.extend(files(folder, ending));
    }
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml", "tests/run"] {
        let path = repository(name);
        let text = std::fs::read_to_string(&path).expect("text");
        all.push((path, text));
    }
    for (path, text) in all {
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        for word in ["/work/", "/root/", "crates.io", "pypi.org", "deb.debian.org", "proxy.golang"] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn the_table_of_rules_names_tests_that_exist() {
    let read = |name: &str| std::fs::read_to_string(repository(name)).expect("text");
    let text = read("docs/semantics.md") + &read("docs/sink.md") + &read("docs/check.md");
    let mut named = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.contains("shown by")) {
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().expect("three columns");
        for name in shown.split('`').skip(1).step_by(2) {
            named += 1;
            match name.split_once(": ") {
                Some((file, test)) => {
                    let tests = std::fs::read_to_string(repository("tests").join(file)).expect("a file of tests");
                    assert!(tests.contains(&format!("fn {test}(")), "there is no test {name}");
                }
                None => assert!(repository("tests/cases").join(name).is_dir(), "there is no case {name}"),
            }
        }
    }
    assert!(named > 110, "only {named} names");
}

/// Any page may name a test as `file.rs: name`.
#[test]
fn documents_name_tests_that_exist() {
    let mut named = 0;
    for (path, text) in files("docs", "md") {
        for name in text.split('`').skip(1).step_by(2) {
            let Some((file, test)) = name.split_once(".rs: ").filter(|(file, _)| *file != "file") else { continue };
            named += 1;
            let tests = std::fs::read_to_string(repository("tests").join(format!("{file}.rs")));
            let tests = tests.unwrap_or_else(|e| panic!("{}: {name}: {e}", path.display()));
            assert!(tests.contains(&format!("fn {test}(")), "{}: there is no test {name}", path.display());
        }
    }
    assert!(named > 150, "only {named} names");
}

/// The table of instructions in the documentation is the file that the benchmark keeps.
#[test]
fn the_page_about_speed_gives_the_counts_that_are_kept() {
    let kept = std::fs::read_to_string(repository("benches/instructions.txt")).expect("readable");
    let kept: Vec<u64> = kept
        .lines()
        .map(|line| line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a count"))
        .collect();
    let page = std::fs::read_to_string(repository("docs/speed.md")).expect("readable");
    let rows = page.lines().skip_while(|line| *line != "| path | ns | instructions |").skip(2);
    let shown = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let cell = line.split('|').nth(3).expect("three columns").trim().replace(',', "");
        cell.parse::<u64>().expect("a count")
    });
    assert_eq!(shown.collect::<Vec<_>>(), kept);
}
