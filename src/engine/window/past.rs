//! What is kept of a window that has left memory, for rules that judge by a baseline.

use crate::engine::aggregate::moments::Moments;
use crate::engine::ids::DefIndex;
use crate::engine::zone::Span;

/// What is remembered of a window: the moments of the sources that are judged, pending points not included.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    pub span: Span,
    /// Accumulator and moments.
    pub moments: Vec<(DefIndex, Moments)>,
}
