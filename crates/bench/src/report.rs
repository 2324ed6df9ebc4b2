//! What is made of what was measured.

pub(crate) mod page;
mod plot;
pub(crate) mod record;
pub(crate) mod table;
