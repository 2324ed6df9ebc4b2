//! `moorline cancel`: asking for a job's end.

use anyhow::{Context as _, Result};
use moorline_wire::Reason;

use crate::args::{Cancel, Connection};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::output::Output;

pub(crate) async fn run(args: Cancel, connection: &Connection, output: &Output) -> Result<Exit> {
    let job = args.job.parse().context("the job's id").context(Stop(Exit::Usage))?;
    let reason = args.reason.as_deref().and_then(Reason::cut);
    let client = connect(connection).await?;
    client.cancel(&job, reason).await?;
    output.line(format_args!("{job} is being cancelled"));
    client.close(None).await;
    Ok(Exit::Success)
}
