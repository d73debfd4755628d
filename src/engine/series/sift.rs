//! Sifting heads: most series of a stream feed nothing, and that shows without decoding them.
//!
//! A head that is seen first is walked once, by the grammar. If no source asks for its measurement and its tags as they stand
//! on the wire, it feeds nothing. Whatever else there is to say of a head, [`super::compile::compile`] says it.

use crate::engine::line::head::split_head;
use crate::engine::line::token::unescape_token;
use crate::engine::pattern::Pattern;
use crate::engine::schema::{Schema, Source};
use std::ops::Range;

/// The sources of a schema, each combination of measurement and tags once.
pub struct Sift {
    sources: Vec<Source>,
    /// Where the tags of the head in hand stand in the line; kept to reuse its memory.
    tags: Vec<(Range<usize>, Range<usize>)>,
}

/// The tags that a source asks for, as they are written.
fn tags(source: &Source) -> impl Iterator<Item = (&str, &str)> {
    source.tags.iter().map(|(key, pattern)| (key.as_str(), pattern.text()))
}

impl Sift {
    /// What a schema asks for.
    pub fn new(schema: &Schema) -> Sift {
        let mut sources: Vec<Source> = Vec::new();
        for accumulator in schema.summaries.iter().flat_map(|summary| &summary.accumulators) {
            let source = &accumulator.source;
            let is_same =
                |known: &Source| known.measurement.text() == source.measurement.text() && tags(known).eq(tags(source));
            if !sources.iter().any(is_same) {
                sources.push(source.clone());
            }
        }
        Sift { sources, tags: Vec::new() }
    }

    /// The offset of the first field of a line whose head feeds nothing for certain; `None` if the head may feed something.
    ///
    /// # Errors
    /// The offset at which Telegraf's parser would give up.
    pub fn feeds_nothing(&mut self, line: &[u8]) -> Result<Option<usize>, usize> {
        let Sift { sources, tags } = self;
        tags.clear();
        let (measurement, fields_at) = split_head(line, |key, value| tags.push((key, value)))?;
        let measurement = &line[measurement];
        let is_plain = |bytes: &[u8]| memchr::memchr(b'\\', bytes).is_none();
        if !is_plain(measurement) || !tags.iter().all(|(key, _)| is_plain(&line[key.clone()])) {
            return Ok(None);
        }
        let has = |key: &str, pattern: &Pattern| {
            // Of a repeated key the last value counts.
            let found = tags.iter().rev().find(|(k, _)| line[k.clone()] == *key.as_bytes());
            found.is_some_and(|(_, value)| {
                let value = &line[value.clone()];
                if is_plain(value) { pattern.matches(value) } else { pattern.matches(&unescape_token(value)) }
            })
        };
        let asks = |source: &Source| {
            source.measurement.matches(measurement) && source.tags.iter().all(|(key, pattern)| has(key, pattern))
        };
        Ok((!sources.iter().any(asks)).then_some(fields_at))
    }
}
