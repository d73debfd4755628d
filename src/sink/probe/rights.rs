//! The rights that the account needs: those that can be tried are tried, the others are read from its grants.
//!
//! | right | how it is known |
//! |---|---|
//! | SELECT, INSERT, UPDATE, DELETE on a table that is there | by a statement that concerns no row |
//! | the same on a table that is not there yet | by the grants |
//! | CREATE, ALTER | by the grants: to try them would change something |

use super::grants::{Comparison, Grants};
use crate::config::MySql;
use crate::finding::Finding;
use crate::sink::account::Account;
use crate::sink::codes;
use crate::sink::mysql::MySqlSink;
use crate::sink::sql::ddl::TableDef;
use crate::sink::sql::dialect::quote;
use crate::sink::trouble::SinkTrouble;
use std::collections::BTreeMap;

const SUBJECT: &str = "sink.rights";
/// The rights on rows.
const ROWS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
/// A statement that is tried waits for a lock so many seconds at most.
const LOCK_SECONDS: u32 = 5;

/// A table of the configuration, as it was found.
pub struct SeenTable<'t> {
    pub table: &'t TableDef,
    /// Names of its columns; empty: it is not there, or the account may not see it.
    pub columns: Vec<String>,
}

impl SeenTable<'_> {
    /// The columns that are there, of those that are needed.
    fn present(&self) -> Vec<&str> {
        let is_there = |name: &&str| self.columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        self.table.columns.iter().map(|column| column.name.as_str()).filter(is_there).collect()
    }

    /// The columns that are needed and not there.
    pub fn missing(&self) -> Vec<&str> {
        let present = self.present();
        self.table.columns.iter().map(|column| column.name.as_str()).filter(|name| !present.contains(name)).collect()
    }
}

/// What is known of rights.
#[derive(Default)]
struct RightVerdict {
    /// Without these it does not work; with the tables.
    lacking: BTreeMap<&'static str, Vec<String>>,
    /// Without these it works until a column or a table is to be made.
    later: Vec<&'static str>,
    /// What could not be judged, and why.
    unknown: BTreeMap<String, Vec<&'static str>>,
}

