//! A simulated plant, as a function of what it is told and when.

mod items;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use moorline_types::Timestamp;

use super::alarms::Alarms;
use super::options::{FaultKind, PASSWORD, PlantOptions, TagOptions};
use super::wave::Wave;
use crate::contract::{
    Command, CommandResult, Done, Event, EventBody, ItemAt, Quality, Reading, Sample, ServerHandle, SessionState,
    Status, StatusCategory, Times, UserHandle, Value, Write,
};
use crate::{BackendFault, OpenError};
use items::{Item, Servers};

/// Ticks that are made up for when the plant was not asked for a while. What is further back is a gap.
const MAX_LATE_TICKS: u64 = 1_000;

/// The steps of intervals for collected changes, in milliseconds.
const INTERVAL_STEP_MS: u32 = 100;

/// See the module's documentation.
#[derive(Debug)]
pub struct Plant {
    options: PlantOptions,
    began: Timestamp,
    tick: u64,
    /// What was written, and what everything was at the last tick, by the name in lower case.
    tags: BTreeMap<String, Tag>,
    servers: Servers,
    alarms: Alarms,
    /// What is said when its time has come, beside the ticks.
    later: VecDeque<Later>,
    faults: VecDeque<(Timestamp, FaultKind)>,
    events: VecDeque<Result<Event, BackendFault>>,
}

/// The end of a write: when, what is said, and what is then in a tag.
type Later = (Timestamp, Event, Option<Written>);

/// What a write puts into a tag, with its own time if it has one.
#[derive(Debug)]
struct Written {
    key: String,
    value: Value,
    source: Option<Timestamp>,
}

#[derive(Debug)]
struct Tag {
    name: String,
    options: TagOptions,
    value: Value,
    /// Since when it is so.
    since: Timestamp,
}

impl Plant {
    /// A plant that begins to move now.
    ///
    /// # Errors
    /// If it cannot be set up like this.
    pub fn new(now: Timestamp, options: PlantOptions) -> Result<Self, OpenError> {
        options.check()?;
        let tag = |(name, options): (&String, &TagOptions)| {
            let value = match &options.wave {
                Wave::Memory { value } => value.clone(),
                Wave::Ramp { .. } | Wave::Sine { .. } | Wave::Square { .. } | Wave::Counter => {
                    options.wave.at(0, 0).unwrap_or_default()
                }
            };
            (name.to_lowercase(), Tag { name: name.clone(), options: options.clone(), value, since: now })
        };
        let mut faults: Vec<_> = options
            .faults
            .iter()
            .map(|fault| (now + moorline_types::Millis::new(fault.after_ms), fault.kind))
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        Ok(Self {
            began: now,
            tick: 0,
            tags: options.tags.iter().map(tag).collect(),
            servers: Servers::default(),
            alarms: Alarms::default(),
            later: VecDeque::new(),
            faults: faults.into(),
            events: VecDeque::new(),
            options,
        })
    }

    /// What it says next.
    pub fn poll_event(&mut self) -> Option<Result<Event, BackendFault>> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Timestamp {
        let later = self.later.front().map(|(at, ..)| *at);
        let fault = self.faults.front().map(|(at, _)| *at);
        [later, fault].into_iter().flatten().fold(self.next_tick(), Timestamp::min)
    }

    fn next_tick(&self) -> Timestamp {
        self.began + moorline_types::Millis::new(self.options.tick_ms.saturating_mul(self.tick + 1))
    }

