//! Calling the session gateway.

use anyhow::{Context as _, Result, anyhow};
use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::command::Body;
use moorline_gateway_proto::v1::command_result::Value as Done;
use moorline_gateway_proto::v1::session_gateway_client::SessionGatewayClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Code, Request, Status};

use crate::args::Connection;
use crate::connect::session_gateway;
use crate::exit::{Exit, Stop};

/// What puts the key beside every call.
#[derive(Clone)]
pub(super) struct Key(MetadataValue<Ascii>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

pub(super) type Api = SessionGatewayClient<InterceptedService<Channel, Key>>;

/// Connects to the session gateway that is named, or else to the one of the data directory.
pub(super) async fn connect(connection: &Connection) -> Result<Api> {
    let (url, token) = session_gateway(connection)?;
    let mut endpoint = Channel::from_shared(url.clone()).with_context(|| format!("{url:?} is no address"))?;
    if url.starts_with("https:") {
        let mut tls = ClientTlsConfig::new().with_webpki_roots();
        if let Some(path) = &connection.ca_cert {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        endpoint = endpoint.tls_config(tls)?;
    }
    let key = format!("Bearer {}", token.expose()).parse();
    let mut key: MetadataValue<Ascii> = key.map_err(|_| anyhow!("the key has characters that no key has"))?;
    key.set_sensitive(true);
    let channel = endpoint.connect().await.with_context(|| format!("no session gateway answers at {url}"));
    Ok(SessionGatewayClient::with_interceptor(channel.context(Stop(Exit::Unreachable))?, Key(key)))
}

/// Has a command carried out.
pub(super) async fn invoke(api: &mut Api, session_id: String, body: Body) -> Result<v1::CommandResult> {
    let command = Some(v1::Command { body: Some(body) });
    let request = v1::InvokeRequest { session_id, command_id: String::new(), timeout: None, command };
    let answer = api.invoke(request).await.map_err(refused)?.into_inner();
    answer.result.ok_or_else(|| anyhow!("the gateway has answered nothing"))
}

/// Has a command carried out that has to succeed.
pub(super) async fn succeed(api: &mut Api, session: &str, body: Body) -> Result<Option<Done>> {
    let result = invoke(api, session.to_owned(), body).await?;
    if result.success { Ok(result.value) } else { Err(anyhow!(result.message).context(Stop(Exit::Refused))) }
}

/// A status, as an error with the exit code that it has.
pub(super) fn refused(status: Status) -> anyhow::Error {
    let is_away = matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown);
    let exit = if is_away { Exit::Unreachable } else { Exit::Refused };
    anyhow!("{}", status.message()).context(Stop(exit))
}
