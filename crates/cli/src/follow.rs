//! Showing a job until it ends.

use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use moorline_client::wire::event::{Progress, ResultChunk};
use moorline_client::wire::payload::{JobError, JobResult, credential};
use moorline_client::wire::{Event, FinalStatus};
use moorline_client::{
    AssembleError, Client, DEFAULT_MAX_RESULT_BYTES, Ended, Gap, JobEvent, JobHandle, JobUpdate, Missing,
    ResultAssembler,
};
use moorline_types::{EventSeq, JobId};
use serde_json::{Number, Value, json};

use crate::commands::demo::Seen;
use crate::connection_notes::ConnectionNotes;
use crate::exit::{Exit, exit_of};
use crate::output::{Output, Style, printable};

/// How often a bar without a known end moves.
const SPIN: Duration = Duration::from_millis(120);

/// How much of a job's id tells it from others on a screen: the end, which is random.
const LABEL_CHARS: usize = 6;

/// By how much progress has to move before it is told in a line, in hundredths of the whole.
const TOLD_PERCENT: u64 = 10;

/// How updates are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
    /// Not at all.
    Silent,
}

/// How a job ended, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) exit: Exit,
    /// The result, if there is one that is JSON.
    pub(crate) result: Option<Value>,
    /// Updates that carried a number.
    pub(crate) numbered: u64,
    /// Breaks in the numbering.
    pub(crate) gaps: u64,
    /// What was seen, if it is to be compared.
    pub(crate) seen: Vec<Seen>,
}

/// Shows updates of one job.
pub(crate) struct Follower<'a> {
    /// None if somebody else tells of the connection.
    connection: Option<ConnectionNotes>,
    output: &'a Output,
    form: Form,
    job: String,
    bar: Option<ProgressBar>,
    told_percent: Option<u64>,
    /// The streamed result so far; none if it is too large to be shown, or nobody looks.
    streamed: Option<ResultAssembler>,
    shows_result: bool,
    numbered: u64,
    gaps: u64,
    /// What was seen; none if nobody compares it.
    seen: Option<Vec<Seen>>,
    /// What stands before each line, if several jobs are shown.
    label: Option<String>,
}

/// What has come of one update.
#[derive(Debug)]
pub(crate) enum Step {
    /// The job has ended, or nobody reads on.
    Ended(Followed),
    /// The job has delegated to this one.
    Delegated(JobId),
    /// Something else.
    Shown,
}

/// The connection ended before the job did.
#[derive(Debug, thiserror::Error)]
#[error("{source}; the job goes on, `moorline watch {job}` shows it")]
pub(crate) struct Interrupted {
    job: String,
    source: Ended,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(client: &Client, job: &JobHandle, form: Form, output: &'a Output) -> Self {
        Self {
            connection: Some(ConnectionNotes::new(client)),
            output,
            form,
            job: job.id().to_string(),
            bar: None,
            told_percent: None,
            // Whoever reads JSON has the chunks.
            streamed: (form != Form::Json).then(|| ResultAssembler::new(DEFAULT_MAX_RESULT_BYTES)),
            shows_result: true,
            numbered: 0,
            gaps: 0,
            seen: None,
            label: None,
        }
    }

    /// Puts the end of the job's id before each line.
    pub(crate) fn labelled(mut self) -> Self {
        let tail = self.job.len().saturating_sub(LABEL_CHARS);
        self.label = Some(self.job.get(tail..).unwrap_or(&self.job).to_owned());
        self
    }

    /// Leaves it to the caller to tell of the connection.
    pub(crate) fn without_connection(mut self) -> Self {
        self.connection = None;
        self
    }

    /// Keeps what was seen.
    pub(crate) fn with_memory(mut self) -> Self {
        self.seen = Some(Vec::new());
        self
    }

    /// Leaves the result to the caller.
    pub(crate) const fn without_result(mut self) -> Self {
        self.shows_result = false;
        self
    }

    /// Shows everything until the job ends. May be cancelled and called again.
    pub(crate) async fn run(&mut self, job: &mut JobHandle) -> Result<Followed> {
        loop {
            if let Step::Ended(followed) = self.step(job).await? {
                return Ok(followed);
            }
        }
    }

