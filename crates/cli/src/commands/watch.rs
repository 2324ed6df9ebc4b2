//! `moorline watch`: a job from its first event to its end.

use anyhow::{Context as _, Result};
use moorline_client::{Client, JobHandle, SubscribeRequest};
use moorline_types::EventSeq;

use crate::args::{Connection, Watch};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::follow::{Follower, Form};
use crate::output::Output;
use crate::signals::Signals;

pub(crate) async fn run(args: Watch, connection: &Connection, output: &Output) -> Result<Exit> {
    let id = args.job.parse().context("the job's id").context(Stop(Exit::Usage))?;
    let client = connect(connection).await?;
    let Watch { history, from, overflow, .. } = args;
    let request = SubscribeRequest { job: id, history, from: from.map(EventSeq::new), overflow };
    let job = client.subscribe(request).await?;
    let form = if args.json { Form::Json } else { Form::Human };
    follow(client, job, form, output).await
}

/// Shows a job to its end, or until the person has seen enough; the job does not mind.
pub(crate) async fn follow(client: Client, mut job: JobHandle, form: Form, output: &Output) -> Result<Exit> {
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut follower = Follower::new(&client, &job, form, output);
    let followed = tokio::select! {
        followed = follower.run(&mut job) => Some(followed?),
        () = signals.next() => None,
    };
    follower.clear();
    let exit = match followed {
        Some(followed) => followed.exit,
        None => {
            let id = job.id();
            output
                .note(format_args!("the job goes on: `moorline watch {id}` shows it, `moorline cancel {id}` ends it"));
            Exit::Interrupted
        }
    };
    drop(job);
    client.close(None).await;
    Ok(exit)
}
