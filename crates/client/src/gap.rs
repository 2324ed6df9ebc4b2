//! What is missing, said so that nobody overlooks it.

use moorline_types::EventSeq;
use moorline_wire::Received;
use moorline_wire::vendor::{self, GapReason};

/// The session's numbers are broken at this place of a job's stream. Something about this or another job may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What is missing.
    pub missing: Missing,
    /// Why.
    pub cause: GapCause,
}

/// What is missing of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: only the numbers begin anew. Every record that was seen before was found again, in the same place.
    Nothing,
    /// What the session had under these numbers, both included.
    Numbers {
        /// The first.
        from: EventSeq,
        /// The last.
        to: EventSeq,
    },
    /// It cannot be told.
    Unknown,
}

/// Why something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GapCause {
    /// The runtime says so.
    Reported(Received<GapReason>),
    /// The runtime passed over numbers, and did so again when it was asked for them.
    Numbering,
    /// The session could not be resumed. A new one watches the job.
    NewSession,
    /// After a gap the job was read again, from its beginning.
    ReadAgain,
}

impl From<vendor::Gap> for Gap {
    fn from(gap: vendor::Gap) -> Self {
        let missing = match (gap.from, gap.to) {
            (Some(from), Some(to)) => Missing::Numbers { from, to },
            _ => Missing::Unknown,
        };
        Self { missing, cause: GapCause::Reported(gap.reason) }
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            GapCause::Reported(reason) => write!(f, "{}: ", reason_words(reason))?,
            GapCause::Numbering => f.write_str("the runtime passed over numbers: ")?,
            GapCause::ReadAgain => f.write_str("the job was read again from its beginning: ")?,
            GapCause::NewSession => f.write_str("the session could not be resumed and a new one goes on: ")?,
        }
        match self.missing {
            Missing::Nothing => f.write_str("nothing is missing"),
            Missing::Numbers { from, to } if from == to => write!(f, "event {from} is missing"),
            Missing::Numbers { from, to } => write!(f, "events {from} to {to} are missing"),
            Missing::Unknown => f.write_str("events may be missing"),
        }
    }
}

fn reason_words(reason: &Received<GapReason>) -> &str {
    match reason.known() {
        Some(GapReason::TrimmedByAge) => "the runtime does not keep events for so long",
        Some(GapReason::TrimmedBySize) => "the runtime does not keep so many events",
        Some(GapReason::TrimmedByOperator) => "the operator removed events",
        Some(GapReason::Skipped) => "events were skipped, as was asked for",
        Some(GapReason::Superseded) => "events were replaced by later ones, as was asked for",
        Some(GapReason::JournalReplaced) => "the runtime has another journal",
        None => reason.as_str(),
    }
}

impl Gap {
    /// Whether something may be missing.
    pub const fn loses(&self) -> bool {
        !matches!(self.missing, Missing::Nothing)
    }
}