    /// Shows the next update. May be cancelled and called again.
    pub(crate) async fn step(&mut self, job: &mut JobHandle) -> Result<Step> {
        let update = loop {
            tokio::select! {
                update = job.next() => break update,
                notes = told(&mut self.connection) => self.tell(&notes),
            }
        };
        let lost = || Interrupted { job: self.job.clone(), source: Ended::Lost };
        let update = update.ok_or_else(lost)?.map_err(|source| Interrupted { job: self.job.clone(), source })?;
        if let Some(seen) = &mut self.seen {
            seen.extend(Seen::of(&update));
        }
        let child = child_of(&update);
        if let Some(followed) = self.show(update)? {
            return Ok(Step::Ended(followed));
        }
        if self.output.is_over() {
            self.clear();
            return Ok(Step::Ended(self.followed(Exit::Interrupted, None)));
        }
        Ok(child.map_or(Step::Shown, Step::Delegated))
    }

    /// What becomes of the connection.
    fn tell(&self, notes: &[String]) {
        if self.form != Form::Silent {
            for note in notes {
                self.output.note(self.output.styled_note(Style::Yellow, printable(note)));
            }
        }
    }

    fn followed(&mut self, exit: Exit, result: Option<Value>) -> Followed {
        let seen = self.seen.take().unwrap_or_default();
        Followed { exit, result, numbered: self.numbered, gaps: self.gaps, seen }
    }

    fn show(&mut self, update: JobUpdate) -> Result<Option<Followed>> {
        match update {
            JobUpdate::Event(event) => {
                self.numbered += 1;
                self.show_event(&event)?;
                return Ok(None);
            }
            JobUpdate::CancelRequested { reason } => {
                if self.form == Form::Human {
                    let reason = reason.map(|reason| format!(": {}", printable(&reason))).unwrap_or_default();
                    self.say(self.output.styled(Style::Yellow, format_args!("cancelling{reason}")));
                }
            }
            JobUpdate::Gap(gap) => {
                self.show_gap(&gap);
            }
            JobUpdate::Unreadable(error) => self.warn(&format!("a message could not be read: {error}")),
            JobUpdate::Result { seq, result } => {
                self.numbered += 1;
                return self.show_result(seq, &result).map(Some);
            }
            JobUpdate::Error { seq, error } => {
                self.numbered += 1;
                return self.show_error(seq, &error).map(Some);
            }
        }
        Ok(None)
    }

    fn show_gap(&mut self, gap: &Gap) {
        if !gap.loses() {
            return self.tell(&[gap.to_string()]);
        }
        self.gaps += 1;
        self.warn(&gap.to_string());
        if self.form == Form::Json {
            let (from, to) = match gap.missing {
                Missing::Numbers { from, to } => (Some(from.get()), Some(to.get())),
                Missing::Nothing | Missing::Unknown => (None, None),
            };
            self.say_json(
                moorline_wire::vendor::GAP,
                None,
                &json!({ "from": from, "to": to, "told": gap.to_string() }),
            );
        }
    }

    fn show_event(&mut self, event: &JobEvent) -> Result<()> {
        if let Ok(Event::ResultChunk(chunk)) = &event.event {
            self.assemble(chunk)?;
        }
        match self.form {
            Form::Silent => {}
            Form::Json => {
                let payload = json!({ "kind": event.kind, "ts": event.ts.to_string(), "body": shown(event) });
                self.say_json("job.event", event.seq, &payload);
            }
            Form::Human => self.show_human(event),
        }
        Ok(())
    }

    fn assemble(&mut self, chunk: &ResultChunk) -> Result<()> {
        let Some(streamed) = &mut self.streamed else { return Ok(()) };
        match streamed.push(chunk) {
            Err(AssembleError::TooLarge { .. }) => self.streamed = None,
            pushed => pushed?,
        }
        Ok(())
    }

