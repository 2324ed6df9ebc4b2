//! What a lease allows: capabilities, the patterns of each, and the targets that they are held against (spec 9).
//!
//! A lease names capabilities, and for each of them patterns. An operation is a capability and a target; it is covered
//! if a pattern of the capability matches the target. The language of patterns:
//!
//! - `*` is any run of characters without `/`, also an empty one;
//! - `**`, which is a whole segment between slashes, is any number of segments, also none: `/a/**` matches `/a` and
//!   everything below it;
//! - everything else is itself, `?` and `[` too. There is no escape.
//!
//! A pattern is held against the whole target, and a target is brought into its [normal form](Target) first, so that
//! nothing is reached by another spelling of its name. A pattern that is not normal itself is refused, because it would
//! match nothing, or something else than it seems to.
//!
//! Both questions, whether a pattern matches and whether it [includes](Pattern::includes) another, are answered by an
//! automaton without backtracking, in bounded time.
//!
//! Deliberately absent: looking at a file system. That a path is a link to somewhere else is known only where the
//! path is opened.

mod automaton;
pub mod budget;
mod grants;
mod pattern;
mod target;
mod terms;

pub use grants::{Excess, Grants, GrantsError};
pub use pattern::{Effort, Pattern, PatternError, PatternFault};
pub use target::{Target, TargetError};
pub use terms::{Terms, TermsError};
