//! The demo and the report: the page says what the tables say, is text where names are odd, and needs nothing but itself.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use support::program;
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::jobs::report::{ReportOrder, gather};
use telegraf_rollup::report::html::{self, BYTES_MAX, Imprint};
use telegraf_rollup::report::rows::{ColumnShape, DeviceRows, ReportColumn, ReportRow, SummaryRows};
use telegraf_rollup::sink::open;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

fn demo(folder: &Path) -> Output {
    program().args(["demo", "--output"]).arg(folder).output().expect("demo")
}

fn succeeded(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

/// What stands between tags, and in `value="..."`, as text again.
fn unescaped(text: &str) -> String {
    let numbered = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
    numbered.iter().chain(&named).fold(text.to_string(), |text, (from, to)| text.replace(from, to))
}

/// The parts of a text between two marks.
fn between<'t>(text: &'t str, from: &'t str, to: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(from).skip(1).filter_map(move |rest| rest.split(to).next())
}

#[test]
fn the_demo_makes_the_same_bytes_each_time_and_takes_nothing_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let said = succeeded(&demo(&one));
    succeeded(&demo(&two));
    assert!(said.contains("report.html") && said.contains("summary.db") && said.contains("hot"), "{said}");
    for name in ["report.html", "summary.db"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).expect("read");
        assert!(read(&one) == read(&two), "{name} differs");
    }
    // Again into its own folder, but into nobody else's.
    succeeded(&demo(&one));
    std::fs::write(one.join("notes.txt"), "mine").expect("written");
    let refused = demo(&one);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("notes.txt"));
    std::fs::create_dir(folder.path().join("etc")).expect("made");
    std::fs::write(folder.path().join("etc/rollup.toml"), "timezone = \"UTC\"\n").expect("written");
    let refused = demo(&folder.path().join("etc"));
    assert!(
        !refused.status.success()
            && String::from_utf8_lossy(&refused.stderr).contains("not the configuration of a demo")
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("etc/rollup.toml")).expect("read"), "timezone = \"UTC\"\n");
}

/// The values of a day as they are stored, and its samples.
type StoredDay = (Vec<Option<f64>>, i64);

/// Every number in the tables of the page is the one in the row.
#[test]
fn numbers_of_the_page_are_those_of_the_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeded(&demo(folder.path()));
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    let base = rusqlite::Connection::open(folder.path().join("summary.db")).expect("a database");
    let columns = ["avg_cpu", "min_cpu", "max_cpu", "max_temp", "avg_power", "anomaly_count"];
    let sql = format!("SELECT host, date, {}, samples FROM device_summary_daily ORDER BY date", columns.join(","));
    let mut rows: BTreeMap<String, Vec<StoredDay>> = BTreeMap::new();
    let mut statement = base.prepare(&sql).expect("prepared");
    let mut found = statement.query([]).expect("rows");
    while let Some(row) = found.next().expect("a row") {
        let values = (0..columns.len()).map(|at| row.get::<_, Option<f64>>(2 + at).expect("a number")).collect();
        let samples = row.get(2 + columns.len()).expect("a number");
        rows.entry(row.get(0).expect("a host")).or_default().push((values, samples));
    }
    assert_eq!(rows.len(), 5);
    let mut compared = 0;
    for section in between(&page, "<section class=\"device\"", "</section>") {
        let host = between(section, "<bdi>", "</bdi>").next().expect("a name");
        let lines: Vec<&str> = between(section, "<tr class=", "</tr>").collect();
        assert_eq!(lines.len(), 31, "{host}");
        for (line, (values, samples)) in lines.iter().zip(rows[host].iter().rev()) {
            let cells: Vec<&str> = between(line, "<td>", "</td>").collect();
            for (cell, value) in cells.iter().zip(values) {
                let shown = between(cell, "value=\"", "\"").next().map(|text| text.parse::<f64>().expect("a number"));
                assert_eq!(shown, *value, "{host}: {line}");
                compared += 1;
            }
            assert_eq!(cells[columns.len()].replace('\u{202f}', ""), samples.to_string(), "{host}");
        }
    }
    assert_eq!(compared, 5 * 31 * columns.len());
    // The first table: today, and the lowest and the highest of 30 days.
    let fleet = between(&page, "<table class=\"fleet\">", "</table>").next().expect("a table");
    for line in between(fleet, "<tr class=", "</tr>") {
        let host = between(line, "<bdi>", "</bdi>").next().expect("a name");
        let rows = &rows[host][rows[host].len() - 30..];
        for (at, cell) in between(line, "<td class=\"n\">", "</td>").enumerate() {
            let shown: Vec<f64> = between(cell, "value=\"", "\"").map(|text| text.parse().expect("a number")).collect();
            let all = || rows.iter().filter_map(|(values, _)| values[at]);
            let today = rows.last().and_then(|(values, _)| values[at]);
            let ends = [all().min_by(f64::total_cmp), all().max_by(f64::total_cmp)];
            let expected: Vec<f64> = today.into_iter().chain(ends.into_iter().flatten()).collect();
            assert_eq!(shown, expected, "{host}, {}", columns[at]);
        }
    }
}

