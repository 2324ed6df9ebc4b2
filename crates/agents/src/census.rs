//! `census`: counts what is in a directory tree.
//!
//! Input: `{"path": "/absolute", "top"?: 10, "report"?: "/absolute/file.json", "follow_links"?: false,
//! "hidden"?: true}`. It counts files, directories, lines and bytes by type, names the largest and the newest files,
//! and finds files with the same content. The result is bounded (`top` entries in each list); the whole report is a
//! JSON file that an `artifact_ref` names.
//!
//! Work goes in four phases: scanning (what is there), reading (lines, text or binary), hashing (only files that share
//! their size with another) and reporting. Blocking work is done in slices of bounded size, so cancellation is heard
//! within one slice. What cannot be read is counted and logged, and is no failure. At most
//! `MAX_TRACKED_FILES` files are remembered; beyond that they are only counted, and the report says so.

mod content;
mod duplicates;
mod input;
mod kinds;
mod report;
mod scan;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use moorline_types::ResolvedAgent;
use moorline_worker::sdk::{
    Agent, AgentDescription, EmitError, Failure, FailureCode, JobContext, Level, Metric, Outcome, Progress,
};

use crate::clock;
use content::Reading;
use duplicates::Hashing;
use input::Input;
use report::Report;
use scan::{Scan, Unreadable};

/// Jobs at once. They compete for the same disk; more would only be slower each.
const CAPACITY: u32 = 4;

/// How often progress is told: often enough for a person who watches.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Unreadable entries that are logged one by one; the rest is counted. A tree of another user has thousands.
const MAX_LOGGED_UNREADABLE: u64 = 20;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Census {
    agent: ResolvedAgent,
}

impl Census {
    /// The agent under this name and version.
    pub const fn new(agent: ResolvedAgent) -> Self {
        Self { agent }
    }
}

#[async_trait]
impl Agent for Census {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: self.agent.clone(),
            description: "counts files, lines and duplicates in a directory tree".to_owned(),
            capacity: CAPACITY,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let input = Input::read(&job)?;
        let mut course = Course { job: &job, told: clock::instant(), logged: 0 };
        let scan = course.scan(Scan::new(&input)).await?;
        let reading = course.read(Reading::of(scan)).await?;
        let hashing = course.hash(Hashing::of(reading)).await?;
        course.report(&input, Report::of(&input, hashing)).await
    }
}

/// Work that is done slice by slice.
trait Sliced: Send + 'static {
    /// Does a bounded part of what is left. `false` when nothing is.
    fn slice(&mut self) -> bool;

    /// What could not be read since the last call.
    fn take_unreadable(&mut self) -> Vec<Unreadable>;
}

/// One job, on its way through the phases.
struct Course<'a> {
    job: &'a JobContext,
    told: Instant,
    logged: u64,
}

impl Course<'_> {
    async fn scan(&mut self, scan: Scan) -> Result<Scan, Failure> {
        self.job.status("scanning", None).await?;
        let scan = self.work(scan, |scan| Progress { current: scan.seen(), ..units("entries") }).await?;
        self.job.log(Level::Info, scan.summary()).await?;
        Ok(scan)
    }

    async fn read(&mut self, reading: Reading) -> Result<Reading, Failure> {
        self.job.status("reading", None).await?;
        let begun = clock::instant();
        let reading = self.work(reading, |reading| done(reading.done(), reading.total(), "files")).await?;
        let seconds = begun.elapsed().as_secs_f64();
        self.job.progress(done(reading.done(), reading.total(), "files")).await?;
        self.job.metric(Metric::new("bytes_read", reading.bytes()).unit("bytes")).await?;
        if seconds > 0.0 && reading.done() > 0 {
            let files = u32::try_from(reading.done()).map_or(f64::from(u32::MAX), f64::from);
            self.job.metric(Metric::new("files_per_second", files / seconds).unit("files/s")).await?;
        }
        Ok(reading)
    }

    async fn hash(&mut self, hashing: Hashing) -> Result<Hashing, Failure> {
        self.job.status("hashing", None).await?;
        let hashing = self.work(hashing, |hashing| done(hashing.done(), hashing.total(), "files")).await?;
        if hashing.total() > 0 {
            self.job.progress(done(hashing.done(), hashing.total(), "files")).await?;
        }
        Ok(hashing)
    }

    async fn report(&self, input: &Input, report: Report) -> Result<Outcome, Failure> {
        self.job.status("reporting", None).await?;
        let (path, job) = (input.report_path(self.job), self.job.job_id().to_string());
        let target = path.clone();
        let (report, written) = blocking(move || {
            let written = report.write(&target, &job);
            (report, written)
        })
        .await?;
        let artifact = written.map_err(|error| cannot_write(input, &path, &error))?;
        self.job.artifact(artifact.clone()).await?;
        let summary = report.summary();
        Ok(Outcome::of(&report.result(input.top(), &artifact))?.summary(summary))
    }

    /// Runs work to its end, telling how far it is.
    async fn work<W: Sliced>(&mut self, mut work: W, progress: impl Fn(&W) -> Progress) -> Result<W, Failure> {
        loop {
            if self.job.is_cancelled() {
                return Err(Failure::cancelled());
            }
            let (back, more) = blocking(move || {
                let more = work.slice();
                (work, more)
            })
            .await?;
            work = back;
            self.log_unreadable(work.take_unreadable()).await?;
            if !more {
                return Ok(work);
            }
            if self.told.elapsed() >= PROGRESS_INTERVAL {
                self.job.progress(progress(&work)).await?;
                self.told = clock::instant();
            }
        }
    }

    async fn log_unreadable(&mut self, unreadable: Vec<Unreadable>) -> Result<(), EmitError> {
        for entry in unreadable {
            self.logged += 1;
            match self.logged.cmp(&(MAX_LOGGED_UNREADABLE + 1)) {
                std::cmp::Ordering::Less => self.job.log(Level::Warn, entry.to_string()).await?,
                std::cmp::Ordering::Equal => {
                    self.job.log(Level::Warn, "more entries cannot be read; the report counts them").await?;
                }
                std::cmp::Ordering::Greater => {}
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

fn cannot_write(input: &Input, path: &Path, error: &io::Error) -> Failure {
    let message = format!("the report cannot be written to {}: {error}", path.display());
    if input.names_report() {
        Failure::invalid_request(format!("input: report: {message}"))
    } else {
        Failure::new(FailureCode::InternalError, message)
    }
}

fn units(units: &str) -> Progress {
    Progress { units: Some(units.to_owned()), ..Progress::default() }
}

fn done(current: u64, total: u64, unit: &str) -> Progress {
    Progress { current, total: Some(total), ..units(unit) }
}
