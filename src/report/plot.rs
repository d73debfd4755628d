//! Values and times -> places on a chart, in pixels.
//!
//! What is denser than the pixels of the chart is reduced to the lowest and the highest value of each pixel, never to a mean:
//! a peak of one hour stays visible in a year.

use super::rows::ReportRow;

/// The part of a chart that values are drawn on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlotFrame {
    /// Seconds since the epoch, at the left edge and at the right.
    pub from: i64,
    pub to: i64,
    /// Values at the lower edge and at the upper.
    pub low: f64,
    pub high: f64,
    /// Pixels.
    pub width: f64,
    pub height: f64,
}

impl PlotFrame {
    /// Returns the place of a time, in pixels from the left.
    pub fn x(&self, at: i64) -> f64 {
        let length = (self.to - self.from).max(1);
        (at - self.from) as f64 / length as f64 * self.width
    }

    /// Returns the place of a value, in pixels from the top.
    pub fn y(&self, value: f64) -> f64 {
        let length = self.high - self.low;
        let share = if length > 0.0 { (value - self.low) / length } else { 0.5 };
        (1.0 - share.clamp(0.0, 1.0)) * self.height
    }
}

/// Returns round numbers that hold a range, and the lines to draw between them: three to six.
pub fn round_range(low: f64, high: f64) -> (f64, f64, Vec<f64>) {
    let (low, high) = if high > low { (low, high) } else { (low - 1.0, high + 1.0) };
    let raw = (high - low) / 3.0;
    if !raw.is_finite() || raw <= 0.0 {
        return (low, high, vec![low, high]);
    }
    let magnitude = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|step| *step >= raw).unwrap_or(raw);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    let lines: Vec<f64> = (first..=last).map(|at| at as f64 * step).collect();
    (first as f64 * step, last as f64 * step, lines)
}

/// Values that follow each other without a gap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// Of windows that are not final.
    pub is_provisional: bool,
    /// Each pixel from the left with the lowest and the highest place from the top.
    pub points: Vec<(i32, i32, i32)>,
}

/// Returns the lines of a column. `step` is the length of a window in seconds: more between two rows is a gap.
pub fn stretches(frame: &PlotFrame, rows: &[ReportRow], column: usize, step: i64) -> Vec<Stretch> {
    let mut out: Vec<Stretch> = Vec::new();
    let mut before: Option<i64> = None;
    for row in rows.iter().filter(|row| row.start >= frame.from && row.start < frame.to) {
        let Some(value) = row.values.get(column).copied().flatten() else {
            before = None;
            continue;
        };
        let (x, y) = (frame.x(row.start + step / 2).round() as i32, frame.y(value).round() as i32);
        let is_provisional = !row.is_final;
        let follows = before.is_some_and(|before| row.start - before < step * 3 / 2);
        before = Some(row.start);
        match out.last_mut().filter(|_| follows) {
            Some(stretch) if stretch.is_provisional == is_provisional => match stretch.points.last_mut() {
                Some((last, top, bottom)) if *last == x => (*top, *bottom) = ((*top).min(y), (*bottom).max(y)),
                _ => stretch.points.push((x, y, y)),
            },
            Some(stretch) => {
                // The line goes on, in another style.
                let joint = stretch.points.last().copied();
                let points = joint.into_iter().chain([(x, y, y)]).collect();
                out.push(Stretch { is_provisional, points });
            }
            None => out.push(Stretch { is_provisional, points: vec![(x, y, y)] }),
        }
    }
    out
}

/// Returns the ranges of pixels in which rows are, and satisfy a condition; neighbours are joined.
pub fn ranges(frame: &PlotFrame, rows: &[ReportRow], step: i64, is_in: impl Fn(&ReportRow) -> bool) -> Vec<(i32, i32)> {
    let mut out: Vec<(i32, i32)> = Vec::new();
    for row in rows.iter().filter(|row| row.start >= frame.from && row.start < frame.to && is_in(row)) {
        let (from, to) = (frame.x(row.start).round() as i32, frame.x(row.start + step).round() as i32);
        match out.last_mut() {
            Some((_, last)) if *last >= from => *last = to,
            _ => out.push((from, to)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn rows(values: &[Option<f64>]) -> Vec<ReportRow> {
        let row = |(at, value): (usize, &Option<f64>)| ReportRow {
            start: at as i64 * HOUR,
            local: String::new(),
            zone: "UTC".to_string(),
            values: vec![*value],
            samples: 1,
            coverage: 1.0,
            is_final: at + 1 < values.len(),
            last_seen: None,
        };
        values.iter().enumerate().map(row).collect()
    }

    fn frame(hours: i64, width: f64) -> PlotFrame {
        PlotFrame { from: 0, to: hours * HOUR, low: 0.0, high: 100.0, width, height: 100.0 }
    }

    #[test]
    fn a_gap_is_a_gap_and_the_last_window_is_provisional() {
        let rows = rows(&[Some(0.0), Some(100.0), None, Some(50.0), Some(50.0)]);
        let found = stretches(&frame(5, 10.0), &rows, 0, HOUR);
        assert_eq!(found[0].points, [(1, 100, 100), (3, 0, 0)]);
        assert_eq!((found[1].points.as_slice(), found[1].is_provisional), (&[(7, 50, 50)][..], false));
        assert_eq!((found[2].points.as_slice(), found[2].is_provisional), (&[(7, 50, 50), (9, 50, 50)][..], true));
        // A row that is missing is a gap, too.
        let found = stretches(&frame(5, 10.0), &[rows[0].clone(), rows[3].clone()], 0, HOUR);
        assert_eq!(found.len(), 2);
    }

    /// One hour of a year that is hot stays at its place.
    #[test]
    fn peaks_survive_when_there_are_more_points_than_pixels() {
        let mut values = vec![Some(20.0); 8_760];
        values[4_000] = Some(99.0);
        let found = stretches(&frame(8_760, 700.0), &rows(&values), 0, HOUR);
        let tops: Vec<i32> = found.iter().flat_map(|stretch| &stretch.points).map(|(_, top, _)| *top).collect();
        assert_eq!(tops.iter().filter(|top| **top == 1).count(), 1);
        assert!(tops.len() <= 705, "{} points", tops.len());
    }

    #[test]
    fn ranges_are_round() {
        assert_eq!(round_range(3.0, 97.0), (0.0, 100.0, vec![0.0, 50.0, 100.0]));
        assert_eq!(round_range(20.0, 31.0), (20.0, 35.0, vec![20.0, 25.0, 30.0, 35.0]));
        let (low, high, lines) = round_range(5.0, 5.0);
        assert!(low < 5.0 && high > 5.0 && lines.len() >= 2);
        for value in [f64::MAX, 1e-300, -1e300] {
            let (low, high, lines) = round_range(value, value);
            assert!(low <= high && !lines.is_empty(), "{value}");
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        let rows = rows(&[Some(1.0), Some(1.0), Some(9.0), Some(1.0)]);
        let found = ranges(&frame(4, 40.0), &rows, HOUR, |row| row.values[0] < Some(5.0));
        assert_eq!(found, [(0, 20), (30, 40)]);
    }
}
