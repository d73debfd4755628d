//! Encryption of the connection to a server: whom we trust, and what helps if the server is not trusted.
//!
//! | `tls` | what the server must show |
//! |---|---|
//! | verify-full | a certificate of a trusted authority, valid now, for the name or address in `sink.url` |
//! | verify-ca | the same, for any name: as the servers' own certificates are, which name nobody |
//!
//! Trusted are the authorities in `sink.ca_file` and no others; without it the public ones that the program was built with. The
//! system's store is not read: it can be named as `ca_file`.
//!
//! The TLS library takes certificates of X.509 version 3 only, and looks for names in subjectAltName alone. What it says is
//! turned into what a person can do; the text never advises what is already there, and never a connection that anybody can
//! read.

use super::port::SinkError;
use super::sql::times;
use crate::config::{MySql, Tls};
use crate::text;
use mysql_async::{ClientIdentity, Error, IoError, SslOpts, TlsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{CertificateError, RootCertStore};
use std::path::Path;

/// The name that is asked for when any will do. No certificate has it.
///
/// The driver leaves out the check of the name by looking for this word in the text of the error, where the library's text of
/// a wrong name has only the name itself. The name is looked at last, when authority, dates and purpose are found to be
/// right, and the text of no other error has it. A driver that looks at the kind of the error does not mind.
const ANY_NAME: &str = "NotValidForName";

/// Where it is said how certificates are made.
const MANUAL: &str = "docs/sink.md, \"Certificates\"";

/// What the driver needs for an encrypted connection; `None` if it is not to be encrypted.
///
/// # Errors
/// A file cannot be read, or does not hold what it should.
pub fn options(config: &MySql) -> Result<Option<SslOpts>, SinkError> {
    if config.tls == Tls::Off {
        return Ok(None);
    }
    let mut options = SslOpts::default();
    if let Some(path) = &config.ca_file {
        let authorities = authorities(path)?.into_iter().map(|certificate| certificate.to_vec().into());
        options = options.with_disable_built_in_roots(true).with_root_certs(authorities.collect());
    }
    if config.tls == Tls::VerifyCa {
        options = options.with_danger_skip_domain_validation(true).with_danger_tls_hostname_override(Some(ANY_NAME));
    }
    if let Some((certificate, key)) = &config.client {
        let certificate = client_certificate(certificate)?;
        options = options.with_client_identity(Some(ClientIdentity::new(certificate.into(), client_key(key)?.into())));
    }
    Ok(Some(options))
}

/// Reads a file of certificates or keys, whatever was put in front of it.
fn read(key: &str, path: &Path) -> Result<Vec<u8>, SinkError> {
    let fail = |why: String| SinkError::Setup(format!("cannot read {key} {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
    match text::utf16(&bytes) {
        Some(foreign) => Err(fail(foreign.to_string())),
        None => Ok(text::without_mark(&bytes).to_vec()),
    }
}

/// True if bytes are no text: DER, the binary form of certificates and keys.
fn is_der(bytes: &[u8]) -> bool {
    // A sequence of more than 127 bytes.
    matches!(bytes, [0x30, 0x81 | 0x82, ..])
}

/// Says what a file holds in place of what it should.
fn unfit(key: &str, path: &Path, wanted: &str, bytes: &[u8]) -> SinkError {
    let holds = |label: &str| memchr::memmem::find(bytes, label.as_bytes()).is_some();
    let found = if holds("ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        "holds a private key that is encrypted: decrypt it by `openssl pkey -in OLD -out NEW`"
    } else if holds("PRIVATE KEY-----") {
        "holds a private key"
    } else if holds("BEGIN CERTIFICATE REQUEST") || holds("BEGIN NEW CERTIFICATE REQUEST") {
        "holds a request for a certificate that nobody has signed yet"
    } else if holds("BEGIN CERTIFICATE") || holds("BEGIN TRUSTED CERTIFICATE") || holds("BEGIN X509 CERTIFICATE") {
        "holds certificates, but none that can be read"
    } else if bytes.iter().all(u8::is_ascii_whitespace) {
        "is empty"
    } else {
        "holds neither a certificate nor a key in PEM"
    };
    SinkError::Setup(format!("{key} {} {found}: name the file with {wanted}", path.display()))
}

/// The certificates of a file that can be trusted.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, SinkError> {
    const KEY: &str = "sink.ca_file";
    let bytes = read(KEY, path)?;
    let certificates: Vec<_> = match is_der(&bytes) {
        true => vec![CertificateDer::from(bytes.clone())],
        false => CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok).collect(),
    };
    // One of many that is out of the ordinary does not keep the others from being used.
    let is_usable = |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let usable: Vec<_> = certificates.into_iter().filter(is_usable).collect();
    match usable.is_empty() {
        true => Err(unfit(KEY, path, "the certificate of the authority (-----BEGIN CERTIFICATE-----)", &bytes)),
        false => Ok(usable),
    }
}

/// The certificates of a file, whether they can be trusted or not; none if it cannot be read.
pub fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    let bytes = text::without_mark(&bytes);
    match is_der(bytes) {
        true => vec![CertificateDer::from(bytes.to_vec())],
        false => CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).collect(),
    }
}

