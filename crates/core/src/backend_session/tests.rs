//! The machine by its rules, its races by their numbers in `docs/GATEWAY-CONFORMANCE.md`, and by random operations.

use proptest::prelude::*;

use super::*;

const OPTIONS: SessionOptions = SessionOptions {
    startup_timeout: Millis::from_secs(30),
    command_timeout: Millis::from_secs(30),
    max_pending_commands: 3,
    lease: Millis::from_secs(1_800),
    sweep_interval: Millis::from_secs(10),
    detach_grace: Millis::from_secs(30),
    multiple_subscribers: true,
    max_subscribers: 2,
    overflow: OverflowPolicy::CatchUp,
    queue_capacity: 2,
};

const FENCE: Fence = Fence::new(7);

const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1_000)
}

fn ready(options: SessionOptions) -> BackendSession {
    let mut session = BackendSession::open(at(0), options);
    session.handle_attached(FENCE, false);
    session.handle_opened();
    assert_eq!(session.state(), &State::Ready);
    session
}

fn effects(session: &mut BackendSession) -> Vec<Effect> {
    std::iter::from_fn(|| session.poll_effect()).collect()
}

fn subscribe(session: &mut BackendSession) -> SubscriberId {
    session.handle_subscribe(SubscriberKind::External, 0).unwrap().subscriber
}

fn fault(session: &BackendSession) -> Option<FaultKind> {
    match session.state() {
        State::Faulted(fault) => Some(fault.kind),
        State::StartingWorker
        | State::Handshaking
        | State::Ready
        | State::Reattaching
        | State::Closing(_)
        | State::Closed(_) => None,
    }
}

#[test]
fn a_session_is_ready_when_its_back_end_is() {
    let mut session = BackendSession::open(at(0), OPTIONS);
    assert_eq!(session.state(), &State::StartingWorker);
    session.handle_attached(FENCE, false);
    assert_eq!(session.state(), &State::Handshaking);
    let refused = session.handle_invoke(at(1), None).unwrap_err();
    assert!(refused.to_string().contains("opening its back end"), "the mismatch is named: {refused}");
    session.handle_opened();
    assert!(session.handle_invoke(at(1), None).is_ok());
}

#[test]
fn a_worker_that_does_not_open_its_back_end_in_time_is_killed() {
    let mut session = BackendSession::open(at(0), OPTIONS);
    session.handle_attached(FENCE, false);
    assert_eq!(session.poll_timeout(), Some(at(30)));
    session.handle_timeout(at(30));
    assert_eq!(session.state(), &State::Closing(CloseReason::OpenFailed));
    assert_eq!(effects(&mut session), [Effect::Kill]);
    session.handle_ended(Some("killed".into()));
    assert_eq!(session.state(), &State::Closed(CloseReason::OpenFailed));
}

#[test]
fn one_command_too_many_is_refused_and_not_queued() {
    let mut session = ready(OPTIONS);
    let commands: Vec<_> = (0..3).map(|_| session.handle_invoke(at(1), None).unwrap()).collect();
    assert_eq!(session.handle_invoke(at(1), None), Err(Refused::PendingCommandLimit { limit: 3 }));
    assert!(session.handle_answer(commands[0]));
    assert!(session.handle_invoke(at(1), None).is_ok());
}

#[test]
fn a_command_is_answered_once_by_its_worker_or_by_its_timeout() {
    let mut session = ready(OPTIONS);
    let quick = session.handle_invoke(at(1), Some(Millis::from_secs(5))).unwrap();
    let usual = session.handle_invoke(at(1), None).unwrap();
    effects(&mut session);
    assert_eq!(session.poll_timeout(), Some(at(6)));
    session.handle_timeout(at(6));
    let answer = Answer::TimedOut { after: Millis::from_secs(5) };
    assert_eq!(effects(&mut session), [Effect::Answer { command: quick, answer }]);
    assert!(!session.handle_answer(quick), "nobody waits for it any more");
    assert!(session.handle_answer(usual));
    assert!(!session.handle_answer(usual), "an answer that comes twice is one");
}

