use proptest::prelude::*;

use super::*;

fn pattern(capability: &Capability, text: &str) -> Pattern {
    Pattern::new(capability, text).unwrap()
}

fn matches(capability: &Capability, text: &str, target: &str) -> bool {
    pattern(capability, text).matches(&Target::new(capability, target).unwrap())
}

#[test]
fn what_is_no_pattern_is_refused_and_the_message_says_what_to_write() {
    use Capability::{FsRead, NetFetch, ToolCall};
    for (capability, text, expected) in [
        (FsRead, String::new(), "1 to 1024 bytes"),
        (FsRead, format!("/{}", "x".repeat(1024)), "1 to 1024 bytes"),
        (FsRead, format!("/{}", "*x".repeat(33)), "at most 32 wildcards"),
        (FsRead, "/a\n".to_owned(), "control characters"),
        (FsRead, "/a/b**".to_owned(), "whole segment"),
        (FsRead, "/a/***".to_owned(), "whole segment"),
        (FsRead, "a/b".to_owned(), "begin with / or be **"),
        (FsRead, "*".to_owned(), "begin with / or be **"),
        (FsRead, "/a/../b".to_owned(), "`..` segments"),
        (FsRead, "/a/./b".to_owned(), "`.` or"),
        (FsRead, "/a//b".to_owned(), "empty"),
        (FsRead, "/a/".to_owned(), "a slash at its end"),
        (ToolCall, "/a".to_owned(), "empty"),
        (ToolCall, "a/../b".to_owned(), "`..` segments"),
        (NetFetch, "/a".to_owned(), "http:// or https://"),
        (NetFetch, "*".to_owned(), "http:// or https://"),
        (NetFetch, "ftp://example.com/**".to_owned(), "http:// or https://"),
        (NetFetch, "https://**".to_owned(), "behind the host"),
        (NetFetch, "https:///**".to_owned(), "and a host"),
        (NetFetch, "https://me@example.com/**".to_owned(), "http:// or https://"),
        (NetFetch, "https://example.com".to_owned(), "\"https://example.com/\""),
        (NetFetch, "https://*.example.com".to_owned(), "\"https://*.example.com/\""),
        (NetFetch, "https://Example.com/".to_owned(), "\"https://example.com/\""),
        (NetFetch, "https://example.com:443/".to_owned(), "\"https://example.com/\""),
        (NetFetch, "https://example.com/a/../b".to_owned(), "\"https://example.com/b\""),
        (NetFetch, "https://example.com/a/../b/*".to_owned(), "`..` segments"),
        (NetFetch, "https://example.com/%61".to_owned(), "\"https://example.com/a\""),
        (NetFetch, "https://example.com/a#b".to_owned(), "\"https://example.com/a\""),
    ] {
        let error = Pattern::new(&capability, &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:.60?} gives {error}");
    }
}

