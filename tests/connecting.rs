//! What a person is told when the sink cannot be used, on real servers: each cause in one sentence, with what helps; never a
//! password. Statements of a message work to the letter.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::servers::{DATABASE, Database, Kind, PASSWORD, USER};
use support::site::{CONFIG, Site, lines, log};
use telegraf_rollup::config::Config;
use telegraf_rollup::finding::{Finding, Weight};
use telegraf_rollup::sink::probe::probe;

/// What a look at a sink finds. `sink` is what stands below `[sink]`.
fn look(sink: &str) -> Vec<Finding> {
    let text = format!("state_dir = \"/unused\"\ntimezone = \"UTC\"\n{CONFIG}[sink]\n{sink}\n");
    let config = Config::check(&text, &|_| None).unwrap_or_else(|e| panic!("{sink}: {e}"));
    probe(&config.sink, &config.schema)
}

/// Findings as texts, one in a line.
fn shown(findings: &[Finding]) -> String {
    let line = |f: &Finding| {
        format!("{} {}: {}: {}\n", f.weight.name(), f.subject, f.text, f.remedy.as_deref().unwrap_or_default())
    };
    findings.iter().map(line).collect()
}

/// The failures of a sink that cannot be used, as one text.
fn said(sink: &str) -> String {
    let found = look(sink);
    let failures: Vec<Finding> = found.into_iter().filter(|f| f.weight == Weight::Failure).collect();
    assert!(!failures.is_empty(), "{sink}: nothing is wrong");
    let text = shown(&failures);
    for clumsy in ["Input/output", "os error", "Server error", "Driver error", "IO error"] {
        assert!(!text.contains(clumsy), "{text}");
    }
    text
}

/// The statements that a text gives an administrator, with a password in its place.
fn statements(text: &str, password: &str) -> String {
    let (_, rest) =
        text.split_once("as an administrator of the server").unwrap_or_else(|| panic!("no statement: {text}"));
    let (_, sql) = rest.split_once(": ").expect("statements");
    let sql = sql.lines().next().unwrap_or_default();
    assert!(sql.ends_with(';'), "{sql}");
    sql.replace("'PASSWORD'", &format!("'{password}'"))
}

/// The url of a server for a user, without a password.
fn url(database: &Database, user: &str, name: &str) -> String {
    format!("url = \"mysql://{user}@127.0.0.1:{}/{name}\"", database.port())
}

/// The same with a password in a file.
fn with_file(database: &Database, user: &str, name: &str, file: &Path) -> String {
    format!("{}\npassword_file = {file:?}", url(database, user, name))
}

/// A folder with a password file.
struct Secrets(tempfile::TempDir);

impl Secrets {
    fn new() -> Secrets {
        Secrets(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("changed");
        path
    }
}

/// A port of this machine on which nobody listens.
fn free_port(address: &str) -> Option<u16> {
    TcpListener::bind((address, 0)).ok().map(|listener| listener.local_addr().expect("an address").port())
}

#[test]
fn nobody_listens_and_no_such_name() {
    let port = free_port("127.0.0.1").expect("a port");
    let text = said(&format!("url = \"mysql://u:secret-word@127.0.0.1:{port}/d\""));
    assert!(text.contains("failure sink.connection"), "{text}");
    assert!(text.contains(&format!("cannot connect to 127.0.0.1:{port}: nobody listens there")), "{text}");
    assert!(text.contains("start the server") && text.contains("bind-address"), "{text}");
    assert_eq!(text.matches("refused").count(), 1, "{text}");
    assert!(!text.contains("secret-word"), "{text}");
    if let Some(port) = free_port("::1") {
        let text = said(&format!("url = \"mysql://u:pw@[::1]:{port}/d\""));
        assert!(text.contains(&format!("cannot connect to [::1]:{port}: nobody listens there")), "{text}");
    }
    let text = said("url = \"mysql://u:pw@no-such-host.invalid/d\"");
    assert!(text.contains("cannot connect to no-such-host.invalid:3306: the name \"no-such-host.invalid\""), "{text}");
    assert!(text.contains("DNS"), "{text}");
}

/// `run` and `schema --apply` use the same words as `check`.
#[test]
fn every_command_says_the_same() {
    let port = free_port("127.0.0.1").expect("a port");
    let site = Site::with(&format!("{CONFIG}[sink]\nurl = \"mysql://u:pw@127.0.0.1:{port}/d\"\n"));
    let sentence =
        format!("cannot connect to 127.0.0.1:{port}: nobody listens there (connection refused): start the server");
    let ran = log(&site.run("state", &lines(0..9)));
    assert!(ran.contains(&sentence), "{ran}");
    for arguments in [&["check"][..], &["schema", "--apply"]] {
        let output = site.tool(arguments[0], "state").args(&arguments[1..]).output().expect("it starts");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), log(&output));
        assert!(!output.status.success() && text.contains("nobody listens there"), "{text}");
    }
    let status = site.tool("status", "state").output().expect("it starts");
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("nobody listens there"), "{text}");
}

