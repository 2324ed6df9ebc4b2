//! Does with the Rust client what is asked for in lines of JSON. The other driver is
//! `python/moorline-gateway/tests/driver.py`; both take the same questions and give the same answers.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moorline_gateway_client::proto::Alarm;
use moorline_gateway_client::{
    AlarmStream, CallError, Command, CommandId, Done, EventBody, EventStream, GapCause, GatewayClient, Invoke, Item,
    ItemRates, Next, NextAlarm, OpenSession, Options, Position, ReconnectPolicy, Revision, Sample, Server, Session,
    Start, User, Value as ItemValue,
};
use serde_json::{Value, json};

/// Answers until nobody asks any more.
pub(crate) fn run(mut asked: tokio::sync::mpsc::Receiver<String>, answered: &std::sync::mpsc::Sender<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut driver = Driver::default();
        while let Some(line) = asked.recv().await {
            let question = Question(serde_json::from_str(&line).unwrap());
            let answer = match driver.answer(&question).await {
                Ok(done) => json!({ "ok": done }),
                Err(error) => json!({ "error": told(&error) }),
            };
            if answered.send(answer.to_string()).is_err() {
                return;
            }
        }
    });
}

/// Why something was not done.
enum Failed {
    Call(CallError),
    Connect(String),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

struct Question(Value);

impl Question {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn number(&self, name: &str) -> i32 {
        i32::try_from(self.0[name].as_i64().unwrap()).unwrap()
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        self.0[name].as_f64().map(Duration::from_secs_f64)
    }

    fn item(&self) -> Item {
        Item { server: Server(self.number("server")), handle: self.number("handle") }
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.0[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }
}

/// What was made so far, by the names that the suite gives.
#[derive(Default)]
struct Driver {
    gateways: HashMap<String, GatewayClient>,
    sessions: HashMap<String, Session>,
    streams: HashMap<String, EventStream>,
    alarms: HashMap<String, AlarmStream>,
}

impl Driver {
    async fn answer(&mut self, asked: &Question) -> Result<Value, Failed> {
        match asked.text("do") {
            "connect" => self.connect(asked).await,
            "open" | "attach" | "sessions" => self.of_gateway(asked).await,
            "stream" | "next" | "take" | "position" | "leave" => self.of_stream(asked).await,
            "alarms" | "next_alarm" | "acknowledge" => self.of_alarms(asked).await,
            _ => self.of_session(asked).await,
        }
    }

    async fn connect(&mut self, asked: &Question) -> Result<Value, Failed> {
        let options = Options {
            extra_roots_pem: asked.text("roots").as_bytes().to_vec(),
            call_timeout: asked.seconds("call_timeout").unwrap_or(Duration::from_secs(60)),
            reconnect: ReconnectPolicy::For(asked.seconds("reconnect").unwrap_or(Duration::from_secs(60))),
            ..Options::new(asked.text("url"), asked.text("key"))
        };
        let gateway = GatewayClient::connect(options).await.map_err(|error| Failed::Connect(error.to_string()))?;
        self.gateways.insert(asked.text("gateway").to_owned(), gateway);
        Ok(json!({}))
    }

    async fn of_gateway(&mut self, asked: &Question) -> Result<Value, Failed> {
        let gateway = &self.gateways[asked.text("gateway")];
        let session = match asked.text("do") {
            "open" => {
                let open = OpenSession {
                    backend: asked.text("backend").to_owned(),
                    backend_options_json: asked.text("options").to_owned(),
                    ..OpenSession::new("contract")
                };
                gateway.open(open).await?
            }
            "attach" => gateway.attach(asked.text("session_id")).await?,
            _ => {
                let sessions = gateway.sessions(&[]).await?;
                let ids: Vec<_> = sessions.into_iter().map(|session| session.session_id).collect();
                return Ok(json!({ "sessions": ids }));
            }
        };
        let id = session.id().to_owned();
        self.sessions.insert(asked.text("session").to_owned(), session);
        Ok(json!({ "session_id": id }))
    }

