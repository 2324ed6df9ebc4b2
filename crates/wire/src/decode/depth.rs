//! How deeply a JSON text nests, without parsing it.

/// Whether arrays and objects nest more than `max` deep in `text`.
///
/// One pass, no recursion, and no judgement of whether the text is JSON: brackets inside strings do not count, and what
/// is not JSON at all is found later.
pub(crate) fn depth_exceeds(text: &str, max: usize) -> bool {
    // What does not open more than that anywhere, in strings or not, cannot nest deeper: nearly every text, and told at
    // many bytes an instruction.
    if memchr::memchr2_iter(b'{', b'[', text.as_bytes()).nth(max).is_none() {
        return false;
    }
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings() {
        for (text, deepest) in [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[{}]}"#, 3),
            (r#"["[[[[", "\"[[[", "\\", [1]]"#, 2),
            ("[][][]", 1),
            (r#""[["#, 0),
        ] {
            assert!(!depth_exceeds(text, deepest), "{text}");
            assert!(deepest == 0 || depth_exceeds(text, deepest - 1), "{text}");
        }
    }
}
