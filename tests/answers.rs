//! Answers of a sink that are not whole, and conflicts: no wrong row is acknowledged.
#![cfg(unix)]

mod support;

use std::io::Write;
use std::time::Duration;
use support::servers::{Database, Kind, PASSWORD, USER};
use support::site::{CONFIG, Site, log, wait_for};

const HOUR: i64 = 3_600_000_000_000;
/// 2024-01-01T00:00:00Z
const DAY: i64 = 1_704_067_200_000_000_000;

/// A sink for a database of a server.
fn server_sink(database: &Database) -> String {
    format!("[sink]\nurl = {:?}\n", database.url(USER, PASSWORD, "metrics"))
}

/// A server that limits the rows of every SELECT: the rows of two writers are right, hours and days.
fn limited(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    database.query("SET GLOBAL sql_select_limit = 3");
    let config = CONFIG.to_string() + &server_sink(&database);
    let site = Site::with(&config);
    let hours = |writer: i64| -> Vec<u8> {
        let line = |h: i64, host: i64| format!("m,host=h{host:03} v=1 {}\n", DAY + h * HOUR + writer);
        (0..48).flat_map(|h| (0..60).map(move |host| line(h, host))).collect::<String>().into_bytes()
    };
    let count = |table: &str, n: i64| {
        let counted = database.try_query(&format!("SELECT CONCAT(COUNT(*), ' ', SUM(n = {n})) FROM metrics.{table}"));
        counted.map_or_else(|e| e, |rows| rows[0][0].clone())
    };
    for (writer, points) in [("a", 1), ("b", 2)] {
        // Its input stays open until all is written: the end of the input leaves it 4 s.
        let mut child = site.start(writer);
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(&hours(points)).expect("it reads");
        wait_for("the hours", Duration::from_secs(60), || count("s_hourly", points) == "2880 2880");
        wait_for("the days", Duration::from_secs(60), || count("s_daily", 24 * points) == "120 120");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        assert!(!log(&output).contains("E!") && !log(&output).contains("W!"), "{}", log(&output));
    }
    // A column is not taken for missing because the list of columns was cut.
    let checked = site.tool("check", "a").output().expect("the program starts");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("table s_hourly: 2880 rows"), "{checked:?}");
    let migrate = Site::with(&(config.clone() + "migrate = \"check\"\n"));
    let output = migrate.run("c", b"m,host=h001 v=1 1704240000000000000\n");
    assert!(!log(&output).contains("is missing in"), "{}", log(&output));
    assert_eq!(database.value("SELECT sum_v FROM metrics.s_hourly WHERE window_start = '2024-01-03'"), "1");
}

#[test]
fn mysql_limits_the_rows_of_a_select() {
    limited(Kind::MySql);
}

#[test]
fn mariadb_limits_the_rows_of_a_select() {
    limited(Kind::MariaDb);
}

/// A statement that is aborted by a conflict is sent again, by whichever number the server says so: TiDB's among them.
#[test]
fn conflicts_are_sent_again() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let Some(database) = Database::start(kind) else { return };
        let site = Site::with(&(CONFIG.to_string() + &server_sink(&database)));
        site.run("state", b"m,host=first v=1 1704240000000000000\n");
        for (at, code) in [8005, 8022, 8028, 9007, 1020, 1213].into_iter().enumerate() {
            database.query(&format!(
                "DELIMITER //\nCREATE TRIGGER metrics.abort{code} BEFORE INSERT ON metrics.s_hourly FOR EACH ROW \
                 BEGIN IF COALESCE(@aborted, 0) < 3 THEN SET @aborted = COALESCE(@aborted, 0) + 1; \
                 SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'a conflict'; END IF; END//\nDELIMITER ;\n"
            ));
            let start = 1_704_240_000_000_000_000 + (at as i64 + 1) * HOUR;
            let output = site.run("state", format!("m,host=first v=1 {start}\n").as_bytes());
            assert!(!log(&output).contains("E!"), "{kind} {code}: {}", log(&output));
            database.query(&format!("DROP TRIGGER metrics.abort{code}"));
            assert_eq!(database.value("SELECT COUNT(*) FROM metrics.s_hourly"), (at + 2).to_string(), "{kind} {code}");
        }
    }
}
