//! `moorline demo --gateway`: a session with a simulated plant, three clients that watch it, and everything that can go
//! wrong between them.
//!
//! A gateway in a process of its own serves one session, whose worker is another process. Each of the clients, which are in
//! this one, has a line of its own to the gateway. One client's connection is cut; the gateway is killed and another one
//! started; and the slow client is cut off for longer than the gateway retains what it misses, which it is told. At the
//! end is counted what each of them was told.

use std::fmt::Arguments;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use moorline_gateway_client::{Command, EventBody, EventStream, Item, Link, Next, OpenSession, Session, Start, Value};
use serde_json::json;
use tokio::sync::watch;

use super::gateway::{Gateway, Served};
use super::relay::Relay;
use super::tally::{Log, Tally, tally};
use super::trial::times;
use crate::args::Demo;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::signals::Signals;
use crate::table;

/// The clients, by what becomes of them.
const NAMES: [&str; 3] = ["steady", "cut", "slow"];
const CUT: usize = 1;
const SLOW: usize = 2;

/// How often the plant moves, in milliseconds: three seconds until everything has happened, of which a restart of the
/// gateway takes a tenth. On a machine on which it takes twenty, the gateway still retains what was missed.
const TICK_MS: u64 = 25;

/// At which number of the plant's counter the connection is cut, the gateway killed, and the slow client cut off.
const CUT_AT: i64 = 40;
const KILL_AT: i64 = 80;
const AWAY_AT: i64 = 120;

/// How long the slow client takes over each event: twice as long as the plant.
const SLOWNESS: Duration = Duration::from_millis(50);

/// Values that are written at once while the slow client is away, each of which is two events: twice as many as the gateway
/// retains by default.
const BURST: i64 = 1_000;

/// What is written last, by which every client knows that it has everything.
const END: i64 = -1;

/// What one client has been told so far, as far as the others wait for it.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    count: i64,
    setpoint: i64,
    gaps: usize,
    /// Whether there is a connection.
    is_connected: bool,
}

/// A client that watches the session.
struct Watcher {
    name: &'static str,
    events: EventStream,
    link: watch::Receiver<Link>,
    items: Items,
    log: Log,
    progress: watch::Sender<Progress>,
    /// How long it takes over each event.
    pace: watch::Receiver<Duration>,
}

/// The items that are watched.
#[derive(Debug, Clone, Copy)]
struct Items {
    count: Item,
    setpoint: Item,
}

pub(super) async fn run(args: &Demo, output: &Output) -> Result<Exit> {
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let mut gateway = Gateway::launch(Served::Sessions)?;
    let shown = tokio::select! {
        shown = show(args, &mut gateway, output) => shown,
        () = signals.next() => Ok(Exit::Interrupted),
    };
    // Whatever was shown, the gateway is asked to end: only it can end its workers in order.
    let ended = gateway.end().await;
    let exit = shown?;
    ended?;
    Ok(exit)
}

async fn show(args: &Demo, gateway: &mut Gateway, output: &Output) -> Result<Exit> {
    gateway.opened().await?;
    let url = gateway.session_gateway()?;
    let lines = [Relay::to(&url).await?, Relay::to(&url).await?, Relay::to(&url).await?];
    tokio::select! {
        shown = watch_plant(args, gateway, &lines, output) => shown,
        never = lines[0].serve() => match never {},
        never = lines[1].serve() => match never {},
        never = lines[2].serve() => match never {},
    }
}