fn client_certificate(path: &Path) -> Result<Vec<u8>, SinkError> {
    const KEY: &str = "sink.client_cert";
    let bytes = read(KEY, path)?;
    if is_der(&bytes) || CertificateDer::pem_slice_iter(&bytes).any(|certificate| certificate.is_ok()) {
        return Ok(as_text(bytes));
    }
    Err(unfit(KEY, path, "the certificate by which the server knows us (-----BEGIN CERTIFICATE-----)", &bytes))
}

fn client_key(path: &Path) -> Result<Vec<u8>, SinkError> {
    const KEY: &str = "sink.client_key";
    let bytes = read(KEY, path)?;
    if is_der(&bytes) || PrivateKeyDer::from_pem_slice(&bytes).is_ok() {
        return Ok(as_text(bytes));
    }
    Err(unfit(KEY, path, "the key of sink.client_cert (-----BEGIN PRIVATE KEY-----)", &bytes))
}

/// The driver takes for DER what is not UTF-8, as a remark of a PEM file may be.
fn as_text(bytes: Vec<u8>) -> Vec<u8> {
    if is_der(&bytes) { bytes } else { String::from_utf8_lossy(&bytes).into_owned().into_bytes() }
}

/// Says why there is no encrypted connection, and what helps; `None` if the error is about something else, or may pass.
pub fn explain(config: &MySql, error: &Error) -> Option<String> {
    let error = match error {
        Error::Io(IoError::Tls(TlsError::Tls(error))) => error,
        Error::Io(IoError::Tls(TlsError::InvalidDnsName(_))) => {
            return Some(format!(
                "{:?} is no name that a certificate can have: write the server's name in sink.url",
                config.host
            ));
        }
        Error::Io(IoError::Tls(other)) => return Some(other.to_string()),
        // The verdict of the handshake arrives as an input/output error around that of the library.
        Error::Io(IoError::Io(error)) => error.get_ref()?.downcast_ref()?,
        _ => return None,
    };
    Some(match error {
        rustls::Error::InvalidCertificate(error) => refusal(config, error),
        rustls::Error::AlertReceived(alert) => format!(
            "the server has ended the handshake ({alert:?}): look at its TLS settings (TLS 1.2 or 1.3 is needed){}",
            if config.client.is_some() { ", and whether it trusts sink.client_cert" } else { "" }
        ),
        rustls::Error::PeerIncompatible(error) => format!(
            "this program and the server have no version or cipher of TLS in common ({error:?}): let the server offer TLS 1.2 \
             or 1.3"
        ),
        rustls::Error::InconsistentKeys(_) => "sink.client_key is not the key of sink.client_cert".to_string(),
        rustls::Error::NoCertificatesPresented => "the server has no certificate: give it one".to_string(),
        _ => return None,
    })
}