#[test]
fn a_pattern_matches_whole_targets() {
    use Capability::{FsRead, ModelUse, NetFetch, ToolCall};
    for (capability, pattern, target, expected) in [
        (FsRead, "/", "/", true),
        (FsRead, "/", "/a", false),
        (FsRead, "/**", "/", true),
        (FsRead, "/**", "/a/b", true),
        (FsRead, "**", "/a/b", true),
        (FsRead, "/ws/**", "/ws", true),
        (FsRead, "/ws/**", "/ws/", true),
        (FsRead, "/ws/**", "/ws/a/b", true),
        (FsRead, "/ws/**", "/wsx", false),
        (FsRead, "/ws/**", "/ws/../etc", false),
        (FsRead, "/ws/*", "/ws/a", true),
        (FsRead, "/ws/*", "/ws/a/b", false),
        (FsRead, "/ws/*", "/ws", false),
        (FsRead, "/ws/*.rs", "/ws/.rs", true),
        (FsRead, "/ws/a*b*c", "/ws/abbbc", true),
        (FsRead, "/ws/a*b*c", "/ws/ab/c", false),
        (FsRead, "/ws/**/x", "/ws/x", true),
        (FsRead, "/ws/**/x", "/ws/a/b/x", true),
        (FsRead, "/ws/**/x", "/ws/ax", false),
        (FsRead, "/ws/**/**/x", "/ws/x", true),
        (FsRead, "/ws/**/a/**/x", "/ws/b/a/x", true),
        (FsRead, "/ws/**/a/**/x", "/ws/b/x", false),
        (FsRead, "**/x", "/x", true),
        (FsRead, "**/x", "/a/b/x", true),
        (FsRead, "**/x", "/a/bx", false),
        (FsRead, "**/**/x", "/a/x", true),
        (FsRead, "/a?", "/ab", false),
        (FsRead, "/a[b]", "/a[b]", true),
        (FsRead, "/A", "/a", false),
        (ToolCall, "*", "grep", true),
        (ToolCall, "*", "git/log", false),
        (ToolCall, "git-*", "git-log", true),
        (ToolCall, "git-*", "git", false),
        (ModelUse, "tier-fast/*", "tier-fast/small", true),
        (ModelUse, "tier-fast/*", "tier-slow/small", false),
        (ModelUse, "anthropic/claude-3-haiku-*", "anthropic/claude-3-haiku-20240307", true),
        (NetFetch, "**", "https://example.com/a?b", true),
        (NetFetch, "https://example.com/", "https://example.com", true),
        (NetFetch, "https://example.com/**", "https://example.com/a/b?c=/d", true),
        (NetFetch, "https://example.com/**", "http://example.com/a", false),
        (NetFetch, "https://example.com/**", "https://example.com.evil.test/", false),
        (NetFetch, "https://example.com/**", "https://evil.test/?https://example.com/", false),
        (NetFetch, "https://example.com/**", "https://EXAMPLE.com:443/a", true),
        (NetFetch, "https://*.example.com/**", "https://api.example.com/", true),
        (NetFetch, "https://*.example.com/**", "https://evil.test/.example.com/", false),
        (NetFetch, "https://*.example.com/**", "https://evil.test?.example.com/", false),
        (NetFetch, "https://localhost:*/**", "https://localhost:8443/a", true),
        (NetFetch, "https://localhost:*/**", "https://localhost/a", false),
        (NetFetch, "https://example.com/api/**", "https://example.com/api/../admin", false),
        (NetFetch, "https://example.com/api/**", "https://example.com/api/%2e%2e/admin", false),
        (NetFetch, "https://example.com/api/**", "https://example.com/api/..%2Fadmin", false),
        (NetFetch, "https://example.com/api/*", "https://example.com/api/group%2Fproject", false),
        (NetFetch, "https://example.com/api/**", "https://example.com/api/group%2Fproject", true),
        (NetFetch, "https://example.com/a*/secret", "https://example.com/ax/secret", true),
        (NetFetch, "https://example.com/a*/secret", "https://example.com/a?/secret", false),
        (NetFetch, "https://example.com/a", "https://example.com/a?anything", true),
        (NetFetch, "https://example.com/a?page=*", "https://example.com/a?page=3", true),
        (NetFetch, "https://example.com/a?page=*", "https://example.com/a", false),
        (NetFetch, "https://example.com/a?page=*", "https://example.com/a?size=3", false),
    ] {
        assert_eq!(matches(&capability, pattern, target), expected, "{pattern} and {target}");
    }
}

#[test]
fn a_pattern_says_nothing_of_another_capability() {
    let target = Target::new(&Capability::FsWrite, "/a").unwrap();
    assert!(!pattern(&Capability::FsRead, "/a").matches(&target));
    assert!(!pattern(&Capability::FsRead, "**").includes(&pattern(&Capability::FsWrite, "/a"), &mut Effort::default()));
}

#[test]
fn one_pattern_includes_another_if_it_matches_everything_that_the_other_does() {
    use Capability::{FsRead, NetFetch, ToolCall};
    for (capability, wide, narrow, expected) in [
        (FsRead, "/a/**", "/a/*", true),
        (FsRead, "/a/*", "/a/**", false),
        (FsRead, "/a/**", "/a", true),
        (FsRead, "/a/*", "/a/b*c", true),
        (FsRead, "/a/b*", "/a/*", false),
        (FsRead, "/**", "/a/**/b", true),
        (FsRead, "**", "/**", true),
        (FsRead, "/a/**", "/ab/**", false),
        (FsRead, "/a/**/x", "/a/b/**/x", true),
        (FsRead, "/a/**/x", "/a/b/**", false),
        (FsRead, "/*/**", "/a/**", true),
        (FsRead, "/a*a", "/aa", true),
        (FsRead, "/a*a", "/a", false),
        (ToolCall, "*", "git-*", true),
        (ToolCall, "git-*", "*", false),
        (NetFetch, "https://h/a", "https://h/a?b", true),
        (NetFetch, "https://h/a?b", "https://h/a", false),
        (NetFetch, "https://h/**", "https://h/a/**", true),
        (NetFetch, "https://*.h/**", "https://a.h/**", true),
        (NetFetch, "https://a.h/**", "https://*.h/**", false),
    ] {
        let (wide, narrow) = (pattern(&capability, wide), pattern(&capability, narrow));
        assert_eq!(wide.includes(&narrow, &mut Effort::default()), expected, "{wide} includes {narrow}");
    }
}

#[test]
fn comparing_what_is_made_to_cost_much_ends_with_no() {
    let wide = pattern(&Capability::FsRead, &format!("/{}", "*ab".repeat(31)));
    let narrow = pattern(&Capability::FsRead, &format!("/{}", "*abb".repeat(31)));
    let mut effort = Effort(100);
    assert!(!wide.includes(&narrow, &mut effort));
    // What is spent stays spent, so a long list of such patterns costs no more than one.
    let other = pattern(&Capability::FsRead, &format!("/{}", "ab".repeat(31)));
    assert!(!wide.includes(&other, &mut effort));
    assert!(wide.includes(&other, &mut Effort::default()));
    assert!(wide.includes(&wide.clone(), &mut effort), "what is written alike costs nothing");
}

