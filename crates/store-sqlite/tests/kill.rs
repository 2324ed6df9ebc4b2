//! A process that is killed while it appends: everything that it was told is there.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use common::{Place, options};
use moorline_store::Store;
use moorline_store::conformance::{job, read_all, record, session};
use moorline_store_sqlite::SqliteStore;
use moorline_types::Offset;

mod common;

/// Set in the process that is to be killed: the store that it opens.
const STORE: &str = "MOORLINE_TEST_STORE";

/// Begins each line that the process writes for an acknowledged batch; the test harness writes lines of its own.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Not a test by itself: the part of the next one that runs in a process of its own.
#[tokio::test]
async fn appends_until_it_is_killed() {
    let Ok(path) = std::env::var(STORE) else { return };
    let store = SqliteStore::open(options(path, 1)).await.unwrap();
    let mut output = std::io::stdout();
    for seq in store.stream_head(job(1)).await.unwrap().next().get().. {
        store.append(vec![record(job(1), seq), record(session(1), seq)].into()).await.unwrap();
        writeln!(output, "{ACKNOWLEDGED}{seq}").unwrap();
        output.flush().unwrap();
    }
}

fn start(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["appends_until_it_is_killed", "--exact", "--nocapture"])
        .env(STORE, place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn acknowledged(line: &str) -> Option<u64> {
    line.split_once(ACKNOWLEDGED)?.1.parse().ok()
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let mut epochs = Vec::new();
    for round in 1..=4 {
        let mut child = start(&place);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = 0;
        for _ in 0..round * 40 {
            let line = lines.find_map(|line| acknowledged(&line.unwrap()));
            last = line.expect("the process goes on until it is killed");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it wrote between the last line that was read and its death counts too.
        last = lines.filter_map(|line| acknowledged(&line.ok()?)).last().unwrap_or(last);

        let store = place.open().await;
        epochs.push(store.epoch());
        let read = read_all(&*store, &[job(1), session(1)]).await;
        assert!(read.len() as u64 >= 2 * last, "{last} batches were acknowledged, {} records are there", read.len());
        assert_eq!(read.len() % 2, 0, "a batch is whole");
        assert!(read.iter().zip(1..).all(|(record, offset)| record.offset() == Offset::new(offset)));
        assert_eq!(store.stream_head(job(1)).await.unwrap(), store.stream_head(session(1)).await.unwrap());
        store.close().await;
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "the lineage is the same");
}
