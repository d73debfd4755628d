//! The kinds of state that an accumulator can have, one file each beside this one.
//!
//! Which kind serves which method: [`crate::engine::schema::Method::kind`].

/// The states that an accumulator can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Sum,
    Moments,
    Extreme,
    FirstLast,
    Count,
    Flags,
    Sketch,
}

impl Kind {
    /// The name in stored partials.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sum => "sum",
            Kind::Moments => "moments",
            Kind::Extreme => "extreme",
            Kind::FirstLast => "firstlast",
            Kind::Count => "count",
            Kind::Flags => "flags",
            Kind::Sketch => "sketch",
        }
    }
}
