//! From the tables of earlier versions to those of this one, in one transaction: a kill in between changes nothing.

use super::columns;
use crate::durable::state_error::StateError;
use crate::engine::persist::stored::StoredSlot;
use crate::engine::series::feed::Sample;
use rusqlite::{Connection, Row, params};

/// Makes the tables of an earlier version, which is at least 1, those of this one.
///
/// # Errors
/// The state is as it was, or as the version after it made it.
pub fn to_this_version(connection: &Connection, version: i64) -> Result<(), StateError> {
    if version <= 1 {
        from_1(connection)?;
    }
    if version <= 2 {
        from_2(connection)?;
    }
    Ok(())
}

/// Version 2 did not keep which zone has cut a window.
fn from_2(connection: &Connection) -> Result<(), StateError> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch("ALTER TABLE window ADD COLUMN zone TEXT; PRAGMA user_version = 3;")?;
    transaction.commit()?;
    Ok(())
}

/// Version 1 had a table of parts, and one of slots with a row for each.
fn from_1(connection: &Connection) -> Result<(), StateError> {
    let transaction = connection.unchecked_transaction()?;
    // A partial may be of a version that is not known: it is taken as it is.
    transaction.execute_batch(
        "ALTER TABLE window ADD COLUMN parts TEXT NOT NULL DEFAULT '[]';
         UPDATE window SET parts = (
           SELECT '[' || group_concat('[' || json_quote(run) || ',' || rev || ',' || acknowledged || ',' || state || ']') || ']'
           FROM part p WHERE p.device = window.device AND p.start = window.start)
         WHERE EXISTS (SELECT 1 FROM part p WHERE p.device = window.device AND p.start = window.start);
         DROP TABLE part;
         CREATE TABLE slots (series INTEGER PRIMARY KEY, slots BLOB NOT NULL);",
    )?;
    let slots = {
        let mut read =
            transaction.prepare("SELECT id, series, field, at, kind, bits, run FROM slot ORDER BY series, id")?;
        read.query_map([], read_slot)?.collect::<rusqlite::Result<Vec<StoredSlot>>>()?
    };
    for slots in slots.chunk_by(|one, next| one.series == next.series) {
        let mut put = transaction.prepare_cached("INSERT INTO slots VALUES (?, ?)")?;
        put.execute(params![slots[0].series, columns::slots_bytes(slots)])?;
    }
    transaction.execute_batch("DROP TABLE slot; PRAGMA user_version = 2;")?;
    transaction.commit()?;
    Ok(())
}

