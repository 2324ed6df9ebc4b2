//! Other names for the fields of a body, as official runtimes use them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use moorline_types::{EventKind, Json};
use serde_json::value::RawValue;

use crate::decode::FieldError;

/// The names that stand for one of the spec's, and the spec's. The spec's own wins if both are there.
const fn aliases(kind: &EventKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        EventKind::Log => &[("fields", "attributes")],
        EventKind::ToolCall => &[("tool_call_id", "call_id"), ("name", "tool"), ("arguments", "args")],
        EventKind::ToolResult => &[("tool_call_id", "call_id"), ("output", "result")],
        EventKind::Metric => &[("dims", "dimensions"), ("attributes", "dimensions")],
        EventKind::ArtifactRef => &[("media_type", "content_type"), ("size_bytes", "byte_size")],
        EventKind::Thought
        | EventKind::Status
        | EventKind::Delegate
        | EventKind::Progress
        | EventKind::ResultChunk
        | EventKind::Vendor(_) => &[],
    }
}

/// The body with the spec's names for its fields.
pub(super) fn with_spec_names<'a>(kind: &EventKind, body: &'a str) -> Result<Cow<'a, str>, FieldError> {
    let aliases = aliases(kind);
    if aliases.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    let mut fields: BTreeMap<String, Box<RawValue>> = crate::decode::object("body", body)?;
    for (alias, name) in aliases {
        if !fields.contains_key(*name)
            && let Some(value) = fields.remove(*alias)
        {
            fields.insert((*name).to_owned(), value);
        }
    }
    // A map with text keys and values that are JSON serialises; if it did not, the body as it is would be read.
    Ok(serde_json::to_string(&fields).map_or(Cow::Borrowed(body), Cow::Owned))
}

/// The body with the values of some of its fields under other names as well, otherwise as it is; `None` if it has none
/// of the fields.
pub(crate) fn with_aliases(body: &str, aliases: &[(&str, &str)]) -> Option<Json> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(body).ok()?;
    let mut out = body.trim_end().strip_suffix('}')?.to_owned();
    let length = out.len();
    for (name, alias) in aliases {
        if let Some(value) = fields.get(*name)
            && !fields.contains_key(*alias)
        {
            out.extend([",\"", alias, "\":", value.get()]);
        }
    }
    if out.len() == length {
        return None;
    }
    out.push('}');
    Json::parse(&out).ok()
}