/// Serves every connection of a port of this machine. Returns the port.
fn service(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(client));
        }
    });
    port
}

/// What listens is looked at once, and every attempt says the same of it.
#[test]
fn another_service_is_looked_at_once() {
    let (sender, calls) = std::sync::mpsc::channel();
    let port = service(move |mut client: TcpStream| {
        let _ = sender.send(());
        let _ = client.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
        let _ = client.read(&mut [0; 64]);
    });
    let text = format!("state_dir = \"/unused\"\n{CONFIG}[sink]\nurl = \"mysql://u:pw@127.0.0.1:{port}/d\"\n");
    let config = Config::check(&text, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let mut sink = telegraf_rollup::sink::open::open(&config.sink);
    // The first attempt, with a look, and two more.
    for connections in [2, 1, 1] {
        let error = sink.inspect(&config.schema).expect_err("no server").to_string();
        assert!(error.contains("it speaks SSH") && error.contains("correct host and port"), "{error}");
        let heard = std::iter::from_fn(|| calls.try_recv().ok()).count();
        assert_eq!(heard, connections, "{error}");
    }
}

/// What listens is another service, or says nothing.
#[test]
fn other_services_are_named() {
    let greets = |text: &'static [u8]| {
        move |mut client: TcpStream| {
            let _ = client.write_all(text);
            let _ = client.read(&mut [0; 64]);
        }
    };
    // As the server of PostgreSQL answers the question for encryption, and a web server what is no request.
    let waits = |text: &'static [u8], until: usize| {
        move |mut client: TcpStream| {
            let mut bytes = vec![0; until];
            if client.read_exact(&mut bytes).is_ok() {
                let _ = client.write_all(text);
            }
        }
    };
    let silent = |client: TcpStream| {
        std::thread::sleep(Duration::from_secs(60));
        drop(client);
    };
    let cases = [
        (service(greets(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")), "it speaks SSH"),
        (service(greets(b"\x05\0\0\0\x0b\x08\x05\x1a\0")), "X protocol (port 33060)"),
        (service(greets(b"220 mail.example.org ESMTP\r\n")), "SMTP"),
        (service(waits(b"N", 8)), "it speaks PostgreSQL's protocol"),
        (service(waits(b"HTTP/1.1 400 Bad Request\r\n\r\n", 12)), "it is a web server"),
        (service(silent), "it takes the connection, but says nothing"),
        (service(drop), "has closed the connection before the user was known"),
    ];
    std::thread::scope(|scope| {
        for (port, expected) in cases {
            scope.spawn(move || {
                let text = said(&format!("url = \"mysql://u:pw@127.0.0.1:{port}/d\""));
                assert!(text.contains(expected) && text.contains(&format!("127.0.0.1:{port}")), "{expected}: {text}");
                assert!(text.starts_with("failure sink.connection"), "{text}");
            });
        }
    });
}

/// Nothing comes back at all, as behind a firewall that drops what it does not know: a queue that is full does the same.
#[test]
fn no_answer_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let held: Vec<TcpStream> =
        (0..10_000).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()).collect();
    let text = said(&format!("url = \"mysql://u:pw@{address}/d\""));
    assert!(text.contains(&format!("cannot connect to {address} within 10 s: no answer: a firewall")), "{text}");
    assert!(!held.is_empty());
}

/// What a server says in place of its greeting. Of this machine's own address no server counts failures, so nothing real blocks it.
#[test]
fn a_blocked_host() {
    let error = |code: u16, text: &'static str| {
        service(move |mut client: TcpStream| {
            let mut packet = vec![(text.len() + 3) as u8, 0, 0, 0, 0xff];
            packet.extend(code.to_le_bytes());
            packet.extend(text.as_bytes());
            let _ = client.write_all(&packet);
            let _ = client.read(&mut [0; 64]);
        })
    };
    for (code, text, expected) in [
        (
            1129,
            "Host '192.0.2.9' is blocked because of many connection errors",
            "TRUNCATE TABLE performance_schema.host_cache",
        ),
        (1053, "Server shutdown in progress", "rows wait until it is back"),
        (1040, "Too many connections", "raise max_connections"),
    ] {
        let port = error(code, text);
        let told = said(&format!("url = \"mysql://u:pw@127.0.0.1:{port}/d\""));
        assert!(told.contains("failure sink.connection") && told.contains(text) && told.contains(expected), "{told}");
    }
}

