//! What Telegraf's configuration says of us: whether it runs the program, with which arguments, and what it lets through.
//!
//! Deliberately absent: judging the rest of Telegraf's configuration, which is Telegraf's own (`telegraf config check`).

use super::agent::{AgentFile, Places};
use super::filters::PluginFilters;
use super::process::RunningTelegraf;
use super::rights::{Denial, Eyes, Wish};
use crate::config::Config;
use crate::finding::Finding;
use crate::text;
use std::io;
use std::path::{Path, PathBuf};

/// What arguments of the program mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// `run` with a configuration; for an output if `--output` is there.
    Run { config: PathBuf, output: bool },
    /// Another command.
    Another,
}

/// Reads arguments of the program as the program does; the error says what is wrong with them.
pub type Understand = fn(&[String]) -> Result<Meant, String>;

/// As which plugin Telegraf runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PluginKind {
    Processor,
    OutputPlugin,
}

impl PluginKind {
    fn words(self) -> &'static str {
        match self {
            PluginKind::Processor => "[[processors.execd]]",
            PluginKind::OutputPlugin => "[[outputs.execd]]",
        }
    }
}

/// One table in which Telegraf runs the program.
struct Snippet<'a> {
    kind: PluginKind,
    path: &'a Path,
    table: &'a toml::Table,
}

impl Snippet<'_> {
    fn place(&self) -> String {
        format!("{} of {}", self.kind.words(), self.path.display())
    }

    /// The program and its arguments; `None` if they are no list of texts.
    fn command(&self) -> Option<Vec<String>> {
        let list = self.table.get("command")?.as_array()?;
        list.iter().map(|item| item.as_str().map(str::to_string)).collect()
    }
}

/// Everything that snippets are judged by.
pub struct SnippetScene<'a> {
    /// The configuration that is checked, and where it stands.
    pub config: &'a Config,
    pub path: &'a Path,
    pub places: &'a Places,
    pub files: &'a [AgentFile],
    pub running: Option<&'a RunningTelegraf>,
    pub eyes: Eyes<'a>,
    pub understand: Understand,
}

/// Judges what Telegraf's configuration says of us.
pub fn judge(scene: &SnippetScene<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in scene.files.iter().filter(|file| file.table.contains_key("summary")) {
        found.push(Finding::failure(
            "telegraf.file",
            format!("{} is a configuration of telegraf-rollup: Telegraf does not start with it", file.path.display()),
            "move it to /etc/telegraf-rollup/rollup.toml, and name it behind --config in the snippet",
        ));
    }
    let snippets = snippets(scene.files, scene.path);
    if snippets.is_empty() {
        found.push(nothing_runs_us(scene));
        return found;
    }
    let mut ours = Vec::new();
    for snippet in &snippets {
        let command = command(snippet, scene, &mut found);
        plugin(snippet, scene, &mut found);
        if let Some(state_dir) = command {
            ours.push((snippet, state_dir));
        }
    }
    together(&ours, &mut found);
    agent(scene, &snippets, &mut found);
    found
}

/// The tables in which Telegraf runs us.
fn snippets<'a>(files: &'a [AgentFile], config: &Path) -> Vec<Snippet<'a>> {
    let mut out = Vec::new();
    for file in files {
        for (section, kind) in [("processors", PluginKind::Processor), ("outputs", PluginKind::OutputPlugin)] {
            let plugins = file.table.get(section).and_then(|section| section.get("execd"));
            let tables: Vec<&toml::Value> = match plugins {
                Some(toml::Value::Array(tables)) => tables.iter().collect(),
                Some(table) => vec![table],
                None => Vec::new(),
            };
            let tables = tables.into_iter().filter_map(toml::Value::as_table).filter(|table| is_ours(table, config));
            out.extend(tables.map(|table| Snippet { kind, path: &file.path, table }));
        }
    }
    out
}

/// True if a table runs the program, or one that is given our configuration.
fn is_ours(table: &toml::Table, config: &Path) -> bool {
    let is_it = |word: &str| is_program(word) && !word.ends_with(".toml");
    let names_us = |value: &toml::Value| {
        value.as_str().is_some_and(|text| text.split_whitespace().any(is_it) || Path::new(text) == config)
    };
    let is_named = table.get("alias").is_some_and(names_us);
    match table.get("command") {
        Some(toml::Value::Array(items)) => is_named || items.iter().any(names_us),
        Some(value) => is_named || names_us(value),
        None => is_named,
    }
}

