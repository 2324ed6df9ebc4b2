use super::*;
use crate::config::words::{BuiltinAgent, Durability};

fn text(text: &str) -> Raw {
    Raw::Text(text.to_owned())
}

/// Every `refused` is refused; every `accepted` is read and written as TOML like the text beside it.
fn check<K: Kind>(kind: &K, refused: &[Raw], accepted: &[(Raw, &str)]) {
    for raw in refused {
        assert!(kind.read(raw, Path::new("/base")).is_none(), "{raw:?} was accepted as {}", kind.accepts());
    }
    for (raw, expected) in accepted {
        let value = kind.read(raw, Path::new("/base"));
        let literal = value.and_then(|value| kind.literal(&value));
        assert_eq!(literal.as_deref(), Some(*expected), "{raw:?}");
    }
}

#[test]
fn an_address_has_a_port() {
    let refused = [text(""), text("localhost"), text("127.0.0.1"), text("127.0.0.1:99999"), Raw::Number(7707)];
    check(&Address, &refused, &[(text("[::1]:0"), "\"[::1]:0\""), (text("0.0.0.0:1"), "\"0.0.0.0:1\"")]);
}

#[test]
fn a_relative_path_is_relative_to_its_base() {
    let refused = [text(""), text("~/x"), text("~"), text("a\0b"), Raw::Number(1)];
    check(&AnyPath, &refused, &[(text("/x/y"), "\"/x/y\""), (text("x"), "\"/base/x\""), (text("~x"), "\"/base/~x\"")]);
}

#[test]
fn a_switch_is_true_or_false_and_nothing_else() {
    let refused = [text(""), text("yes"), text("1"), Raw::Number(1), Raw::Other("a date")];
    check(&Switch, &refused, &[(text("true"), "true"), (Raw::Switch(false), "false")]);
}

#[test]
fn a_choice_is_one_of_its_words() {
    let refused = [text(""), text("Power"), text("disk"), Raw::Switch(true)];
    check(&Choice::<Durability>::new(), &refused, &[(text("power"), "\"power\"")]);
}

#[test]
fn several_words_come_as_an_array_or_with_commas() {
    let refused = [text(""), text("echo,"), text("echo,nope"), Raw::List(vec!["none".to_owned()]), Raw::Number(1)];
    let accepted = [
        (text("none"), "[]"),
        (text("echo, census"), "[\"census\", \"echo\"]"),
        (Raw::List(vec![]), "[]"),
        (Raw::List(vec!["echo".to_owned()]), "[\"echo\"]"),
    ];
    check(&Choices::<BuiltinAgent>::new(), &refused, &accepted);
}

#[test]
fn a_length_of_time_lies_within_its_bounds() {
    let kind = Length { min: Duration::from_secs(1), max: Duration::from_secs(600) };
    let refused = [text("999ms"), text("601s"), text("30"), Raw::Number(30)];
    check(&kind, &refused, &[(text("1s"), "\"1s\""), (text("10m"), "\"10m\""), (text("90s"), "\"1m30s\"")]);
}

#[test]
fn a_size_lies_within_its_bounds() {
    let kind = Size { min: 1024, max: 4096 };
    let refused = [text("1023"), text("5 KiB"), Raw::Number(-1), Raw::Number(0), Raw::Switch(true)];
    check(
        &kind,
        &refused,
        &[(text("1KiB"), "\"1 KiB\""), (Raw::Number(4096), "\"4 KiB\""), (text("1025"), "\"1025 B\"")],
    );
}

#[test]
fn a_count_lies_within_its_bounds() {
    let refused = [text("0"), text("-1"), text("11"), text("1.0"), text(""), Raw::Number(0), Raw::Number(i64::MIN)];
    check(&Count { max: 10 }, &refused, &[(text("10"), "10"), (Raw::Number(1), "1")]);
}

#[test]
fn a_filter_is_checked_when_it_is_read() {
    let refused = [text(""), text("moorline=loud"), text("info,="), Raw::Number(3)];
    check(&Filter, &refused, &[(text("info,moorline_server=debug"), "\"info,moorline_server=debug\"")]);
}

#[test]
fn what_need_not_be_set_is_unset_when_absent() {
    let kind = Maybe(Count { max: 10 });
    assert_eq!(kind.absent().and_then(|value| kind.literal(&value)), None);
    check(&kind, &[text("0")], &[(text("7"), "7")]);
}