    /// The result as text; none if it is too large to be shown.
    fn text_of(&mut self, result: &JobResult) -> Result<Option<String>> {
        if result.result_id.is_none() {
            return Ok(Some(result.value().map_or("null", |value| value.get()).to_owned()));
        }
        let Some(streamed) = self.streamed.take() else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&streamed.finish(result)?).into_owned()))
    }

    fn show_human(&mut self, event: &JobEvent) {
        let output = self.output;
        let text = match &event.event {
            Ok(Event::Log(log)) => {
                let style = match log.level.as_str() {
                    "warn" => Style::Yellow,
                    "error" | "critical" => Style::Red,
                    _ => Style::Dim,
                };
                format!(
                    "{} {}",
                    output.styled(style, format_args!("{:<5}", log.level.as_str())),
                    printable(&log.message)
                )
            }
            Ok(Event::Progress(progress)) => return self.show_progress(event, progress),
            Ok(Event::Status(status)) => {
                let message =
                    status.message.as_ref().map(|message| format!(": {}", printable(message))).unwrap_or_default();
                format!("{}{message}", output.styled(Style::Cyan, printable(&status.phase)))
            }
            Ok(Event::Metric(metric)) => {
                let unit = metric.unit.as_ref().map(|unit| format!(" {}", printable(unit))).unwrap_or_default();
                format!(
                    "{} {}{unit}",
                    output.styled(Style::Dim, format_args!("{} =", printable(&metric.name))),
                    metric.value
                )
            }
            Ok(Event::ArtifactRef(artifact)) => {
                let size =
                    artifact.byte_size.map(|bytes| format!(" ({})", crate::census::bytes(bytes))).unwrap_or_default();
                format!("{} {}{size}", output.styled(Style::Green, "artifact"), printable(&artifact.uri))
            }
            Ok(Event::Thought(thought)) => output.styled(Style::Dim, printable(&thought.text)),
            Ok(Event::ResultChunk(chunk)) => {
                output.styled(Style::Dim, format_args!("result part {} of {}", chunk.chunk_seq + 1, chunk.result_id))
            }
            Ok(Event::ToolCall(call)) => {
                format!("{} {}", output.styled(Style::Cyan, printable(&call.tool)), printable(call.args.get()))
            }
            Ok(Event::ToolResult(_) | Event::Delegate(_) | Event::Other { .. }) | Err(_) => {
                format!("{} {}", output.styled(Style::Cyan, &event.kind), printable(event.body.get()))
            }
        };
        self.say(format_args!("{} {text}", output.styled(Style::Dim, time_of_day(&event.ts.to_string()))));
    }

    fn show_progress(&mut self, event: &JobEvent, progress: &Progress) {
        let (current, total) = (whole(&progress.current), progress.total.as_ref().map(whole));
        let units = printable(progress.units.as_deref().unwrap_or_default());
        let message = printable(progress.message.as_deref().unwrap_or_default());
        if self.output.is_watched() {
            let bar = self.bar.get_or_insert_with(|| {
                let bar = ProgressBar::no_length();
                self.output.show_bar(&bar);
                bar
            });
            match total {
                Some(total) => {
                    bar.set_style(style("{spinner} [{bar:30}] {pos}/{len} {prefix} {wide_msg}"));
                    bar.set_length(total);
                }
                None => bar.set_style(style("{spinner} {pos} {prefix} {wide_msg}")),
            }
            bar.enable_steady_tick(SPIN);
            bar.set_prefix(units.into_owned());
            bar.set_message(message.into_owned());
            bar.set_position(current);
            return;
        }
        let percent = total.filter(|total| *total > 0).map(|total| current.saturating_mul(100) / total);
        let moved = match (self.told_percent, percent) {
            (Some(told), Some(now)) => now < told || now >= told + TOLD_PERCENT || (now == 100 && told < 100),
            _ => true,
        };
        if moved {
            self.told_percent = percent;
            let of = total.map(|total| format!("/{total}")).unwrap_or_default();
            let percent = percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
            let time = self.output.styled(Style::Dim, time_of_day(&event.ts.to_string()));
            self.say(format_args!("{time} progress {current}{of} {units}{percent} {message}").to_string().trim_end());
        }
    }

    fn show_result(&mut self, seq: Option<EventSeq>, result: &JobResult) -> Result<Followed> {
        self.clear();
        let text = self.text_of(result)?;
        let parsed: Option<Value> = text.as_ref().and_then(|text| serde_json::from_str(text).ok());
        match self.form {
            Form::Silent => {}
            Form::Json => self.say_json("job.result", seq, &serde_json::to_value(result)?),
            Form::Human => {
                let summary =
                    result.summary.as_ref().map(|summary| format!(": {}", printable(summary))).unwrap_or_default();
                self.output.note(format_args!("{}{summary}", self.output.styled_note(Style::Green, "success")));
                match (&parsed, text) {
                    _ if !self.shows_result => {}
                    (Some(value), _) => self.say_result(serde_json::to_string_pretty(value)?),
                    (None, Some(text)) => self.say_result(text),
                    (None, None) => {
                        self.output.note(format_args!(
                            "the result is too large to be shown; `moorline result {}` fetches it",
                            self.job
                        ));
                    }
                }
            }
        }
        let exit = exit_of(result.final_status.known());
        Ok(self.followed(exit, parsed))
    }

    /// A file or a program gets what the agent made; a terminal does not obey it.
    fn say_result(&self, text: String) {
        self.output.line(if self.output.is_terminal() { printable(&text).into_owned() } else { text });
    }

    fn show_error(&mut self, seq: Option<EventSeq>, error: &JobError) -> Result<Followed> {
        self.clear();
        // An error is none of the ways to succeed, whatever it says.
        let exit = exit_of(error.final_status.known().filter(|status| *status != FinalStatus::Success));
        match self.form {
            Form::Json => self.say_json("job.error", seq, &serde_json::to_value(error)?),
            Form::Human | Form::Silent => {
                let style = if exit == Exit::JobCancelled { Style::Yellow } else { Style::Red };
                let status = self.output.styled_note(style, printable(error.final_status.as_str()));
                self.output.note(format_args!(
                    "{status}: {} ({})",
                    printable(error.message()),
                    printable(error.code().as_str())
                ));
                if let (Some(details), Form::Human) = (&error.details, self.form) {
                    self.output.note(self.output.styled_note(Style::Dim, printable(details.get())));
                }
            }
        }
        Ok(self.followed(exit, None))
    }

    fn say_json(&self, message_type: &str, event_seq: Option<EventSeq>, payload: &Value) {
        let mut line = json!({ "type": message_type, "job_id": self.job, "payload": payload });
        if let Some(event_seq) = event_seq {
            line["event_seq"] = event_seq.get().into();
        }
        self.output.line(line);
    }

    fn say(&self, line: impl std::fmt::Display) {
        match &self.label {
            Some(label) => self.output.line(format_args!("{} {line}", self.output.styled(Style::Dim, label))),
            None => self.output.line(line),
        }
    }

    fn warn(&self, text: &str) {
        self.output.note(format_args!("{}: {text}", self.output.styled_note(Style::Yellow, "warning")));
    }

    /// Takes the bar away.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            self.output.forget_bar();
            bar.finish_and_clear();
        }
    }
}

/// The job that an update says was delegated.
fn child_of(update: &JobUpdate) -> Option<JobId> {
    let JobUpdate::Event(JobEvent { event: Ok(Event::Delegate(delegate)), .. }) = update else { return None };
    delegate.child_job_id.as_ref()?.as_str().parse().ok()
}

/// What there is to tell of the connection next.
async fn told(connection: &mut Option<ConnectionNotes>) -> Vec<String> {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The event's body, but for the value of a credential that was replaced: what is printed is kept.
fn shown(event: &JobEvent) -> Value {
    value(credential::shown(&event.kind, &event.body).get())
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// `19:42:13` of a timestamp as it is written.
fn time_of_day(timestamp: &str) -> &str {
    timestamp.get(11..19).unwrap_or(timestamp)
}

/// A number as a bar counts: whole, and not below zero.
fn whole(number: &Number) -> u64 {
    number.to_string().split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}
