//! Who is enrolled as a worker of another machine: one small file for each in the data directory.
//!
//! Files, and not documents of the journal, because they are changed by a command while the gateway runs, which holds
//! the journal; the gateway asks at each handshake. A file says whom it is about and what he may offer. It holds no
//! secret: a worker's follows from its id and the gateway's own, which is in `workers.key`.

use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use moorline_runtime::Clock;
use moorline_runtime::mint::{self, NoEntropy};
use moorline_runtime::workers::{Enrolment, EnrolmentsError};
use moorline_types::{AgentPattern, AgentPatternError, Timestamp, WorkerId};
use moorline_worker::enrolment::EnrolmentToken;
use serde::{Deserialize, Serialize};

use crate::data_dir::{DataDirError, read_gateway_secret, write_private};

/// The directory with the files.
const DIRECTORY: &str = "enrolments";

/// What the name of a file ends with, after the worker's id.
const SUFFIX: &str = "json";

/// The largest file: sixty-four patterns of the greatest length are a fifth of it.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Patterns of one enrolment. A worker that hosts more kinds of agents is several workers.
const MAX_PATTERNS: usize = 64;

/// Enrolled workers of one gateway: ten times what one process serves well.
const MAX_ENROLMENTS: usize = 10_000;

/// The longest name.
const MAX_NAME_BYTES: usize = 64;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Enrolments {
    data_dir: PathBuf,
}

/// One enrolled worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its id.
    pub worker: WorkerId,
    /// What the operator calls it.
    pub name: String,
    /// Patterns of the agents that it may offer.
    pub agents: Vec<String>,
    /// When it was enrolled.
    pub enrolled: Timestamp,
}

/// Why the enrolments cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The name is none.
    #[error("a worker's name has 1 to {MAX_NAME_BYTES} characters of A-Z a-z 0-9 . _ -")]
    Name,
    /// There is one of that name.
    #[error(
        "a worker is already enrolled as {name}; revoke it first with `moorline workers revoke {name}`, or choose another name"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is none of that name.
    #[error("no worker is enrolled as {name}; `moorline workers list` shows those that are")]
    NotEnrolled {
        /// The name.
        name: String,
    },
    /// A pattern is none.
    #[error("{pattern:?} is no pattern of agents")]
    Pattern {
        /// The text.
        pattern: String,
        /// Why.
        #[source]
        source: AgentPatternError,
    },
    /// There are too many patterns.
    #[error("a worker is enrolled for at most {MAX_PATTERNS} patterns of agents")]
    TooManyPatterns,
    /// There are too many workers.
    #[error("at most {MAX_ENROLMENTS} workers are enrolled; revoke those that are gone")]
    TooMany,
    /// There is no secret from which a token could be derived.
    #[error("no gateway has used {} yet; start it once, or name its data directory with --data-dir", path.display())]
    NoGateway {
        /// The data directory.
        path: PathBuf,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// An enrolment cannot be read.
    #[error(transparent)]
    Read(#[from] EnrolmentsError),
    /// The machine gives no randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
}

impl Enrolments {
    /// Those of the gateway with this data directory, whether it runs or not.
    pub fn of(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    /// Enrols a worker and returns its token, which is not shown again.
    ///
    /// # Errors
    /// See [`EnrolError`].
    pub fn enrol(&self, name: &str, agents: &[String]) -> Result<EnrolmentToken, EnrolError> {
        check_name(name)?;
        check_patterns(agents)?;
        let secret = read_gateway_secret(&self.data_dir)?;
        let secret = secret.ok_or_else(|| EnrolError::NoGateway { path: self.data_dir.clone() })?;
        let enrolled = self.all()?;
        if enrolled.iter().any(|other| other.name == name) {
            return Err(EnrolError::NameTaken { name: name.to_owned() });
        }
        if enrolled.len() >= MAX_ENROLMENTS {
            return Err(EnrolError::TooMany);
        }
        let now = Clock::system().now();
        let worker = mint::worker_id(now)?;
        let agents = agents.to_vec();
        self.write(&Enrolled { worker, name: name.to_owned(), agents, enrolled: now })?;
        Ok(secret.enrolment_token(worker))
    }

    /// Revokes a worker's enrolment. A running gateway notices within seconds.
    ///
    /// # Errors
    /// See [`EnrolError`].
    pub fn revoke(&self, name: &str) -> Result<Enrolled, EnrolError> {
        let all = self.all()?.into_iter();
        let not_enrolled = || EnrolError::NotEnrolled { name: name.to_owned() };
        let enrolled = all.into_iter().find(|enrolled| enrolled.name == name).ok_or_else(not_enrolled)?;
        let path = self.path(enrolled.worker);
        fs::remove_file(&path).map_err(|source| DataDirError::of_io(&path, source))?;
        Ok(enrolled)
    }

    /// Every enrolled worker, the one enrolled first at the front.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn all(&self) -> Result<Vec<Enrolled>, EnrolmentsError> {
        self.workers()?.into_iter().filter_map(|worker| self.read(worker).transpose()).collect()
    }

    /// Their ids, in the same order.
    pub(crate) fn workers(&self) -> Result<Vec<WorkerId>, EnrolmentsError> {
        let path = self.directory();
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| EnrolmentsError::Read { path, source })?,
        };
        let names = entries.flatten().map(|entry| PathBuf::from(entry.file_name()));
        let names = names.filter(|name| name.extension().is_some_and(|extension| extension == SUFFIX));
        let mut workers: Vec<WorkerId> =
            names.filter_map(|name| name.file_stem()?.to_str()?.parse().ok()).take(MAX_ENROLMENTS).collect();
        workers.sort_unstable();
        Ok(workers)
    }

    pub(crate) fn read(&self, worker: WorkerId) -> Result<Option<Enrolled>, EnrolmentsError> {
        let path = self.path(worker);
        let mut text = Vec::new();
        let read = fs::File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EnrolmentsError::Read { path, source }),
            Ok(_) => {}
        }
        let enrolled: Option<Enrolled> = serde_json::from_slice(&text).ok();
        let enrolled = enrolled.filter(|enrolled| enrolled.worker == worker);
        enrolled.map(Some).ok_or(EnrolmentsError::Damaged { path })
    }

    fn write(&self, enrolled: &Enrolled) -> Result<(), DataDirError> {
        let directory = self.directory();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|source| DataDirError::of_io(&directory, source))?;
        let text = serde_json::to_vec(enrolled).unwrap_or_default();
        write_private(&directory, &file_name(enrolled.worker), &text).map(drop)
    }

    fn directory(&self) -> PathBuf {
        self.data_dir.join(DIRECTORY)
    }

    fn path(&self, worker: WorkerId) -> PathBuf {
        self.directory().join(file_name(worker))
    }
}

