//! What an error of a connection means to the person who has to act on it. One place for `run`, `check`, `schema --apply` and,
//! through the error of a flush, `status`.
//!
//! Causes are told apart by error numbers and [`io::ErrorKind`], never by texts of the system, which are in its language. The
//! text never holds a password.

use super::account::{Account, PLACEHOLDER, make_database};
use super::codes::{self, advice};
use super::password::Secret;
use super::tls;
use super::trouble::SinkTrouble;
use crate::config::{MySql, Tls};
use mysql_async::{DriverError, Error, IoError, ServerError};
use std::io;

/// The server as messages name it: `db.example.org:3306`, `[::1]:3306`, or the path of its socket.
pub fn address(config: &MySql) -> String {
    config.place()
}

/// What is known when an error comes.
pub struct Scene<'a> {
    /// The server.
    pub config: &'a MySql,
    /// The password that was given; `None` once the connection is there.
    pub secret: Option<&'a Secret>,
    /// The account that the server sees; `None` before the connection is there.
    pub account: Option<&'a Account>,
}

impl Scene<'_> {
    /// Says what an error means to the person who has to act on it.
    pub fn explain(&self, error: &Error) -> SinkTrouble {
        let server = address(self.config);
        match error {
            Error::Server(error) => self.refused(&server, error),
            Error::Driver(error) => self.not_understood(&server, error),
            other => match tls::explain(self.config, other) {
                Some(why) => {
                    let (cause, remedy) = why.split_once(": ").unwrap_or((&why, ""));
                    SinkTrouble::lasting(
                        "sink.tls",
                        format!("{server}: no trusted encrypted connection: {cause}"),
                        remedy,
                    )
                }
                None => match other {
                    Error::Io(IoError::Io(error)) => self.network(&server, error),
                    other => SinkTrouble::passing("sink.connection", format!("{server}: {other}"), ""),
                },
            },
        }
    }

    /// True while the connection is being made.
    fn is_connecting(&self) -> bool {
        self.secret.is_some()
    }

    /// An error of the network.
    fn network(&self, server: &str, error: &io::Error) -> SinkTrouble {
        use io::ErrorKind as Kind;
        let host = &self.config.host;
        if !self.is_connecting() {
            return match error.kind() {
                Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
                    SinkTrouble::passing(
                        "sink.connection",
                        format!("the connection to {server} was lost"),
                        "it is made again; if that repeats, the server's error log says why it closes connections",
                    )
                }
                Kind::TimedOut | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                    SinkTrouble::passing(
                        "sink.connection",
                        format!("the connection to {server} was lost, and the server does not answer"),
                        "look at the network between this machine and the server",
                    )
                }
                _ => SinkTrouble::passing("sink.connection", format!("{server}: {error}"), ""),
            };
        }
        let is_socket = self.config.socket.is_some();
        let (cause, remedy) = match error.kind() {
            Kind::NotFound if is_socket => (
                "there is no such socket".to_string(),
                "start the server, or name the socket that it has (SELECT @@socket says which) in sink.url".to_string(),
            ),
            Kind::PermissionDenied if is_socket => (
                "this user may not use the socket (permission denied)".to_string(),
                "let the user that runs Telegraf enter the folder of the socket and write to it".to_string(),
            ),
            Kind::ConnectionRefused if is_socket => (
                "nobody listens on this socket (connection refused)".to_string(),
                "start the server: it makes its socket anew".to_string(),
            ),
            Kind::ConnectionRefused => (
                "nobody listens there (connection refused)".to_string(),
                format!(
                    "start the server, or correct host and port in sink.url; a server that listens elsewhere only has to listen on \
                     {host} too (bind-address)"
                ),
            ),
            Kind::TimedOut => no_answer(),
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => (
                "no route leads there".to_string(),
                "look at the network of this machine, and whether the address is right".to_string(),
            ),
            Kind::AddrNotAvailable | Kind::InvalidInput => (
                "this machine cannot speak to that address".to_string(),
                "correct host and port in sink.url".to_string(),
            ),
            Kind::PermissionDenied => (
                "this machine does not let the program connect (permission denied)".to_string(),
                "look at its firewall, at SELinux or AppArmor, and at the unit of Telegraf (IPAddressDeny=)".to_string(),
            ),
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => (
                "the server has closed the connection before the user was known".to_string(),
                "its error log says why; a server that is just starting or stopping, and a proxy without a server behind it, do so"
                    .to_string(),
            ),
            _ => (error.to_string(), "look at the network of this machine".to_string()),
        };
        SinkTrouble::passing("sink.connection", format!("cannot connect to {server}: {cause}"), remedy)
    }

    /// What the driver cannot go on with.
    fn not_understood(&self, server: &str, error: &DriverError) -> SinkTrouble {
        let user = &self.config.user;
        let method = |name: &str| {
            // MySQL asks users whom it does not know for a method by chance, so that nobody learns who is known.
            let account = Account { user: user.clone(), host: "%".to_string() };
            SinkTrouble::lasting(
                "sink.account",
                format!(
                    "{server} wants the user {user:?} to log in by {name}, which this program does not do, or does not know the user"
                ),
                format!(
                    "give the account another method, ALTER USER ... IDENTIFIED WITH caching_sha2_password BY '{PLACEHOLDER}' (MySQL) \
                     or ALTER USER ... IDENTIFIED VIA mysql_native_password USING PASSWORD('{PLACEHOLDER}') (MariaDB); if there is \
                     none, {}",
                    make(&account, self.config)
                ),
            )
        };
        match error {
            DriverError::NoClientSslFlagFromServer => SinkTrouble::lasting(
                "sink.tls",
                format!("{server} offers no encryption"),
                "set it up there, or write tls = \"off\" if nobody else can read the way",
            ),
            DriverError::UnknownAuthPlugin { name } => method(name),
            DriverError::MysqlOldPasswordDisabled => method("mysql_old_password"),
            DriverError::CleartextPluginDisabled => method("mysql_clear_password (PAM, LDAP)"),
            DriverError::ConnectionClosed => self.network(server, &io::ErrorKind::UnexpectedEof.into()),
            other if self.is_connecting() => SinkTrouble::lasting(
                "sink.connection",
                format!("what {server} answers is not MySQL's protocol ({other})"),
                "correct host and port in sink.url",
            ),
            other => SinkTrouble::passing("sink.connection", format!("{server}: {other}"), ""),
        }
    }

    /// What the server says no to.
    fn refused(&self, server: &str, error: &ServerError) -> SinkTrouble {
        let ServerError { code, message, .. } = error;
        let config = self.config;
        match *code {
            codes::ER_ACCESS_DENIED | codes::ER_ACCESS_DENIED_NO_PASSWORD => self.denied(server, message),
            codes::ER_HOST_NOT_PRIVILEGED => {
                let host = message.split('\'').nth(1).unwrap_or("%").to_string();
                let account = Account { user: config.user.clone(), host };
                SinkTrouble::lasting(
                    "sink.account",
                    format!("{server} admits nobody from this machine ({message})"),
                    make(&account, config),
                )
            }
            codes::ER_DBACCESS_DENIED | codes::ER_TABLEACCESS_DENIED | codes::ER_COLUMNACCESS_DENIED => {
                let remedy = match self.account.cloned().or_else(|| Account::in_message(message)) {
                    Some(account) if account.user.is_empty() => {
                        // The server knows the user under no host, and takes it for the one without a name.
                        make(&Account { user: config.user.clone(), host: account.host }, config)
                    }
                    Some(account) => format!("run, as an administrator of the server: {}", account.rights(config)),
                    None => "give the account its rights (docs/sink.md, \"Accounts and rights\")".to_string(),
                };
                SinkTrouble::lasting("sink.rights", format!("{server}: {message}"), remedy)
            }
            codes::ER_BAD_DB => SinkTrouble::lasting(
                "sink.rights",
                format!("{server} has no database {:?}", config.database),
                format!(
                    "run, as an administrator of the server: {}",
                    make_database(&config.database).replace("IF NOT EXISTS ", "")
                ),
            ),
            codes::ER_SECURE_TRANSPORT_REQUIRED => SinkTrouble::lasting(
                "sink.tls",
                format!("{server} admits encrypted connections only, and this one is not"),
                ENCRYPT,
            ),
            code => {
                let cause = format!("{server}: error {code}: {message}");
                match advice(code, message) {
                    Some(advice) => SinkTrouble::lasting(codes::subject(code), cause, advice),
                    None => {
                        SinkTrouble::passing(codes::subject(code), cause, codes::patience(code).unwrap_or_default())
                    }
                }
            }
        }
    }

    /// The server does not know the user, or the password is another one, or the account asks for more than a password.
    fn denied(&self, server: &str, message: &str) -> SinkTrouble {
        let config = self.config;
        let mut ways = Vec::new();
        let text = self.secret.and_then(|secret| secret.text.as_deref());
        match self.secret {
            Some(Secret { source, .. }) if text == Some("") => ways.push(format!(
                "no password was given, for {source} is empty; write it there"
            )),
            Some(Secret { text: None, source, .. }) if source != "nowhere" => ways.push(format!(
                "no password was given, for there is no {}; set sink.password_file to a file that holds it, or let the unit load the \
                 credential (LoadCredential=)",
                source.trim_start_matches("the ")
            )),
            Some(Secret { text: None, .. }) => {
                ways.push("no password was given; set sink.password_file to a file that holds it".to_string());
            }
            Some(Secret { source, oddness, .. }) => {
                let odd = oddness.map_or(String::new(), |odd| format!("; {odd}"));
                ways.push(format!("check the user and the password (from {source}{odd})"));
            }
            None => ways.push("check the user and the password".to_string()),
        }
        ways.push(match (config.tls, &config.client) {
            (Tls::Off, _) => format!("if the account or the server asks for encryption (REQUIRE SSL), {ENCRYPT}"),
            (_, None) => {
                "if the account asks for a certificate (REQUIRE X509), set sink.client_cert and sink.client_key"
                    .to_string()
            }
            (_, Some(_)) => {
                "if the account asks for a certificate of one issuer or subject, sink.client_cert must be that one"
                    .to_string()
            }
        });
        let host = Account::in_message(message).map_or("%".to_string(), |account| account.host);
        let account = Account { user: config.user.clone(), host };
        ways.push(format!("if the server has no account {}, {}", account.quoted(), make(&account, config)));
        SinkTrouble::lasting(
            "sink.account",
            format!("{server} refused the user {:?} ({message})", config.user),
            ways.join("; "),
        )
    }
}

/// What helps where a connection has to be encrypted.
const ENCRYPT: &str = "write tls = \"verify-full\" or \"verify-ca\", and sink.ca_file, in [sink]";

/// What is said of a server that does not answer at all.
pub fn no_answer() -> (String, String) {
    (
        "no answer".to_string(),
        "a firewall may drop what is sent there, or the host in sink.url is another one than is meant".to_string(),
    )
}

/// The statements for an account that is not there.
fn make(account: &Account, config: &MySql) -> String {
    format!(
        "run, as an administrator of the server, with the password in place of {PLACEHOLDER}: {}",
        account.make(config)
    )
}