#[test]
fn a_worker_that_attaches_anew_is_sent_what_it_has_not_answered() {
    let mut session = ready(OPTIONS);
    let first = session.handle_invoke(at(1), None).unwrap();
    let second = session.handle_invoke(at(1), None).unwrap();
    effects(&mut session);
    session.handle_away();
    assert_eq!(session.handle_invoke(at(2), None), Err(Refused::WorkerAway));
    session.handle_answer(first);
    let fence = FENCE.next();
    session.handle_attached(fence, true);
    assert_eq!(effects(&mut session), [Effect::Send { command: second, fence }]);
    session.handle_attached(fence, true);
    assert_eq!(effects(&mut session), [], "the same attachment is not sent it twice");
}

#[test]
fn an_adopted_session_waits_for_its_worker_and_goes_on() {
    let mut session = BackendSession::adopt(at(1_000), OPTIONS);
    assert_eq!(session.state(), &State::Reattaching);
    assert_eq!(session.handle_invoke(at(1_001), None), Err(Refused::WorkerAway), "it is there, only not yet usable");
    assert_eq!(session.lease_expires(), at(2_800), "its lease begins anew");
    assert_eq!(session.detached(), Some(at(1_000)), "whoever streamed has just left");
    subscribe(&mut session);
    assert_eq!(session.detached(), None);
    session.handle_attached(FENCE, true);
    assert_eq!(session.state(), &State::Ready);
}

#[test]
fn the_end_answers_every_command_and_ends_every_stream() {
    let mut session = ready(OPTIONS);
    let command = session.handle_invoke(at(1), None).unwrap();
    let subscriber = subscribe(&mut session);
    effects(&mut session);
    session.handle_ended(Some("the back end is gone".into()));
    let state = session.state().clone();
    assert_eq!(
        effects(&mut session),
        [
            Effect::Answer { command, answer: Answer::SessionOver { state: state.clone() } },
            Effect::Disconnect { subscriber, reason: Disconnect::SessionOver { state } },
        ]
    );
    let refused = session.handle_invoke(at(2), None).unwrap_err();
    assert!(refused.to_string().contains("the back end is gone"), "{refused}");
}

#[test]
fn from_a_fault_only_closed_is_reached() {
    let mut session = ready(OPTIONS);
    session.handle_ended(None);
    for step in [BackendSession::handle_opened, BackendSession::handle_away] {
        step(&mut session);
        assert_eq!(fault(&session), Some(FaultKind::WorkerFaulted));
    }
    session.handle_attached(FENCE.next(), true);
    assert_eq!(fault(&session), Some(FaultKind::WorkerFaulted));
    assert_eq!(session.handle_close(CloseReason::ClientClose), Closing { already: false });
    assert_eq!(session.state(), &State::Closed(CloseReason::ClientClose));
    assert_eq!(session.handle_close(CloseReason::ClientClose), Closing { already: true });
}

#[test]
fn of_those_who_end_a_session_the_first_gives_the_reason() {
    let mut session = ready(OPTIONS);
    assert!(!session.handle_close(CloseReason::ClientClose).already);
    assert!(session.handle_close(CloseReason::GatewayShutdown).already);
    assert!(session.handle_kill().already);
    assert!(session.handle_kill().already);
    let asked = effects(&mut session);
    assert_eq!(asked, [Effect::Close(CloseReason::ClientClose), Effect::Kill], "a kill cuts a close short, once");
    session.handle_ended(Some("killed".into()));
    session.handle_ended(None);
    assert_eq!(session.state(), &State::Closed(CloseReason::ClientClose));
}

#[test]
fn a_kill_during_nothing_else_is_a_kill() {
    let mut session = ready(OPTIONS);
    assert!(!session.handle_kill().already);
    assert_eq!(effects(&mut session), [Effect::Kill]);
    session.handle_ended(Some("killed".into()));
    assert_eq!(session.state(), &State::Closed(CloseReason::Killed));
}

#[test]
fn the_lease_is_put_off_by_activity_and_by_subscribers() {
    let mut session = ready(OPTIONS);
    assert_eq!(session.lease_expires(), at(1_800));
    session.handle_activity(at(100));
    session.handle_timeout(at(1_800));
    assert_eq!(session.state(), &State::Ready);
    let subscriber = subscribe(&mut session);
    session.handle_timeout(at(9_000));
    assert_eq!(session.state(), &State::Ready, "somebody streams");
    session.handle_unsubscribe(at(9_001), subscriber);
    assert_eq!(session.lease_expires(), at(10_801), "the stream's end is an activity");
    session.handle_timeout(at(9_001));
    assert_eq!(session.state(), &State::Ready);
}

