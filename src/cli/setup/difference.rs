//! The lines in which two texts differ.

/// Longer texts are not compared line by line.
const LINES_MAX: usize = 2_000;

/// Lines that only the first text has, with `-`, and lines that only the second has, with `+`, in their order. Empty if the texts
/// have the same lines.
pub fn difference(first: &str, second: &str) -> Vec<String> {
    let (first, second): (Vec<&str>, Vec<&str>) = (first.lines().collect(), second.lines().collect());
    if first.len().max(second.len()) > LINES_MAX {
        return vec![format!("- {} lines", first.len()), format!("+ {} lines", second.len())];
    }
    // For each pair of ends: how many lines they have in common, in order.
    let width = second.len() + 1;
    let mut common = vec![0_u32; (first.len() + 1) * width];
    for i in (0..first.len()).rev() {
        for j in (0..second.len()).rev() {
            common[i * width + j] = if first[i] == second[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let mut lines = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < first.len() || j < second.len() {
        if i < first.len() && j < second.len() && first[i] == second[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == second.len() || (i < first.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            lines.push(format!("- {}", first[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", second[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\nd\n"), ["- b", "+ x", "+ d"]);
        assert_eq!(difference("a\n", "a"), [""; 0]);
        assert_eq!(difference("", "a"), ["+ a"]);
        assert_eq!(difference("a\nb", ""), ["- a", "- b"]);
        assert_eq!(difference(&"x\n".repeat(2_001), "y").len(), 2);
    }
}
