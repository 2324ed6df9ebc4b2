//! A back end as lines of JSON: commands in, answers and events out. So that a program in any language tries the worker.

use std::io::{self, Write as _};

use moorline_backend::contract::{CommandResult, Event, Invocation};
use moorline_backend::{Backend, BackendFault, OpenError};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

/// A line that is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    /// The back end is open.
    Open,
    /// It cannot be opened.
    Refused {
        reason: String,
    },
    Answer {
        id: &'a str,
        result: CommandResult,
    },
    Event(Event),
    /// The back end has failed.
    Fault {
        reason: &'a str,
    },
    /// A line that is no command.
    Unreadable {
        reason: String,
    },
}

/// Says why the back end cannot be opened.
pub(crate) fn refused(error: &OpenError) -> io::Result<()> {
    print(&Line::Refused { reason: error.to_string() })
}

/// Carries out the commands of standard input, an [`Invocation`] in each line, until it ends.
///
/// # Errors
/// If standard input or output fails.
pub(crate) async fn drive(backend: &mut dyn Backend) -> io::Result<()> {
    print(&Line::Open)?;
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            event = backend.next_event() => match event {
                Ok(event) => {
                    print(&Line::Event(event))?;
                    continue;
                }
                Err(BackendFault { reason }) => return print(&Line::Fault { reason: &reason }),
            },
        };
        let Some(line) = line else { return Ok(()) };
        match serde_json::from_str::<Invocation>(&line) {
            Ok(Invocation { id, by, command }) => {
                let mut result = backend.execute(&id, by.as_deref(), &command).await;
                backend.settle(&mut [(&command, &mut result)]).await;
                print(&Line::Answer { id: &id, result })?;
            }
            Err(error) => print(&Line::Unreadable { reason: error.to_string() })?,
        }
    }
}

fn print(line: &Line<'_>) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}
