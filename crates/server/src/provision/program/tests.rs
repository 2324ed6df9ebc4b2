//! Real programs, well-behaved and not.

use std::fs;

use moorline_core::credential::Constraints;
use moorline_core::lease::budget::Budget;
use moorline_types::{JobId, PrincipalId};
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000);

/// It is written by a process of its own: a file that this one has open for writing is so too in every child that another
/// test starts at that moment, until that is another program, and nobody can execute it until then.
fn program(script: &str) -> (TempDir, Program) {
    let home = tempfile::tempdir().unwrap();
    let script = format!("#!/bin/sh\ncd '{}' || exit 1\n{script}\n", home.path().display());
    let write = ["-c", "printf '%s' \"$1\" > issue && chmod 700 issue", "sh", &script];
    let written = std::process::Command::new("sh").args(write).current_dir(home.path()).status().unwrap();
    assert!(written.success(), "{written}");
    let path = home.path().join("issue");
    (home, Program::new(path))
}

fn constraints() -> Constraints {
    let lease = Json::parse(r#"{"model.use":["tier-fast/*"],"cost.budget":["USD:2.50"]}"#).unwrap();
    Constraints::of(&lease, None, NOW).unwrap()
}

async fn issue(program: &Program, replaces: Option<&Value>) -> Result<Issued, NotIssued> {
    let (issue, job) = (CredentialId::mint(NOW, [1; 10]), JobId::mint(NOW, [2; 10]));
    let principal: PrincipalId = "ada".parse().unwrap();
    program.issue(Order { issue, job, principal: &principal, constraints: &constraints(), replaces }).await
}

#[tokio::test]
async fn a_program_is_told_everything_and_its_answer_is_the_credential() {
    let (home, program) = program(
        r#"cat > asked
echo '{"result":"issued","value":"sk-1","endpoint":"https://models.example.com/v1","profile":"openai"}'"#,
    );
    let issued = issue(&program, Some(&Value::new("sk-0"))).await.unwrap();
    assert_eq!((issued.value.expose(), issued.endpoint.as_str()), ("sk-1", "https://models.example.com/v1"));
    assert_eq!((issued.profile.as_deref(), issued.good_until), (Some("openai"), NOW));
    assert_eq!(issued.constraints, constraints().to_json(), "what it was asked to enforce, unless it says otherwise");
    let asked: AnyJson = serde_json::from_slice(&fs::read(home.path().join("asked")).unwrap()).unwrap();
    let expected = json!({
        "version": 1, "request": "issue", "principal": "ada", "replaces": "sk-0",
        "name": CredentialId::mint(NOW, [1; 10]).to_string(), "job_id": JobId::mint(NOW, [2; 10]).to_string(),
        "constraints": { "model.use": ["tier-fast/*"], "cost.budget": ["USD:2.5"], "expires_at": NOW.to_string() },
    });
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_program_that_says_until_when_is_believed_if_that_is_sooner() {
    for (said, good_until) in [("1970-01-01T00:00:01Z", 1_000), ("1990-01-01T00:00:00Z", 1_000_000)] {
        let answer = format!(
            r#"echo '{{"result":"issued","value":"v","endpoint":"e","expires_at":"{said}","constraints":{{"a":1}}}}'"#
        );
        let (_home, program) = program(&answer);
        let issued = issue(&program, None).await.unwrap();
        assert_eq!(issued.good_until, Timestamp::from_unix_millis(good_until));
        assert_eq!(issued.constraints.get(), r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_that_repeats_nothing_of_it() {
    for (script, expected) in [
        (r#"echo '{"result":"refused","reason":"no such model"}'"#, NotIssued::Refused("no such model".into())),
        ("echo secret-1; exit 3", NotIssued::Unavailable("the program ended with exit status: 3".into())),
    ] {
        let (_home, program) = program(script);
        assert_eq!(issue(&program, None).await.unwrap_err(), expected);
    }
    for script in [
        "echo secret-1",
        "true",
        r#"echo '{"result":"ready"}'"#,
        r#"echo '{"result":"issued","value":"","endpoint":"e"}'"#,
        r#"echo '{"result":"issued","value":"secret-1"}'"#,
        r#"printf '{"result":"issued","value":"secret-1\\nX: y","endpoint":"e"}'"#,
        "yes secret-1 | head -c 100000",
    ] {
        let (_home, program) = program(script);
        let Err(NotIssued::Unavailable(reason)) = issue(&program, None).await else { panic!("{script}") };
        assert!(!reason.contains("secret"), "{script}: {reason}");
    }
    let missing = Program::new("/nowhere/issue".into());
    assert!(matches!(issue(&missing, None).await, Err(NotIssued::Unavailable(_))));
    assert!(matches!(missing.revoke(CredentialId::mint(NOW, [1; 10])).await, Answer::Failed(_)));
}

#[tokio::test]
async fn withdrawing_and_looking_are_answered_in_their_own_words() {
    let name = CredentialId::mint(NOW, [1; 10]);
    for (said, answer, is_ready) in
        [("revoked", Some(Answer::Revoked), false), ("absent", Some(Answer::Absent), false), ("ready", None, true)]
    {
        let (_home, program) = program(&format!(r#"cat >/dev/null; echo '{{"result":"{said}"}}'"#));
        let revoked = program.revoke(name).await;
        assert!(answer.is_none_or(|answer| answer == revoked), "{said}: {revoked:?}");
        assert_eq!(program.check().await.is_ok(), is_ready, "{said}");
    }
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_any_more_is_ended() {
    let (home, program) = program("echo $$ > pid; exec sleep 600");
    tokio::select! {
        _ = program.check() => panic!("it does not answer"),
        () = async {
            while !fs::read_to_string(home.path().join("pid")).is_ok_and(|pid| pid.ends_with('\n')) {
                // not a wait: how often one looks for another process's file
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        } => {}
    }
    let pid = fs::read_to_string(home.path().join("pid")).unwrap();
    let is_there = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "));
    while is_there() {
        // not a wait: how often one looks at another process
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn cap(program: &Program) -> Capped {
    let (issue, budget) = (CredentialId::mint(NOW, [1; 10]), Budget::new(["USD:1.50"]).unwrap());
    program.cap(Cap { issue, value: &Value::new("sk-1"), budget: &budget }).await
}

#[tokio::test]
async fn a_program_that_carries_out_updates_is_told_what_may_be_spent() {
    let (home, program) = program(
        r#"request=$(cat)
case "$request" in
*check*) echo '{"result":"ready","updates":true}' ;;
*) echo "$request" > asked; cat answer ;;
esac"#,
    );
    assert_eq!(cap(&program).await, Capped::Unable, "it has not said that it does");
    assert_eq!(program.check().await, Ok(()));
    for (answer, is_done) in [("updated", true), ("absent", true), ("revoked", false), ("", false)] {
        fs::write(home.path().join("answer"), json!({ "result": answer }).to_string()).unwrap();
        assert_eq!(cap(&program).await == Capped::Done, is_done, "{answer}");
    }
    let asked: AnyJson = serde_json::from_slice(&fs::read(home.path().join("asked")).unwrap()).unwrap();
    let name = CredentialId::mint(NOW, [1; 10]).to_string();
    let constraints = json!({ "cost.budget": ["USD:1.5"] });
    assert_eq!(asked, json!({ "version": 1, "request": "update", "name": name, "constraints": constraints }));
}
