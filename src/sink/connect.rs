//! The way to a server: the options of a connection, and a look at what listens if it is not MySQL.

use super::explain::{Scene, address, no_answer};
use super::password::Secret;
use super::trouble::SinkTrouble;
use crate::config::MySql;
use mysql_async::{Conn, Error, OptsBuilder, SslOpts};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// An attempt to connect takes this long at most.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest packet that the protocol knows; the server's own limit is asked for.
const PACKET_BYTES_MAX: usize = 1 << 30;
/// What listens is given so much time for each of its answers when it is looked at.
const LOOK_TIME_MAX: Duration = Duration::from_secs(1);
/// Bytes of what listens that are looked at.
const LOOK_BYTES: usize = 64;

/// What a session needs, whatever the server's defaults are. `literal` in `sql` relies on it: a backslash is an escape,
/// and no character holds one.
const SESSION: &str = "SET character_set_client=utf8mb4, character_set_connection=utf8mb4, character_set_results=utf8mb4, \
    time_zone='+00:00', sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', sql_select_limit=1000000000";

/// The options of a connection to one of some addresses.
fn options(config: &MySql, secret: &Secret, tls: Option<SslOpts>, addresses: Vec<IpAddr>) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(config.host.clone())
        .resolved_ips(Some(addresses).filter(|addresses| !addresses.is_empty()))
        .tcp_port(config.port)
        .user(Some(config.user.clone()))
        .pass(secret.text.clone())
        .db_name(Some(config.database.clone()))
        .ssl_opts(tls)
        .socket(config.socket.as_ref().map(|path| path.display().to_string()))
        .prefer_socket(Some(false))
        .tcp_keepalive(Some(Duration::from_secs(30)))
        // Otherwise both are asked for.
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .wait_timeout(Some(3600))
        .init(vec![SESSION.to_string()])
}

/// Connects. If what listens there does not speak as a server should, it is looked at, and what was seen (`None`: nothing else than a server) is `known` for
/// the next attempts that end like that: a look costs up to five seconds more, and a server counts it as a failed attempt.
///
/// # Errors
/// There is no connection; the trouble says why.
pub fn connect(
    runtime: &tokio::runtime::Runtime,
    config: &MySql,
    secret: &Secret,
    tls: Option<SslOpts>,
    known: &mut Option<Option<SinkTrouble>>,
) -> Result<Conn, SinkTrouble> {
    let server = address(config);
    let mut addresses: Vec<IpAddr> = Vec::new();
    let work = async {
        if config.socket.is_none() {
            let found = tokio::net::lookup_host((config.host.as_str(), config.port)).await;
            addresses = found.map_err(|_| Failure::Name)?.map(|address| address.ip()).collect();
            if addresses.is_empty() {
                return Err(Failure::Name);
            }
        }
        Conn::new(options(config, secret, tls, addresses.clone())).await.map_err(Failure::Attempt)
    };
    let found = runtime.block_on(async { tokio::time::timeout(CONNECT_TIME_MAX, work).await });
    let scene = Scene { config, secret: Some(secret), account: None };
    let unknown = || {
        SinkTrouble::passing(
            "sink.connection",
            format!("cannot connect to {server}: the name {:?} is not known here", config.host),
            "correct the host in sink.url, or look at DNS and at the hosts file of this machine",
        )
    };
    let error = match found {
        Ok(Ok(connection)) => {
            *known = None;
            return Ok(connection);
        }
        Ok(Err(Failure::Name)) => return Err(unknown()),
        Err(_) if addresses.is_empty() => return Err(unknown()),
        Ok(Err(Failure::Attempt(error))) => Some(error),
        Err(_) => None,
    };
    if let Some(error) = &error
        && !is_odd(error)
    {
        *known = None;
        return Err(scene.explain(error));
    }
    let look = || {
        let said = other_service(&addresses, config.port)?;
        let cause = format!("{server} is no MySQL or MariaDB server: {said}");
        Some(SinkTrouble::lasting(
            "sink.connection",
            cause,
            "correct host and port in sink.url (3306 is the usual port)",
        ))
    };
    if let Some(other) = known.get_or_insert_with(look) {
        return Err(other.clone());
    }
    if let Some(error) = error {
        return Err(scene.explain(&error));
    }
    let (cause, remedy) = match dial(&addresses, config.port) {
        Some(_) => (
            "it takes the connection, but says nothing".to_string(),
            "the server hangs, or it is another service: MySQL and MariaDB speak first".to_string(),
        ),
        None => no_answer(),
    };
    let limit = CONNECT_TIME_MAX.as_secs();
    Err(SinkTrouble::passing(
        "sink.connection",
        format!("cannot connect to {server} within {limit} s: {cause}"),
        remedy,
    ))
}

