//! The mergeable states behind the columns, one file each.
//!
//! Every state has `observe` (one value), `merge` (another state of the same kind; commutative and associative) and a
//! way to read its results. Which state serves which method: [`crate::engine::schema::Method::kind`].

pub mod baseline;
pub mod count;
pub mod coverage;
pub mod double_double;
pub mod extreme;
pub mod first_last;
pub mod moments;
pub mod sketch;
