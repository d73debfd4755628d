//! The user that Telegraf runs as, and how it runs.

use super::tree::{Holder, Tree};
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where units are, those that win first.
const UNITS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const UNIT: &str = "telegraf.service";
/// What to type where there is no account.
const MAKE: &str = "useradd --system --no-create-home --shell /usr/sbin/nologin telegraf";

/// A user of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    pub name: String,
    pub owner: Holder,
    /// The name of its group, or the number.
    pub group: String,
    /// The numbers of all its groups.
    pub groups: Vec<u32>,
}

/// A Telegraf that runs.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    user: u32,
    arguments: Vec<String>,
    /// It is one of systemd's unit.
    pub is_service: bool,
}

/// What is known of Telegraf.
pub struct Telegraf {
    /// Who runs it.
    pub account: ServiceUser,
    /// How that is known.
    pub known_by: String,
    /// Those that run as this user.
    pub processes: Vec<Process>,
    /// systemd has a unit for it.
    pub has_unit: bool,
    /// The command line of the unit.
    start: Option<String>,
}

impl Telegraf {
    /// Finds out; `asked` is the user that a person has named.
    ///
    /// # Errors
    /// It is not clear; the text says what to type.
    pub fn find(tree: &Tree, asked: Option<&str>) -> anyhow::Result<Telegraf> {
        let unit = unit(tree);
        let running = if tree.is_live() { processes() } else { Vec::new() };
        let (account, known_by) = match asked {
            Some(name) => (named(tree, name)?, "as you say".to_string()),
            None => guess(tree, &running, unit.as_deref())?,
        };
        let processes = running.into_iter().filter(|process| process.user == account.owner.user).collect();
        let start = unit.as_deref().and_then(|text| setting(text, "ExecStart"));
        Ok(Telegraf { account, known_by, processes, has_unit: unit.is_some(), start })
    }

    /// The folder whose snippets it reads, and whether that is known to be so; `false`: it reads none.
    pub fn snippets(&self) -> (PathBuf, bool) {
        let usual = PathBuf::from("/etc/telegraf/telegraf.d");
        let of_process = self.processes.first().map(|process| process.arguments.clone());
        let of_unit = || self.start.as_ref().map(|line| line.split_whitespace().map(str::to_string).collect());
        let Some(arguments) = of_process.or_else(of_unit) else { return (usual, true) };
        let values = |name: &str| -> Vec<String> {
            let mut values = Vec::new();
            let mut words = arguments.iter();
            while let Some(word) = words.next() {
                let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
                match flag.split_once('=') {
                    Some((flag, value)) if flag == name => values.push(value.to_string()),
                    None if flag == name => values.extend(words.next().cloned()),
                    _ => {}
                }
            }
            values
        };
        let folders: Vec<PathBuf> =
            values("config-directory").into_iter().map(PathBuf::from).filter(|folder| folder.is_absolute()).collect();
        match folders.first() {
            Some(_) if folders.contains(&usual) => (usual, true),
            Some(first) => (first.clone(), true),
            // Without both, Telegraf looks in its usual places.
            None => (usual, values("config").is_empty()),
        }
    }
}

fn guess(tree: &Tree, running: &[Process], unit: Option<&str>) -> anyhow::Result<(ServiceUser, String)> {
    let users: BTreeSet<u32> = running.iter().map(|process| process.user).collect();
    let mut users = users.into_iter();
    match (users.next(), users.next()) {
        (Some(user), None) => {
            let pid = running.first().map_or(0, |process| process.pid);
            return Ok((numbered(tree, user)?, format!("it runs the Telegraf with process id {pid}")));
        }
        (Some(_), Some(_)) => {
            let each = running.iter().map(|process| {
                let name = numbered(tree, process.user).map_or_else(|_| process.user.to_string(), |found| found.name);
                format!("{name} (process {})", process.pid)
            });
            let each: Vec<String> = each.collect();
            bail!(
                "several users run a Telegraf: {}; name the one of the service, as in `--user telegraf`",
                each.join(", ")
            );
        }
        (None, _) => {}
    }
    if let Some(text) = unit {
        let name = setting(text, "User").unwrap_or_else(|| "root".to_string());
        let account = named(tree, &name).context("the unit telegraf.service names it as its user")?;
        return Ok((account, format!("the user of {UNIT}")));
    }
    if let Ok(account) = named(tree, "telegraf") {
        return Ok((account, "there is an account of that name, and nothing says otherwise".to_string()));
    }
    bail!(
        "it is not known which user runs Telegraf: none runs here, there is no {UNIT} and no account telegraf; name the user, as \
         in `telegraf-rollup setup --user NAME`, or install Telegraf first (it makes the account; by hand: `{MAKE}`)"
    )
}

/// The account of a name or a number.
fn named(tree: &Tree, name: &str) -> anyhow::Result<ServiceUser> {
    account(tree, name, |fields| fields[0] == name || fields[2] == name).with_context(|| {
        format!("there is no user {name:?}: see the names by `getent passwd`; a new one is made by `{MAKE}`")
    })
}

/// The account of a number.
fn numbered(tree: &Tree, user: u32) -> anyhow::Result<ServiceUser> {
    let number = user.to_string();
    account(tree, &number, |fields| fields[2] == number)
        .with_context(|| format!("the user with number {user} has no name"))
}