async fn watch_plant(args: &Demo, gateway: &mut Gateway, lines: &[Relay; 3], output: &Output) -> Result<Exit> {
    let plant = json!({ "tick_ms": TICK_MS, "tags": {
        "Line1.Count": { "wave": "counter" },
        "Line1.Setpoint": { "wave": "memory", "value": 0 },
    } });
    let first = gateway.connect_sessions(lines[0].url()).await?;
    let open = OpenSession { backend_options_json: plant.to_string(), ..OpenSession::new("demo") };
    let session = first.open(open).await?;
    let (pace, slow) = (watch::Sender::new(Duration::ZERO), watch::Sender::new(SLOWNESS));
    let told = !args.json;
    if told {
        let (pid, url) = (gateway.pid(), output.styled_note(Style::Cyan, gateway.session_gateway()?));
        let home = gateway.home().display();
        output.note(format_args!("a gateway (process {pid}) serves sessions on {url}, with its journal in {home}"));
        let worker = session.worker_info().await?.pid;
        output.note(format_args!("{} is one with a simulated plant, in its worker (process {worker})", session.id()));
    }
    // Everybody begins at the same number, before anything is advised.
    let about = session.about().await?;
    let start = moorline_gateway_client::Position { sequence: about.last_worker_sequence, epoch: about.epoch };
    let server = session.register("demo").await?;
    let count = session.add_item(server, "Line1.Count").await?;
    let setpoint = session.add_item(server, "Line1.Setpoint").await?;
    let mut watchers = Vec::new();
    for (name, line) in NAMES.into_iter().zip(lines) {
        let own = gateway.connect_sessions(line.url()).await?.attach(session.id()).await?;
        let events = own.events(Start::After(start.clone())).await?;
        let pace = if name == NAMES[SLOW] { slow.subscribe() } else { pace.subscribe() };
        watchers.push(Watcher::new(name, events, Items { count, setpoint }, pace));
    }
    for item in [count, setpoint] {
        session.advise(item).await?;
    }
    let progress: Vec<_> = watchers.iter().map(|watcher| watcher.progress.subscribe()).collect();
    let watching = try_join_all(watchers.iter_mut().map(|watcher| watcher.run(told.then_some(output))));
    let faults = Faults { lines, slow: &slow, session: &session, setpoint, progress: &progress };
    let happening = faults.happen(args.calm, gateway, told.then_some(output));
    // Whichever fails, the others would wait for it.
    let (_, Happened { cuts, kills }) = tokio::try_join!(watching, happening)?;
    let logs: Vec<_> = watchers.into_iter().map(|watcher| watcher.log).collect();
    session.close().await?;
    let (tallies, left_out) = tally(&logs);
    tell(args, &tallies, left_out, (cuts, kills), output)
}

impl Watcher {
    fn new(name: &'static str, events: EventStream, items: Items, pace: watch::Receiver<Duration>) -> Self {
        let (link, progress) =
            (events.link(), watch::Sender::new(Progress { is_connected: true, ..Progress::default() }));
        Self { name, events, link, items, log: Log::default(), progress, pace }
    }

    /// Takes in what comes until the end, and says how the connection fares.
    async fn run(&mut self, output: Option<&Output>) -> Result<()> {
        while self.progress.borrow().setpoint != END {
            let next = tokio::select! {
                next = self.events.next() => next,
                Ok(()) = self.link.changed() => {
                    self.note_link(output);
                    continue;
                }
            };
            let Some(next) = next else { bail!("the session is over before the plant has said everything") };
            match next? {
                Next::Event(event) => self.take_in(event.sequence, event.item, &event.body),
                Next::Gap(gap) => {
                    self.log.gaps.push((gap.after, gap.oldest_available));
                    self.progress.send_modify(|progress| progress.gaps += 1);
                    if let Some(output) = output {
                        output.note(output.styled_note(Style::Red, format_args!("{}: GAP: {gap}", self.name)));
                    }
                }
            }
            let pace = *self.pace.borrow();
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
        }
        Ok(())
    }

    fn take_in(&mut self, number: u64, item: Option<Item>, body: &EventBody) {
        self.log.numbers.push(number);
        let EventBody::DataChange(sample) = body else { return };
        let Value::Integer(value) = sample.value else { return };
        if item == Some(self.items.count) {
            self.log.counts.insert(number, value);
            self.progress.send_modify(|progress| progress.count = value);
        } else if item == Some(self.items.setpoint) {
            self.progress.send_modify(|progress| progress.setpoint = value);
        }
    }

    fn note_link(&mut self, output: Option<&Output>) {
        let link = self.link.borrow_and_update().clone();
        let is_connected = matches!(link, Link::Connected { .. });
        let was_connected = self.progress.borrow().is_connected;
        self.progress.send_modify(|progress| progress.is_connected = is_connected);
        let Some(output) = output.filter(|_| was_connected != is_connected) else { return };
        let text = match is_connected {
            true => format!("{}: connected again; the stream goes on behind event {}", self.name, self.position()),
            false => format!("{}: connection lost, reconnecting…", self.name),
        };
        output.note(output.styled_note(Style::Cyan, text));
    }

    fn position(&self) -> u64 {
        self.events.position().sequence
    }
}

/// What goes wrong, and to whom.
struct Faults<'a> {
    lines: &'a [Relay; 3],
    /// How long the slow client takes.
    slow: &'a watch::Sender<Duration>,
    session: &'a Session,
    setpoint: Item,
    progress: &'a [watch::Receiver<Progress>],
}

/// How often what went wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Happened {
    cuts: u32,
    kills: u32,
}