/// What is found of the rights of an account. Returns, too, whether rows can be read.
///
/// # Errors
/// The connection is lost.
pub fn judge(
    sink: &mut MySqlSink,
    config: &MySql,
    seen: &[SeenTable<'_>],
    grants: Option<&Grants>,
    comparison: Comparison,
    is_read_only: bool,
) -> Result<(Vec<Finding>, bool), SinkTrouble> {
    let mut verdict = RightVerdict::default();
    let _ = sink.attempt("a setting of the session", &format!("SET lock_wait_timeout = {LOCK_SECONDS}"))?;
    let by_grants = |right: &str, table: &str| grants.and_then(|g| g.has(right, &config.database, table, comparison));
    let silent = "the grants of the account cannot be read";
    for seen in seen {
        let name = &seen.table.name;
        for right in ROWS {
            // A server that only reads says no to all that writes, whoever asks.
            let can_try = !seen.columns.is_empty() && (!is_read_only || right == "SELECT");
            let tried = if can_try { try_right(sink, right, seen)? } else { None };
            let (held, why) = match tried {
                Some(Ok(held)) => (Some(held), ""),
                Some(Err(ref why)) => (None, why.as_str()),
                None => (by_grants(right, name), silent),
            };
            match held {
                Some(true) => {}
                Some(false) => verdict.lacking.entry(right).or_default().push(name.clone()),
                None => note(&mut verdict.unknown, why, right),
            }
        }
        if !config.migrate {
            continue;
        }
        let is_new = seen.columns.is_empty();
        for (right, is_due) in [("CREATE", is_new), ("ALTER", !is_new && !seen.missing().is_empty())] {
            match by_grants(right, name) {
                Some(true) => {}
                Some(false) if is_due => verdict.lacking.entry(right).or_default().push(name.clone()),
                Some(false) if verdict.later.contains(&right) => {}
                Some(false) => verdict.later.push(right),
                None => note(&mut verdict.unknown, silent, right),
            }
        }
    }
    let can_read = !verdict.lacking.contains_key("SELECT");
    Ok((findings(&verdict, sink.account(), config, seen, grants), can_read))
}

fn note(unknown: &mut BTreeMap<String, Vec<&'static str>>, why: &str, right: &'static str) {
    let rights = unknown.entry(why.to_string()).or_default();
    if !rights.contains(&right) {
        rights.push(right);
    }
}

/// Tries a right by a statement that concerns no row. Returns whether it is held, or the server's reason if it says no for
/// another one.
fn try_right(
    sink: &mut MySqlSink,
    right: &str,
    seen: &SeenTable<'_>,
) -> Result<Option<Result<bool, String>>, SinkTrouble> {
    let dialect = sink.dialect();
    let table = quote(dialect, &seen.table.name);
    let columns: Vec<String> = seen.present().iter().map(|name| quote(dialect, name)).collect();
    if columns.is_empty() {
        return Ok(None);
    }
    let nulls = |glue: &str| columns.iter().map(|c| format!("{c}{glue}")).collect::<Vec<_>>().join(",");
    let sql = match right {
        "SELECT" => format!("SELECT {} FROM {table} WHERE FALSE", columns.join(",")),
        "INSERT" => {
            let values = vec!["NULL"; columns.len()].join(",");
            format!("INSERT INTO {table} ({}) SELECT {values} FROM DUAL WHERE FALSE", columns.join(","))
        }
        "UPDATE" => format!("UPDATE {table} SET {} WHERE FALSE", nulls("=NULL")),
        _ => format!("DELETE FROM {table} WHERE FALSE"),
    };
    Ok(Some(match sink.attempt(&format!("a try of {right}"), &sql)? {
        None => Ok(true),
        Some((codes::ER_TABLEACCESS_DENIED | codes::ER_COLUMNACCESS_DENIED | codes::ER_DBACCESS_DENIED, _)) => {
            Ok(false)
        }
        Some((code, message)) => Err(format!("error {code}: {message}")),
    }))
}

/// What is said of a verdict.
fn findings(
    verdict: &RightVerdict,
    account: Option<&Account>,
    config: &MySql,
    seen: &[SeenTable<'_>],
    grants: Option<&Grants>,
) -> Vec<Finding> {
    let database = format!("`{}`", config.database.replace('`', "``"));
    let who = account.map_or("the account".to_string(), |account| format!("the account {}", account.quoted()));
    let grant = |rights: &[&str]| match account {
        Some(account) => format!(
            "run, as an administrator of the server: GRANT {} ON {database}.* TO {};",
            rights.join(", "),
            account.quoted()
        ),
        None => "give it to the account (docs/sink.md, \"Accounts and rights\")".to_string(),
    };
    let mut out = Vec::new();
    let mut rights: Vec<&str> = ROWS.into_iter().chain(["CREATE", "ALTER"]).collect();
    rights.retain(|right| verdict.lacking.contains_key(right) || verdict.later.contains(right));
    let works = verdict.lacking.is_empty();
    if !works {
        let named = |right: &&str| {
            let tables = verdict.lacking.get(right).map_or(&[][..], Vec::as_slice);
            let purpose = if *right == "DELETE" { " (for [retention])" } else { "" };
            match tables.is_empty() || tables.len() == seen.len() {
                true => format!("{right}{purpose}"),
                false => format!("{right}{purpose} on {}", tables.join(", ")),
            }
        };
        let mut remedy = grant(&rights);
        if let Some(role) = grants.and_then(|grants| grants.roles.first()) {
            remedy = format!("enable the role that gives it, if {role} does (SET DEFAULT ROLE), or {remedy}");
        }
        let named = rights.iter().map(named).collect::<Vec<_>>().join(", ");
        out.push(Finding::failure(SUBJECT, format!("{who} lacks {named} in the database {database}"), remedy));
    }
    if works && !rights.is_empty() {
        out.push(Finding::warning(
            SUBJECT,
            format!(
                "{who} lacks {}, which is needed as soon as the configuration gains a column or a summary",
                rights.join(", ")
            ),
            format!("write migrate = \"check\" in [sink] if that is meant, or {}", grant(&rights)),
        ));
    }
    for (why, rights) in &verdict.unknown {
        out.push(Finding::warning(
            SUBJECT,
            format!("could not judge whether {who} has {} ({why})", rights.join(", ")),
            format!("if it has not, {}", grant(rights)),
        ));
    }
    if out.is_empty() {
        let all = if config.migrate {
            "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER"
        } else {
            "SELECT, INSERT, UPDATE, DELETE"
        };
        out.push(Finding::fine(SUBJECT, format!("{who} has all rights that are needed in {database}: {all}")));
    }
    out
}
