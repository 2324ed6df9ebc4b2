//! `moorline gateway stream`: a session's events, as a live table of its items on a terminal, and else line by line.
//!
//! A connection that is lost and a gateway that was killed are waited for, and the stream goes on behind what was seen
//! last. What is missing all the same is a gap: it is shown where nobody can overlook it, and the items are read anew.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use moorline_gateway_client::{
    CallError, Event, EventBody, EventStream, Item, Link, Next, Position, Server, Session, Start,
};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::tags::Tags;
use super::{attach, rates, show};
use crate::args::{Connection, Stream};
use crate::clock;
use crate::connect::{SessionGateway, session_gateway};
use crate::exit::{Exit, Stop};
use crate::keyboard::Keyboard;
use crate::output::{Output, Style, printable};
use crate::signals::Signals;

/// How often the table is painted, and how often is looked whether the gateway listens elsewhere.
const PAINT: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(500);

/// How often the worker is asked what its items are called, at the most.
const ASK: Duration = Duration::from_secs(1);

/// How long the items that were added may take to be removed at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// The key that ends the table.
const END: u8 = b'q';

/// Why a stream is not followed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The session is over.
    Session,
    /// Whoever looked at it has seen enough.
    Key,
    /// A signal.
    Signal,
}

/// How events are shown.
enum Form {
    Json,
    Lines,
    Table(Box<Tags>, ProgressBar),
}

/// See the module's documentation.
struct Following<'a> {
    connection: &'a Connection,
    output: &'a Output,
    gateway: SessionGateway,
    session: Session,
    events: EventStream,
    link: watch::Receiver<Link>,
    form: Form,
    names: Names,
    began: Instant,
    looked: Instant,
}

/// What items are called: events have handles only.
#[derive(Default)]
struct Names {
    known: BTreeMap<Item, String>,
    asked: Option<Instant>,
    /// The client session of the items that were added here.
    own: Option<Server>,
    /// The worker does not tell this client.
    is_denied: bool,
}

pub(super) async fn run(args: Stream, connection: &Connection, output: &Output) -> Result<Exit> {
    let mut signals = Signals::listen().context("signals cannot be listened for")?;
    let gateway = session_gateway(connection)?;
    let session = attach(&gateway, connection, &args.session).await?;
    let start = match args.after {
        0 => Start::Now,
        // Numbers without an epoch are taken to be of this journal.
        sequence => Start::After(Position { sequence, epoch: String::new() }),
    };
    let events = session.events(start).await?;
    let (link, now) = (events.link(), clock::now());
    let form = if args.json {
        Form::Json
    } else if args.lines || !output.is_terminal() {
        Form::Lines
    } else {
        Form::Table(Box::default(), table(output))
    };
    let mut following = Following {
        connection,
        output,
        gateway,
        session,
        events,
        link,
        form,
        names: Names::default(),
        began: now,
        looked: now,
    };
    let keyboard = if matches!(following.form, Form::Table(..)) { Keyboard::take() } else { None };
    let ended = async {
        match &keyboard {
            Some(keyboard) => {
                output.note("q ends the table; the session goes on");
                keyboard.pressed(END).await;
            }
            None => pending().await,
        }
    };
    let followed = tokio::select! {
        followed = following.follow(&args.items) => followed,
        () = signals.next() => Ok(End::Signal),
        () = ended => Ok(End::Key),
    };
    following.leave(&followed).await;
    followed.map(|end| match end {
        End::Session | End::Key => Exit::Success,
        End::Signal => Exit::Interrupted,
    })
}

fn table(output: &Output) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    output.show_bar(&bar);
    bar
}

