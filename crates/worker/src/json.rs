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

/// Whether the value is an object.
pub(crate) fn is_object(value: &Json) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::depth_within;

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
