//! Series: from the head of a line to what its fields feed.

pub mod columns;
pub mod compile;
pub mod feed;
pub mod heads;
pub mod plan;
mod sift;
pub mod tally;
