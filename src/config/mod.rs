//! The configuration: as written (TOML, strict) -> as checked (typed, cannot be invalid) -> or a report of all problems.
//!
//! Three steps, one file each: [`read`] walks the document and collects problems, this file builds the checked types,
//! [`report`] shows what is wrong. Deliberately absent: opening files or sockets; the text and the environment are
//! arguments, so that `check`, `run` and the tests judge alike.

pub mod read;
pub mod report;
mod summaries;

use crate::engine::schema::{Lateness, Limits, Schema};
use crate::engine::zone::Zone;
use read::{At, Document, Environment, Table};
use report::Report;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::DeTable;

/// A configuration that has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub state_dir: PathBuf,
    pub sink: SinkConfig,
    pub flush: Flush,
    pub durability: Durability,
    pub retention: Retention,
    pub schema: Arc<Schema>,
    /// Things that are allowed but most likely not what was meant.
    pub warnings: Vec<String>,
}

/// When rows are written, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    pub every: i64,
    /// How often the row of a running day is written.
    pub daily_every: i64,
}

/// What a power loss may take, and what the disk must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The journal is synced this often, in nanoseconds: a power loss takes at most what came since.
    pub sync_every: i64,
    /// Bytes that the journal may hold while no checkpoint is possible.
    pub journal_bytes: u64,
}

/// How long the sink keeps what, in nanoseconds from the start of a window; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub hourly: Option<i64>,
    pub daily: Option<i64>,
    /// Partial aggregates are needed as long as a point may come for their window, and for the day that it is in.
    pub partials: Option<i64>,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub enum SinkConfig {
    Sqlite(PathBuf),
    MySql(Box<MySql>),
}

/// A MySQL or MariaDB server.
#[derive(Clone, Debug)]
pub struct MySql {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub password: Password,
    pub tls: Tls,
    pub ca_file: Option<PathBuf>,
    /// Certificate and key by which the server knows us.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Create and alter tables (`auto`), or only look (`check`).
    pub migrate: bool,
}

/// Encryption of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Encrypted; the server must prove its name.
    VerifyFull,
    Off,
}

/// A password, or where it is. Never shown.
#[derive(Clone)]
pub enum Password {
    None,
    Text(String),
    /// Read at each connection, so that it can be changed without a restart.
    File(PathBuf),
    /// What systemd hands over, if it is there; read at each connection.
    Credential(PathBuf),
}

/// The name of the password among the credentials of systemd (`LoadCredential=mysql.password:/path`).
const CREDENTIAL: &str = "mysql.password";

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::None => f.write_str("none"),
            Password::Text(_) => f.write_str("(hidden)"),
            Password::File(path) | Password::Credential(path) => write!(f, "in {}", path.display()),
        }
    }
}

impl SinkConfig {
    /// What people call the sink: a path, or user, host and database. Never a password.
    pub fn name(&self) -> String {
        match self {
            SinkConfig::Sqlite(path) => format!("SQLite {}", path.display()),
            SinkConfig::MySql(mysql) => {
                format!("MySQL {}@{}:{}/{}", mysql.user, mysql.host, mysql.port, mysql.database)
            }
        }
    }
}

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// The journal must hold what comes between two checkpoints.
const JOURNAL_BYTES_MIN: u64 = 32 << 20;

/// Tables of the contract that this version knows but does not act on.
const LATER: [&str; 4] = ["internal", "alert", "notify", "source"];

impl Config {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Every problem, each with its line, path and remedy.
    pub fn check(text: &str, environment: &Environment<'_>) -> Result<Config, Report> {
        let document = Document::new(text, environment);
        let (parsed, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            document.problem(error.span().map_or(0, |s| s.start), "", error.message().replace('\n', ", "));
        }
        // A document that is not TOML has only those problems: what the rest seems to say is guesswork.
        if let Some(report) = document.report() {
            return Err(report);
        }
        let root = Table::new(&document, String::new(), 0, parsed.get_ref());
        let config = build(&root);
        root.finish();
        match (document.report(), config) {
            (None, Some(config)) => Ok(config),
            (Some(report), _) => Err(report),
            (None, None) => Err(Report(vec![])),
        }
    }
}

