//! Keeping one worker process running: started or adopted, watched, started again after a growing wait when it ends.

use moorline_types::WorkerId;
use moorline_worker::launch::{Assignment, AssignmentKind, LaunchSpec, Launched, launch};

use super::crew::{Crew, ProcessSpec, Survivor};
use super::manifest::Entry;
use super::process::{self, Fate};
use super::restart::Restart;
use crate::hold::{self, Point};
use crate::mint;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Keeper {
    crew: Crew,
    spec: ProcessSpec,
    fingerprint: String,
}

impl Keeper {
    pub(super) const fn new(crew: Crew, spec: ProcessSpec, fingerprint: String) -> Self {
        Self { crew, spec, fingerprint }
    }

    /// Keeps a worker running until the gateway stops, beginning with `adopted`.
    #[tracing::instrument(name = "supervisor", skip_all, fields(worker_name = %self.spec.name))]
    pub(super) async fn run(self, adopted: Option<Survivor>) {
        let stopping = self.crew.0.tasks.stopping().clone();
        let mut restart = Restart::new(self.crew.0.clock.clone());
        let mut adopted = adopted;
        // One that is adopted is watched also if the gateway stops before this has begun: it may be one that is to end.
        while adopted.is_some() || !stopping.is_cancelled() {
            restart.begin();
            match adopted.take() {
                Some(survivor) => self.adopt(survivor).await,
                None => self.start().await,
            }
            if !stopping.is_cancelled() {
                tracing::warn!(after = ?restart.length(), "a worker is started in its place");
            }
            restart.wait(&stopping).await;
        }
    }

    async fn adopt(&self, Survivor { worker, entry, process }: Survivor) {
        tracing::info!(%worker, pid = process.identity().pid, "a worker of the last run is adopted");
        let attachment = self.crew.0.door.pool().watch_worker(worker);
        if process::watch(&self.crew, worker, &entry, &process, attachment).await == Fate::Gone {
            tracing::warn!(%worker, "the adopted worker has ended");
        }
    }

    async fn start(&self) {
        match mint::worker_id(self.crew.0.clock.now()) {
            Ok(worker) => self.run_once(worker).await,
            Err(error) => tracing::error!(%error, "no worker can be named"),
        }
    }

    /// Starts a worker and watches it until it is gone or the gateway stops.
    pub(super) async fn run_once(&self, worker: WorkerId) {
        let mut entry = self.crew.entry(worker, &self.spec, &self.fingerprint);
        hold::reached(Point::Intent).await;
        // Written down before it runs, so that a gateway that dies in between leaves nothing that nobody knows.
        if let Err(error) = self.crew.0.manifest.put(worker, &entry).await {
            return tracing::error!(%error, "a worker is not started, because it cannot be written down");
        }
        hold::reached(Point::Intended).await;
        // Expected before it runs, so that it cannot be faster than we are.
        self.crew.0.door.expect(worker);
        match launch(self.launch_spec(worker, &entry)).await {
            Ok(launched) => {
                entry.process = Some(launched.identity.clone());
                tracing::info!(%worker, pid = launched.identity.pid, log = %entry.log.display(), "a worker is started");
                hold::reached(Point::Spawned).await;
                // Without the record it is not let in, and ended after the window for being away.
                match self.crew.0.manifest.put(worker, &entry).await {
                    Ok(()) => {
                        hold::reached(Point::Recorded).await;
                        self.crew.0.door.record(worker, Some(launched.identity.pid));
                    }
                    Err(error) => tracing::error!(%worker, %error, "the worker's process cannot be written down"),
                }
                self.watch(worker, &entry, launched).await;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the worker cannot be started");
                self.crew.0.door.forget(worker);
                self.crew.0.manifest.remove(worker).await;
            }
        }
    }

    async fn watch(&self, worker: WorkerId, entry: &Entry, launched: Launched) {
        let Launched { process, mut child, .. } = launched;
        let attachment = self.crew.0.door.pool().watch_worker(worker);
        if process::watch(&self.crew, worker, entry, &process, attachment).await == Fate::LeftAlone {
            return;
        }
        match child.wait().await {
            // It was told to leave.
            Ok(status) if status.success() || self.crew.0.tasks.stopping().is_cancelled() => {
                tracing::debug!(%worker, %status, "the worker has ended");
            }
            Ok(status) => tracing::warn!(%worker, %status, "the worker has ended"),
            Err(error) => tracing::error!(%worker, %error, "the worker cannot be waited for"),
        }
    }

    fn launch_spec(&self, worker: WorkerId, entry: &Entry) -> LaunchSpec {
        let ProcessSpec { program, args, env, cwd, socket, assignment, orphan_lifetime, .. } = self.spec.clone();
        let orphan_lifetime = orphan_lifetime.unwrap_or(self.crew.0.options.orphan_lifetime);
        let secret = self.crew.0.door.secret().worker_secret(worker);
        let assignment = Assignment {
            socket,
            worker_id: worker,
            secret,
            orphan_lifetime_ms: orphan_lifetime.into(),
            outbox: Some(entry.outbox.clone()),
            spec: AssignmentKind(assignment),
        };
        LaunchSpec { program, args, env, cwd, log_path: entry.log.clone(), assignment }
    }
}
