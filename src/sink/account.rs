//! The account that a server sees when this program connects, and the statements by which an administrator makes it and gives
//! it its rights.
//!
//! An account is a user and the host that it comes from: `'rollup'@'%'` and `'rollup'@'localhost'` are two, and what is granted
//! to the one does not help the other. So statements are for the account that the server has named, wherever it has.

use super::sql::ddl;
use crate::config::MySql;

/// What stands in statements in place of a password.
pub const PLACEHOLDER: &str = "PASSWORD";

/// A user and the host that it comes from, as a server sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Name of the user; empty: the one without a name, as which a server takes users whom it does not know.
    pub user: String,
    /// Name, address or pattern of the host.
    pub host: String,
}

impl Account {
    /// Reads what `CURRENT_USER()` returns: `rollup@%`.
    pub fn current(text: &str) -> Option<Account> {
        let (user, host) = text.rsplit_once('@')?;
        Some(Account { user: user.to_string(), host: host.to_string() })
    }

    /// Finds `'rollup'@'127.0.0.1'` in a message of a server.
    pub fn in_message(message: &str) -> Option<Account> {
        let middle = message.rfind("'@'")?;
        let user = message[..middle].find('\'').map(|from| &message[from + 1..middle])?;
        let (host, _) = message[middle + 3..].split_once('\'')?;
        Some(Account { user: user.to_string(), host: host.to_string() })
    }

    /// The account as statements take it.
    pub fn quoted(&self) -> String {
        let text = |s: &str| s.replace('\\', "\\\\").replace('\'', "''");
        format!("'{}'@'{}'", text(&self.user), text(&self.host))
    }

    /// The statements that make the database, if it is not there, and give the account its rights.
    pub fn rights(&self, config: &MySql) -> String {
        format!("{} {}", make_database(&config.database), self.grant(config))
    }

    /// The statement that gives the account its rights.
    pub fn grant(&self, config: &MySql) -> String {
        ddl::grants_to(&self.quoted(), &config.database, config.migrate)
    }

    /// The statements that make the database, the account and its rights.
    pub fn make(&self, config: &MySql) -> String {
        format!(
            "{} CREATE USER {} IDENTIFIED BY '{PLACEHOLDER}'; {}",
            make_database(&config.database),
            self.quoted(),
            self.grant(config)
        )
    }
}

/// The statement that makes a database if it is not there.
pub fn make_database(database: &str) -> String {
    format!("CREATE DATABASE IF NOT EXISTS `{}` CHARACTER SET utf8mb4;", database.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_in_what_a_server_says() {
        let account = |user: &str, host: &str| Some(Account { user: user.to_string(), host: host.to_string() });
        for (message, expected) in [
            ("Access denied for user 'u2'@'127.0.0.1' to database 'd'", account("u2", "127.0.0.1")),
            ("Access denied for user 'it's'@'%' (using password: YES)", account("it's", "%")),
            ("Access denied for user ''@'localhost' to database 'd'", account("", "localhost")),
            ("SELECT command denied to user 'a@b'@'pc-1.lan' for table `d`.`t`", account("a@b", "pc-1.lan")),
            ("Access denied", None),
        ] {
            assert_eq!(Account::in_message(message), expected, "{message}");
        }
        assert_eq!(Account::current("a@b@%"), account("a@b", "%"));
        assert_eq!(Account::current("@localhost"), account("", "localhost"));
        let odd = Account { user: "o'b\\c".to_string(), host: "10.%".to_string() };
        assert_eq!(odd.quoted(), "'o''b\\\\c'@'10.%'");
    }
}
