//! The README against the program: its commands are pasted, its statements asked, its snippets and flags compared.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use support::servers::{Database, Kind, PASSWORD, USER, telegraf};
use support::{feed, program, repository};

fn text(name: &str) -> String {
    std::fs::read_to_string(repository(name)).expect("text")
}

/// The blocks of one language, of a document or a part of one.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in text.split(&format!("\n```{language}\n")).skip(1) {
        found.push(block.split("\n```").next().unwrap_or_default().to_string());
    }
    found
}

/// The chapter of the README with this heading.
fn chapter(heading: &str) -> String {
    let readme = text("README.md");
    let chapter = readme.split(&format!("\n## {heading}\n")).nth(1).expect("the chapter");
    chapter.split("\n## ").next().unwrap_or_default().to_string()
}

/// The four hours of the sample, in a sink. The sample is older than what counts as late.
fn sampled(folder: &Path, sink: &str) {
    let config = text("telegraf/rollup-windows-hwinfo.toml").replace("max = \"7d\"", "max = \"forever\"");
    let config =
        config.replace("[sink]\n", &format!("[sink]\n{sink}\n")).replace("horizon = \"7d\"", "horizon = \"3h\"");
    let state = config.lines().find(|line| line.starts_with("state_dir")).expect("a state directory");
    let config = config.replace(state, &format!("state_dir = {:?}", folder.join("state")));
    let path = folder.join("rollup.toml");
    std::fs::write(&path, config).expect("writable");
    let lines = std::fs::read(repository("telegraf/sample.influx")).expect("the sample");
    let output = feed(program().args(["run", "--config"]).arg(&path), &lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The statements of the README, without their remarks.
fn statements() -> Vec<String> {
    let sql = blocks(&chapter("The SQL that people want"), "sql").concat();
    let plain: String = sql.lines().filter(|line| !line.starts_with("--")).map(|line| format!("{line}\n")).collect();
    plain.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_string).collect()
}

#[test]
fn the_statements_of_the_readme_give_rows_of_the_sample() {
    let folder = tempfile::tempdir().expect("a folder");
    sampled(folder.path(), "");
    let file = rusqlite::Connection::open(folder.path().join("state/summary.db")).expect("the rows");
    let statements = statements();
    assert!(statements.len() >= 6, "{statements:#?}");
    for sql in statements {
        let rows = file.prepare(&sql).and_then(|mut s| s.query_map([], |_| Ok(()))?.collect::<Result<Vec<_>, _>>());
        let rows = rows.unwrap_or_else(|e| panic!("{e}\n{sql}"));
        // The sample has no silent host: it ends where the last statement begins to look.
        assert!(!rows.is_empty() || sql.contains("HAVING"), "no row\n{sql}");
    }
}

#[test]
fn the_statements_of_the_readme_work_on_mariadb_and_mysql() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let Some(database) = Database::start(kind) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("url = \"mysql://{USER}:{PASSWORD}@127.0.0.1:{}/metrics\"\ntls = \"off\"", database.port());
        sampled(folder.path(), &url);
        for sql in statements() {
            let rows = database.query(&sql);
            assert!(!rows.is_empty() || sql.contains("HAVING"), "{kind}: no row\n{sql}");
        }
    }
}

/// The snippets are those of `telegraf/`, without the remarks there.
#[test]
fn the_snippets_of_the_readme_are_those_that_are_shipped() {
    let found = blocks(&chapter("Three snippets"), "conf");
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_string).collect()
    };
    for (block, file) in found.iter().zip(["telegraf/processor.conf", "telegraf/output.conf"]) {
        assert_eq!(lines(block), lines(&text(file)), "{file}");
    }
    assert_eq!(found.len(), 2);
}

/// What stands of an option in front of its description, in a line of `--help`.
fn option_of(line: &str) -> Option<&str> {
    // A description that is wrapped stands further to the right.
    let (indented, line) = (line.len() - line.trim_start().len(), line.trim_start());
    (indented < 8 && line.starts_with('-')).then(|| line.split("  ").next().unwrap_or(line))
}

/// The flags of each command: in the README, and in its `--help`.
#[test]
fn the_readme_has_every_command_and_flag() {
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_string).collect()
    };
    let help = |arguments: &[&str]| {
        let output = program().args(arguments).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let commands = help(&["--help"]);
    let commands = commands.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).expect("commands");
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  help");
    let names: Vec<_> = commands.lines().filter(is_name).filter_map(|line| line.split_whitespace().next()).collect();
    let chapter = chapter("Commands");
    for name in &names {
        let row = chapter.lines().find(|line| {
            line.strip_prefix("| `").and_then(|rest| rest.split([' ', '`']).next()).is_some_and(|word| word == *name)
        });
        let row = row.unwrap_or_else(|| panic!("the README has no command {name}"));
        let options = help(&[name, "--help"]);
        // The list of options; what is said behind it may speak of others.
        let options: String = options.lines().filter_map(option_of).collect::<Vec<_>>().join("\n");
        let mut of_help = flags(&options);
        of_help.retain(|flag| !["--help", "--version", "--config"].contains(&flag.as_str()));
        let signature = row.split("` | ").next().expect("a cell");
        assert_eq!(flags(signature), of_help, "{name}");
    }
    assert!(names.len() > 5, "{names:?}");
}

