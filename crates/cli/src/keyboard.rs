//! Single keys of a person's terminal, read while nobody types lines.

use std::fs::File;
use std::future::pending;
use std::io::{self, IsTerminal as _};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr, ttyname,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Keys that are read at once.
const KEYS: usize = 64;

/// The terminal that standard input is, of which every key is told as it is pressed, and shown nowhere. It is as it was
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct Keyboard {
    /// Opened once more: what is said of waiting for it is not to be said to whoever else has standard input.
    terminal: AsyncFd<File>,
    before: Termios,
}

impl Keyboard {
    /// Takes the keys. `None` if there are none for this process: standard input is no terminal, or somebody else is in its
    /// foreground.
    pub(crate) fn take() -> Option<Self> {
        if !io::stdin().is_terminal() || !is_in_foreground(&io::stdin()) {
            return None;
        }
        let taken = Self::open();
        if let Err(error) = &taken {
            tracing::debug!(%error, "the terminal's keys cannot be read");
        }
        taken.ok()
    }

    fn open() -> io::Result<Self> {
        let name = ttyname(io::stdin(), Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let terminal = File::from(open(&name, flags, Mode::empty())?);
        #[expect(
            deprecated,
            reason = "its replacement is unsafe, for the sake of types that close their descriptor early; a file stays open"
        )]
        let terminal = AsyncFd::with_interest(terminal, Interest::READABLE)?;
        let before = tcgetattr(&terminal)?;
        let mut keys = before.clone();
        // Signals stay what they are: Ctrl-C is one.
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &keys)?;
        Ok(Self { terminal, before })
    }

    /// Returns when this key is pressed; other keys do nothing. If the terminal is gone it is never pressed.
    pub(crate) async fn pressed(&self, key: u8) {
        let mut keys = [0; KEYS];
        loop {
            let Ok(mut ready) = self.terminal.readable().await else { return pending().await };
            if !is_in_foreground(&self.terminal) {
                // What is typed is for whoever is, and to read it would stop this process.
                ready.clear_ready();
                continue;
            }
            match ready.try_io(|terminal| Ok(rustix::io::read(terminal, &mut keys)?)) {
                Ok(Ok(count)) if keys[..count].iter().any(|pressed| pressed.eq_ignore_ascii_case(&key)) => return,
                Ok(Ok(1..)) | Err(_) => {}
                Ok(Ok(_) | Err(_)) => return pending().await,
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // In the background it would stop this process, and whoever is in the foreground has a say of its own.
        if is_in_foreground(&self.terminal) {
            tcsetattr(&self.terminal, OptionalActions::Now, &self.before).unwrap_or_default();
        }
    }
}

/// Whether a terminal is for this process to read. One that does not control the process has no foreground.
fn is_in_foreground(terminal: &impl std::os::fd::AsFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
}
