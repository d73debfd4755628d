//! Real servers and programs for integration tests: MySQL, MariaDB, Telegraf, and Wine for the
//! Windows executable.
//!
//! `tests/run` prepares them and names them in environment variables; this module starts what a
//! test asks for and stops what it started. A database is a copy of a prepared data directory in
//! a folder of its own, on a free loopback port, so tests run side by side and none sees another's
//! rows.
//!
//! What is not prepared shows as `None` after a line `SKIPPED: <test>: <what>` on standard error,
//! which `tests/run` counts. With `CI=true` or `ROLLUP_REQUIRE_ALL=1` it is a panic instead.
//!
//! Invariant: nothing outlives the test process. A guard process per database holds the reading
//! end of a pipe; when this process ends in whatever way, the pipe closes and the guard kills the
//! server and removes its folder. A `Database` in a `static` is therefore cleaned up as well.

// Each test binary compiles its own copy of this module and uses a part of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod galera;

/// The database that every server has.
pub const DATABASE: &str = "metrics";
/// May log in with and without TLS.
pub const USER: &str = "rollup";
pub const PASSWORD: &str = "rollup-pw";
/// Is turned away without TLS.
pub const TLS_ONLY_USER: &str = "tlsonly";
pub const TLS_ONLY_PASSWORD: &str = "tlsonly-pw";

/// A start takes about a second; a loaded machine with two cores has needed ten.
const START_MAX: Duration = Duration::from_secs(90);
const STOP_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const START_TRIES_MAX: u32 = 5;

/// Below the range from which Linux takes the ports of outgoing connections, so that the port of
/// a stopped server stays free until it starts again.
const PORT_MIN: u32 = 20_000;
const PORT_COUNT: u32 = 12_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    MySql,
    MariaDb,
    /// Three MariaDB nodes that replicate synchronously; a `Database` of it speaks of the first.
    Galera,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::MySql, Kind::MariaDb, Kind::Galera];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::MySql => "MySQL",
            Kind::MariaDb => "MariaDB",
            Kind::Galera => "Galera",
        })
    }
}

/// A database server of its own for one test.
pub struct Database {
    kind: Kind,
    folder: PathBuf,
    template: PathBuf,
    server: PathBuf,
    client: PathBuf,
    port: u16,
    version: String,
    running: Option<Running>,
    cluster: Option<galera::Cluster>,
    /// More options of the server, from its next start on.
    options: Vec<String>,
}

/// A server process and the guard that ends it if this process cannot.
struct Running {
    server: Child,
    guard: Child,
}

