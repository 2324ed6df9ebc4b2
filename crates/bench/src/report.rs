//! What is made of what was measured.

pub(crate) mod record;
pub(crate) mod table;
