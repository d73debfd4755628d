//! The address of a sink: `sink.url`, read and explained.
//!
//! ```text
//! mysql://user:password@host:port/database
//! mysql://user@[2001:db8::1]:3306/database
//! mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock
//! mysql://user@%2Frun%2Fmysqld%2Fmysqld.sock/database
//! sqlite:///var/lib/x/summary.db          sqlite:///C:/data/summary.db
//! ```
//!
//! In the parts of a server's address `%41` stands for one byte; a `%` without two hexadecimal digits stands for itself. A
//! path of SQLite is taken as it is. No message holds what may be a password: what is shown of an address is its scheme,
//! and the parts behind the last `@`.

use std::net::Ipv6Addr;
use std::path::PathBuf;

/// Where rows go, as the url says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Server(ServerAddress),
}

/// A server, as the url says it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Who connects.
    pub user: String,
    /// The password, if it stands in the url.
    pub password: Option<String>,
    /// Name or address of the machine, without brackets.
    pub host: String,
    /// Port on it.
    pub port: u16,
    /// The socket in place of host and port.
    pub socket: Option<PathBuf>,
    /// The database of the tables.
    pub database: String,
    /// What is allowed, but hardly meant.
    pub warning: Option<String>,
}

impl std::fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{} {:?}/{}", self.user, host_and_port(&self.host, self.port), self.socket, self.database)
    }
}

/// The port of MySQL.
const PORT: u16 = 3306;
/// What an address looks like.
const FORM: &str = "write \"mysql://user@host:3306/database\" or \"sqlite:///path/summary.db\"";
/// What helps if a password does not fit into an address.
const ENCODING: &str = "in an address, write / as %2F, ? as %3F, # as %23, @ as %40, : as %3A and % as %25; or write the password \
    alone into a file, and its path as password_file";

/// A machine and a port on it, as people and programs read them: `db.example.org:3306`, `[::1]:3306`.
pub fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Reads an address.
///
/// # Errors
/// What is wrong with it and what to write. The text never holds a password.
pub fn address(text: &str) -> Result<Address, String> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once("://") else { return Err(without_scheme(text)) };
    match scheme.to_ascii_lowercase().as_str() {
        "mysql" => server(rest).map(Address::Server),
        "sqlite" => sqlite(rest).map(Address::Sqlite),
        other => Err(other_scheme(other, rest)),
    }
}

fn sqlite(path: &str) -> Result<PathBuf, String> {
    if path.is_empty() {
        return Err("a path is missing: write, for example, \"sqlite:///var/lib/x/summary.db\"".to_string());
    }
    // A drive letter comes with a slash before it: sqlite:///C:/data/summary.db
    let drive = path.strip_prefix('/').filter(|p| p.as_bytes().get(1) == Some(&b':'));
    let path = drive.unwrap_or(path);
    if is_absolute(path) {
        return Ok(PathBuf::from(path));
    }
    let slashes = path.trim_start_matches(['.', '/', '~']);
    Err(format!(
        "the path is not absolute: write three slashes and the whole path, as in \"sqlite:///var/lib/telegraf-rollup/{slashes}\""
    ))
}

/// True for a path that means the same wherever a process was started, on Linux or on Windows.
pub fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let has_drive =
        bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/');
    has_drive || path.starts_with('/') || path.starts_with("\\\\")
}