    async fn of_session(&mut self, asked: &Question) -> Result<Value, Failed> {
        let session = &self.sessions[asked.text("session")];
        Ok(match asked.text("do") {
            "about" => {
                let about = session.about().await?;
                let state = about.state().as_str_name().trim_start_matches("SESSION_STATE_").to_owned();
                json!({ "state": state, "last": about.last_worker_sequence })
            }
            "register" => json!({ "server": session.register(asked.text("name")).await?.0 }),
            "invoke_register" => {
                let invoke = Invoke {
                    command: Command::register(asked.text("name")),
                    id: Some(CommandId::new(asked.text("command"))),
                    timeout: asked.seconds("timeout"),
                    until_complete: false,
                };
                let invoked = session.invoke(invoke).await?;
                let (command, repeated) = (invoked.id.clone(), invoked.repeated);
                let Ok(Done::Server(Server(server))) = invoked.done() else { panic!("no server") };
                json!({ "command": command.as_str(), "server": server, "repeated": repeated })
            }
            "add_item" => {
                let (server, name) = (Server(asked.number("server")), asked.text("item"));
                let item = match asked.0["buffered"] == true {
                    true => session.add_buffered_item(server, name).await?,
                    false => session.add_item(server, name).await?,
                };
                json!({ "handle": item.handle })
            }
            "advise" => {
                let revision = session.advise(asked.item()).await?;
                json!({ "revision": revision.as_ref().map(revision_told) })
            }
            "pace" => {
                let interval = Duration::from_millis(asked.0["interval"].as_u64().unwrap());
                let server = Server(asked.number("server"));
                let interval = session.set_buffered_update_interval(server, interval).await?;
                json!({ "interval": u64::try_from(interval.as_millis()).unwrap() })
            }
            "write" => {
                let value = asked.0["value"].as_f64().unwrap();
                let at = asked.0["at"].as_u64().map(|at| UNIX_EPOCH + Duration::from_millis(at));
                let written = session.invoke(Command::write_as(asked.item(), value, User::NOBODY, at)).await?;
                let (id, repeated) = (written.id.clone(), written.repeated);
                written.done().map_err(CallError::Failed)?;
                json!({ "command": id.as_str(), "repeated": repeated })
            }
            "write_until_complete" => {
                let value = asked.0["value"].as_f64().unwrap();
                let written = session.write_until_complete(asked.item(), value).await?;
                json!({ "command": written.id.as_str(), "repeated": written.repeated })
            }
            "read" => {
                let readings = session.read(asked.texts("items")).await?;
                let readings: Vec<_> = readings
                    .into_iter()
                    .map(|reading| match reading.sample {
                        Ok(sample) => with(sample_told(&sample), json!({ "item": reading.item })),
                        Err(failure) => json!({ "item": reading.item, "failure": failure.message }),
                    })
                    .collect();
                json!({ "readings": readings })
            }
            "bulk" => {
                let server = Server(asked.number("server"));
                let parts = asked.texts("items").into_iter().map(|item| Command::add_item(server, item));
                let done = session.bulk(parts).await?;
                let parts: Vec<_> = done
                    .into_iter()
                    .map(|part| match part {
                        Ok(done) => {
                            let Done::ItemHandle(handle) = done else { panic!("{done:?}") };
                            json!(handle)
                        }
                        Err(failure) => json!(failure.message),
                    })
                    .collect();
                json!({ "parts": parts })
            }
            "worker" => {
                let state = session.worker_state().await?;
                let items = state.servers.iter().flat_map(|server| &server.items);
                let revisions = items.filter_map(|item| item.revision.map(Revision::from));
                let revisions: Vec<_> = revisions.map(|revision| revision_told(&revision)).collect();
                let names: Vec<_> = state.servers.iter().map(|server| server.client_name.as_str()).collect();
                json!({ "pid": session.worker_info().await?.pid, "servers": names, "revisions": revisions })
            }
            "close" | "kill" => {
                let closed = match asked.text("do") {
                    "close" => session.close().await?,
                    _ => session.kill(asked.text("reason")).await?,
                };
                let state = closed.state.as_str_name().trim_start_matches("SESSION_STATE_");
                json!({ "state": state, "already": closed.already })
            }
            other => panic!("the driver cannot {other}"),
        })
    }

    async fn of_stream(&mut self, asked: &Question) -> Result<Value, Failed> {
        let name = asked.text("stream");
        match asked.text("do") {
            "stream" => {
                let after = &asked.0["after"];
                let start = match after["sequence"].as_u64() {
                    None => Start::Now,
                    Some(sequence) => {
                        Start::After(Position { sequence, epoch: after["epoch"].as_str().unwrap().to_owned() })
                    }
                };
                let stream = self.sessions[asked.text("session")].events(start).await?;
                self.streams.insert(name.to_owned(), stream);
            }
            "leave" => {
                self.streams.remove(name);
                return Ok(json!({}));
            }
            "next" => return next(self.streams.get_mut(name).unwrap(), asked.seconds("wait")).await,
            "take" => {
                let mut items = Vec::new();
                for _ in 0..asked.number("count") {
                    items.push(next(self.streams.get_mut(name).unwrap(), asked.seconds("wait")).await?);
                }
                return Ok(json!({ "items": items }));
            }
            _ => {}
        }
        let position = self.streams[name].position();
        Ok(json!({ "sequence": position.sequence, "epoch": position.epoch }))
    }

