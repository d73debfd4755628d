//! What a file of the journal is, by its name.

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Own(u64),
    Adopted(u64),
    Guest,
}

impl Name {
    pub(super) fn of(name: &str) -> Option<Name> {
        if is_guest(name) {
            return Some(Name::Guest);
        }
        let stem = name.strip_suffix(".seg")?;
        let (digits, adopted) = stem.strip_suffix(".guest").map_or((stem, false), |digits| (digits, true));
        let position = (digits.len() == 20).then(|| digits.parse().ok())??;
        Some(if adopted { Name::Adopted(position) } else { Name::Own(position) })
    }

    pub(super) fn position(self) -> Option<u64> {
        match self {
            Name::Own(position) | Name::Adopted(position) => Some(position),
            Name::Guest => None,
        }
    }
}

pub(super) fn segment_name(position: u64) -> String {
    format!("{position:020}.seg")
}

/// The name of a guest's file.
pub fn guest_name(run: u128) -> String {
    format!("guest-{run:032x}.seg")
}

/// True for the name of a guest's file.
pub fn is_guest(name: &str) -> bool {
    name.starts_with("guest-") && name.ends_with(".seg")
}
