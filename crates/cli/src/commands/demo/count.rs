//! Comparing what a client was shown with what happened.
//!
//! The journal's word is fetched at the end by another session, which watches the same jobs from their beginning.

use std::collections::HashMap;

use anyhow::{Result, bail};
use moorline_client::wire::JobRef;
use moorline_client::{Client, JobUpdate, SubscribeRequest};

/// One numbered thing that was shown of a job, as far as it is compared: everything but the session's number of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    text: String,
    /// Whether it is the job's end.
    pub(crate) is_end: bool,
}

/// What the comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    /// What happened.
    pub(super) events: usize,
    /// What of it was not shown.
    pub(super) lost: usize,
    /// What was shown more often than it happened.
    pub(super) repeated: usize,
}

impl Seen {
    /// What the update shows; `None` if it is nothing that happened in the job.
    pub(crate) fn of(update: &JobUpdate) -> Option<Self> {
        match update {
            JobUpdate::Event(event) => {
                let text = format!("{} {} {}", event.ts, event.kind, event.body.get());
                Some(Self { text, is_end: false })
            }
            JobUpdate::Result { result, .. } => {
                Some(Self { text: serde_json::to_string(result).unwrap_or_default(), is_end: true })
            }
            JobUpdate::Error { error, .. } => {
                Some(Self { text: serde_json::to_string(error).unwrap_or_default(), is_end: true })
            }
            JobUpdate::CancelRequested { .. } | JobUpdate::Gap(_) | JobUpdate::Unreadable(_) => None,
        }
    }
}

/// Compares what was shown of each job with what the journal has of it.
pub(super) async fn count<const N: usize>(client: &Client, jobs: [(&JobRef, &Vec<Seen>); N]) -> Result<Counted> {
    let mut counted = Counted::default();
    for (job, shown) in jobs {
        let happened = history(client, job).await?;
        counted.events += happened.len();
        let mut balance: HashMap<&Seen, (usize, usize)> = HashMap::new();
        for seen in &happened {
            balance.entry(seen).or_default().0 += 1;
        }
        for seen in shown {
            balance.entry(seen).or_default().1 += 1;
        }
        counted.lost += balance.values().map(|(happened, shown)| happened.saturating_sub(*shown)).sum::<usize>();
        counted.repeated += balance.values().map(|(happened, shown)| shown.saturating_sub(*happened)).sum::<usize>();
    }
    Ok(counted)
}

/// Everything that the journal has of a job that is over.
async fn history(client: &Client, job: &JobRef) -> Result<Vec<Seen>> {
    let mut handle = client.subscribe(SubscribeRequest::with_history(job.clone())).await?;
    let mut happened = Vec::new();
    while let Some(update) = handle.next().await {
        happened.extend(Seen::of(&update?));
    }
    if !happened.last().is_some_and(|seen| seen.is_end) {
        bail!("the journal has no end of {job}");
    }
    Ok(happened)
}
