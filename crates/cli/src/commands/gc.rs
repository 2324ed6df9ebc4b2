//! `moorline gc`: removing what is over, or looking at what would go.
//!
//! The gateway removes a little at each request, so this asks until nothing is left. Whoever ends it in between has what
//! was removed until then, whole.

use std::time::Duration;

use anyhow::Result;
use moorline_client::Client;
use moorline_client::wire::JobRef;
use moorline_client::wire::vendor::{Gc, GcReport};
use moorline_types::Timestamp;
use serde_json::json;

use crate::args::{Collect, Connection};
use crate::census::bytes;
use crate::connect::connect;
use crate::exit::Exit;
use crate::output::Output;
use crate::table;

/// Ids of jobs that are named to a person. More than these are only counted.
const SHOWN_JOBS: usize = 10;

pub(crate) async fn run(args: Collect, connection: &Connection, output: &Output) -> Result<Exit> {
    let client = connect(connection).await?;
    let total = collect(&client, &args, output).await?;
    client.close(None).await;
    if args.json {
        output.line(total.as_json(args.dry_run));
    } else {
        total.show(args.dry_run, output);
    }
    Ok(Exit::Success)
}

/// One step after the other.
async fn collect(client: &Client, args: &Collect, output: &Output) -> Result<Total> {
    let mut total = Total::default();
    let mut request = Gc {
        dry_run: args.dry_run,
        older_than_ms: args.older_than.map(in_millis),
        max_bytes: args.max_bytes,
        cursor: None,
    };
    loop {
        let report = client.gc(request.clone()).await?;
        request.cursor = report.next_cursor.clone();
        total.add(report);
        if request.cursor.is_none() {
            return Ok(total);
        }
        if output.is_watched() && !args.json {
            let so_far = if args.dry_run { "would go so far" } else { "gone so far" };
            output.note(format_args!("{} jobs, {} sessions {so_far}", total.jobs, total.sessions));
        }
    }
}

fn in_millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// What all steps came to.
#[derive(Debug, Default)]
struct Total {
    jobs: u64,
    sessions: u64,
    kept: Vec<JobRef>,
    before: Option<u64>,
    after: u64,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
}

impl Total {
    fn add(&mut self, report: GcReport) {
        self.jobs += report.jobs;
        self.sessions += report.sessions;
        self.kept.extend(report.kept);
        self.before = self.before.or(Some(report.bytes_before));
        self.after = report.bytes_after;
        self.oldest = self.oldest.or(report.oldest);
        self.newest = report.newest.or(self.newest);
    }

    fn before(&self) -> u64 {
        self.before.unwrap_or(self.after)
    }

    fn as_json(&self, dry_run: bool) -> serde_json::Value {
        let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
        json!({
            "dry_run": dry_run,
            "jobs": self.jobs,
            "sessions": self.sessions,
            "kept": self.kept.iter().map(JobRef::as_str).collect::<Vec<_>>(),
            "bytes_before": self.before(),
            "bytes_after": self.after,
            "oldest": moment(self.oldest),
            "newest": moment(self.newest),
        })
    }

    fn show(&self, dry_run: bool, output: &Output) {
        let (what, then, most) =
            if dry_run { ("would go", "afterwards", "at most ") } else { ("gone", "journal now", "") };
        let mut table = table::table(&["", what], &[]);
        table.add_row(["jobs", &self.jobs.to_string()]);
        table.add_row(["sessions", &self.sessions.to_string()]);
        if let (Some(oldest), Some(newest)) = (self.oldest, self.newest) {
            table.add_row(["ended", &format!("{} to {} UTC", moment(oldest), moment(newest))]);
        }
        table.add_row([if dry_run { "journal now" } else { "journal before" }, &bytes(self.before())]);
        table.add_row([then, &format!("{most}{}", bytes(self.after))]);
        let mut text = String::new();
        table::add(&mut text, &table, output);
        text.lines().for_each(|line| output.line(line));
        self.show_kept(output);
    }

    fn show_kept(&self, output: &Output) {
        if self.kept.is_empty() {
            return;
        }
        let shown: Vec<_> = self.kept.iter().take(SHOWN_JOBS).map(JobRef::as_str).collect();
        let more = if self.kept.len() > SHOWN_JOBS { ", …" } else { "" };
        output.note(format_args!(
            "{} jobs stay for now, as sessions are about to be shown them: {}{more}",
            self.kept.len(),
            shown.join(", ")
        ));
    }
}

fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}