/// Reads what stands behind `mysql://`.
fn server(rest: &str) -> Result<ServerAddress, String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // Nothing behind the machine's name holds an @: it belongs to a password that one of these signs has cut.
    if tail.contains('@') && !authority.contains('@') {
        return Err(format!("the user or the password holds a / ? or # as it is: {ENCODING}"));
    }
    let (user_and_password, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match user_and_password.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (user_and_password, None),
    };
    if let Some(sign) = tail.find('#') {
        let hint = if tail[sign..].contains('@') || password.is_none() { FORM } else { ENCODING };
        return Err(format!("nothing begins with # in an address: remove it; {hint}"));
    }
    if tail.contains('@') {
        return Err(format!("an @ stands behind the name of the machine: {ENCODING}"));
    }
    let (path, query) = match tail.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (tail, None),
    };
    let database = percent_decode(path.strip_prefix('/').unwrap_or(path));
    let socket = query.map(parameters).transpose()?.flatten();
    let (host, port, socket) = machine(place, socket, password.is_some())?;
    if user.is_empty() {
        let machine = if socket.is_some() { "localhost".to_string() } else { host_and_port(&host, port) };
        let machine = machine.strip_suffix(":3306").unwrap_or(&machine).to_string();
        return Err(format!("the user is missing: write \"mysql://user@{machine}/{}\"", or(&database, "database")));
    }
    if let Some(first) = database.split('/').next().filter(|_| database.contains('/')) {
        return Err(format!(
            "the database is missing, or more follows it: write one name and no `/` behind it, as in \"mysql://user@host/{}\"",
            or(first, "database")
        ));
    }
    if database.is_empty() {
        let machine = if socket.is_some() { "localhost".to_string() } else { host_and_port(&host, port) };
        return Err(format!("the database is missing: write \"mysql://{}@{machine}/database\"", percent_decode(user)));
    }
    let warning = password.filter(|text| is_decoded_by_chance(text)).map(|_| {
        "a `%` and two digits in the password of the url stand for one letter or digit: if the password itself holds this `%`, \
         write %25 for it, or use password_file"
            .to_string()
    });
    Ok(ServerAddress {
        user: percent_decode(user),
        // One that is empty is none, so that the file or the credential is asked.
        password: password.filter(|text| !text.is_empty()).map(percent_decode),
        host,
        port,
        socket,
        database,
        warning,
    })
}

fn or<'t>(text: &'t str, other: &'t str) -> &'t str {
    if text.is_empty() { other } else { text }
}

/// True if `%41` stands for a character that nobody needs to write so.
fn is_decoded_by_chance(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| {
        let byte = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    })
}

/// Reads the name of the machine and the port, or the socket.
fn machine(place: &str, socket: Option<PathBuf>, has_password: bool) -> Result<(String, u16, Option<PathBuf>), String> {
    let decoded = percent_decode(place);
    let (host, port) = if decoded.starts_with('/') {
        if socket.is_some() {
            return Err("the socket stands there twice: keep one".to_string());
        }
        return Ok(("localhost".to_string(), PORT, Some(PathBuf::from(decoded))));
    } else if let Some(inner) = place.strip_prefix('[') {
        let Some((inner, port)) = inner.split_once(']') else {
            return Err("the ] behind an address in brackets is missing: write, for example, [::1]:3306".to_string());
        };
        let Ok(host) = inner.parse::<Ipv6Addr>() else {
            return Err("what stands in brackets is no IPv6 address: write, for example, [::1]:3306".to_string());
        };
        (host.to_string(), port.strip_prefix(':').or(port.is_empty().then_some("")))
    } else if place.matches(':').count() > 1 {
        return Err(bare_ipv6(place)
            .unwrap_or_else(|| format!("there is more than one : in the name of the machine: {ENCODING}")));
    } else {
        let (host, port) = place.split_once(':').unwrap_or((place, ""));
        (name(host)?, Some(port))
    };
    let port = match port {
        Some("") => PORT,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 => port,
            // A password that a sign has cut may stand here.
            _ if has_password || digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(format!(
                    "the port is no number from 1 to 65535: write, for example, {}",
                    host_and_port(&host, PORT)
                ));
            }
            _ => return Err(format!("the port is no number from 1 to 65535, or the user's name is missing: {FORM}")),
        },
        None => return Err("something stands behind the ]: write, for example, [::1]:3306".to_string()),
    };
    let Some(socket) = socket else {
        if host.is_empty() {
            return Err(format!("the name of the machine is missing: {FORM}"));
        }
        return Ok((host, port, None));
    };
    if !matches!(host.as_str(), "" | "localhost") {
        return Err(format!(
            "a socket is on this machine, not on {host}: write localhost in its place, or remove the socket"
        ));
    }
    Ok(("localhost".to_string(), port, Some(socket)))
}

/// The name of a machine, as it is looked up.
fn name(written: &str) -> Result<String, String> {
    let text = percent_decode(written);
    if text.contains(',') {
        return Err(
            "there is one server in an address: write one name; for several, let a proxy stand before them".to_string()
        );
    }
    if text.is_ascii() {
        let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        return if is_name { Ok(text) } else { Err(format!("holds a sign that no name of a machine has: {FORM}")) };
    }
    match url::Host::parse(&text) {
        Ok(host) => Ok(host.to_string()),
        Err(_) => Err(format!("holds a sign that no name of a machine has: {FORM}")),
    }
}

