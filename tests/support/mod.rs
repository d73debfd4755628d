//! What the integration tests share.

// Each test binary compiles its own copy of this module and uses a part of it.
#![allow(dead_code)]

pub mod servers;
pub mod site;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The program under test, as cargo built it for this run. It sees no Telegraf of this machine.
pub fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_telegraf-rollup"));
    program.env("TELEGRAF_ROLLUP_ROOT", "/nonexistent");
    program
}

/// All that a process has said, on stdout and stderr. What is to be done stands behind what is wrong, as in the log.
pub fn all_said(output: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    said.replace("\n     -> ", ": ")
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Gives `input` to a child and takes all its output.
pub fn feed(command: &mut Command, input: &[u8]) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    feed_child(child.expect("the program starts"), input)
}

/// Gives `input` to a child that was started with pipes, and takes all its output.
pub fn feed_child(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    // The child may stop reading early; what it says then is judged by the test.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer does not panic");
    output
}

/// Splits one line of CSV as this project writes it.
pub fn csv_fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

/// Compares two tables in the format of `replay --format csv`: numbers with a point to 1e-9, all else exactly.
pub fn same_csv(found: &str, expected: &str) -> Result<(), String> {
    let (mut a, mut b) = (found.lines(), expected.lines());
    for number in 1.. {
        let (a, b) = match (a.next(), b.next()) {
            (None, None) => return Ok(()),
            (a, b) => (a.unwrap_or("(no line)"), b.unwrap_or("(no line)")),
        };
        let (fields_a, fields_b) = (csv_fields(a), csv_fields(b));
        let same = fields_a.len() == fields_b.len() && fields_a.iter().zip(&fields_b).all(|(a, b)| same_field(a, b));
        if !same {
            return Err(format!("line {number}:\n   found {a}\nexpected {b}"));
        }
    }
    Ok(())
}

fn same_field(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) if a.contains(['.', 'e']) => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
        _ => false,
    }
}

/// The rows of all tables of a configuration in a SQLite sink, in the format of `replay --format csv`.
pub fn sqlite_csv(path: &Path, config_toml: &str) -> String {
    let database = rusqlite::Connection::open(path).expect("the sink exists");
    tables_csv(config_toml, |table, columns| {
        let names: Vec<_> = columns.iter().map(|c| format!("\"{c}\"")).collect();
        let mut statement =
            database.prepare(&format!("SELECT {} FROM \"{table}\"", names.join(","))).expect("the table");
        let rows = statement.query_map([], |row| {
            (0..columns.len())
                .map(|i| {
                    Ok(match row.get_ref(i)? {
                        rusqlite::types::ValueRef::Null => None,
                        rusqlite::types::ValueRef::Integer(value) => Some(value.to_string()),
                        rusqlite::types::ValueRef::Real(value) => Some(format!("{value:?}")),
                        other => Some(String::from_utf8(other.as_bytes()?.to_vec()).expect("text is UTF-8")),
                    })
                })
                .collect::<rusqlite::Result<Vec<Option<String>>>>()
        });
        rows.expect("a query").collect::<Result<_, _>>().expect("rows")
    })
}

/// Writes all tables of a configuration as CSV. `read` gives the rows of a table for some columns, in any order.
pub fn tables_csv(config_toml: &str, mut read: impl FnMut(&str, &[String]) -> Vec<Vec<Option<String>>>) -> String {
    let config: toml::Table = config_toml.parse().expect("a configuration");
    let summaries = config["summary"].as_array().expect("summaries");
    let text = |value: &toml::Value| value.as_str().expect("a string").to_string();
    let mut names: Vec<String> = Vec::new();
    let mut tables: Vec<(String, Vec<String>, Vec<String>, bool)> = Vec::new();
    for summary in summaries {
        let key: Vec<_> = summary["key"].as_array().expect("key").iter().map(text).collect();
        let columns: Vec<_> = summary["column"].as_array().expect("columns").iter().map(|c| text(&c["name"])).collect();
        for name in key.iter().chain(&columns) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let both = || vec!["hourly".to_string(), "daily".to_string()];
        let windows =
            summary.get("windows").map_or_else(both, |w| w.as_array().expect("windows").iter().map(text).collect());
        for window in ["hourly", "daily"] {
            if windows.iter().any(|w| w == window) {
                let table = format!("{}_{window}", text(&summary["name"]));
                tables.push((table, key.clone(), columns.clone(), window == "daily"));
            }
        }
    }
    let quoted =
        |t: &str| if t.contains([',', '"', '\n']) { format!("\"{}\"", t.replace('"', "\"\"")) } else { t.to_string() };
    let header: Vec<_> = names.iter().map(|n| quoted(n)).collect();
    let mut out = format!("table,window_start,local,{},samples,coverage,first_seen,last_seen\n", header.join(","));
    for (table, key, columns, daily) in tables {
        let local = if daily { "date" } else { "datetime" };
        let mut wanted = key.clone();
        wanted.extend(["window_start".to_string(), local.to_string()]);
        wanted.extend(columns.iter().cloned());
        wanted.extend(["samples", "coverage", "first_seen", "last_seen"].map(String::from));
        let mut rows = read(&table, &wanted);
        rows.sort_by(|a, b| a[..=key.len()].cmp(&b[..=key.len()]));
        for row in rows {
            let cell = |name: &str| {
                let place = wanted.iter().position(|w| w == name);
                place.map_or_else(|| "-".to_string(), |i| quoted(row[i].as_deref().unwrap_or_default()))
            };
            let mut fields = vec![table.clone(), cell("window_start"), cell(local)];
            fields.extend(names.iter().map(|n| cell(n)));
            fields.extend(["samples", "coverage", "first_seen", "last_seen"].map(cell));
            out += &(fields.join(",") + "\n");
        }
    }
    out
}

/// Copies a program that is to be run. By another process: a file that this one writes is open in whatever another test starts
/// meanwhile, and cannot be executed then.
pub fn copy_program(from: impl AsRef<std::path::Path>, to: &std::path::Path) {
    let status = std::process::Command::new("cp").arg(from.as_ref()).arg(to).status().expect("cp runs");
    assert!(status.success(), "{} cannot be copied", from.as_ref().display());
}