fn nothing_runs_us(scene: &SnippetScene<'_>) -> Finding {
    let Places { paths, remote, is_installed, .. } = scene.places;
    if !is_installed {
        return Finding::fine(
            "telegraf",
            "there is no Telegraf on this machine: nothing was looked at of its configuration",
        );
    }
    if !remote.is_empty() {
        return Finding::fine("telegraf", "not looked at: whether the part that Telegraf fetches runs the program");
    }
    let places: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let places = if places.is_empty() { "Telegraf's configuration".to_string() } else { places.join(" and ") };
    let into = if cfg!(windows) {
        "telegraf/processor-windows.conf into telegraf.d beside telegraf.conf"
    } else {
        "telegraf/processor.conf to /etc/telegraf/telegraf.d/telegraf-rollup.conf, and reload Telegraf"
    };
    Finding::warning(
        "telegraf",
        format!("nothing in {places} runs the program: no line is counted"),
        format!("copy {into}"),
    )
}

/// Judges the program and its arguments. Returns the state directory that it uses, if it is known.
fn command(snippet: &Snippet<'_>, scene: &SnippetScene<'_>, found: &mut Vec<Finding>) -> Option<PathBuf> {
    const SUBJECT: &str = "telegraf.command";
    let place = snippet.place();
    let output = if snippet.kind == PluginKind::OutputPlugin { "\"--output\", " } else { "" };
    let example = format!(
        "write command = [\"/usr/bin/telegraf-rollup\", \"run\", {output}\"--config\", \"{}\"]",
        scene.path.display()
    );
    let Some(command) = snippet.command().filter(|command| !command.is_empty()) else {
        found.push(Finding::failure(
            SUBJECT,
            format!("`command` in {place} is no list of strings: Telegraf does not start with it"),
            example,
        ));
        return None;
    };
    let (program, arguments) = command.split_first()?;
    if command.iter().any(|word| word.contains('$')) {
        found.push(Finding::fine(SUBJECT, format!("not looked at: `command` in {place}, which has variables in it")));
        return None;
    }
    if program.contains(' ') && !Path::new(program).exists() {
        found.push(Finding::failure(
            SUBJECT,
            format!("`command` in {place} is one string: Telegraf looks for a program of that whole name"),
            format!("each argument is a string of its own: {example}"),
        ));
        return None;
    }
    if !is_program(program) {
        found.push(Finding::fine(SUBJECT, format!("not looked at: the arguments behind {program:?} in {place}")));
        return None;
    }
    executable(program, &place, scene, found);
    let (config, is_output) = match (scene.understand)(arguments) {
        Ok(Meant::Run { config, output }) => (config, output),
        Ok(Meant::Another) => {
            found.push(Finding::failure(
                SUBJECT,
                format!("`command` in {place} does not run the program: its first argument must be \"run\""),
                example,
            ));
            return None;
        }
        Err(reason) => {
            found.push(Finding::failure(
                SUBJECT,
                format!("the arguments in {place} cannot be understood, lines pass and nothing is counted: {reason}"),
                example,
            ));
            return None;
        }
    };
    match (snippet.kind, is_output) {
        (PluginKind::Processor, true) => found.push(Finding::failure(
            "telegraf.output",
            format!(
                "`--output` in {place}: nothing comes back from the program, and all metrics that reach it are lost"
            ),
            "remove --output: it is for [[outputs.execd]]",
        )),
        (PluginKind::OutputPlugin, false) => found.push(Finding::warning(
            "telegraf.output",
            format!("{place} lacks `--output`: Telegraf writes every line that comes back into its log"),
            "put \"--output\" behind \"run\"",
        )),
        _ => {}
    }
    let same = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let start = scene.running.and_then(|telegraf| telegraf.folder.as_deref()).unwrap_or(Path::new("/"));
    let config = start.join(config);
    match same(&config) == same(scene.path) {
        true => found.push(Finding::fine("telegraf", format!("{place} runs the program with this configuration"))),
        false => found.push(Finding::warning(
            "telegraf.config",
            format!("{place} runs the program with another configuration, {}", config.display()),
            format!("check that one, or write \"--config\", \"{}\"", scene.path.display()),
        )),
    }
    // Who has a configuration that cannot be read shares nothing.
    let other = || text::read(&config).ok().and_then(|text| Config::check(&text, &|_| None).ok());
    Some(match same(&config) == same(scene.path) {
        true => scene.config.state_dir.clone(),
        false => other().map_or(config.clone(), |other| other.state_dir),
    })
}

