//! `moorline gateway`: sessions of the session gateway, over gRPC.

mod call;
mod show;

use anyhow::{Context as _, Result, anyhow};
use moorline_gateway_proto::v1::command::Body;
use moorline_gateway_proto::v1::command_result::Value as Done;
use moorline_gateway_proto::v1::stream_events_response::Item;
use moorline_gateway_proto::v1::{self, event};

use crate::args::{Connection, GatewayCommand};
use crate::exit::{Exit, Stop};
use crate::output::Output;
use call::{Api, refused};

pub(crate) async fn run(command: GatewayCommand, connection: &Connection, output: &Output) -> Result<Exit> {
    let mut api = call::connect(connection).await?;
    match command {
        GatewayCommand::Open { backend, name, tag, options } => {
            let request = v1::OpenSessionRequest {
                backend,
                client_session_name: name,
                tag,
                command_timeout: None,
                backend_options_json: options,
            };
            let opened = api.open_session(request).await.map_err(refused)?.into_inner();
            output.line(opened.session.unwrap_or_default().session_id);
        }
        GatewayCommand::List { json } => list(&mut api, json, output).await?,
        GatewayCommand::Read { session, items, json } => return read(&mut api, session, items, json, output).await,
        GatewayCommand::Write { session, item, value } => write(&mut api, &session, item, &value).await?,
        GatewayCommand::Stream { session, after, json } => stream(&mut api, session, after, json, output).await?,
        GatewayCommand::Alarms { session, json } => alarms(&mut api, session, json, output).await?,
        GatewayCommand::Close { session } => {
            let closed = api.close_session(v1::CloseSessionRequest { session_id: session });
            let closed = closed.await.map_err(refused)?.into_inner();
            output.note(format_args!("the session is {}", show::state(closed.final_state())));
        }
        GatewayCommand::Kill { session, reason } => {
            let killed = api.kill_worker(v1::KillWorkerRequest { session_id: session, reason });
            let killed = killed.await.map_err(refused)?.into_inner();
            output.note(format_args!("the session is {}", show::state(killed.final_state())));
        }
    }
    Ok(Exit::Success)
}

async fn list(api: &mut Api, json: bool, output: &Output) -> Result<()> {
    let mut page_token = String::new();
    loop {
        let request = v1::ListSessionsRequest { states: Vec::new(), page_size: 0, page_token };
        let page = api.list_sessions(request).await.map_err(refused)?.into_inner();
        for session in &page.sessions {
            output.line(show::session(session, json));
        }
        page_token = page.next_page_token;
        if page_token.is_empty() || output.is_over() {
            return Ok(());
        }
    }
}

async fn read(api: &mut Api, session: String, items: Vec<String>, json: bool, output: &Output) -> Result<Exit> {
    let done = call::invoke(api, session, Body::Read(v1::Read { items })).await?;
    let Some(Done::Readings(readings)) = done.value else { return Err(anyhow!("the gateway has read nothing")) };
    for reading in &readings.readings {
        output.line(show::reading(reading, json));
    }
    // What could not be read is said in its line, and by the exit code to a script.
    Ok(if readings.readings.iter().all(|reading| reading.success) { Exit::Success } else { Exit::Refused })
}

/// A client session and an item of its own, for one write.
async fn write(api: &mut Api, session: &str, item: String, value: &str) -> Result<()> {
    let value = Some(show::value_of(value)?);
    let register = Body::Register(v1::Register { client_name: "moorline".to_owned() });
    let Some(Done::ServerHandle(server_handle)) = call::succeed(api, session, register).await? else {
        return Err(anyhow!("the gateway has registered no client"));
    };
    let written = async {
        let add = v1::AddItem { server_handle, item, ..Default::default() };
        let Some(Done::ItemHandle(item_handle)) = call::succeed(api, session, Body::AddItem(add)).await? else {
            return Err(anyhow!("the gateway has added no item"));
        };
        call::succeed(api, session, Body::Advise(v1::Advise { server_handle, item_handle, supervisory: false }))
            .await?;
        let write = v1::Write { server_handle, item_handle, value, ..Default::default() };
        call::succeed(api, session, Body::Write(write)).await
    }
    .await;
    call::succeed(api, session, Body::Unregister(v1::Unregister { server_handle })).await?;
    written.map(drop)
}

async fn stream(api: &mut Api, session_id: String, after: u64, json: bool, output: &Output) -> Result<()> {
    let request = v1::StreamEventsRequest { session_id, after_worker_sequence: after, epoch: String::new() };
    let mut events = api.stream_events(request).await.map_err(refused)?.into_inner();
    while let Some(response) = events.message().await.map_err(refused)? {
        match response.item {
            Some(Item::ReplayGap(gap)) => output.line(show::gap(&gap, json)),
            Some(Item::Event(event)) => output.line(show::event(&event, json)),
            None => {}
        }
        if output.is_over() {
            return Err(anyhow!(Stop(Exit::Interrupted)));
        }
    }
    output.note("the session is over");
    Ok(())
}

async fn alarms(api: &mut Api, session_id: String, json: bool, output: &Output) -> Result<()> {
    use v1::stream_alarms_response::Item as Told;

    let alarms = api.stream_alarms(v1::StreamAlarmsRequest { session_id }).await;
    let mut alarms = alarms.map_err(refused)?.into_inner();
    while let Some(response) = alarms.message().await.map_err(refused)? {
        match response.item {
            Some(Told::ActiveAlarm(alarm) | Told::Transition(alarm)) => output.line(show::alarm(&alarm, json)),
            Some(Told::SnapshotComplete(_)) => output.note("these are active; changes follow"),
            None => {}
        }
        if output.is_over() {
            return Err(anyhow!(Stop(Exit::Interrupted)));
        }
    }
    Ok(())
}

/// What an event is about, in a word.
fn family(body: Option<&event::Body>) -> &'static str {
    match body {
        Some(event::Body::DataChange(_)) => "data_change",
        Some(event::Body::BufferedDataChange(_)) => "buffered_data_change",
        Some(event::Body::WriteComplete(_)) => "write_complete",
        Some(event::Body::OperationComplete(_)) => "operation_complete",
        Some(event::Body::BackendGap(_)) => "backend_gap",
        Some(event::Body::Alarm(_)) => "alarm",
        Some(event::Body::AlarmSnapshotComplete(_)) => "alarm_snapshot_complete",
        None => "unknown",
    }
}

/// The options of a session, or a value, are JSON that a person has typed.
fn parse(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).with_context(|| format!("{text:?} is no JSON")).context(Stop(Exit::Usage))
}
