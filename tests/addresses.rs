//! Addresses of sinks on real servers: a socket of this machine in place of host and port.
#![cfg(unix)]

mod support;

use support::servers::{Database, Kind, PASSWORD, USER};
use support::site::{CONFIG, Site, lines, log};
use telegraf_rollup::config::Config;

/// What people call the sink of a url.
fn name(url: &str) -> String {
    let text = format!("{CONFIG}[sink]\nurl = {url:?}\n");
    Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{url}: {report}")).sink.name()
}

#[test]
fn a_sink_is_named_with_brackets_and_with_its_socket() {
    assert_eq!(name("mysql://me:pw@[::1]/d"), "MySQL me@[::1]:3306/d");
    assert_eq!(name("mysql://me:pw@db.example.org:3307/d"), "MySQL me@db.example.org:3307/d");
    assert_eq!(name("mysql://me:pw@localhost/d?socket=/run/x.sock"), "MySQL me@/run/x.sock/d");
    assert_eq!(name("mysql://me:pw@%2Frun%2Fx.sock/d"), "MySQL me@/run/x.sock/d");
}

/// Rows go through a socket while the server has no network.
fn socket(kind: Kind) {
    let Some(mut database) = Database::start(kind) else { return };
    database.restart_with(&["--skip-networking"]);
    let path = database.value("SELECT @@socket");
    let encoded = path.replace('/', "%2F");
    for (number, url) in [
        format!("mysql://{USER}:{PASSWORD}@localhost/metrics?socket={path}"),
        format!("mysql://{USER}:{PASSWORD}@{encoded}/metrics"),
    ]
    .into_iter()
    .enumerate()
    {
        let config = CONFIG.replace("name = \"s\"", &format!("name = \"s{number}\""));
        let site = Site::with(&format!("{config}[sink]\nurl = {url:?}\n"));
        let output = site.run("state", &lines(0..100));
        assert!(!log(&output).contains("E! "), "{kind}: {}", log(&output));
        let count = database.value(&format!("SELECT COUNT(*) FROM metrics.s{number}_hourly WHERE n > 0"));
        assert_eq!(count, "4", "{kind}: {}", log(&output));
        let output = site.tool("check", "state").output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("MySQL {USER}@{path}/metrics")), "{kind}: {said}");
        assert!(!said.contains(PASSWORD), "{kind}: {said}");
    }
}

#[test]
fn rows_go_through_a_socket_of_mariadb() {
    socket(Kind::MariaDb);
}

#[test]
fn rows_go_through_a_socket_of_mysql() {
    socket(Kind::MySql);
}
