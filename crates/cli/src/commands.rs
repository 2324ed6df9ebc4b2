//! One module for each command.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod credentials;
pub(crate) mod demo;
pub(crate) mod external_worker;
pub(crate) mod gateway;
pub(crate) mod gc;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod result;
pub(crate) mod serve;
pub(crate) mod submit;
pub(crate) mod version;
pub(crate) mod watch;
pub(crate) mod worker;
pub(crate) mod workers;
