//! `moorline keys`: API keys of a gateway that runs.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use moorline_client::Client;
use moorline_client::wire::Secret;
use moorline_client::wire::vendor::{KeyEntry, Keys as Request, KeysReport};
use moorline_types::Timestamp;
use serde_json::json;

use crate::args::{Connection, Keys, NewKey, Told};
use crate::connect::connect;
use crate::exit::{Exit, Stop};
use crate::output::Output;
use crate::table;

pub(crate) async fn run(keys: Keys, connection: &Connection, output: &Output) -> Result<Exit> {
    let client = connect(connection).await?;
    match keys {
        Keys::List { json } => list(&client, json, output).await?,
        Keys::Create { new, told } => {
            let NewKey { name, principal, grants, expires_in } = *new;
            let expires_in_ms = expires_in.map(in_millis);
            issue(&client, Request::Create { name, principal, grants, expires_in_ms }, &told, output).await?;
        }
        Keys::Rotate { key, overlap, told } => {
            issue(&client, Request::Rotate { key, overlap_ms: overlap.map(in_millis) }, &told, output).await?;
        }
        Keys::Revoke { key } => {
            client.keys(Request::Revoke { key }).await?;
            output.note(format_args!("{key} is revoked; whoever it had let in is disconnected"));
        }
    }
    client.close(None).await;
    Ok(Exit::Success)
}

/// Asks for a secret and tells it. The file is made first: a secret that cannot be kept is not asked for.
async fn issue(client: &Client, request: Request, told: &Told, output: &Output) -> Result<()> {
    let file = told.out.as_deref().map(new_file).transpose()?;
    let report = client.keys(request).await;
    if let (Err(_), Some(path)) = (&report, &told.out) {
        // It is empty, and was made by us.
        fs::remove_file(path).unwrap_or_default();
    }
    let KeysReport { keys, secret, .. } = report?;
    let (Some(entry), Some(secret)) = (keys.into_iter().next(), secret) else {
        return Err(anyhow!("the gateway answered without a key").context(Stop(Exit::Internal)));
    };
    tell(&entry, &secret, file, told, output)
}

fn tell(entry: &KeyEntry, secret: &Secret, file: Option<File>, told: &Told, output: &Output) -> Result<()> {
    if let (Some(mut file), Some(path)) = (file, &told.out) {
        let written = writeln!(file, "{}", secret.expose()).and_then(|()| file.sync_all());
        written.with_context(|| format!("cannot write {}; revoke {} and make another", path.display(), entry.id))?;
    }
    match (told.json, &told.out) {
        (true, None) => output.line(json!({ "key": entry, "secret": secret.expose() })),
        (true, Some(_)) => output.line(json!({ "key": entry })),
        (false, None) => output.line(secret.expose()),
        (false, Some(_)) => {}
    }
    if !told.json {
        let place = told.out.as_ref().map_or_else(
            || "the secret above is not shown again".to_owned(),
            |path| format!("its secret is in {} and nowhere else", path.display()),
        );
        output.note(format_args!("{} is {}'s; {place}", entry.id, entry.principal));
    }
    Ok(())
}

fn new_file(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot make {}", path.display())).context(Stop(Exit::Usage))
}

async fn list(client: &Client, as_json: bool, output: &Output) -> Result<()> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let report = client.keys(Request::List { cursor }).await?;
        keys.extend(report.keys);
        cursor = report.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if as_json {
        keys.iter().for_each(|key| output.line(json!(key)));
        return Ok(());
    }
    let mut rows =
        table::table(&["ID", "BEGINS", "NAME", "PRINCIPAL", "SCOPES", "CREATED", "EXPIRES", "LAST USED"], &[]);
    for key in keys {
        let scopes: Vec<_> = key.grants.scopes.iter().map(|scope| scope.as_str()).collect();
        let ends = match (key.revoked, key.expires_at) {
            (true, _) => "revoked".to_owned(),
            (false, None) => "-".to_owned(),
            (false, Some(at)) => day(at),
        };
        rows.add_row([
            key.id.to_string(),
            key.hint.unwrap_or_else(|| "-".to_owned()),
            key.name,
            key.principal.to_string(),
            scopes.join(","),
            day(key.created_at),
            ends,
            key.last_used_at.map_or_else(|| "never".to_owned(), day),
        ]);
    }
    let mut text = String::new();
    table::add(&mut text, &rows, output);
    output.line(text.trim_end());
    Ok(())
}

/// A moment to the minute, in UTC.
fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).to_owned()
}

fn in_millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
