//! `moorline result`: a job's result, whatever its size.
//!
//! A streamed result is written chunk by chunk as it arrives and is never held. A file gets its name when the result is
//! whole and has the size that the job says; until then it is beside it, under another.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use moorline_client::wire::Event;
use moorline_client::wire::payload::JobResult;
use moorline_client::{JobHandle, JobUpdate, ResultChunks, SubscribeRequest};
use tempfile::NamedTempFile;

use crate::args::{Connection, Fetch};
use crate::connect::connect;
use crate::connection_notes::ConnectionNotes;
use crate::exit::{Exit, Stop, exit_of};
use crate::output::{Output, Style, printable};
use crate::signals::Signals;

pub(crate) async fn run(args: Fetch, connection: &Connection, output: &Output) -> Result<Exit> {
    let id = args.job.parse().context("the job's id").context(Stop(Exit::Usage))?;
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut sink = Sink::open(args.file.as_deref(), output).context(Stop(Exit::Usage))?;
    let client = connect(connection).await?;
    let mut job = client.subscribe(SubscribeRequest::with_history(id)).await?;
    let mut notes = ConnectionNotes::new(&client);
    let exit = tokio::select! {
        exit = fetch(&mut job, &mut sink, &mut notes, output) => exit?,
        () = signals.next() => Exit::Interrupted,
    };
    if exit == Exit::Success {
        sink.finish()?;
    }
    drop(job);
    client.close(None).await;
    Ok(exit)
}

/// Writes the result to its end. Answers how the job ended.
async fn fetch(job: &mut JobHandle, sink: &mut Sink<'_>, notes: &mut ConnectionNotes, output: &Output) -> Result<Exit> {
    let mut chunks = ResultChunks::default();
    loop {
        let update = tokio::select! {
            update = job.next() => update,
            told = notes.next() => {
                told.iter().for_each(|note| output.note(note));
                continue;
            }
        };
        let Some(update) = update else { bail!("the job's stream ended before the job did") };
        match update? {
            JobUpdate::Event(event) => {
                if let Ok(Event::ResultChunk(chunk)) = &event.event {
                    sink.write(&chunks.read(chunk)?)?;
                }
            }
            JobUpdate::Gap(gap) if gap.loses() => {
                bail!("{gap}, so the result is not whole")
            }
            JobUpdate::Gap(_) | JobUpdate::CancelRequested { .. } => {}
            JobUpdate::Unreadable(error) => return Err(error).context("a message of the job cannot be read"),
            JobUpdate::Result { result, .. } => {
                finish(&chunks, &result, sink)?;
                return Ok(exit_of(result.final_status.known()));
            }
            JobUpdate::Error { error, .. } => {
                let status = output.styled_note(Style::Red, printable(error.final_status.as_str()));
                let (message, code) = (printable(error.message()), printable(error.code().as_str()));
                output.note(format_args!("{status}: {message} ({code}); the job has no result"));
                return Ok(exit_of_error(&error));
            }
        }
        if output.is_over() {
            return Ok(Exit::Interrupted);
        }
    }
}

fn finish(chunks: &ResultChunks, result: &JobResult, sink: &mut Sink<'_>) -> Result<()> {
    match result.value() {
        Some(value) => {
            sink.write(value.get().as_bytes())?;
            sink.write(b"\n")
        }
        None if result.result_id.is_some() => Ok(chunks.finish(result)?),
        None => sink.write(b"null\n"),
    }
}

fn exit_of_error(error: &moorline_client::wire::payload::JobError) -> Exit {
    use moorline_client::wire::FinalStatus;

    // An error is none of the ways to succeed, whatever it says.
    exit_of(error.final_status.known().filter(|status| *status != FinalStatus::Success))
}

/// Where the result goes.
enum Sink<'a> {
    Stdout(&'a Output),
    File { beside: NamedTempFile, path: PathBuf },
}

impl<'a> Sink<'a> {
    fn open(path: Option<&Path>, output: &'a Output) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(output)) };
        let shown = path.display();
        if path.is_dir() {
            bail!("{shown} is a directory; name a file in it");
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        // As any program makes a file; the umask narrows it.
        builder.prefix(".moorline-result-").permissions(Permissions::from_mode(0o666));
        let beside = builder.tempfile_in(directory);
        let beside = beside.with_context(|| format!("{shown} cannot be made; name a file where you can write"))?;
        Ok(Self::File { beside, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Stdout(output) => {
                output.bytes(bytes);
                Ok(())
            }
            Self::File { beside, path } => {
                beside.write_all(bytes).with_context(|| format!("{} cannot be written", path.display()))
            }
        }
    }

    /// Gives a file its name.
    fn finish(self) -> Result<()> {
        let Self::File { beside, path } = self else { return Ok(()) };
        let told = || format!("{} cannot be written", path.display());
        beside.as_file().sync_all().with_context(told)?;
        beside.persist(&path).with_context(told)?;
        Ok(())
    }
}
