//! Rows of the summary tables -> one page of HTML that is read without a program: in a browser, in a mail, on paper.
//!
//! ```text
//! rows.rs   what the page is made of: devices with their rows of hours and days
//! judge.rs  which devices need attention, and why
//! words.rs  numbers, times and counts as people read them
//! plot.rs   values -> places on a chart; svg.rs -> paths
//! page.rs   rows -> what the page shows (texts and drawings); html.rs -> the page
//! ```
//!
//! Pure: no file, no clock, no database. Times are shown in the zone of the rows, whose local time each row carries, so that no
//! table of zones is needed here.
//! Deliberately absent: scripts, fonts, pictures, anything that a page would have to fetch.
//!
//! Invariants: every number on the page stands in a row, and `<data value>` has it with all digits; what is not there is a
//! gap, never 0; what was left out is named.

pub mod charts;
pub mod html;
pub mod judge;
pub mod page;
pub mod plot;
pub mod rows;
pub mod svg;
pub mod words;
