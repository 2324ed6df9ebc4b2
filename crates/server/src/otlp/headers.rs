//! Headers of requests to a collector, from a file: `Name: value`, one a line. They are often secret, which a flag or a
//! variable is not.

use std::io;
use std::path::{Path, PathBuf};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The largest file of headers: a few tokens.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// Why a file of headers cannot be used. What stands in it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum HeadersError {
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
        let (name, value) = header(text).ok_or_else(|| HeadersError::Line { path: owned(), line })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
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
}
