//! A MySQL or MariaDB server: whether it can be reached, who we are there, and whether rows can be written.

use super::grants::{Comparison, Grants};
use super::rights::{self, SeenTable};
use super::{certificates, tables};
use crate::config::{MySql, Password, Tls};
use crate::engine::schema::Schema;
use crate::finding::{Finding, Weight};
use crate::sink::explain::address;
use crate::sink::mysql::MySqlSink;
use crate::sink::password;
use crate::sink::port::Sink;
use crate::sink::sql::ddl::{self, TableDef};
use crate::sink::sql::dialect::Dialect;
use crate::sink::trouble::SinkTrouble;
use std::collections::BTreeMap;

/// A server that takes less in a packet cannot take the state of every device.
const PACKET_BYTES_MIN: u64 = 256 << 10;

/// Returns what is to be said of a server.
pub fn probe(config: &MySql, schema: &Schema) -> Vec<Finding> {
    let mut out = about_password(config);
    out.extend(certificates::files(config));
    let mut sink = MySqlSink::quiet(config.clone());
    if let Err(trouble) = sink.reach() {
        out.push(failure(trouble));
        return out;
    }
    out.push(Finding::fine("sink.connection", format!("connected to {}", address(config))));
    if let Some(account) = sink.account() {
        out.push(Finding::fine("sink.account", format!("the server sees the account {}", account.quoted())));
    }
    if let Err(trouble) = look(&mut sink, config, schema, &mut out) {
        out.push(failure(trouble));
    }
    sink.disconnect();
    out
}

fn failure(trouble: SinkTrouble) -> Finding {
    Finding {
        weight: Weight::Failure,
        subject: trouble.subject,
        text: trouble.cause,
        remedy: Some(trouble.remedy).filter(|remedy| !remedy.is_empty()),
    }
}

/// Where the password comes from, and what is odd about it. A file that cannot be read is left to the attempt to connect.
fn about_password(config: &MySql) -> Vec<Finding> {
    const SUBJECT: &str = "sink.password";
    let mut out = Vec::new();
    let Ok(secret) = password::read(&config.password) else { return out };
    out.push(match (&secret.text, secret.oddness) {
        (None, _) => Finding::warning(
            SUBJECT,
            "no password is given to the server",
            "set sink.password_file to a file that holds it, unless the account has none",
        ),
        (Some(_), Some(odd)) => Finding::warning(
            SUBJECT,
            format!("the password comes from {}; {odd}", secret.source),
            "write the password alone there, unless that is meant",
        ),
        (Some(_), None) => Finding::fine(SUBJECT, format!("the password comes from {}", secret.source)),
    });
    if let Password::File(path) = &config.password
        && let Some(text) = password::exposed(path)
    {
        let (text, remedy) = text.split_once(": ").unwrap_or((&text, ""));
        out.push(Finding::warning(SUBJECT, text, remedy));
    }
    out
}

/// Looks at everything behind the connection.
fn look(sink: &mut MySqlSink, config: &MySql, schema: &Schema, out: &mut Vec<Finding>) -> Result<(), SinkTrouble> {
    let settings = settings(sink)?;
    let grants = grants(sink)?;
    let is_read_only = about_server(sink, config, &settings, grants.as_ref(), out)?;
    about_encryption(sink, config, out)?;
    let defined: Vec<TableDef> = ddl::tables(sink.dialect(), schema);
    let mut seen = Vec::new();
    for table in &defined {
        let columns = sink.columns(&table.name)?.into_iter().map(|(name, ..)| name).collect();
        seen.push(SeenTable { table, columns });
    }
    let comparison = Comparison {
        is_literal: is_on(&settings, "partial_revokes"),
        ignores_case: settings.get("lower_case_table_names").is_some_and(|value| value != "0"),
    };
    let (findings, can_read) = rights::judge(sink, config, &seen, grants.as_ref(), comparison, is_read_only)?;
    out.extend(findings);
    for seen in seen.iter().filter(|seen| !seen.columns.is_empty() && !seen.missing().is_empty()) {
        let names = seen.missing().join(", ");
        let name = &seen.table.name;
        out.push(match config.migrate {
            true => Finding::fine("sink.tables", format!("table {name}: run will add {names}")),
            false => Finding::warning(
                "sink.tables",
                format!("table {name} lacks {names}, which is left out, for sink.migrate = \"check\""),
                "telegraf-rollup schema --apply adds it",
            ),
        });
    }
    if !config.migrate
        && let Some(absent) = seen.iter().find(|seen| seen.columns.is_empty())
    {
        out.push(Finding::failure(
            "sink.tables",
            format!("the table {} is missing, and sink.migrate = \"check\" makes none", absent.table.name),
            "telegraf-rollup schema --apply makes it, or prints the statement without --apply",
        ));
    } else if can_read {
        out.extend(tables::findings(sink.inspect(schema)));
    }
    Ok(())
}

