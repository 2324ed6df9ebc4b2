//! The error codes (spec 12): the table, and what an error payload has to obey.

/// Declares the codes: spelling, whether a retry may help by default, documentation.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $retryable:literal;)*) => {
        words! {
            /// Why something was refused or failed (spec 12).
            ErrorCode { $($(#[$doc])* $variant = $text;)* }
        }

        impl ErrorCode {
            /// Whether the same request may succeed later, unless the sender knows better.
            ///
            /// Where official SDKs disagree this is the majority's answer.
            pub const fn default_retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }
        }
    };
}

error_codes! {
    /// The operation is not covered by the lease, or not allowed to this principal.
    PermissionDenied = "PERMISSION_DENIED", false;
    /// A delegation asked for more than the parent's lease.
    LeaseSubsetViolation = "LEASE_SUBSET_VIOLATION", false;
    /// The job does not exist, or not for this principal.
    JobNotFound = "JOB_NOT_FOUND", false;
    /// An idempotency key was used again with other parameters.
    DuplicateKey = "DUPLICATE_KEY", false;
    /// No agent has the name that was asked for.
    AgentNotAvailable = "AGENT_NOT_AVAILABLE", false;
    /// The agent exists, the version that was asked for does not.
    AgentVersionNotAvailable = "AGENT_VERSION_NOT_AVAILABLE", false;
    /// The job ended because somebody asked for its end.
    Cancelled = "CANCELLED", false;
    /// The job ran for longer than `max_runtime_sec`.
    Timeout = "TIMEOUT", true;
    /// What a resume asked for is not retained.
    ResumeWindowExpired = "RESUME_WINDOW_EXPIRED", false;
    /// Nothing was heard of the peer for too long.
    HeartbeatLost = "HEARTBEAT_LOST", true;
    /// The lease ran out while the job ran. Never retryable.
    LeaseExpired = "LEASE_EXPIRED", false;
    /// A budget of the lease is spent. Never retryable.
    BudgetExhausted = "BUDGET_EXHAUSTED", false;
    /// The envelope or its payload is malformed, or makes no sense at this point.
    InvalidRequest = "INVALID_REQUEST", false;
    /// The authentication is missing or wrong.
    Unauthenticated = "UNAUTHENTICATED", false;
    /// The runtime failed. Always retryable.
    InternalError = "INTERNAL_ERROR", true;
}

impl ErrorCode {
    /// The flag that an error with this code carries if its sender wants `wanted`: the spec leaves no choice for three
    /// of the codes, and a strict peer drops a frame that gets them wrong.
    pub const fn retryable(self, wanted: bool) -> bool {
        match self {
            Self::InternalError => true,
            Self::LeaseExpired | Self::BudgetExhausted => false,
            Self::PermissionDenied
            | Self::LeaseSubsetViolation
            | Self::JobNotFound
            | Self::DuplicateKey
            | Self::AgentNotAvailable
            | Self::AgentVersionNotAvailable
            | Self::Cancelled
            | Self::Timeout
            | Self::ResumeWindowExpired
            | Self::HeartbeatLost
            | Self::InvalidRequest
            | Self::Unauthenticated => wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_codes_leave_their_sender_no_choice() {
        for code in ErrorCode::ALL {
            let free = code.retryable(true) != code.retryable(false);
            let fixed = matches!(code, ErrorCode::InternalError | ErrorCode::LeaseExpired | ErrorCode::BudgetExhausted);
            assert_eq!(free, !fixed, "{code}");
            assert_eq!(code.retryable(code.default_retryable()), code.default_retryable(), "{code}");
        }
        assert_eq!(ErrorCode::ALL.len(), 15);
    }
}
