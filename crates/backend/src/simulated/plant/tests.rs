//! What a plant does, in virtual time.

use super::*;
use crate::contract::{Alarm, ItemHandle, ItemRates, Password, Revision};

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

struct Bench {
    plant: Plant,
    now: u64,
}

impl Bench {
    fn new(options: &str) -> Self {
        Self { plant: Plant::new(at(0), serde_json::from_str(options).unwrap()).unwrap(), now: 0 }
    }

    fn run(&mut self, command: Command) -> CommandResult {
        self.plant.execute(at(self.now), "cmd", Some("ada"), &command)
    }

    fn done(&mut self, command: Command) -> Done {
        let result = self.run(command);
        assert!(result.success, "{result:?}");
        result.done
    }

    fn failed(&mut self, command: Command) -> String {
        let result = self.run(command);
        assert!(!result.success && !result.statuses.is_empty(), "{result:?}");
        result.message
    }

    /// An advised item.
    fn item(&mut self, name: &str) -> ItemAt {
        let at = self.added(name, false);
        self.done(Command::Advise { at, supervisory: false });
        at
    }

    fn added(&mut self, name: &str, buffered: bool) -> ItemAt {
        let Done::Server(server) = self.done(Command::Register { client: "test".into() }) else { panic!() };
        let item = Command::AddItem { server, item: name.into(), context: String::new(), buffered };
        let Done::Item { item, .. } = self.done(item) else { panic!() };
        ItemAt { server, item }
    }

    fn write(at: ItemAt, value: Value) -> Command {
        Command::Write(Write { at, value, user: UserHandle::default(), verifier: None, source_time: None })
    }

    /// What is said until a moment.
    fn until(&mut self, millis: u64) -> Vec<EventBody> {
        let mut said = Vec::new();
        loop {
            said.extend(std::iter::from_fn(|| self.plant.poll_event()).map(|event| event.unwrap().said));
            if self.plant.poll_timeout() > at(millis) {
                break;
            }
            self.plant.handle_timeout(at(millis));
        }
        self.now = millis;
        said
    }
}

fn values(said: &[EventBody]) -> Vec<Value> {
    let value =
        |said: &EventBody| if let EventBody::DataChange(sample) = said { Some(sample.value.clone()) } else { None };
    said.iter().filter_map(value).collect()
}

