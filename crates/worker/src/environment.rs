//! What a process that we start inherits of our environment.

use std::ffi::OsString;

use moorline_types::TraceContext;

/// Where to find programs, home and temporary files, and how to speak. Secrets come in variables; these carry none.
const INHERITED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"];

/// Our variables that a new process inherits.
pub(crate) fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// The place in a trace of what a process does, under the names that tracing libraries look for.
pub(crate) fn of_trace(context: &TraceContext) -> impl Iterator<Item = (&'static str, String)> {
    let state = context.state.as_ref().map(|state| ("TRACESTATE", state.to_string()));
    [("TRACEPARENT", context.to_string())].into_iter().chain(state)
}