impl Following<'_> {
    async fn follow(&mut self, items: &[String]) -> Result<End> {
        self.advise(items).await?;
        let mut paint = tokio::time::interval(PAINT);
        paint.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                next = self.events.next() => match next {
                    Some(next) => self.take_in(next?).await,
                    None => return Ok(End::Session),
                },
                Ok(()) = self.link.changed() => self.note_link(),
                _ = paint.tick() => {
                    self.paint();
                    self.seek_elsewhere().await?;
                }
            }
            if self.output.is_over() {
                return Err(anyhow!(Stop(Exit::Interrupted)));
            }
        }
    }

    /// Has these items told, for as long as this lasts.
    async fn advise(&mut self, items: &[String]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let server = self.session.register("moorline gateway stream").await?;
        self.names.own = Some(server);
        for name in items {
            let item = self.session.add_item(server, name.as_str()).await?;
            self.names.known.insert(item, name.clone());
            let advised = self.session.advise(item).await?;
            if let Some(revision) = advised.filter(|revision| revision.requested != revision.revised) {
                self.output.note(format_args!("{}: {}", printable(name), rates::in_words(&revision)));
            }
        }
        Ok(())
    }

    async fn take_in(&mut self, next: Next) {
        match next {
            Next::Event(event) => {
                if let Some(item) = event.item {
                    self.learn(item).await;
                }
                self.show(&event);
            }
            Next::Gap(gap) => {
                match &mut self.form {
                    Form::Json => self.output.line(show::gap_as_json(&gap)),
                    Form::Lines => self.output.line(show::gap(&gap, self.output)),
                    Form::Table(tags, _) => {
                        tags.gap();
                        self.output.line(show::gap(&gap, self.output));
                    }
                }
                self.read_anew().await;
            }
        }
    }

    fn show(&mut self, event: &Event) {
        let name = event.item.and_then(|item| self.names.known.get(&item)).map(String::as_str);
        match &mut self.form {
            Form::Json => self.output.line(show::event_as_json(event, name)),
            Form::Lines => self.output.line(show::event(event, name)),
            Form::Table(tags, _) => {
                tags.count();
                let now = clock::now().duration_since(self.began);
                if let (Some(item), Some(name)) = (event.item, name) {
                    tags.name(item, name);
                }
                match (&event.body, event.item) {
                    (EventBody::DataChange(sample), Some(item)) => tags.change(now, item, sample),
                    (EventBody::BufferedDataChange(samples), Some(item)) => {
                        samples.iter().for_each(|sample| tags.change(now, item, sample));
                    }
                    (EventBody::BackendGap { .. }, _) => {
                        tags.gap();
                        self.output.line(self.output.styled(Style::Red, show::event(event, name)));
                    }
                    // Of a table of items the rest is no part, but it is told.
                    (
                        EventBody::Alarm(_)
                        | EventBody::ItemRevised(_)
                        | EventBody::WriteComplete { .. }
                        | EventBody::OperationComplete { .. },
                        _,
                    ) => {
                        self.output.line(self.output.styled(Style::Dim, show::event(event, name)));
                    }
                    (_, _) => {}
                }
            }
        }
    }

    /// Finds out what an item is called, once.
    async fn learn(&mut self, item: Item) {
        let now = clock::now();
        let names = &mut self.names;
        let was_asked_just_now = names.asked.is_some_and(|asked| now.duration_since(asked) < ASK);
        if names.is_denied || was_asked_just_now || names.known.contains_key(&item) {
            return;
        }
        names.asked = Some(now);
        match self.session.worker_state().await {
            Ok(state) => {
                for server in state.servers {
                    let own = Server(server.server_handle);
                    let items = server.items.into_iter();
                    names.known.extend(items.map(|item| (Item { server: own, handle: item.item_handle }, item.item)));
                }
            }
            // Who may only look at a session sees handles.
            Err(CallError::Refused(_)) => names.is_denied = true,
            Err(error) => tracing::debug!(%error, "the worker has not said what its items are called"),
        }
    }

    /// After a gap, looks at the items of the table anew.
    async fn read_anew(&mut self) {
        let Form::Table(tags, _) = &mut self.form else { return };
        let stale = tags.stale();
        if stale.is_empty() {
            return;
        }
        match self.session.read(stale).await {
            Ok(readings) => {
                for reading in readings {
                    if let Ok(sample) = &reading.sample {
                        tags.read(&reading.item, sample);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the items were not read anew after a gap"),
        }
    }

    fn paint(&self) {
        if let Form::Table(tags, bar) = &self.form {
            let table = tags.render(clock::now().duration_since(self.began), self.output.columns(), self.output);
            // What is as it was is not painted again: a terminal that is far away would be busy with nothing.
            if bar.message() != table {
                bar.set_message(table);
            }
        }
    }

    fn note_link(&mut self) {
        let sequence = self.events.position().sequence;
        let link = self.link.borrow_and_update().clone();
        let note = match link {
            Link::Seeking { cause } => format!("connection lost ({cause}), reconnecting…"),
            Link::Connected { connection: 2.. } => {
                format!("connected again; the stream goes on behind event {sequence}")
            }
            Link::Connected { .. } | Link::Over | _ => return,
        };
        self.output.note(self.output.styled_note(Style::Cyan, note));
    }

    /// A gateway of this machine that was started again may have taken another port.
    async fn seek_elsewhere(&mut self) -> Result<()> {
        let now = clock::now();
        let is_seeking = matches!(*self.link.borrow(), Link::Seeking { .. });
        if !is_seeking || self.connection.url.is_some() || now.duration_since(self.looked) < LOOK {
            return Ok(());
        }
        self.looked = now;
        let elsewhere = session_gateway(self.connection).ok().filter(|found| found.url != self.gateway.url);
        let Some(found) = elsewhere else { return Ok(()) };
        let position = self.events.position().clone();
        let Ok(session) = attach(&found, self.connection, self.session.id()).await else { return Ok(()) };
        let start = if position.sequence == 0 { Start::Now } else { Start::After(position) };
        self.events = session.events(start).await?;
        (self.link, self.session, self.gateway) = (self.events.link(), session, found);
        let (url, sequence) = (&self.gateway.url, self.events.position().sequence);
        let note = format!("connected again, to {url}; the stream goes on behind event {sequence}");
        self.output.note(self.output.styled_note(Style::Cyan, note));
        Ok(())
    }

    /// Removes what was added, and says how to go on.
    async fn leave(&mut self, followed: &Result<End>) {
        self.paint();
        if let Form::Table(_, bar) = &self.form {
            bar.abandon();
            self.output.forget_bar();
        }
        if let Some(server) = self.names.own {
            tokio::time::timeout(GOODBYE, self.session.unregister(server)).await.map(drop).unwrap_or_default();
        }
        match followed {
            Ok(End::Session) => self.output.note("the session is over"),
            Ok(End::Key | End::Signal) => {
                let (session, sequence) = (self.session.id(), self.events.position().sequence);
                self.output.note(format_args!(
                    "the session goes on: `moorline gateway stream {session} --after {sequence}` shows what follows"
                ));
            }
            Err(_) => {}
        }
    }
}