/// True if a word of a command is our program, and no shell around it.
fn is_program(word: &str) -> bool {
    word.rsplit(['/', '\\']).next().is_some_and(|name| name.starts_with("telegraf-rollup"))
}

/// Looks whether Telegraf can start the program.
fn executable(program: &str, place: &str, scene: &SnippetScene<'_>, found: &mut Vec<Finding>) {
    const SUBJECT: &str = "telegraf.command";
    if program.contains('\\') && !cfg!(windows) {
        found.push(Finding::fine(SUBJECT, format!("not looked at: {program}, a program for Windows")));
        return;
    }
    let path = Path::new(program);
    let candidates: Vec<PathBuf> = if path.is_absolute() {
        vec![path.to_path_buf()]
    } else if program.contains(['/', '\\']) {
        let text = format!("{program} in {place} depends on the folder that Telegraf is started in");
        found.push(Finding::warning(SUBJECT, text, "write the path from the root, as in /usr/bin/telegraf-rollup"));
        return;
    } else {
        // What systemd gives to a service without a PATH of its own.
        const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
        let own = || if cfg!(windows) { std::env::var("PATH").ok() } else { None };
        let search =
            scene.running.and_then(|telegraf| telegraf.search.clone()).or_else(own).unwrap_or(SEARCH.to_string());
        std::env::split_paths(&search)
            .flat_map(|folder| [folder.join(program), folder.join(format!("{program}.exe"))])
            .filter(|path| cfg!(windows) || path.extension().is_none_or(|e| e != "exe"))
            .collect()
    };
    let answers: Vec<_> = candidates.iter().map(|path| scene.eyes.may(path, Wish::Execute)).collect();
    if answers.iter().any(Result::is_ok) {
        return;
    }
    let name = &scene.eyes.account.name;
    let is_missing =
        |answer: &Result<(), Denial>| matches!(answer, Err(Denial::By(e)) if e.kind() == io::ErrorKind::NotFound);
    found.push(match answers.iter().any(|answer| matches!(answer, Err(Denial::Unknown(_)))) {
        true => Finding::fine(SUBJECT, format!("not looked at: whether {name} can run {program}; root sees more")),
        false if answers.iter().all(is_missing) => Finding::failure(
            SUBJECT,
            format!("{program} in {place} does not exist: Telegraf does not start without it"),
            "copy the program there, or correct the path",
        ),
        false => Finding::failure(
            SUBJECT,
            format!("{program} in {place} cannot be run by {name}: Telegraf does not start without it"),
            format!("as root: `chmod 755 {program}`, and the folders above it must let {name} in"),
        ),
    });
}

/// Judges the keys beside the command.
fn plugin(snippet: &Snippet<'_>, scene: &SnippetScene<'_>, found: &mut Vec<Finding>) {
    let place = snippet.place();
    let format = snippet.table.get("data_format").and_then(toml::Value::as_str);
    if let Some(format) = format.filter(|format| *format != "influx" && !format.contains('$')) {
        found.push(Finding::failure(
            "telegraf.data_format",
            format!("data_format = {format:?} in {place}: the program reads and writes line protocol alone"),
            "write data_format = \"influx\"",
        ));
    }
    if snippet.kind == PluginKind::Processor && !snippet.table.contains_key("restart_delay") {
        found.push(Finding::warning(
            "telegraf.restart_delay",
            format!("{place} has no `restart_delay`: after an end of the program Telegraf drops its metrics for 10 s"),
            "write restart_delay = \"1s\"",
        ));
    }
    let filters = PluginFilters::read(snippet.table);
    if snippet.kind == PluginKind::Processor && filters.changes_metrics() {
        found.push(Finding::warning(
            "telegraf.fields",
            format!("{place} takes fields or tags away: it does so for everything behind it, InfluxDB too"),
            "remove fieldinclude, fieldexclude, taginclude and tagexclude there",
        ));
    }
    let renamed =
        ["name_override", "name_prefix", "name_suffix"].into_iter().find(|key| snippet.table.contains_key(*key));
    match renamed {
        Some(key) => {
            let text = format!("not looked at: the filters of {place}, where `{key}` gives measurements other names");
            found.push(Finding::fine("telegraf.namepass", text));
        }
        None => found.extend(filters.judge(&scene.config.schema, &place)),
    }
}

