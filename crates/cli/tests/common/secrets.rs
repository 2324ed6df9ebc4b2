//! The secrets that a test uses, and the search for them where they do not belong, as they are and encoded.
//!
//! Whatever makes or receives a secret for a test says so ([`keep`]): `Gateway` its administrator's key and what commands
//! print, a raw client the tokens that it shows and is given, an issuer its tokens, an upstream its credentials' values.
//! When a gateway ends, all that the process has made so far is looked for in its log and below its data directory. An
//! agent's `env` is not: a test says those itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use serde_json::Value;

/// What lets a client in.
pub(crate) const API_KEY: &str = "an API key";

/// What workers' secrets are derived from.
pub(crate) const WORKERS_KEY: &str = "the root of workers' secrets";

/// Where a secret may be, below a gateway's home: the file, the kind, and why.
const BELONGS: &[(&str, &str, &str)] = &[
    ("data/admin.token", API_KEY, "the administrator's commands read their key from it; its mode is 0600"),
    ("data/workers.key", WORKERS_KEY, "it is what this file is for; its mode is 0600"),
];

/// The one line of standard error with a secret in it: it is printed at the first start, and not logged.
const SHOWN_ONCE: &str = "The administrator's API key, shown this once: ";

/// Fewer characters are no secret, and would be found by chance.
const LEAST: usize = 8;

/// What lets somebody in and is printed by a command has as many characters; ids have fewer.
const LEAST_PRINTED: usize = 40;

/// The secrets of this process, by value, with their kinds.
static MADE: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());

/// A secret, and what a failure calls it: its value is not repeated.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) kind: &'static str,
    pub(crate) text: &'a str,
}

/// From here on this is looked for. It is of the kind that it was first said to be.
pub(crate) fn keep(kind: &'static str, secret: &str) {
    let secret = secret.trim();
    if secret.len() >= LEAST {
        MADE.lock().unwrap_or_else(PoisonError::into_inner).entry(secret.to_owned()).or_insert(kind);
    }
}

/// Keeps what a command with these arguments was given and has made.
pub(crate) fn keep_of_command(args: &[&str], printed: &str) {
    let after = |flag: &str| args.iter().skip_while(|arg| **arg != flag).nth(1);
    if let Some(token) = after("--token") {
        keep(API_KEY, token);
    }
    let kind = match args {
        ["keys", "create" | "rotate", ..] => API_KEY,
        ["workers", "enroll", ..] => "an enrolment token",
        _ => return,
    };
    let written = after("--out").and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
    let words = [printed, &written].map(|text| text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)));
    words.into_iter().flatten().filter(|word| word.len() >= LEAST_PRINTED).for_each(|word| keep(kind, word));
}

/// Keeps the resume token of a welcome.
pub(crate) fn keep_of_frame(frame: &Value) {
    if let Some(token) = frame["payload"]["resume_token"].as_str() {
        keep("a resume token", token);
    }
}

/// Searches what a gateway has left in its home when the test is done with it, unless that has failed already.
#[derive(Debug)]
pub(crate) struct Watch(pub(crate) PathBuf);

impl Drop for Watch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let misplaced = misplaced(&self.0);
            let test = std::thread::current();
            let test = test.name().unwrap_or_default();
            assert!(misplaced.is_empty(), "{}.rs, {test}: {}", env!("CARGO_CRATE_NAME"), misplaced.join("; "));
        }
    }
}

/// Which kinds of secrets are in which files without belonging there.
fn misplaced(home: &Path) -> Vec<String> {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let sought: Vec<_> = made.iter().map(|(text, kind)| Sought { kind, text }).collect();
    let search = Search::of(&sought);
    let log = home.join("log");
    let found = files(&home.join("data")).into_iter().chain([log.clone()]).flat_map(|path| {
        // One that is gone meanwhile holds nothing.
        let content = fs::read(&path).unwrap_or_default();
        let content = if path == log { without_shown_once(&content, &sought) } else { content };
        let file = path.strip_prefix(home).unwrap_or(&path).to_path_buf();
        let belongs = |kind: &str| BELONGS.iter().any(|(at, may, _)| file == Path::new(at) && *may == kind);
        let kinds = search.kinds_in(&content).into_iter().filter(|kind| !belongs(kind));
        kinds.map(|kind| format!("{kind} is in {}", file.display())).collect::<Vec<_>>()
    });
    found.collect()
}

/// The content without the lines that show a key on purpose.
fn without_shown_once(content: &[u8], sought: &[Sought<'_>]) -> Vec<u8> {
    let shows = |line: &[u8]| {
        let said = String::from_utf8_lossy(line);
        let shown = said.trim().strip_prefix(SHOWN_ONCE);
        shown.is_some_and(|shown| sought.iter().any(|secret| secret.kind == API_KEY && secret.text == shown))
    };
    content.split_inclusive(|byte| *byte == b'\n').filter(|line| !shows(line)).flatten().copied().collect()
}

/// Every file below a directory that may be there; links are not followed.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            Ok(_) | Err(_) => Vec::new(),
        })
        .collect()
}

/// The kinds of the secrets that these bytes hold, in whichever form.
pub(crate) fn found_in(content: &[u8], sought: &[Sought<'_>]) -> Vec<&'static str> {
    Search::of(sought).kinds_in(content)
}

/// What finds all forms of many secrets at once: a log at its most talkative has megabytes.
struct Search {
    forms: AhoCorasick,
    /// The kind of each form.
    kinds: Vec<&'static str>,
}

impl Search {
    fn of(sought: &[Sought<'_>]) -> Self {
        let all = sought.iter().flat_map(|secret| forms(secret.text).into_iter().map(|form| (form, secret.kind)));
        let (forms, kinds): (Vec<_>, _) = all.unzip();
        Self { forms: AhoCorasick::new(forms).unwrap(), kinds }
    }

    fn kinds_in(&self, content: &[u8]) -> Vec<&'static str> {
        let mut found: Vec<_> = self.forms.find_overlapping_iter(content).map(|at| at.pattern().as_usize()).collect();
        found.sort_unstable();
        let mut kinds: Vec<_> = found.into_iter().map(|form| self.kinds[form]).collect();
        kinds.dedup();
        kinds
    }
}

/// A secret as it is, and encoded. In base64 it looks otherwise behind one or two bytes of something else; the characters
/// that such neighbours share with it are left out.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), HEXLOWER.encode(secret.as_bytes()), HEXUPPER.encode(secret.as_bytes())];
    for before in 0..3 {
        let shifted = [vec![0; before], secret.as_bytes().to_vec()].concat();
        let whole = shifted.len() / 3 * 3;
        for encoded in [BASE64.encode(&shifted[..whole]), BASE64URL_NOPAD.encode(&shifted[..whole])] {
            forms.push(encoded[if before == 0 { 0 } else { 4 }..].to_owned());
        }
    }
    forms
}
