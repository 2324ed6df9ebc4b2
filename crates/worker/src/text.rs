//! Keeping texts within their bounds.

/// What stands where a text was cut.
const CUT: &str = "…";

/// The text, cut on a character's border to at most `max` bytes, the mark of the cut included.
pub(crate) fn clip(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        for (text, max, expected) in [("abc", 3, "abc"), ("abcdef", 5, "ab…"), ("aéiou", 5, "a…"), ("", 3, "")] {
            assert_eq!(clip(text.to_owned(), max), expected);
        }
    }
}
