//! Which known word was meant by a word that is not known.

/// The known word that is most like `word`, if one is near enough to be what was meant. Upper and lower case are alike, and
/// so are `-` and `_`.
pub fn nearest<'o>(word: &str, options: &[&'o str]) -> Option<&'o str> {
    let word = folded(word);
    let measured = options.iter().map(|option| (distance(&word, &folded(option)), *option));
    let near = measured.filter(|(apart, option)| *apart <= apart_max(word.len().min(option.len())));
    near.min_by_key(|(apart, _)| *apart).map(|(_, option)| option)
}

/// So many letters may be wrong in a word of a length. In a short word one letter makes another word.
fn apart_max(length: usize) -> usize {
    match length {
        0..=1 => 0,
        2..=4 => 1,
        5..=8 => 2,
        _ => 3,
    }
}

/// A word without what is easily typed in another way.
pub fn folded(word: &str) -> String {
    word.trim().to_lowercase().replace(['-', ' '], "_")
}

/// How many letters were left out, added, replaced, or exchanged with their neighbour (optimal string alignment).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let replaced = row[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(above[j - 1] + 1);
            }
            next.push(least);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near() {
        assert_eq!(nearest("methid", &["method", "name"]), Some("method"));
        assert_eq!(nearest("Method", &["method", "name"]), Some("method"));
        assert_eq!(nearest("state-dir", &["state_dir"]), Some("state_dir"));
        assert_eq!(nearest("agv", &["min", "avg"]), Some("avg"));
        assert_eq!(nearest("colour", &["method", "name"]), None);
        assert_eq!(nearest("mean", &["min", "max"]), None, "two letters of a short word make another word");
        assert_eq!(nearest("", &["a"]), None);
    }

    #[test]
    fn letters_that_changed_places_are_one_mistake() {
        for (a, b, apart) in
            [("", "abc", 3), ("abc", "abc", 0), ("hihg", "high", 1), ("abcd", "acbd", 1), ("ab", "cd", 2)]
        {
            assert_eq!(distance(a, b), apart, "{a} {b}");
        }
    }
}