impl Faults<'_> {
    async fn happen(&self, is_calm: bool, gateway: &mut Gateway, output: Option<&Output>) -> Result<Happened> {
        let mut happened = Happened::default();
        if !is_calm {
            self.reaches(&[0, CUT], |progress| progress.count >= CUT_AT).await?;
            fault(output, format_args!("the connection of the client {:?} is cut at count {CUT_AT}", NAMES[CUT]));
            self.lines[CUT].cut();
            happened.cuts += 1;
            self.reaches(&[0, CUT], |progress| progress.count >= KILL_AT).await?;
            self.kill(gateway, output).await?;
            happened.kills += 1;
            self.reaches(&[0, CUT], |progress| progress.count >= AWAY_AT).await?;
            self.outlast(output).await?;
            happened.cuts += 1;
        } else {
            self.reaches(&[0, CUT], |progress| progress.count >= AWAY_AT).await?;
        }
        self.slow.send_replace(Duration::ZERO);
        self.session.write(self.setpoint, END).await?;
        Ok(happened)
    }

    async fn kill(&self, gateway: &mut Gateway, output: Option<&Output>) -> Result<()> {
        let killed = gateway.pid();
        fault(
            output,
            format_args!("kill -9 {killed}: the gateway is gone at count {KILL_AT}; the session's worker goes on"),
        );
        gateway.kill_and_replace().await?;
        let url = gateway.session_gateway()?;
        for line in self.lines {
            line.aim(&url)?;
        }
        if let Some(output) = output {
            let (pid, worker) = (gateway.pid(), self.session.worker_info().await?.pid);
            output.note(format_args!(
                "another gateway (process {pid}) has the journal, and the session's worker (process {worker})"
            ));
        }
        Ok(())
    }

    /// Keeps the slow client away for longer than what it misses is retained.
    async fn outlast(&self, output: Option<&Output>) -> Result<()> {
        let text =
            format!("{:?} is cut off while {BURST} values are written, more than the gateway retains", NAMES[SLOW]);
        fault(output, format_args!("{text}"));
        self.lines[SLOW].hold();
        self.slow.send_replace(Duration::ZERO);
        self.reaches(&[SLOW], |progress| !progress.is_connected).await?;
        let written = self.session.bulk((1..=BURST).map(|value| Command::write(self.setpoint, value))).await?;
        if let Some(refused) = written.into_iter().find_map(Result::err) {
            bail!("a value was not written: {refused}");
        }
        self.reaches(&[0, CUT], |progress| progress.setpoint == BURST).await?;
        self.lines[SLOW].let_go();
        self.reaches(&[SLOW], |progress| progress.gaps > 0).await
    }

    /// Waits until this holds of these clients.
    async fn reaches(&self, clients: &[usize], holds: impl Fn(&Progress) -> bool) -> Result<()> {
        for client in clients {
            let mut progress = self.progress.get(*client).context("there are three clients")?.clone();
            progress.wait_for(&holds).await.context("a client has stopped watching")?;
        }
        Ok(())
    }
}

fn fault(output: Option<&Output>, text: Arguments<'_>) {
    if let Some(output) = output {
        output.note(output.styled_note(Style::Yellow, text));
    }
}

/// Says what each client was told, and what of it was lost or came twice.
fn tell(args: &Demo, tallies: &[Tally], left_out: usize, broken: (u32, u32), output: &Output) -> Result<Exit> {
    let (cuts, kills) = broken;
    let lost = left_out + tallies.iter().map(|tally| tally.lost).sum::<usize>();
    let twice: usize = tallies.iter().map(|tally| tally.twice).sum();
    if args.json {
        let clients = NAMES.iter().zip(tallies).map(|(name, tally)| {
            let Tally { events, gaps, in_gaps, lost, twice } = tally;
            json!({ "name": name, "events": events, "lost": lost, "twice": twice, "gaps": gaps, "in_gaps": in_gaps })
        });
        let clients: Vec<_> = clients.collect();
        output.line(json!({ "clients": clients, "cuts": cuts, "kills": kills, "lost": lost, "twice": twice }));
    } else {
        let mut table =
            table::table(&["client", "events", "lost", "twice", "gaps", "events in gaps"], &[1, 2, 3, 4, 5]);
        for (name, Tally { events, gaps, in_gaps, lost, twice }) in NAMES.iter().zip(tallies) {
            let numbers = [events, lost, twice, gaps, in_gaps].map(ToString::to_string);
            table.add_row([(*name).to_owned()].into_iter().chain(numbers));
        }
        let mut text = String::new();
        table::add(&mut text, &table, output);
        output.line("");
        output.line(text.trim_end());
        let text = format!(
            "connections were cut {} and the gateway killed {}; {lost} events were lost without being told so, and \
             {twice} came twice",
            times(cuts),
            times(kills)
        );
        output.note(output.styled_note(if lost + twice == 0 { Style::Green } else { Style::Red }, text));
    }
    if lost + twice > 0 {
        bail!("{lost} events were lost and {twice} came twice; this is a fault of moorline, please report it");
    }
    Ok(Exit::Success)
}
