//! The text of a Rust file, taken apart into code and comments.
//!
//! Just enough of Rust's grammar to know what a character belongs to. Rules about code then see no comment and no
//! string, and rules about comments see nothing else.

/// A file's code and its comments. Both have the lines of the file; what belongs to the other is spaces, and what is in
/// a literal is spaces in both.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) code: String,
    pub(crate) comments: String,
}

/// Takes a file apart. Text that is no Rust gives something, never a panic.
pub(crate) fn parts(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (piece, length) = if let Some(length) = comment(rest) {
            (Piece::Comment, length)
        } else if let Some(length) = literal(rest) {
            (Piece::Literal, length)
        } else {
            (Piece::Code, word(rest).unwrap_or(first.len_utf8()))
        };
        let (taken, after) = rest.split_at(length.min(rest.len()));
        parts.push(piece, taken);
        rest = after;
    }
    parts
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Code,
    Comment,
    Literal,
}

impl Parts {
    fn push(&mut self, piece: Piece, text: &str) {
        for (target, kept) in [(&mut self.code, Piece::Code), (&mut self.comments, Piece::Comment)] {
            let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
            target.extend(text.chars().map(|c| if piece == kept { c } else { blank(c) }));
        }
    }
}

/// The length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(text.len())
}

/// The length of the literal that the text begins with: a string, a raw string, or a character.
fn literal(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    match first {
        '"' => Some(escaped(text, '"')),
        '\'' => {
            let mut after = text.chars().skip(1);
            let (second, third) = (after.next()?, after.next());
            // Otherwise it is a lifetime.
            (second == '\\' || third == Some('\'')).then(|| escaped(text, '\''))
        }
        'r' | 'b' | 'c' => {
            let prefix = word(text)?;
            let raw = matches!(text.get(..prefix)?, "r" | "br" | "cr");
            raw.then(|| raw_string(text, prefix)).flatten()
        }
        _ => None,
    }
}

/// The length up to the quote that ends what the first quote begins.
fn escaped(text: &str, quote: char) -> usize {
    let mut skip = false;
    for (at, c) in text.char_indices().skip(1) {
        if skip {
            skip = false;
        } else if c == '\\' {
            skip = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a raw string whose prefix has this length; `None` if it is a raw identifier or a plain word.
fn raw_string(text: &str, prefix: usize) -> Option<usize> {
    let rest = text.get(prefix..)?;
    let hashes = rest.chars().take_while(|c| *c == '#').count();
    let body = rest.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(prefix + hashes + 1 + length)
}

/// The length of the word that the text begins with, so that a prefix is not looked for in the middle of one.
fn word(text: &str) -> Option<usize> {
    let length = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (length > 0).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_told_apart() {
        for (text, code, comments) in [
            ("a // b", "a", "// b"),
            ("a /* b /* c */ d */ e", "a                   e", "/* b /* c */ d */"),
            ("f(\"// no\") // yes", "f(       )", "// yes"),
            ("f(\"\\\"// no\") // yes", "f(         )", "// yes"),
            ("r#\"\"// no\"# // yes", "", "// yes"),
            ("br\"\\\" // yes", "", "// yes"),
            ("b'\"' // yes", "b", "// yes"),
            ("'\"' '\\'' '\\u{2f}' // yes", "", "// yes"),
            ("&'a str // yes", "&'a str", "// yes"),
            ("r#type // yes", "r#type", "// yes"),
            ("for\"x\" // yes", "for", "// yes"),
            ("\"ü\" ü // ü", "    ü", "// ü"),
            ("\"never ends // no", "", ""),
            ("/* never ends", "", "/* never ends"),
        ] {
            let parts = parts(text);
            assert_eq!((parts.code.trim_end(), parts.comments.trim()), (code, comments), "{text:?}");
            assert_eq!(parts.code.chars().count(), text.chars().count(), "{text:?}");
        }
    }

    #[test]
    fn lines_stay_lines() {
        let parts = parts("a\n/* b\nc */ d\n\"e\nf\" g\n");
        assert_eq!(parts.code.lines().map(str::trim).collect::<Vec<_>>(), ["a", "", "d", "", "g"]);
        assert_eq!(parts.comments.lines().map(str::trim).collect::<Vec<_>>(), ["", "/* b", "c */", "", ""]);
    }
}