/// Judges several snippets beside each other.
fn together(ours: &[(&Snippet<'_>, PathBuf)], found: &mut Vec<Finding>) {
    for (i, (snippet, state_dir)) in ours.iter().enumerate() {
        let before = ours[..i].iter().find(|(_, other)| other == state_dir);
        let Some((other, _)) = before else { continue };
        let places = format!("{} and {}", other.place(), snippet.place());
        found.push(match other.kind == snippet.kind {
            true => Finding::warning(
                "telegraf.twice",
                format!("{places} share one state_dir: one of the two counts, and the other one only passes lines on"),
                "keep one of them, with all measurements in its namepass",
            ),
            false => Finding::warning(
                "telegraf.twice",
                format!("{places} both run the program: nothing is counted twice, but every line is handled twice"),
                "keep one of them; telegraf/README.md says which one is for whom",
            ),
        });
    }
}

/// Judges what the whole agent does to our lines.
fn agent(scene: &SnippetScene<'_>, snippets: &[Snippet<'_>], found: &mut Vec<Finding>) {
    let tables = |name: &str| -> Vec<&toml::Table> {
        scene.files.iter().filter_map(|file| file.table.get(name)?.as_table()).collect()
    };
    let agent = |key: &str| tables("agent").into_iter().find_map(|table| table.get(key)?.as_bool());
    let asks_for_host = scene.config.schema.summaries.iter().any(|summary| summary.key.iter().any(|tag| tag == "host"));
    let has_global = tables("global_tags").iter().chain(&tables("tags")).any(|tags| tags.contains_key("host"));
    if agent("omit_hostname") == Some(true) && asks_for_host && !has_global {
        let text = "omit_hostname = true in [agent]: Telegraf adds no tag \"host\", which is a key here";
        found.push(match may_set_host(scene.files, snippets) {
            true => {
                Finding::fine("telegraf.agent", format!("{text}; not looked at: whether every line brings its own"))
            }
            false => Finding::warning("telegraf.agent", text, "remove omit_hostname, or set host in [global_tags]"),
        });
    }
    let has_processor = snippets.iter().any(|snippet| snippet.kind == PluginKind::Processor);
    if has_processor && !tables("aggregators").is_empty() && agent("skip_processors_after_aggregators").is_none() {
        found.push(Finding::fine(
            "telegraf.aggregators",
            "there are aggregators: before 1.40 Telegraf starts the program a second time behind them, which is harmless; \
             skip_processors_after_aggregators = true in [agent] ends it",
        ));
    }
}

/// True if something may give lines a host: an input that passes on what others send, another processor, or tags of an input.
fn may_set_host(files: &[AgentFile], snippets: &[Snippet<'_>]) -> bool {
    const OWN: [&str; 18] = [
        "cpu",
        "temp",
        "sensors",
        "turbostat",
        "intel_powerstat",
        "mem",
        "disk",
        "diskio",
        "net",
        "system",
        "swap",
        "processes",
        "kernel",
        "nvidia_smi",
        "amd_rocm_smi",
        "win_perf_counters",
        "internal",
        "netstat",
    ];
    let plugins = |name: &str| -> Vec<(&String, &toml::Value)> {
        files.iter().filter_map(|file| file.table.get(name)?.as_table()).flatten().collect()
    };
    let inputs = plugins("inputs");
    let has_host = |plugin: &toml::Value| match plugin {
        toml::Value::Array(tables) => {
            tables.iter().any(|table| table.get("tags").is_some_and(|t| t.get("host").is_some()))
        }
        _ => false,
    };
    let processors: usize = plugins("processors").iter().map(|(_, p)| p.as_array().map_or(1, Vec::len)).sum();
    let ours = snippets.iter().filter(|snippet| snippet.kind == PluginKind::Processor).count();
    inputs.into_iter().any(|(name, plugin)| !OWN.contains(&name.as_str()) || has_host(plugin)) || processors > ours
}