/// Looks in the tree's own file; on the system itself also where a directory service keeps its users.
fn account(tree: &Tree, asked: &str, is_it: impl Fn(&[&str]) -> bool) -> Option<ServiceUser> {
    let read = |text: &str| -> Option<(String, Holder)> {
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = lines.find(|fields| fields.len() >= 4 && !fields[0].is_empty() && is_it(fields))?;
        Some((found[0].to_string(), Holder { user: found[2].parse().ok()?, group: found[3].parse().ok()? }))
    };
    let (name, owner) = read(&tree.text(Path::new("/etc/passwd"))).or_else(|| {
        let answer = tree.is_live().then(|| Command::new("getent").arg("passwd").arg(asked).output().ok()).flatten()?;
        read(&String::from_utf8_lossy(&answer.stdout))
    })?;
    let groups = tree.text(Path::new("/etc/group"));
    let groups = groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 4);
    let (mut group, mut all) = (owner.group.to_string(), vec![owner.group]);
    for fields in groups {
        if fields[2].parse() == Ok(owner.group) {
            group = fields[0].to_string();
        } else if fields[3].split(',').any(|member| member == name) {
            all.extend(fields[2].parse::<u32>());
        }
    }
    Some(ServiceUser { name, owner, group, groups: all })
}

/// The text of Telegraf's unit with what has been added to it, in the order in which systemd reads it.
fn unit(tree: &Tree) -> Option<String> {
    let mut text = UNITS.iter().map(|folder| tree.text(&Path::new(folder).join(UNIT))).find(|text| !text.is_empty())?;
    let mut added: Vec<(std::ffi::OsString, PathBuf)> = Vec::new();
    for folder in UNITS {
        let folder = Path::new(folder).join(format!("{UNIT}.d"));
        for name in tree.list(&folder).unwrap_or_default() {
            let is_new = !added.iter().any(|(known, _)| *known == name);
            if is_new && Path::new(&name).extension().is_some_and(|ending| ending == "conf") {
                let path = folder.join(&name);
                added.push((name, path));
            }
        }
    }
    added.sort();
    for (_, path) in added {
        text += "\n";
        text += &tree.text(&path);
    }
    Some(text)
}

/// The value of a key in the section of the service: the last one counts, and an empty one takes those before it away.
fn setting(unit: &str, key: &str) -> Option<String> {
    let mut value = None;
    let mut is_service = false;
    for line in unit.replace("\\\n", " ").lines().map(str::trim) {
        if line.starts_with('[') {
            is_service = line == "[Service]";
        } else if let Some((name, text)) = line.split_once('=')
            && is_service
            && name.trim() == key
        {
            value = Some(text.trim().to_string()).filter(|text| !text.is_empty());
        }
    }
    value
}

/// The Telegrafs that run on this system and do not only test; those of containers are others' business.
fn processes() -> Vec<Process> {
    use std::os::unix::fs::MetadataExt;
    let space = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let here = space("self");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse() else { continue };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        if read("comm").trim_ascii_end() != b"telegraf" || space(&name) != here {
            continue;
        }
        let Ok(owner) = entry.metadata() else { continue };
        let arguments = read("cmdline");
        let arguments: Vec<String> =
            arguments.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let is_short = |word: &String| {
            let flag = word.trim_start_matches('-').split('=').next().unwrap_or_default();
            word.starts_with('-') && ["test", "test-wait", "once", "version"].contains(&flag)
        };
        if !arguments.iter().any(is_short) {
            let is_service = String::from_utf8_lossy(&read("cgroup")).contains(UNIT);
            found.push(Process { pid, user: owner.uid(), arguments, is_service });
        }
    }
    found.sort_by_key(|process| process.pid);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_as_systemd_reads_it() {
        let unit = "[Unit]\nUser=nobody\n[Service]\nUser=telegraf\nExecStart=/usr/bin/telegraf -config a \\\n  -config-directory b\n";
        assert_eq!(setting(unit, "User").as_deref(), Some("telegraf"));
        assert_eq!(
            setting(unit, "ExecStart").as_deref().map(|line| line.split_whitespace().count()),
            Some(5),
            "a line goes on behind a backslash"
        );
        assert_eq!(setting(&format!("{unit}[Service]\nUser = metrics\n"), "User").as_deref(), Some("metrics"));
        assert_eq!(setting(&format!("{unit}User=\n"), "User"), None);
    }

    #[test]
    fn snippets_lie_where_telegraf_reads_them() {
        let telegraf = |line: Option<&str>| Telegraf {
            account: ServiceUser {
                name: "t".into(),
                owner: Holder { user: 1, group: 1 },
                group: "t".into(),
                groups: vec![1],
            },
            known_by: String::new(),
            processes: Vec::new(),
            has_unit: line.is_some(),
            start: line.map(str::to_string),
        };
        for (line, folder, is_read) in [
            (None, "/etc/telegraf/telegraf.d", true),
            (Some("/usr/bin/telegraf"), "/etc/telegraf/telegraf.d", true),
            (Some("/usr/bin/telegraf -config /etc/telegraf/telegraf.conf"), "/etc/telegraf/telegraf.d", false),
            (
                Some("telegraf -config c -config-directory /etc/telegraf/telegraf.d $TELEGRAF_OPTS"),
                "/etc/telegraf/telegraf.d",
                true,
            ),
            (Some("telegraf --config c --config-directory=/srv/conf.d"), "/srv/conf.d", true),
            (
                Some("telegraf --config-directory /srv/a --config-directory /etc/telegraf/telegraf.d"),
                "/etc/telegraf/telegraf.d",
                true,
            ),
        ] {
            assert_eq!(telegraf(line).snippets(), (PathBuf::from(folder), is_read), "{line:?}");
        }
    }
}
