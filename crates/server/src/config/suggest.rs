//! "Did you mean": the known word that is nearest to an unknown one.

/// The longest word that is compared. Anything longer than twice the longest key is no slip of the fingers, and the
/// comparison costs the product of both lengths.
const MAX_COMPARED_CHARS: usize = 64;

/// The known word that `word` was probably meant to be: at most a third of its characters differ.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let word: Vec<char> = word.to_lowercase().chars().take(MAX_COMPARED_CHARS + 1).collect();
    if word.is_empty() || word.len() > MAX_COMPARED_CHARS {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .min()
        .filter(|(distance, _)| *distance <= (word.len() / 3).max(1))
        .map(|(_, candidate)| candidate.to_owned())
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, &from) in a.iter().enumerate() {
        let mut current = vec![row + 1; b.len() + 1];
        for (column, &to) in b.iter().enumerate() {
            let replaced = above[column] + usize::from(from != to);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && from == b[column - 1] && a[row - 1] == to {
                best = best.min(before[column - 1] + 1);
            }
            current[column + 1] = best;
        }
        before = std::mem::replace(&mut above, current);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let known = ["listen", "data_dir", "tls.cert", "tls.key"];
        for (word, expected) in [
            ("lisen", Some("listen")),
            ("litsen", Some("listen")),
            ("LISTEN", Some("listen")),
            ("data-dir", Some("data_dir")),
            ("tls.crt", Some("tls.cert")),
            ("", None),
            ("banana", None),
            (&"listen".repeat(1000), None),
        ] {
            assert_eq!(nearest(word, known).as_deref(), expected, "{word:?}");
        }
    }

    #[test]
    fn a_swap_of_neighbours_counts_once() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, expected) in [("ab", "ba", 1), ("abc", "abc", 0), ("", "abc", 3), ("kitten", "sitting", 3)] {
            assert_eq!(distance(&chars(a), &chars(b)), expected, "{a} {b}");
        }
    }
}