fn build(root: &Table<'_, '_>) -> Option<Config> {
    let mut warnings = Vec::new();
    let zone = zone(root);
    let state_dir = root.string("state_dir").map_or_else(default_state_dir, |text| PathBuf::from(text.value));
    for name in LATER {
        if root.has(name) {
            warnings.push(format!("[{name}] is not supported by this version yet: it is ignored"));
        }
    }
    let sink = sink(root, &state_dir);
    let flush = flush(root);
    let lateness = lateness(root);
    let missing_horizon =
        section(root, "missing", |t| t.and_then(|t| t.duration("horizon")).map_or(7 * DAY, |at| at.value));
    let limits = limits(root);
    let durability = durability(root);
    let retention = retention(root, lateness);
    let summaries = summaries::summaries(root, &mut warnings);
    let summaries = summaries?;
    let judges = summaries.iter().any(|summary| !summary.scores.is_empty());
    let schema = Schema { zone: Arc::new(zone?), lateness, missing_horizon, limits, summaries, judges };
    Some(Config { state_dir, sink: sink?, flush, durability, retention, schema: Arc::new(schema), warnings })
}

/// Reads a section that may be missing and reports its unknown keys.
fn section<T>(root: &Table<'_, '_>, name: &'static str, read: impl FnOnce(Option<&Table<'_, '_>>) -> T) -> T {
    let table = root.table(name);
    let value = read(table.as_ref());
    if let Some(table) = table {
        table.finish();
    }
    value
}

/// Where state lives if the configuration does not say.
fn default_state_dir() -> PathBuf {
    if cfg!(windows) {
        let data = std::env::var_os("ProgramData").unwrap_or_else(|| "C:\\ProgramData".into());
        PathBuf::from(data).join("telegraf-rollup")
    } else {
        PathBuf::from("/var/lib/telegraf-rollup")
    }
}

fn zone(root: &Table<'_, '_>) -> Option<Zone> {
    let Some(name) = root.string("timezone") else {
        return (!root.has("timezone")).then(Zone::utc);
    };
    let zone = Zone::named(&name.value);
    if zone.is_none() {
        let message =
            format!("{:?} is not a time zone: write an IANA name, as in \"Europe/Berlin\" or \"UTC\"", name.value);
        root.document.problem_at(&name, message);
    }
    zone
}

fn flush(root: &Table<'_, '_>) -> Flush {
    section(root, "flush", |table| {
        let read = |key, default| {
            let Some(at) = table.and_then(|t| t.duration(key)) else { return default };
            if at.value < SECOND {
                root.document.problem_at(&at, "must be at least \"1s\"");
            }
            at.value
        };
        Flush { every: read("every", MINUTE), daily_every: read("daily_every", 5 * MINUTE) }
    })
}

fn lateness(root: &Table<'_, '_>) -> Lateness {
    section(root, "lateness", |table| {
        let read = |key, default| table.and_then(|t| t.duration(key)).map_or(default, |at| at.value);
        let forever = table.and_then(|t| t.string("max").filter(|text| text.value == "forever")).is_some();
        let lateness = Lateness {
            allowed: read("allowed", 10 * MINUTE),
            max: if forever { i64::MAX } else { read("max", 7 * DAY) },
            future: read("future", 5 * MINUTE),
        };
        if lateness.max < lateness.allowed
            && let Some(table) = table
        {
            let message = "is shorter than `allowed`: a point would be refused while its row is still provisional";
            root.document.problem(table.offset_of("max"), "lateness.max", message);
        }
        lateness
    })
}

