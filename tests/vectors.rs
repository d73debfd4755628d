//! Line protocol as Telegraf's own parser reads it: every row of `tests/line-protocol/*.jsonl` was run on that parser.
//!
//! Each row is decoded whole and from single bytes, and passes through the real process in both ways.

mod support;

use serde_json::Value as Json;
use std::io::Write;
use std::process::Stdio;
use support::{feed, feed_child, program, repository};
use telegraf_rollup::engine::line::decode::decode;
use telegraf_rollup::engine::line::frame::Framer;
use telegraf_rollup::engine::line::scan;
use telegraf_rollup::engine::line::token::{Value, unescape_string};

struct Vector {
    id: String,
    input: Vec<u8>,
    expected: Json,
}

/// Decodes the escapes of the vectors: `\n \r \t \v \f \" \\ \xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        out.push(match bytes.next().expect("a byte behind the backslash") {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => {
                let digits = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&digits).expect("ASCII"), 16).expect("hex")
            }
            b'u' => {
                // \ufeff, the only one: kept as its UTF-8 bytes.
                let code: String = (0..4).map(|_| bytes.next().expect("a digit") as char).collect();
                let c = char::from_u32(u32::from_str_radix(&code, 16).expect("hex")).expect("a character");
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        });
    }
    out
}

fn vectors() -> Vec<Vector> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(repository("tests/line-protocol")).expect("the folder of vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&path).expect("readable").lines() {
            let row: Json = serde_json::from_str(line).expect("JSON");
            out.push(Vector {
                id: row["id"].as_str().expect("an id").to_string(),
                input: unescape(row["input_escaped"].as_str().expect("an input")),
                expected: row["expected"].clone(),
            });
        }
    }
    assert!(out.len() >= 168, "the vectors are not complete");
    out
}

/// Cuts bytes that arrive in pieces into lines; what is left is the last line.
fn lines(input: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut framer, mut held, mut out) = (Framer::default(), Vec::new(), Vec::new());
    for chunk in input.chunks(step) {
        held.extend_from_slice(chunk);
        while let Some(end) = framer.line(&held) {
            out.push(held.drain(..end).collect());
        }
    }
    if !held.is_empty() {
        out.push(held);
    }
    out
}

fn shown(value: &Value<'_>) -> (&'static str, Vec<u8>) {
    match value {
        Value::Float(v) => ("f64", v.to_bits().to_string().into_bytes()),
        Value::Integer(v) => ("i64", v.to_string().into_bytes()),
        Value::Unsigned(v) => ("u64", v.to_string().into_bytes()),
        Value::Boolean(v) => ("bool", v.to_string().into_bytes()),
        Value::Text(v) => ("string", unescape_string(v)),
    }
}

type Decoded = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, Vec<(Vec<u8>, &'static str, Vec<u8>)>, Option<i64>);

fn found(lines: &[Vec<u8>]) -> Vec<Option<Decoded>> {
    let mut out = Vec::new();
    for line in lines {
        match decode(line) {
            Ok(None) => {}
            Err(_) => out.push(None),
            Ok(Some(point)) => out.push(Some((
                point.head.measurement,
                point.head.tags,
                point.fields.iter().map(|(k, v)| (k.clone(), shown(v).0, shown(v).1)).collect(),
                point.timestamp,
            ))),
        }
    }
    out
}

fn expected(rows: &Json) -> Vec<Option<Decoded>> {
    let text = |json: &Json| unescape(json.as_str().expect("a string"));
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| {
        row.as_object()?;
        let mut tags: Vec<_> =
            row["tags"].as_array().expect("tags").iter().map(|t| (text(&t[0]), text(&t[1]))).collect();
        tags.sort();
        let fields = row["fields"].as_array().expect("fields").iter().map(|f| {
            let value = text(&f[2]);
            match f[1].as_str().expect("a type") {
                "f64" => {
                    let number: f64 = std::str::from_utf8(&value).expect("ASCII").parse().expect("a number");
                    (text(&f[0]), "f64", number.to_bits().to_string().into_bytes())
                }
                "i64" => (text(&f[0]), "i64", value),
                "u64" => (text(&f[0]), "u64", value),
                "bool" => (text(&f[0]), "bool", value),
                _ => (text(&f[0]), "string", value),
            }
        });
        let timestamp = row["ts"].as_str().map(|t| t.parse().expect("a timestamp"));
        Some((text(&row["m"]), tags, fields.collect(), timestamp))
    })
    .collect()
}