    async fn of_alarms(&mut self, asked: &Question) -> Result<Value, Failed> {
        match asked.text("do") {
            "alarms" => {
                let alarms = self.sessions[asked.text("session")].alarms().await?;
                self.alarms.insert(asked.text("stream").to_owned(), alarms);
            }
            "acknowledge" => {
                let session = &self.sessions[asked.text("session")];
                session.acknowledge(asked.text("alarm"), asked.text("comment")).await?;
            }
            _ => {
                let next = self.alarms.get_mut(asked.text("stream")).unwrap().next().await.expect("it goes on");
                return Ok(match next? {
                    NextAlarm::Active(alarm) => json!({ "active": alarm_told(&alarm) }),
                    NextAlarm::Transition(alarm) => json!({ "transition": alarm_told(&alarm) }),
                    NextAlarm::SnapshotComplete => json!({ "complete": true }),
                    NextAlarm::Interrupted => json!({ "interrupted": true }),
                });
            }
        }
        Ok(json!({}))
    }
}

/// The next item; with a time to wait, perhaps none.
async fn next(stream: &mut EventStream, wait: Option<Duration>) -> Result<Value, Failed> {
    let next = match wait {
        None => stream.next().await,
        Some(wait) => match tokio::time::timeout(wait, stream.next()).await {
            Ok(next) => next,
            Err(_) => return Ok(json!({ "nothing": true })),
        },
    };
    let Some(next) = next.transpose()? else { return Ok(json!({ "end": true })) };
    let event = match next {
        Next::Gap(gap) => {
            let cause = match gap.cause {
                GapCause::Retention => "retention",
                GapCause::OtherJournal => "other_journal",
                GapCause::NoNumber => "no_number",
                GapCause::Unknown | _ => "unknown",
            };
            return Ok(json!({ "gap": { "after": gap.after, "oldest": gap.oldest_available, "cause": cause } }));
        }
        Next::Event(event) => event,
    };
    let (sequence, handle) = (event.sequence, event.item.map_or(0, |item| item.handle));
    Ok(if let EventBody::DataChange(sample) = event.body {
        json!({ "change": with(sample_told(&sample), json!({ "sequence": sequence, "handle": handle })) })
    } else if let EventBody::WriteComplete { command } = event.body {
        let success = event.statuses.iter().all(|status| status.success);
        json!({ "written": { "sequence": sequence, "command": command.as_str(), "success": success } })
    } else if let EventBody::ItemRevised(revision) = event.body {
        json!({ "revised": { "sequence": sequence, "handle": handle, "revision": revision_told(&revision) } })
    } else {
        json!({ "other": { "sequence": sequence } })
    })
}

fn revision_told(revision: &Revision) -> Value {
    let millis = |length: Option<Duration>| length.map(|length| length.as_secs_f64() * 1_000.0);
    let rates = |rates: &ItemRates| {
        json!({
            "sampling": millis(rates.sampling_interval),
            "queue": rates.queue_size,
            "publishing": millis(rates.publishing_interval),
            "keep_alive": millis(rates.keep_alive_interval),
            "lifetime": millis(rates.lifetime),
        })
    };
    json!({ "requested": rates(&revision.requested), "revised": rates(&revision.revised) })
}

fn sample_told(sample: &Sample) -> Value {
    let millis = |at: Option<SystemTime>| {
        at.map(|at| u64::try_from(at.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
    };
    json!({
        "value": value(&sample.value),
        "good": sample.is_good(),
        "source": millis(sample.source_time),
        "server": millis(sample.server_time),
        "received": millis(sample.received_time),
        "time": millis(sample.time()),
    })
}

/// What both say, in one.
fn with(mut told: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("no object: {more}") };
    told.as_object_mut().unwrap().extend(more);
    told
}

fn value(value: &ItemValue) -> Value {
    match value {
        ItemValue::Null => Value::Null,
        ItemValue::Bool(value) => json!(value),
        ItemValue::Integer(value) => json!(value),
        ItemValue::Double(value) => json!(value),
        ItemValue::Text(value) => json!(value),
    }
}

fn alarm_told(alarm: &Alarm) -> Value {
    json!({ "id": alarm.alarm_id, "active": alarm.active, "acknowledged": alarm.acknowledged })
}

fn told(error: &Failed) -> Value {
    let error = match error {
        Failed::Connect(message) => return json!({ "kind": "connect", "message": message }),
        Failed::Call(error) => error,
    };
    let (kind, command) = match error {
        CallError::Refused(_) => ("refused", None),
        CallError::Failed(_) => ("failed", None),
        CallError::OutcomeUnknown { command, .. } => ("unknown", command.as_ref()),
        CallError::Unreachable(_) => ("unreachable", None),
        CallError::Unreadable { .. } | _ => ("unreadable", None),
    };
    json!({
        "kind": kind,
        "code": snake(&format!("{:?}", error.code())),
        "reason": error.reason().as_str_name().trim_start_matches("ERROR_CODE_"),
        "message": error.to_string(),
        "command": command.map(CommandId::as_str),
    })
}

/// A code as gRPC writes it: `NotFound` is `NOT_FOUND`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}