/// A node of a cluster: in step, not in step, and without a part in it.
#[test]
fn clusters() {
    let Some(mut database) = Database::start(Kind::Galera) else { return };
    let sink = format!("url = {:?}", database.default_url());
    let text = shown(&look(&sink));
    assert!(text.contains("fine sink.server: a node of a Galera cluster of 3, in step with it"), "{text}");
    let on_first = |database: &mut Database, sql: &str| {
        database.cluster().expect("a cluster").try_query(1, sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    };
    on_first(&mut database, "SET GLOBAL wsrep_desync = ON");
    let text = shown(&look(&sink));
    assert!(text.contains("warning sink.server: the node of the Galera cluster is not in step with it"), "{text}");
    on_first(&mut database, "SET GLOBAL wsrep_desync = OFF");
    on_first(&mut database, "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
    support::site::wait_for("the node to be alone", Duration::from_secs(60), || {
        let found = look(&sink);
        found.iter().any(|f| f.weight == Weight::Failure && f.subject == "sink.server")
    });
    let text = said(&sink);
    assert!(text.contains("another node"), "{text}");
}

/// Passwords that are wrong, missing or odd: where it came from, and what helps.
fn passwords(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    let file = |name: &str, text: &str| with_file(&database, USER, DATABASE, &secrets.file(name, text));
    let text = said(&url(&database, USER, DATABASE));
    assert!(text.contains("no password was given; set sink.password_file"), "{text}");
    assert!(text.contains("failure sink.account") && text.contains("refused the user \"rollup\""), "{text}");
    let text = said(&file("empty", "\n"));
    assert!(text.contains("no password was given, for sink.password_file ") && text.contains("is empty"), "{text}");
    let text = said(&file("wrong", "wrong-word\n"));
    assert!(text.contains("check the user and the password (from sink.password_file "), "{text}");
    let text = said(&format!("url = {:?}", database.url(USER, "wrong-word", DATABASE)));
    assert!(text.contains("check the user and the password (from sink.url)"), "{text}");
    for (name, odd, hint) in [
        ("blank", format!("{PASSWORD} \n"), "it ends in a blank, which counts"),
        ("lines", format!("{PASSWORD}\nmore\n"), "it has more than one line"),
        ("quotes", format!("\"{PASSWORD}\"\n"), "it stands in quotes, which count"),
    ] {
        let text = said(&file(name, &odd));
        assert!(text.contains(hint), "{name}: {text}");
        assert!(!text.contains(PASSWORD), "{name}: {text}");
    }
    let text = said(&with_file(&database, USER, DATABASE, &secrets.0.path().join("absent")));
    assert!(
        text.contains("failure sink.password: cannot read the password file ")
            && text.contains("(sink.password_file): there is no such file"),
        "{text}"
    );
    let found = look(&file("right", &format!("{PASSWORD}\n")));
    assert!(!shown(&found).contains("sink.account: 127"), "{}", shown(&found));
}

/// A file that the process may not read: who may, and the commands that change it, which then work.
#[test]
fn a_password_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a_password_file_that_may_not_be_read: needs root");
        return;
    }
    const STRANGER: u32 = 34_567;
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("telegraf-rollup");
    support::copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &program);
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    let inner = folder.path().join("it's locked");
    std::fs::create_dir(&inner).expect("a folder");
    let secret = inner.join("mysql.password");
    std::fs::write(&secret, "word\n").expect("writable");
    mode(folder.path(), 0o755);
    mode(&program, 0o755);
    mode(&inner, 0o700);
    mode(&secret, 0o600);
    let port = free_port("127.0.0.1").expect("a port");
    let site =
        Site::with(&format!("{CONFIG}[sink]\nurl = \"mysql://u@127.0.0.1:{port}/d\"\npassword_file = {secret:?}\n"));
    let path = site.configure("state");
    mode(site.folder.path(), 0o755);
    let check = || {
        let mut command = std::process::Command::new(&program);
        command.args(["check", "--config"]).arg(&path).uid(STRANGER).gid(STRANGER).current_dir("/");
        let output = command.output().expect("it starts");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), log(&output))
    };
    let follow = |text: &str| {
        let (_, rest) = text.split_once("run, as root: ").unwrap_or_else(|| panic!("no command: {text}"));
        let command = rest.lines().next().unwrap_or_default();
        let status = std::process::Command::new("sh").args(["-c", command]).status().expect("sh");
        assert!(status.success(), "{command}");
    };
    let text = check();
    assert!(
        text.contains(&format!(
            "cannot read the password file {} (sink.password_file): permission denied",
            secret.display()
        )),
        "{text}"
    );
    assert!(text.contains("belongs to root:root with mode 0700, and this process runs as 34567"), "{text}");
    follow(&text);
    let text = check();
    assert!(text.contains("it belongs to root:root with mode 0600, and this process runs as 34567"), "{text}");
    follow(&text);
    let text = check();
    assert!(text.contains("nobody listens there"), "{text}");
}

