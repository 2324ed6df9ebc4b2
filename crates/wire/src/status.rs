//! States of a job, and how it ended (spec 7.3).

words! {
    /// Where a job stands.
    JobStatus {
        /// Accepted; no event yet.
        Pending = "pending" | "accepted" | "queued";
        /// At work.
        Running = "running" | "blocked" | "paused";
        /// Ended with a result.
        Success = "success" | "completed";
        /// Ended with an error.
        Error = "error" | "failed";
        /// Ended because somebody asked for it.
        Cancelled = "cancelled";
        /// Ended because it ran for too long.
        TimedOut = "timed_out" | "timedout";
    }
}

impl JobStatus {
    /// Whether the job is over.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Success | Self::Error | Self::Cancelled | Self::TimedOut => true,
        }
    }
}

words! {
    /// How a job ended.
    FinalStatus {
        /// With a result.
        Success = "success";
        /// With an error.
        Error = "error";
        /// Because somebody asked for it.
        Cancelled = "cancelled";
        /// Because it ran for too long.
        TimedOut = "timed_out" | "timedout";
    }
}

impl From<FinalStatus> for JobStatus {
    fn from(status: FinalStatus) -> Self {
        match status {
            FinalStatus::Success => Self::Success,
            FinalStatus::Error => Self::Error,
            FinalStatus::Cancelled => Self::Cancelled,
            FinalStatus::TimedOut => Self::TimedOut,
        }
    }
}
