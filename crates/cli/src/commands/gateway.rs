//! `moorline gateway`: sessions of the session gateway, over gRPC.

mod rates;
mod request;
mod show;
mod stream;
mod tags;

use std::time::Duration;

use anyhow::{Result, anyhow};
use moorline_gateway_client::{
    ClientCertificate, Command, CommandId, Failure, GatewayClient, Invoke, Invoked, NextAlarm, OpenSession, Options,
    ReconnectPolicy, Session, Value,
};
use moorline_gateway_proto::v1::SessionState;
use moorline_server::tls::Identity;

use crate::args::{Connection, GatewayCommand};
use crate::connect::{SessionGateway, identity, roots, session_gateway};
use crate::exit::{Exit, Stop};
use crate::output::{Output, Style};

pub(crate) async fn run(command: GatewayCommand, connection: &Connection, output: &Output) -> Result<Exit> {
    let attach = async |id: &str| attach(&session_gateway(connection)?, connection, id).await;
    match command {
        GatewayCommand::Open { backend, name, tag, options } => {
            let open = OpenSession { name, backend, tag, command_timeout: None, backend_options_json: options };
            let opened = connect(&session_gateway(connection)?, connection).await?.open(open).await?;
            output.line(opened.id());
        }
        GatewayCommand::List { states, json } => {
            let states: Vec<_> = states.iter().filter_map(|word| state(word)).collect();
            let sessions = connect(&session_gateway(connection)?, connection).await?.sessions(&states).await?;
            if json {
                sessions.iter().for_each(|session| output.line(show::session(session)));
            } else if sessions.is_empty() {
                output.note("no sessions");
            } else {
                output.line(show::sessions(&sessions, output));
            }
        }
        GatewayCommand::Get { session, json } => {
            let found = attach(&session).await?.about().await?;
            output.line(if json { show::session(&found).to_string() } else { show::about(&found) });
        }
        GatewayCommand::Read { session, items, json } => {
            let readings = attach(&session).await?.read(items).await?;
            readings.iter().for_each(|reading| output.line(show::reading(reading, json)));
            // What could not be read is said in its line, and by the exit code to a script.
            return Ok(if readings.iter().all(|one| one.sample.is_ok()) { Exit::Success } else { Exit::Refused });
        }
        GatewayCommand::Write { session, item, value, timeout } => {
            let value = request::value(&value)?;
            let invoked = write(&attach(&session).await?, item, value, timeout).await?;
            let id = invoked.id.clone();
            if invoked.result.success && invoked.completions.is_empty() {
                // An earlier gateway waits for nothing.
                output
                    .note(format_args!("the back end has taken it in as {id}; this gateway does not say how it went"));
                return Ok(Exit::Success);
            }
            let ended = invoked.ended().and_then(|()| invoked.done());
            ended.map_err(|failure| anyhow!("{id} was not written: {failure}").context(Stop(Exit::Refused)))?;
            output.note(format_args!("written as {id}"));
        }
        GatewayCommand::Invoke(invoke) => {
            let (id, timeout) = (Some(invoke.id).filter(|id| !id.is_empty()).map(CommandId::new), invoke.timeout);
            let until_complete = invoke.wait;
            let command = Invoke { command: request::command(invoke.command)?.into(), id, timeout, until_complete };
            return self::invoke(&attach(&invoke.session).await?, command, invoke.json, output).await;
        }
        GatewayCommand::Stream(stream) => return stream::run(stream, connection, output).await,
        GatewayCommand::Alarms { session, json } => alarms(&attach(&session).await?, json, output).await?,
        GatewayCommand::Acknowledge { session, alarm, comment } => {
            attach(&session).await?.acknowledge(alarm, comment).await?;
        }
        GatewayCommand::Close { session } => {
            let closed = attach(&session).await?.close().await?;
            output.note(format_args!("the session is {}", show::state(closed.state)));
        }
        GatewayCommand::Kill { session, reason } => {
            let killed = attach(&session).await?.kill(&reason).await?;
            output.note(format_args!("the session is {}", show::state(killed.state)));
        }
    }
    Ok(Exit::Success)
}

/// Connects to a session gateway.
async fn connect(gateway: &SessionGateway, connection: &Connection) -> Result<GatewayClient> {
    let extra_roots_pem = roots(connection)?;
    let certificate = identity(connection)?
        .map(|Identity { certificate_pem, key_pem }| ClientCertificate { certificate_pem, key_pem });
    let reconnect = match connection.reconnect {
        moorline_client::ReconnectPolicy::Never => ReconnectPolicy::Never,
        moorline_client::ReconnectPolicy::For(length) => ReconnectPolicy::For(length),
        moorline_client::ReconnectPolicy::Always => ReconnectPolicy::Always,
    };
    let options =
        Options { extra_roots_pem, certificate, reconnect, ..Options::new(&gateway.url, gateway.token.expose()) };
    Ok(GatewayClient::connect(options).await?)
}

/// A session that there is already.
async fn attach(gateway: &SessionGateway, connection: &Connection, session: &str) -> Result<Session> {
    Ok(connect(gateway, connection).await?.attach(session).await?)
}

fn state(word: &str) -> Option<SessionState> {
    SessionState::from_str_name(&format!("SESSION_STATE_{}", word.to_uppercase()))
}

async fn invoke(session: &Session, command: Invoke, json: bool, output: &Output) -> Result<Exit> {
    let invoked = session.invoke(command).await?;
    let (answer, ended) = (json.then(|| request::answer(&invoked)).transpose()?, invoked.ended());
    let success = invoked.result.success && ended.is_ok();
    if let Some(answer) = answer {
        output.line(answer);
        return Ok(if success { Exit::Success } else { Exit::Refused });
    }
    let refused = |failure: Failure| anyhow!("{failure}").context(Stop(Exit::Refused));
    let done = invoked.done().map_err(refused)?;
    // What was not done of several is said in its line.
    show::done(&done).iter().for_each(|line| output.line(line));
    ended.map_err(refused)?;
    Ok(if success { Exit::Success } else { Exit::Refused })
}

/// A client session and an item of its own, for one write.
async fn write(session: &Session, item: String, value: Value, timeout: Option<Duration>) -> Result<Invoked> {
    let server = session.register("moorline gateway write").await?;
    let written = async {
        let item = session.add_item(server, item).await?;
        session.advise(item).await?;
        let write = Invoke { timeout, ..Invoke::until_complete(Command::write(item, value)) };
        session.invoke(write).await
    }
    .await;
    session.unregister(server).await?;
    Ok(written?)
}

async fn alarms(session: &Session, json: bool, output: &Output) -> Result<()> {
    let mut alarms = session.alarms().await?;
    while let Some(next) = alarms.next().await {
        match next? {
            NextAlarm::Active(alarm) | NextAlarm::Transition(alarm) => output.line(show::alarm(&alarm, json)),
            NextAlarm::SnapshotComplete => output.note("these are active; changes follow"),
            NextAlarm::Interrupted if json => output.line(show::interrupted_as_json()),
            NextAlarm::Interrupted => {
                let told = "-- the connection was lost: alarms may have come and gone; those that are active follow --";
                output.line(output.styled(Style::Red, told));
            }
        }
        if output.is_over() {
            return Err(anyhow!(Stop(Exit::Interrupted)));
        }
    }
    output.note("the session is over");
    Ok(())
}