#[test]
fn the_lease_comes_before_a_longer_grace() {
    let mut session = ready(SessionOptions { lease: Millis::from_secs(20), ..OPTIONS });
    let subscriber = subscribe(&mut session);
    session.handle_unsubscribe(at(100), subscriber);
    assert_eq!(session.poll_timeout(), Some(at(120)));
    session.handle_timeout(at(120));
    assert_eq!(session.state(), &State::Closing(CloseReason::LeaseExpired));
}

#[test]
fn a_session_that_all_have_left_is_closed_after_the_grace_at_a_sweep() {
    let mut session = ready(OPTIONS);
    let subscriber = subscribe(&mut session);
    session.handle_unsubscribe(at(13), subscriber);
    assert_eq!(session.detached(), Some(at(13)));
    assert_eq!(session.poll_timeout(), Some(at(50)), "43, and the next sweep");
    assert!(session.handle_invoke(at(20), None).is_ok(), "it is fully usable meanwhile");
    session.handle_timeout(at(49));
    assert_eq!(session.state(), &State::Ready);
    session.handle_timeout(at(50));
    assert_eq!(session.state(), &State::Closing(CloseReason::DetachGraceExpired));
}

#[test]
fn without_a_grace_there_is_the_lease() {
    let mut session = ready(SessionOptions { detach_grace: Millis::ZERO, ..OPTIONS });
    let subscriber = subscribe(&mut session);
    session.handle_unsubscribe(at(13), subscriber);
    assert_eq!(session.poll_timeout(), Some(at(1_820)));
}

#[test]
fn whoever_only_looks_on_keeps_nothing_alive_and_takes_no_place() {
    let mut session = ready(SessionOptions { multiple_subscribers: false, ..OPTIONS });
    let internal = session.handle_subscribe(SubscriberKind::Internal, 0).unwrap().subscriber;
    let external = subscribe(&mut session);
    assert_eq!((session.external_subscribers(), session.all_subscribers()), (1, 2));
    session.handle_unsubscribe(at(10), external);
    assert_eq!(session.detached(), Some(at(10)), "the grace begins although somebody looks on");
    session.handle_unsubscribe(at(20), internal);
    assert_eq!(session.detached(), Some(at(10)));
}

#[test]
fn there_is_room_for_one_or_for_as_many_as_configured() {
    let mut session = ready(SessionOptions { multiple_subscribers: false, ..OPTIONS });
    subscribe(&mut session);
    let second = session.handle_subscribe(SubscriberKind::External, 0);
    assert_eq!(second, Err(Refused::SubscriberAlreadyActive));
    let mut session = ready(OPTIONS);
    let first = subscribe(&mut session);
    subscribe(&mut session);
    let third = session.handle_subscribe(SubscriberKind::External, 0);
    assert_eq!(third, Err(Refused::SubscriberLimit { limit: 2 }));
    session.handle_unsubscribe(at(1), first);
    subscribe(&mut session);
}

#[test]
fn the_policies_differ_in_what_follows_an_overflow() {
    use OverflowPolicy::{CatchUp, DisconnectSubscriber, FailFast};
    for (overflow, multiple, disconnected, faulted) in [
        (CatchUp, false, false, false),
        (CatchUp, true, false, false),
        (DisconnectSubscriber, false, true, false),
        (DisconnectSubscriber, true, true, false),
        (FailFast, false, true, true),
        (FailFast, true, true, false),
    ] {
        let mut session = ready(SessionOptions { overflow, multiple_subscribers: multiple, ..OPTIONS });
        let slow = subscribe(&mut session);
        session.handle_events(at(1), 2);
        assert_eq!(effects(&mut session), [], "{overflow:?}: within the capacity");
        session.handle_events(at(1), 1);
        let all = effects(&mut session);
        let overflow_of = Effect::Disconnect { subscriber: slow, reason: Disconnect::Overflow { capacity: 2 } };
        assert_eq!(all.first() == Some(&overflow_of), disconnected, "{overflow:?}, {multiple}: {all:?}");
        assert_eq!(fault(&session), faulted.then_some(FaultKind::EventQueueOverflow), "{overflow:?}, {multiple}");
        assert_eq!(all.contains(&Effect::Kill), faulted, "{overflow:?}, {multiple}");
    }
}

