//! Who can be told the counting tag's values: the worker's back end itself, and a client of a gateway whose worker it is.

mod of_backend;
mod of_gateway;

use async_trait::async_trait;

use crate::Failure;

pub use of_backend::OfBackend;
pub use of_gateway::OfGateway;

/// Somebody who is told the counting tag's values, and who lets it count.
#[async_trait]
pub trait Watch: Send {
    /// Begins to be told of the tag, which does not count yet.
    async fn begin(&mut self) -> Result<(), Failure>;

    /// Lets it count, or not.
    async fn control(&mut self, on: bool) -> Result<(), Failure>;

    /// What it is, asked for; nothing if that cannot be had.
    async fn read(&mut self) -> Result<Option<i64>, Failure>;

    /// What is told next. May be cancelled without loss.
    async fn next(&mut self) -> Result<Told, Failure>;
}

/// What somebody was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The tag's value.
    Count(i64),
    /// Values are missing, for this reason.
    Gap(String),
    /// Something that does not matter here.
    Else,
}
