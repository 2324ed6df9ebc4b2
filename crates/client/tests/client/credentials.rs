//! What the client keeps of a job's credentials (spec 9.8.2): what it hands to its program, for as long as the job lasts.

use moorline_client::{JobHandle, JobUpdate};
use serde_json::{Value, json};

use crate::peer::{connected, echo, update};

const FIRST: &str = "sk-virt-4d19";
const SECOND: &str = "sk-virt-88e2";

fn credential(value: &str) -> Value {
    json!({ "id": "cred_1", "scheme": "bearer", "value": value, "endpoint": "https://models.example.com/v1" })
}

fn values(job: &JobHandle) -> Vec<&str> {
    let credentials = job.accepted().unwrap().credentials.iter().flatten();
    credentials.map(|credential| credential.value.expose()).collect()
}

#[tokio::test]
async fn a_value_is_handed_to_the_program_shown_to_nobody_and_forgotten_with_the_job() {
    let (client, mut peer) = connected().await;
    let serve = async {
        let submit = peer.expect("job.submit").await;
        let accepted = json!({ "job_id": "job_1", "request_id": submit["id"], "agent": "echo@1", "lease": {},
            "accepted_at": "2026-05-13T19:42:13Z", "credentials": [credential(FIRST)] });
        peer.send_with("job.accepted", &json!({ "job_id": "job_1" }), &accepted).await;
    };
    let (job, ()) = tokio::join!(client.submit(echo()), serve);
    let mut job = job.unwrap();
    assert_eq!(values(&job), [FIRST]);

    let rotated = json!({ "phase": "credential_rotated", "id": "cred_1", "value": SECOND });
    peer.event("job_1", 1, "status", &rotated).await;
    peer.result("job_1", 2).await;
    let told = update(&mut job).await;
    let JobUpdate::Event(event) = &told else { panic!("an event was due") };
    assert!(event.body.get().contains(SECOND), "the program is told the other value");
    let shown = format!("{job:?} {told:?} {:?} {client:?}", job.opened());
    assert!(shown.contains("cred_1") && ![FIRST, SECOND].iter().any(|value| shown.contains(value)), "{shown}");

    assert!(update(&mut job).await.is_terminal());
    assert!(values(&job).is_empty(), "the job is over");
}
