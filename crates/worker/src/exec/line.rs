//! What one line of a program's output means.

use moorline_types::{EventKind, Json};
use serde::Deserialize;

use super::asks::Authorize;
use super::lines::Line;
use crate::text::clip;

/// The longest message of a log event that a line becomes. A program that has more to say writes more lines.
pub(super) const MAX_LOG_BYTES: usize = 64 * 1024;

/// How much of a line that is wrong is repeated in the warning about it.
const MAX_QUOTED_BYTES: usize = 4 * 1024;

/// See the module's documentation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing.
    Nothing,
    /// Something for people.
    Text(String),
    /// An event, not yet checked.
    Event { kind: EventKind, body: Json },
    /// A part of a streamed result.
    Chunk(Chunk),
    /// The result.
    Result { result: Json, summary: Option<String> },
    /// A question, and what the program calls it.
    Authorize { ask: Authorize, id: Option<Json> },
    /// The failure.
    Error(ErrorBody),
    /// One of the forms, but not its fields.
    Wrong { what: String },
}

/// A part of a streamed result. The numbering is ours, so a program's own is not looked at.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Chunk {
    pub(super) data: String,
    #[serde(default)]
    pub(super) encoding: ChunkEncoding,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChunkEncoding {
    #[default]
    Utf8,
    Base64,
}

/// A failure as a program says it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) message: String,
    pub(super) code: Option<String>,
    pub(super) retryable: Option<bool>,
    pub(super) details: Option<Json>,
}

#[derive(Deserialize)]
struct Form {
    kind: Option<Json>,
    body: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Json>,
    summary: Option<Json>,
    error: Option<Json>,
    authorize: Option<Json>,
    id: Option<Json>,
}

/// `"result": null` is a result.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// Reads a line of standard output.
pub(super) fn read(line: &Line) -> Said {
    let text = String::from_utf8_lossy(&line.bytes);
    let form = serde_json::from_str::<Form>(&text).ok().filter(|_| text.trim_start().starts_with('{'));
    match form {
        Some(form) if line.cut == 0 => form.read(&text),
        Some(_) | None => plain(line),
    }
}

/// Reads a line as text for people.
pub(super) fn plain(line: &Line) -> Said {
    let text = String::from_utf8_lossy(&line.bytes);
    let text = text.trim_end_matches('\r');
    if text.is_empty() {
        return Said::Nothing;
    }
    let kept = &text[..text.floor_char_boundary(MAX_LOG_BYTES)];
    let cut = line.cut + (text.len() - kept.len()) as u64;
    Said::Text(if cut == 0 { kept.to_owned() } else { format!("{kept}… [{cut} more bytes of this line were cut]") })
}

impl Form {
    fn read(self, text: &str) -> Said {
        if let Some(kind) = self.kind.as_ref().and_then(|kind| kind.to::<String>().ok()?.parse::<EventKind>().ok()) {
            return event(kind, self.body, text);
        }
        if let Some(error) = self.error {
            return match (error.to::<ErrorBody>(), error.to::<String>()) {
                (Ok(body), _) => Said::Error(body),
                (_, Ok(message)) => Said::Error(ErrorBody { message, code: None, retryable: None, details: None }),
                (Err(why), Err(_)) => wrong("error", &why, text),
            };
        }
        if let Some(ask) = self.authorize {
            return match ask.to() {
                Ok(ask) => Said::Authorize { ask, id: self.id },
                Err(why) => wrong("authorize", &why, text),
            };
        }
        match self.result {
            Some(result) => Said::Result { result, summary: self.summary.and_then(|summary| summary.to().ok()) },
            None => plain(&Line { bytes: text.as_bytes().to_vec(), cut: 0 }),
        }
    }
}

fn event(kind: EventKind, body: Option<Json>, text: &str) -> Said {
    let Some(body) = body else { return wrong(kind.as_str(), &"`body` is missing", text) };
    if kind != EventKind::ResultChunk {
        return Said::Event { kind, body };
    }
    match body.to() {
        Ok(chunk) => Said::Chunk(chunk),
        Err(why) => wrong(kind.as_str(), &why, text),
    }
}

