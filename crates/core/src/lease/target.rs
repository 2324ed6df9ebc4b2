//! Targets: what an operation is about, in the one form in which it is compared with patterns.

use moorline_types::Capability;
use moorline_types::limits::MAX_LEASE_TARGET_BYTES;
use url::Url;

/// How the targets of a capability are written, and with them its patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Path,
    Url,
    Name,
}

impl Spelling {
    pub(super) const fn of(capability: &Capability) -> Self {
        match capability {
            Capability::FsRead | Capability::FsWrite => Self::Path,
            Capability::NetFetch => Self::Url,
            Capability::ToolCall | Capability::AgentDelegate | Capability::ModelUse | Capability::Vendor(_) => {
                Self::Name
            }
        }
    }
}

/// The target of an operation, brought into its normal form.
///
/// - A path is absolute and has neither empty nor `.` nor `..` segments, nor a slash at its end.
/// - A URL is written as browsers understand it: scheme and host in lower case, no default port, no fragment, dot
///   segments resolved, and only those bytes encoded that have to be. If it has slashes that are encoded, it counts as
///   two: as it is, and with the slashes decoded, because servers differ in how they read it; a pattern has to match
///   both.
/// - A name is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    capability: Capability,
    form: Box<str>,
    other_form: Option<Box<str>>,
}

/// A text is no target of its capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It has no or too many characters.
    #[error("the target must have 1 to {MAX_LEASE_TARGET_BYTES} bytes")]
    Length,
    /// It has control characters.
    #[error("the target must not have control characters")]
    Control,
    /// A path that does not begin at the root.
    #[error("the target must be an absolute path")]
    NotAbsolute,
    /// A path that leads out of the root.
    #[error("the target must not lead above the root")]
    AboveRoot,
    /// A name that is written like a path to somewhere else.
    #[error("the target must not have empty, `.` or `..` segments")]
    Segment,
    /// It is no URL of HTTP.
    #[error("the target must be a URL that begins with http:// or https:// and has a host")]
    NotUrl,
    /// A URL with a user's name or password.
    #[error("the target must not have a user's name or password in it")]
    Credentials,
}

impl Target {
    /// Reads a target of this capability.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn new(capability: &Capability, text: &str) -> Result<Self, TargetError> {
        if text.is_empty() || text.len() > MAX_LEASE_TARGET_BYTES {
            return Err(TargetError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(TargetError::Control);
        }
        let (form, other_form) = match Spelling::of(capability) {
            Spelling::Path => (path(text)?, None),
            Spelling::Name => (name(text)?, None),
            Spelling::Url => {
                let (path, query) = url(text)?;
                let decoded = decode_slashes(&path);
                let other = if decoded == path { None } else { Some(with_query(url(&decoded)?.0, query.as_deref())) };
                (with_query(path, query.as_deref()), other)
            }
        };
        Ok(Self { capability: capability.clone(), form: form.into(), other_form: other_form.map(Into::into) })
    }

    /// Of which capability it is.
    pub const fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.form
    }

    /// Every form that a pattern has to match.
    pub(super) fn forms(&self) -> impl Iterator<Item = &str> {
        [Some(&*self.form), self.other_form.as_deref()].into_iter().flatten()
    }
}

fn path(text: &str) -> Result<String, TargetError> {
    let rest = text.strip_prefix('/').ok_or(TargetError::NotAbsolute)?;
    let mut segments = Vec::new();
    for segment in rest.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop().ok_or(TargetError::AboveRoot)?;
            }
            _ => segments.push(segment),
        }
    }
    Ok(format!("/{}", segments.join("/")))
}

fn name(text: &str) -> Result<String, TargetError> {
    let abnormal = |segment: &str| matches!(segment, "" | "." | "..");
    if text.split('/').any(abnormal) { Err(TargetError::Segment) } else { Ok(text.to_owned()) }
}

/// The normal form of a URL: what is before the query, and the query.
pub(super) fn url(text: &str) -> Result<(String, Option<String>), TargetError> {
    let url = Url::parse(text).map_err(|_| TargetError::NotUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::NotUrl);
    }
    if !url.username().is_empty() || url.password().is_some() || has_user(text) {
        return Err(TargetError::Credentials);
    }
    // A name with a dot at its end is the same name.
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    if host.is_empty() {
        return Err(TargetError::NotUrl);
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = decode_plain(url.path());
    Ok((format!("{}://{host}{port}{path}", url.scheme()), url.query().map(decode_plain)))
}

