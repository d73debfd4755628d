//! Certificates as servers have them: those that a server makes by itself, those of the documents, and such as cannot be
//! trusted. What is refused is named with what helps; an authority that is not named is never trusted.
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::servers::{Database, Kind, PASSWORD, USER};
use support::site::{Site, lines, log};
use support::{all_said, repository};

/// Makes certificates in a folder. `twin` is an authority with the name of `ca`; the others are certificates of a server.
const MAKE: &str = r#"
set -eu
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
for name in ca twin other; do
  case $name in other) subject=Other ;; *) subject=Example ;; esac
  openssl req -x509 $new -days 3650 -subj "/CN=$subject CA" -keyout $name.key -out $name.pem
done
openssl req $new -subj /CN=localhost -keyout server.key -out server.csr
printf '%s\n' basicConstraints=CA:FALSE subjectAltName=DNS:localhost,IP:127.0.0.1 >good.ext
printf '%s\n' basicConstraints=CA:FALSE subjectAltName=DNS:db.example.org,IP:192.0.2.7 >named.ext
printf '%s\n' basicConstraints=CA:FALSE >nameless.ext
printf '%s\n' basicConstraints=CA:FALSE extendedKeyUsage=clientAuth subjectAltName=IP:127.0.0.1 >purpose.ext
sign() { # NAME EXTENSIONS AUTHORITY
  openssl x509 -req -in server.csr -CA $3.pem -CAkey $3.key -CAcreateserial -days 3650 -extfile $2.ext -out $1.pem
}
for name in good named nameless purpose; do sign $name $name ca; done
sign by_other good other
sign by_twin good twin
# Without a file of extensions, version 1 comes of it; a newer openssl has to be told.
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out version1.pem
openssl x509 -in version1.pem -noout -text | grep -q 'Version: 1 ' ||
  openssl x509 -req -x509v1 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -out version1.pem
openssl req -x509 -key server.key -days 3650 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -out authority.pem
openssl x509 -req -in server.csr -signkey server.key -days 3650 -extfile nameless.ext -out itself.pem
printf '%s\n' '[ca]' default_ca=d '[d]' database=index new_certs_dir=. default_md=sha256 policy=p rand_serial=yes \
  unique_subject=no '[p]' commonName=supplied >ca.cnf
: >index
dated() { # NAME FROM UNTIL
  openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -startdate $2 -enddate $3 -extfile good.ext \
    -in server.csr -out $1.pem
}
dated expired 20240101000000Z 20240201000000Z
dated early 20900101000000Z 20950101000000Z
"#;

