//! What is checked in is what the proto file says.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

const PROTO: &str = "moorline/gateway/v1/gateway.proto";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn descriptors() -> FileDescriptorSet {
    protox::compile([PROTO], [root().join("proto")]).unwrap()
}

/// Compares, or writes if that is asked for.
fn golden(path: &Path, made: &[u8]) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, made).unwrap();
    }
    let checked_in = std::fs::read(path).unwrap_or_default();
    let name = path.display();
    assert!(checked_in == made, "{name} is not what the proto file says: run this test with UPDATE_GOLDEN=1");
}

#[test]
fn the_code_and_the_descriptors_are_those_of_the_proto_file() {
    let descriptors = descriptors();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure().out_dir(out.path()).compile_fds(descriptors.clone()).unwrap();
    let code = std::fs::read(out.path().join("moorline.gateway.v1.rs")).unwrap();
    golden(&root().join("src/generated/moorline.gateway.v1.rs"), &code);
    golden(&root().join("src/generated/descriptors.bin"), &without_comments(descriptors).encode_to_vec());
}

#[test]
fn every_change_of_the_api_is_seen() {
    let set = descriptors();
    let file = set.file.iter().find(|file| file.name() == PROTO).unwrap();
    golden(&root().join("api.txt"), api(file).as_bytes());
}

#[test]
fn the_descriptors_that_are_served_name_every_method() {
    let set = FileDescriptorSet::decode(moorline_gateway_proto::v1::DESCRIPTORS).unwrap();
    let methods: Vec<_> = set.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method).collect();
    let names: Vec<_> = methods.iter().map(|method| method.name()).collect();
    let expected = [
        "OpenSession",
        "GetSession",
        "ListSessions",
        "Invoke",
        "StreamEvents",
        "CloseSession",
        "KillWorker",
        "StreamAlarms",
        "AcknowledgeAlarm",
    ];
    assert_eq!(names, expected);
}

/// Comments are most of a descriptor, and nobody reads them by reflection.
fn without_comments(mut set: FileDescriptorSet) -> FileDescriptorSet {
    set.file.iter_mut().for_each(|file| file.source_code_info = None);
    set
}

/// The API as text, a line for each thing that must not change.
fn api(file: &FileDescriptorProto) -> String {
    let mut text = format!("package {}\n", file.package());
    for service in &file.service {
        for method in &service.method {
            let streams = if method.server_streaming() { "stream " } else { "" };
            let (input, output) = (short(method.input_type()), short(method.output_type()));
            writeln!(text, "rpc {}.{}({input}) returns ({streams}{output})", service.name(), method.name()).unwrap();
        }
    }
    for one in &file.enum_type {
        for value in &one.value {
            writeln!(text, "enum {} {} = {}", one.name(), value.name(), value.number()).unwrap();
        }
    }
    for message in &file.message_type {
        if message.field.is_empty() {
            writeln!(text, "message {}", message.name()).unwrap();
        }
        for field in &message.field {
            writeln!(text, "message {} {}", message.name(), line(message, field)).unwrap();
        }
    }
    text
}

fn line(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    let is_named = matches!(field.r#type(), Type::Message | Type::Enum);
    let of = match is_named {
        true => short(field.type_name()).to_owned(),
        false => field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let one_of = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    let one_of = one_of.map(|one| format!(" in {}", one.name())).unwrap_or_default();
    format!("{repeated}{of} {} = {}{one_of}", field.name(), field.number())
}

fn short(name: &str) -> &str {
    name.trim_start_matches('.').trim_start_matches("moorline.gateway.v1.")
}
