//! The whole configuration: reads every section, and returns it checked or all that is wrong with it.

use super::durability::{Durability, durability};
use super::flush::{Flush, flush};
use super::lateness::lateness;
use super::limits::limits;
use super::meant::syntax;
use super::missing::missing_horizon;
use super::read::{Document, Environment, Table};
use super::report::Problems;
use super::retention::{Retention, retention};
use super::root;
use super::sink::{SinkConfig, sink};
use super::summary::summaries;
use super::units::DAY;
use crate::engine::schema::Schema;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::DeTable;

/// How long a silent device gets rows if the configuration does not say, in nanoseconds.
const MISSING_HORIZON: i64 = 7 * DAY;

/// A configuration that has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where state lives.
    pub state_dir: PathBuf,
    /// Where rows go.
    pub sink: SinkConfig,
    /// When rows are written.
    pub flush: Flush,
    /// What a power loss may take.
    pub durability: Durability,
    /// How long the sink keeps what.
    pub retention: Retention,
    /// What is computed.
    pub schema: Arc<Schema>,
    /// Things that are allowed but most likely not what was meant.
    pub warnings: Vec<String>,
    /// What only later versions act on, as one of the warnings. A running process has no use for it.
    pub later: Option<String>,
}

impl Config {
    /// Returns the warnings that a running process says: all but what only later versions act on.
    pub fn warnings_of_run(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().filter(|warning| self.later.as_ref() != Some(warning))
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// Every problem, each with its line, path and remedy.
    pub fn check(text: &str, environment: &Environment<'_>) -> Result<Config, Problems> {
        let document = Document::new(text, environment);
        let (parsed, errors) = DeTable::parse_recoverable(text);
        let errors = errors.iter().map(|e| (e.span().map_or(0, |s| s.start), e.message().to_string())).collect();
        for problem in syntax::explain(text, errors) {
            document.problem(problem.offset, &problem.path, problem.message);
        }
        // A document that is not TOML has only those problems: what the rest seems to say is guesswork.
        if let Some(report) = document.report() {
            return Err(report);
        }
        let root = Table::root(&document, parsed.get_ref());
        if let Some(offset) = of_telegraf(parsed.get_ref()) {
            document.problem(offset, syntax::WHOLE_FILE, syntax::TELEGRAF_REMEDY);
            return Err(document.report().unwrap_or(Problems(vec![])));
        }
        let config = build(&root);
        root.finish();
        match (document.report(), config) {
            (None, Some(config)) => Ok(config),
            (Some(report), _) => Err(report),
            (None, None) => Err(Problems(vec![])),
        }
    }
}

/// Returns where Telegraf's own configuration begins; `None` if a document is something else.
fn of_telegraf(root: &DeTable<'_>) -> Option<usize> {
    let is_ours = root.keys().any(|key| matches!(key.get_ref().as_ref(), "summary" | "sink" | "anomaly"));
    let theirs = root.keys().filter(|key| syntax::TELEGRAF.contains(&key.get_ref().as_ref()));
    theirs.map(|key| key.span().start).min().filter(|_| !is_ours)
}

/// Reads every section before anything is given up, so that all problems are found.
fn build(root: &Table<'_, '_>) -> Option<Config> {
    let mut warnings = Vec::new();
    let zone = root::zone(root);
    let state_dir = root::state_dir(root);
    let mut later = root::later(root);
    let sink = sink(root, &state_dir);
    let flush = flush(root);
    let lateness = lateness(root);
    let missing_horizon = missing_horizon(root, MISSING_HORIZON);
    let (limits, journal_bytes) = limits(root);
    let durability = durability(root, journal_bytes);
    let retention = retention(root, lateness);
    let summaries = summaries(root, missing_horizon, &mut warnings, &mut later)?;
    let later = (!later.is_empty()).then(|| format!("not built yet, and ignored: {}", later.join(", ")));
    warnings.extend(root.document.warnings());
    warnings.extend(later.clone());
    let judges = summaries.iter().any(|summary| !summary.scores.is_empty());
    let schema = Schema { zone: Arc::new(zone?), lateness, limits, summaries, judges };
    Some(Config { state_dir, sink: sink?, flush, durability, retention, schema: Arc::new(schema), warnings, later })
}
