//! What the audit trail says that no client does: that the gateway was started and with which configuration, and which
//! workers were enrolled or revoked.
//!
//! Both are compared with what was written last time, which is a document that is changed in one commit with the entry: so
//! each change is told once, also when it was made while no gateway ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use moorline_core::Refusal;
use moorline_core::audit::{AuditAction, AuditEntry};
use moorline_runtime::Gateway;
use moorline_runtime::workers::EnrolmentsError;
use moorline_store::{Change, Collection, DocKey, DocKeyError, Expect, ReadError, Store};
use moorline_types::WorkerId;

use crate::config::{Origin, Settings};
use crate::enrolments::{Enrolled, Enrolments};

/// The document with the settings of the last start.
const SETTINGS: &str = "settings";

/// What the names of the documents begin with that say who was enrolled when it was looked last.
const ENROLLED: &str = "enrolled/";

/// How often it is looked who is enrolled: as often as a revocation takes to hold.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Enrolments that are read at once.
const PAGE: usize = 256;

/// Why it was not told. It is tried again.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    #[error("the enrolments cannot be read")]
    Enrolments(#[from] EnrolmentsError),
    #[error("the audit trail cannot be written")]
    Write(#[from] Refusal),
    #[error("what was told cannot be named")]
    Key(#[from] DocKeyError),
    #[error("the settings cannot be written")]
    Encode(#[from] serde_json::Error),
}

/// The gateway was started, with these settings. What has changed since the last start is told one by one; of the first
/// start, what somebody has given.
pub(super) async fn record_start(gateway: &Gateway, store: &dyn Store, settings: &Settings) {
    if let Err(error) = tell_start(gateway, store, settings).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the audit trail does not tell of this start");
    }
}

async fn tell_start(gateway: &Gateway, store: &dyn Store, settings: &Settings) -> Result<(), NotTold> {
    let key = DocKey::new(Collection::Meta, SETTINGS)?;
    let last: Option<BTreeMap<String, Option<String>>> =
        store.get(&key).await?.and_then(|document| serde_json::from_slice(&document.value).ok());
    let changes = changes(last.as_ref(), settings);
    let what = match (&last, changes.len()) {
        (None, _) => "the first start".to_owned(),
        (Some(_), 0) => "configured as before".to_owned(),
        (Some(_), changes) => format!("{changes} settings are not as before"),
    };
    for (name, change) in changes {
        let entry = AuditEntry::allowed(gateway.now(), AuditAction::Configuration);
        gateway.audit().note(AuditEntry { object: Some(name), reason: Some(change), ..entry });
    }
    let values: BTreeMap<_, _> = settings.all().iter().map(|(name, setting)| (name, &setting.value)).collect();
    let change = Change::put(key, Bytes::from(serde_json::to_vec(&values)?), Expect::Any);
    let reason = Some(format!("moorline {}, {what}", env!("CARGO_PKG_VERSION")));
    let entry = AuditEntry { reason, ..AuditEntry::allowed(gateway.now(), AuditAction::Start) };
    Ok(gateway.audit().commit(entry, change).await?)
}

/// What is not as it was, by name.
fn changes(last: Option<&BTreeMap<String, Option<String>>>, settings: &Settings) -> Vec<(String, String)> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    let mut changes = Vec::new();
    for (name, setting) in settings.all() {
        let (now, origin) = (shown(&setting.value), &setting.origin);
        match last.map(|last| last.get(name)) {
            None if *origin == Origin::Default => {}
            None => changes.push((name.clone(), format!("{now} ({origin})"))),
            Some(Some(before)) if *before == setting.value => {}
            // A newer version has options that the last start did not know.
            Some(None) if *origin == Origin::Default => {}
            Some(before) => {
                let before = before.map_or_else(|| "absent".to_owned(), shown);
                changes.push((name.clone(), format!("{before} before, {now} now ({origin})")));
            }
        }
    }
    let names: BTreeSet<&String> = settings.all().keys().collect();
    let absent = last.into_iter().flatten().filter(|(name, _)| !names.contains(name));
    changes.extend(absent.map(|(name, before)| (name.clone(), format!("{} before, absent now", shown(before)))));
    changes
}

/// Tells who was enrolled and who was revoked. Both are commands that work without the gateway, so it looks. Never returns.
pub(super) async fn watch_enrolments(gateway: Gateway, store: std::sync::Arc<dyn Store>, enrolments: Enrolments) {
    loop {
        if let Err(error) = tell_enrolments(&gateway, store.as_ref(), &enrolments).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the audit trail does not tell who is enrolled");
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn tell_enrolments(gateway: &Gateway, store: &dyn Store, enrolments: &Enrolments) -> Result<(), NotTold> {
    let (known, enrolled) = (known(store).await?, enrolments.workers()?);
    let told = |worker: WorkerId, action, reason| {
        let entry = AuditEntry::allowed(gateway.now(), action);
        AuditEntry { object: Some(worker.to_string()), reason: Some(reason), ..entry }
    };
    for worker in &enrolled {
        if known.contains_key(worker) {
            continue;
        }
        let Some(Enrolled { name, agents, enrolled, .. }) = enrolments.read(*worker)? else { continue };
        let entry =
            told(*worker, AuditAction::WorkerEnrol, format!("{name}, for {}, at {enrolled}", agents.join(", ")));
        let change = Change::put(key(*worker)?, Bytes::from(name), Expect::Any);
        gateway.audit().commit(entry, change).await?;
    }
    for (worker, name) in known {
        if !enrolled.contains(&worker) {
            let entry = told(worker, AuditAction::WorkerRevoke, name);
            gateway.audit().commit(entry, Change::delete(key(worker)?, Expect::Any)).await?;
        }
    }
    Ok(())
}

fn key(worker: WorkerId) -> Result<DocKey, DocKeyError> {
    DocKey::new(Collection::Meta, format!("{ENROLLED}{worker}"))
}

/// Who was enrolled when it was looked last, and as what.
async fn known(store: &dyn Store) -> Result<BTreeMap<WorkerId, String>, ReadError> {
    let (mut known, mut after) = (BTreeMap::new(), ENROLLED.to_owned());
    loop {
        let page = store.list(Collection::Meta, Some(&after), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(known) };
        after = last.key().to_owned();
        for (key, document) in page {
            let Some(worker) = key.key().strip_prefix(ENROLLED) else { return Ok(known) };
            if let Ok(worker) = worker.parse() {
                known.insert(worker, String::from_utf8_lossy(&document.value).into_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigFile, RealFiles, Sources};

    fn settings(flags: &[(&str, &str)]) -> Settings {
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let env = [("HOME".to_owned(), "/srv/x".into())].into();
        let (file, cwd, program) = (ConfigFile::Absent, "/".into(), Some("/bin/sh".into()));
        Config::resolve(Sources { flags, env, file, cwd, program, files: &RealFiles }).unwrap().1.settings()
    }

    fn values(settings: &Settings) -> BTreeMap<String, Option<String>> {
        settings.all().iter().map(|(name, setting)| (name.clone(), setting.value.clone())).collect()
    }

    #[test]
    fn a_start_tells_what_is_not_as_it_was() {
        let (usual, other) = (settings(&[]), settings(&[("jobs-cancel-grace", "10s")]));
        let change = |text: &str| vec![("jobs.cancel_grace".to_owned(), text.to_owned())];
        assert_eq!(changes(None, &usual), []);
        assert_eq!(changes(None, &other), change("\"10s\" (flag --jobs-cancel-grace)"));
        assert_eq!(changes(Some(&values(&other)), &other), []);
        let back = changes(Some(&values(&other)), &usual);
        assert_eq!(back, change("\"10s\" before, \"30s\" now (default)"));
        let mut older = values(&usual);
        older.remove("jobs.cancel_grace");
        assert_eq!(changes(Some(&older), &usual), [], "an option of a newer version has its default");
        assert_eq!(changes(Some(&older), &other), change("absent before, \"10s\" now (flag --jobs-cancel-grace)"));
        older.insert("agents.gone@1.0.0".to_owned(), Some("sh".to_owned()));
        let gone = ("agents.gone@1.0.0".to_owned(), "sh before, absent now".to_owned());
        assert_eq!(changes(Some(&older), &usual), [gone]);
    }
}
