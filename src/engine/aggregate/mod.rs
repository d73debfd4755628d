//! What is kept of the values of a window: mergeable states, one file each, and the partial and the row that are made of them.
//!
//! Every state has `observe` (one value), `merge` (another state of the same kind; commutative and associative) and a
//! way to read its results.

pub mod count;
pub mod coverage;
pub mod double_double;
pub mod extreme;
pub mod first_last;
pub mod judging;
pub mod kind;
pub mod moments;
pub mod partial;
mod partial_text;
pub mod row;
pub mod sketch;
pub mod state;