/// A slot of version 1.
fn read_slot(row: &Row<'_>) -> rusqlite::Result<StoredSlot> {
    let at: Option<i64> = row.get(3)?;
    let (kind, bits): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    let sample = kind.zip(bits).map(|(kind, bits)| match kind {
        0 => Sample::Number(f64::from_bits(bits.cast_unsigned())),
        _ => Sample::Text(bits.cast_unsigned()),
    });
    Ok(StoredSlot {
        id: row.get(0)?,
        series: row.get(1)?,
        field: row.get::<_, Vec<u8>>(2)?.into(),
        pending: at.zip(sample),
        run: row.get::<_, String>(6)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::db::StateDb;
    use super::*;
    use crate::config::Config;
    use crate::durable::store::{Meta, Store};
    use crate::engine::Engine;
    use crate::engine::persist::checkpoint::Slice;
    use crate::engine::persist::stored::{News, Stored};
    use crate::engine::schema::Schema;
    use serde_json::json;
    use std::sync::Arc;

    /// What version 1 made.
    const TABLES_1: &str = "
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE device (id INTEGER PRIMARY KEY, summary TEXT NOT NULL, key TEXT NOT NULL, cursors TEXT NOT NULL);
        CREATE TABLE window (
          device INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, newest INTEGER NOT NULL,
          done INTEGER NOT NULL, written INTEGER NOT NULL, final INTEGER NOT NULL, PRIMARY KEY (device, start)) WITHOUT ROWID;
        CREATE TABLE part (
          device INTEGER NOT NULL, start INTEGER NOT NULL, run TEXT NOT NULL, rev INTEGER NOT NULL,
          acknowledged INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (device, start, run)) WITHOUT ROWID;
        CREATE INDEX window_open ON window (device, start) WHERE done = 0;
        CREATE INDEX window_end ON window (end) WHERE done = 1;
        CREATE TABLE series (id INTEGER PRIMARY KEY, head BLOB NOT NULL);
        CREATE TABLE slot (
          id INTEGER PRIMARY KEY, series INTEGER NOT NULL, field BLOB NOT NULL, at INTEGER, kind INTEGER, bits INTEGER,
          run TEXT NOT NULL);
        CREATE TABLE dedupe (chunk INTEGER PRIMARY KEY, entries BLOB NOT NULL);
        PRAGMA user_version = 1;";

    /// Two devices with two windows each, two runs, and texts and numbers that are pending.
    fn stored() -> (Arc<Schema>, Stored) {
        let text = "state_dir = \"/unused\"\ntimezone = \"UTC\"\n[lateness]\nmax = \"forever\"\n[[summary]]\nname = \"s\"\n\
                    key = [\"host\"]\n[[summary.column]]\nname = \"v\"\nmethod = \"avg\"\n\
                    sources = [{ measurement = \"m\", field = \"v\" }, { measurement = \"m\", field = \"w\" }]\n";
        let schema = Config::check(text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
        let mut engine = Engine::new(schema.clone());
        let hour = 3_600_000_000_000;
        for (run, at) in [("one", 1), ("it's \"two\"", hour)] {
            engine.begin_run(run);
            for host in ["a", "b"] {
                for line in [
                    format!("m,host={host} v=1.5,w=2 {at}\n"),
                    format!("m,host={host} v=2.5 {}\n", at + 1),
                    format!("m,host={host} v=\"x\",w=-0.0 {}\n", at + 2),
                ] {
                    assert!(engine.ingest(line.as_bytes(), at));
                }
            }
        }
        (schema, engine.checkpoint().expect("complete"))
    }

    fn load(folder: &std::path::Path, schema: &Schema) -> (Meta, Stored) {
        let (mut store, aside) = StateDb::open(folder).expect("usable");
        assert!(aside.is_none());
        store.load(schema).expect("readable").expect("a state")
    }

    #[test]
    fn a_state_of_version_1_or_2_is_read_on() {
        let (schema, stored) = stored();
        let meta = Meta {
            writer: "w".to_string(),
            position: 77,
            absorbed: vec!["guest-1.seg".to_string()],
            ..Meta::default()
        };
        let new = tempfile::tempdir().expect("a folder");
        let (mut store, _) = StateDb::open(new.path()).expect("usable");
        let mut slices = vec![Slice::Last(stored.clone())];
        let mut next = || slices.pop().expect("one slice");
        assert!(
            store
                .commit(&schema, &meta, &News { series: stored.series.clone(), ..News::default() }, &mut next, i64::MIN)
                .expect("saved")
        );
        drop(store);

        let old = tempfile::tempdir().expect("a folder");
        let c = Connection::open(old.path().join("state.db")).expect("a database");
        c.execute_batch(TABLES_1).expect("tables");
        let put = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            c.execute(sql, values).expect("written");
        };
        let whole = json!({"writer": "w", "position": 77, "oldest": stored.dedupe.oldest, "absorbed": ["guest-1.seg"]});
        put("INSERT INTO meta VALUES ('meta', ?)", &[&whole.to_string()]);
        for device in &stored.devices {
            let key = json!(device.key[..]).to_string();
            put(
                "INSERT INTO device VALUES (?, ?, ?, ?)",
                &[&device.id, &device.summary, &key, &columns::cursors(device)],
            );
        }
        for w in &stored.windows {
            put(
                "INSERT INTO window VALUES (?, ?, ?, ?, ?, ?, ?)",
                &[&w.device, &w.span.start, &w.span.end, &w.newest, &w.is_done(), &w.written, &w.final_written],
            );
            for part in &w.parts {
                put(
                    "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)",
                    &[
                        &w.device,
                        &w.span.start,
                        &&*part.run,
                        &part.rev.cast_signed(),
                        &part.acknowledged.cast_signed(),
                        &part.partial.to_json(&schema.summaries[0]),
                    ],
                );
            }
        }
        for series in &stored.series {
            put("INSERT INTO series VALUES (?, ?)", &[&series.id, &columns::head_text(&series.head)]);
        }
        for slot in &stored.slots {
            let at = slot.pending.map(|(at, _)| at);
            let kind = slot.pending.map(|(_, sample)| i64::from(matches!(sample, Sample::Text(_))));
            let bits = slot.pending.map(|(_, sample)| sample.bits().cast_signed());
            put(
                "INSERT INTO slot VALUES (?, ?, ?, ?, ?, ?, ?)",
                &[&slot.id, &slot.series, &&*slot.field, &at, &kind, &bits, &&*slot.run],
            );
        }
        for (chunk, entries) in &stored.dedupe.chunks {
            put("INSERT INTO dedupe VALUES (?, ?)", &[&chunk.cast_signed(), entries]);
        }
        drop(c);

        let (read_meta, read) = load(old.path(), &schema);
        let (new_meta, mut expected) = load(new.path(), &schema);
        assert_eq!((&read_meta, &new_meta), (&meta, &meta));
        assert!(expected.windows.iter().all(|window| window.zone.as_deref() == Some("UTC")));
        // Earlier versions did not keep the zone of a window.
        expected.windows.iter_mut().for_each(|window| window.zone = None);
        assert_eq!(read, expected);
        assert_eq!((read.windows.len(), read.slots.len(), read.devices.len()), (4, 4, 2));
        assert!(read.windows.iter().any(|w| w.parts.iter().any(|part| &*part.run == "it's \"two\"")));
        // Once more: it is of the new version now.
        assert_eq!(load(old.path(), &schema).1, expected);

        // Version 2 is this one without that column.
        let c = Connection::open(new.path().join("state.db")).expect("a database");
        c.execute_batch("ALTER TABLE window DROP COLUMN zone; PRAGMA user_version = 2;").expect("changed");
        drop(c);
        assert_eq!(load(new.path(), &schema).1, expected);
    }
}
