//! How far a job was seen, so that a new session's history is not taken for news.
//!
//! A new session numbers anew, so what it replays is told from what is new by its place among the job's records: the
//! same history has the same records in the same order. The last one that was seen is compared, to be sure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use moorline_wire::Event;

use crate::gap::Missing;
use crate::job::JobUpdate;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Records that were seen.
    seen: u64,
    /// A digest of the last of them.
    last: u64,
    /// Records that a replay has brought so far, while there is one.
    retraced: Option<u64>,
    /// Whether the replay has everything.
    whole: bool,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// New.
    New,
    /// One that was seen before.
    Seen,
    /// The last that was seen before. What follows is new, and this was missing.
    Caught(Missing),
    /// The job's end, where more records were due. It is to be handed out.
    Short(Missing),
}

impl Trail {
    /// A replay from the job's beginning follows, which has everything or not; answers whether any of it was seen.
    pub(super) fn retrace(&mut self, whole: bool) -> bool {
        self.whole = whole;
        self.retraced = (self.seen > 0).then_some(0);
        self.retraced.is_some()
    }

    /// Follows the job by one record.
    pub(super) fn follow(&mut self, update: &JobUpdate) -> Place {
        if is_private(update) {
            return Place::New;
        }
        let Some(retraced) = &mut self.retraced else {
            self.seen += 1;
            self.last = digest(update);
            return Place::New;
        };
        if update.is_terminal() {
            // No end was seen before, or nobody would watch the job.
            self.retraced = None;
            return Place::Short(Missing::Unknown);
        }
        *retraced += 1;
        if *retraced < self.seen {
            return Place::Seen;
        }
        self.retraced = None;
        let is_same = self.whole && digest(update) == self.last;
        Place::Caught(if is_same { Missing::Nothing } else { Missing::Unknown })
    }
}

/// Whether a record is the session's own affair, so that another session's history does not have it.
fn is_private(update: &JobUpdate) -> bool {
    matches!(update, JobUpdate::Event(event)
        if matches!(&event.event, Ok(Event::Status(status)) if status.phase == "back_pressure"))
}

fn digest(update: &JobUpdate) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let JobUpdate::Event(event) = update {
        event.kind.hash(&mut hasher);
        event.ts.as_unix_millis().hash(&mut hasher);
        event.body.get().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use moorline_types::{Json, Timestamp};
    use moorline_wire::payload;

    use super::*;
    use crate::job::JobEvent;

    fn log(text: &str) -> JobUpdate {
        let body = Json::parse(&format!(r#"{{"level":"info","message":"{text}"}}"#)).unwrap();
        let event = payload::JobEvent { kind: "log".into(), ts: Timestamp::from_unix_millis(0), body };
        JobUpdate::Event(JobEvent::new(None, event))
    }

    fn result() -> JobUpdate {
        let result = payload::JobResult::inline(Json::null(), Timestamp::from_unix_millis(0));
        JobUpdate::Result { seq: None, result }
    }

    fn seen(updates: &[&str]) -> Trail {
        let mut trail = Trail::default();
        for update in updates {
            assert_eq!(trail.follow(&log(update)), Place::New);
        }
        trail
    }

    #[test]
    fn a_replay_is_known_again_and_what_follows_is_new() {
        let mut trail = seen(&["a", "b", "c"]);
        assert!(trail.retrace(true));
        let places: Vec<_> = ["a", "b", "c", "d"].map(|text| trail.follow(&log(text))).into();
        assert_eq!(places, [Place::Seen, Place::Seen, Place::Caught(Missing::Nothing), Place::New]);
        assert!(trail.retrace(true), "a second loss begins anew, with four");
        let places: Vec<_> = ["a", "b", "c", "d"].map(|text| trail.follow(&log(text))).into();
        assert_eq!(places[3], Place::Caught(Missing::Nothing));
    }

    #[test]
    fn another_history_is_not_taken_for_the_same() {
        let mut trail = seen(&["a", "b"]);
        trail.retrace(true);
        trail.follow(&log("a"));
        assert_eq!(trail.follow(&log("x")), Place::Caught(Missing::Unknown));
        let mut trail = seen(&["a"]);
        trail.retrace(false);
        assert_eq!(trail.follow(&log("a")), Place::Caught(Missing::Unknown), "a history with holes");
        let mut trail = seen(&["a", "b"]);
        trail.retrace(true);
        assert_eq!(trail.follow(&result()), Place::Short(Missing::Unknown), "it was trimmed");
    }

    #[test]
    fn a_job_of_which_nothing_was_seen_has_nothing_to_be_known_again() {
        let mut trail = Trail::default();
        assert!(!trail.retrace(true));
        assert_eq!(trail.follow(&log("a")), Place::New);
    }
}
