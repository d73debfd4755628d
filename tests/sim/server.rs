//! A database whose connections break before, during and after each statement; a statement may also be carried out long
//! after its connection was lost.

use super::Mutant;
use super::chance;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telegraf_rollup::engine::ids::Key;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

type PartialKey = (Key, i64, Arc<str>);
type RowKey = (WindowKind, Key, i64);

#[derive(Clone)]
enum Statement {
    Partials(Vec<PartialRecord>),
    Rows(WindowKind, Vec<RowRecord>),
}

#[derive(Default)]
struct Tables {
    partials: BTreeMap<PartialKey, PartialRecord>,
    rows: BTreeMap<RowKey, RowRecord>,
    /// Statements that the server has received and not carried out.
    late: Vec<Statement>,
    mutant: Mutant,
    /// How often a row with samples was put.
    puts: BTreeMap<RowKey, u32>,
}

impl Tables {
    fn put_partial(&mut self, record: &PartialRecord) {
        let key = (record.key.clone(), record.window_start, record.run.clone());
        let may = self.mutant == Mutant::PartialsAreNotGuarded
            || self.partials.get(&key).is_none_or(|old| old.rev <= record.rev);
        if may {
            // A run has one writer for good, as in the tables.
            let writer = self.partials.get(&key).map_or(&record.writer, |old| &old.writer).clone();
            self.partials.insert(key, PartialRecord { writer, ..record.clone() });
        }
    }

    fn put_row(&mut self, kind: WindowKind, row: &RowRecord) {
        let key = (kind, row.key.clone(), row.span.start);
        if row.summed.samples > 0 {
            *self.puts.entry(key.clone()).or_default() += 1;
        }
        match self.rows.get_mut(&key) {
            Some(old) if old.revision > row.revision && self.mutant != Mutant::RowsAreNotGuarded => {}
            Some(old) => {
                let is_final = row.is_final || (old.is_final && old.revision == row.revision);
                *old = RowRecord { is_final, ..row.clone() };
            }
            None => {
                self.rows.insert(key, row.clone());
            }
        }
    }

    fn carry_out(&mut self, statement: &Statement) {
        match statement {
            Statement::Partials(records) => records.iter().for_each(|record| self.put_partial(record)),
            Statement::Rows(kind, rows) => rows.iter().for_each(|row| self.put_row(*kind, row)),
        }
    }
}

#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<Tables>>);

impl Server {
    pub fn new(mutant: Mutant) -> Server {
        Server(Arc::new(Mutex::new(Tables { mutant, ..Tables::default() })))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out some of what was late, or all of it.
    pub fn catch_up(&self, all: bool) {
        let mut tables = self.tables();
        while !tables.late.is_empty() && (all || chance::percent(30)) {
            let index = chance::below(tables.late.len() as u64) as usize;
            let statement = tables.late.swap_remove(index);
            tables.carry_out(&statement);
        }
    }

    pub fn rows(&self) -> Vec<(WindowKind, RowRecord)> {
        self.tables().rows.iter().map(|((kind, _, _), row)| (*kind, row.clone())).collect()
    }

    /// Rows that were put more than once.
    pub fn twice(&self) -> Vec<(WindowKind, Key, i64, u32)> {
        let tables = self.tables();
        let twice = tables.puts.iter().filter(|(_, count)| **count > 1);
        twice.map(|((kind, key, start), count)| (*kind, key.clone(), *start, *count)).collect()
    }

    /// How often each row with samples was put.
    pub fn puts(&self) -> Vec<(WindowKind, u32)> {
        self.tables().puts.iter().map(|((kind, _, _), count)| (*kind, *count)).collect()
    }

    pub fn partials(&self) -> Vec<PartialRecord> {
        self.tables().partials.values().cloned().collect()
    }

    fn execute(&self, statement: Statement) -> Result<(), SinkError> {
        chance::step();
        let lost = || SinkError::Temporary("simulated: connection lost".to_string());
        let faults = chance::faults();
        if faults.sink_away || chance::percent(faults.sink) {
            if faults.sink_away || chance::percent(40) {
                return if self.tables().mutant == Mutant::AcknowledgedBeforeWritten { Ok(()) } else { Err(lost()) };
            }
            let mut tables = self.tables();
            match chance::below(3) {
                0 => tables.carry_out(&statement),
                1 => tables.late.push(statement),
                // Not even one statement is all or nothing.
                _ => match statement {
                    Statement::Partials(records) => {
                        records.iter().filter(|_| chance::percent(50)).for_each(|r| tables.put_partial(r));
                    }
                    Statement::Rows(kind, rows) => {
                        rows.iter().filter(|_| chance::percent(50)).for_each(|row| tables.put_row(kind, row));
                    }
                },
            }
            return Err(lost());
        }
        self.tables().carry_out(&statement);
        chance::step();
        Ok(())
    }
}

impl Sink for Server {
    fn prepare(&mut self, _: &Schema) -> Result<(), SinkError> {
        chance::step();
        if chance::faults().sink_away {
            return Err(SinkError::Temporary("simulated: away".to_string()));
        }
        Ok(())
    }

    fn put_partials(&mut self, _: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        self.execute(Statement::Partials(records.to_vec())).map(|()| Vec::new())
    }

    fn read_partials(
        &mut self,
        _: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        chance::step();
        if chance::percent(chance::faults().sink) {
            return Err(SinkError::Temporary("simulated: connection lost".to_string()));
        }
        let tables = self.tables();
        let mut out = Vec::new();
        if tables.mutant == Mutant::OthersAreNotRead {
            return Ok(out);
        }
        for PartialRange { key, span } in ranges {
            let bound = |at: i64| (key.clone(), at, Arc::from(""));
            out.extend(
                tables.partials.range(bound(span.start)..bound(span.end)).map(|(_, record)| record.found(states)),
            );
        }
        Ok(out)
    }

    fn put_rows(
        &mut self,
        _: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        _: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.execute(Statement::Rows(kind, rows.to_vec())).map(|()| Vec::new())
    }

    fn purge(&mut self, _: &Summary, _: Option<WindowKind>, _: i64, _: i64) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, _: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        Ok(Vec::new())
    }
}
