//! The trial: a job that counts aloud while its client's connection is cut and its gateway is killed.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use moorline_client::wire::Event;
use moorline_client::{Client, JobHandle, JobUpdate};
use moorline_types::Json;
use moorline_wire::{Reason, payload};
use serde_json::json;
use tokio::sync::watch;

use super::count::{Counted, Seen};
use super::gateway::Gateway;
use super::relay::Relay;
use crate::connection_notes::ConnectionNotes;
use crate::output::{Output, Style};

/// What the job counts to, and how long it waits before each, in milliseconds: three seconds in all, of which a
/// restart of the gateway takes a tenth.
const EVENTS: u64 = 120;
const PAUSE_MS: u64 = 25;

/// After how many of them the connection is cut, and the gateway killed.
const CUT_AFTER: u64 = EVENTS / 3;
const KILL_AFTER: u64 = 2 * EVENTS / 3;

/// See the module's documentation.
pub(super) struct Trial {
    job: JobHandle,
}

/// What the trial's client saw.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) seen: Vec<Seen>,
    /// What the agent counted, as far as it was seen.
    numbers: Vec<u64>,
    /// How the connection and the gateway fared.
    cuts: u32,
    kills: u32,
}

impl Trial {
    pub(super) async fn begin(client: &Client, output: &Output) -> Result<Self> {
        let input = json!({ "echo": { "events": EVENTS, "delay_ms": PAUSE_MS } });
        let submit = payload::Submit::new("echo".parse().context("the agent's name")?, Json::of(&input)?);
        let job = client.submit(submit).await?;
        output.note(format_args!(
            "{} is {}, which counts to {EVENTS} while the connection is cut and the gateway is killed",
            job.id(),
            job.agent()
        ));
        Ok(Self { job })
    }

    pub(super) const fn job(&self) -> &moorline_client::wire::JobRef {
        self.job.id()
    }

    /// Follows the job to its end, and breaks what there is to break on the way. Nothing is broken after an
    /// interruption.
    pub(super) async fn run(
        &mut self,
        client: &Client,
        gateway: &mut Gateway,
        relay: &Relay,
        mut interrupted: watch::Receiver<bool>,
        output: &Output,
    ) -> Result<Tried> {
        let mut connection = ConnectionNotes::new(client);
        let mut tried = Tried { seen: Vec::new(), numbers: Vec::new(), cuts: 0, kills: 0 };
        let mut calm = false;
        loop {
            let update = tokio::select! {
                update = self.job.next() => update,
                notes = connection.next() => {
                    for note in notes {
                        output.note(output.styled_note(Style::Cyan, note));
                    }
                    continue;
                }
                // Its sender lives as long as this.
                Ok(_) = interrupted.wait_for(|interrupted| *interrupted), if !calm => {
                    calm = true;
                    self.job.cancel(Reason::cut("interrupted by Ctrl-C")).await?;
                    continue;
                }
            };
            let Some(update) = update else { bail!("the counting job's updates ended before the job did") };
            let number = tried.take_note(update?);
            if self.job_is_over(&tried) {
                return Ok(tried);
            }
            match number {
                Some(CUT_AFTER) if !calm && tried.cuts == 0 => {
                    tried.cuts += 1;
                    tell_fault(
                        output,
                        format_args!("the connection is cut after event {CUT_AFTER} of the counting job"),
                    );
                    relay.cut();
                }
                Some(KILL_AFTER) if !calm && tried.kills == 0 => {
                    tried.kills += 1;
                    kill(gateway, relay, output).await?;
                }
                _ => {}
            }
        }
    }

    fn job_is_over(&self, tried: &Tried) -> bool {
        tried.seen.last().is_some_and(|seen| seen.is_end)
    }
}

impl Tried {
    /// Answers what the agent counted with this update, if it did.
    fn take_note(&mut self, update: JobUpdate) -> Option<u64> {
        self.seen.extend(Seen::of(&update));
        let JobUpdate::Event(event) = update else { return None };
        let Ok(Event::Log(log)) = event.event else { return None };
        let number = log.message.split_ascii_whitespace().nth(1)?.parse().ok()?;
        self.numbers.push(number);
        Some(number)
    }
}

async fn kill(gateway: &mut Gateway, relay: &Relay, output: &Output) -> Result<()> {
    let (killed, workers) = (gateway.pid(), gateway.workers());
    tell_fault(
        output,
        format_args!("kill -9 {killed}: the gateway is gone after event {KILL_AFTER}; its workers go on"),
    );
    let url = gateway.kill_and_replace().await?;
    relay.aim(&url)?;
    let adopted = gateway.adopted(&workers).await;
    let processes = adopted.into_iter().collect::<Vec<_>>().join(" and ");
    output.note(format_args!(
        "another gateway (process {}) has the journal, and adopted the workers that run the jobs: {processes}",
        gateway.pid()
    ));
    Ok(())
}

fn tell_fault(output: &Output, text: std::fmt::Arguments<'_>) {
    output.note(output.styled_note(Style::Yellow, text));
}

/// Says what was lost and what was repeated, of what the agents reported and of what the journal holds.
pub(super) fn tell(counted: &Counted, tried: &Tried, output: &Output) -> Result<()> {
    let Counted { events, lost, repeated } = counted;
    let aloud: BTreeSet<u64> = tried.numbers.iter().copied().collect();
    let uncounted = (1..=EVENTS).filter(|number| !aloud.contains(number)).count();
    let twice = tried.numbers.len() - aloud.len();
    let text = format!(
        "the connection was cut {} and the gateway killed {}; of {events} events {} were lost and {} repeated",
        times(tried.cuts),
        times(tried.kills),
        lost + uncounted,
        repeated + twice
    );
    let intact = lost + uncounted + repeated + twice == 0;
    output.note(output.styled_note(if intact { Style::Green } else { Style::Red }, &text));
    if !intact {
        bail!("{text}; this is a fault of moorline, please report it");
    }
    Ok(())
}

/// How often, in words.
pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}
