//! Every field of every valid payload, replaced by everything it must not be.
//!
//! Whatever stands in a field, decoding either names the field (or something that contains it) or succeeds because the
//! field is read leniently. A field that a client gets wrong is never read as something else.

use moorline_wire::{DecodeErrorKind, DecodeLimits, decode_client, decode_runtime, encode};
use serde_json::{Value, json};

use crate::samples;

/// What each field is replaced by; `None` removes it.
fn replacements() -> Vec<Option<Value>> {
    vec![
        None,
        Some(Value::Null),
        Some(json!(true)),
        Some(json!(-1)),
        Some(json!(2.5)),
        Some(json!(u64::MAX)),
        Some(json!("")),
        Some(json!("\u{1}")),
        Some(json!("x".repeat(100_000))),
        Some(json!([])),
        Some(json!([[], {}, null])),
        Some(json!({})),
        Some(json!({"a": {"b": null}})),
    ]
}

/// The paths of all fields below the top, as keys and indices.
fn paths(value: &Value, here: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (key, child) in children {
        here.push(key);
        all.push(here.clone());
        paths(child, here, all);
        here.pop();
    }
}

fn replaced(frame: &Value, path: &[String], by: Option<Value>) -> Value {
    let mut frame = frame.clone();
    let (last, parents) = path.split_last().unwrap();
    let mut place = &mut frame;
    for key in parents {
        place = if place.is_array() { &mut place[key.parse::<usize>().unwrap()] } else { &mut place[key.as_str()] };
    }
    match (place, by) {
        (Value::Object(fields), None) => drop(fields.remove(last)),
        (Value::Object(fields), Some(value)) => drop(fields.insert(last.clone(), value)),
        (Value::Array(items), None) => drop(items.remove(last.parse().unwrap())),
        (Value::Array(items), Some(value)) => items[last.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{other} has no fields"),
    }
    frame
}

/// Whether an error at `named` is about the field at `path`: the field, what is in it, or what it is in.
fn is_about(named: &str, path: &[String]) -> bool {
    let named = named.replace('[', ".").replace(']', "");
    let path = path.join(".");
    path.starts_with(&named) || named.starts_with(&path)
}

fn check_every_replacement(sample: &[u8], decode: impl Fn(&[u8]) -> Result<(), DecodeErrorKind>) -> (usize, usize) {
    let frame: Value = serde_json::from_slice(sample).unwrap();
    let mut all = Vec::new();
    paths(&frame, &mut Vec::new(), &mut all);
    let (mut refused, mut accepted) = (0, 0);
    for path in all {
        for replacement in replacements() {
            let mutant = replaced(&frame, &path, replacement.clone());
            match decode(mutant.to_string().as_bytes()) {
                Ok(()) => accepted += 1,
                Err(DecodeErrorKind::Field { path: named, .. }) => {
                    assert!(is_about(&named, &path), "{path:?} replaced by {replacement:.40?} blames {named}");
                    refused += 1;
                }
                Err(DecodeErrorKind::WrongVersion { .. }) => assert_eq!(path, ["arcp"]),
                Err(DecodeErrorKind::UnknownType { .. }) => assert_eq!(path, ["type"]),
                Err(other) => panic!("{path:?} replaced by {replacement:.40?} gives {other}"),
            }
        }
    }
    (refused, accepted)
}

#[test]
fn a_client_that_gets_any_field_wrong_is_told_which() {
    for frame in samples::client_frames() {
        let decode = |bytes: &[u8]| decode_client(bytes, DecodeLimits::default()).map(drop).map_err(|error| error.kind);
        let (refused, _) = check_every_replacement(&encode(&frame), decode);
        assert!(refused > 0, "{:?}", frame.message.message_type());
    }
}

#[test]
fn a_runtime_that_gets_any_field_wrong_is_either_understood_or_told_which() {
    for frame in samples::runtime_frames() {
        let decode =
            |bytes: &[u8]| decode_runtime(bytes, DecodeLimits::default()).map(drop).map_err(|error| error.kind);
        let (_, accepted) = check_every_replacement(&encode(&frame), decode);
        assert!(accepted > 0, "{:?}", frame.message.message_type());
    }
}

#[test]
fn what_a_client_may_leave_out_may_be_null() {
    for frame in samples::client_frames() {
        let value: Value = serde_json::from_slice(&encode(&frame)).unwrap();
        let mut all = Vec::new();
        paths(&value["payload"], &mut vec!["payload".to_owned()], &mut all);
        for path in all.iter().filter(|path| path.iter().all(|key| key.parse::<usize>().is_err())) {
            let decode = |by| {
                let mutant = replaced(&value, path, by);
                decode_client(mutant.to_string().as_bytes(), DecodeLimits::default()).map(|frame| frame.message)
            };
            // A namespace that is asked for without patterns is a mistake; `null` is not "no patterns".
            let opaque =
                path.contains(&"lease_request".to_owned()) && path.len() > 2 || path.contains(&"input".to_owned());
            if let (Ok(absent), false) = (decode(None), opaque) {
                assert_eq!(decode(Some(Value::Null)).as_ref(), Ok(&absent), "{path:?}");
            }
        }
    }
}
