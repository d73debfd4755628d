//! The error numbers of servers that speak MySQL's protocol: what each is about, and what a person can do about it.
//!
//! Deliberately absent: texts that name a server or a user; they belong to the sink.

/// The user may not use the database.
pub const ER_DBACCESS_DENIED: u16 = 1044;
/// The user is not known, or the password is wrong.
pub const ER_ACCESS_DENIED: u16 = 1045;
/// The account's method of logging in takes no password.
pub const ER_ACCESS_DENIED_NO_PASSWORD: u16 = 1698;
/// No account may come from this machine.
pub const ER_HOST_NOT_PRIVILEGED: u16 = 1130;
/// The connection would have to be encrypted.
pub const ER_SECURE_TRANSPORT_REQUIRED: u16 = 3159;
/// There is no such database.
pub const ER_BAD_DB: u16 = 1049;
/// The column is there already.
pub const ER_DUP_FIELDNAME: u16 = 1060;
/// The user may not do that with the table.
pub const ER_TABLEACCESS_DENIED: u16 = 1142;
/// The user may not do that with the column.
pub const ER_COLUMNACCESS_DENIED: u16 = 1143;

/// What a row can be refused for. All of them speak of a value, or of a rule that a person has given the table.
const REFUSALS: [u16; 20] = [
    1048, // a column cannot be NULL
    1062, // another unique key of the table has it already
    1153, // the packet is larger than the server takes
    1264, // out of range for the column
    1265, // data truncated
    1292, // incorrect date or time value
    1364, // a column has no default value
    1366, // incorrect value, or a character that the column's character set lacks
    1406, // too long for the column
    1416, // not a value of its type
    1452, // a foreign key fails
    1526, // no partition for the value
    1644, // a trigger has signalled
    1690, // out of range in an expression
    1748, // the row is in none of the partitions
    3140, // invalid JSON
    3156, // invalid JSON value
    3819, // a check constraint fails (MySQL)
    4025, // a check constraint fails (MariaDB)
    4161, // unknown data
];

/// What no repetition helps: the statement itself, a limit of the server, or something that it does not have; each with
/// what a person can do.
const HOPELESS: [(u16, &str); 26] = [
    (1054, "a column is missing: was the table changed by hand?"),
    (1059, "a name is too long for this server: shorten the name of the summary or the column"),
    (1064, "this server does not understand the statement: is it MySQL 8.0.17 or newer, or MariaDB 10.6 or newer?"),
    (1067, "this server refuses a default value"),
    (1071, "the key tags are too long together for this server's keys: use fewer key tags"),
    (1101, "this server refuses a default value"),
    (1115, "this server lacks the character set utf8mb4: use MySQL 8.0.17 or newer, or MariaDB 10.6 or newer"),
    (1117, "the table has too many columns for this server: divide the summary"),
    (1118, "the rows are too large for this server: divide the summary"),
    (1166, "this server refuses the name of a column"),
    (1227, "the account lacks a right"),
    (1235, "this server does not support the statement"),
    (1253, "this server's character sets do not fit together"),
    (1273, "this server lacks the collation: use MySQL 8.0.17 or newer, or MariaDB 10.6 or newer"),
    (1286, "this server lacks the storage engine InnoDB"),
    (1293, "this server refuses the table's definition"),
    (1305, "this server lacks a function: use MySQL 8.0.17 or newer, or MariaDB 10.6 or newer"),
    (1129, BLOCKED),
    (1251, METHOD),
    (1524, METHOD),
    (1820, "the password has expired: let an administrator set it anew (ALTER USER ... IDENTIFIED BY ...)"),
    (1862, "the password has expired: let an administrator set it anew (ALTER USER ... IDENTIFIED BY ...)"),
    (3118, "an administrator unlocks the account: ALTER USER ... ACCOUNT UNLOCK"),
    (3955, "an administrator unlocks the account: ALTER USER ... ACCOUNT UNLOCK"),
    (4151, "an administrator unlocks the account: ALTER USER ... ACCOUNT UNLOCK"),
    (1175, "the server has sql_safe_updates set for all sessions: switch that off"),
];
const BLOCKED: &str = "too many connections of this machine have failed: find out why in the server's error log, then run there, as an \
    administrator, TRUNCATE TABLE performance_schema.host_cache (MySQL) or FLUSH HOSTS (MariaDB)";