/// Why there is no connection.
enum Failure {
    /// The name leads nowhere.
    Name,
    Attempt(Error),
}

/// True for an error that something else than a server may have caused.
fn is_odd(error: &Error) -> bool {
    match error {
        Error::Server(_) => false,
        Error::Driver(error) => !matches!(
            error,
            mysql_async::DriverError::UnknownAuthPlugin { .. }
                | mysql_async::DriverError::MysqlOldPasswordDisabled
                | mysql_async::DriverError::CleartextPluginDisabled
                | mysql_async::DriverError::NoClientSslFlagFromServer
        ),
        Error::Io(mysql_async::IoError::Io(error)) => {
            matches!(
                error.kind(),
                io::ErrorKind::Other
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
            ) && error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>())
        }
        Error::Io(_) => false,
        Error::Other(_) | Error::Url(_) => true,
    }
}

/// Connects to the first of some addresses that takes it.
fn dial(addresses: &[IpAddr], port: u16) -> Option<TcpStream> {
    let stream = addresses
        .iter()
        .find_map(|address| TcpStream::connect_timeout(&SocketAddr::new(*address, port), LOOK_TIME_MAX).ok())?;
    stream.set_read_timeout(Some(LOOK_TIME_MAX)).ok()?;
    stream.set_write_timeout(Some(LOOK_TIME_MAX)).ok()?;
    Some(stream)
}

/// Says what listens, if it is something else than MySQL.
fn other_service(addresses: &[IpAddr], port: u16) -> Option<String> {
    let mut stream = dial(addresses, port)?;
    let mut bytes = [0; LOOK_BYTES];
    let mut hear = |stream: &mut TcpStream| stream.read(&mut bytes).ok().map(|length| bytes[..length].to_vec());
    if let Some(said) = hear(&mut stream) {
        return by_greeting(&said);
    }
    // PostgreSQL waits for the client: this asks it whether it encrypts, and it answers with one letter.
    stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).ok()?;
    if let Some(said) = hear(&mut stream) {
        return match said.as_slice() {
            b"S" | b"N" => Some("it speaks PostgreSQL's protocol".to_string()),
            said => by_greeting(said),
        };
    }
    // So do web servers, which have a word for what is no request.
    stream.write_all(b"\r\n\r\n").ok()?;
    by_greeting(&hear(&mut stream)?)
}

/// Says what a service is by its first words; `None` if it may be MySQL, or has said nothing.
fn by_greeting(said: &[u8]) -> Option<String> {
    let name = match said {
        [] => return None,
        // The greeting of MySQL, and an error in place of it.
        [_, _, _, 0, 10 | 0xff, ..] => return None,
        [_, _, 0, 0, 0x0b, ..] => {
            return Some("it speaks MySQL's X protocol (port 33060), not the classic one".to_string());
        }
        said if said.starts_with(b"SSH-") => "SSH",
        said if said.starts_with(b"HTTP/") || said.starts_with(b"<") => "HTTP: it is a web server",
        said if said.starts_with(b"220") => "FTP's or SMTP's protocol",
        [0x15, 3, ..] => "TLS from the first byte on: it is a web server or a proxy",
        said if said.starts_with(b"-ERR") || said.starts_with(b"-DENIED") => "Redis' protocol",
        _ => {
            let shown: String =
                said.iter().take(20).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
            return Some(format!("it begins with \"{shown}\""));
        }
    };
    Some(format!("it speaks {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_their_first_words() {
        for (said, expected) in [
            (&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], Some("SSH")),
            (b"HTTP/1.1 400 Bad Request\r\n", Some("web server")),
            (b"220 mail.example.org ESMTP", Some("SMTP")),
            (b"\x05\0\0\0\x0b\x08\x05\x1a\0", Some("X protocol")),
            (b"\x15\x03\x01\0\x02\x02\x16", Some("TLS")),
            (b"hello \x01", Some("it begins with \"hello \\x01\"")),
            (b"J\0\0\0\x0a9.7.1", None),
            (b"E\0\0\0\xff\x6a\x04Host", None),
            (b"", None),
        ] {
            let found = by_greeting(said);
            assert_eq!(found.is_some(), expected.is_some(), "{said:?}: {found:?}");
            assert!(expected.is_none_or(|part| found.as_ref().is_some_and(|found| found.contains(part))), "{found:?}");
        }
    }
}
