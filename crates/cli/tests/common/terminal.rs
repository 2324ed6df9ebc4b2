//! A terminal of a test's own: what a person would see of a program that runs on it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::write;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::Running;

/// See the module's documentation.
pub(crate) struct Terminal {
    ours: OwnedFd,
    theirs: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
    columns: usize,
}

impl Terminal {
    pub(crate) fn new(columns: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (written, mut reads) = (Arc::new(Mutex::new(Vec::new())), File::from(ours.try_clone().unwrap()));
        let keeps = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reads.read(&mut bytes) {
                keeps.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        let mut terminal = Self { ours, theirs, written, columns: 0 };
        terminal.resize(columns);
        terminal
    }

    /// A program that reads from this terminal and writes to it.
    pub(crate) fn run(&self, command: &mut Command) -> Running {
        let theirs = || Stdio::from(self.theirs.try_clone().unwrap());
        let command = command.env("TERM", "xterm").stdin(theirs()).stdout(theirs()).stderr(theirs());
        Running::of(command.spawn().unwrap())
    }

    /// Types this.
    pub(crate) fn press(&self, keys: &str) {
        assert_eq!(write(&self.ours, keys.as_bytes()).unwrap(), keys.len());
    }

    /// Makes it as wide as this.
    pub(crate) fn resize(&mut self, columns: u16) {
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, size).unwrap();
        self.columns = columns.into();
    }

    /// Forgets what was written on it.
    pub(crate) fn forget(&self) {
        self.written.lock().unwrap().clear();
    }

    /// How it takes what is typed.
    pub(crate) fn mode(&self) -> Termios {
        tcgetattr(&self.theirs).unwrap()
    }

    /// What is on it, line by line.
    pub(crate) fn screen(&self) -> Vec<String> {
        let written = self.written.lock().unwrap().clone();
        // What has come may end in the middle of a character.
        let text = String::from_utf8_lossy(&written);
        let mut screen = Screen { columns: self.columns, ..Screen::default() };
        screen.write(&text);
        screen.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
    }
}

/// As much of a terminal as a table needs. Whoever is commanded to do more panics.
#[derive(Default)]
struct Screen {
    columns: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    fn write(&mut self, text: &str) {
        let mut left = text;
        while let Some(first) = left.chars().next() {
            left = &left[first.len_utf8()..];
            match first {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\u{1b}' => {
                    let Some(end) = left.find(|c: char| !matches!(c, '[' | ';' | '0'..='9')) else { return };
                    self.obey(&left[..=end]);
                    left = &left[end + 1..];
                }
                shown => {
                    assert!(!shown.is_control(), "{shown:?} is no character to be shown");
                    self.put(shown);
                }
            }
        }
    }

    fn put(&mut self, shown: char) {
        // Only what follows the last column is in the next line.
        if self.column == self.columns {
            (self.row, self.column) = (self.row + 1, 0);
        }
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        let line = &mut self.lines[self.row];
        if line.len() <= self.column {
            line.resize(self.column + 1, ' ');
        }
        line[self.column] = shown;
        self.column += 1;
    }

    fn obey(&mut self, command: &str) {
        let (number, what) = match command.strip_prefix('[') {
            Some(said) => said.split_at(said.len() - 1),
            None => ("", command),
        };
        let times = number.parse().unwrap_or(1);
        match what {
            "A" => self.row = self.row.saturating_sub(times),
            "B" => self.row += times,
            "K" if number == "2" => self.lines.get_mut(self.row).into_iter().for_each(Vec::clear),
            "J" if number == "0" => self.lines.truncate(self.row),
            "m" => {}
            _ => panic!("no table says {command:?} to a terminal"),
        }
    }
}
