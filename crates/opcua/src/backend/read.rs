//! Reading items by name.

use moorline_backend::contract::{CommandResult, Reading, Status, StatusCategory};
use opcua::types::{ReadValueId, StatusCode, TimestampsToReturn};

use super::{Connected, failed, no_connection};
use crate::name::ItemName;
use crate::{clock, quality, resolve, value};

/// Items that one command reads.
const MAX_ITEMS: usize = 10_000;

/// Items that one request reads.
const ITEMS_AT_ONCE: usize = 200;

impl Connected {
    pub(super) async fn read(&self, items: &[String]) -> Result<Vec<Reading>, CommandResult> {
        if items.len() > MAX_ITEMS {
            return Err(CommandResult::invalid(format!("at most {MAX_ITEMS} items are read at once")));
        }
        let session = self.main.session().map_err(no_connection)?;
        let mut readings = Vec::with_capacity(items.len());
        for chunk in items.chunks(ITEMS_AT_ONCE) {
            let mut of_chunk: Vec<Reading> = Vec::with_capacity(chunk.len());
            let mut names = Vec::new();
            for (position, item) in chunk.iter().enumerate() {
                match ItemName::parse("", item) {
                    Ok(name) => {
                        of_chunk.push(unread(name.to_string(), StatusCode::BadNoMatch));
                        names.push((position, name));
                    }
                    Err(error) => of_chunk.push(Reading {
                        item: item.clone(),
                        success: false,
                        message: error.to_string(),
                        sample: None,
                        statuses: vec![Status::refused(StatusCategory::ConfigurationError)],
                    }),
                }
            }
            let (positions, names): (Vec<usize>, Vec<ItemName>) = names.into_iter().unzip();
            let nodes = resolve::nodes(&session, &names).await.map_err(failed)?;
            let mut asked = Vec::new();
            for (position, node) in positions.into_iter().zip(nodes) {
                match node {
                    Ok(node) => asked.push((position, ReadValueId::new_value(node))),
                    Err(code) => of_chunk[position] = unread(std::mem::take(&mut of_chunk[position].item), code),
                }
            }
            if !asked.is_empty() {
                let (positions, nodes): (Vec<usize>, Vec<ReadValueId>) = asked.into_iter().unzip();
                let read = session.read(&nodes, TimestampsToReturn::Both, 0.0).await;
                let read = read.map_err(|error| failed(error.status()))?;
                for (position, data) in positions.into_iter().zip(read) {
                    let (sample, status) = value::sample(&data, clock::now());
                    let reading = &mut of_chunk[position];
                    reading.success = status.success;
                    reading.message = if status.success { String::new() } else { said(data.status) };
                    (reading.sample, reading.statuses) = (Some(sample), vec![status]);
                }
            }
            readings.extend(of_chunk);
        }
        Ok(readings)
    }
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