const METHOD: &str = "the account logs in by a method that does not work here: give it another one (MySQL: ALTER USER ... IDENTIFIED \
    WITH caching_sha2_password BY ...; MariaDB: ALTER USER ... IDENTIFIED VIA mysql_native_password USING PASSWORD(...))";

/// What may pass by itself, with what helps if it does not.
const PASSING: [(u16, &str); 13] = [
    (1040, "raise max_connections on the server, or let others use fewer"),
    (1203, USER_CONNECTIONS),
    (1226, USER_CONNECTIONS),
    (
        1047,
        "this node of the cluster has no part in it at the moment: look at wsrep_cluster_status there, or use another node",
    ),
    (1053, "the server is shutting down: rows wait until it is back"),
    (1077, "the server is shutting down: rows wait until it is back"),
    (3032, "the server is in offline mode: an administrator ends it by SET GLOBAL offline_mode = OFF"),
    (1290, READ_ONLY),
    (1792, READ_ONLY),
    (1836, READ_ONLY),
    (1021, "make room on the server's disk"),
    (1114, "make room on the server's disk, or let the table grow"),
    (1152, "the server's error log says why"),
];
const USER_CONNECTIONS: &str = "raise the account's MAX_USER_CONNECTIONS, or give the writers a longer flush.every";
const READ_ONLY: &str =
    "use the server that takes writes; on this one an administrator ends it by SET GLOBAL read_only = OFF";

/// Returns what helps against an error that may pass, if it does not.
pub fn patience(code: u16) -> Option<&'static str> {
    PASSING.iter().find(|(known, _)| *known == code).map(|(_, advice)| *advice)
}

/// Returns what an error is about, as `check` names it.
pub fn subject(code: u16) -> &'static str {
    match code {
        1040 | 1053 | 1077 | 1129 | 1152 => "sink.connection",
        1203 | 1226 | 1251 | 1524 | 1820 | 1862 | 3118 | 3955 | 4151 => "sink.account",
        1227 => "sink.rights",
        1021 | 1047 | 1114 | 1175 | 1290 | 1792 | 1836 | 3032 => "sink.server",
        _ => "sink.tables",
    }
}

/// What an error of the server is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The statement was aborted to let another one pass: send it again.
    Conflict,
    /// The row: it stays refused until something changes.
    Row,
    /// The statement or the server; see [`advice`].
    Whole,
}

/// Statements that were aborted to let another one pass, or because something has changed meanwhile: sent again, they work.
const CONFLICTS: [u16; 9] = [
    1020, // the row has changed since it was read (MariaDB, with its snapshot isolation)
    1205, // a lock was waited for too long
    1213, // a deadlock; Galera: another node was faster
    1412, // the table's definition has changed
    3101, // group replication: another member was faster
    8005, // TiDB: a write conflict
    8022, // TiDB: the commit failed
    8028, // TiDB: the schema has changed
    9007, // TiDB: a write conflict
];

/// Returns what an error is about, by its number.
pub fn about(code: u16) -> About {
    match code {
        _ if CONFLICTS.contains(&code) => About::Conflict,
        _ if REFUSALS.contains(&code) => About::Row,
        _ => About::Whole,
    }
}

/// Returns what a person can do about an error that no repetition mends; `None` for any other.
pub fn advice(code: u16, message: &str) -> Option<&'static str> {
    // MariaDB has one number for all that a storage engine has against a table; this is InnoDB's 1117.
    let code = if code == 1005 && message.contains("errno: 185") { 1117 } else { code };
    HOPELESS.iter().find(|(known, _)| *known == code).map(|(_, advice)| *advice)
}
