//! `moorline submit`: a new job.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use moorline_client::SubmitRequest;
use moorline_types::{Json, TraceContext, TraceRef};
use moorline_wire::payload;
use serde_json::json;

use crate::args::{Connection, Submit};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::follow::Form;
use crate::output::Output;

pub(crate) async fn run(args: Submit, connection: &Connection, output: &Output) -> Result<Exit> {
    let request = request(&args).context(Stop(Exit::Usage))?;
    let client = connect(connection).await?;
    let job = client.submit(request).await?;
    if args.follow {
        let form = if args.json { Form::Json } else { Form::Human };
        if !args.json {
            output.note(format_args!("{} is {}", job.id(), job.agent()));
        }
        return super::watch::follow(client, job, form, output).await;
    }
    if args.json {
        output.line(json!({ "job_id": job.id().as_str(), "agent": job.agent() }));
    } else {
        output.line(job.id());
    }
    drop(job);
    client.close(None).await;
    Ok(Exit::Success)
}

fn request(args: &Submit) -> Result<SubmitRequest> {
    let agent = args.agent.parse().with_context(|| format!("{:?} names no agent", args.agent))?;
    let input = match args.input.as_deref() {
        None => Json::null(),
        Some(input) => Json::parse(&text_of(input)?).context("--input must be JSON")?,
    };
    let mut submit = payload::Submit::new(agent, input);
    if let Some(lease) = &args.lease {
        submit.lease_request =
            Some(serde_json::from_str(lease).context("--lease must be an object of arrays of texts")?);
    }
    submit.max_runtime_sec = args.max_runtime.map(|length| length.as_secs());
    if let Some(moment) = &args.expires_at {
        let constraints = serde_json::from_value(json!({ "expires_at": moment }));
        submit.lease_constraints = Some(constraints.context("--expires-at must be a moment in UTC")?);
    }
    if let Some(key) = &args.idempotency_key {
        submit.idempotency_key = Some(key.parse().context("--idempotency-key")?);
    }
    if let Some(parent) = &args.parent {
        submit.parent_job_id = Some(parent.parse().context("--parent")?);
    }
    if let Some(id) = &args.delegate_id {
        submit.delegate_id = Some(id.parse().context("--delegate-id")?);
    }
    let trace = match &args.trace_id {
        Some(trace) => Some(trace.parse().context("--trace-id")?),
        None => caller().map(TraceRef::Parent),
    };
    Ok(SubmitRequest { trace, ..submit.into() })
}

/// The place in a trace of whoever has started us, as build systems and tracing tools hand it on. What is none is left
/// out, as W3C asks: nobody typed it.
fn caller() -> Option<TraceContext> {
    let context: TraceContext = std::env::var("TRACEPARENT").ok()?.parse().ok()?;
    let state = std::env::var("TRACESTATE").ok().and_then(|state| state.parse().ok());
    Some(TraceContext { state, ..context })
}

/// The text itself, or what is in the file or on standard input that it names.
fn text_of(input: &str) -> Result<String> {
    if input == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    match input.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {path}")),
        None => Ok(input.to_owned()),
    }
}