fn durability(root: &Table<'_, '_>) -> Durability {
    let sync_every = section(root, "durability", |table| {
        let Some(at) = table.and_then(|t| t.duration("sync_every")) else { return 5 * SECOND };
        if at.value < SECOND / 10 {
            root.document.problem_at(&at, "must be at least \"100ms\"");
        }
        at.value
    });
    // Its unknown keys are reported by `limits`, which reads the same section.
    let bytes = root.table("limits").and_then(|table| table.bytes("journal_bytes"));
    if let Some(at) = &bytes
        && at.value < JOURNAL_BYTES_MIN
    {
        root.document.problem_at(at, "must be at least \"32MiB\": a minute of lines has to fit");
    }
    Durability { sync_every, journal_bytes: bytes.map_or(1 << 30, |at| at.value) }
}

/// Partials are kept for at least this long beyond `lateness.max`: a day of 25 hours, and the hour of the purge ...
const PARTIALS_MARGIN: i64 = 2 * DAY;
/// ... and at least for this long: a writer whose sink has been away must find those of its days.
const PARTIALS_MIN: i64 = 14 * DAY;
/// For as long as this, unless points may come even later.
const PARTIALS_KEPT: i64 = 35 * DAY;

fn retention(root: &Table<'_, '_>, lateness: Lateness) -> Retention {
    section(root, "retention", |table| {
        let read = |key, least: i64, why: &str| {
            let forever = table.and_then(|t| t.string(key).filter(|text| text.value == "forever"));
            let at = table.filter(|t| t.has(key) && forever.is_none()).and_then(|t| t.duration(key))?;
            if at.value < least {
                root.document.problem_at(&at, why.to_string());
            }
            Some(at.value)
        };
        let least = lateness.max.saturating_add(PARTIALS_MARGIN).max(PARTIALS_MIN);
        let is_given = table.is_some_and(|t| t.has("partials"));
        let why = "must be at least lateness.max and two days, and \"14d\" (or \"forever\"): a late point needs the others of its day";
        let partials = read("partials", least, why);
        let default = (lateness.max < i64::MAX).then(|| least.max(PARTIALS_KEPT));
        Retention {
            hourly: read("hourly", 2 * DAY, "must be at least \"2d\", or \"forever\""),
            daily: read("daily", 2 * DAY, "must be at least \"2d\", or \"forever\""),
            partials: if is_given { partials } else { default },
        }
    })
}

fn limits(root: &Table<'_, '_>) -> Limits {
    section(root, "limits", |table| {
        let read = |key, default, least: usize| {
            let Some(at) = table.and_then(|t| t.count(key)) else { return default };
            if at.value < least {
                root.document.problem_at(&at, format!("must be at least {least}"));
            }
            at.value
        };
        // Read with what concerns the journal.
        let _ = table.is_some_and(|t| t.has("journal_bytes"));
        Limits {
            series: read("series", 1_000_000, 1),
            devices: read("devices", 200_000, 1),
            dedupe_points: read("dedupe_points", 65_536, 0),
        }
    })
}

fn sink(root: &Table<'_, '_>, state_dir: &std::path::Path) -> Option<SinkConfig> {
    let document = root.document;
    section(root, "sink", |table| {
        let url = table.and_then(|t| t.string("url"));
        let password_file = table.and_then(|t| t.string("password_file"));
        let tls = table.and_then(|t| t.string("tls"));
        let files = Files {
            ca: table.and_then(|t| t.string("ca_file")),
            certificate: table.and_then(|t| t.string("client_cert")),
            key: table.and_then(|t| t.string("client_key")),
        };
        let migrate = table.and_then(|t| t.string("migrate"));
        let migrate = match migrate.as_ref().map(|m| m.value.as_str()) {
            None | Some("auto") => true,
            Some("check") => false,
            Some(_) => {
                migrate.iter().for_each(|m| document.problem_at(m, "write \"auto\" or \"check\""));
                true
            }
        };
        let is_mysql = url.as_ref().is_some_and(|url| !url.value.starts_with("sqlite://"));
        if let (Some(table), false) = (table, is_mysql) {
            for key in ["password_file", "tls", "ca_file", "client_cert", "client_key", "migrate"]
                .into_iter()
                .filter(|key| table.has(key))
            {
                let message = "is for MySQL: a SQLite file has no use for it; remove it, or set `url`";
                document.problem(table.offset_of(key), &format!("sink.{key}"), message);
            }
        }
        let Some(url) = url else {
            return Some(SinkConfig::Sqlite(state_dir.join("summary.db")));
        };
        if let Some(path) = url.value.strip_prefix("sqlite://") {
            if path.is_empty() {
                document.problem_at(&url, "a path is missing: write, for example, \"sqlite:///var/lib/x/summary.db\"");
                return None;
            }
            // A drive letter comes with a slash before it: sqlite:///C:/data/summary.db
            let drive = path.strip_prefix('/').filter(|p| p.as_bytes().get(1) == Some(&b':'));
            return Some(SinkConfig::Sqlite(PathBuf::from(drive.unwrap_or(path))));
        }
        mysql(document, &url, password_file, tls, files, migrate)
    })
}