#[test]
fn decoding_agrees_with_telegraf_in_pieces_of_any_size() {
    for vector in vectors() {
        let expected = expected(&vector.expected);
        for step in [vector.input.len().max(1), 1, 2, 3, 7] {
            assert_eq!(found(&lines(&vector.input, step)), expected, "{} in pieces of {step}", vector.id);
        }
        // A newline behind the last line changes nothing but where it ends.
        let mut terminated = vector.input.clone();
        terminated.push(b'\n');
        if !vector.input.ends_with(b"\\") && !vector.input.ends_with(b"\r") {
            assert_eq!(found(&lines(&terminated, 1)), expected, "{} with a newline", vector.id);
        }
    }
}

/// A configuration that matches every line, so that every line goes through the engine as well.
const EVERYTHING: &str = r#"
[[summary]]
name = "s"
key = ["host"]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "*", field = "f" }, { measurement = "*", field = "value" }]
"#;

#[test]
fn the_stream_passes_every_row_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    std::fs::write(&config, format!("state_dir = {:?}\n{EVERYTHING}", folder.path())).expect("writable");
    for vector in vectors() {
        let mut input = vector.input.clone();
        if !input.ends_with(b"\n") {
            input.push(b'\n');
        }
        let output = feed(program().args(["run", "--config"]).arg(&config), &input);
        assert!(output.status.success(), "{}", vector.id);
        assert!(output.stdout == input, "{}: stdout is not the input", vector.id);
    }
}

#[test]
fn the_stream_passes_single_bytes_unchanged() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    std::fs::write(&config, format!("state_dir = {:?}\n{EVERYTHING}", folder.path())).expect("writable");
    // All rows in one stream, one byte per write. Rows with an open string come last: they swallow what follows.
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    for vector in vectors() {
        let quotes_close = lines(&vector.input, vector.input.len().max(1)).iter().all(|l| !scan_is_open(l));
        let part = if quotes_close { &mut closed } else { &mut open };
        part.extend_from_slice(&vector.input);
        if !vector.input.ends_with(b"\n") {
            part.push(b'\n');
        }
    }
    closed.extend_from_slice(&open);
    let mut child = program()
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = closed.clone();
    let writer = std::thread::spawn(move || bytes.iter().for_each(|b| stdin.write_all(&[*b]).expect("a reader")));
    let output = child.wait_with_output().expect("the program ends");
    writer.join().expect("the writer does not panic");
    assert!(output.stdout == closed, "stdout is not the input");
}

/// True if the line ends inside a quoted string.
fn scan_is_open(line: &[u8]) -> bool {
    let mut terminated = line.to_vec();
    terminated.push(b'\n');
    matches!(scan::scan_line(&terminated), scan::End::Open(_))
}

#[test]
fn lines_of_any_size_pass() {
    // One tag value of a million bytes, a string with 200,000 raw newlines, 20,000 fields on a line.
    let mut input = b"m,k=".to_vec();
    input.extend(std::iter::repeat_n(b'a', 1_000_000));
    input.extend_from_slice(b" f=1 1\nm f=\"");
    input.extend(std::iter::repeat_n(*b"x\n", 200_000).flatten());
    input.extend_from_slice(b"\" 1\nm f0=0");
    for i in 1..20_000 {
        input.extend_from_slice(format!(",f{i}={i}").as_bytes());
    }
    input.extend_from_slice(b" 1\nm f=2 2\n");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    std::fs::write(&config, format!("state_dir = {:?}\n{EVERYTHING}", folder.path())).expect("writable");
    let child = program()
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = feed_child(child, &input);
    assert!(output.stdout == input, "stdout is not the input");
    assert_eq!(found(&lines(&input, 65_536)).iter().flatten().count(), 4);
}