#[test]
fn a_slow_subscriber_is_disconnected_and_one_that_keeps_up_is_not() {
    let mut session = ready(SessionOptions { overflow: OverflowPolicy::FailFast, ..OPTIONS });
    let (slow, healthy) = (subscribe(&mut session), subscribe(&mut session));
    for second in 0..11 {
        session.handle_events(at(second), 1);
        session.handle_delivered(healthy, 1);
    }
    let reason = Disconnect::Overflow { capacity: 2 };
    assert_eq!(effects(&mut session), [Effect::Disconnect { subscriber: slow, reason }]);
    assert_eq!((session.state(), session.all_subscribers()), (&State::Ready, 1));
}

#[test]
fn x1_a_subscriber_that_comes_to_a_session_that_is_over_is_told_so() {
    let mut session = ready(OPTIONS);
    session.handle_ended(None);
    assert!(matches!(session.handle_subscribe(SubscriberKind::External, 0), Err(Refused::Faulted { .. })));
    let mut session = ready(OPTIONS);
    session.handle_close(CloseReason::ClientClose);
    assert!(matches!(session.handle_subscribe(SubscriberKind::External, 0), Err(Refused::NotReady { .. })));
}

#[test]
fn x3_leaving_twice_is_leaving_once() {
    let mut session = ready(SessionOptions { multiple_subscribers: false, ..OPTIONS });
    for second in 0..200 {
        let subscriber = subscribe(&mut session);
        session.handle_unsubscribe(at(second), subscriber);
        session.handle_unsubscribe(at(second + 1), subscriber);
        assert_eq!((session.external_subscribers(), session.detached()), (0, Some(at(second))));
    }
}

#[test]
fn x8_who_leaves_at_the_moment_of_an_overflow_turns_it_into_no_fault() {
    let mut session = ready(SessionOptions { overflow: OverflowPolicy::FailFast, ..OPTIONS });
    let (slow, leaving) = (subscribe(&mut session), subscribe(&mut session));
    session.handle_unsubscribe(at(1), leaving);
    session.handle_events(at(1), 3);
    assert_eq!(fault(&session), None, "the mode is what counts, not that {slow:?} was the only one");
}

#[test]
fn x9_an_overflow_of_who_only_looks_on_is_no_fault() {
    let mut session =
        ready(SessionOptions { overflow: OverflowPolicy::FailFast, multiple_subscribers: false, ..OPTIONS });
    session.handle_subscribe(SubscriberKind::Internal, 0).unwrap();
    session.handle_events(at(1), 3);
    assert_eq!((session.state(), session.all_subscribers(), session.detached()), (&State::Ready, 0, None));
    assert!(matches!(effects(&mut session)[..], [Effect::Disconnect { .. }]));
}

#[test]
fn x11_who_is_refused_is_not_counted() {
    let mut session = ready(SessionOptions { multiple_subscribers: false, ..OPTIONS });
    let subscriber = subscribe(&mut session);
    for _ in 0..3 {
        assert!(session.handle_subscribe(SubscriberKind::External, 0).is_err());
    }
    session.handle_unsubscribe(at(1), subscriber);
    subscribe(&mut session);
}

#[test]
fn x15_who_comes_back_before_the_sweep_keeps_the_session() {
    let mut session = ready(OPTIONS);
    let subscriber = subscribe(&mut session);
    session.handle_unsubscribe(at(10), subscriber);
    let due = session.poll_timeout().unwrap();
    subscribe(&mut session);
    session.handle_timeout(due);
    assert_eq!(session.state(), &State::Ready);
}

