//! Which known word was meant by a word that is not known.

/// The known word that is most like `word`, if one is near enough to be what was meant.
pub fn nearest<'o>(word: &str, options: &[&'o str]) -> Option<&'o str> {
    let near = |option: &&&str| distance(word, option) <= 1 + option.len().min(word.len()) / 3;
    options.iter().filter(near).min_by_key(|option| distance(word, option)).copied()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near() {
        assert_eq!(nearest("methid", &["method", "name"]), Some("method"));
        assert_eq!(nearest("colour", &["method", "name"]), None);
    }
}