/// Runs a script of the shell in a folder.
fn shell(folder: &Path, script: &str) {
    let output = Command::new("bash").args(["-c", script]).current_dir(folder).output().expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A server whose certificate changes.
struct Server {
    database: Database,
    /// What it uses: its certificate and key, and the authorities that it trusts itself.
    own: tempfile::TempDir,
}

impl Server {
    fn start(kind: Kind) -> Option<Server> {
        let database = Database::start(kind)?;
        let mut server = Server { database, own: tempfile::tempdir().expect("a folder") };
        let tls = server.database.ca_pem();
        server.trust(&[&tls]);
        server.copy(&tls.with_file_name("server.pem"), &tls.with_file_name("server.key"));
        server.restart();
        Some(server)
    }

    fn restart(&mut self) {
        let option = |name: &str, file: &str| format!("--{name}={}", self.own.path().join(file).display());
        let options = [option("ssl-ca", "ca.pem"), option("ssl-cert", "server.pem"), option("ssl-key", "server.key")];
        self.database.restart_with(&options.each_ref().map(String::as_str));
    }

    /// Lets the server trust some authorities: MySQL holds its own certificate against them.
    fn trust(&self, authorities: &[&Path]) {
        let all: Vec<u8> = authorities.iter().flat_map(|path| std::fs::read(path).expect("an authority")).collect();
        std::fs::write(self.own.path().join("ca.pem"), all).expect("writable");
    }

    fn copy(&self, certificate: &Path, key: &Path) {
        std::fs::copy(certificate, self.own.path().join("server.pem")).expect("a copy");
        std::fs::copy(key, self.own.path().join("server.key")).expect("a copy");
    }

    /// Shows another certificate from now on.
    fn show(&mut self, certificate: &Path, key: &Path) {
        self.copy(certificate, key);
        let reload = match self.database.kind() {
            Kind::MySql => "ALTER INSTANCE RELOAD TLS",
            Kind::MariaDb | Kind::Galera => "FLUSH SSL",
        };
        // What MySQL does not take while it runs, it does with a warning when it starts.
        if self.database.try_query(reload).is_err() {
            self.restart();
        }
    }

    /// A site whose rows go to the server. `more` stands below `[sink]`.
    fn site(&self, more: &str) -> Site {
        let url = self.database.url(USER, PASSWORD, support::servers::DATABASE);
        Site::with(&format!("{}[sink]\nurl = {url:?}\n{more}\n", support::site::CONFIG))
    }

    /// What `check` says of a connection: `Ok` if it is made.
    fn check(&self, tls: &str, ca: Option<&Path>) -> Result<(), String> {
        let ca = ca.map_or(String::new(), |ca| format!("ca_file = {ca:?}"));
        let output = self.site(&format!("tls = {tls:?}\n{ca}")).tool("check", "state").output().expect("it starts");
        match output.status.success() {
            true => Ok(()),
            false => Err(all_said(&output)),
        }
    }
}

/// Every kind of certificate, with the name looked at and without.
fn certificates(kind: Kind) {
    let Some(mut server) = Server::start(kind) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    shell(folder.path(), MAKE);
    let file = |name: &str| folder.path().join(name);
    let authorities = ["ca.pem", "twin.pem", "other.pem", "authority.pem", "itself.pem"].map(file);
    server.trust(&authorities.each_ref().map(|path| path.as_path()));
    let old = "is of X.509 version 1, and only version 3 can be verified";
    let late = "has expired at 2024-02-01 00:00:00 UTC";
    let early = "is not valid before 2090-01-01 00:00:00 UTC";
    let stranger = "none of the authorities in sink.ca_file";
    let twin = "signed by another authority of the same name";
    let purpose = "extendedKeyUsage lacks serverAuth";
    let authority = "is that of an authority (basicConstraints has CA:TRUE";
    // The certificate, the authority that is trusted, and what is said with the name looked at, and without; "" is trust.
    let cases = [
        ("good", "ca", "", ""),
        ("named", "ca", "is for db.example.org, 192.0.2.7, not for 127.0.0.1", ""),
        ("nameless", "ca", "it has no subjectAltName): give the server one with subjectAltName = IP:127.0.0.1", ""),
        ("version1", "ca", old, old),
        ("expired", "ca", late, late),
        ("early", "ca", early, early),
        ("by_other", "ca", stranger, stranger),
        ("good", "other", stranger, stranger),
        ("by_twin", "ca", twin, twin),
        ("purpose", "ca", purpose, purpose),
        ("authority", "ca", authority, authority),
        ("authority", "authority", authority, authority),
        ("itself", "itself", "it has no subjectAltName", ""),
        ("itself", "ca", stranger, stranger),
    ];
    for (certificate, ca, full, any) in cases {
        server.show(&file(&format!("{certificate}.pem")), &file("server.key"));
        let ca = file(&format!("{ca}.pem"));
        for (tls, expected) in [("verify-full", full), ("verify-ca", any)] {
            let what = format!("{kind}: {certificate} with {tls} and {}", ca.display());
            match server.check(tls, Some(&ca)) {
                Ok(()) => assert_eq!(expected, "", "{what} is trusted"),
                Err(said) => {
                    assert!(!expected.is_empty() && said.contains(expected), "{what}: {said}");
                    // Never what is already there, nor to do without.
                    assert!(!said.contains("set sink.ca_file") && !said.contains("\"off\""), "{what}: {said}");
                    assert!(tls == "verify-full" || !said.contains("verify-ca"), "{what}: {said}");
                }
            }
        }
    }
    // The authorities that the program brings with it have signed none of these.
    let said = server.check("verify-full", None).expect_err("not trusted");
    assert!(said.contains("no public authority has signed") && said.contains("set sink.ca_file"), "{said}");
}

#[test]
fn certificates_on_mysql() {
    certificates(Kind::MySql);
}

#[test]
fn certificates_on_mariadb() {
    certificates(Kind::MariaDb);
}

/// The authority and the certificate that MySQL has made when its data directory was made: for no name at all.
#[test]
fn certificates_that_mysql_makes_by_itself() {
    let Some(mut server) = Server::start(Kind::MySql) else { return };
    let tls = server.database.ca_pem();
    let data = tls.parent().and_then(Path::parent).expect("the template").join("data");
    server.trust(&[&data.join("ca.pem")]);
    server.show(&data.join("server-cert.pem"), &data.join("server-key.pem"));
    let said = server.check("verify-full", Some(&data.join("ca.pem"))).expect_err("it names no host");
    assert!(said.contains("it has no subjectAltName") && said.contains("write tls = \"verify-ca\""), "{said}");
    let said = server.check("verify-ca", Some(&tls)).expect_err("another authority");
    assert!(said.contains("none of the authorities in sink.ca_file"), "{said}");
    let site = server.site(&format!("tls = \"verify-ca\"\nca_file = {:?}", data.join("ca.pem")));
    let output = site.run("state", &lines(0..50));
    assert!(!log(&output).contains("E! "), "{}", log(&output));
    assert_eq!(server.database.value("SELECT SUM(samples) FROM s_hourly"), "50");
    let encrypted = "SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'";
    assert_ne!(server.database.query(encrypted)[0][1], "0", "the connection was encrypted");
}

/// The five lines of docs/sink.md make an authority and a certificate that a server proves its name with.
fn the_recipe(kind: Kind) {
    let Some(mut server) = Server::start(kind) else { return };
    let text = std::fs::read_to_string(repository("docs/sink.md")).expect("the recipe");
    let (_, rest) = text.split_once("\n## Certificates\n").expect("the section");
    let recipe = rest.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the commands");
    assert_eq!(recipe.lines().count(), 5, "five lines");
    let folder = tempfile::tempdir().expect("a folder");
    shell(folder.path(), &recipe.replace("db.example.org", "localhost").replace("192.0.2.7", "127.0.0.1"));
    let file = |name: &str| folder.path().join(name);
    server.trust(&[&file("ca.pem")]);
    server.show(&file("server-cert.pem"), &file("server-key.pem"));
    server.check("verify-full", Some(&file("ca.pem"))).unwrap_or_else(|said| panic!("{kind}: {said}"));
}

#[test]
fn the_recipe_on_mysql() {
    the_recipe(Kind::MySql);
}

#[test]
fn the_recipe_on_mariadb() {
    the_recipe(Kind::MariaDb);
}

/// What is found in place of the authority's certificate is named; what editors put around it is no matter.
#[test]
fn files_of_authorities_as_people_have_them() {
    let Some(server) = Server::start(Kind::MariaDb) else { return };
    let tls = server.database.ca_pem();
    let folder = tempfile::tempdir().expect("a folder");
    let ca = std::fs::read(&tls).expect("the authority");
    let other = std::fs::read(server.database.other_ca_pem()).expect("another one");
    let key = std::fs::read(tls.with_file_name("server.key")).expect("a key");
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    };
    let wide: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(String::from_utf8_lossy(&ca).encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let der =
        Command::new("openssl").args(["x509", "-outform", "DER", "-in"]).arg(&tls).output().expect("openssl").stdout;
    for (name, bytes) in [
        ("mark", [b"\xef\xbb\xbf".as_slice(), &ca].concat()),
        ("remarks", [b"# Beh\xf6rde\r\n".as_slice(), &ca].concat()),
        ("bundle", [broken.as_slice(), &other, &ca].concat()),
        ("with its key", [key.as_slice(), &ca].concat()),
        ("binary", der),
    ] {
        let path = write(name, &bytes);
        server.check("verify-full", Some(&path)).unwrap_or_else(|said| panic!("{name}: {said}"));
    }
    for (name, bytes, expected) in [
        ("key", key, "holds a private key: name the file with the certificate of the authority"),
        ("wide", wide, "it is UTF-16 (little-endian"),
        ("empty", b"\n".to_vec(), "is empty"),
        ("broken", broken.to_vec(), "holds certificates, but none that can be read"),
        ("other", b"hello\n".to_vec(), "holds neither a certificate nor a key in PEM"),
    ] {
        let path = write(name, &bytes);
        let said = server.check("verify-full", Some(&path)).expect_err(name);
        assert!(said.contains(expected) && said.contains(&path.display().to_string()), "{name}: {said}");
    }
    let said = server.check("verify-full", Some(&folder.path().join("absent"))).expect_err("absent");
    assert!(said.contains("cannot read sink.ca_file"), "{said}");
    // The same of what we show ourselves.
    let client = |certificate: &str, key: &str| {
        let file = |name: &str| tls.with_file_name(name);
        let sink = format!(
            "tls = \"verify-full\"\nca_file = {tls:?}\nclient_cert = {:?}\nclient_key = {:?}",
            file(certificate),
            file(key)
        );
        let output = server.site(&sink).tool("check", "state").output().expect("it starts");
        (output.status.success(), all_said(&output))
    };
    assert!(client("client.pem", "client.key").0);
    for (certificate, key, expected) in [
        ("client.key", "client.key", "sink.client_cert"),
        ("client.pem", "client.pem", "sink.client_key"),
        ("client.pem", "server.key", "sink.client_key is not the key of sink.client_cert"),
    ] {
        let (is_good, said) = client(certificate, key);
        assert!(!is_good && said.contains(expected), "{certificate}, {key}: {said}");
    }
}
