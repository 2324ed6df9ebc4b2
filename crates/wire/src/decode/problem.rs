//! What is wrong with a field, and where it stands.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::de;

/// What is wrong with a field.
///
/// It never repeats a field's value: the value may be a secret that was put into the wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It has to be there.
    Missing,
    /// It is there more than once.
    Duplicate,
    /// It is of another type.
    WrongType {
        /// What it has to be.
        expected: Box<str>,
        /// What it is.
        found: Box<str>,
    },
    /// It is of the right type and breaks a rule.
    Rule(Box<str>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Duplicate => f.write_str("there more than once"),
            Self::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Rule(rule) => f.write_str(rule),
        }
    }
}

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) path: String,
    pub(crate) problem: Problem,
}

impl FieldError {
    pub(crate) fn new(path: &str, problem: Problem) -> Self {
        Self { path: path.to_owned(), problem }
    }
}

/// Reads a payload, which has to be an object.
pub(crate) fn payload<T: DeserializeOwned>(text: &str) -> Result<T, FieldError> {
    object("payload", text)
}

/// Reads an object that stands at `root`.
pub(crate) fn object<T: DeserializeOwned>(root: &str, text: &str) -> Result<T, FieldError> {
    // Where something is wrong is only asked when something is: keeping track of it costs as much as the reading.
    if let Ok(read) = de::object(&mut serde_json::Deserializer::from_str(text)) {
        return Ok(read);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    de::object(serde_path_to_error::Deserializer::new(&mut json, &mut track))
        .map_err(|error| locate(root, &track.path().to_string(), &error))
}

/// Reads a value that is no object and stands at `root`.
pub(crate) fn value<T: DeserializeOwned>(root: &str, text: &str) -> Result<T, FieldError> {
    serde_json::from_str(text).map_err(|error| locate(root, "", &error))
}

fn locate(root: &str, path: &str, error: &serde_json::Error) -> FieldError {
    let mut path = match path {
        "." | "" => root.to_owned(),
        path if path.starts_with('[') => format!("{root}{path}"),
        path => format!("{root}.{path}"),
    };
    let text = error.to_string();
    // The position is within the payload's text, which tells its sender nothing.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let named = |prefix: &str| text.strip_prefix(prefix).map(|rest| rest.trim_matches('`'));
    let problem = if let Some(field) = named("missing field ") {
        path = format!("{path}.{field}");
        Problem::Missing
    } else if let Some(field) = named("duplicate field ") {
        // The reader has already stepped into the field when it finds that it was there before.
        if !path.ends_with(field) {
            path = format!("{path}.{field}");
        }
        Problem::Duplicate
    } else {
        mismatch(text)
    };
    FieldError { path, problem }
}

/// The reader's words for a type that does not fit, in ours.
fn mismatch(text: &str) -> Problem {
    let stated = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
    let Some((found, expected)) = stated.and_then(|stated| stated.rsplit_once(", expected ")) else {
        return Problem::Rule(text.into());
    };
    Problem::WrongType { expected: expected_words(expected).into(), found: found_words(found).into() }
}

fn expected_words(expected: &str) -> &str {
    match expected {
        "u64" => "a whole number, 0 or more",
        "i64" => "a whole number",
        "a sequence" => "an array",
        "a map" => "an object",
        "a borrowed string" | "string" => "a string",
        "a JSON number" => "a number",
        other => other,
    }
}

/// The first word names the type; what follows is the value.
fn found_words(found: &str) -> &str {
    match found.split([' ', ',']).next().unwrap_or_default() {
        "null" => "null",
        "boolean" => "a boolean",
        "integer" => "a whole number",
        "floating" => "a number with a fraction or an exponent",
        "string" | "character" => "a string",
        "sequence" => "an array",
        "map" => "an object",
        _ => "another value",
    }
}
