//! An upstream that is a program and a directory: a file for each credential that is good.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::raw::{Raw, TEXT, hello};
use super::secrets::keep;
use super::{Gateway, wait_for};
use serde_json::{Value, json};

/// What credentials' values begin with.
pub(crate) const VALUE: &str = "sk-virt-7c19e2";

/// A program of which each request is carried out before it looks whether it is to hang or fail.
const PROGRAM: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
request=$(cat)
name=$(printf '%s' "$request" | sed -n 's/.*"name":"\([^"]*\)".*/\1/p')
case "$request" in
*'"request":"check"'*)
    [ -e down ] && exit 1
    echo '{"result":"ready","updates":true}' ;;
*'"request":"issue"'*)
    [ -e refuse ] && echo '{"result":"refused","reason":"no such model"}' && exit 0
    printf '%s' "VALUE-$name" > "live/$name"
    [ -e hang ] && exec sleep 30
    case "$request" in *USD:0.5*) [ -e hang_small ] && exec sleep 30 ;; esac
    [ -e lose ] && exit 1
    echo "{\"result\":\"issued\",\"value\":\"VALUE-$name\",\"endpoint\":\"https://models.example.com/v1\",\"profile\":\"openai\"}" ;;
*'"request":"update"'*)
    [ -e stall ] && touch stalled && exec sleep 30
    printf '%s' "$request" | sed 's/.*\["\([^"]*\)"\].*/\1/' > "budget/$name"
    echo '{"result":"updated"}' ;;
*'"request":"revoke"'*)
    [ -e keep ] && exit 1
    [ -e "live/$name" ] || { echo '{"result":"absent"}'; exit 0; }
    rm "live/$name" && echo '{"result":"revoked"}' ;;
esac
"#;

/// See the module's documentation.
pub(crate) struct Upstream(tempfile::TempDir);

impl Upstream {
    pub(crate) fn new() -> Self {
        keep("a credential's value", VALUE);
        let home = tempfile::tempdir().unwrap();
        ["live", "budget"].iter().for_each(|directory| fs::create_dir(home.path().join(directory)).unwrap());
        let program = home.path().join("issue");
        fs::write(&program, PROGRAM.replace("VALUE", VALUE)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program, as a configuration names it.
    pub(crate) fn config(&self) -> String {
        format!("[credentials]\nprogram = {}\n", json!(self.path().join("issue")))
    }

    /// Has it misbehave in this way, or not any more.
    pub(crate) fn fault(&self, fault: &str, is_on: bool) {
        let file = self.path().join(fault);
        if is_on { fs::write(file, "").unwrap() } else { fs::remove_file(file).unwrap_or_default() }
    }

    /// Whether an update is held up that is not carried out yet.
    pub(crate) fn has_stalled(&self) -> bool {
        self.path().join("stalled").exists()
    }

    /// The values that are good.
    pub(crate) fn live(&self) -> Vec<String> {
        self.all("live")
    }

    /// What may be spent with credentials of which that was changed.
    pub(crate) fn budgets(&self) -> Vec<String> {
        self.all("budget")
    }

    /// What the files of a directory say.
    fn all(&self, directory: &str) -> Vec<String> {
        let files: Vec<PathBuf> =
            fs::read_dir(self.path().join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.iter().filter_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_owned()).collect()
    }
}

/// A client that can be given credentials.
pub(crate) struct Client {
    raw: Raw,
    session: Value,
    number: usize,
    /// Features that both sides have agreed on.
    pub(crate) features: Vec<String>,
}

impl Client {
    pub(crate) fn connect(gateway: &Gateway, token: &str) -> Self {
        let mut raw = Raw::connect(&gateway.url, 1).unwrap();
        raw.upgrade("");
        let mut greeting = hello(token);
        greeting["payload"]["capabilities"]["features"] =
            json!(["subscribe", "model.use", "cost.budget", "provisioned_credentials"]);
        raw.frame(TEXT, greeting.to_string().as_bytes());
        let welcome = raw.recv().unwrap();
        let features = serde_json::from_value(welcome["payload"]["capabilities"]["features"].clone()).unwrap();
        Self { raw, session: welcome["session_id"].clone(), number: 0, features }
    }

    /// One that is offered credentials, as soon as the upstream was found to be well.
    pub(crate) fn offered(gateway: &Gateway, token: &str) -> Self {
        let mut offered = None;
        wait_for("credentials are offered", || {
            let client = Self::connect(gateway, token);
            let is_offered = client.features.iter().any(|feature| feature == "provisioned_credentials");
            offered = is_offered.then_some(client);
            is_offered
        });
        offered.unwrap()
    }

    pub(crate) fn send(&mut self, message_type: &str, payload: &Value) {
        self.number += 1;
        let frame = json!({ "arcp": "1.1", "id": format!("msg_{}", self.number), "type": message_type,
            "session_id": self.session, "payload": payload });
        self.raw.frame(TEXT, frame.to_string().as_bytes());
    }

    /// What the next frame of this type says.
    pub(crate) fn recv(&mut self, message_type: &str) -> Value {
        self.recv_any(message_type)["payload"].clone()
    }

    /// The next frame of this type.
    pub(crate) fn recv_any(&mut self, message_type: &str) -> Value {
        loop {
            let frame = self.raw.recv().unwrap_or_else(|| panic!("the connection ended before {message_type}"));
            if frame["type"] == message_type {
                return frame;
            }
        }
    }

    /// Submits a job that may use models.
    pub(crate) fn submit(&mut self, agent: &str, input: &Value) {
        let lease = json!({ "model.use": ["tier-fast/*"], "cost.budget": ["USD:2.00"] });
        self.send("job.submit", &json!({ "agent": agent, "input": input, "lease_request": lease }));
    }
}
