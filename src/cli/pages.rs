//! A report as files: one page, or a folder of pages.

use crate::report::html::{self, Imprint};
use crate::report::page::file_name;
use crate::report::rows::SummaryRows;
use anyhow::Context;
use std::path::Path;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub pages: usize,
    pub bytes: usize,
    /// Devices without a section of their own.
    pub left_out: usize,
}

/// Writes one page, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub fn one(path: &Path, imprint: &Imprint, summaries: &[SummaryRows]) -> anyhow::Result<Written> {
    let page = html::one(imprint, summaries)?;
    save(path, &page.html)?;
    Ok(Written { pages: 1, bytes: page.html.len(), left_out: page.left_out })
}

/// Writes `index.html` and a page of each device into a folder, which is made if it is not there.
///
/// # Errors
/// The folder or a file cannot be written.
pub fn folder(path: &Path, imprint: &Imprint, summaries: &[SummaryRows]) -> anyhow::Result<Written> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
    let mut written = Written::default();
    let mut add = |name: &str, html: &str| {
        written.pages += 1;
        written.bytes += html.len();
        save(&path.join(name), html)
    };
    let mut before = 0;
    for summary in summaries {
        for (place, device) in summary.devices.iter().enumerate() {
            add(&file_name(before + place, &device.name), &html::device(imprint, summary, place)?.html)?;
        }
        before += summary.devices.len();
    }
    add("index.html", &html::overview(imprint, summaries)?.html)?;
    Ok(written)
}

fn save(path: &Path, html: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("html.draft");
    let saved = std::fs::write(&draft, html).and_then(|()| std::fs::rename(&draft, path));
    saved.with_context(|| format!("cannot write {}", path.display()))
}
