//! The store contract, the memory of recent records, an in-memory reference and the suite that every store passes.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`contract`] | what a store promises, in prose and as the trait [`Store`] |
//! | [`document`] | the small keyed values beside the journal |
//! | [`error`] | why a store refused, one type per kind of operation |
//! | [`limits`] | the bounds that every store enforces, with their reasons |
//! | [`tail`] | recent records in memory, and the wake-up of those who wait for more |
//! | [`admit`] | the decision whether a batch may be appended, shared by all stores |
//! | [`memory`] | the reference: everything in one map, with faults on demand |
//!
//! With the feature `conformance` there is also `conformance`, the suite itself.
//!
//! Records are bytes here: what a body means is known to `moorline-core` only. Nothing in this crate reads a clock,
//! draws randomness or starts a task.

#![forbid(unsafe_code)]

pub mod admit;
pub mod contract;
pub mod document;
pub mod error;
pub mod limits;
pub mod memory;
pub mod tail;

#[cfg(feature = "conformance")]
pub mod conformance;

mod sync;

pub use contract::{CommittedBatch, CommittedRecord, Page, ReadBudget, ReadLimit, Store, StreamBounds};
pub use document::{Change, Collection, DocKey, DocKeyError, Document, Expect, Revision};
pub use error::{AppendError, Cause, PutError, ReadError, StoreFault, WriteError};
pub use memory::{Faults, MemoryStore};
pub use tail::{Interest, Tail, TailLimits};
