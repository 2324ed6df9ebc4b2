//! The one place that writes to standard output and standard error.
//!
//! Results go to standard output, everything else to standard error. Colours appear on a terminal only, unless the
//! person says otherwise, and `NO_COLOR` is respected. A reader that goes away, such as `head`, ends the output quietly;
//! output that cannot be written for another reason is an error, if only at the end.
//!
//! Text that comes from agents and file names goes through [`printable`] before a person sees it.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use clap::ValueEnum;
use console::Term;
use indicatif::ProgressBar;
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
#[derive(Debug)]
pub(crate) struct Output {
    stdout_color: bool,
    stderr_color: bool,
    /// Why standard output took no more.
    failed: OnceLock<io::Error>,
    /// The progress bar that is on the screen, if one is.
    bar: Mutex<Option<ProgressBar>>,
}

impl Output {
    pub(crate) fn new(color: Color) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self {
            stdout_color: wanted(io::stdout().is_terminal()),
            stderr_color: wanted(io::stderr().is_terminal()),
            failed: OnceLock::new(),
            bar: Mutex::new(None),
        }
    }

    /// From here on the bar gives way to every line that is written, whoever writes it.
    pub(crate) fn show_bar(&self, bar: &ProgressBar) {
        *self.bar() = Some(bar.clone());
    }

    /// There is no bar on the screen.
    pub(crate) fn forget_bar(&self) {
        *self.bar() = None;
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes while no bar is in the way.
    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &*self.bar() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// A line of the result. After the first one that cannot be written, none is.
    pub(crate) fn line(&self, line: impl Display) {
        if self.is_over() {
            return;
        }
        // The line is made first and written at once: whoever reads a pipe sees it whole.
        let line = format!("{line}\n");
        let written = self.aside(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
        });
        if let Err(error) = written {
            self.failed.get_or_init(|| error);
        }
    }

    /// Bytes of the result, as they are. After the first that cannot be written, none are.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            self.failed.get_or_init(|| error);
        }
    }

    /// Whether standard output takes no more, so that there is no use in going on.
    pub(crate) fn is_over(&self) -> bool {
        self.failed.get().is_some()
    }

    /// Why the result is not where it should be. A reader that went away is no reason: it has what it wanted.
    pub(crate) fn failure(&self) -> Option<&io::Error> {
        self.failed.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// A line about what is going on. If nobody can be told, that cannot be told either.
    pub(crate) fn note(&self, line: impl Display) {
        self.aside(|| writeln!(io::stderr(), "{line}").unwrap_or_default());
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
        self.note(format_args!("{}: {}", self.styled_note(Style::Red, "error"), printable(&text)));
    }

    /// Text for standard output.
    pub(crate) fn styled(&self, style: Style, text: impl Display) -> String {
        paint(self.stdout_color, style, text)
    }

    /// Text for standard error.
    pub(crate) fn styled_note(&self, style: Style, text: impl Display) -> String {
        paint(self.stderr_color, style, text)
    }

    /// Whether a person reads the result from a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// How many columns the terminal of the result has; one that does not say has as many as the oldest.
    pub(crate) fn columns(&self) -> usize {
        Term::stdout().size_checked().map_or(80, |(_, columns)| columns.into())
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

/// The text with its control characters made visible, line ends and tabs apart: what an agent says must not move the
/// cursor, change the terminal's title, paint over what was said before or have it read the other way round.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let turns_around = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_harmless = |c: char| !(c.is_control() || turns_around(c)) || matches!(c, '\n' | '\t');
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            shown.push(c);
        } else {
            // Writing to a string does not fail.
            write!(shown, "{}", c.escape_unicode()).unwrap_or_default();
        }
    }
    Cow::Owned(shown)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_made_visible_and_nothing_else_is_touched() {
        for (text, expected) in [
            ("plain words", "plain words"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("größer 漢字 ✓", "größer 漢字 ✓"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{9b}31mred", "\\u{9b}31mred"),
            ("\u{202e}desrever\u{2069}", "\\u{202e}desrever\\u{2069}"),
            ("over\rwritten\u{8}\u{7f}\0", "over\\u{d}written\\u{8}\\u{7f}\\u{0}"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }
}
