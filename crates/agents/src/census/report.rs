//! What was found, whole as a file and in short as a result.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use moorline_types::Timestamp;
use moorline_worker::sdk::Artifact;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::content::Kind;
use super::duplicates::{Group, Hashing};
use super::input::Input;
use super::scan::{Counts, File, MAX_TRACKED_FILES};

/// Entries in each list of the report's file.
const MAX_REPORTED: usize = 10_000;

/// The largest result. A list of long paths could be larger; it is then made shorter, and the report's file has it all.
const MAX_RESULT_BYTES: usize = 256 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Report {
    root: PathBuf,
    counts: Counts,
    kinds: Vec<(&'static str, Kind)>,
    files: Vec<File>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct KindEntry {
    #[serde(rename = "type")]
    name: &'static str,
    #[serde(flatten)]
    kind: Kind,
}

impl Report {
    pub(super) fn of(input: &Input, hashing: Hashing) -> Self {
        let groups = hashing.groups();
        let Hashing { counts, files, kinds, .. } = hashing;
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.bytes));
        Self { root: input.root().to_owned(), counts, kinds, files, groups }
    }

    /// One line for people.
    pub(super) fn summary(&self) -> String {
        let Counts { files, directories, bytes, .. } = self.counts;
        format!("{files} files in {directories} directories, {bytes} bytes, {} lines", self.lines())
    }

    /// The result: the report with lists of at most `top` entries, and where the whole is.
    pub(super) fn result(&self, top: usize, artifact: &Artifact) -> Value {
        let mut top = top;
        loop {
            let mut result = self.body(top);
            result["report"] = json!(artifact);
            if top == 0 || result.to_string().len() <= MAX_RESULT_BYTES {
                return result;
            }
            top /= 2;
        }
    }

    /// Writes the whole report, for its owner only. A file that is there is replaced in one step, or not at all.
    pub(super) fn write(&self, path: &Path, job: &str) -> io::Result<Artifact> {
        let bytes = serde_json::to_vec_pretty(&self.body(MAX_REPORTED))?;
        let partial = path.with_file_name(format!(".{job}.partial"));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data()).and_then(|()| fs::rename(&partial, path));
        if let Err(error) = written {
            // What matters is why it could not be written; a rest of it only takes up room.
            fs::remove_file(&partial).unwrap_or_default();
            return Err(error);
        }
        Ok(Artifact {
            uri: file_uri(path),
            content_type: "application/json".to_owned(),
            byte_size: Some(bytes.len() as u64),
            sha256: Some(HEXLOWER.encode(&Sha256::digest(&bytes))),
        })
    }

    fn body(&self, top: usize) -> Value {
        let Counts { files, directories, bytes, links, special, unreadable, untracked } = self.counts;
        let mut body = json!({
            "root": self.root.to_string_lossy(),
            "files": files,
            "directories": directories,
            "bytes": bytes,
            "lines": self.lines(),
            "links": links,
            "special": special,
            "unreadable": unreadable,
            "types": self.kinds.iter().take(top).map(|(name, kind)| KindEntry { name, kind: *kind }).collect::<Vec<_>>(),
            "largest": self.first(top, |file| file.bytes),
            "newest": self.first(top, |file| file.modified_ms),
            "duplicates": self.duplicates(top),
            "truncated": untracked > 0,
        });
        if untracked > 0 {
            body["note"] = json!(format!(
                "the tree has more than {MAX_TRACKED_FILES} files or directories to remember: {untracked} were only counted or left out"
            ));
        }
        body
    }

    fn lines(&self) -> u64 {
        self.kinds.iter().map(|(_, kind)| kind.lines).sum()
    }

    fn first(&self, top: usize, key: impl Fn(&File) -> u64) -> Vec<Value> {
        let mut files: Vec<&File> = self.files.iter().collect();
        files.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.path.cmp(&b.path)));
        let entry = |file: &&File| {
            json!({
                "path": file.path.to_string_lossy(),
                "bytes": file.bytes,
                "modified": Timestamp::from_unix_millis(file.modified_ms).to_string(),
            })
        };
        files.iter().take(top).map(entry).collect()
    }

    fn duplicates(&self, top: usize) -> Value {
        let path = |at: &usize| self.files[*at].path.to_string_lossy();
        let entry = |group: &Group| {
            json!({
                "sha256": group.sha256,
                "bytes": group.bytes,
                "copies": group.files.len(),
                "paths": group.files.iter().take(top).map(path).collect::<Vec<_>>(),
            })
        };
        json!({
            "groups": self.groups.len(),
            "wasted_bytes": self.groups.iter().map(Group::wasted).sum::<u64>(),
            "largest": self.groups.iter().take(top).map(entry).collect::<Vec<_>>(),
        })
    }
}

/// The path as a URI: what is not a plain character is written as its bytes.
fn file_uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_odd_characters_is_a_uri() {
        assert_eq!(file_uri(Path::new("/a b/ä#%.json")), "file:///a%20b/%C3%A4%23%25.json");
    }
}