impl Database {
    /// Starts a server with an empty database `metrics` and waits until it answers.
    ///
    /// `None` if this kind of server was not prepared.
    ///
    /// # Panics
    /// If it was prepared and does not start, or if it is missing and everything is required.
    pub fn start(kind: Kind) -> Option<Database> {
        if kind == Kind::Galera {
            let cluster = galera::Cluster::start(3)?;
            return Some(Database {
                kind,
                folder: PathBuf::new(),
                template: prepared("ROLLUP_GALERA_TEMPLATE", "Galera")?,
                server: PathBuf::new(),
                client: PathBuf::new(),
                port: cluster.port(1),
                version: cluster.version().to_string(),
                running: None,
                cluster: Some(cluster),
                options: Vec::new(),
            });
        }
        let (template, server, client) = match kind {
            Kind::Galera => unreachable!("it has been started above"),
            Kind::MySql => {
                let install = prepared("ROLLUP_MYSQL", "MySQL")?;
                let template = prepared("ROLLUP_MYSQL_TEMPLATE", "MySQL")?;
                (template, install.join("bin/mysqld"), install.join("bin/mysql"))
            }
            Kind::MariaDb => {
                let template = prepared("ROLLUP_MARIADB_TEMPLATE", "MariaDB")?;
                (template, program("mariadbd"), program("mariadb"))
            }
        };
        let folder = fresh_folder(if kind == Kind::MySql { "mysql" } else { "mariadb" });
        copy_folder(&template.join("data"), &folder.join("data"));
        // The identity of a MySQL server, which a copy must not share.
        let _ = fs::remove_file(folder.join("data/auto.cnf"));

        let (port, version, options) = (0, String::new(), Vec::new());
        let mut database =
            Database { kind, folder, template, server, client, port, version, running: None, cluster: None, options };
        let mut tries = 1;
        loop {
            database.port = free_port();
            match database.run() {
                Ok(()) => break,
                // Someone else may have taken the port between the check and the server's start.
                Err(log) if tries < START_TRIES_MAX && log.contains("port") => tries += 1,
                Err(log) => panic!("{kind} did not start:\n{log}"),
            }
        }
        database.version = database.value("SELECT VERSION()");
        Some(database)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The nodes, if it is a cluster.
    pub fn cluster(&mut self) -> Option<&mut galera::Cluster> {
        self.cluster.as_mut()
    }

    /// The port on 127.0.0.1. It stays the same over `stop`, `kill9` and `restart`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As the server says it, for example `9.7.1-1` or `10.11.14-MariaDB`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// An address as the configuration takes it. The parts are used as they are, so escape what
    /// an address does not allow.
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The address of `metrics` for the user `rollup`.
    pub fn default_url(&self) -> String {
        self.url(USER, PASSWORD, DATABASE)
    }

    /// The authority that signed the server's certificate, which is valid for `localhost`,
    /// `127.0.0.1` and `::1`.
    pub fn ca_pem(&self) -> PathBuf {
        self.template.join("tls/ca.pem")
    }

    /// An authority that did not sign it: a client that trusts only this one must refuse.
    pub fn other_ca_pem(&self) -> PathBuf {
        self.template.join("tls/other-ca.pem")
    }

    /// The server's own log, for the message of a failed test.
    pub fn log(&self) -> String {
        if let Some(cluster) = &self.cluster {
            return cluster.log(1);
        }
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    /// The id of the server process; `None` while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        if let Some(cluster) = &self.cluster {
            return cluster.pid(1);
        }
        self.running.as_ref().map(|running| running.server.id())
    }

    pub fn is_running(&mut self) -> bool {
        match &mut self.running {
            Some(running) => matches!(running.server.try_wait(), Ok(None)),
            None => false,
        }
    }