/// What to write for an IPv6 address without brackets; `None` if it is none.
fn bare_ipv6(place: &str) -> Option<String> {
    let with_port = place.rsplit_once(':').and_then(|(host, port)| {
        let host: Ipv6Addr = host.parse().ok()?;
        port.parse::<u16>().ok().map(|port| host_and_port(&host.to_string(), port))
    });
    let all = place.parse::<Ipv6Addr>().ok().map(|host| host_and_port(&host.to_string(), PORT));
    let written = match (with_port, all) {
        (Some(with), Some(all)) => format!("{all} or {with}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    Some(format!("an IPv6 address stands in brackets: write {written}"))
}

/// Parameters of other programs, in lower case without `-` and `_`, and what does their job here.
const PARAMETERS: [(&[&str], &str); 10] = [
    (
        &[
            "sslmode",
            "ssl",
            "tls",
            "usessl",
            "requiressl",
            "secure",
            "encrypt",
            "verifyservercertificate",
            "tlsversion",
        ],
        "write the key tls below [sink]: tls = \"verify-full\", \"verify-ca\" or \"off\"",
    ),
    (&["sslca", "sslrootcert", "cafile", "ca", "tlsca", "servercertificate"], "write the key ca_file below [sink]"),
    (&["sslcert", "sslclientcert", "clientcert", "tlscert"], "write the key client_cert below [sink]"),
    (&["sslkey", "sslclientkey", "clientkey", "tlskey"], "write the key client_key below [sink]"),
    (
        &["charset", "collation", "characterencoding", "useunicode", "encoding", "characterset"],
        "remove it: texts are always utf8mb4",
    ),
    (
        &["allowpublickeyretrieval", "allownativepasswords", "allowcleartextpasswords", "defaultauth", "authplugin"],
        "remove it: with tls = \"verify-full\" below [sink] the password is safe",
    ),
    (
        &["servertimezone", "timezone", "loc", "parsetime", "tz", "connectiontimezone"],
        "remove it: the session is in UTC; the zone of rows is the key timezone above all sections",
    ),
    (
        &["user", "username", "password", "passwd", "pwd"],
        "write user@ in front of the host, and the key password_file below [sink]",
    ),
    (
        &[
            "timeout",
            "connecttimeout",
            "readtimeout",
            "writetimeout",
            "sockettimeout",
            "autoreconnect",
            "maxallowedpacket",
        ],
        "remove it: there is nothing to set",
    ),
    (&["host", "port", "database", "dbname", "db"], "write it into the address: mysql://user@host:3306/database"),
];

/// Reads the parameters behind `?`, of which there is one: the socket.
fn parameters(query: &str) -> Result<Option<PathBuf>, String> {
    let mut socket = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = name.to_ascii_lowercase().replace(['-', '_', '.'], "");
        if matches!(plain.as_str(), "socket" | "unixsocket") {
            let path = percent_decode(value);
            if !path.starts_with('/') {
                return Err(
                    "the path of the socket is not absolute: write, for example, ?socket=/run/mysqld/mysqld.sock"
                        .to_string(),
                );
            }
            if socket.replace(PathBuf::from(path)).is_some() {
                return Err("the socket stands there twice: keep one".to_string());
            }
            continue;
        }
        let known = PARAMETERS.iter().find(|(names, _)| names.contains(&plain.as_str()));
        let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        return Err(match known {
            Some((_, remedy)) => format!("the parameter `{name}` is not known in an address: {remedy}"),
            None if is_word && name.len() <= 40 => {
                format!(
                    "the parameter `{name}` is not known: remove it; there is only `socket`, as in ?socket=/run/mysqld/mysqld.sock"
                )
            }
            None => format!("what stands behind ? is no parameter: remove it; if it is part of a password, {ENCODING}"),
        });
    }
    Ok(socket)
}

/// Says what to write in place of an address of another kind. `rest` is what stands behind `://`.
fn other_scheme(scheme: &str, rest: &str) -> String {
    let plain = scheme.strip_prefix("jdbc:").or_else(|| scheme.strip_prefix("r2dbc:")).unwrap_or(scheme);
    // What holds another colon may be the beginning of a user and a password.
    let is_word = plain.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) && plain.len() <= 20;
    if !is_word {
        return format!("is not the address of a sink: {FORM}");
    }
    let kind = plain.split('+').next().unwrap_or_default();
    let is_mysql = ["mysql", "mariadb", "mysqlx", "mysql2", "mysqli", "tidb", "aurora", "percona", "galera"];
    if is_mysql.contains(&kind) {
        return format!("{scheme}:// is not known: write {:?}", mysql_form(rest));
    }
    if plain.starts_with("sqlite") || plain == "file" {
        return format!("{scheme}:// is not known: write {:?}", sqlite_form(rest));
    }
    let what = match kind {
        "postgres" | "postgresql" | "psql" | "pgsql" => "PostgreSQL cannot be a sink",
        "http" | "https" | "influxdb" => {
            "a server that speaks http, as InfluxDB, cannot be a sink: Telegraf's own outputs write to it"
        }
        "sqlserver" | "mssql" | "oracle" | "mongodb" | "redis" | "clickhouse" | "cockroachdb" => {
            "this database cannot be a sink"
        }
        _ => "this is no address of a sink",
    };
    format!("{scheme}:// is not the address of a sink, {what}: {FORM}")
}

