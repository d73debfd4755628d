//! Rules of the source that no compiler checks.

mod support;

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

#[test]
fn layers_import_downwards_only() {
    // cli > driver > durable, sink > config > engine
    let above: [(&str, &[&str]); 4] = [
        ("src/config", &["crate::sink", "crate::durable", "crate::driver", "crate::cli"]),
        ("src/sink", &["crate::durable", "crate::driver", "crate::cli"]),
        ("src/durable", &["crate::sink", "crate::config", "crate::driver", "crate::cli"]),
        ("src/driver", &["crate::cli"]),
    ];
    for (folder, layers) in above {
        for (path, text) in files(folder, "rs") {
            for layer in layers {
                assert!(!code(&text).contains(layer), "{}: imports {layer}, which is above", path.display());
            }
        }
    }
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
    let text = read("docs/semantics.md") + &read("docs/sink.md");
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