/// The questions that a new user is asked.
#[test]
fn the_page_answers_what_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeded(&demo(folder.path()));
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    let section = |host: &str| {
        let wanted = format!("<bdi>{host}</bdi>");
        between(&page, "<section class=\"device\"", "</section>")
            .find(|section| section.contains(&wanted))
            .expect("a section")
    };
    assert!(page.contains("5\u{a0}devices, 3 need attention, data to 2026-11-04 09:09 Europe/Berlin"));
    assert!(section("atelier").contains("anomalies in 7 days"), "which one ran hot");
    assert!(section("buero-nord").contains("of 24 hours covered"), "which one is off at night");
    assert!(
        section("server").contains("Sun 25 Oct 2026</th>")
            && section("server").contains("25\u{a0}hours: clocks were set back")
    );
    assert!(
        section("server").contains("<tr class=\"open\"><th scope=\"row\">Wed 04 Nov 2026</th>"),
        "what is provisional"
    );
    assert!(section("labor").contains("<td>–</td>"), "a sensor that has vanished");
}

/// A page that loads nothing, says in words what it draws, and is text where names are odd.
fn assert_safe(page: &str) {
    let lower = page.to_ascii_lowercase();
    for forbidden in ["<script", "http:", "https:", "src=", "@import", "javascript:", "<iframe", "onload", "<link"] {
        assert!(!lower.contains(forbidden), "{forbidden} is in the page");
    }
    assert!(
        page.contains(
            "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\""
        )
    );
    for drawing in between(page, "<svg class=", "</svg>") {
        let words = |tag: &str| between(drawing, &format!("<{tag}>"), &format!("</{tag}>")).next().map(str::len);
        assert!(words("title") > Some(5) && words("desc") > Some(5), "a drawing says nothing: {drawing:.200}");
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing:.200}");
    }
}

