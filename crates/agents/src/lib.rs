//! The agents that Moorline ships: one that does real work on a directory tree, one that says back what it is told, and
//! one to measure with. All are written against the worker SDK only, as anybody's would be.

#![forbid(unsafe_code)]

mod census;
mod clock;
mod echo;
mod load;

pub use census::Census;
pub use echo::Echo;
pub use load::Load;
