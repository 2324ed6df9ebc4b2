//! What a census is asked for.

use std::path::{Path, PathBuf};

use moorline_worker::sdk::{Failure, JobContext};
use serde::Deserialize;

/// Entries in each list unless asked otherwise.
const DEFAULT_TOP: usize = 10;

/// The most entries in each list: the result stays far below what fits inline.
const MAX_TOP: usize = 100;

/// Where reports are written if the input does not say: a directory of the worker's own.
const SCRATCH: &str = "MOORLINE_WORKER_SCRATCH";

/// A checked input.
#[derive(Debug, Clone)]
pub(super) struct Input {
    fields: Fields,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    path: PathBuf,
    #[serde(default = "default_top")]
    top: usize,
    report: Option<PathBuf>,
    #[serde(default)]
    follow_links: bool,
    #[serde(default = "yes")]
    hidden: bool,
}

const fn default_top() -> usize {
    DEFAULT_TOP
}

const fn yes() -> bool {
    true
}

impl Input {
    pub(super) fn read(job: &JobContext) -> Result<Self, Failure> {
        if !job.input_json().get().starts_with('{') {
            return Err(refused("must be an object such as {\"path\": \"/srv/data\"}"));
        }
        let fields: Fields = job.input().map_err(|error| error.into_failure())?;
        let path = fields.path.display();
        if !fields.path.is_absolute() {
            return Err(refused(format!("path: {path} must be absolute, begin it with /")));
        }
        match std::fs::metadata(&fields.path) {
            Err(error) => return Err(refused(format!("path: {path} cannot be looked at: {error}"))),
            Ok(metadata) if !metadata.is_dir() => return Err(refused(format!("path: {path} is not a directory"))),
            Ok(_) => {}
        }
        if fields.top > MAX_TOP {
            return Err(refused(format!("top: {} is more than {MAX_TOP}", fields.top)));
        }
        if let Some(report) = &fields.report {
            check_report(report)?;
        }
        Ok(Self { fields })
    }

    pub(super) fn root(&self) -> &Path {
        &self.fields.path
    }

    pub(super) const fn top(&self) -> usize {
        self.fields.top
    }

    pub(super) const fn follow_links(&self) -> bool {
        self.fields.follow_links
    }

    pub(super) const fn hidden(&self) -> bool {
        self.fields.hidden
    }

    /// Whether the input says where the report goes.
    pub(super) const fn names_report(&self) -> bool {
        self.fields.report.is_some()
    }

    /// Where the report goes.
    pub(super) fn report_path(&self, job: &JobContext) -> PathBuf {
        let default = || {
            let scratch = std::env::var_os(SCRATCH).map_or_else(std::env::temp_dir, PathBuf::from);
            scratch.join(format!("census-{}.json", job.job_id()))
        };
        self.fields.report.clone().unwrap_or_else(default)
    }
}

fn check_report(report: &Path) -> Result<(), Failure> {
    let shown = report.display();
    if !report.is_absolute() {
        return Err(refused(format!("report: {shown} must be absolute, begin it with /")));
    }
    match report.parent() {
        Some(parent) if parent.is_dir() && !report.is_dir() => Ok(()),
        Some(_) | None => Err(refused(format!("report: {shown} must name a file in a directory that exists"))),
    }
}

fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::invalid_request(format!("input: {why}"))
}
