//! The one place that writes to standard output and standard error.
//!
//! Results go to standard output, everything else to standard error. Colours appear on a terminal only, unless the
//! person says otherwise, and `NO_COLOR` is respected. A reader that goes away, such as `head`, ends the output quietly.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A colour or weight.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
    Cyan,
}

/// Where output goes, and how it looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    stdout_color: bool,
    stderr_color: bool,
}

impl Output {
    pub(crate) fn new(color: Color) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self { stdout_color: wanted(io::stdout().is_terminal()), stderr_color: wanted(io::stderr().is_terminal()) }
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: impl Display) {
        quietly(writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()));
    }

    /// A line about what is going on.
    pub(crate) fn note(&self, line: impl Display) {
        quietly(writeln!(io::stderr(), "{line}"));
    }

    /// An error, with what led to it.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let mut text = String::new();
        for cause in error.chain().map(ToString::to_string) {
            // Some causes are told by the one above them already.
            if !text.contains(&cause) && !cause.is_empty() {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&cause);
            }
        }
        self.note(format_args!("{}: {text}", self.styled_note(Style::Red, "error")));
    }

    /// Text for standard output.
    pub(crate) fn styled(&self, style: Style, text: impl Display) -> String {
        paint(self.stdout_color, style, text)
    }

    /// Text for standard error.
    pub(crate) fn styled_note(&self, style: Style, text: impl Display) -> String {
        paint(self.stderr_color, style, text)
    }

    /// Whether progress bars are of use: somebody looks.
    pub(crate) fn is_watched(&self) -> bool {
        io::stderr().is_terminal()
    }
}

fn paint(color: bool, style: Style, text: impl Display) -> String {
    let code = match style {
        Style::Dim => "2",
        Style::Bold => "1",
        Style::Red => "31",
        Style::Green => "32",
        Style::Yellow => "33",
        Style::Cyan => "36",
    };
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
}

/// A reader that went away does not want to know.
fn quietly(written: io::Result<()>) {
    written.unwrap_or_default();
}

/// Sends the program's own log to standard error, if it was asked for.
pub(crate) fn log_to_stderr(verbose: u8) {
    let filter = match verbose {
        0 => return,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let subscriber = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(EnvFilter::new(filter));
    // Another subscriber can only be one that a test has set.
    subscriber.try_init().unwrap_or_default();
}