/// Whether there is an `@` before the path, even one with nothing before it.
fn has_user(text: &str) -> bool {
    let rest = text.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches(['/', '\\']));
    rest.split(['/', '\\', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn with_query(path: String, query: Option<&str>) -> String {
    query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"))
}

/// Decodes what need not be encoded, and writes the rest in capitals (RFC 3986, 6.2.2).
fn decode_plain(text: &str) -> String {
    decode(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// Decodes slashes of both kinds, which some servers do before they look for the path.
fn decode_slashes(text: &str) -> String {
    decode(text, |byte| matches!(byte, b'/' | b'\\'))
}

fn decode(text: &str, is_decoded: impl Fn(u8) -> bool) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, after.get(2..)) {
            (Some(byte), Some(after)) => {
                if is_decoded(byte) {
                    decoded.push(char::from(byte));
                } else {
                    decoded.push_str(&format!("%{byte:02X}"));
                }
                rest = after;
            }
            _ => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(capability: Capability, text: &str) -> Result<String, TargetError> {
        Target::new(&capability, text).map(|target| target.forms().collect::<Vec<_>>().join(" and "))
    }

    #[test]
    fn what_is_no_target_is_refused() {
        use Capability::{FsRead, NetFetch, ToolCall};
        use TargetError::*;
        let long = "x".repeat(MAX_LEASE_TARGET_BYTES + 1);
        for (capability, text, error) in [
            (FsRead, "", Length),
            (FsRead, &*long, Length),
            (FsRead, "/a\0b", Control),
            (FsRead, "a/b", NotAbsolute),
            (FsRead, "./a", NotAbsolute),
            (FsRead, "/..", AboveRoot),
            (FsRead, "/a/../../etc/passwd", AboveRoot),
            (ToolCall, "a//b", Segment),
            (ToolCall, "a/../b", Segment),
            (ToolCall, "a/", Segment),
            (NetFetch, "/a", NotUrl),
            (NetFetch, "file:///etc/passwd", NotUrl),
            (NetFetch, "https://", NotUrl),
            (NetFetch, "https://./", NotUrl),
            (NetFetch, "https://me:secret@example.com/", Credentials),
            (NetFetch, "https://@example.com/", Credentials),
            (NetFetch, "https:\\\\a@b/", Credentials),
            (NetFetch, "https://example.com/\t../x", Control),
        ] {
            assert_eq!(normal(capability, text), Err(error), "{text:.80?}");
        }
    }

    #[test]
    fn a_target_has_one_form_however_it_is_spelled() {
        use Capability::{FsRead, ModelUse, NetFetch};
        for (capability, text, expected) in [
            (FsRead, "/", "/"),
            (FsRead, "/a/./b//c/../d/", "/a/b/d"),
            (FsRead, "/A?[x]*", "/A?[x]*"),
            (ModelUse, "tier-fast/GPT 4", "tier-fast/GPT 4"),
            (NetFetch, "HTTPS://Example.COM:443", "https://example.com/"),
            (NetFetch, "http://example.com:443/", "http://example.com:443/"),
            (NetFetch, "https://example.com./a", "https://example.com/a"),
            (NetFetch, "https://example.com/a/../b/./c#top", "https://example.com/b/c"),
            (NetFetch, "https://example.com/%61/%2e%2e/%7Eb", "https://example.com/~b"),
            (NetFetch, "https://example.com/%e2%82%ac", "https://example.com/%E2%82%AC"),
            (NetFetch, "https://example.com\\a\\..\\b", "https://example.com/b"),
            (NetFetch, "http://0x7f.1/", "http://127.0.0.1/"),
            (NetFetch, "http://[::0:1]/", "http://[::1]/"),
            (NetFetch, "https://example.com/a?b=%41/../c", "https://example.com/a?b=A/../c"),
            (
                NetFetch,
                "https://example.com/a%2F..%2fsecret",
                "https://example.com/a%2F..%2Fsecret and https://example.com/secret",
            ),
            (NetFetch, "https://example.com/a/%252e%252e/b", "https://example.com/a/%252e%252e/b"),
        ] {
            assert_eq!(normal(capability, text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_form_of_a_form_is_the_form() {
        for text in ["https://example.com/a%2F..%2Fb?x=%2F", "https://example.com/%25%41", "https://münchen.example/ü"]
        {
            let once = Target::new(&Capability::NetFetch, text).unwrap();
            let twice = Target::new(&Capability::NetFetch, once.as_str()).unwrap();
            assert_eq!(once, twice, "{text}");
        }
    }
}
