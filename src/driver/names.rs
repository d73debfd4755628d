//! Names for good: of runs, and of states among the writers of a sink.

use super::clock;

/// Returns a random number that names something for good.
pub fn random() -> u128 {
    use std::hash::BuildHasher;
    // The standard library seeds this hasher from the system's source of randomness.
    let half = || u128::from(std::hash::RandomState::new().hash_one(clock::now()));
    half() << 64 | half()
}
