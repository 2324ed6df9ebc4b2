//! `moorline watch`: a job from its first event to its end.

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use moorline_client::{Client, JobHandle, SubscribeRequest};
use moorline_types::EventSeq;

use crate::args::{Connection, Watch};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::follow::{Follower, Form, Step};
use crate::output::Output;
use crate::signals::Signals;

pub(crate) async fn run(args: Watch, connection: &Connection, output: &Output) -> Result<Exit> {
    let id = args.job.parse().context("the job's id").context(Stop(Exit::Usage))?;
    let client = connect(connection).await?;
    let Watch { history, from, overflow, tree, .. } = args;
    let request = SubscribeRequest { job: id, history, from: from.map(EventSeq::new), overflow };
    let job = client.subscribe(request).await?;
    let form = if args.json { Form::Json } else { Form::Human };
    if tree { follow_tree(client, job, form, output).await } else { follow(client, job, form, output).await }
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

/// Shows a job and all that are delegated below it, until the last of them has ended. How the first ends decides about
/// the exit.
async fn follow_tree(client: Client, root: JobHandle, form: Form, output: &Output) -> Result<Exit> {
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let id = root.id().clone();
    let mut watched = FuturesUnordered::new();
    let follower = Follower::new(&client, &root, form, output).labelled();
    watched.push(step(root, follower, true));
    let mut exit = Exit::Success;
    loop {
        let (job, follower, is_root, step_taken) = tokio::select! {
            next = watched.next() => match next {
                Some(next) => next,
                None => break,
            },
            () = signals.next() => {
                output.note(format_args!("the jobs go on: `moorline watch --tree {id}` shows them"));
                exit = Exit::Interrupted;
                break;
            }
        };
        match step_taken? {
            Step::Ended(followed) => {
                if is_root {
                    exit = followed.exit;
                }
                continue;
            }
            Step::Delegated(child) => {
                let request = SubscribeRequest { job: child.into(), history: true, from: None, overflow: None };
                let child = client.subscribe(request).await?;
                let follower = Follower::new(&client, &child, form, output).labelled().without_connection();
                watched.push(step(child, follower, false));
            }
            Step::Shown => {}
        }
        watched.push(step(job, follower, is_root));
    }
    drop(watched);
    client.close(None).await;
    Ok(exit)
}

/// Shows one update of a job that is one of several.
async fn step<'a>(
    mut job: JobHandle,
    mut follower: Follower<'a>,
    is_root: bool,
) -> (JobHandle, Follower<'a>, bool, Result<Step>) {
    let taken = follower.step(&mut job).await;
    (job, follower, is_root, taken)
}