/// The address of a server from what another program has behind `://`, without a password.
fn mysql_form(rest: &str) -> String {
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let user_in_query = query.split('&').find_map(|pair| pair.strip_prefix("user="));
    let before = rest.split(['?', '#']).next().unwrap_or_default();
    let (user, place) = before.rsplit_once('@').unwrap_or(("", before));
    let user = user.split([':', '/']).next().filter(|user| !user.is_empty()).or(user_in_query).unwrap_or("user");
    let (host, database) = place.split_once('/').unwrap_or((place, ""));
    let (host, database) = (or(host, "host"), or(database, "database"));
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]%".contains(&b));
    // A host with a port that is no number may be a user with a password, whose rest stands elsewhere.
    let port = host.rsplit(']').next().and_then(|rest| rest.rsplit_once(':')).map_or("", |(_, port)| port);
    let is_whole = port.bytes().all(|b| b.is_ascii_digit()) && !query.contains('@') && !rest.contains('#');
    if is_whole && is_plain(user) && is_plain(host) && is_plain(database) {
        format!("mysql://{user}@{host}/{database}")
    } else {
        "mysql://user@host:3306/database".to_string()
    }
}

/// The address of a file from a path as another program has it.
fn sqlite_form(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().replace('\\', "/");
    let path = path.trim_start_matches("./").trim_start_matches("~/");
    let slashes = path.trim_start_matches('/');
    if path.starts_with('/') || is_absolute(path) {
        format!("sqlite:///{slashes}")
    } else {
        format!("sqlite:///var/lib/telegraf-rollup/{}", or(slashes, "summary.db"))
    }
}

/// Says what to write in place of a text without `://`.
fn without_scheme(text: &str) -> String {
    if text.is_empty() {
        return format!("must not be empty: remove it (rows then go to summary.db in state_dir), or {FORM}");
    }
    let lower = text.to_ascii_lowercase();
    // user:password@tcp(host:3306)/database, as programs in Go have it.
    for (kind, is_socket) in [("tcp(", false), ("tcp6(", false), ("unix(", true)] {
        if let Some((before, inner)) = text.split_once(kind)
            && let Some((place, after)) = inner.split_once(')')
            && (before.is_empty() || before.ends_with('@'))
        {
            let user = before.split([':', '@']).next().filter(|user| !user.is_empty()).unwrap_or("user");
            let database = or(after.trim_start_matches('/').split('?').next().unwrap_or_default(), "database");
            let written = match is_socket {
                true => format!("mysql://{user}@localhost/{database}?socket={place}"),
                false => mysql_form(&format!("{user}@{place}/{database}")),
            };
            return format!("is the address of a program in Go: write {written:?}, and password_file for the password");
        }
    }
    for scheme in ["mysql:", "mariadb:", "jdbc:mysql:", "jdbc:mariadb:"] {
        if let Some(rest) = lower.starts_with(scheme).then(|| &text[scheme.len()..]) {
            return format!(
                "two slashes are missing behind the scheme: write {:?}",
                mysql_form(rest.trim_start_matches('/'))
            );
        }
    }
    for scheme in ["sqlite:", "sqlite3:", "file:", "jdbc:sqlite:"] {
        if let Some(rest) = lower.starts_with(scheme).then(|| &text[scheme.len()..]) {
            return format!("is not the address of a sink: write {:?}", sqlite_form(rest));
        }
    }
    let has_ending = [".db", ".sqlite", ".sqlite3", ".db3"].iter().any(|ending| lower.ends_with(ending));
    if is_absolute(text) || (has_ending && !text.contains('@')) {
        return format!("a path alone is no address: write {:?}", sqlite_form(text));
    }
    let is_place = |c: char| c.is_ascii_alphanumeric() || "-._:[]@/".contains(c);
    if text.chars().all(is_place) && text.contains(['@', ':', '/', '.']) || lower == "localhost" {
        return format!("is not the address of a sink, mysql:// is missing: write {:?}", mysql_form(text));
    }
    format!("is not the address of a sink: {FORM}")
}

