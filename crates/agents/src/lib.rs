//! The agents that Moorline ships: one that does real work on a directory tree, and one that says back what it is
//! told. Both are written against the worker SDK only, as anybody's would be.

#![forbid(unsafe_code)]

mod census;
mod clock;
mod echo;

pub use census::Census;
pub use echo::Echo;
