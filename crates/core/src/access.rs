//! Who may do what, to what: the one decision, and its reason for the audit trail.
//!
//! | | its own | with one of its tags | anybody's |
//! | --- | --- | --- | --- |
//! | submit | `submit` | | |
//! | list | `observe` | `observe` | `observe_all` |
//! | observe | `observe` | `observe` | `observe_all` |
//! | cancel | `cancel` | `control_all` | `control_all` |
//! | use a gateway session | `cancel` | `control_all` | `control_all` |
//! | administer | | | `administer` |
//!
//! - Whoever has no scope for a job that is not its own is answered as if there were none: [`Refusal::JobNotFound`],
//!   with the same words and fields as for an id that was never given. Only whoever may know of a job is told that it
//!   may not do something with it.
//! - A tag lets somebody watch and confers no control (spec 14); without tags only the owner may.
//! - The session that submits a job sees it, which is a part of the submission. `observe` is for looking at jobs later
//!   or from elsewhere.
//! - What a submission may ask for at most is [`check_submission`].

use std::collections::BTreeSet;
use std::fmt;

use moorline_types::{Principal, PrincipalId, Scope, Tag, TraceId};

use crate::Refusal;

mod submission;
pub use submission::{Asked, ConstraintBroken, Granted, Unasked, check_submission, read_lease_cap};

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Submit a job.
    Submit,
    /// List jobs.
    List,
    /// See what happens in a job and how it ended.
    Observe,
    /// End a job.
    Cancel,
    /// Have commands carried out in a gateway session, and end it. Whoever may end a session may do anything in it:
    /// nothing that its back end does is worth less than the session.
    Use,
    /// Change or look at what concerns everybody.
    Administer,
}

/// How somebody stands to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// It is the principal's, or the action concerns no job.
    Owner,
    /// It is somebody else's, and has a tag that the principal has too.
    SharesTag,
    /// Neither.
    Stranger,
}

/// Why something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// How the principal stands to the job.
    pub relation: Relation,
    /// The scope that was enough.
    pub scope: Scope,
}

/// Why something is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// What was to be done.
    pub action: Action,
    /// How the principal stands to the job.
    pub relation: Relation,
    /// The least scope that would have been enough.
    pub needs: Scope,
    /// Whether the principal may know that the job exists.
    pub visible: bool,
}

/// On what ground something was decided: what of a [`Basis`] or a [`Denial`] is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    /// How the principal stands to the job; `None` if the action concerns none.
    pub relation: Option<Relation>,
    /// The scope that was enough, or the least that would have been.
    pub scope: Scope,
}

/// A decision about what somebody wants to do. It is for the audit trail: whoever asked may not know of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// On what ground it was made.
    pub ground: Ground,
    /// Whose the job is, if it is about one.
    pub owner: Option<PrincipalId>,
    /// The job's trace, if it has one.
    pub trace_id: Option<TraceId>,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] = [Self::Submit, Self::List, Self::Observe, Self::Cancel, Self::Use, Self::Administer];

    /// Whether it is about one job that there is already.
    pub const fn concerns_job(self) -> bool {
        match self {
            Self::Observe | Self::Cancel | Self::Use => true,
            Self::Submit | Self::List | Self::Administer => false,
        }
    }

    /// As a part of a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submitting a job",
            Self::List => "listing jobs",
            Self::Observe => "observing this job",
            Self::Cancel => "cancelling this job",
            Self::Use => "using this session",
            Self::Administer => "administering the gateway",
        }
    }

    /// The scopes of which each is enough, the least first: the table above.
    pub const fn sufficient(self, relation: Relation) -> &'static [Scope] {
        match (self, relation) {
            (Self::Submit, _) => &[Scope::Submit],
            (Self::List, _) | (Self::Observe, Relation::Owner | Relation::SharesTag) => {
                &[Scope::Observe, Scope::ObserveAll]
            }
            (Self::Observe, Relation::Stranger) => &[Scope::ObserveAll],
            (Self::Cancel | Self::Use, Relation::Owner) => &[Scope::Cancel, Scope::ControlAll],
            (Self::Cancel | Self::Use, Relation::SharesTag | Relation::Stranger) => &[Scope::ControlAll],
            (Self::Administer, _) => &[Scope::Administer],
        }
    }
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 3] = [Self::Owner, Self::SharesTag, Self::Stranger];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::SharesTag => "same tag",
            Self::Stranger => "stranger",
        }
    }

    /// How `principal` stands to what `owner` has and what carries `tags`.
    pub fn of(principal: &Principal, owner: &PrincipalId, tags: &BTreeSet<Tag>) -> Self {
        if principal.id == *owner {
            Self::Owner
        } else if principal.grants.tags.is_disjoint(tags) {
            Self::Stranger
        } else {
            Self::SharesTag
        }
    }
}