#[test]
fn what_cannot_be_set_up_is_refused_with_the_reason() {
    for (options, reason) in [
        (r#"{"tick_ms":0}"#, "tick_ms"),
        (r#"{"tags":{"":{"wave":"counter"}}}"#, "no name"),
        (r#"{"tags":{"a\n":{"wave":"counter"}}}"#, "no name"),
    ] {
        let error = Plant::new(at(0), serde_json::from_str(options).unwrap()).unwrap_err().to_string();
        assert!(error.contains(reason), "{options}: {error}");
    }
    for options in [r#"{"ticks":1}"#, r#"{"tags":{"a":{"wave":"spiral"}}}"#, r#"{"faults":[{"after_ms":1}]}"#] {
        assert!(serde_json::from_str::<PlantOptions>(options).is_err(), "{options}");
    }
}

#[test]
fn an_advised_item_tells_what_it_is_and_every_change() {
    let mut bench = Bench::new(r#"{"tick_ms":100,"tags":{"Count":{"wave":"counter"}}}"#);
    bench.item("COUNT");
    let said = bench.until(350);
    assert_eq!(values(&said), [0, 1, 2, 3].map(Value::Integer));
}

#[test]
fn what_is_late_is_made_up_for_and_what_is_too_late_is_a_gap() {
    let mut bench = Bench::new(r#"{"tick_ms":10,"tags":{"Count":{"wave":"counter"}}}"#);
    bench.item("Count");
    assert_eq!(bench.until(10_000).len(), 1_001, "a thousand ticks at once");
    let said = bench.until(10_000 + 2_000 * 10);
    assert!(matches!(&said[0], EventBody::BackendGap { reason } if reason.starts_with("1999 ticks")), "{:?}", said[0]);
    assert_eq!(values(&said), [Value::Integer(3_000)], "it is where it would be");
}

#[test]
fn an_unknown_name_is_an_item_that_says_so() {
    let mut bench = Bench::new("{}");
    let at = bench.item("Nowhere");
    let event = bench.plant.poll_event().unwrap().unwrap();
    let EventBody::DataChange(sample) = event.said else { panic!() };
    assert_eq!((sample.quality, event.at), (Quality::BAD_CONFIGURATION, Some(at)));
    assert!(!event.statuses[0].success);
}

#[test]
fn a_write_is_complete_later_and_seen_by_whoever_is_advised() {
    let mut bench = Bench::new(r#"{"slow_write_ms":50,"tick_ms":1000,"tags":{"Set":{"wave":"memory","value":1.5}}}"#);
    let item = bench.item("Set");
    bench.until(0);
    bench.done(Bench::write(item, Value::Integer(2)));
    assert_eq!(bench.until(49), []);
    let said = bench.until(50);
    assert_eq!(values(&said), [Value::Double(2.0)]);
    assert_eq!(said.last(), Some(&EventBody::WriteComplete { command: "cmd".into() }));
}

#[test]
fn a_value_has_the_time_since_when_it_is_so_and_the_one_at_which_it_is_told() {
    let mut bench = Bench::new(r#"{"tick_ms":1000,"tags":{"Set":{"wave":"memory","value":1}}}"#);
    let item = bench.item("Set");
    let times = |sample: &Sample| (sample.source, sample.server, sample.at);
    let told = |said: &[EventBody]| {
        let EventBody::DataChange(sample) = &said[0] else { panic!("{said:?}") };
        times(sample)
    };
    assert_eq!(told(&bench.until(0)), (Some(at(0)), Some(at(0)), at(0)));
    bench.until(500);
    let Command::Write(write) = Bench::write(item, Value::Integer(2)) else { panic!() };
    bench.done(Command::Write(Write { source_time: Some(at(300)), ..write }));
    assert_eq!(told(&bench.until(500)), (Some(at(300)), Some(at(500)), at(300)));
    bench.until(700);
    let Done::Readings(read) = bench.done(Command::Read { items: vec!["Set".to_owned()] }) else { panic!() };
    assert_eq!(times(read[0].sample.as_ref().unwrap()), (Some(at(300)), Some(at(700)), at(300)));
}

#[test]
fn what_makes_no_sense_is_answered_and_changes_nothing() {
    let mut bench = Bench::new("{}");
    let unadvised = bench.added("Plant.Setpoint", false);
    assert!(bench.failed(Bench::write(unadvised, Value::Null)).contains("advise it first"));
    let nowhere = ItemAt { server: ServerHandle(9), item: ItemHandle(1) };
    assert!(bench.failed(Command::RemoveItem(nowhere)).contains("no client session 9"));
    let nothing = ItemAt { item: ItemHandle(7), ..unadvised };
    assert!(bench.failed(Command::Advise { at: nothing, supervisory: false }).contains("no item 7"));
    let server = unadvised.server;
    let password = Password::new("wrong".into());
    let user = Command::AuthenticateUser { server, user: "operator".into(), password };
    assert!(bench.failed(user).contains("not known"));
    assert!(bench.failed(Command::AcknowledgeAlarm { alarm: "x".into(), comment: String::new() }).contains("active"));
    assert!(bench.failed(Command::Unregister { server: ServerHandle(9) }).contains("no client session"));
}

#[test]
fn what_may_not_be_written_completes_with_a_status_that_says_so() {
    let mut bench = Bench::new("{}");
    for (name, value, category) in [
        ("Plant.Counter", Value::Integer(1), StatusCategory::SecurityError),
        ("Plant.Setpoint", Value::Text("high".into()), StatusCategory::ConfigurationError),
        ("Plant.Recipe", Value::Integer(2), StatusCategory::SecurityError),
        ("Nowhere", Value::Integer(2), StatusCategory::ConfigurationError),
        ("Plant.Setpoint", Value::Double(1.0), StatusCategory::Ok),
    ] {
        let item = bench.item(name);
        bench.until(0);
        bench.done(Bench::write(item, value));
        bench.plant.handle_timeout(at(0));
        let complete = std::iter::from_fn(|| bench.plant.poll_event()).map(Result::unwrap);
        let complete = complete.filter(|event| matches!(event.said, EventBody::WriteComplete { .. })).last().unwrap();
        assert_eq!(complete.statuses[0].category, category, "{name}");
    }
}

#[test]
fn a_secured_item_takes_two_users() {
    let mut bench = Bench::new("{}");
    let item = bench.item("Plant.Recipe");
    let mut user = |name: &str| {
        let password = Password::new("simulated".into());
        let command = Command::AuthenticateUser { server: item.server, user: name.into(), password };
        let Done::User(user) = bench.done(command) else { panic!() };
        user
    };
    let (user, verifier) = (user("operator"), Some(user("supervisor")));
    bench.done(Command::Write(Write { at: item, value: Value::Integer(7), user, verifier, source_time: None }));
    assert!(values(&bench.until(0)).contains(&Value::Integer(7)));
}

#[test]
fn a_paused_item_says_nothing_until_it_is_not() {
    let mut bench = Bench::new(r#"{"tick_ms":100,"tags":{"Count":{"wave":"counter"}}}"#);
    let item = bench.item("Count");
    bench.until(100);
    bench.done(Command::Suspend(item));
    assert_eq!(bench.until(500), [EventBody::OperationComplete { command: "cmd".into() }]);
    bench.done(Command::Activate(item));
    assert_eq!(values(&bench.until(600)), [Value::Integer(5), Value::Integer(6)]);
}

#[test]
fn collected_changes_come_together() {
    let mut bench = Bench::new(r#"{"tick_ms":100,"tags":{"Count":{"wave":"counter"}}}"#);
    let item = bench.added("Count", true);
    let interval = Command::SetBufferedUpdateInterval { server: item.server, interval_ms: 301 };
    assert_eq!(bench.done(interval), Done::Interval(400));
    bench.done(Command::Advise { at: item, supervisory: false });
    let sizes: Vec<_> = bench
        .until(1_000)
        .iter()
        .filter_map(|said| if let EventBody::BufferedDataChange(all) = said { Some(all.len()) } else { None })
        .collect();
    assert_eq!(sizes, [5, 4], "the first interval begins with the first tick");
}

#[test]
fn how_an_item_is_told_is_answered_and_said_when_it_changes() {
    let mut bench = Bench::new(r#"{"tick_ms":20,"tags":{"Count":{"wave":"counter"}}}"#);
    let item = bench.added("Count", true);
    let publishing = |revision: &Revision| {
        let of = |rates: ItemRates| rates.publishing.unwrap().as_millis();
        (of(revision.requested), of(revision.revised))
    };
    let advise = Command::Advise { at: item, supervisory: false };
    let Done::Advised(first) = bench.done(advise) else { panic!() };
    let first = *first;
    assert_eq!((first.revised.sampling, publishing(&first)), (Some(Duration::from_millis(20)), (1_000, 1_000)));
    let pace = || Command::SetBufferedUpdateInterval { server: item.server, interval_ms: 250 };
    bench.until(0);
    bench.done(pace());
    let said = bench.until(0);
    let [EventBody::ItemRevised(told)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(publishing(told), (250, 300));
    bench.done(pace());
    assert_eq!(bench.until(0), [], "nothing is other than it was");
    let Done::Session(state) = bench.done(Command::SessionState) else { panic!() };
    assert_eq!(state.servers[0].items[0].revision.as_ref(), Some(told));
    let nowhere = bench.added("Nowhere", false);
    assert_eq!(bench.done(Command::Advise { at: nowhere, supervisory: false }), Done::Nothing);
}

#[test]
fn alarms_are_raised_acknowledged_and_cleared() {
    let options =
        r#"{"tick_ms":100,"tags":{"P.T":{"wave":"ramp","min":0,"max":100,"period_ms":1000,"alarm_above":75}}}"#;
    let mut bench = Bench::new(options);
    assert_eq!(bench.until(0), []);
    bench.done(Command::SubscribeAlarms { area: "P".into() });
    let alarms = |said: Vec<EventBody>| -> Vec<(bool, bool, bool, String)> {
        let alarm = |said| if let EventBody::Alarm(alarm) = said { Some(alarm) } else { None };
        let seen = |alarm: Alarm| (alarm.active, alarm.acknowledged, alarm.snapshot, alarm.by);
        said.into_iter().filter_map(alarm).map(seen).collect()
    };
    assert_eq!(bench.until(700), [EventBody::AlarmSnapshotComplete]);
    assert_eq!(alarms(bench.until(800)), [(true, false, false, String::new())]);
    bench.done(Command::AcknowledgeAlarm { alarm: "P.T.High".into(), comment: "seen".into() });
    bench.done(Command::RefreshAlarms);
    assert_eq!(alarms(bench.until(800)), [(true, true, false, "ada".into()), (true, true, true, "ada".into())]);
    assert_eq!(alarms(bench.until(1_000)), [(false, true, false, "ada".into())]);
}

#[test]
fn it_fails_when_it_is_told_to() {
    let mut bench = Bench::new(r#"{"faults":[{"after_ms":30,"kind":"failure"},{"after_ms":10,"kind":"gap"}]}"#);
    assert!(matches!(&bench.until(20)[..], [EventBody::BackendGap { .. }]));
    bench.plant.handle_timeout(at(30));
    assert!(bench.plant.poll_event().unwrap().is_err());
}
