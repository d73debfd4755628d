//! A head that is seen first -> what its fields feed.

use super::feed::{Feed, Field, Place, Target, is_tame};
use crate::engine::aggregate::kind::Kind;
use crate::engine::ids::{DefIndex, DeviceIndex, Key, SummaryIndex, ZoneIndex};
use crate::engine::line::head::Head;
use crate::engine::schema::{Rule, Schema, fnv1a};

/// What a head compiles to.
pub enum Compiled {
    Feeds {
        fields: Vec<Field>,
        places: Vec<Place>,
        /// A summary had no room for the device.
        lacks_room: bool,
    },
    Nothing,
    NoKey,
    OverLimit,
}

/// A device that a head feeds: the summary, and the text of its key tags.
pub type DeviceKey = (SummaryIndex, Key);

/// Matches a head against every source and lists what its fields feed.
///
/// `device` gives the index of a device, or `None` if the limit on devices is reached; `zone` that of a zone by its name,
/// or `None` if there is no such zone.
pub fn compile(
    schema: &Schema,
    head: &Head,
    mut device: impl FnMut(DeviceKey) -> Option<DeviceIndex>,
    mut zone: impl FnMut(&[u8]) -> Option<ZoneIndex>,
) -> Compiled {
    let mut fields: Vec<(&str, Vec<Target>)> = Vec::new();
    let mut places = Vec::new();
    let mut without_key = false;
    let mut over_limit = false;
    for (index, summary) in schema.summaries.iter().enumerate() {
        let mut wanted: Vec<(&str, Vec<Feed>)> = Vec::new();
        for (def, accumulator) in summary.accumulators.iter().enumerate() {
            let source = &accumulator.source;
            let matched = source.measurement.matches(&head.measurement)
                && source.tags.iter().all(|(k, p)| head.tag(k.as_bytes()).is_some_and(|v| p.matches(v)));
            if !matched {
                continue;
            }
            let takes_text = accumulator.kind == Kind::Count;
            let (low, high) = Feed::limits(source.valid, takes_text);
            let feed = Feed {
                def: DefIndex::of(def),
                scale: source.scale,
                offset: source.offset,
                low,
                high,
                takes_text,
                when: match accumulator.rule {
                    Some(Rule::When(when)) => Some(when),
                    Some(Rule::ZScore(_)) | None => None,
                },
            };
            match wanted.iter_mut().find(|(field, _)| *field == source.field) {
                Some((_, feeds)) => feeds.push(feed),
                None => wanted.push((&source.field, vec![feed])),
            }
        }
        if wanted.is_empty() {
            continue;
        }
        let key: Option<Key> = summary.key.iter().map(|k| head.tag(k.as_bytes()).map(key_text)).collect();
        let Some(key) = key else {
            without_key = true;
            continue;
        };
        let Some(device) = device((SummaryIndex::of(index), key)) else {
            over_limit = true;
            continue;
        };
        let named = summary.timezone_tag.as_ref().and_then(|tag| head.tag(tag.as_bytes()));
        let zone = named.and_then(&mut zone);
        places.push(Place { device, zone });
        for (field, feeds) in wanted {
            let place = (places.len() - 1) as u16;
            let is_tame = feeds.iter().all(|feed| is_tame(feed.scale) && is_tame(feed.offset));
            let is_bounded = feeds.iter().any(|feed| summary.accumulators[feed.def.at()].source.valid.is_bounded());
            let target = Target { place, summary: SummaryIndex::of(index), is_tame, is_bounded, feeds: feeds.into() };
            match fields.iter_mut().find(|(key, _)| *key == field) {
                Some((_, targets)) => targets.push(target),
                None => fields.push((field, vec![target])),
            }
        }
    }
    match fields.is_empty() {
        // A summary that has no room for one more device does not keep the others from counting.
        false => {
            let field = |(key, targets): (&str, Vec<Target>)| Field::new(key.as_bytes(), targets);
            Compiled::Feeds { fields: fields.into_iter().map(field).collect(), places, lacks_room: over_limit }
        }
        true if over_limit => Compiled::OverLimit,
        true if without_key => Compiled::NoKey,
        true => Compiled::Nothing,
    }
}

/// Longest key, in characters, that a table holds as it is.
pub const KEY_CHARS_MAX: usize = 191;

/// True if a text holds `\xNN`, as bytes that are not UTF-8 are shown.
fn holds_shown_byte(text: &[u8]) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.windows(4).any(|four| four[0] == b'\\' && four[1] == b'x' && is_hex(four[2]) && is_hex(four[3]))
}

/// A tag value as it is shown in a key column: bytes that are not UTF-8 as `\xNN`. A text that holds such a thing itself, or
/// has more than [`KEY_CHARS_MAX`] characters, ends in `~` and a hash of the whole, so that it stays unique; a long one is cut.
pub fn key_text(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    // A text that holds what a byte would be shown as must not be taken for that byte.
    if holds_shown_byte(value) || text.chars().count() > KEY_CHARS_MAX {
        let hash = fnv1a(value);
        text = text.chars().take(KEY_CHARS_MAX - 17).collect::<String>() + &format!("~{hash:016x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_and_the_text_that_shows_it_are_two_keys() {
        assert_eq!(key_text(b"pc\xff"), "pc\\xff");
        let text = key_text(br"pc\xff");
        assert!(text.starts_with("pc\\xff~") && text.len() == 23, "{text}");
        for plain in ["C:\\x", "C:\\xz1", "C:\\xAB", "C:\\Xab", "a~b"] {
            assert_eq!(key_text(plain.as_bytes()), plain);
        }
        // Both a byte and such a text.
        assert_ne!(key_text(b"\\xff\xff"), key_text(b"\xff\xff"));
    }
}
