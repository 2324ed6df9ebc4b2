//! Looking at JSON text without building it.

use moorline_types::Json;

/// Whether arrays and objects in `text` nest at most `max` deep. Says nothing about text that is not JSON.
pub(crate) fn depth_within(text: &str, max: usize) -> bool {
    // What does not open more than that anywhere, in strings or not, cannot nest deeper: nearly every body, and told
    // at many bytes an instruction.
    if memchr::memchr2_iter(b'{', b'[', text.as_bytes()).nth(max).is_none() {
        return true;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Bytes that are looked at together.
const BLOCK: usize = 32;

/// Whether `text` stands in a JSON string as it is. Many bytes are looked at by one instruction.
pub(crate) fn is_plain(text: &str) -> bool {
    let is_escaped = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    let has_escaped = |bytes: &[u8]| bytes.iter().fold(false, |found, byte| found | is_escaped(*byte));
    !blocks.iter().any(|block| has_escaped(block)) && !has_escaped(rest)
}

/// Whether the value is an object.
pub(crate) fn is_object(value: &Json) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, depth_within, is_plain};

    #[test]
    fn a_text_is_plain_if_json_has_it_as_it_is_wherever_another_byte_stands() {
        for character in ('\0'..'\u{100}').chain(['\u{2028}', '𝄞']) {
            for before in [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 5] {
                for behind in [0, 1, BLOCK] {
                    let text = format!("{}{character}{}", "x".repeat(before), "y".repeat(behind));
                    let is_same = serde_json::to_string(&text).unwrap() == format!("\"{text}\"");
                    assert_eq!(is_plain(&text), is_same, "{text:?}");
                }
            }
        }
        assert!(is_plain(""));
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        for (text, depth) in
            [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[[[", "\"[[", "\\"]"#, 1), ("[[],[],[]]", 2)]
        {
            assert!(depth_within(text, depth), "{text}");
            assert!(depth == 0 || !depth_within(text, depth - 1), "{text}");
        }
    }
}
