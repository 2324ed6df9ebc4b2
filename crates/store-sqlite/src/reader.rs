//! The threads that read: each has a connection of its own and answers one question at a time from one snapshot.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use moorline_store::ReadError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::fault::{self, SqlError};
use crate::open::{self, OpenError};
use crate::sql::{self, Transaction};
use crate::thread::{self, Ended};

/// Threads that read. Two, so that one long read does not hold up every other; the writer is a third.
const READERS: usize = 2;

/// Questions that may wait. A reader that waits here costs a closure; beyond that the caller waits.
const QUEUE: usize = 64;

type Question = Box<dyn FnOnce(&mut Connection) + Send>;

/// The questions, for the threads. Whoever holds the lock waits for the next one.
type Questions = Arc<Mutex<mpsc::Receiver<Question>>>;

/// Asks the threads that read.
#[derive(Debug)]
pub(crate) struct Readers {
    /// `None` once it has been closed.
    questions: Mutex<Option<mpsc::Sender<Question>>>,
    ended: Vec<Ended>,
}

impl Readers {
    /// Starts the threads. One of them does `first` before it answers anybody.
    pub(crate) fn start(path: &Path, first: impl FnOnce(&mut Connection) + Send + 'static) -> Result<Self, OpenError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut first: Option<Question> = Some(Box::new(first));
        let start = |_| {
            let conn = open::open_reader(path)?;
            start_one(conn, first.take(), Arc::clone(&receiver))
                .map_err(|source| OpenError::Thread { source: Some(source) })
        };
        let ended = (0..READERS).map(start).collect::<Result<_, _>>()?;
        Ok(Self { questions: Mutex::new(Some(sender)), ended })
    }

    /// Asks a question and waits for the answer.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Transaction<'_>) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (reply, answer) = oneshot::channel();
        let boxed: Question = Box::new(move |conn| {
            let answer = sql::snapshot(conn, question).map_err(fault::read_error);
            // Whoever stopped waiting does not want to know.
            drop(reply.send(answer));
        });
        let sender = self.sender().ok_or(ReadError::Closed)?;
        sender.send(boxed).await.map_err(|_| ReadError::Closed)?;
        drop(sender);
        answer.await.unwrap_or(Err(ReadError::Closed))
    }

    /// Refuses new questions, and returns when the waiting ones are answered and the connections closed.
    pub(crate) async fn close(&self) {
        drop(self.questions.lock().unwrap_or_else(PoisonError::into_inner).take());
        for ended in &self.ended {
            ended.clone().wait().await;
        }
    }

    fn sender(&self) -> Option<mpsc::Sender<Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn start_one(mut conn: Connection, first: Option<Question>, questions: Questions) -> io::Result<Ended> {
    thread::spawn("moorline-read", move || {
        if let Some(first) = first {
            first(&mut conn);
        }
        while let Some(question) = next(&questions) {
            question(&mut conn);
        }
    })
}

fn next(questions: &Questions) -> Option<Question> {
    questions.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}
