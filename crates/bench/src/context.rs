//! What a run of the scenarios is given.

use std::path::PathBuf;

/// How large the measurements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scale {
    /// So small that nothing is measured: for the tests, which are about whether it is right.
    Smoke,
    /// A tenth of what is published, for a look.
    Quick,
    /// What is published.
    Full,
}

impl Scale {
    /// A size for each scale.
    pub(crate) const fn of<T: Copy>(self, full: T, quick: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Smoke => smoke,
        }
    }

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        self.of("full", "quick", "smoke")
    }
}

/// What every scenario knows.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The `moorline` program.
    pub(crate) moorline: PathBuf,
    /// This program.
    pub(crate) own: PathBuf,
    /// Where data directories are made: the disk that is measured.
    pub(crate) scratch: PathBuf,
    pub(crate) scale: Scale,
    /// A Python with the official SDK.
    pub(crate) python: Option<PathBuf>,
}
