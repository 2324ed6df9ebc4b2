//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use moorline_types::limits::MAX_EVENT_BODY_BYTES;

/// The longest line that is read whole: the largest event body, and what stands around it. Of a longer line this much
/// is kept.
pub(super) const MAX_LINE_BYTES: usize = MAX_EVENT_BODY_BYTES + 16 * 1024;

/// Bytes read at once: what a pipe holds by default.
const READ_BYTES: usize = 64 * 1024;

/// One line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes, up to the bound.
    pub(super) bytes: Vec<u8>,
    /// How many bytes were left out.
    pub(super) cut: u64,
}

/// Reads lines. Never holds more than one line and one read.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    read: Vec<u8>,
    /// Where the part of `read` begins that is not in a line yet.
    at: usize,
    line: Line,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) const fn new(source: R) -> Self {
        let line = Line { bytes: Vec::new(), cut: 0 };
        Self { source, read: Vec::new(), at: 0, line, ended: false }
    }

    /// The next line; at the end, what follows the last line end, if anything. May be cancelled without loss.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let rest = &self.read[self.at..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                self.line.take_in(&rest[..end]);
                self.at += end + 1;
                return Ok(Some(self.line.take()));
            }
            self.line.take_in(rest);
            self.read.clear();
            self.at = 0;
            if self.ended {
                return Ok(Some(self.line.take()).filter(|line| !line.bytes.is_empty()));
            }
            self.read.reserve(READ_BYTES);
            self.ended = (&mut self.source).take(READ_BYTES as u64).read_buf(&mut self.read).await? == 0;
        }
    }

    /// What was read of a line that has not ended: for a source that will say no more.
    pub(super) fn rest(&mut self) -> Option<Line> {
        Some(self.line.take()).filter(|line| !line.bytes.is_empty())
    }
}

impl Line {
    fn take_in(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.bytes.len();
        let (kept, cut) = bytes.split_at(bytes.len().min(room));
        self.bytes.extend_from_slice(kept);
        self.cut += cut.len() as u64;
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self { bytes: Vec::new(), cut: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(source: &[u8]) -> Vec<(String, u64)> {
        let mut lines = Lines::new(source);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push((String::from_utf8_lossy(&line.bytes).into_owned(), line.cut));
        }
        all
    }

    fn whole(texts: &[&str]) -> Vec<(String, u64)> {
        texts.iter().map(|text| ((*text).to_owned(), 0)).collect()
    }

    #[tokio::test]
    async fn lines_end_at_line_ends_and_at_the_end() {
        for (source, expected) in
            [("", &[][..]), ("a", &["a"]), ("a\n", &["a"]), ("a\nb", &["a", "b"]), ("\n\na\n", &["", "", "a"])]
        {
            assert_eq!(lines(source.as_bytes()).await, whole(expected), "{source:?}");
        }
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let long = [vec![b'x'; MAX_LINE_BYTES + 5], b"\nnext\n".to_vec()].concat();
        let lines = lines(&long).await;
        assert_eq!((lines[0].0.len(), lines[0].1), (MAX_LINE_BYTES, 5));
        assert_eq!(lines[1..], whole(&["next"]));
    }
}
