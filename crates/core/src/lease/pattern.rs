//! Patterns: what a lease writes behind a capability.

use std::fmt;

use moorline_types::Capability;
use moorline_types::limits::MAX_LEASE_PATTERN_BYTES;

use super::automaton::{Automaton, Class, Piece, Steps};
use super::target::{self, Spelling, Target};

/// Wildcards in one pattern. More than anyone writes, and what a comparison of two patterns costs grows with it.
const MAX_WILDCARDS: usize = 32;

/// Everything of a capability.
const EVERYTHING: &str = "**";

/// A pattern of one capability. The language is described at [`lease`](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    capability: Capability,
    automaton: Automaton,
}

/// What comparing leases may cost, in all: a comparison that would cost more is answered with no. Comparing two patterns
/// that begin alike costs about as many steps as they have bytes, and two that do not one or two; so this is enough for
/// any lease that a person writes, and a fraction of a second for one that is made to cost much.
#[derive(Debug)]
pub struct Effort(Steps);

const MAX_STEPS: Steps = 32 * 1024;

impl Default for Effort {
    fn default() -> Self {
        Self(MAX_STEPS)
    }
}

/// A text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?} of {capability} {fault}")]
pub struct PatternError {
    /// The capability.
    pub capability: Capability,
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub fault: PatternFault,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternFault {
    /// It has no or too many characters.
    #[error("must have 1 to {MAX_LEASE_PATTERN_BYTES} bytes")]
    Length,
    /// It has too many wildcards.
    #[error("must have at most {MAX_WILDCARDS} wildcards")]
    Wildcards,
    /// `**` is beside something else than slashes.
    #[error("must have ** as a whole segment, between slashes; * is a run of characters within one segment")]
    PartOfSegment,
    /// It has a character that no target has.
    #[error("must not have control characters")]
    Control,
    /// It has an empty, `.` or `..` segment, which no target has.
    #[error("must not have empty, `.` or `..` segments, nor a slash at its end: no target has one")]
    Segment,
    /// A path does not begin at the root.
    #[error("must begin with / or be **: paths are absolute")]
    NotAbsolute,
    /// It is no pattern of URLs.
    #[error("must be ** or begin with http:// or https:// and a host, and have ** only behind the host")]
    NotUrl,
    /// It is written otherwise than the targets that it means.
    #[error("must be written as {normal:?}: targets are brought into that form before they are compared")]
    NotNormal {
        /// How it is to be written.
        normal: String,
    },
}

impl Pattern {
    /// Reads a pattern of this capability.
    ///
    /// # Errors
    /// See [`PatternFault`].
    pub fn new(capability: &Capability, text: &str) -> Result<Self, PatternError> {
        match read(capability, text) {
            Ok(automaton) => Ok(Self { text: text.into(), capability: capability.clone(), automaton }),
            Err(fault) => {
                let pattern = text.chars().take(MAX_LEASE_PATTERN_BYTES).collect();
                Err(PatternError { capability: capability.clone(), pattern, fault })
            }
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Of which capability it is.
    pub const fn capability(&self) -> &Capability {
        &self.capability
    }

    /// Whether the target is one of those that are meant.
    pub fn matches(&self, target: &Target) -> bool {
        *target.capability() == self.capability && target.forms().all(|form| self.automaton.accepts(form.as_bytes()))
    }

    /// Whether every target that `other` matches is matched by this one. Never yes if it is not so; no if finding it out
    /// would take more than what is left of `effort`.
    pub fn includes(&self, other: &Self, effort: &mut Effort) -> bool {
        self.capability == other.capability
            && (*self.text == *EVERYTHING
                || self.text == other.text
                || self.automaton.includes(&other.automaton, &mut effort.0).unwrap_or_else(|| {
                    effort.0 = 0;
                    false
                }))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn read(capability: &Capability, text: &str) -> Result<Automaton, PatternFault> {
    if text.is_empty() || text.len() > MAX_LEASE_PATTERN_BYTES {
        return Err(PatternFault::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(PatternFault::Control);
    }
    let is_partial = |segment: &str| segment.contains("**") && segment != "**";
    if text.split('/').any(is_partial) {
        return Err(PatternFault::PartOfSegment);
    }
    let wildcards: usize = text.split('/').map(|part| if part == "**" { 1 } else { part.matches('*').count() }).sum();
    if wildcards > MAX_WILDCARDS {
        return Err(PatternFault::Wildcards);
    }
    if text == EVERYTHING {
        return Ok(Automaton::new(&[Piece::Run(Class::ANY)]));
    }
    let pieces = match Spelling::of(capability) {
        Spelling::Path => {
            let rooted = text.strip_prefix('/').or_else(|| text.strip_prefix("**/"));
            let rest = rooted.ok_or(PatternFault::NotAbsolute)?;
            if text != "/" {
                check_segments(rest)?;
            }
            pieces(text, Class::ANY)
        }
        Spelling::Name => {
            check_segments(text)?;
            pieces(text, Class::ANY)
        }
        Spelling::Url => {
            check_url(text)?;
            url_pieces(text)
        }
    };
    Ok(Automaton::new(&pieces))
}

fn check_segments(text: &str) -> Result<(), PatternFault> {
    let abnormal = |segment: &str| matches!(segment, "" | "." | "..");
    if text.split('/').any(abnormal) { Err(PatternFault::Segment) } else { Ok(()) }
}

/// Checks that some target is written as the pattern is: the one that has a letter for every wildcard.
fn check_url(text: &str) -> Result<(), PatternFault> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or(PatternFault::NotUrl)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() || authority == "**" {
        return Err(PatternFault::NotUrl);
    }
    // A port has no letters.
    let example = authority.strip_suffix(":*").map_or_else(
        || text.replace("**", "w").replace('*', "w"),
        |host| text.replacen(authority, &format!("{host}:1"), 1).replace("**", "w").replace('*', "w"),
    );
    let (path, query) = target::url(&example).map_err(|_| PatternFault::NotUrl)?;
    let normal = path + &query.map(|query| format!("?{query}")).unwrap_or_default();
    if normal == example {
        return Ok(());
    }
    // The form can be told only where it has no wildcards that would have to be put back.
    Err(if text == example { PatternFault::NotNormal { normal } } else { hint(text) })
}

/// What is wrong with a URL's pattern that has wildcards and is not normal.
fn hint(text: &str) -> PatternFault {
    let (path, _) = text.split_once(['?', '#']).unwrap_or((text, ""));
    let rest = path.split_once("://").map_or("", |(_, rest)| rest);
    match rest.split_once('/') {
        None => PatternFault::NotNormal { normal: format!("{path}/") },
        Some((_, path)) if path.split('/').any(|part| matches!(part, "." | "..")) => PatternFault::Segment,
        Some(_) => PatternFault::NotUrl,
    }
}

/// A URL's pattern without `?` matches whatever the query; one with `?` matches the query too. What is before the query
/// is never matched against it.
fn url_pieces(text: &str) -> Vec<Piece> {
    let before = Class { slash: true, question: false };
    match text.split_once('?') {
        None => {
            let mut pieces = pieces(text, before);
            pieces.push(Piece::After(b'?', Class::ANY));
            pieces
        }
        Some((path, query)) => {
            let mut pieces = pieces(path, before);
            pieces.push(Piece::Byte(b'?'));
            pieces.extend(self::pieces(query, Class::ANY));
            pieces
        }
    }
}

/// The pieces of a pattern whose `**` stands for bytes of this class.
fn pieces(text: &str, deep: Class) -> Vec<Piece> {
    let shallow = Class { slash: false, ..deep };
    let mut pieces = Vec::with_capacity(text.len() + 1);
    // What is still to be said of the `**` at the beginning: it takes the slash behind it along.
    let mut is_first = true;
    let mut after_leading = false;
    for segment in text.split('/') {
        if segment == "**" {
            if is_first {
                after_leading = true;
            } else if !after_leading && !matches!(pieces.last(), Some(Piece::After(..))) {
                pieces.push(Piece::After(b'/', deep));
            }
            is_first = false;
            continue;
        }
        if after_leading {
            pieces.push(Piece::Before(deep, b'/'));
            after_leading = false;
        } else if !is_first {
            pieces.push(Piece::Byte(b'/'));
        }
        is_first = false;
        for byte in segment.bytes() {
            pieces.push(if byte == b'*' { Piece::Run(shallow) } else { Piece::Byte(byte) });
        }
    }
    if after_leading {
        pieces.push(Piece::Run(deep));
    }
    pieces
}

#[cfg(test)]
mod tests;
