//! `moorline credentials`: credentials for upstreams, and what of them is left to be withdrawn.

use anyhow::{Context as _, Result};
use moorline_client::wire::vendor::{CredentialEntry, Credentials as Request, CredentialsReport};
use serde_json::json;

use crate::args::{Connection, Credentials};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::output::Output;
use crate::table;

pub(crate) async fn run(credentials: Credentials, connection: &Connection, output: &Output) -> Result<Exit> {
    let client = connect(connection).await?;
    let (request, as_json, is_retry) = match credentials {
        Credentials::List { json } => (Request::List {}, json, false),
        Credentials::Retry { json } => (Request::Retry {}, json, true),
        Credentials::Rotate { job, name, json } => {
            let job_id = job.parse().context("the job's id").context(Stop(Exit::Usage))?;
            (Request::Rotate { job_id, name }, json, false)
        }
    };
    let report = client.credentials(request).await?;
    if as_json {
        output.line(json!(report));
    } else if let Some(rotated) = report.rotated {
        output.note(format_args!("{rotated} has another value; the one before is withdrawn"));
    } else {
        tell(&report, output);
        if is_retry {
            output.note(format_args!(
                "the upstream is asked for {} now; list them again in a moment",
                report.outstanding
            ));
        }
    }
    client.close(None).await;
    Ok(Exit::Success)
}

fn tell(report: &CredentialsReport, output: &Output) {
    let CredentialsReport { upstream, offered, trouble, live, outstanding, credentials, .. } = report;
    match (upstream, trouble) {
        (None, _) => output.note("no upstream is configured: no credentials are issued"),
        (Some(upstream), Some(trouble)) => output.note(format_args!("{upstream} issues no credentials: {trouble}")),
        (Some(upstream), None) if *offered => {
            output.note(format_args!("{upstream} issues credentials; jobs have {live}"));
        }
        (Some(upstream), None) => output.note(format_args!("{upstream} issues no credentials")),
    }
    if *outstanding == 0 {
        return output.note("nothing is left to be withdrawn");
    }
    let mut rows = table::table(&["NAME", "JOB", "SINCE", "FAILED", "UPSTREAM", "WHY"], &[]);
    for CredentialEntry { name, job_id, upstream, since, failed, error } in credentials {
        rows.add_row([
            name.to_string(),
            job_id.to_string(),
            since.to_string(),
            failed.to_string(),
            upstream.clone(),
            error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let mut text = String::new();
    table::add(&mut text, &rows, output);
    output.line(text.trim_end());
    if credentials.len() < *outstanding {
        output.note(format_args!("{} more are not shown", outstanding - credentials.len()));
    }
}
