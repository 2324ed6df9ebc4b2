//! Reading items by name.

use std::time::Duration;

use moorline_backend::contract::{CommandResult, Reading, Status, StatusCategory};
use opcua::client::Session;
use opcua::types::{ReadValueId, StatusCode, TimestampsToReturn};
use tokio::time::Instant;

use super::unanswered;
use crate::link::Asker;
use crate::name::ItemName;
use crate::{clock, quality, resolve, value};

/// Items that one command reads.
const MAX_ITEMS: usize = 10_000;

/// Items that one request reads.
const ITEMS_AT_ONCE: usize = 200;

/// Reads, and waits for a connection that is lost for as long as a request may take.
pub(super) async fn read(asker: Asker, patience: Duration, items: Vec<String>) -> Result<Vec<Reading>, CommandResult> {
    if items.len() > MAX_ITEMS {
        return Err(CommandResult::invalid(format!("at most {MAX_ITEMS} items are read at once")));
    }
    let until = Instant::now() + patience;
    let mut readings = Vec::with_capacity(items.len());
    for chunk in items.chunks(ITEMS_AT_ONCE) {
        let asked = asker.ask(until, |session| async move { read_at_once(&session, chunk).await });
        readings.extend(asked.await.map_err(unanswered)?);
    }
    Ok(readings)
}

/// Reads with one request, and those before it that find the nodes.
async fn read_at_once(session: &Session, items: &[String]) -> Result<Vec<Reading>, StatusCode> {
    let mut readings: Vec<Reading> = Vec::with_capacity(items.len());
    let (mut positions, mut names) = (Vec::new(), Vec::new());
    for (position, item) in items.iter().enumerate() {
        readings.push(match ItemName::parse("", item) {
            Ok(name) => {
                let shown = name.to_string();
                positions.push(position);
                names.push(name);
                unread(shown, StatusCode::BadNoMatch)
            }
            Err(error) => Reading {
                item: item.clone(),
                success: false,
                message: error.to_string(),
                sample: None,
                statuses: vec![Status::refused(StatusCategory::ConfigurationError)],
            },
        });
    }
    let (mut of_nodes, mut nodes) = (Vec::new(), Vec::new());
    for (position, node) in positions.into_iter().zip(resolve::nodes(session, &names).await?) {
        match node {
            Ok(node) => {
                of_nodes.push(position);
                nodes.push(ReadValueId::new_value(node));
            }
            Err(code) => readings[position] = unread(std::mem::take(&mut readings[position].item), code),
        }
    }
    if nodes.is_empty() {
        return Ok(readings);
    }
    let read = session.read(&nodes, TimestampsToReturn::Both, 0.0).await.map_err(|error| error.status())?;
    for (position, data) in of_nodes.into_iter().zip(read) {
        let (sample, status) = value::sample(&data, clock::now());
        let reading = &mut readings[position];
        reading.success = status.success;
        reading.message = if status.success { String::new() } else { said(data.status) };
        (reading.sample, reading.statuses) = (Some(sample), vec![status]);
    }
    Ok(readings)
}

fn unread(item: String, code: StatusCode) -> Reading {
    Reading { item, success: false, message: said(Some(code)), sample: None, statuses: vec![quality::status(code)] }
}

fn said(code: Option<StatusCode>) -> String {
    match code {
        Some(code) if code.is_bad() => format!("the server says {code}"),
        _ => "the value is of a kind that is not told".to_owned(),
    }
}