/// Settings of the server, by their names in lower case; those that it does not have are not among them.
fn settings(sink: &mut MySqlSink) -> Result<BTreeMap<String, String>, SinkTrouble> {
    let names = [
        "version",
        "read_only",
        "super_read_only",
        "innodb_read_only",
        "max_allowed_packet",
        "partial_revokes",
        "lower_case_table_names",
        "wsrep_on",
    ];
    pairs(
        sink,
        "the settings of the server",
        &format!("SHOW VARIABLES WHERE Variable_name IN ('{}')", names.join("','")),
    )
}

fn pairs(sink: &mut MySqlSink, what: &str, sql: &str) -> Result<BTreeMap<String, String>, SinkTrouble> {
    let pair = |row: mysql_async::Row| {
        let text = |i: usize| row.get_opt::<String, _>(i).and_then(Result::ok);
        Some((text(0)?.to_lowercase(), text(1)?))
    };
    Ok(sink.query(what, sql)?.into_iter().filter_map(pair).collect())
}

fn is_on(settings: &BTreeMap<String, String>, name: &str) -> bool {
    settings.get(name).is_some_and(|value| !matches!(value.to_uppercase().as_str(), "OFF" | "0" | ""))
}

/// The grants of the account; `None` if the server does not tell them.
fn grants(sink: &mut MySqlSink) -> Result<Option<Grants>, SinkTrouble> {
    let mut lines = Vec::new();
    // What MariaDB gives to everybody is not among the account's own.
    let questions = match sink.dialect() {
        Dialect::MariaDb => &["SHOW GRANTS", "SHOW GRANTS FOR PUBLIC"][..],
        _ => &["SHOW GRANTS"],
    };
    for (number, sql) in questions.iter().enumerate() {
        // Asked for once more, so that an error of the server is no error here.
        if sink.attempt("the grants of the account", sql)?.is_some() {
            if number == 0 {
                return Ok(None);
            }
            continue;
        }
        let rows = sink.query("the grants of the account", sql)?;
        lines.extend(rows.into_iter().filter_map(|row| row.get_opt::<String, _>(0).and_then(Result::ok)));
    }
    Ok(Some(Grants::parse(lines.iter().map(String::as_str))))
}

