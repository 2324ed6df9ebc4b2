//! `proto/worker.proto` and the Rust declarations describe the same messages.
//!
//! Both are read as text, because both are declarations: what prost makes of the attributes is prost's own affair.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

/// (label, type, name, number)
type Field = (String, String, String, u32);
type Messages = BTreeMap<String, BTreeSet<Field>>;

fn field(label: &str, kind: &str, name: &str, number: &str) -> Field {
    (label.to_owned(), kind.to_owned(), name.to_owned(), number.parse().unwrap())
}

fn from_proto(text: &str) -> Messages {
    let mut messages = Messages::new();
    let mut message = String::new();
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.trim_end_matches(['}', ';', '{']).split_whitespace().collect();
        match words.as_slice() {
            ["//", ..] | ["syntax" | "package" | "oneof", ..] | [] => {}
            ["message", name] => {
                message = (*name).to_owned();
                messages.insert(message.clone(), BTreeSet::new());
            }
            [label, kind, name, "=", number] => {
                messages.get_mut(&message).unwrap().insert(field(label, kind, name, number));
            }
            [kind, name, "=", number] => {
                messages.get_mut(&message).unwrap().insert(field("", kind, name, number));
            }
            other => panic!("not understood: {other:?}"),
        }
    }
    messages
}

fn from_rust(text: &str) -> Messages {
    let mut messages = Messages::new();
    let (mut message, mut attribute) = (String::new(), "");
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            message = rest.split(' ').next().unwrap().to_owned();
            messages.insert(message.clone(), BTreeSet::new());
        } else if let Some(rest) = line.strip_prefix("pub mod ") {
            message = camel(rest.trim_end_matches(" {"));
        } else if line.starts_with("#[prost(") {
            attribute = line;
        } else if !attribute.is_empty() && !line.starts_with("///") {
            if !attribute.contains("oneof") {
                messages.get_mut(&message).unwrap().insert(rust_field(attribute, line));
            }
            attribute = "";
        }
    }
    messages
}

fn rust_field(attribute: &str, line: &str) -> Field {
    let number = attribute.split('"').rev().nth(1).unwrap();
    let label = ["repeated", "optional"].into_iter().find(|label| attribute.contains(label)).unwrap_or("");
    let scalar = attribute.trim_start_matches("#[prost(").split([',', ')', ' ']).next().unwrap();
    let (name, kind) = match line.strip_prefix("pub ") {
        Some(line) => line.split_once(": ").unwrap(),
        None => line.split_once("(super::").unwrap(),
    };
    let inner = kind.trim_end_matches([',', '>', ')']).rsplit('<').next().unwrap();
    field(label, if scalar == "message" { inner } else { scalar }, &snake(name), number)
}

fn camel(snake: &str) -> String {
    let word = |word: &str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    snake.split('_').map(word).collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, character) in name.chars().enumerate() {
        if character.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

#[test]
fn the_proto_file_and_the_declarations_are_alike() {
    let proto = from_proto(include_str!("../proto/worker.proto"));
    let mut rust = Messages::new();
    for source in [
        include_str!("../src/proto.rs"),
        include_str!("../src/proto/worker.rs"),
        include_str!("../src/proto/gateway.rs"),
    ] {
        rust.extend(from_rust(source));
    }
    assert_eq!(rust.len(), 29, "a declaration was overlooked: {:?}", rust.keys());
    assert_eq!(rust, proto);
}
