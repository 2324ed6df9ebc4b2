//! A file beside the database that knows how far the numbers have come, to tell whether they have gone back.
//!
//! Numbers that were given once must not be given again for something else under the same epoch. They would be if the
//! database were replaced by an older copy of itself, or if the machine lost its power while the store did not wait for
//! the disk. So after every commit the head is written here too, where a backup that is put back does not reach; at the
//! next opening the two are compared. If the database does not have what was given, or nobody knows, its epoch is
//! renewed: cursors of the old one are then told that they mean nothing.
//!
//! Whoever restores both files from a backup deletes this one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::options::Durability;
use crate::sql::State;

/// What the file's name ends with, after the database's.
const SUFFIX: &str = "-witness";

/// Digits of each number: as many as the largest has.
const DIGITS: usize = 20;

/// The longest file that is read. It has four lines.
const MAX_BYTES: u64 = 1024;

/// What tells one start of the machine from the next.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What is said of a store that was closed in order.
const CLOSED: &str = "closed";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
struct Testimony {
    head: u64,
    revision: u64,
    epoch: String,
    /// What would have cost the last moments before the file was written: a start of the machine other than this one,
    /// or nothing.
    at_risk: Option<String>,
}

/// Why an epoch is not the one that the database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// There is no witness, or it cannot be read.
    NoWitness,
    /// The witness is of another database.
    OtherDatabase,
    /// The database does not have what was given.
    GoneBack,
    /// The machine was started anew while the store was open, and did not wait for the disk.
    PowerLost,
}

impl Broken {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoWitness => "nothing says how far its numbers had come",
            Self::OtherDatabase => "another database was in its place",
            Self::GoneBack => "it does not have all that it had",
            Self::PowerLost => "the machine was restarted while it was open without waiting for the disk",
        }
    }
}

/// Whether the database goes on where it was left.
pub(crate) fn judge(path: &Path, state: &State) -> Result<(), Broken> {
    let mut text = String::new();
    let read = File::open(path_of(path)).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    let testimony = read.ok().and_then(|_| Testimony::parse(&text)).ok_or(Broken::NoWitness)?;
    testimony.judge(state, boot_id().as_deref())
}

fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}

/// `None` on a machine that does not tell its starts apart.
fn boot_id() -> Option<String> {
    std::fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned())
}

impl Testimony {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let head = lines.next()?.parse().ok()?;
        let revision = lines.next()?.parse().ok()?;
        let epoch = lines.next()?.to_owned();
        let at_risk = Some(lines.next()?.to_owned()).filter(|risk| risk != CLOSED);
        Some(Self { head, revision, epoch, at_risk })
    }

    fn judge(&self, state: &State, boot: Option<&str>) -> Result<(), Broken> {
        if self.epoch != state.epoch.to_string() {
            return Err(Broken::OtherDatabase);
        }
        if self.head > state.head.get() || self.revision > state.revision.get() {
            return Err(Broken::GoneBack);
        }
        match &self.at_risk {
            Some(risk) if boot != Some(risk) => Err(Broken::PowerLost),
            Some(_) | None => Ok(()),
        }
    }
}

impl Witness {
    /// Takes note of that the store is open from here on.
    pub(crate) fn open(path: &Path, state: &State, durability: Durability) -> io::Result<Self> {
        let path = path_of(path);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let witness = Self { file };
        let risk = match durability {
            Durability::Process => boot_id(),
            Durability::Power => None,
        };
        witness.write(state, risk.as_deref().unwrap_or(CLOSED))?;
        Ok(witness)
    }

    /// The store has committed this. Not made durable by itself: what a loss of power costs is told by the machine's
    /// start.
    pub(crate) fn advance(&self, state: &State) -> io::Result<()> {
        self.file.write_all_at(numbers(state).as_bytes(), 0)
    }

    /// The store is closed in order, with everything on the disk.
    pub(crate) fn close(&self, state: &State) -> io::Result<()> {
        self.write(state, CLOSED)
    }

    fn write(&self, state: &State, risk: &str) -> io::Result<()> {
        let text = format!("{}{}\n{risk}\n", numbers(state), state.epoch);
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()
    }
}

fn numbers(state: &State) -> String {
    format!("{:0DIGITS$}\n{:0DIGITS$}\n", state.head.get(), state.revision.get())
}

#[cfg(test)]
mod tests {
    use moorline_store::Revision;
    use moorline_types::{Epoch, Offset, Timestamp};

    use super::*;

    fn epoch(entropy: u8) -> Epoch {
        Epoch::mint(Timestamp::from_unix_millis(1), [entropy; 10])
    }

    fn state(head: u64, revision: u64) -> State {
        State { epoch: epoch(1), head: Offset::new(head), revision: Revision::new(revision) }
    }

    #[test]
    fn numbers_that_went_back_or_may_have_are_noticed() {
        let testimony = |at_risk: Option<&str>| Testimony {
            head: 10,
            revision: 5,
            epoch: epoch(1).to_string(),
            at_risk: at_risk.map(str::to_owned),
        };
        for (at_risk, state, boot, verdict) in [
            (None, state(10, 5), Some("one"), Ok(())),
            (None, state(10, 5), None, Ok(())),
            (Some("one"), state(10, 5), Some("one"), Ok(())),
            // Killed between the commit and the note of it.
            (Some("one"), state(12, 6), Some("one"), Ok(())),
            (Some("one"), state(12, 6), Some("two"), Err(Broken::PowerLost)),
            (Some("one"), state(10, 5), None, Err(Broken::PowerLost)),
            (Some("one"), state(9, 5), Some("one"), Err(Broken::GoneBack)),
            (None, state(10, 4), Some("one"), Err(Broken::GoneBack)),
            (None, State { epoch: epoch(2), ..state(10, 5) }, Some("one"), Err(Broken::OtherDatabase)),
        ] {
            assert_eq!(testimony(at_risk).judge(&state, boot), verdict, "{at_risk:?} {state:?} {boot:?}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_read_and_rubbish_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        assert_eq!(judge(&path, &state(0, 0)), Err(Broken::NoWitness));
        let witness = Witness::open(&path, &state(7, 3), Durability::Process).unwrap();
        assert_eq!(judge(&path, &state(7, 3)), Ok(()));
        witness.advance(&state(u64::MAX, 4)).unwrap();
        assert_eq!(judge(&path, &state(7, 3)), Err(Broken::GoneBack));
        assert_eq!(judge(&path, &state(u64::MAX, 4)), Ok(()));
        witness.close(&state(9, 4)).unwrap();
        assert_eq!(judge(&path, &state(9, 4)), Ok(()));
        for rubbish in ["", "\n\n\n\n", "1\n2\n", "x\n2\ny\nclosed\n"] {
            std::fs::write(path_of(&path), rubbish).unwrap();
            assert_eq!(judge(&path, &state(9, 4)), Err(Broken::NoWitness), "{rubbish:?}");
        }
    }
}
