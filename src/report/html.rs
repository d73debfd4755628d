//! The page as HTML, by a template; the style is in it.

use super::page::{Layout, SECTIONS_MAX, SummarySection, section};
use super::rows::SummaryRows;
use askama::Template;

/// A page is at most so large, if it can be made so by fewer sections: what a mail takes.
pub const BYTES_MAX: usize = 2 * 1024 * 1024;

/// What all pages of a report say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imprint {
    pub title: String,
    /// When the page was made, in words with the zone; empty: it is not said.
    pub made: String,
    pub version: String,
}

#[derive(Template)]
#[template(path = "page.html")]
struct PageTemplate<'p> {
    imprint: &'p Imprint,
    summaries: &'p [SummarySection],
    /// Where the overview is; empty on it.
    home: &'p str,
}

/// A page that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub html: String,
    /// Sections that were left out, over all summaries.
    pub left_out: usize,
}

fn render(imprint: &Imprint, summaries: &[SummaryRows], layout: Layout, home: &str) -> Result<Page, askama::Error> {
    let sections: Vec<SummarySection> = summaries.iter().map(|summary| section(summary, layout)).collect();
    let left_out = sections.iter().map(|section| section.fleet.len() - section.devices.len()).sum();
    let html = PageTemplate { imprint, summaries: &sections, home }.render()?;
    Ok(Page { html, left_out })
}

/// Makes one page of everything, with fewer sections if it would be larger than [`BYTES_MAX`].
///
/// # Errors
/// None that a template of texts has.
pub fn one(imprint: &Imprint, summaries: &[SummaryRows]) -> Result<Page, askama::Error> {
    let mut sections = SECTIONS_MAX;
    loop {
        let page = render(imprint, summaries, Layout::One { sections }, "")?;
        if page.html.len() <= BYTES_MAX || sections == 0 {
            return Ok(page);
        }
        // As many as fit, by what these have taken.
        let fit = sections * BYTES_MAX / page.html.len().max(1);
        sections = fit.min(sections - 1);
    }
}

/// Makes the overview of a folder of pages.
///
/// # Errors
/// None that a template of texts has.
pub fn overview(imprint: &Imprint, summaries: &[SummaryRows]) -> Result<Page, askama::Error> {
    render(imprint, summaries, Layout::Overview, "")
}

/// Makes the page of one device in a folder of pages.
///
/// # Errors
/// None that a template of texts has.
pub fn device(imprint: &Imprint, summary: &SummaryRows, place: usize) -> Result<Page, askama::Error> {
    render(imprint, std::slice::from_ref(summary), Layout::Device(place), "index.html")
}