fn row(start: i64, is_day: bool, values: Vec<Option<f64>>) -> ReportRow {
    let at = jiff::Timestamp::from_second(start).expect("a time");
    let format = if is_day { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S" };
    ReportRow {
        start,
        local: at.strftime(format).to_string(),
        zone: "UTC".to_string(),
        samples: values.iter().flatten().count() as u64 * 60,
        coverage: if values.iter().all(Option::is_none) { 0.0 } else { 1.0 },
        is_final: true,
        last_seen: values.iter().any(Option::is_some).then_some(start + HOUR - 1),
        values,
    }
}

/// A fleet over so many days, with values that go up and down.
fn fleet(devices: usize, days: i64) -> Vec<SummaryRows> {
    let column = |name: &str, unit: &str, shape| ReportColumn { name: name.to_string(), unit: unit.to_string(), shape };
    let columns = vec![
        column("avg_cpu", "%", ColumnShape::Level),
        column("max_temp", "°C", ColumnShape::High),
        column("avg_power", "W", ColumnShape::Level),
        column("anomaly_count", "", ColumnShape::Anomalies),
    ];
    let end = 20_000 * DAY;
    let values = |device: usize, at: i64| {
        let wave = ((at / HOUR * 7 + device as i64 * 13) % 97) as f64;
        vec![Some(wave), Some(30.0 + wave / 2.0), Some(100.0 - wave), Some(f64::from(u8::from(wave > 95.0)))]
    };
    let device = |at: usize| DeviceRows {
        name: format!("pc-{at:03}"),
        hours: (0..32.min(days) * 24)
            .rev()
            .map(|back| end - (back + 1) * HOUR)
            .map(|start| row(start, false, values(at, start)))
            .collect(),
        days: (0..days)
            .rev()
            .map(|back| end - (back + 1) * DAY)
            .map(|start| row(start, true, values(at, start)))
            .collect(),
    };
    let devices = (0..devices).map(device).collect();
    vec![SummaryRows { name: "device_summary".to_string(), columns, silent_after: 2 * HOUR, from: None, devices }]
}

fn imprint() -> Imprint {
    Imprint { title: "Devices".to_string(), made: String::new(), version: "0".to_string() }
}

#[test]
fn pages_of_every_size_are_safe_and_fit_a_mail() {
    for (devices, days) in [(0, 1), (1, 1), (1, 365), (5, 365), (50, 365), (500, 365)] {
        let page = html::one(&imprint(), &fleet(devices, days)).expect("a page");
        assert_safe(&page.html);
        assert!(page.html.len() <= BYTES_MAX, "{devices} devices: {} bytes", page.html.len());
        let sections = page.html.matches("<section class=\"device\"").count();
        assert_eq!(sections + page.left_out, devices);
        assert_eq!(page.html.contains("have no section here"), page.left_out > 0, "{devices} devices");
        assert!(devices < 5 || sections >= 5, "{devices} devices have {sections} sections");
        println!("{devices} devices, {days} days: {} KiB, {sections} sections", page.html.len() / 1024);
    }
}

#[test]
fn names_are_text_whatever_they_are() {
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "it's & \"quoted\"",
        "\u{202e}txt.exe",
        "حاسوب",
        "${jndi:x}",
        "{{ imprint }}",
        "]]>",
    ];
    let mut summaries = fleet(names.len() + 1, 40);
    let long = "x".repeat(191);
    for (device, name) in summaries[0].devices.iter_mut().zip(names.into_iter().chain([long.as_str()])) {
        device.name = name.to_string();
    }
    summaries[0].name = "</style><script>".to_string();
    summaries[0].columns[0].unit = "<b>".to_string();
    let page = html::one(&imprint(), &summaries).expect("a page").html;
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>)"));
    let shown: Vec<String> = between(&page, "<bdi>", "</bdi>").map(unescaped).collect();
    for name in names.into_iter().chain([long.as_str()]) {
        // Once in the table, once above its section; a name with its own direction cannot turn what stands beside it.
        assert_eq!(shown.iter().filter(|shown| *shown == name).count(), 2, "{name}");
    }
}

#[test]
fn odd_numbers_are_drawn_within_the_page() {
    let mut summaries = fleet(1, 40);
    let odd = [f64::MAX, f64::MIN, 5e-324, -0.0, 1e-300, 1e300, 0.0];
    for (row, value) in summaries[0].devices[0].hours.iter_mut().zip(odd.iter().cycle()) {
        row.values[0] = Some(*value);
    }
    for row in &mut summaries[0].devices[0].days {
        row.values = vec![None; 4];
        row.samples = 0;
    }
    let page = html::one(&imprint(), &summaries).expect("a page").html;
    assert_safe(&page);
}

/// A page for each device, linked by relative names that exist.
#[test]
fn a_folder_has_a_page_for_each_device() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeded(&demo(&folder.path().join("demo")));
    let out = folder.path().join("pages/");
    let mut command = program();
    command.args(["report", "--config"]).arg(folder.path().join("demo/rollup.toml")).arg("--output").arg(&out);
    succeeded(&command.output().expect("report"));
    let index = std::fs::read_to_string(out.join("index.html")).expect("an index");
    let links: Vec<&str> = between(&index, "href=\"", "\"").collect();
    assert_eq!(links.len(), 5);
    for link in links {
        let page = std::fs::read_to_string(out.join(link)).unwrap_or_else(|e| panic!("{link}: {e}"));
        assert_safe(&page);
        assert!(page.contains("href=\"index.html\""));
        assert_eq!(page.matches("<section class=\"device\"").count(), 1, "{link}");
    }
    assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 6);
}

