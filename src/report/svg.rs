//! Charts as inline SVG: paths of whole pixels, relative to each other, so that a year of fifty devices fits a mail.
//!
//! Every drawing has a title and a description in words. Colours are classes of the page's style; what colour says, a pattern,
//! a dash or a shape says, too.

use super::plot::{PlotFrame, Stretch};
use askama::filters::{Html, escape};
use std::fmt::Write;

/// Left of a chart, for numbers; above it; below it, for days.
pub const MARGIN_LEFT: i32 = 44;
pub const MARGIN_TOP: i32 = 10;
pub const MARGIN_BOTTOM: i32 = 18;

/// Returns a text in which nothing is markup.
pub fn text(raw: &str) -> String {
    // Escaping a text has no way to fail.
    escape(raw, Html).map(|safe| safe.to_string()).unwrap_or_default()
}

/// Begins a drawing of a size with a title and a description.
pub fn open(class: &str, width: i32, height: i32, title: &str, description: &str) -> String {
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{}</title><desc>{}</desc>",
        text(title),
        text(description)
    )
}

/// Returns the path of lines. A single value is a dash of three pixels.
pub fn line<'s>(stretches: impl Iterator<Item = &'s Stretch>) -> String {
    let mut path = String::new();
    for stretch in stretches {
        let mut at = (0, 0);
        let move_to = |path: &mut String, at: &mut (i32, i32), x: i32, y: i32, is_first: bool| {
            let _ = match is_first {
                true => write!(path, "M{x} {y}"),
                false => write!(path, "l{} {}", x - at.0, y - at.1),
            };
            *at = (x, y);
        };
        for (index, (x, top, bottom)) in stretch.points.iter().enumerate() {
            if stretch.points.len() == 1 && top == bottom {
                let _ = write!(path, "M{} {top}h3", x - 1);
                continue;
            }
            // The nearer end first.
            let (first, second) =
                if index > 0 && (at.1 - top).abs() > (at.1 - bottom).abs() { (bottom, top) } else { (top, bottom) };
            move_to(&mut path, &mut at, *x, *first, index == 0);
            if first != second {
                move_to(&mut path, &mut at, *x, *second, false);
            }
        }
    }
    // "l3 -4" and "l3-4" are the same.
    path.replace(" -", "-")
}

/// Returns the path of the area between the lowest and the highest line, where both are.
pub fn band(lows: &[Stretch], highs: &[Stretch]) -> String {
    let mut path = String::new();
    for (low, high) in lows.iter().zip(highs) {
        let same = low.points.len() == high.points.len() && low.points.len() > 1;
        if !same || low.points.iter().zip(&high.points).any(|(low, high)| low.0 != high.0) {
            continue;
        }
        let above = high.points.iter().map(|(x, top, _)| (*x, *top));
        let below = low.points.iter().rev().map(|(x, _, bottom)| (*x, *bottom));
        let mut at = None;
        for (x, y) in above.chain(below) {
            let _ = match at {
                None => write!(path, "M{x} {y}"),
                Some((from_x, from_y)) => write!(path, "l{} {}", x - from_x, y - from_y),
            };
            at = Some((x, y));
        }
        path.push('z');
    }
    path.replace(" -", "-")
}

/// Returns the path of bars from the lower edge; `width` is that of one.
pub fn bars(stretches: &[Stretch], frame: &PlotFrame, width: i32) -> String {
    let mut path = String::new();
    let floor = frame.height.round() as i32;
    for (x, top, _) in stretches.iter().flat_map(|stretch| &stretch.points) {
        let height = floor - top;
        if height > 0 {
            let _ = write!(path, "M{} {floor}v-{height}h{width}v{height}z", x - width / 2);
        }
    }
    path
}

/// Returns the path of rectangles of one height that stand at `y`.
pub fn rectangles(ranges: &[(i32, i32)], y: i32, height: i32) -> String {
    let mut path = String::new();
    for (from, to) in ranges {
        let width = (to - from).max(1);
        let _ = write!(path, "M{from} {y}h{width}v{height}h-{width}z");
    }
    path
}

/// Appends a path, if there is something to draw.
pub fn path(out: &mut String, class: &str, d: &str) {
    if !d.is_empty() {
        let _ = write!(out, "<path class=\"{class}\" d=\"{d}\"/>");
    }
}

/// Appends a mark with a title: a triangle whose point is at `x`, at the upper edge.
pub fn mark(out: &mut String, x: i32, title: &str) {
    let _ = write!(out, "<path class=\"m\" d=\"M{} -8h8l-4 7z\"><title>{}</title></path>", x - 4, text(title));
}

/// Appends a text.
pub fn label(out: &mut String, x: i32, y: i32, is_end: bool, words: &str) {
    let anchor = if is_end { " text-anchor=\"end\"" } else { "" };
    let _ = write!(out, "<text x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", text(words));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text() {
        assert_eq!(text("<b>\"a\" & 'b'</b>").matches(['<', '>', '"', '\'']).count(), 0);
        let drawing = open("c", 1, 1, "</title><script>", "\u{202e}\"x\"");
        assert!(!drawing.contains("<script>"), "{drawing}");
    }

    #[test]
    fn lines_are_relative_and_single_values_are_dashes() {
        let stretch = |points: &[(i32, i32, i32)]| Stretch { is_provisional: false, points: points.to_vec() };
        let lines = [stretch(&[(0, 10, 10), (2, 7, 7), (4, 3, 9)]), stretch(&[(9, 5, 5)])];
        assert_eq!(line(lines.iter()), "M0 10l2-3l2 2l0-6M8 5h3");
    }

    #[test]
    fn a_band_needs_both_edges() {
        let stretch = |points: &[(i32, i32, i32)]| Stretch { is_provisional: false, points: points.to_vec() };
        let low = [stretch(&[(0, 9, 9), (2, 8, 8)]), stretch(&[(5, 9, 9)])];
        let high = [stretch(&[(0, 1, 1), (2, 2, 2)]), stretch(&[(5, 1, 1)])];
        assert_eq!(band(&low, &high), "M0 1l2 1l0 6l-2 1z");
        assert_eq!(band(&low, &high[1..]), "");
    }
}
