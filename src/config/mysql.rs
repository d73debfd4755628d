//! A MySQL or MariaDB server as a sink: its address, the password, and encryption.

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
    pub ca: Option<At<String>>,
    /// `client_cert`
    pub certificate: Option<At<String>>,
    /// `client_key`
    pub key: Option<At<String>>,
}

/// Builds the server of a url that is not one of SQLite.
pub fn mysql(
    document: &Document<'_>,
    url: &At<String>,
    password_file: Option<At<String>>,
    tls: Option<At<String>>,
    files: TlsFiles,
    migrate: bool,
) -> Option<MySql> {
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
    let written = tls;
    let tls = match written.as_ref().map(|t| t.value.as_str()) {
        None if local => Tls::Off,
        None | Some("verify-full") => Tls::VerifyFull,
        Some("verify-ca") => Tls::VerifyCa,
        Some("off") => Tls::Off,
        Some(_) => {
            let message = "write \"verify-full\" (encrypted, the server must prove its name), \"verify-ca\" (it must have a \
                           certificate of `ca_file`, for any name) or \"off\"";
            written.iter().for_each(|t| document.problem_at(t, message));
            Tls::VerifyFull
        }
    };
    if let (Tls::VerifyCa, Some(written), None) = (tls, &written, &files.ca) {
        let message =
            "needs `ca_file`: without it, everybody to whom a public authority has given a certificate were trusted";
        document.problem_at(written, message);
    }
    for file in [&files.ca, &files.certificate, &files.key].into_iter().flatten().filter(|_| tls == Tls::Off) {
        document.problem_at(file, "has no effect without encryption: write tls = \"verify-full\" or \"verify-ca\"");
    }
    if let (Some(file), None) | (None, Some(file)) = (&files.certificate, &files.key) {
        document.problem_at(file, "needs the other one too: `client_cert` and `client_key`");
    }
    Some(MySql {
        host,
        port: parsed.port().unwrap_or(3306),
        user,
        database,
        password,
        tls,
        ca_file: files.ca.map(|file| PathBuf::from(file.value)),
        client: files.certificate.zip(files.key).map(|(c, k)| (PathBuf::from(c.value), PathBuf::from(k.value))),
        migrate,
    })
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