/// Whether the principal may do this.
///
/// # Errors
/// Why it may not.
pub fn authorise(principal: &Principal, action: Action, relation: Relation) -> Result<Basis, Denial> {
    let granted = |action: Action| {
        action.sufficient(relation).iter().copied().find(|scope| principal.grants.scopes.contains(*scope))
    };
    let visible = || {
        relation == Relation::Owner || [Action::Observe, Action::Cancel].into_iter().any(|any| granted(any).is_some())
    };
    granted(action).map(|scope| Basis { relation, scope }).ok_or_else(|| Denial {
        action,
        relation,
        needs: action.sufficient(relation).first().copied().unwrap_or(Scope::Administer),
        visible: visible(),
    })
}

impl Ground {
    /// What [`authorise`] has answered about this action.
    pub fn of(action: Action, decided: &Result<Basis, Denial>) -> Self {
        let (relation, scope) = match decided {
            Ok(Basis { relation, scope }) => (*relation, *scope),
            Err(Denial { relation, needs, .. }) => (*relation, *needs),
        };
        Self { relation: action.concerns_job().then_some(relation), scope }
    }
}

impl Denial {
    /// What a client is answered that named this job.
    pub fn of_job(self, job: &str) -> Refusal {
        if self.visible { self.into() } else { Refusal::JobNotFound { job: job.to_owned() } }
    }
}

/// What a client is answered whose request concerns no job.
impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::ScopeMissing { action: denial.action, needs: denial.needs }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Scopes;

    use super::*;

    fn principal(name: &str, scopes: Scopes) -> Principal {
        Principal::new(name.parse().unwrap(), scopes)
    }

    #[test]
    fn nobody_may_do_anything_without_a_scope() {
        let nobody = principal("eve", Scopes::NONE);
        for action in Action::ALL {
            for relation in Relation::ALL {
                assert!(authorise(&nobody, action, relation).is_err(), "{action:?} {relation}");
            }
        }
    }

    #[test]
    fn what_a_principal_may_not_know_of_is_answered_like_what_is_not_there() {
        let eve = principal("eve", Scopes::JOBS);
        for action in [Action::Observe, Action::Cancel] {
            let denial = authorise(&eve, action, Relation::Stranger).unwrap_err();
            assert_eq!(denial.of_job("job_x"), Refusal::JobNotFound { job: "job_x".to_owned() });
        }
        let watching = authorise(&eve, Action::Cancel, Relation::SharesTag).unwrap_err();
        assert_eq!(
            watching.of_job("job_x").to_string(),
            "cancelling this job needs the scope control_all, which this identity does not have; an administrator can grant it"
        );
    }

    #[test]
    fn a_tag_makes_nobody_more_than_a_watcher() {
        let mut ada = principal("ada", Scopes::JOBS);
        ada.grants.tags = ["team".parse().unwrap()].into();
        let (bob, tags) = ("bob".parse().unwrap(), ["team".parse().unwrap(), "other".parse().unwrap()].into());
        assert_eq!(Relation::of(&ada, &bob, &tags), Relation::SharesTag);
        assert_eq!(Relation::of(&ada, &bob, &BTreeSet::new()), Relation::Stranger);
        assert_eq!(Relation::of(&ada, &ada.id, &BTreeSet::new()), Relation::Owner);
        let allowed = authorise(&ada, Action::Observe, Relation::SharesTag);
        let ground = |relation, scope| Ground { relation, scope };
        assert_eq!(Ground::of(Action::Observe, &allowed), ground(Some(Relation::SharesTag), Scope::Observe));
        let denied = authorise(&ada, Action::Cancel, Relation::SharesTag);
        assert_eq!(Ground::of(Action::Cancel, &denied), ground(Some(Relation::SharesTag), Scope::ControlAll));
        let denied = authorise(&ada, Action::Administer, Relation::Owner);
        assert_eq!(Ground::of(Action::Administer, &denied), ground(None, Scope::Administer), "it is about no job");
        assert!(authorise(&ada, Action::Cancel, Relation::SharesTag).is_err());
    }
}