#[test]
fn a_report_is_of_the_devices_and_dates_that_are_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeded(&demo(folder.path()));
    let report = |arguments: &[&str]| {
        let mut command = program();
        command.args(["report", "--output", "-", "--config"]).arg(folder.path().join("rollup.toml")).args(arguments);
        command.output().expect("report")
    };
    let page = succeeded(&report(&["--device", "la*", "--title", "Our <lab>"]));
    let names: Vec<&str> = between(&page, "<bdi>", "</bdi>").collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("la")) && page.contains("<title>Our &#60;lab&#62;</title>"));
    let page = succeeded(&report(&["--from", "2026-10-10", "--to", "2026-10-13"]));
    let section = between(&page, "<section class=\"device\"", "</section>").next().expect("a section");
    assert_eq!(between(section, "<tr class=", "</tr>").count(), 3);
    assert!(page.contains("Mon 12 Oct 2026") && !page.contains("Tue 13 Oct 2026") && !page.contains("Fri 09 Oct 2026"));
    for (arguments, said) in [
        (&["--device", "nobody"][..], "no device in SQLite"),
        (&["--from", "tomorrow"], "--from"),
        (&["--from", "2026-10-13", "--to", "2026-10-10"], "nothing lies between them"),
    ] {
        let output = report(arguments);
        let said_so = String::from_utf8_lossy(&output.stderr).contains(said);
        assert!(!output.status.success() && said_so && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
}

/// Text on the page can be read: a contrast of at least 4.5 (WCAG 2.1, 1.4.3), light, dark and printed.
#[test]
fn text_has_contrast() {
    let style = include_str!("../src/report/style.css");
    let themes: Vec<&str> = between(style, ":root{", "}").collect();
    assert_eq!(themes.len(), 3);
    let luminance = |colour: &str| {
        let full: String =
            if colour.len() == 3 { colour.chars().flat_map(|c| [c, c]).collect() } else { colour.to_string() };
        let part = |at: usize| {
            let share = f64::from(u8::from_str_radix(&full[at..at + 2], 16).expect("hex")) / 255.0;
            if share <= 0.03928 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    };
    for theme in themes {
        let colours: BTreeMap<&str, f64> = theme
            .split(';')
            .filter_map(|one| one.trim().trim_start_matches("--").split_once(":#"))
            .map(|(name, colour)| (name, luminance(colour)))
            .collect();
        for name in ["ink", "dim", "line", "bar", "bad", "warn", "good"] {
            let (low, high) = (colours[name].min(colours["paper"]), colours[name].max(colours["paper"]));
            let contrast = (high + 0.05) / (low + 0.05);
            assert!(contrast >= 4.5, "{name} on paper: {contrast:.2} in {theme}");
        }
    }
}

/// The page of a server is the page of the file, byte for byte.
#[cfg(unix)]
#[test]
fn servers_give_the_same_page() {
    use support::servers::{Database, Kind};
    use telegraf_rollup::driver::jobs::demo;
    let folder = tempfile::tempdir().expect("a folder");
    let page = |url: &str| {
        let text = format!("{}\n[sink]\nurl = '{url}'\n", demo::CONFIG);
        let config = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        demo::write(&config, &mut *open::open(&config.sink)).expect("written");
        let order = ReportOrder { device: None, from: None, to: None };
        let rows = gather(&mut open::reader(&config.sink), &config.schema, &order, &mut |_, _| ()).expect("rows");
        html::one(&imprint(), &rows).expect("a page").html
    };
    let expected = page(&format!("sqlite://{}", folder.path().join("summary.db").display()));
    assert_safe(&expected);
    for kind in [Kind::MySql, Kind::MariaDb] {
        let Some(database) = Database::start(kind) else { continue };
        println!("on {}", database.version());
        assert!(page(&database.default_url()) == expected, "{}: another page", database.version());
    }
}
