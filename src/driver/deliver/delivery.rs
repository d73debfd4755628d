//! One delivery: a flush of what is due, and before it of what waits in stored state because the sink has been away.

use super::session::connected;
use super::vault::Vault;
use crate::driver::flush::due::DEVICES_A_SLICE;
use crate::driver::flush::pass::{self, FlushMemory, Flushed, Scope};
use crate::driver::intake::shared::Shared;
use crate::durable::state_error::StateError;
use crate::engine::schema::Schema;
use crate::sink::port::{Sink, SinkError};

/// How often a delivery goes through what waits in stored state.
const ROUNDS_MAX: u32 = 2;

/// Why a delivery did not write everything.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Writes what is due at `now` (nanoseconds since the epoch) to a sink. Rows that are not made of its answers are counted in
/// `memory`.
///
/// # Errors
/// Not everything was written; what was not is due again.
pub fn deliver(
    vault: &mut dyn Vault,
    shared: &Shared,
    sink: &mut dyn Sink,
    memory: &mut FlushMemory,
    now: i64,
    scope: Scope,
) -> Result<Flushed, DeliveryError> {
    let Some(schema) = shared.with(|engine| engine.schema().clone()) else { return Ok(Flushed::default()) };
    // Before anything is fetched for a sink that is away.
    connected(sink, &schema, |sink| {
        memory.quarantine.begin_delivery();
        memory.missing = 0;
        vault.secure(shared, now)?;
        let writer = vault.writer();
        let foreign = write_waiting(vault, shared, sink, memory, now);
        unpin_all(shared);
        let foreign = foreign?;
        let flushed = pass::flush(shared, sink, memory, &writer, now, scope)?;
        let foreign = foreign + flushed.foreign;
        if foreign == 0 {
            return Ok(flushed);
        }
        log::warn!(
            "somebody else writes to the sink in the name of this very process (a machine that was set back to a snapshot \
             while it ran): going on under a new name"
        );
        shared.begin_run();
        Ok(Flushed { foreign, ..pass::flush(shared, sink, memory, &writer, now, scope)? })
    })
}

/// Makes the tables, so that a dashboard can be made before the first row.
///
/// # Errors
/// The sink is away, or its tables do not fit.
pub fn make_tables(sink: &mut dyn Sink, schema: &Schema) -> Result<(), SinkError> {
    let made = connected(sink, schema, |_| Ok(()));
    // There may be no row for long.
    sink.close();
    made
}

/// Writes the windows that wait in stored state, some at a time. Returns of how many of them the sink has more in the name of
/// our run than we have given it.
fn write_waiting(
    vault: &mut dyn Vault,
    shared: &Shared,
    sink: &mut dyn Sink,
    memory: &mut FlushMemory,
    now: i64,
) -> Result<usize, DeliveryError> {
    let mut foreign = 0;
    let writer = vault.writer();
    // Others may leave memory while these are written; what is refused does so again and again.
    for _ in 0..ROUNDS_MAX {
        if shared.with(|engine| engine.away()).unwrap_or_default() == 0 {
            break;
        }
        let mut after = None;
        while let Some(last) = vault.hydrate(shared, after)? {
            after = Some(last);
            foreign += pass::flush(shared, sink, memory, &writer, now, Scope::Windows)?.foreign;
            unpin_all(shared);
            vault.save(shared, now)?;
        }
    }
    Ok(foreign)
}

/// Lets windows leave memory again that were taken back and were not due.
fn unpin_all(shared: &Shared) {
    shared.slices(|engine, from| engine.unpin_slice(from, DEVICES_A_SLICE));
}
