//! How values stand in the columns of `state.db`.
//!
//! Partials are the same JSON text as in the sink. What may hold any byte (heads, field keys) is binary, with the length
//! before each text: little endian, 32 bits.

use crate::durable::state_error::StateError;
use crate::engine::aggregate::kind::Kind;
use crate::engine::aggregate::moments::Moments;
use crate::engine::aggregate::partial::Partial;
use crate::engine::aggregate::state::AccumulatorState;
use crate::engine::ids::{DeviceId, SeriesId, SlotId};
use crate::engine::line::head::Head;
use crate::engine::persist::stored::{StoredDevice, StoredPart, StoredSlot};
use crate::engine::schema::Summary;
use crate::engine::series::feed::Sample;
use crate::engine::zone::Span;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

/// Ids are whole numbers in the tables.
macro_rules! ids_in_tables {
    ($($id:ident),*) => {$(
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.into())
            }
        }

        impl FromSql for $id {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<$id> {
                u32::column_result(value).map($id)
            }
        }
    )*};
}

ids_in_tables!(DeviceId, SeriesId, SlotId);

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*taken)
}

fn take_bytes<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = u32::from_le_bytes(take(rest)?) as usize;
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

/// A head as bytes.
pub fn head_text(head: &Head) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, &head.measurement);
    for (key, value) in &head.tags {
        put_bytes(&mut out, key);
        put_bytes(&mut out, value);
    }
    out
}

/// Reads what [`head_text`] wrote.
pub fn read_head(bytes: &[u8]) -> Option<Head> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        parts.push(take_bytes(&mut rest)?.to_vec());
    }
    let mut parts = parts.into_iter();
    let measurement = parts.next()?;
    let mut tags = Vec::new();
    while let Some(key) = parts.next() {
        tags.push((key, parts.next()?));
    }
    Some(Head { measurement, tags })
}

/// What is remembered of a window.
fn past((span, moments): &(Span, Vec<(String, Moments)>)) -> Value {
    let of = |(hash, moments): &(String, Moments)| {
        (hash.clone(), json!(AccumulatorState::Moments(Box::new(moments.clone()))))
    };
    json!([span.start, span.end, moments.iter().map(of).collect::<serde_json::Map<_, _>>()])
}

/// Reads one entry of `past` in [`cursors`].
pub fn read_past(json: &Value) -> Option<(Span, Vec<(String, Moments)>)> {
    let moments = json[2].as_object()?.iter().filter_map(|(hash, json)| {
        match AccumulatorState::from_json(Kind::Moments, json)? {
            AccumulatorState::Moments(moments) => Some((hash.clone(), *moments)),
            _ => None,
        }
    });
    Some((Span { start: json[0].as_i64()?, end: json[1].as_i64()? }, moments.collect()))
}

/// What else is known of a device, as JSON.
pub fn cursors(device: &StoredDevice) -> String {
    let days: Vec<_> = device
        .days
        .iter()
        .map(|(d, zone)| json!([d.span.start, d.span.end, d.stale, d.final_written, zone.as_deref(), d.given]))
        .collect();
    json!({
        "filled": device.filled_until,
        "provisional": device.filled_provisionally,
        "forgotten": device.forgotten,
        "after": device.filled_after,
        "evicted": device.evicted_until,
        "zone": device.zone.as_deref(),
        "days": days,
        "past": device.past.iter().map(past).collect::<Vec<_>>(),
    })
    .to_string()
}

/// The parts of a window, as JSON: `[[run, rev, acknowledged, partial], ...]`.
pub fn parts_text(parts: &[StoredPart], summary: &Summary) -> String {
    let mut out = String::from("[");
    for part in parts {
        if out.len() > 1 {
            out.push(',');
        }
        let partial = part.partial.to_json(summary);
        out.push_str(&part_text(&part.run, part.rev, part.acknowledged, &partial));
    }
    out.push(']');
    out
}

/// One part, as it stands in [`parts_text`].
fn part_text(run: &str, rev: u64, acknowledged: u64, partial: &str) -> String {
    format!("[{},{rev},{acknowledged},{partial}]", json!(run))
}

/// Reads what [`parts_text`] wrote.
///
/// # Errors
/// It is not of this form.
pub fn read_parts(text: &str, summary: &Summary) -> Result<Vec<StoredPart>, StateError> {
    let part = |(run, rev, acknowledged, partial): RawPart<'_>| {
        let partial = Partial::from_json(partial.get(), summary).map_err(|e| StateError::value("a partial", e))?;
        Ok(StoredPart { run: run.into(), rev, acknowledged, partial })
    };
    raw_parts(text)?.into_iter().map(part).collect()
}

/// The same parts, of which the sink has nothing.
///
/// # Errors
/// It is not of the form that [`parts_text`] gives.
pub fn without_acknowledgements(text: &str) -> Result<String, StateError> {
    let parts = raw_parts(text)?;
    let parts: Vec<_> = parts.iter().map(|(run, rev, _, partial)| part_text(run, *rev, 0, partial.get())).collect();
    Ok(format!("[{}]", parts.join(",")))
}

