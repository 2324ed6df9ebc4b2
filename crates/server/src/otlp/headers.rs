//! Headers of requests to a collector. They are often secret, so no flag has them and nothing shows them: they are in a
//! file, `Name: value`, one a line, or in a variable of the environment, as OpenTelemetry has it: `name=value,name=value`,
//! each value percent-encoded.

use std::env::VarError;
use std::io;
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::config::OtlpHeaders;

/// The largest file of headers: a few tokens.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// Why headers cannot be used. What stands in them is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum HeadersError {
    /// The variable is not there, or no text.
    #[error("the variable {name} with the headers for the collector cannot be read")]
    Variable {
        /// The variable.
        name: String,
        /// Why.
        source: VarError,
    },
    /// Something in the variable is no header.
    #[error("header {number} in {name} is not `name=value` with the value percent-encoded")]
    Pair {
        /// The variable.
        name: String,
        /// Which of its headers, from 1.
        number: usize,
    },
    /// It cannot be read.
    #[error("the headers for the collector ({}) cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too large for a few headers.
    #[error("the file {} has more than {MAX_FILE_BYTES} bytes; it is to have a header a line", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is no header.
    #[error("line {line} of {} is not `Name: value`", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// Reads headers from wherever they are.
pub(super) fn load(source: &OtlpHeaders) -> Result<HeaderMap, HeadersError> {
    match source {
        OtlpHeaders::File(path) => read(path),
        OtlpHeaders::Variable(name) => {
            let text = std::env::var(name);
            pairs(name, &text.map_err(|source| HeadersError::Variable { name: name.clone(), source })?)
        }
    }
}

/// The headers in the text of a variable. Empty ones between two commas say nothing.
fn pairs(name: &str, text: &str) -> Result<HeaderMap, HeadersError> {
    let mut headers = HeaderMap::new();
    for (number, pair) in (1..).zip(text.split(',').map(str::trim).filter(|pair| !pair.is_empty())) {
        let read = || {
            let (key, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            header(key, &value)
        };
        let (key, value) = read().ok_or_else(|| HeadersError::Pair { name: name.to_owned(), number })?;
        headers.append(key, value);
    }
    Ok(headers)
}

/// Reads a file of headers. Empty lines and those that begin with `#` say nothing.
pub(super) fn read(path: &Path) -> Result<HeaderMap, HeadersError> {
    let owned = || path.to_owned();
    let text = std::fs::read_to_string(path).map_err(|source| HeadersError::Read { path: owned(), source })?;
    if text.len() > MAX_FILE_BYTES {
        return Err(HeadersError::TooLarge { path: owned() });
    }
    let mut headers = HeaderMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let of_line = text.split_once(':').and_then(|(name, value)| header(name, value));
        let (name, value) = of_line.ok_or_else(|| HeadersError::Line { path: owned(), line })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value: HeaderValue = value.trim().parse().ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_headers_is_a_header_a_line_and_a_mistake_names_its_line_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("headers");
        std::fs::write(&path, "# of the collector\n\nAuthorization: Bearer a:b\nX-Tenant:one\n").unwrap();
        let headers = read(&path).unwrap();
        assert_eq!(
            (&headers["authorization"], &headers["x-tenant"]),
            (&"Bearer a:b".parse().unwrap(), &"one".parse().unwrap())
        );
        assert!(!format!("{headers:?}").contains("Bearer"));
        for bad in ["secret", "se cret: 1", ": secret", "A: secret\u{7}"] {
            std::fs::write(&path, format!("A: 1\n{bad}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.starts_with("line 2 of ") && !error.contains("secret"), "{error}");
        }
        assert!(matches!(read(&directory.path().join("none")), Err(HeadersError::Read { .. })));
    }

    #[test]
    fn a_variable_has_headers_as_opentelemetry_writes_them_and_a_mistake_names_its_number_only() {
        let headers = pairs("V", "authorization=Basic%20YTpi%3D, x-tenant = one,,x-tenant=two,").unwrap();
        let told: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(told, [("authorization", &b"Basic YTpi="[..]), ("x-tenant", b"one"), ("x-tenant", b"two")]);
        assert!(!format!("{headers:?}").contains("YTpi"));
        for bad in ["secret", "se cret=1", "=secret", "a=secret%07", "a=secret%FF"] {
            let error = pairs("V", &format!("a=1,{bad}")).unwrap_err().to_string();
            assert!(error.starts_with("header 2 in V") && !error.contains("secret"), "{bad}: {error}");
        }
        let missing = load(&OtlpHeaders::Variable("MOORLINE_TEST_NO_SUCH_VARIABLE".to_owned()));
        assert!(matches!(missing, Err(HeadersError::Variable { .. })));
    }
}