/// Decodes `%41` in a part of an address.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        // `from_str_radix` takes a sign, too.
        let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> ServerAddress {
        match address(text) {
            Ok(Address::Server(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn servers_are_read() {
        let plain = of("mysql://me:p%40w@db.example.org:3307/metrics");
        assert_eq!((plain.user.as_str(), plain.password.as_deref()), ("me", Some("p@w")));
        assert_eq!((plain.host.as_str(), plain.port, plain.database.as_str()), ("db.example.org", 3307, "metrics"));
        assert_eq!((plain.socket, plain.warning), (None, None));
        for (text, host, port) in [
            ("mysql://me@[::1]:3307/d", "::1", 3307),
            ("mysql://me@[0:0:0:0:0:0:0:1]/d", "::1", 3306),
            ("MySQL://me@db_1/d", "db_1", 3306),
            ("mysql://me@bücher.example/d", "xn--bcher-kva.example", 3306),
            (" mysql://me@10.0.0.1:/d ", "10.0.0.1", 3306),
        ] {
            assert_eq!((of(text).host.as_str(), of(text).port), (host, port), "{text}");
        }
        // The last @ ends the password, and the first colon begins it.
        assert_eq!(of("mysql://me:a@b:c%d@h/d").password.as_deref(), Some("a@b:c%d"));
        assert_eq!(of("mysql://me:%+1@h/d").password.as_deref(), Some("%+1"));
        assert_eq!(of("mysql://me:@h/d").password, None);
        assert!(of("mysql://me:pa%41ss@h/d").warning.is_some_and(|said| said.contains("%25") && !said.contains("41")));
        assert_eq!(host_and_port("::1", 3306), "[::1]:3306");
        assert_eq!(host_and_port("db", 3306), "db:3306");
    }

    #[test]
    fn sockets_are_read() {
        for text in [
            "mysql://me@localhost/d?socket=/run/mysqld/mysqld.sock",
            "mysql://me@/d?socket=/run/mysqld/mysqld.sock",
            "mysql://me@localhost/d?socket=%2Frun%2Fmysqld%2Fmysqld.sock",
            "mysql://me@localhost/d?unix_socket=/run/mysqld/mysqld.sock",
            "mysql://me@%2Frun%2Fmysqld%2Fmysqld.sock/d",
            "mysql://me:pw@%2frun%2fmysqld%2fmysqld.sock/d",
        ] {
            let server = of(text);
            assert_eq!(server.socket, Some(PathBuf::from("/run/mysqld/mysqld.sock")), "{text}");
            assert_eq!((server.host.as_str(), server.database.as_str()), ("localhost", "d"), "{text}");
        }
    }

    #[test]
    fn files_are_read() {
        for (text, path) in [
            ("sqlite:///var/x.db", "/var/x.db"),
            ("SQLite:///var/a b%20c.db", "/var/a b%20c.db"),
            ("sqlite:///C:/data/x.db", "C:/data/x.db"),
            ("sqlite://C:\\data\\x.db", "C:\\data\\x.db"),
        ] {
            assert_eq!(address(text), Ok(Address::Sqlite(PathBuf::from(path))), "{text}");
        }
    }

    #[test]
    fn other_addresses_are_explained() {
        for (text, wanted) in [
            ("", "must not be empty"),
            ("mysql://me:SEC/RET@h/d", "write / as %2F"),
            ("mysql://me:SEC#RET@h/d", "password_file"),
            ("mysql://me:SEC?RET@h/d", "password_file"),
            ("mysql://me:SEC@h/d#RET", "password_file"),
            ("mysql://me:SEC@RE/T@h/d", "an @ stands behind"),
            ("mysql://h/d", "the user is missing: write \"mysql://user@h/d\""),
            ("mysql://me@h", "the database is missing: write \"mysql://me@h:3306/database\""),
            ("mysql://me@h/", "the database is missing"),
            ("mysql://me@h/d/", "\"mysql://user@host/d\""),
            ("mysql://me@/d", "the name of the machine is missing"),
            ("mysql://me@h:0/d", "the port is no number from 1 to 65535"),
            ("mysql://me@h:70000/d", "the port is no number"),
            ("mysql://me:SECRET", "the port is no number"),
            ("mysql://me@::1/d", "write [::1]:3306"),
            ("mysql://me@::1:55049/d", "write [::1]:55049"),
            ("mysql://me@fe80::1:3306/d", "write [fe80::1:3306]:3306 or [fe80::1]:3306"),
            ("mysql://me@[::1/d", "the ] behind"),
            ("mysql://me@[x]/d", "no IPv6 address"),
            ("mysql://me@[::1]3306/d", "behind the ]"),
            ("mysql://me@a,b/d", "one server"),
            ("mysql://me@a b/d", "no name of a machine"),
            (
                "mysql://me@h/d?ssl-mode=REQUIRED",
                "`ssl-mode` is not known in an address: write the key tls below [sink]",
            ),
            ("mysql://me@h/d?charset=utf8mb4", "`charset` is not known in an address: remove it"),
            ("mysql://me@h/d?allowPublicKeyRetrieval=true", "tls = \"verify-full\""),
            ("mysql://me@h/d?sslca=/x", "ca_file"),
            ("mysql://me@h/d?password=SECRET", "password_file"),
            ("mysql://me@h/d?colour=SECRET", "`colour` is not known: remove it"),
            ("mysql://me@h/d?SEC RET", "password_file"),
            ("mysql://me@h/d?socket=x", "not absolute"),
            ("mysql://me@db/d?socket=/x", "not on db"),
            ("mysql://me@%2Fx/d?socket=/x", "twice"),
            ("mariadb://me:SECRET@db:3306/d", "mariadb:// is not known: write \"mysql://me@db:3306/d\""),
            ("jdbc:mysql://db:3306/d?user=me&password=SECRET", "write \"mysql://me@db:3306/d\""),
            ("mysql+pymysql://me:SECRET@db/d", "write \"mysql://me@db/d\""),
            ("postgres://me:SECRET@db/d", "PostgreSQL cannot be a sink"),
            ("http://localhost:8086", "InfluxDB"),
            ("me:SECRET@tcp(db:3306)/d?parseTime=true", "write \"mysql://me@db:3306/d\""),
            ("me:SECRET@unix(/run/x.sock)/d", "write \"mysql://me@localhost/d?socket=/run/x.sock\""),
            ("mysql:me:SECRET@db/d", "write \"mysql://me@db/d\""),
            ("db:3306", "write \"mysql://user@db:3306/database\""),
            ("localhost", "write \"mysql://user@localhost/database\""),
            ("me:SECRET@db:3306/d", "write \"mysql://me@db:3306/d\""),
            ("/var/x.db", "write \"sqlite:///var/x.db\""),
            ("C:\\data\\x.db", "write \"sqlite:///C:/data/x.db\""),
            ("summary.db", "write \"sqlite:///var/lib/telegraf-rollup/summary.db\""),
            ("sqlite:/var/x.db", "write \"sqlite:///var/x.db\""),
            ("sqlite:x.db", "write \"sqlite:///var/lib/telegraf-rollup/x.db\""),
            ("sqlite3:///var/x.db", "write \"sqlite:///var/x.db\""),
            ("file:///var/x.db", "write \"sqlite:///var/x.db\""),
            ("sqlite://x.db", "\"sqlite:///var/lib/telegraf-rollup/x.db\""),
            ("sqlite://", "a path is missing"),
            ("SECRET SECRET://x", "is not the address of a sink"),
            ("!SECRET", "is not the address of a sink"),
        ] {
            let said = address(text).expect_err(text);
            assert!(said.contains(wanted), "{text}: {said}");
            assert!(!said.contains("SEC") && !said.contains("RET"), "{text}: {said}");
        }
    }

    /// However an address is cut, what it says holds no part of the password.
    #[test]
    fn torn_addresses_hide_the_password() {
        let signs = ["", "/", "?", "#", "@", ":", "%", "[", "]", "(", ")", " ", "&", "=", "%2F", "ü", "://"];
        for scheme in ["mysql://", "mariadb://", "jdbc:mysql://", "postgres://", "mysql:", ""] {
            for sign in signs {
                let text = format!("{scheme}me:hun{sign}ter2@db.example.org:3306/metrics");
                if let Err(said) = address(&text) {
                    assert!(!said.contains("hun") && !said.contains("ter2"), "{text}: {said}");
                }
            }
        }
    }
}
