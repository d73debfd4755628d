//! The one way to a connected sink: its tables are made or completed, work is done, the connection is ended.

use crate::engine::schema::Schema;
use crate::sink::port::{Sink, SinkError};

/// Prepares a sink, does some work with it, and disconnects, whatever comes of the work.
///
/// # Errors
/// The sink cannot be prepared, or what the work says.
pub fn connected<T, E: From<SinkError>>(
    sink: &mut dyn Sink,
    schema: &Schema,
    work: impl FnOnce(&mut dyn Sink) -> Result<T, E>,
) -> Result<T, E> {
    let result = sink.prepare(schema).map_err(E::from).and_then(|()| work(sink));
    sink.disconnect();
    result
}