/// The table of `status.json` has every field of a real one, and no other.
#[test]
fn the_readme_has_every_field_of_the_status() {
    let folder = tempfile::tempdir().expect("a folder");
    sampled(folder.path(), "");
    let status = std::fs::read_to_string(folder.path().join("state/status.json")).expect("a status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let (of_top, mut below) = (status.as_object().expect("an object"), BTreeSet::new());
    for value in of_top.values() {
        let object = value.as_array().map_or(Some(value), |list| list.first()).and_then(|v| v.as_object());
        below.extend(object.into_iter().flat_map(|object| object.keys().cloned()));
    }
    let commands = chapter("Commands");
    let table = commands.split("### What `status.json` says").nth(1).expect("the table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let named: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.split('|').nth(1).unwrap_or_default().split(',')).map(str::trim).collect();
    let there: BTreeSet<&str> = of_top.keys().map(String::as_str).collect();
    assert_eq!(named, there);
    let of_rows: BTreeSet<String> =
        rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_string).collect();
    let missing: Vec<_> = below.iter().filter(|field| !of_rows.contains(*field)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

/// What `telegraf/README.md` says that `replay` says of the sample.
#[test]
fn replay_counts_what_comes_twice_as_it_is_told() {
    let readme = text("telegraf/README.md");
    for (config, words) in
        [("rollup-windows-hwinfo.toml", "duplicates with the HWiNFO config"), ("rollup.toml", "with `rollup.toml`.")]
    {
        let config = repository("telegraf").join(config);
        let output =
            program().args(["replay", "--config"]).arg(config).arg(repository("telegraf/sample.influx")).output();
        let said = String::from_utf8(output.expect("it runs").stderr).expect("text");
        let counted =
            said.split(" duplicates").next().and_then(|head| head.split_whitespace().last()).expect("a count");
        assert!(readme.contains(&format!("{counted} {words}")), "{counted} {words}");
    }
}

/// The chapter "Install", line by line, in a machine of its own (a private mount namespace), up to the first row under a real
/// Telegraf. The compiler is spared: `cargo build` gives the program under test.
#[test]
fn the_commands_of_the_readme_lead_to_the_first_row() {
    let Some(telegraf) = telegraf() else { return };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        eprintln!("SKIPPED: the_commands_of_the_readme_lead_to_the_first_row: needs root");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"
        set -euo pipefail
        mkdir "$1/over" "$1/checkout" "$1/bin"
        mount -t tmpfs none "$1/over"
        for place in /etc /usr /var; do
            mkdir -p "$1/over$place/upper" "$1/over$place/work"
            mount -t overlay none -o "lowerdir=$place,upperdir=$1/over$place/upper,workdir=$1/over$place/work" "$place"
        done
        rm -rf /etc/telegraf /etc/telegraf-rollup /var/lib/telegraf-rollup
        tar --exclude=./target --exclude=./.git -cf - . | tar -C "$1/checkout" -xf -
        cat >"$1/bin/cargo" <<SH
#!/bin/sh
if [ "\$1" = build ]; then mkdir -p "$1/checkout/target/release" && cp "$4" "$1/checkout/target/release/telegraf-rollup"
else exec "$3" "\$@"; fi
SH
        # Whoever looks for a toolchain finds all of it beside cargo.
        for tool in rustc rustdoc rustfmt; do
            [ ! -e "$(dirname "$3")/$tool" ] || ln -s "$(dirname "$3")/$tool" "$1/bin/$tool"
        done
        chmod 0755 "$1" "$1/bin/cargo"
        export PATH=$1/bin:$(dirname "$3"):$PATH
        unset CARGO_TARGET_DIR
        "$1/checkout/tests/bare/paste" "$1/checkout" "$2"
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script, "bash"]);
    command.arg(folder.path()).arg(telegraf).arg(env!("CARGO")).arg(program().get_program());
    let output = command.current_dir(repository("")).stdin(Stdio::null()).output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let times: Vec<_> = said.lines().filter(|line| line.starts_with('[')).collect();
    println!("{}", times.join("\n"));
    assert!(times.len() > 5, "{said}");
}