/// What is found of the server itself. Returns whether it only reads, for this account.
fn about_server(
    sink: &mut MySqlSink,
    config: &MySql,
    settings: &BTreeMap<String, String>,
    grants: Option<&Grants>,
    out: &mut Vec<Finding>,
) -> Result<bool, SinkTrouble> {
    const SUBJECT: &str = "sink.server";
    let is_maria = sink.dialect() == Dialect::MariaDb;
    let version = settings.get("version").map_or("of an unknown version", String::as_str);
    let name = if is_maria { "MariaDB" } else { "MySQL" };
    let packet = settings.get("max_allowed_packet").and_then(|value| value.parse::<u64>().ok());
    let shown = packet.map_or(String::new(), |bytes| format!(", takes {} KiB in a packet", bytes >> 10));
    out.push(Finding::fine(SUBJECT, format!("{name} {version}{shown}")));
    if packet.is_some_and(|bytes| bytes < PACKET_BYTES_MIN) {
        out.push(Finding::warning(
            SUBJECT,
            "the server takes small packets only: the state of a device with many columns may not fit",
            "set max_allowed_packet to 1 MiB or more on the server",
        ));
    }
    sink.check_collation()?;
    let by_all = is_on(settings, "super_read_only") || is_on(settings, "innodb_read_only");
    let mut is_read_only = by_all || is_on(settings, "read_only");
    if is_read_only {
        let above = if is_maria { ["SUPER", "READ_ONLY ADMIN"] } else { ["SUPER", "CONNECTION_ADMIN"] };
        let is_above = above.iter().any(|right| grants.is_some_and(|grants| grants.has_everywhere(right)));
        let setting =
            ["super_read_only", "innodb_read_only", "read_only"].into_iter().find(|name| is_on(settings, name));
        let text = format!("{} only reads ({} is on)", address(config), setting.unwrap_or("read_only"));
        let remedy = "name the server that takes writes in sink.url; if it is this one, an administrator runs SET GLOBAL read_only = OFF";
        if is_above && !by_all {
            is_read_only = false;
            out.push(Finding::warning(
                SUBJECT,
                format!("{text}, but not for an account with such rights as this one"),
                remedy,
            ));
        } else {
            out.push(Finding::failure(SUBJECT, text, remedy));
        }
    }
    if is_on(settings, "wsrep_on") {
        let node = pairs(
            sink,
            "the state of the cluster",
            "SHOW STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state_comment', 'wsrep_cluster_size')",
        )?;
        let value = |name: &str| node.get(name).map_or("unknown", String::as_str);
        let (state, cluster, size) =
            (value("wsrep_local_state_comment"), value("wsrep_cluster_status"), value("wsrep_cluster_size"));
        if value("wsrep_ready") == "ON" && cluster == "Primary" && state == "Synced" {
            out.push(Finding::fine(SUBJECT, format!("a node of a Galera cluster of {size}, in step with it")));
        } else if value("wsrep_ready") == "ON" && cluster == "Primary" {
            out.push(Finding::warning(
                SUBJECT,
                format!("the node of the Galera cluster is not in step with it ({state})"),
                "wait until it is Synced, or name another node in sink.url",
            ));
        } else {
            out.push(Finding::failure(
                SUBJECT,
                format!("the node has no part in its Galera cluster ({state}, {cluster})"),
                "name another node in sink.url, or bring this one back into the cluster",
            ));
        }
    }
    Ok(is_read_only)
}

/// Whether the connection is encrypted, and how long the server's certificate is valid.
fn about_encryption(sink: &mut MySqlSink, config: &MySql, out: &mut Vec<Finding>) -> Result<(), SinkTrouble> {
    const SUBJECT: &str = "sink.tls";
    if config.tls == Tls::Off {
        out.push(Finding::fine(
            SUBJECT,
            "the connection is not encrypted (tls = \"off\", or a server on this machine)",
        ));
        return Ok(());
    }
    let names = "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher', 'Ssl_server_not_after')";
    let found = pairs(sink, "the state of encryption", names)?;
    let value = |name: &str| found.get(name).map_or("", String::as_str);
    let (version, cipher) = (value("ssl_version"), value("ssl_cipher"));
    let how = if config.tls == Tls::VerifyCa { "of the authority in sink.ca_file" } else { "for its name" };
    out.push(match version {
        // A proxy may end the encryption: the server behind it knows nothing of it.
        "" => Finding::fine(SUBJECT, format!("the connection is encrypted; the certificate is {how}")),
        version => Finding::fine(
            SUBJECT,
            format!("the connection is encrypted by {version} ({cipher}); the certificate is {how}"),
        ),
    });
    out.extend(certificates::of_server(value("ssl_server_not_after")).filter(|_| !version.is_empty()));
    Ok(())
}
