//! A MySQL or MariaDB server as a sink: its address, the password, and encryption.

use super::address::{ServerAddress, host_and_port};
use super::read::{At, Document};
use std::fmt;
use std::path::PathBuf;

/// A MySQL or MariaDB server.
#[derive(Clone, Debug)]
pub struct MySql {
    /// Name or address of its machine.
    pub host: String,
    /// Port that it listens on.
    pub port: u16,
    /// The socket on this machine that is used in place of host and port.
    pub socket: Option<PathBuf>,
    /// Who connects.
    pub user: String,
    /// The database of the tables.
    pub database: String,
    /// By which the user is known.
    pub password: Password,
    /// Encryption of the connection.
    pub tls: Tls,
    /// Certificate of the authority that signed the server's; `None`: the public ones.
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
    /// Encrypted; the server must have a certificate of the authority in `ca_file`, for whatever name.
    VerifyCa,
    /// Not encrypted.
    Off,
}

/// A password, or where it is. Never shown.
#[derive(Clone)]
pub enum Password {
    /// There is none.
    None,
    /// Stands in the url.
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

/// What encryption may need, as written.
pub struct TlsFiles {
    /// `ca_file`
    pub ca: Option<At<PathBuf>>,
    /// `client_cert`
    pub certificate: Option<At<PathBuf>>,
    /// `client_key`
    pub key: Option<At<PathBuf>>,
}

/// The keys beside the url, as written.
pub struct MySqlKeys {
    /// `password_file`
    pub password_file: Option<At<PathBuf>>,
    /// `tls`
    pub tls: Option<At<String>>,
    /// The files of encryption.
    pub files: TlsFiles,
    /// `migrate`
    pub migrate: bool,
}

impl MySql {
    /// Returns where the server is, as people read it: `db.example.org:3306`, `[::1]:3306`, or the path of its socket.
    pub fn place(&self) -> String {
        match &self.socket {
            Some(socket) => socket.display().to_string(),
            None => host_and_port(&self.host, self.port),
        }
    }
}

/// Builds the server of a url; what is wrong is reported.
pub fn mysql(document: &Document<'_>, url: &At<String>, server: ServerAddress, keys: MySqlKeys) -> MySql {
    let ServerAddress { user, password, host, port, socket, database, warning } = server;
    warning.iter().for_each(|warning| document.warning_at(url, warning));
    if socket.is_some() && cfg!(windows) {
        document.problem_at(url, "there are no unix sockets on Windows: write mysql://user@localhost:3306/database");
    }
    let password = match (password, keys.password_file) {
        (Some(_), Some(file)) => {
            document.problem_at(&file, "the url holds a password too: keep one of them");
            Password::None
        }
        (Some(text), None) => Password::Text(text),
        (None, Some(file)) => Password::File(file.value),
        (None, None) => match document.variable("CREDENTIALS_DIRECTORY") {
            Some(folder) => Password::Credential(PathBuf::from(folder).join(CREDENTIAL)),
            None => Password::None,
        },
    };
    let files = keys.files;
    let tls = match &keys.tls {
        None if socket.is_some() || matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") => Tls::Off,
        None => Tls::VerifyFull,
        Some(written) => tls(document, written, &files, socket.is_some()),
    };
    for file in [&files.ca, &files.certificate, &files.key].into_iter().flatten().filter(|_| tls == Tls::Off) {
        let message = match socket {
            Some(_) => "has no effect on a socket of this machine, which needs no encryption: remove it",
            None => "has no effect without encryption: write tls = \"verify-full\" or \"verify-ca\"",
        };
        document.problem_at(file, message);
    }
    if let (Some(file), None) | (None, Some(file)) = (&files.certificate, &files.key) {
        document.problem_at(file, "needs the other one too: write both `client_cert` and `client_key`");
    }
    MySql {
        host,
        port,
        socket,
        user,
        database,
        password,
        tls,
        ca_file: files.ca.map(|file| file.value),
        client: files.certificate.zip(files.key).map(|(c, k)| (c.value, k.value)),
        migrate: keys.migrate,
    }
}

/// Reads `tls` as it is written.
fn tls(document: &Document<'_>, written: &At<String>, files: &TlsFiles, has_socket: bool) -> Tls {
    let tls = match written.value.as_str() {
        "verify-full" => Tls::VerifyFull,
        "verify-ca" => Tls::VerifyCa,
        "off" => return Tls::Off,
        _ => {
            let message = format!(
                "{:?} is no kind of encryption: write \"verify-full\" (encrypted, the server must prove its name), \"verify-ca\" \
                 (it must have a certificate of `ca_file`, for any name) or \"off\"",
                written.value
            );
            document.problem_at(written, message);
            return Tls::VerifyFull;
        }
    };
    if has_socket {
        document
            .problem_at(written, "a socket of this machine needs no encryption: remove `tls`, or write tls = \"off\"");
        return Tls::Off;
    }
    if let (Tls::VerifyCa, None) = (tls, &files.ca) {
        let message = "needs `ca_file`: without it, everybody to whom a public authority has given a certificate were trusted; write \
                       ca_file = \"/etc/telegraf-rollup/ca.pem\"";
        document.problem_at(written, message);
    }
    tls
}