/// What else is known of a device, as it is when the sink has nothing of windows that end after `from`: rows of days that end
/// later are due. What is not of the form that [`cursors`] gives stays as it is.
pub fn without_given(text: &str, from: i64) -> String {
    let Ok(mut json) = serde_json::from_str::<Value>(text) else { return text.to_string() };
    for day in json.get_mut("days").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some([_, end, stale, _, _, rest @ ..]) = day.as_array_mut().map(Vec::as_mut_slice) else { continue };
        if end.as_i64().is_some_and(|end| end > from) {
            *stale = json!(true);
            // States of earlier versions have no sum.
            rest.iter_mut().for_each(|given| *given = json!(0));
        }
    }
    json.to_string()
}

type RawPart<'t> = (String, u64, u64, &'t RawValue);

fn raw_parts(text: &str) -> Result<Vec<RawPart<'_>>, StateError> {
    serde_json::from_str(text).map_err(|e| StateError::value("the parts of a window", e))
}

/// What kind of pending point a slot has.
const NOTHING: u8 = 0;
const NUMBER: u8 = 1;
const TEXT: u8 = 2;
/// Set in the kind: the name of a run follows, which is that of the next slots, too.
const NEW_RUN: u8 = 0x80;

/// The slots of a series.
pub fn slots_bytes(slots: &[StoredSlot]) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + slots.len() * 32);
    let mut run: Option<&Arc<str>> = None;
    for slot in slots {
        let kind = match slot.pending {
            None => NOTHING,
            Some((_, Sample::Number(_))) => NUMBER,
            Some((_, Sample::Text(_))) => TEXT,
        };
        let is_new = run != Some(&slot.run);
        out.push(kind | if is_new { NEW_RUN } else { 0 });
        if is_new {
            put_bytes(&mut out, slot.run.as_bytes());
            run = Some(&slot.run);
        }
        out.extend_from_slice(&slot.id.0.to_le_bytes());
        if let Some((at, sample)) = slot.pending {
            out.extend_from_slice(&at.to_le_bytes());
            out.extend_from_slice(&sample.bits().to_le_bytes());
        }
        put_bytes(&mut out, &slot.field);
    }
    out
}

/// Reads what [`slots_bytes`] wrote; `None` if it is not of this form.
pub fn read_slots(series: SeriesId, bytes: &[u8]) -> Option<Vec<StoredSlot>> {
    let mut slots = Vec::new();
    let mut rest = bytes;
    let mut run: Option<Arc<str>> = None;
    while !rest.is_empty() {
        let [kind] = take(&mut rest)?;
        if kind & NEW_RUN != 0 {
            run = Some(std::str::from_utf8(take_bytes(&mut rest)?).ok()?.into());
        }
        let id = SlotId(u32::from_le_bytes(take(&mut rest)?));
        let mut point = || Some((i64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?)));
        let pending = match kind & !NEW_RUN {
            NOTHING => None,
            NUMBER => point().map(|(at, bits)| Some((at, Sample::Number(f64::from_bits(bits)))))?,
            TEXT => point().map(|(at, bits)| Some((at, Sample::Text(bits))))?,
            _ => return None,
        };
        let field = take_bytes(&mut rest)?.into();
        slots.push(StoredSlot { id, series, field, pending, run: run.clone()? });
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_back() {
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let slot = |id, field: &[u8], pending, run: &Arc<str>| StoredSlot {
            id: SlotId(id),
            series: SeriesId(7),
            field: field.into(),
            pending,
            run: run.clone(),
        };
        let slots = [
            slot(1, b"a", None, &one),
            slot(2, b"", Some((i64::MIN, Sample::Number(-0.0))), &one),
            slot(u32::MAX, &[0xff; 300], Some((1, Sample::Text(u64::MAX))), &two),
            slot(4, b"b", Some((0, Sample::Number(f64::MAX))), &one),
        ];
        let bytes = slots_bytes(&slots);
        assert_eq!(read_slots(SeriesId(7), &bytes).as_deref(), Some(&slots[..]));
        assert_eq!(read_slots(SeriesId(7), &[]), Some(Vec::new()));
        let ends: Vec<usize> = (1..=slots.len()).map(|n| slots_bytes(&slots[..n]).len()).collect();
        for cut in (1..bytes.len()).filter(|cut| !ends.contains(cut)) {
            assert_eq!(read_slots(SeriesId(7), &bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn heads_are_read_back() {
        let head = Head {
            measurement: b"m".to_vec(),
            tags: vec![(b"a".to_vec(), vec![0xff, 0]), (Vec::new(), b"v".to_vec())],
        };
        let bytes = head_text(&head);
        assert_eq!(read_head(&bytes), Some(head));
        assert_eq!(read_head(&bytes[..bytes.len() - 1]), None);
    }
}
