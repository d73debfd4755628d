//! The table of all keys: what the configuration may say, of which type, what holds without it, and what it means.
//!
//! The reader refuses what is not in this table and suggests what is. In a build with assertions it also stops when a
//! key is read that the table lacks, when a key is read as another type, and when a table of the document has been read
//! without asking for one of its keys. `tests/config.rs` compares the sample, the documents and the true defaults with it.

/// What a value looks like in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Text in quotes.
    Text,
    /// A number and a unit of time, in quotes.
    Duration,
    /// A duration, or the word "forever".
    DurationOrForever,
    /// A number and a unit of bytes, in quotes.
    Size,
    /// A number without a fraction that is not negative.
    WholeNumber,
    /// A finite number.
    Number,
    /// A list of two numbers, the lowest and the highest; `inf` and `-inf` for none.
    Range,
    /// A list of texts in quotes.
    TextList,
    /// A table whose keys stand in this list of keys too.
    Section,
    /// A list of such tables.
    SectionList,
    /// A table whose keys the user chooses, with texts as values.
    FreeTable,
}

impl KeyType {
    /// Returns the type in the words of people.
    pub fn words(self) -> &'static str {
        match self {
            KeyType::Text => "string",
            KeyType::Duration => "duration",
            KeyType::DurationOrForever => "duration or \"forever\"",
            KeyType::Size => "size",
            KeyType::WholeNumber => "whole number",
            KeyType::Number => "number",
            KeyType::Range => "list of two numbers",
            KeyType::TextList => "list of strings",
            KeyType::Section => "table",
            KeyType::SectionList => "list of tables",
            KeyType::FreeTable => "table of strings",
        }
    }

    /// Returns true if a value stands in quotes.
    pub fn is_quoted(self) -> bool {
        matches!(self, KeyType::Text | KeyType::Duration | KeyType::DurationOrForever | KeyType::Size)
    }
}

/// The default of a key that must be there.
pub const REQUIRED: &str = "required";
/// The default of a key without which nothing is assumed.
pub const NONE: &str = "none";

/// One key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigKey {
    /// Where it stands, without the places in lists: `summary.column.method`.
    pub path: &'static str,
    /// What its value looks like.
    pub key_type: KeyType,
    /// The value that holds without the key, without quotes; or [`REQUIRED`], or [`NONE`].
    pub default: &'static str,
    /// What it is for, in one sentence.
    pub meaning: &'static str,
}

impl ConfigKey {
    /// Returns the path of the table that holds the key; empty for the root.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Returns the key as it is written in its table.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// Returns the default as it is written in the document; `None` if there is no value to write.
    pub fn written_default(&self) -> Option<String> {
        match self.default {
            REQUIRED | NONE => None,
            text if self.key_type.is_quoted() => Some(format!("{text:?}")),
            text => Some(text.to_string()),
        }
    }
}

/// Spells the table of keys: path, type, default, meaning.
macro_rules! keys {
    ($($path:literal $key_type:ident $default:tt $meaning:literal;)*) => {
        /// Every key, section by section.
        pub const KEYS: &[ConfigKey] = &[$(ConfigKey {
            path: $path,
            key_type: KeyType::$key_type,
            default: $default,
            meaning: $meaning,
        }),*];
    };
}