/// What a server asks for beside the password.
fn demands(kind: Kind) {
    let Some(mut database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    let secret = secrets.file("password", "demand-pw\n");
    let sink = |user: &str| with_file(&database, user, DATABASE, &secret);
    database.query(
        "CREATE USER 'ssl'@'%' IDENTIFIED BY 'demand-pw' REQUIRE SSL; CREATE USER 'x509'@'%' IDENTIFIED BY 'demand-pw' REQUIRE X509;
         CREATE USER 'locked'@'%' IDENTIFIED BY 'demand-pw' ACCOUNT LOCK;
         CREATE USER 'few'@'%' IDENTIFIED BY 'demand-pw' WITH MAX_USER_CONNECTIONS 1;
         GRANT ALL ON metrics.* TO 'ssl'@'%'; GRANT ALL ON metrics.* TO 'x509'@'%'; GRANT ALL ON metrics.* TO 'locked'@'%';
         GRANT ALL ON metrics.* TO 'few'@'%'",
    );
    let encrypted = |user: &str| format!("{}\ntls = \"verify-full\"\nca_file = {:?}", sink(user), database.ca_pem());
    let text = said(&sink("ssl"));
    assert!(text.contains("asks for encryption (REQUIRE SSL)") && text.contains("sink.ca_file"), "{text}");
    let text = said(&encrypted("x509"));
    assert!(text.contains("asks for a certificate (REQUIRE X509)") && text.contains("sink.client_cert"), "{text}");
    let text = said(&sink("locked"));
    assert!(text.contains("failure sink.account") && text.contains("ACCOUNT UNLOCK"), "{text}");
    if kind == Kind::MySql {
        database.query("CREATE USER 'sha'@'%' IDENTIFIED WITH sha256_password BY 'demand-pw'");
        let text = said(&sink("sha"));
        assert!(text.contains("log in by sha256_password") && text.contains("ALTER USER"), "{text}");
    } else {
        database.query("CREATE USER 'socket'@'%' IDENTIFIED VIA unix_socket");
        let text = said(&sink("socket"));
        assert!(text.contains("failure sink.account"), "{text}");
    }
    database.query("SET GLOBAL require_secure_transport = ON");
    let text = said(&sink("few"));
    assert!(text.contains("encrypt") && text.contains("tls = \"verify-full\""), "{text}");
    database.query("SET GLOBAL require_secure_transport = OFF");
    database.query("CREATE USER 'hosts'@'192.0.2.7' IDENTIFIED BY 'demand-pw'");
    // A server without encryption.
    let without = if kind == Kind::MySql { "--tls-version=" } else { "--skip-ssl" };
    let line = encrypted("few");
    database.restart_with(&[without]);
    let text = said(&line);
    assert!(
        text.contains("offers no encryption") && text.contains("tls = \\\"off\\\"") || text.contains("tls = \"off\""),
        "{text}"
    );
}

/// Limits of connections, and what a server that must not be written to says.
fn limits(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = format!("url = {:?}", database.default_url());
    // One more than this is for an administrator alone.
    database.query("SET GLOBAL max_connections = 10");
    let held: Vec<TcpStream> =
        (0..12).filter_map(|_| TcpStream::connect(("127.0.0.1", database.port())).ok()).collect();
    let text = said(&sink);
    assert!(text.contains("Too many connections") && text.contains("raise max_connections"), "{text}");
    drop(held);
    database.query("SET GLOBAL max_connections = 100; SET GLOBAL read_only = ON");
    let text = said(&sink);
    assert!(text.contains("failure sink.server") && text.contains("read_only"), "{text}");
}

/// No account may come from this machine: the statement makes one that may.
fn hosts(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    database.query("DROP USER 'rollup'@'%'; DROP USER 'tlsonly'@'%'");
    if kind == Kind::MariaDb {
        database.query("DELETE FROM mysql.global_priv WHERE Host IN ('127.0.0.1', '%', 'vm') OR (User = '' AND Host = 'localhost'); FLUSH PRIVILEGES");
    }
    let sink = with_file(&database, "fresh", "fresh", &secrets.file("password", "fresh-pw\n"));
    let text = said(&sink);
    database.query(&statements(&text, "fresh-pw"));
    works(&database, &sink);
}

/// A sink can be used: a look at it finds no failure, and rows arrive.
fn works(database: &Database, sink: &str) {
    let found = look(sink);
    assert!(found.iter().all(|f| f.weight != Weight::Failure), "{}: {}", database.kind(), shown(&found));
    let site = Site::with(&format!("{CONFIG}[sink]\n{sink}\n"));
    let said = log(&site.run("state", &lines(0..50)));
    assert!(!said.contains("E! "), "{}: {said}", database.kind());
}

/// Accounts without rights, of one host only, or not there at all: the statements of the message work to the letter.
fn remedies(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    let secret = secrets.file("password", "u-pw\n");
    database
        .query("CREATE USER 'here'@'127.0.0.1' IDENTIFIED BY 'u-pw'; CREATE USER 'anywhere'@'%' IDENTIFIED BY 'u-pw'");
    database
        .query("CREATE USER 'o''dd-one'@'127.0.0.%' IDENTIFIED BY 'u-pw'; CREATE USER 'sees'@'%' IDENTIFIED BY 'u-pw'");
    database.query("CREATE USER 'local'@'localhost' IDENTIFIED BY 'u-pw'; GRANT ALL ON *.* TO 'sees'@'%'");
    for (user, name, account) in [
        ("here", "here", "'here'@'127.0.0.1'"),
        ("anywhere", "a`b-c", "'anywhere'@'%'"),
        ("o'dd-one", "odd_one", "'o''dd-one'@'127.0.0.%'"),
        // From what MySQL answers to users whom it does not know, their host cannot always be told.
        ("local", "local", "'local'@'"),
        ("nobody", "nobody", "'nobody'@'"),
    ] {
        let name = name.replace('`', "%60");
        let sink = with_file(&database, user, &name, &secret);
        let text = said(&sink);
        assert!(text.contains(account), "{user}: {text}");
        database.query(&statements(&text, "u-pw"));
        works(&database, &sink);
    }
    // One that may do everything, but has no database.
    let sink = with_file(&database, "sees", "missing", &secret);
    let text = said(&sink);
    assert!(text.contains("has no database \"missing\""), "{text}");
    database.query(&statements(&text, ""));
    works(&database, &sink);
}

/// The rights that the tables need, one of them missing at a time: `check` names it with the statement that helps.
fn rights(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    let secret = secrets.file("password", "r-pw\n");
    let all = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER"];
    database.query("CREATE DATABASE fresh; CREATE DATABASE full; CREATE USER 'all'@'%' IDENTIFIED BY 'r-pw'; GRANT ALL ON full.* TO 'all'@'%'");
    works(&database, &with_file(&database, "all", "full", &secret));
    for (number, missing) in all.iter().enumerate() {
        let user = format!("r{number}");
        let held: Vec<_> = all.iter().filter(|right| *right != missing).copied().collect();
        let held = held.join(", ");
        database.query(&format!(
            "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'r-pw'; GRANT {held} ON fresh.* TO '{user}'@'127.0.0.1'; GRANT {held} ON \
             full.* TO '{user}'@'127.0.0.1'"
        ));
        for name in ["fresh", "full"] {
            let sink = with_file(&database, &user, name, &secret);
            let found = look(&sink);
            let about: Vec<_> = found.into_iter().filter(|f| f.subject == "sink.rights").collect();
            let text = shown(&about);
            assert_eq!(about.len(), 1, "{kind} {name} without {missing}: {text}");
            let is_needed = ROWS.contains(missing) || (*missing == "CREATE" && name == "fresh");
            let expected = if is_needed { Weight::Failure } else { Weight::Warning };
            assert_eq!(about[0].weight, expected, "{kind} {name} without {missing}: {text}");
            let grant = format!("GRANT {missing} ON `{name}`.* TO '{user}'@'127.0.0.1';");
            assert!(text.contains(&format!("lacks {missing}")) && text.contains(&grant), "{text}");
            database.query(&statements(&text, ""));
            works(&database, &sink);
        }
        database.query("DROP DATABASE fresh; CREATE DATABASE fresh");
    }
}

const ROWS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// Rights from roles, patterns and tables count; those of a role that is not enabled do not.
fn roles(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    let secret = secrets.file("password", "r-pw\n");
    let default = if kind == Kind::MySql { "SET DEFAULT ROLE ALL TO" } else { "SET DEFAULT ROLE writer FOR" };
    database.query("CREATE DATABASE my_db; CREATE ROLE reader; CREATE ROLE writer; GRANT SELECT ON my_db.* TO reader");
    database.query("GRANT INSERT, UPDATE, DELETE, CREATE, ALTER ON my_db.* TO writer; GRANT reader TO writer");
    database.query("CREATE USER 'member'@'%' IDENTIFIED BY 'r-pw'; GRANT writer TO 'member'@'%'; GRANT SELECT ON my_db.* TO 'member'@'%'");
    let sink = with_file(&database, "member", "my_db", &secret);
    let text = said(&sink);
    assert!(text.contains("lacks INSERT, UPDATE, DELETE (for [retention]), CREATE, ALTER"), "{text}");
    database.query(&format!("{default} 'member'@'%'"));
    works(&database, &sink);
    let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER";
    database.query(&format!(
        "CREATE USER 'pattern'@'%' IDENTIFIED BY 'r-pw'; GRANT {rights} ON `my\\_%`.* TO 'pattern'@'%'"
    ));
    works(&database, &with_file(&database, "pattern", "my_db", &secret));
    database.query("CREATE USER 'tables'@'%' IDENTIFIED BY 'r-pw'");
    for table in ["s_hourly", "s_daily", "s_hourly_partial"] {
        database.query(&format!("GRANT {rights} ON my_db.{table} TO 'tables'@'%'"));
    }
    works(&database, &with_file(&database, "tables", "my_db", &secret));
    database.query(
        "REVOKE UPDATE ON my_db.s_daily FROM 'tables'@'%'; GRANT UPDATE (max_v) ON my_db.s_daily TO 'tables'@'%'",
    );
    let text = said(&with_file(&database, "tables", "my_db", &secret));
    assert!(text.contains("lacks UPDATE on s_daily in the database `my_db`"), "{text}");
    // With migrate = "check", what makes tables is not needed.
    database.query(
        "CREATE USER 'rows'@'%' IDENTIFIED BY 'r-pw'; GRANT SELECT, INSERT, UPDATE, DELETE ON my_db.* TO 'rows'@'%'",
    );
    let rows = with_file(&database, "rows", "my_db", &secret);
    assert!(
        look(&rows).iter().any(|f| f.weight == Weight::Warning && f.text.contains("lacks CREATE, ALTER")),
        "{}",
        shown(&look(&rows))
    );
    works(&database, &format!("{rows}\nmigrate = \"check\""));
    assert!(look(&format!("{rows}\nmigrate = \"check\"")).iter().all(|f| f.weight == Weight::Fine));
    database.query("DROP TABLE my_db.s_daily; ALTER TABLE my_db.s_hourly DROP COLUMN max_v");
    let found = shown(&look(&format!("{rows}\nmigrate = \"check\"")));
    assert!(found.contains("failure sink.tables: the table s_daily is missing"), "{found}");
    assert!(found.contains("warning sink.tables: table s_hourly lacks max_v"), "{found}");
    let text = said(&rows);
    assert!(text.contains("lacks CREATE on s_daily, ALTER on s_hourly in the database `my_db`"), "{text}");
}

/// A look changes nothing, whoever looks.
fn a_look_changes_nothing(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = format!("url = {:?}", database.default_url());
    let tables = || {
        database.query(
            "SELECT table_name, create_time FROM information_schema.tables WHERE table_schema = 'metrics' ORDER BY 1",
        )
    };
    look(&sink);
    assert!(tables().is_empty());
    works(&database, &sink);
    let rows =
        || ["s_hourly", "s_daily", "s_hourly_partial"].map(|t| database.query(&format!("CHECKSUM TABLE metrics.{t}")));
    let before = (tables(), rows());
    let text = shown(&look(&sink));
    assert_eq!((tables(), rows()), before);
    for part in [
        "fine sink.connection: connected to 127.0.0.1:",
        "fine sink.account: the server sees the account 'rollup'@'%'",
        "fine sink.password: the password comes from sink.url",
        "fine sink.rights: the account 'rollup'@'%' has all rights",
        "fine sink.tls: the connection is not encrypted",
        "fine sink.tables: table s_hourly: 4 rows, the newest window starts at",
        &format!("fine sink.server: {kind} "),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// How long certificates are valid: the server's, that of its authority, and our own.
fn validity(kind: Kind) {
    let Some(mut database) = Database::start(kind) else { return };
    let tls = |ca: &Path| format!("url = {:?}\ntls = \"verify-full\"\nca_file = {ca:?}", database.default_url());
    let line = tls(&database.ca_pem());
    let text = shown(&look(&line));
    assert!(text.contains("fine sink.tls: the connection is encrypted by TLSv1."), "{text}");
    assert!(text.contains("fine sink.tls: the server's certificate is valid until "), "{text}");
    assert!(text.contains("fine sink.tls: sink.ca_file: the authority \""), "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let script = "set -e; new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $new -days 20 -subj '/CN=Example CA' -keyout ca.key -out ca.pem
        openssl req $new -subj /CN=server -keyout server.key -out server.csr
        printf '%s\\n' basicConstraints=CA:FALSE subjectAltName=IP:127.0.0.1 >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 10 -extfile server.ext -out server.pem
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 5 -extfile server.ext -out client.pem";
    let made =
        std::process::Command::new("bash").args(["-c", script]).current_dir(folder.path()).output().expect("bash");
    assert!(made.status.success(), "{}", log(&made));
    let file = |name: &str| folder.path().join(name);
    let line = format!(
        "{}\nclient_cert = {:?}\nclient_key = {:?}",
        tls(&file("ca.pem")),
        file("client.pem"),
        file("server.key")
    );
    let option = |name: &str, path: &str| format!("--{name}={}", file(path).display());
    let options = [option("ssl-ca", "ca.pem"), option("ssl-cert", "server.pem"), option("ssl-key", "server.key")];
    database.restart_with(&options.each_ref().map(String::as_str));
    let text = shown(&look(&line));
    for (what, days) in [
        ("the server's certificate", 9),
        ("sink.ca_file: the authority \"Example CA\"", 19),
        ("sink.client_cert: the certificate \"server\"", 4),
    ] {
        let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {text}"));
        // Whoever looks within the second in which it was made finds all of its days left.
        let is_near = [days, days + 1].iter().any(|days| line.contains(&format!(" {days} days from now")));
        assert!(line.starts_with("warning sink.tls") && is_near, "{line}");
    }
}

/// Whatever the password is, no finding and no line of a log holds it.
fn secrets_stay_secret(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let secrets = Secrets::new();
    database.query("CREATE DATABASE s");
    for (number, word) in
        ["s3cret' OR 1", "s3cret\\x", "s3cret: \"q\"", "s3cret ", " s3cret", "s3cret`ü%41", "s3cret;--"]
            .iter()
            .enumerate()
    {
        let user = format!("s{number}");
        let sql = word.replace('\\', "\\\\").replace('\'', "''");
        let file = secrets.file(&user, &format!("{word}\n"));
        let sink = with_file(&database, &user, "s", &file);
        let mut told = shown(&look(&sink));
        database.query(&format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{sql}'"));
        told += &shown(&look(&sink));
        database.query(&format!("GRANT ALL ON s.* TO '{user}'@'%'"));
        works(&database, &sink);
        told += &shown(&look(&sink));
        std::fs::write(&file, format!("{word}x\n")).expect("writable");
        told += &shown(&look(&sink));
        told += &log(&Site::with(&format!("{CONFIG}[sink]\n{sink}\n")).run("state", &lines(0..9)));
        assert!(!told.contains("s3cret") && !told.contains("IDENTIFIED BY PASSWORD '*"), "{told}");
    }
}

/// The statements of the document make an account that works.
fn the_document(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let text = std::fs::read_to_string(support::repository("docs/sink.md")).expect("the document");
    let (_, chapter) = text.split_once("\n## Accounts and rights\n").expect("the chapter");
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let blocks: Vec<&str> = chapter.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 1, "one block for both servers");
    database.query(blocks[0]);
    let secrets = Secrets::new();
    let sink = with_file(&database, "rollup", "metrics_of_pcs", &secrets.file("password", "a long word of your own\n"));
    let sink = sink.replace("rollup@", "telegraf_rollup@");
    works(&database, &sink);
    assert!(look(&sink).iter().all(|f| f.weight == Weight::Fine), "{}", shown(&look(&sink)));
}

/// Shows what a process of another user finds, which a test has started.
#[test]
fn findings_of_another_user() {
    if let Ok(sink) = std::env::var("LOOK_AT") {
        println!("{}", shown(&look(&sink)));
    }
}

/// A SQLite file that another user cannot make or write: the command that helps.
#[test]
fn files_of_sqlite_of_another_user() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: files_of_sqlite_of_another_user: needs root");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    support::copy_program(std::env::current_exe().expect("a path").to_str().expect("UTF-8"), &path("look"));
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    mode(folder.path(), 0o755);
    mode(&path("look"), 0o755);
    let stranger = |sink: &str| {
        let mut command = std::process::Command::new(path("look"));
        command.args(["--exact", "findings_of_another_user", "--nocapture"]).env("LOOK_AT", sink).current_dir("/");
        String::from_utf8_lossy(&command.uid(34_567).gid(34_567).output().expect("it starts").stdout).into_owned()
    };
    let follow = |text: &str| {
        let (_, rest) = text.split_once("run, as root: ").unwrap_or_else(|| panic!("no command: {text}"));
        let command = rest.lines().next().unwrap_or_default();
        let status = std::process::Command::new("sh").args(["-c", command]).status().expect("sh");
        assert!(status.success(), "{command}");
    };
    let sink = format!("url = \"sqlite://{}\"", path("in it/summary.db").display());
    let text = stranger(&sink);
    assert!(text.contains("failure sink.rights: the user 34567 cannot write in the folder"), "{text}");
    follow(&text);
    let text = stranger(&sink);
    assert!(text.contains("fine sink.rights") && text.contains("will be made by run, as the user 34567"), "{text}");
    // Root has made the file.
    let site = Site::with(&format!("{CONFIG}[sink]\n{sink}\n"));
    site.run("state", &lines(0..50));
    mode(&path("in it/summary.db"), 0o644);
    let text = stranger(&sink);
    assert!(text.contains("cannot be written by the user 34567: it belongs to root:root with mode 0644"), "{text}");
    follow(&text);
    let text = stranger(&sink);
    assert!(text.contains("can be written, as the user 34567") && !text.contains("failure"), "{text}");
}

/// A SQLite file: who may write it, what it is, and what its disk is like.
#[test]
fn files_of_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let url = |path: &Path| format!("url = \"sqlite://{}\"", path.display());
    let text = shown(&look(&url(&path("new/deep/summary.db"))));
    assert!(text.contains("fine sink.rights: ") && text.contains("will be made by run"), "{text}");
    assert!(!path("new").exists(), "a look makes nothing");
    let text = said(&url(folder.path()));
    assert!(text.contains("is a folder"), "{text}");
    std::fs::write(path("letter"), "Dear reader, this is no database.\n".repeat(100)).expect("writable");
    let text = said(&url(&path("letter")));
    assert!(text.contains("failure sink.tables") && text.contains("is no SQLite database"), "{text}");
    let text = said(&url(&path("letter/summary.db")));
    assert!(text.contains("is no folder"), "{text}");
    let text = said(&url(Path::new("/proc/nope/summary.db")));
    assert!(text.contains("/proc is no disk"), "{text}");
    let site = Site::with(&format!("{CONFIG}[sink]\n{}\n", url(&path("summary.db"))));
    site.run("state", &lines(0..50));
    let found = look(&url(&path("summary.db")));
    let text = shown(&found);
    assert!(text.contains("can be written") && text.contains("table s_hourly: 4 rows"), "{text}");
    assert!(found.iter().all(|f| f.weight == Weight::Fine), "{text}");
}

/// A test for both servers.
macro_rules! on_both_servers {
    ($($name:ident)*) => {
        $(mod $name {
            use super::support::servers::Kind;

            #[test]
            fn on_mysql() {
                super::$name(Kind::MySql);
            }

            #[test]
            fn on_mariadb() {
                super::$name(Kind::MariaDb);
            }
        })*
    };
}

on_both_servers! {
    passwords
    demands
    limits
    hosts
    remedies
    rights
    roles
    a_look_changes_nothing
    validity
    secrets_stay_secret
    the_document
}