fn wrong(form: &str, why: &dyn std::fmt::Display, text: &str) -> Said {
    Said::Wrong { what: warning(form, why, text) }
}

/// A warning about a line that keeps what the line said.
pub(super) fn warning(form: &str, why: &dyn std::fmt::Display, text: &str) -> String {
    format!("a line of standard output looks like `{form}` but is not: {why}. The line: {}", quoted(text))
}

/// What is repeated of a line.
pub(super) fn quoted(text: &str) -> String {
    clip(text.to_owned(), MAX_QUOTED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        read(&Line { bytes: text.as_bytes().to_vec(), cut: 0 })
    }

    fn text(text: &str) -> Said {
        Said::Text(text.to_owned())
    }

    #[test]
    fn what_has_none_of_the_forms_is_text() {
        for line in ["hello", "{", "[1]", "42", "{\"a\":1}", r#"{"kind":"nonsense","body":{}}"#, r#"{"kind":7}"#] {
            assert_eq!(said(line), text(line), "{line}");
        }
        assert_eq!(said(""), Said::Nothing);
        assert_eq!(said("\r"), Said::Nothing);
        let invalid = Line { bytes: b"a\xffb".to_vec(), cut: 0 };
        assert_eq!(read(&invalid), text("a\u{fffd}b"));
    }

    #[test]
    fn a_form_without_its_fields_is_wrong_and_keeps_the_line() {
        for line in [
            r#"{"kind":"log"}"#,
            r#"{"kind":"result_chunk","body":{}}"#,
            r#"{"kind":"result_chunk","body":{"data":"x","encoding":"hex"}}"#,
            r#"{"error":{"code":"X"}}"#,
            r#"{"error":7}"#,
            r#"{"authorize":"git-log"}"#,
            r#"{"authorize":{"capability":"tool.call"}}"#,
        ] {
            let Said::Wrong { what } = said(line) else { panic!("{line} is taken for right") };
            assert!(what.contains(line), "{what}");
        }
    }

    #[test]
    fn a_line_that_was_cut_is_text_that_says_so() {
        let cut = Line { bytes: br#"{"result":1}"#.to_vec(), cut: 3 };
        assert_eq!(read(&cut), text(r#"{"result":1}… [3 more bytes of this line were cut]"#));
        let long = "é".repeat(MAX_LOG_BYTES);
        let Said::Text(text) = said(&long) else { panic!("a long line is no text") };
        assert!(text.ends_with(&format!("[{MAX_LOG_BYTES} more bytes of this line were cut]")));
    }

    #[test]
    fn the_forms_are_read() {
        let json = |text: &str| Json::parse(text).unwrap();
        assert_eq!(
            said(r#"{"kind":"log","body":{"level":"info","message":"m"}}"#),
            Said::Event { kind: EventKind::Log, body: json(r#"{"level":"info","message":"m"}"#) }
        );
        assert_eq!(said(r#"{"result":null}"#), Said::Result { result: Json::null(), summary: None });
        assert_eq!(
            said(r#" {"result":[1],"summary":"s"}"#),
            Said::Result { result: json("[1]"), summary: Some("s".to_owned()) }
        );
        let ask = Authorize { capability: "tool.call".to_owned(), target: "git-log".to_owned() };
        assert_eq!(
            said(r#"{"authorize":{"capability":"tool.call","target":"git-log"},"id":7}"#),
            Said::Authorize { ask, id: Some(json("7")) }
        );
        let error = |message: &str, code: Option<&str>| {
            Said::Error(ErrorBody {
                message: message.to_owned(),
                code: code.map(str::to_owned),
                retryable: None,
                details: None,
            })
        };
        assert_eq!(said(r#"{"error":{"message":"m","code":"INVALID_REQUEST"}}"#), error("m", Some("INVALID_REQUEST")));
        assert_eq!(said(r#"{"error":"m"}"#), error("m", None));
    }
}