    /// Stops the server in good order and waits until it is gone. The data stays for `restart`.
    pub fn stop(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.stop(1);
        }
        if let Some(running) = self.running.take() {
            running.end("TERM");
        }
    }

    /// Kills the server as a crash would. The data stays for `restart`.
    pub fn kill9(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.kill9(1);
        }
        if let Some(running) = self.running.take() {
            running.end("KILL");
        }
    }

    /// Starts the server again on the same port and data, after stopping it if it runs.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            return cluster.restart(1);
        }
        self.stop();
        if let Err(log) = self.run() {
            panic!("{} did not start again:\n{log}", self.kind);
        }
    }

    /// Starts a single server again with more options.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart_with(&mut self, options: &[&str]) {
        self.options = options.iter().map(|option| option.to_string()).collect();
        self.restart();
    }

    /// Stops the server process where it is, so that connections hang instead of failing.
    pub fn freeze(&self) {
        signal(self.pid().expect("the server runs"), "STOP");
    }

    /// Lets a server go on that `freeze` has stopped.
    pub fn thaw(&self) {
        signal(self.pid().expect("the server runs"), "CONT");
    }

    /// Runs one or more statements as the database's administrator in the database `metrics`, and
    /// returns the rows of all of them. NULL is the string `NULL`.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        match self.try_query(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{}: {error}\nin: {sql}", self.kind),
        }
    }

    /// As `query`, with the client's error message if a statement fails.
    pub fn try_query(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        if let Some(cluster) = &self.cluster {
            // Any node answers for all, once it has applied what the others have committed.
            let node = (1..=cluster.nodes()).find(|node| cluster.pid(*node).is_some()).expect("a node runs");
            return cluster.try_query(node, &format!("SET SESSION wsrep_sync_wait=15; {sql}"));
        }
        run_client(&self.client, &self.socket(), sql)
    }

    /// The first column of the first row.
    ///
    /// # Panics
    /// If the statement fails or gives no row.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.query(sql);
        match rows.first().and_then(|row| row.first()) {
            Some(value) => value.clone(),
            None => panic!("{}: no row from: {sql}", self.kind),
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// Starts the server on `self.port`. The error is the server's log.
    fn run(&mut self) -> Result<(), String> {
        let tls = self.template.join("tls");
        let log = self.folder.join("error.log");
        let mut command = Command::new(&self.server);
        command
            // This option must be the first one.
            .arg(option("defaults-file", self.template.join("server.cnf")))
            .arg(option("datadir", self.folder.join("data")))
            .arg(option("tmpdir", &self.folder))
            .arg(option("socket", self.socket()))
            .arg(option("pid-file", self.folder.join("pid")))
            .arg(option("log-error", &log))
            .arg(option("port", self.port.to_string()))
            .arg(option("ssl-ca", tls.join("ca.pem")))
            .arg(option("ssl-cert", tls.join("server.pem")))
            .arg(option("ssl-key", tls.join("server.key")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .args(&self.options);
        if user_is_root() {
            // Both servers refuse to run as root unless told so.
            command.arg("--user=root");
        }
        let mut running = Running::spawn(command, &self.folder);
        let begin = Instant::now();
        loop {
            if let Ok(Some(status)) = running.server.try_wait() {
                dismiss(running.guard);
                return Err(format!("{status}\n{}", self.log()));
            }
            // Only the server that was just started has this socket, so an answer is its own. The
            // port is open before the socket is.
            if self.socket().exists() && self.try_query("SELECT 1").is_ok() {
                self.running = Some(running);
                return Ok(());
            }
            if begin.elapsed() > START_MAX {
                running.end("KILL");
                return Err(format!("no answer in {START_MAX:?}\n{}", self.log()));
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.cluster.is_some() {
            return;
        }
        // The data goes away with it, so there is nothing that a shutdown in good order would save.
        self.kill9();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    fn spawn(mut command: Command, folder: &Path) -> Running {
        let server = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let guard = guard(server.id(), folder);
        Running { server, guard }
    }

    fn end(mut self, name: &str) {
        signal(self.server.id(), name);
        // A frozen server takes note of the signal only when it goes on.
        signal(self.server.id(), "CONT");
        let begin = Instant::now();
        while let Ok(None) = self.server.try_wait() {
            if begin.elapsed() > STOP_MAX {
                let _ = self.server.kill();
                let _ = self.server.wait();
            }
            thread::sleep(POLL);
        }
        // Until here: the guard must not outlive the process id that it would kill.
        dismiss(self.guard);
    }
}

/// The Telegraf agent; `None` if it was not prepared.
pub fn telegraf() -> Option<PathBuf> {
    prepared("ROLLUP_TELEGRAF", "Telegraf")
}

/// Wine and the Windows executable of this project.
pub struct Wine {
    exe: PathBuf,
    prefix: PathBuf,
}

/// `None` if Wine or the executable was not prepared.
pub fn wine() -> Option<Wine> {
    static KEPT: OnceLock<Child> = OnceLock::new();
    let wine = Wine {
        exe: prepared("ROLLUP_WINDOWS_EXE", "Windows executable")?,
        prefix: prepared("ROLLUP_WINEPREFIX", "Wine")?,
    };
    KEPT.get_or_init(|| wine.keep());
    Some(wine)
}

impl Wine {
    /// Starts a program that lives as long as this process does. The first Windows program of a
    /// prefix starts Wine's own services, which inherit its standard error and stay until a while
    /// after the last one: without this, a test would see the end of its pipe two seconds late.
    fn keep(&self) -> Child {
        let mut child = self
            .program("cmd")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("wine starts");
        // Its greeting says that the services are up. The end of its input, when this process
        // ends, makes it leave.
        let mut greeting = [0; 1];
        let output = child.stdout.as_mut().expect("standard output is a pipe");
        output.read_exact(&mut greeting).expect("cmd runs in Wine");
        child
    }

    /// The project's executable with these arguments. Standard input, output and error are bytes,
    /// as on Windows; `Child::kill` ends it as `TerminateProcess` does.
    pub fn command<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.program(&self.exe);
        command.args(args);
        command
    }

    /// Another Windows program, by its path here or by its name for Wine.
    pub fn program(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("wine");
        command
            .arg(name)
            .env("WINEPREFIX", &self.prefix)
            // Wine's own remarks would be mixed with the standard error of the program.
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree=;mshtml=")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        command
    }

    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// The name under which a Windows program sees this absolute path: Wine shows `/` as drive Z.
    pub fn path(&self, path: &Path) -> String {
        assert!(path.is_absolute(), "{} is not absolute", path.display());
        format!("Z:{}", path.display()).replace('/', "\\")
    }
}

/// The path in an environment variable, or `None` after saying that the test skips a part.
fn prepared(variable: &str, what: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(path.exists(), "{variable} names {}, which does not exist", path.display());
        return Some(path);
    }
    let required = |name: &str, value: &str| std::env::var(name).is_ok_and(|is| is == value);
    if required("CI", "true") || required("ROLLUP_REQUIRE_ALL", "1") {
        panic!("{what} is required here, but {variable} is not set; run the tests by tests/run");
    }
    // Past the capture of `eprintln!`, which hides the output of tests that pass.
    let thread = thread::current();
    let test = thread.name().unwrap_or("unnamed");
    let _ = io::stderr().lock().write_all(format!("SKIPPED: {test}: no {what} ({variable} is not set)\n").as_bytes());
    None
}

/// Debian keeps servers where an ordinary user's `PATH` does not look.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; run the tests by tests/run"))
}

fn option(name: &str, value: impl AsRef<OsStr>) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(format!("--{name}="));
    option.push(value);
    option
}

/// A number that no other call in this process gets.
fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Short, because the name of the socket inside may have 107 bytes.
fn fresh_folder(what: &str) -> PathBuf {
    let name = format!("rollup-{what}-{}-{}", std::process::id(), serial());
    let folder = std::env::temp_dir().join(name);
    // Left by a process with the same id that was killed together with its guard.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

/// A port that no one listens on and that no other call in this process gets.
fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(|poison| poison.into_inner());
    let given = given.get_or_insert_default();
    // Test binaries that run at the same time begin at different places.
    #[expect(clippy::disallowed_methods, reason = "a test has no other clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = now.subsec_nanos() ^ std::process::id().wrapping_mul(7919);
    (0..PORT_COUNT)
        .map(|step| PORT_MIN + first.wrapping_add(step) % PORT_COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && given.insert(*port))
        .expect("a free port on 127.0.0.1")
}

/// By the system's `cp`, which copies inside the kernel and shares blocks where the disk can.
fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-R", "--reflink=auto", "--preserve=mode"]).args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} could not be copied to {}", from.display(), to.display());
}

