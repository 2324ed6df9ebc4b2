//! `moorline workers`: which workers of other machines are let in.

use anyhow::Result;
use moorline_server::enrolments::{EnrolError, Enrolments};
use serde_json::json;

use crate::args::{Connection, Workers};
use crate::connect::data_dir;
use crate::exit::{Exit, Stop};
use crate::output::Output;
use crate::table;

pub(crate) fn run(workers: Workers, connection: &Connection, output: &Output) -> Result<Exit> {
    let enrolments = Enrolments::of(&data_dir(connection)?);
    match workers {
        Workers::Enroll { name, agents } => {
            let token = enrolments.enrol(&name, &agents).map_err(told)?;
            output.line(token.expose());
            output.note(format_args!("{} is enrolled as {name}; this token is not shown again", token.worker()));
        }
        Workers::Revoke { name } => {
            let revoked = enrolments.revoke(&name).map_err(told)?;
            output.note(format_args!(
                "{name} ({}) is revoked; a gateway that runs notices within seconds",
                revoked.worker
            ));
        }
        Workers::List { json } => list(&enrolments, json, output)?,
    }
    Ok(Exit::Success)
}

fn list(enrolments: &Enrolments, as_json: bool, output: &Output) -> Result<()> {
    let enrolled = enrolments.all().map_err(EnrolError::Read).map_err(told)?;
    if as_json {
        enrolled.iter().for_each(|worker| output.line(json!(worker)));
        return Ok(());
    }
    if enrolled.is_empty() {
        output.note("no worker is enrolled; enrol one with `moorline workers enroll --name NAME`");
        return Ok(());
    }
    let mut rows = table::table(&["NAME", "AGENTS", "ENROLLED", "ID"], &[]);
    for worker in enrolled {
        rows.add_row([worker.name, worker.agents.join(","), worker.enrolled.to_string(), worker.worker.to_string()]);
    }
    let mut text = String::new();
    table::add(&mut text, &rows, output);
    output.line(text.trim_end());
    Ok(())
}

/// The error, with the exit code that it has.
fn told(error: EnrolError) -> anyhow::Error {
    let exit = match &error {
        EnrolError::DataDir(_) | EnrolError::Read(_) | EnrolError::NoGateway { .. } => Exit::DataDir,
        EnrolError::Entropy(_) => Exit::Internal,
        EnrolError::Name
        | EnrolError::NameTaken { .. }
        | EnrolError::NotEnrolled { .. }
        | EnrolError::Pattern { .. }
        | EnrolError::TooManyPatterns
        | EnrolError::TooMany => Exit::Usage,
    };
    anyhow::Error::new(error).context(Stop(exit))
}