#[derive(Debug, Clone)]
enum Step {
    Attached(u64, bool),
    Opened,
    Away,
    Ended(bool),
    Close,
    Kill,
    Invoke,
    Answer(usize),
    Subscribe(bool),
    Unsubscribe(usize),
    Events(usize),
    Delivered(usize, usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_u64..5, any::<bool>()).prop_map(|(fence, open)| Step::Attached(fence, open)),
        Just(Step::Opened),
        Just(Step::Away),
        any::<bool>().prop_map(Step::Ended),
        Just(Step::Close),
        Just(Step::Kill),
        Just(Step::Invoke),
        (0_usize..8).prop_map(Step::Answer),
        any::<bool>().prop_map(Step::Subscribe),
        (0_usize..8).prop_map(Step::Unsubscribe),
        (0_usize..4).prop_map(Step::Events),
        (0_usize..8, 0_usize..4).prop_map(|(who, count)| Step::Delivered(who, count)),
        (0_u64..2_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever happens in whatever order: one end, every command answered at most once and at the end at least once,
    /// every stream ended at most once, and nothing after the end.
    #[test]
    fn whatever_happens_there_is_one_end(
        steps in proptest::collection::vec(step(), 0..80),
        multiple in any::<bool>(), policy in 0_usize..3,
    ) {
        let overflow = OverflowPolicy::ALL[policy];
        let mut session =
            BackendSession::open(at(0), SessionOptions { multiple_subscribers: multiple, overflow, ..OPTIONS });
        let (mut now, mut waiting, mut streaming) = (0, Vec::new(), Vec::new());
        let (mut closes, mut reason) = (0, None);
        for step in steps {
            match step {
                Step::Attached(fence, open) => session.handle_attached(Fence::new(fence), open),
                Step::Opened => session.handle_opened(),
                Step::Away => session.handle_away(),
                Step::Ended(fails) => session.handle_ended(fails.then(|| "gone".to_owned())),
                Step::Close => { session.handle_close(CloseReason::ClientClose); }
                Step::Kill => { session.handle_kill(); }
                Step::Invoke => waiting.extend(session.handle_invoke(at(now), None)),
                Step::Answer(which) if which < waiting.len() => {
                    prop_assert!(session.handle_answer(waiting.remove(which)));
                }
                Step::Subscribe(external) => {
                    let kind = if external { SubscriberKind::External } else { SubscriberKind::Internal };
                    streaming.extend(session.handle_subscribe(kind, 0).map(|begin| begin.subscriber));
                }
                Step::Unsubscribe(which) if which < streaming.len() => {
                    session.handle_unsubscribe(at(now), streaming.remove(which));
                }
                Step::Events(count) => session.handle_events(at(now), count),
                Step::Delivered(which, count) if which < streaming.len() => {
                    session.handle_delivered(streaming[which], count);
                }
                Step::Answer(_) | Step::Unsubscribe(_) | Step::Delivered(..) => {}
                Step::Wait(seconds) => {
                    now += seconds;
                    session.handle_timeout(at(now));
                    prop_assert!(session.poll_timeout().is_none_or(|due| due > at(now)), "what is due is done");
                }
            }
            for effect in effects(&mut session) {
                match effect {
                    Effect::Send { command, .. } => prop_assert!(waiting.contains(&command)),
                    Effect::Answer { command, .. } => {
                        let before = waiting.len();
                        waiting.retain(|waits| *waits != command);
                        prop_assert_eq!(waiting.len() + 1, before, "answered once");
                    }
                    Effect::Disconnect { subscriber, .. } => {
                        let before = streaming.len();
                        streaming.retain(|streams| *streams != subscriber);
                        prop_assert_eq!(streaming.len() + 1, before, "ended once");
                    }
                    Effect::Close(_) => closes += 1,
                    Effect::Kill => {}
                }
            }
            prop_assert_eq!(session.pending_commands(), waiting.len());
            prop_assert_eq!(session.all_subscribers(), streaming.len());
            let most = if multiple { 2 } else { 1 };
            prop_assert!(session.external_subscribers() <= most);
            prop_assert!(closes <= 1);
            if let State::Closing(now) | State::Closed(now) = session.state() {
                if fault(&session).is_none() {
                    prop_assert_eq!(*reason.get_or_insert(*now), *now, "the first reason stays");
                }
                prop_assert!(waiting.is_empty(), "nothing waits for an answer that nobody gives");
            }
        }
    }
}
