//! Seeded chance, and the moment at which the process dies.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Splitmix64: one seed, one history.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    /// True in `n` of a hundred cases.
    pub fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }
}

/// What fails at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// No room on the disk.
    pub full: bool,
    /// Percent of disk calls that fail.
    pub disk: u64,
    /// Percent of calls of the store that fail.
    pub store: u64,
    /// Percent of statements whose connection is lost.
    pub sink: u64,
    /// The server is away.
    pub sink_away: bool,
}

thread_local! {
    static RNG: RefCell<Rng> = const { RefCell::new(Rng(0)) };
    static FAULTS: Cell<Faults> = const { Cell::new(Faults { full: false, disk: 0, store: 0, sink: 0, sink_away: false }) };
    /// Calls of a port until the process dies; 0: it does not.
    static DEATH: Cell<u64> = const { Cell::new(0) };
}

struct Killed;

pub fn start(seed: u64) {
    RNG.set(Rng::new(seed));
    FAULTS.set(Faults::default());
    DEATH.set(0);
}

pub fn below(n: u64) -> u64 {
    RNG.with_borrow_mut(|rng| rng.below(n))
}

pub fn percent(n: u64) -> bool {
    RNG.with_borrow_mut(|rng| rng.percent(n))
}

pub fn id() -> u128 {
    RNG.with_borrow_mut(|rng| u128::from(rng.next()) << 64 | u128::from(rng.next()))
}

pub fn faults() -> Faults {
    FAULTS.get()
}

pub fn set_faults(faults: Faults) {
    FAULTS.set(faults);
}

/// A step of the process in the outer world: it may die here.
pub fn step() {
    let left = DEATH.get();
    if left > 0 {
        DEATH.set(left - 1);
        if left == 1 {
            // Without the panic hook: this is no error.
            resume_unwind(Box::new(Killed));
        }
    }
}

/// Runs something that dies at its step number `death` (0: not). `None` if it did.
pub fn until_death<T>(death: u64, work: impl FnOnce() -> T) -> Option<T> {
    DEATH.set(death);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEATH.set(0);
    match result {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<Killed>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs something during which the process does not die.
pub fn alive<T>(work: impl FnOnce() -> T) -> T {
    let death = DEATH.replace(0);
    let result = work();
    DEATH.set(death);
    result
}