    /// Time has passed: does one thing that is due, the oldest.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let due = self.poll_timeout();
        if due > now {
            return;
        }
        if let Some((_, kind)) = self.faults.pop_front_if(|(at, _)| *at <= due) {
            return self.fail(kind);
        }
        if let Some((_, event, written)) = self.later.pop_front_if(|(at, ..)| *at <= due) {
            if let Some(Written { key, value, source }) = written {
                self.set(due, source.unwrap_or(due), &key, value);
            }
            return self.events.push_back(Ok(event));
        }
        let late = now.since(due).get() / self.options.tick_ms;
        if late > MAX_LATE_TICKS {
            self.tick += late;
            self.say(None, EventBody::BackendGap { reason: format!("{late} ticks were not taken in time") });
        }
        self.move_on();
    }

    fn fail(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::Gap => self.say(None, EventBody::BackendGap { reason: "values were lost on demand".to_owned() }),
            FaultKind::Failure => {
                self.events.push_back(Err(BackendFault { reason: "it was told to fail".to_owned() }));
            }
        }
    }

    /// One tick.
    fn move_on(&mut self) {
        let at = self.next_tick();
        self.tick += 1;
        let elapsed = at.since(self.began).get();
        let moved: Vec<_> = self
            .tags
            .iter()
            .filter_map(|(key, tag)| Some((key.clone(), tag.options.wave.at(elapsed, self.tick)?)))
            .collect();
        for (key, value) in moved {
            self.set(at, at, &key, value);
        }
        let told = self.servers.flush(at);
        self.events.extend(told.into_iter().map(Ok));
    }

    /// A tag has a value since a time of its own; whoever is advised is told if it is another.
    fn set(&mut self, at: Timestamp, since: Timestamp, key: &str, value: Value) {
        let Some(tag) = self.tags.get_mut(key) else { return };
        if tag.value == value {
            return;
        }
        (tag.value, tag.since) = (value, since);
        if let Some(limit) = tag.options.alarm_above
            && let Some(event) = self.alarms.observe(at, &tag.name, limit, &tag.value)
        {
            self.events.push_back(Ok(event));
        }
        let sample = sample(tag, at);
        let told = self.servers.changed(key, &sample);
        self.events.extend(told.into_iter().map(Ok));
    }

    /// Carries out a command.
    pub fn execute(&mut self, now: Timestamp, id: &str, by: Option<&str>, command: &Command) -> CommandResult {
        let done = match command {
            Command::Register { client } => self.servers.register(client).map(Done::Server),
            Command::Unregister { server } => self.servers.unregister(*server).map(|()| Done::Nothing),
            Command::AddItem { server, item, context, buffered } => self.add(*server, item, context, *buffered),
            Command::RemoveItem(at) => self.servers.remove(*at).map(|()| Done::Nothing),
            Command::Advise { at, supervisory } => self.begin(now, *at, *supervisory),
            Command::UnAdvise(at) => self.change(*at, |item| item.advised = false),
            Command::Suspend(at) => self.pause(now, id, *at, true),
            Command::Activate(at) => self.pause(now, id, *at, false),
            Command::Write(write) => self.write(now, id, write),
            Command::AuthenticateUser { server, user, password } => {
                self.authenticate(*server, user, password.reveal()).map(Done::User)
            }
            Command::SetBufferedUpdateInterval { server, interval_ms } => {
                self.pace(*server, *interval_ms).map(Done::Interval)
            }
            Command::Read { items } => Ok(Done::Readings(items.iter().map(|item| self.read(now, item)).collect())),
            Command::SubscribeAlarms { area } => {
                let told = self.alarms.subscribe(area);
                self.events.extend(told.into_iter().map(Ok));
                Ok(Done::Nothing)
            }
            Command::RefreshAlarms => {
                self.events.extend(self.alarms.snapshot().into_iter().map(Ok));
                Ok(Done::Nothing)
            }
            Command::AcknowledgeAlarm { alarm, comment } => self.acknowledge(alarm, by.unwrap_or_default(), comment),
            Command::SessionState => Ok(Done::Session(SessionState {
                servers: self.servers.states(self.tick_length()),
                commands: Box::default(),
                alarms: self.alarms.is_subscribed(),
                link: None,
            })),
            Command::WorkerInfo | Command::Bulk { .. } | Command::Refused { .. } => {
                Err(CommandResult::invalid("this is not for a back end"))
            }
        };
        done.map_or_else(|failed| failed, CommandResult::done)
    }

    fn add(&mut self, server: ServerHandle, item: &str, context: &str, buffered: bool) -> Result<Done, CommandResult> {
        let name = if context.is_empty() { item.to_owned() } else { format!("{context}.{item}") };
        let known = self.tags.get(&name.to_lowercase());
        // The plant's own way of writing the name, so that there is one.
        let name = known.map_or(name, |tag| tag.name.clone());
        let added = self.servers.get(server)?.add(&name, buffered)?;
        Ok(Done::Item { server, item: added, name })
    }

    /// An item is advised, and so is how it is told. A name that the plant does not have is not told at all.
    fn begin(&mut self, now: Timestamp, at: ItemAt, supervisory: bool) -> Result<Done, CommandResult> {
        self.advise(now, at, supervisory)?;
        let is_known = self.tags.contains_key(&self.servers.item(at)?.key);
        let tick = self.tick_length();
        let revision = self.servers.get(at.server)?.revision(at.item, tick);
        Ok(revision.filter(|_| is_known).map_or(Done::Nothing, |revision| Done::Advised(Box::new(revision))))
    }

    fn advise(&mut self, now: Timestamp, at: ItemAt, supervisory: bool) -> Result<Done, CommandResult> {
        let item = self.servers.item(at)?;
        (item.advised, item.supervisory) = (true, supervisory);
        let (name, key) = (item.name.clone(), item.key.clone());
        let (sample, status) = match self.tags.get(&key) {
            Some(tag) => (sample(tag, now), if tag.options.broken { bad() } else { Status::OK }),
            None => {
                let times = Times { source: None, server: Some(now), received: now };
                let sample = Sample::new(Value::Null, Quality::BAD_CONFIGURATION, times, 0);
                (sample, Status::failed(StatusCategory::ConfigurationError, 0))
            }
        };
        let said = EventBody::DataChange(sample);
        self.events.push_back(Ok(Event { at: Some(at), name: Some(name.into()), statuses: vec![status], said }));
        Ok(Done::Nothing)
    }

    /// How often collected changes are told. Whoever is told is told that too, if it is another interval than before.
    fn pace(&mut self, server: ServerHandle, asked_ms: u32) -> Result<u32, CommandResult> {
        let interval_ms = asked_ms.max(1).div_ceil(INTERVAL_STEP_MS).saturating_mul(INTERVAL_STEP_MS);
        let tick = self.tick_length();
        let told = self.servers.get(server)?.pace(asked_ms, interval_ms, tick);
        self.events.extend(told.into_iter().map(Ok));
        Ok(interval_ms)
    }

    const fn tick_length(&self) -> Duration {
        Duration::from_millis(self.options.tick_ms)
    }

    fn change(&mut self, at: ItemAt, change: impl FnOnce(&mut Item)) -> Result<Done, CommandResult> {
        change(self.servers.item(at)?);
        Ok(Done::Nothing)
    }

    fn pause(&mut self, now: Timestamp, id: &str, at: ItemAt, suspended: bool) -> Result<Done, CommandResult> {
        let item = self.servers.item(at)?;
        item.suspended = suspended;
        let name = Some(item.name.as_str().into());
        let said = EventBody::OperationComplete { command: id.into() };
        self.events.push_back(Ok(Event { at: Some(at), name, statuses: vec![Status::OK], said }));
        if suspended { Ok(Done::Nothing) } else { self.tell_again(now, at) }
    }

    /// What an item is, after a pause in which that was not told.
    fn tell_again(&mut self, now: Timestamp, at: ItemAt) -> Result<Done, CommandResult> {
        let item = self.servers.item(at)?;
        let (advised, supervisory) = (item.advised, item.supervisory);
        if advised { self.advise(now, at, supervisory) } else { Ok(Done::Nothing) }
    }

    fn write(&mut self, now: Timestamp, id: &str, write: &Write) -> Result<Done, CommandResult> {
        let Write { at, value, user, verifier, source_time } = write;
        let item = self.servers.item(*at)?;
        if !item.advised {
            return Err(CommandResult::invalid("the item is not advised, so its type is not known; advise it first"));
        }
        let (key, name, supervisory) = (item.key.clone(), item.name.clone(), item.supervisory);
        let users = self.servers.get(at.server)?;
        for handle in [Some(*user).filter(|user| *user != UserHandle::default()), *verifier].into_iter().flatten() {
            users.check_user(handle)?;
        }
        let signed = (*user != UserHandle::default(), verifier.is_some());
        let (status, written) = match self.tags.get(&key) {
            None => (Status::failed(StatusCategory::ConfigurationError, 1), None),
            Some(tag) => judge(tag, value, signed, supervisory),
        };
        let said = EventBody::WriteComplete { command: id.into() };
        let event = Event { at: Some(*at), name: Some(name.into()), statuses: vec![status], said };
        let due = now + moorline_types::Millis::new(self.options.slow_write_ms);
        self.later.push_back((due, event, written.map(|value| Written { key, value, source: *source_time })));
        Ok(Done::Nothing)
    }

    fn authenticate(&mut self, server: ServerHandle, user: &str, password: &str) -> Result<UserHandle, CommandResult> {
        let known = self.options.users.contains(user) && password == PASSWORD;
        let server = self.servers.get(server)?;
        if !known {
            let status = Status::failed(StatusCategory::SecurityError, 2);
            return Err(CommandResult::failed("the user is not known, or the password is another", status));
        }
        Ok(server.add_user())
    }

    fn read(&self, now: Timestamp, item: &str) -> Reading {
        let Some(tag) = self.tags.get(&item.to_lowercase()) else {
            let statuses = vec![Status::failed(StatusCategory::ConfigurationError, 1)];
            let message = "the back end has no item of this name".to_owned();
            return Reading { item: item.to_owned(), success: false, message, sample: None, statuses };
        };
        let status = if tag.options.broken { bad() } else { Status::OK };
        let (success, sample) = (status.success, Some(sample(tag, now)));
        Reading { item: tag.name.clone(), success, message: String::new(), sample, statuses: vec![status] }
    }

    fn acknowledge(&mut self, alarm: &str, by: &str, comment: &str) -> Result<Done, CommandResult> {
        let said = self.alarms.acknowledge(alarm, by, comment);
        let event = said.map_err(|()| CommandResult::invalid("no alarm of this name is active"))?;
        self.events.extend(event.map(Ok));
        Ok(Done::Nothing)
    }

    fn say(&mut self, at: Option<ItemAt>, said: EventBody) {
        self.events.push_back(Ok(Event { at, name: None, statuses: Vec::new(), said }));
    }
}