/// What encryption may need.
struct Files {
    ca: Option<At<String>>,
    certificate: Option<At<String>>,
    key: Option<At<String>>,
}

fn mysql(
    document: &Document<'_>,
    url: &At<String>,
    password_file: Option<At<String>>,
    tls: Option<At<String>>,
    files: Files,
    migrate: bool,
) -> Option<SinkConfig> {
    const FORM: &str = "write \"mysql://user@host:3306/database\" or \"sqlite:///path/summary.db\"";
    // The parser's own message could quote the url, and with it a password.
    let parsed = url::Url::parse(&url.value).ok().filter(|u| u.scheme() == "mysql" && u.has_host());
    let Some(parsed) = parsed else {
        document.problem_at(url, format!("is not the address of a sink: {FORM}"));
        return None;
    };
    let decode = |text: &str| percent_decode(text);
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
    let user = decode(parsed.username());
    let database = decode(parsed.path().trim_start_matches('/'));
    if user.is_empty() {
        document.problem_at(url, format!("the user is missing: {FORM}"));
    }
    if database.is_empty() || database.contains('/') {
        document.problem_at(url, format!("the database is missing: {FORM}"));
    }
    let password = match (parsed.password(), password_file) {
        (Some(_), Some(file)) => {
            document.problem_at(&file, "the url holds a password too: keep one of them");
            Password::None
        }
        (Some(text), None) => Password::Text(decode(text)),
        (None, Some(file)) => Password::File(PathBuf::from(file.value)),
        (None, None) => match document.variable("CREDENTIALS_DIRECTORY") {
            Some(folder) => Password::Credential(PathBuf::from(folder).join(CREDENTIAL)),
            None => Password::None,
        },
    };
    let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
    let tls = match tls.as_ref().map(|t| t.value.as_str()) {
        None if local => Tls::Off,
        None | Some("verify-full") => Tls::VerifyFull,
        Some("off") => Tls::Off,
        Some(_) => {
            let message = "write \"verify-full\" (encrypted, the server must prove its name) or \"off\"";
            tls.iter().for_each(|t| document.problem_at(t, message));
            Tls::VerifyFull
        }
    };
    for file in [&files.ca, &files.certificate, &files.key].into_iter().flatten().filter(|_| tls == Tls::Off) {
        document.problem_at(file, "has no effect without encryption: write tls = \"verify-full\"");
    }
    if let (Some(file), None) | (None, Some(file)) = (&files.certificate, &files.key) {
        document.problem_at(file, "needs the other one too: `client_cert` and `client_key`");
    }
    Some(SinkConfig::MySql(Box::new(MySql {
        host,
        port: parsed.port().unwrap_or(3306),
        user,
        database,
        password,
        tls,
        ca_file: files.ca.map(|file| PathBuf::from(file.value)),
        client: files.certificate.zip(files.key).map(|(c, k)| (PathBuf::from(c.value), PathBuf::from(k.value))),
        migrate,
    })))
}

/// Decodes `%41` in a part of a url.
fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
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
