//! Log lines: written on standard error, for a person or as JSON, and never with a secret in them.
//!
//! Nothing in this module can find a secret in a text that was already made. What keeps secrets out is that every
//! type that holds one (`ApiKey`, `EnvValue`, private keys) has a `Debug` without its content and no `Display`, so that
//! it takes a call of `expose` to write one; a test logs them all and looks for them in what comes out.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogConfig, LogFormat};

/// Which log lines are written, in the syntax of `tracing`'s filters, known to be well formed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFilter(Box<str>);

/// Why a text is no filter of log lines.
#[derive(Debug, thiserror::Error)]
pub enum LogFilterError {
    /// There is nothing in it.
    #[error("a filter is a level such as info, or target=level pairs with commas between them")]
    Empty,
    /// It is not well formed.
    #[error("no filter of log lines: {source}")]
    Syntax {
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
}

impl LogFilter {
    /// The filter as it is configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn to_filter(&self) -> EnvFilter {
        EnvFilter::builder().parse_lossy(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = LogFilterError;

    fn from_str(text: &str) -> Result<Self, LogFilterError> {
        if text.trim().is_empty() {
            return Err(LogFilterError::Empty);
        }
        EnvFilter::builder().parse(text).map_err(|source| LogFilterError::Syntax { source })?;
        Ok(Self(text.into()))
    }
}

/// Why log lines cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Something else in this process takes them already.
    #[error("log lines of this process are taken already; initialise logging once, at the start")]
    AlreadyInitialised {
        /// What the subscriber says.
        source: tracing_subscriber::util::TryInitError,
    },
}

/// Has the log lines of this process written on standard error. Once per process.
///
/// # Errors
///
/// If something takes them already.
pub fn init(log: &LogConfig) -> Result<(), LoggingError> {
    subscriber(log, io::stderr, io::stderr().is_terminal())
        .try_init()
        .map_err(|source| LoggingError::AlreadyInitialised { source })
}

/// What takes log lines and writes them to `writer`, with colours if they are for a person and `colours` says so.
fn subscriber<W>(log: &LogConfig, writer: W, colours: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(log.filter.to_filter());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    match log.format {
        LogFormat::Human => Box::new(registry.with(layer.with_filter(discreet()))),
        LogFormat::Json => Box::new(registry.with(layer.json().flatten_event(true).with_filter(discreet()))),
    }
}

/// Keeps libraries that see bytes of clients from logging them, whatever filter is configured: a hello carries a key.
fn discreet() -> Targets {
    let seen_by = ["tungstenite", "tokio_tungstenite", "hyper", "hyper_util", "axum", "rustls", "tokio_rustls"];
    seen_by
        .into_iter()
        .fold(Targets::new().with_default(LevelFilter::TRACE), |all, target| all.with_target(target, LevelFilter::INFO))
}

#[cfg(test)]
mod tests;