/// Whether a value can be written to a tag, and as what. `signed` says whether there is a user and a verifier.
fn judge(tag: &Tag, value: &Value, signed: (bool, bool), supervisory: bool) -> (Status, Option<Value>) {
    let refused = |detail| (Status::failed(StatusCategory::SecurityError, detail), None);
    if !tag.options.wave.is_writable() {
        return refused(3);
    }
    if tag.options.secured && !(signed.1 && signed.0 || supervisory) {
        return refused(4);
    }
    let fits = match (&tag.value, value) {
        (Value::Bool(_), Value::Bool(_))
        | (Value::Integer(_), Value::Integer(_))
        | (Value::Text(_), Value::Text(_)) => Some(value.clone()),
        (Value::Double(_), Value::Double(number)) if number.is_finite() => Some(value.clone()),
        #[expect(clippy::cast_precision_loss, reason = "what a back end does with a whole number for a double")]
        (Value::Double(_), Value::Integer(number)) => Some(Value::Double(*number as f64)),
        (Value::Null, any) => Some(any.clone()),
        (Value::Bool(_) | Value::Integer(_) | Value::Double(_) | Value::Text(_), _) => None,
    };
    match fits {
        Some(value) => (Status::OK, Some(value)),
        None => (Status::failed(StatusCategory::ConfigurationError, 5), None),
    }
}

fn sample(tag: &Tag, at: Timestamp) -> Sample {
    let quality = if tag.options.broken { Quality::BAD_SENSOR_FAILURE } else { Quality::GOOD };
    Sample::new(tag.value.clone(), quality, Times { source: Some(tag.since), server: Some(at), received: at }, 0)
}

const fn bad() -> Status {
    Status::failed(StatusCategory::CommunicationError, 0)
}

#[cfg(test)]
mod tests;
