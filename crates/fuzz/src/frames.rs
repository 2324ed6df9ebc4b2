//! Bytes that a peer may send.

use moorline_types::{EventKind, Json};
use moorline_wire::{DecodeError, DecodeLimits, Event, Frame, decode_client, decode_runtime, encode, validate_body};

/// The longest text of an error about a frame: it may repeat a name, never a document.
const MAX_ERROR_BYTES: usize = 1_024;

/// What a client may send. What is read is written back, and read as the same.
pub fn client_frame(bytes: &[u8]) {
    read_back(bytes, |bytes| decode_client(bytes, DecodeLimits::default()), |frame| encode(frame).to_vec());
}

/// What a runtime may send to our client.
pub fn runtime_frame(bytes: &[u8]) {
    read_back(bytes, |bytes| decode_runtime(bytes, DecodeLimits::default()), |frame| encode(frame).to_vec());
}

fn read_back<M: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<Frame<M>, DecodeError>,
    encode: impl Fn(&Frame<M>) -> Vec<u8>,
) {
    match decode(bytes) {
        Ok(frame) => {
            let written = encode(&frame);
            assert_eq!(decode(&written).as_ref(), Ok(&frame), "written as {}", String::from_utf8_lossy(&written));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() <= MAX_ERROR_BYTES, "{text}");
        }
    }
}

/// What an agent may report: a kind, a line's end, and a body. What passes our check is understood by our client.
pub fn event_body(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((kind, body)) = text.split_once('\n') else { return };
    let (Ok(kind), Ok(json)) = (kind.parse::<EventKind>(), Json::parse(body)) else { return };
    if validate_body(&kind, &json).is_ok() {
        Event::parse(kind.as_str(), &json).unwrap();
    }
}