impl moorline_runtime::workers::Enrolments for Enrolments {
    fn find(&self, worker: WorkerId) -> Result<Option<Enrolment>, EnrolmentsError> {
        let Some(Enrolled { name, agents, .. }) = self.read(worker)? else { return Ok(None) };
        let agents: Result<_, _> = agents.iter().map(|pattern| pattern.parse::<AgentPattern>()).collect();
        let agents = agents.map_err(|_| EnrolmentsError::Damaged { path: self.path(worker) })?;
        Ok(Some(Enrolment { name, agents }))
    }
}

fn file_name(worker: WorkerId) -> String {
    format!("{worker}.{SUFFIX}")
}

fn check_name(name: &str) -> Result<(), EnrolError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed);
    if is_name { Ok(()) } else { Err(EnrolError::Name) }
}

fn check_patterns(patterns: &[String]) -> Result<(), EnrolError> {
    if patterns.len() > MAX_PATTERNS {
        return Err(EnrolError::TooManyPatterns);
    }
    patterns.iter().try_for_each(|pattern| match pattern.parse::<AgentPattern>() {
        Ok(_) => Ok(()),
        Err(source) => Err(EnrolError::Pattern { pattern: pattern.clone(), source }),
    })
}

#[cfg(test)]
mod tests {
    use moorline_runtime::workers::Enrolments as _;
    use moorline_worker::secret::{GatewaySecret, SECRET_BYTES};

    use super::*;
    use crate::data_dir::DataDir;

    fn used() -> (tempfile::TempDir, Enrolments) {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(&dir.path().join("data"), None).unwrap();
        data_dir.gateway_secret(GatewaySecret::new([7; SECRET_BYTES])).unwrap();
        let enrolments = Enrolments::of(data_dir.path());
        (dir, enrolments)
    }

    #[test]
    fn what_makes_no_enrolment_is_refused() {
        let (dir, enrolments) = used();
        let any = vec!["*".to_owned()];
        for name in ["", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(matches!(enrolments.enrol(name, &any), Err(EnrolError::Name)), "{name:?}");
        }
        assert!(matches!(enrolments.enrol("a", &["a*b".to_owned()]), Err(EnrolError::Pattern { .. })));
        assert!(matches!(enrolments.enrol("a", &vec!["*".to_owned(); 65]), Err(EnrolError::TooManyPatterns)));
        assert!(matches!(enrolments.revoke("a"), Err(EnrolError::NotEnrolled { .. })));
        let unused = Enrolments::of(&dir.path().join("unused"));
        assert!(matches!(unused.enrol("a", &any), Err(EnrolError::NoGateway { .. })));
        assert_eq!(enrolments.all().unwrap(), []);
    }

    #[test]
    fn a_worker_is_enrolled_until_it_is_revoked_and_its_file_holds_no_secret() {
        let (_dir, enrolments) = used();
        let token = enrolments.enrol("gpu-1", &["fold".to_owned(), "echo*".to_owned()]).unwrap();
        let again = enrolments.enrol("gpu-1", &["*".to_owned()]);
        assert!(matches!(again, Err(EnrolError::NameTaken { .. })));
        assert_eq!(enrolments.find(token.worker()).unwrap().unwrap().name, "gpu-1");
        let file = fs::read_to_string(enrolments.path(token.worker())).unwrap();
        assert!(!file.contains(&token.expose()[30..]));
        assert_eq!(enrolments.all().unwrap().len(), 1);
        assert_eq!(enrolments.revoke("gpu-1").unwrap().worker, token.worker());
        assert_eq!(enrolments.find(token.worker()).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_lets_nobody_in() {
        let (_dir, enrolments) = used();
        let token = enrolments.enrol("a", &["*".to_owned()]).unwrap();
        let other = enrolments.enrol("b", &["*".to_owned()]).unwrap();
        fs::copy(enrolments.path(other.worker()), enrolments.path(token.worker())).unwrap();
        assert!(matches!(enrolments.find(token.worker()), Err(EnrolmentsError::Damaged { .. })), "another's file");
        fs::write(enrolments.path(token.worker()), "{").unwrap();
        assert!(matches!(enrolments.find(token.worker()), Err(EnrolmentsError::Damaged { .. })));
    }
}
