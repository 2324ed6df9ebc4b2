//! A driver, as the suite meets it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use super::driver;
use crate::common::PATIENCE;

/// Which client a driver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Python,
}

/// Which interpreter has what the Python client needs.
const PYTHON_VARIABLE: &str = "MOORLINE_TEST_PYTHON";

impl Language {
    /// The one that is to be tried.
    pub(crate) fn chosen() -> Self {
        if std::env::var_os(PYTHON_VARIABLE).is_some() { Self::Python } else { Self::Rust }
    }
}

/// Where questions go.
enum Questions {
    /// To a thread, since what it runs is in this program.
    Thread(tokio::sync::mpsc::Sender<String>),
    /// To a process.
    Process(Child),
}

pub(crate) struct Peer {
    language: Language,
    questions: Questions,
    answers: mpsc::Receiver<String>,
}

impl Peer {
    pub(crate) fn start(language: Language) -> Self {
        let (answered, answers) = mpsc::channel();
        let questions = match language {
            Language::Rust => {
                let (ask, asked) = tokio::sync::mpsc::channel(8);
                thread::spawn(move || driver::run(asked, &answered));
                Questions::Thread(ask)
            }
            Language::Python => {
                let mut child = python().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let lines = BufReader::new(child.stdout.take().unwrap()).lines();
                thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| answered.send(line)));
                Questions::Process(child)
            }
        };
        Self { language, questions, answers }
    }

    /// Asks, and does not wait for the answer.
    pub(crate) fn ask(&mut self, question: &Value) {
        match &mut self.questions {
            Questions::Thread(ask) => ask.blocking_send(question.to_string()).unwrap(),
            Questions::Process(child) => writeln!(child.stdin.as_mut().unwrap(), "{question}").unwrap(),
        }
    }

    /// The answer to what was asked.
    pub(crate) fn answer(&self) -> Result<Value, Value> {
        let line = self.answers.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("the {:?} driver does not answer: {error}", self.language));
        let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let error = answer["error"].take();
        if error.is_null() { Ok(answer["ok"].take()) } else { Err(error) }
    }

    /// Has something done.
    pub(crate) fn done(&mut self, question: &Value) -> Value {
        self.ask(question);
        self.answer().unwrap_or_else(|error| panic!("{:?}: {question} has failed: {error}", self.language))
    }

    /// Has something refused: the kind, the code and the reason.
    pub(crate) fn refused(&mut self, question: &Value) -> (String, String, String) {
        self.ask(question);
        match self.answer() {
            Ok(done) => panic!("{:?}: {question} was done: {done}", self.language),
            Err(error) => words(&error),
        }
    }
}

/// The kind, the code and the reason of an error.
pub(crate) fn words(error: &Value) -> (String, String, String) {
    let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    assert!(!word("message").is_empty(), "an error that says nothing: {error}");
    (word("kind"), word("code"), word("reason"))
}

/// The Python driver, with the interpreter that has what it needs.
fn python() -> Command {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/moorline-gateway");
    let interpreter = std::env::var_os(PYTHON_VARIABLE).expect("it was chosen by this variable");
    let mut command = Command::new(interpreter);
    command.arg("-B").arg(package.join("tests/driver.py")).env("PYTHONPATH", package.join("src"));
    command
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Questions::Process(child) = &mut self.questions {
            // It ends when its input does; a driver that hangs is ended.
            drop(child.stdin.take());
            child.kill().unwrap_or_default();
            child.wait().unwrap();
        }
    }
}