/// Says why the server's certificate is refused, and what helps.
fn refusal(config: &MySql, error: &CertificateError) -> String {
    let MySql { host, port, .. } = config;
    let any_name = match &config.ca_file {
        Some(_) => "write tls = \"verify-ca\": any certificate of sink.ca_file is accepted then",
        None => "set sink.ca_file to the authority of this server and write tls = \"verify-ca\"",
    };
    let date = |at: &UnixTime| times::datetime(i64::try_from(at.as_secs()).unwrap_or(0).saturating_mul(1_000_000_000));
    let shown = format!("`openssl s_client -starttls mysql -connect {host}:{port} -showcerts` shows what it presents");
    match error {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
            format!(
                "the server's certificate names no host (it has no subjectAltName): give the server one with subjectAltName = \
                 {kind}:{host} ({MANUAL}), or {any_name}"
            )
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the server's certificate is for {}, not for {host}: use such a name in sink.url, give the server a certificate for \
             {host} ({MANUAL}), or {any_name}",
            presented.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", ")
        ),
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "the server's certificate, or one between it and the authority, has expired at {} UTC: renew it on the server; if \
             that time has not come yet, set the clock of this machine",
            date(not_after)
        ),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "the server's certificate, or one between it and the authority, is not valid before {} UTC: set the clock of this \
             machine, or that of the one where it was made",
            date(not_before)
        ),
        CertificateError::Expired => {
            format!("the server's certificate ends before it begins to be valid: make it anew ({MANUAL})")
        }
        CertificateError::UnknownIssuer => match &config.ca_file {
            Some(path) => format!(
                "none of the authorities in sink.ca_file ({}) has signed the server's certificate: name the file of the one \
                 that has (of a MySQL server with certificates of its own: ca.pem in its data directory), or let the server \
                 send the certificates in between; {shown}",
                path.display()
            ),
            None => format!(
                "no public authority has signed the server's certificate, and others are trusted only by name: set sink.ca_file \
                 to the file of the one that has (of a MySQL server with certificates of its own: ca.pem in its data \
                 directory; of a company: ask for it, or name the system's bundle); {shown}"
            ),
        },
        CertificateError::BadSignature => format!(
            "the server's certificate is signed by another authority of the same name as the one that is trusted, or its RSA key \
             has less than 2048 bits: {}; {shown}",
            match &config.ca_file {
                Some(path) => format!("copy the authority's file from this very server to {}", path.display()),
                None => format!("make it anew ({MANUAL})"),
            }
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
            "the server's certificate is not for servers (its extendedKeyUsage lacks serverAuth): make it anew ({MANUAL})"
        ),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "the server's certificate is signed by a method that is too old (SHA-1, MD5) or not known here: sign it anew with \
             SHA-256 ({MANUAL})"
        ),
        CertificateError::BadEncoding => format!("the server's certificate cannot be read: make it anew ({MANUAL})"),
        other => {
            let text = other.to_string();
            // The library hides these kinds behind their text.
            let reason = if text.contains("UnsupportedCertVersion") {
                "is of X.509 version 1, and only version 3 can be verified"
            } else if text.contains("CaUsedAsEndEntity") {
                "is that of an authority (basicConstraints has CA:TRUE, as `openssl req -x509` makes it), not one of a server"
            } else {
                return format!("the server's certificate is refused ({text}): make it anew ({MANUAL}); {shown}");
            };
            format!(
                "the server's certificate {reason}: sign one for the server with a file of extensions, which takes a minute \
                 ({MANUAL})"
            )
        }
    }
}

/// The name in `DnsName("db.example.org")` or `IpAddress(10.0.0.1)`.
fn plain_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(name, |inner| inner.trim_matches('"'))
}
