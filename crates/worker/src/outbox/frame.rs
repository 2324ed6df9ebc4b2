//! Reports in a file: a 4-byte big-endian length, the first 4 bytes of the content's SHA-256, one protobuf message.
//!
//! A file whose writer was killed may end inside a frame; whoever reads it stops there.

use std::io::{self, Read};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::limits::MAX_WORKER_FRAME_BYTES;
use crate::message::FromWorker;
use crate::proto::{WorkerMessage, worker_message};

/// Bytes before the content of a frame.
const HEAD_BYTES: usize = 8;

/// A file does not hold what was written to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameFault {
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
    #[error("the file ends inside a report, or a report in it is damaged")]
    Damaged,
}

/// The frame of a report.
pub(crate) fn encode(report: FromWorker) -> Vec<u8> {
    let content = WorkerMessage::from(report).encode_to_vec();
    let mut frame = Vec::with_capacity(HEAD_BYTES + content.len());
    // A report has passed its bounds, which are far below what a length can say.
    frame.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&checksum(&content));
    frame.extend_from_slice(&content);
    frame
}

/// The next report, and how many bytes it took; `None` at the end.
pub(crate) fn read(source: &mut impl Read) -> Result<Option<(FromWorker, usize)>, FrameFault> {
    let mut head = [0; HEAD_BYTES];
    match source.read(&mut head[..1]).map_err(FrameFault::Io)? {
        0 => return Ok(None),
        _ => fill(source, &mut head[1..])?,
    }
    let [a, b, c, d, expected @ ..] = head;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_WORKER_FRAME_BYTES {
        return Err(FrameFault::Damaged);
    }
    let mut content = vec![0; length];
    fill(source, &mut content)?;
    if checksum(&content) != expected {
        return Err(FrameFault::Damaged);
    }
    let message = WorkerMessage::decode(content.as_slice()).map_err(|_| FrameFault::Damaged)?;
    match message.body {
        Some(worker_message::Body::Report(report)) => {
            let report = report.try_into().map_err(|_| FrameFault::Damaged)?;
            Ok(Some((report, HEAD_BYTES + length)))
        }
        _ => Err(FrameFault::Damaged),
    }
}

fn fill(source: &mut impl Read, bytes: &mut [u8]) -> Result<(), FrameFault> {
    source.read_exact(bytes).map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof { FrameFault::Damaged } else { FrameFault::Io(error) }
    })
}

fn checksum(content: &[u8]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::digest(content).into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use moorline_types::{EventKind, JobId, Json, Timestamp, WorkerSeq};

    use super::*;
    use crate::message::Report;

    fn report(n: u64) -> FromWorker {
        let report = Report::Event { kind: EventKind::Log, body: Json::of(&serde_json::json!({ "n": n })).unwrap() };
        FromWorker::Report {
            job: JobId::from_bytes([1; 16]),
            seq: WorkerSeq::new(n),
            at: Timestamp::from_unix_millis(n),
            report,
        }
    }

    #[test]
    fn what_is_cut_or_changed_anywhere_is_found_out_and_what_precedes_it_is_read() {
        let (first, second) = (encode(report(1)), encode(report(2)));
        let whole = [first.clone(), second.clone()].concat();
        for length in first.len()..=whole.len() {
            let mut source = &whole[..length];
            assert_eq!(read(&mut source).unwrap().unwrap(), (report(1), first.len()));
            match read(&mut source) {
                Ok(None) => assert_eq!(length, first.len()),
                Ok(Some(read)) => assert_eq!((read, length), ((report(2), second.len()), whole.len())),
                Err(FrameFault::Damaged) => assert!(length > first.len() && length < whole.len()),
                Err(other) => panic!("{other}"),
            }
        }
        for at in 0..first.len() {
            let mut changed = first.clone();
            changed[at] ^= 1;
            assert!(read(&mut changed.as_slice()).is_err(), "byte {at}");
        }
    }
}