keys! {
    "timezone" Text "UTC" "The zone that decides where an hour and a day begin.";
    "state_dir" Text "/var/lib/telegraf-rollup" "The folder for what must survive a restart; on Windows it is below %ProgramData%.";

    "sink" Section NONE "Where rows go.";
    "sink.url" Text NONE "The address of the database; without it, rows go to the SQLite file summary.db in `state_dir`.";
    "sink.password_file" Text NONE "The file that holds the password alone; without it, the credential mysql.password of systemd.";
    "sink.tls" Text "verify-full" "Encryption, and what the server must prove; to a server on this machine it is \"off\" by default.";
    "sink.ca_file" Text NONE "The certificate (PEM) of your own authority; without it, the public ones, not the system's store.";
    "sink.client_cert" Text NONE "The certificate (PEM) by which the server knows this client.";
    "sink.client_key" Text NONE "The key (PEM) of `client_cert`.";
    "sink.migrate" Text "auto" "Whether tables are made and completed (\"auto\") or only looked at (\"check\").";

    "retention" Section NONE "How long the sink keeps what.";
    "retention.hourly" DurationOrForever "forever" "How long rows of hours are kept.";
    "retention.daily" DurationOrForever "forever" "How long rows of days are kept.";
    "retention.partials" DurationOrForever "35d" "How long partial aggregates are kept; by default at least `lateness.max` and two days.";

    "flush" Section NONE "When rows are written.";
    "flush.every" Duration "1m" "How often changed rows are written.";
    "flush.daily_every" Duration "5m" "How often the row of a running day is written.";

    "lateness" Section NONE "When a point still counts.";
    "lateness.allowed" Duration "10m" "How long after its end a window is provisional.";
    "lateness.max" DurationOrForever "7d" "How old a point may be that is counted.";
    "lateness.future" Duration "5m" "How far in the future a point may be that is counted.";

    "missing" Section NONE "What becomes of a device that sends nothing.";
    "missing.horizon" Duration "7d" "How long after its last sample a device still gets rows.";

    "durability" Section NONE "What a power loss may take.";
    "durability.sync_every" Duration "5s" "How often the journal is synced to the disk.";

    "limits" Section NONE "Bounds on memory and disk.";
    "limits.series" WholeNumber "1000000" "How many series are remembered.";
    "limits.devices" WholeNumber "200000" "How many devices are counted, over all summaries.";
    "limits.dedupe_points" WholeNumber "65536" "How many counted points are remembered at least; 16 for each field if that is more.";
    "limits.journal_bytes" Size "1GiB" "How large the journal may grow while the state cannot be saved.";

    "summary" SectionList REQUIRED "A pair of tables with a row for each device and window.";
    "summary.name" Text REQUIRED "The first part of the names of the tables.";
    "summary.key" TextList REQUIRED "The tags that name a device.";
    "summary.windows" TextList r#"["hourly", "daily"]"# "Which tables are written.";
    "summary.expect_every" Duration "1m" "The length of the slots that `coverage` counts.";
    "summary.timezone_tag" Text NONE "The tag in which a device names its own zone; without it, `timezone` holds for all.";
    "summary.missing" Section NONE "What becomes of a device of this summary that sends nothing.";
    "summary.missing.horizon" Duration NONE "The horizon of this summary; without it, that of `missing`.";
    "summary.column" SectionList REQUIRED "A column of the tables.";
    "summary.column.name" Text REQUIRED "The name of the column.";
    "summary.column.method" Text REQUIRED "What the column shows of its samples.";
    "summary.column.unit" Text NONE "The unit of the values, for people.";
    "summary.column.valid" Range NONE "The lowest and the highest value that is a sample; without it, every value is one.";
    "summary.column.sources" SectionList REQUIRED "Where values come from, by priority; a column of anomalies has `rules` instead.";
    "summary.column.sources.measurement" Text REQUIRED "The measurement, or a pattern of it.";
    "summary.column.sources.tags" FreeTable NONE "The tags that a series must have, each with its value or a pattern of it.";
    "summary.column.sources.field" Text REQUIRED "The field that holds the value.";
    "summary.column.sources.scale" Number "1.0" "The number that a value is multiplied by.";
    "summary.column.sources.offset" Number "0.0" "The number that is added to a scaled value.";
    "summary.column.rules" TextList REQUIRED "The anomalies that a column of anomalies counts; no other column has rules.";

    "anomaly" SectionList NONE "A rule that flags values.";
    "anomaly.name" Text REQUIRED "The name by which a column refers to the rule.";
    "anomaly.column" Text NONE "The column whose values the rule watches; a rule has this or `source`.";
    "anomaly.source" Section NONE "Where values come from that no column shows.";
    "anomaly.source.measurement" Text REQUIRED "The measurement, or a pattern of it.";
    "anomaly.source.tags" FreeTable NONE "The tags that a series must have, each with its value or a pattern of it.";
    "anomaly.source.field" Text REQUIRED "The field that holds the value.";
    "anomaly.source.scale" Number "1.0" "The number that a value is multiplied by.";
    "anomaly.source.offset" Number "0.0" "The number that is added to a scaled value.";
    "anomaly.when" Text NONE "The condition that flags a value; a rule has this or `zscore`.";
    "anomaly.zscore" Number NONE "How many standard deviations from the mean flag a value.";
    "anomaly.baseline" WholeNumber "24" "How many hours with values make that mean.";
}

/// Sections of the root that this version knows but does not act on.
pub const LATER: [&str; 4] = ["internal", "alert", "notify", "source"];

/// Returns the key of a name in a section; `None` if the table has no such key.
pub fn find(section: &str, name: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.section() == section && key.name() == name)
}

/// Returns the names that may stand in a section, by letters.
pub fn names(section: &str) -> Vec<&'static str> {
    let own = KEYS.iter().filter(|key| key.section() == section).map(ConfigKey::name);
    let later = LATER.into_iter().filter(|_| section.is_empty());
    let mut names: Vec<_> = own.chain(later).collect();
    names.sort_unstable();
    names
}

/// Returns the names that may stand in a section and that this version acts on, by letters.
pub fn listed(section: &str) -> Vec<&'static str> {
    names(section).into_iter().filter(|name| find(section, name).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn paths_differ_and_lead_through_sections() {
        let paths: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
        assert_eq!(paths.len(), KEYS.len(), "a path stands twice");
        for key in KEYS.iter().filter(|key| !key.section().is_empty()) {
            let section = KEYS.iter().find(|other| other.path == key.section());
            let section = section.unwrap_or_else(|| panic!("{}: its section is missing", key.path));
            assert!(matches!(section.key_type, KeyType::Section | KeyType::SectionList), "{}", key.path);
        }
    }

    #[test]
    fn meanings_are_sentences() {
        for key in KEYS {
            let begins = key.meaning.starts_with(|c: char| c.is_uppercase());
            assert!(begins && key.meaning.ends_with('.'), "{}: {}", key.path, key.meaning);
            assert!(key.meaning.len() <= 100, "{}: too long for one short sentence", key.path);
        }
    }
}