/// The language by its definition: segments are compared one by one, and every choice is tried.
fn model_matches(pattern: &[&str], target: &[&str]) -> bool {
    match pattern.split_first() {
        None => target.is_empty(),
        Some((&"**", rest)) => (0..=target.len()).any(|skip| model_matches(rest, &target[skip..])),
        Some((first, rest)) => {
            target.split_first().is_some_and(|(segment, target)| run(first, segment) && model_matches(rest, target))
        }
    }
}

fn run(pattern: &str, text: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(rest) => (0..=text.len()).any(|skip| run(rest, &text[skip..])),
        None => match (pattern.chars().next(), text.chars().next()) {
            (None, None) => true,
            (Some(a), Some(b)) => a == b && run(&pattern[1..], &text[1..]),
            _ => false,
        },
    }
}

fn model(pattern: &str, target: &str) -> bool {
    model_matches(&pattern.split('/').collect::<Vec<_>>(), &target.split('/').collect::<Vec<_>>())
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[ab*]{1,3}".prop_filter("a segment of its own", |text| !text.contains("**")), 1 => Just("**".to_owned())]
}

fn some_pattern() -> impl Strategy<Value = String> {
    prop::collection::vec(segment(), 1..4).prop_map(|segments| segments.join("/"))
}

fn some_target() -> impl Strategy<Value = String> {
    prop::collection::vec("[abc]{1,3}", 1..5).prop_map(|segments| segments.join("/"))
}

/// Every target of up to three segments of up to two letters, one of them in no pattern.
fn small_targets() -> Vec<String> {
    let letters = ["a", "b", "c"];
    let mut segments: Vec<String> = letters.iter().map(|&letter| letter.to_owned()).collect();
    segments.extend(letters.iter().flat_map(|one| letters.iter().map(move |two| format!("{one}{two}"))));
    let two = segments.iter().flat_map(|one| segments.iter().map(move |two| format!("{one}/{two}")));
    let short = ["a", "b", "c"];
    let three = short.iter().flat_map(|one| short.iter().map(move |two| format!("{one}/{two}")));
    let three = three.flat_map(|start| short.iter().map(move |last| format!("{start}/{last}")));
    segments.iter().cloned().chain(two).chain(three).collect()
}

proptest! {
    #[test]
    fn a_pattern_matches_what_its_definition_says(text in some_pattern(), target in some_target()) {
        prop_assert_eq!(matches(&Capability::ToolCall, &text, &target), model(&text, &target));
    }

    #[test]
    fn inclusion_is_sound(wide in some_pattern(), narrow in some_pattern(), targets in prop::collection::vec(some_target(), 20)) {
        let capability = Capability::ToolCall;
        let included = pattern(&capability, &wide).includes(&pattern(&capability, &narrow), &mut Effort::default());
        for target in targets.iter().map(String::as_str).chain(small_targets().iter().map(String::as_str)) {
            prop_assert!(!included || !model(&narrow, target) || model(&wide, target), "{} is not in {}: {}", narrow, wide, target);
        }
    }

    /// Over so small an alphabet a difference shows in a short target, if there is one.
    #[test]
    fn inclusion_is_exact_where_it_can_be_seen(
        wide in "[a*]{1,2}(/[a*]{1,2})?".prop_filter("segments", |text| !text.contains("**")),
        narrow in "[a*]{1,2}(/[a*]{1,2})?".prop_filter("segments", |text| !text.contains("**")),
    ) {
        let capability = Capability::ToolCall;
        let included = pattern(&capability, &wide).includes(&pattern(&capability, &narrow), &mut Effort::default());
        let counterexample = small_targets().into_iter().find(|target| model(&narrow, target) && !model(&wide, target));
        prop_assert_eq!(included, counterexample.is_none(), "{} in {}: {:?}", narrow, wide, counterexample);
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(text in ".{0,40}", target in ".{0,40}") {
        for capability in [Capability::FsRead, Capability::NetFetch, Capability::ToolCall] {
            let pattern = Pattern::new(&capability, &text);
            if let (Ok(pattern), Ok(target)) = (pattern, Target::new(&capability, &target)) {
                pattern.matches(&target);
                prop_assert!(pattern.includes(&pattern, &mut Effort::default()));
            }
        }
    }

    /// A pattern without wildcards is the target that it looks like, and no pattern includes what it does not match.
    #[test]
    fn a_url_without_wildcards_matches_itself_only(
        path in "(/[a-c%2eEfF.]{0,4}){1,3}", wide in "https://h(/[a-c*]{1,2}){0,2}/\\*\\*",
    ) {
        let capability = Capability::NetFetch;
        let url = format!("https://h{path}");
        if let (Ok(narrow), Ok(wide), Ok(target)) =
            (Pattern::new(&capability, &url), Pattern::new(&capability, &wide), Target::new(&capability, &url))
        {
            prop_assert!(target.as_str() == url);
            if wide.includes(&narrow, &mut Effort::default()) && target.forms().count() == 1 {
                prop_assert!(wide.matches(&target));
            }
        }
    }
}