fn user_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Through the shell, whose `kill` is always there: the standard library can only send SIGKILL.
fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name])
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}

/// Starts the guard: it waits for the end of its standard input, which comes when `dismiss` is not
/// called before this process ends.
fn guard(pid: u32, folder: &Path) -> Child {
    // Ctrl-C goes to the guard as well, and is exactly when it is needed.
    let script = "trap '' INT TERM HUP; read -r _; kill -s KILL \"$1\"; sleep 0.2; rm -rf \"$2\"";
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(pid.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts")
}

fn dismiss(mut guard: Child) {
    let _ = guard.kill();
    let _ = guard.wait();
}

/// Runs statements as the administrator in the database `metrics`, and returns the rows of all of
/// them or the client's error message.
fn run_client(client: &Path, socket: &Path, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let mut process = Command::new(client)
        .args(["--no-defaults", "--user=root", "--batch"])
        .args(["--skip-column-names", "--default-character-set=utf8mb4"])
        .arg(option("socket", socket))
        .arg(DATABASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", client.display()))?;
    // The client reads all statements before it prints much, but a long script with long
    // results would fill both pipes: hence a thread for the writing.
    let mut input = process.stdin.take().expect("standard input is a pipe");
    let sql = sql.to_owned();
    let writer = thread::spawn(move || {
        // A client that cannot connect leaves without reading; its message says why.
        let _ = input.write_all(sql.as_bytes());
    });
    let output = process.wait_with_output().map_err(|error| error.to_string())?;
    writer.join().expect("the writer does not panic");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(|line| line.split('\t').map(unescape).collect()).collect())
}

/// Undoes what the client does to keep one row on one line.
fn unescape(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('0') => plain.push('\0'),
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
    }
    plain
}
