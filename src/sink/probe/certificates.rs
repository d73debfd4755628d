//! How long certificates are valid: those of files, and what a server says of its own.
//!
//! Of a certificate (RFC 5280, DER) only subject and validity are read; whether it can be trusted is the TLS library's matter.

use crate::config::MySql;
use crate::finding::{Finding, Weight};
use crate::sink::sql::times;
use crate::sink::tls;
use rustls::pki_types::UnixTime;
use std::path::Path;

const SUBJECT: &str = "sink.tls";
/// So many days before a certificate ends it is time to renew it.
const WARNING_DAYS: i64 = 30;
const DAY: i64 = 86_400;

/// What is found of the files with certificates that a configuration names. What cannot be read is left to the attempt to
/// connect.
pub fn files(config: &MySql) -> Vec<Finding> {
    let mut out = Vec::new();
    let now = now();
    if let Some(path) = &config.ca_file {
        let found: Vec<Certificate> = read(path);
        // A bundle has old ones in it: the last to end counts.
        if let Some(last) = found.iter().max_by_key(|certificate| certificate.until) {
            let name = match found.len() {
                1 => format!("sink.ca_file: the authority {}", last.subject),
                number => format!("sink.ca_file: the last of {number} authorities, {},", last.subject),
            };
            let mut finding =
                judge(&name, last.until, now, "put the authority's new certificate into the file, beside the old one");
            // The TLS library trusts an authority that is named whatever its dates are.
            finding.weight = finding.weight.min(Weight::Warning);
            out.push(finding);
        }
    }
    if let Some((path, _)) = &config.client
        && let Some(own) = read(path).first()
    {
        let name = format!("sink.client_cert: the certificate {}", own.subject);
        out.push(judge(&name, own.until, now, "let the authority that the server trusts sign a new one"));
    }
    out
}

/// What is found of the server's certificate, by the end of its validity as the server says it: `Nov 27 16:10:44 2036 GMT`.
pub fn of_server(until: &str) -> Option<Finding> {
    let at = jiff::civil::DateTime::strptime("%b %e %H:%M:%S %Y GMT", until).ok()?;
    let until = jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_second();
    Some(judge("the server's certificate", until, now(), "renew it on the server"))
}

/// Seconds since the epoch, by the clock that certificates are held against.
fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// Says how long a certificate is valid.
fn judge(name: &str, until: i64, now: i64, remedy: &str) -> Finding {
    let date = times::datetime(until.saturating_mul(1_000_000_000));
    let days = (until - now).div_euclid(DAY);
    let left = if days == 1 { "1 day".to_string() } else { format!("{days} days") };
    if until < now {
        Finding::failure(SUBJECT, format!("{name} has expired at {date} UTC"), remedy)
    } else if days < WARNING_DAYS {
        Finding::warning(SUBJECT, format!("{name} is valid until {date} UTC, {left} from now"), remedy)
    } else {
        Finding::fine(SUBJECT, format!("{name} is valid until {date} UTC, {left} from now"))
    }
}

/// What is read of a certificate.
struct Certificate {
    /// Its common name.
    subject: String,
    /// Seconds since the epoch.
    until: i64,
}

/// The certificates of a file; none if it cannot be read.
fn read(path: &Path) -> Vec<Certificate> {
    tls::certificates(path).iter().filter_map(|der| parse(der)).collect()
}

/// Takes the first element of a sequence in DER. Returns its tag, its content, and what is behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (number, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Reads a certificate.
fn parse(der: &[u8]) -> Option<Certificate> {
    let (_, certificate, _) = element(der)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, behind) = element(signed)?;
    // The version, which one of version 1 lacks.
    let rest = if tag == 0xa0 { behind } else { signed };
    let (_, _serial, rest) = element(rest)?;
    let (_, _algorithm, rest) = element(rest)?;
    let (_, _issuer, rest) = element(rest)?;
    let (_, validity, rest) = element(rest)?;
    let (_, subject, _) = element(rest)?;
    let (_, _from, until) = element(validity)?;
    let (tag, until, _) = element(until)?;
    Some(Certificate {
        subject: common_name(subject).unwrap_or_else(|| "without a name".to_string()),
        until: time(tag, until)?,
    })
}

/// Seconds since the epoch of `261127161044Z` (UTCTime) or `20501127161044Z` (GeneralizedTime).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        0x17 => format!("{}{text}", if *text.as_bytes().first()? < b'5' { "20" } else { "19" }),
        0x18 => text.to_string(),
        _ => return None,
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_second())
}

/// The common name in a distinguished name.
fn common_name(mut names: &[u8]) -> Option<String> {
    const COMMON_NAME: [u8; 3] = [0x55, 4, 3];
    let mut found = None;
    while let Some((_, set, rest)) = element(names) {
        names = rest;
        let (_, pair, _) = element(set)?;
        let (_, kind, value) = element(pair)?;
        if kind == COMMON_NAME {
            let (_, text, _) = element(value)?;
            found = Some(format!("{:?}", String::from_utf8_lossy(text)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_certificates() {
        assert_eq!(time(0x17, b"700101000000Z"), Some(0));
        assert_eq!(time(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x18, b"20500101000000Z"), Some(2_524_608_000));
        assert_eq!(time(0x17, b"not a time"), None);
        assert!(of_server("Nov  7 16:10:44 2090 GMT").is_some_and(|f| f.weight == Weight::Fine));
        assert!(of_server("Nov 27 16:10:44 2016 GMT").is_some_and(|f| f.weight == Weight::Failure));
        assert_eq!(of_server(""), None);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bytes in [&b""[..], b"0", b"0\x82", b"0\x80\0\0", b"0\x84\xff\xff\xff\xff", b"0\x030\x01"] {
            assert!(parse(bytes).is_none());
        }
    }

    #[test]
    fn the_last_month_is_a_warning() {
        let weight = |days: i64| judge("it", 1_000 * DAY + days * DAY, 1_000 * DAY, "renew it").weight;
        assert_eq!(
            [weight(-1), weight(0), weight(29), weight(30)],
            [Weight::Failure, Weight::Warning, Weight::Warning, Weight::Fine]
        );
    }
}
