//! `[retention]`: how long the sink keeps rows and partial aggregates.

use super::read::Table;
use super::units::DAY;
use crate::engine::schema::Lateness;

/// How long the sink keeps what, in nanoseconds from the start of a window; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Rows of hours.
    pub hourly: Option<i64>,
    /// Rows of days.
    pub daily: Option<i64>,
    /// Partial aggregates are needed as long as a point may come for their window, and for the day that it is in.
    pub partials: Option<i64>,
}

/// Rows are kept for at least this long.
const ROWS_MIN: i64 = 2 * DAY;
/// Partials are kept for at least this long beyond `lateness.max`: a day of 25 hours, and the hour of the purge ...
const PARTIALS_MARGIN: i64 = 2 * DAY;
/// ... and at least for this long: a writer whose sink has been away must find those of its days.
const PARTIALS_MIN: i64 = 14 * DAY;
/// For as long as this, unless points may come even later.
const PARTIALS_KEPT: i64 = 35 * DAY;

/// Reads the section.
pub fn retention(root: &Table<'_, '_>, lateness: Lateness) -> Retention {
    root.section("retention", |table| {
        let read = |key, default: Option<i64>, least: i64, why: &str| {
            let Some(at) = table.and_then(|t| t.duration_or_forever(key)) else { return default };
            if at.value.is_some_and(|value| value < least) {
                root.document.problem_at(&at, why);
            }
            at.value
        };
        let partials_least = lateness.max.saturating_add(PARTIALS_MARGIN).max(PARTIALS_MIN);
        let partials_default = (lateness.max < i64::MAX).then(|| partials_least.max(PARTIALS_KEPT));
        let rows = "must be at least \"2d\", or \"forever\": write, for example, \"400d\"";
        let partials = "must be at least lateness.max and two days, and \"14d\" (or \"forever\"), because a late point needs the others of its day: write \"35d\" or more";
        Retention {
            hourly: read("hourly", None, ROWS_MIN, rows),
            daily: read("daily", None, ROWS_MIN, rows),
            partials: read("partials", partials_default, partials_least, partials),
        }
    })
}
