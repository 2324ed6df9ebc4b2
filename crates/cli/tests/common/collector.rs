//! A collector of OpenTelemetry: it takes OTLP over HTTP or gRPC in protobuf, and can be slow, full or gone.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It takes the spans.
    Takes,
    /// It refuses them with this status.
    Answers(u16),
    /// It cannot take them before so many seconds are over.
    Waits(u64),
    /// It reads the request and never answers.
    Hangs,
}

/// One that runs until the test ends.
#[derive(Debug)]
pub(crate) struct Collector {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    conduct: Conduct,
    /// Requests that were made, whatever became of them: their heads.
    asked: Vec<String>,
    /// When the first and the last of them came that were to come later.
    put_off: Option<(Instant, Instant)>,
    taken: Vec<Span>,
    refused: Vec<Span>,
    /// What is said of whoever has sent them.
    resource: BTreeMap<String, String>,
}

impl State {
    fn new() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            conduct: Conduct::Takes,
            asked: Vec::new(),
            put_off: None,
            taken: Vec::new(),
            refused: Vec::new(),
            resource: BTreeMap::new(),
        }))
    }

    /// A request has come. Answers what is to become of it.
    #[expect(clippy::disallowed_methods, reason = "when another process asks, which has no other clock")]
    fn handle(&mut self, head: String, request: ExportTraceServiceRequest) -> Conduct {
        self.asked.push(head);
        match self.conduct {
            Conduct::Takes => {
                for of_resource in request.resource_spans {
                    let attributes = of_resource.resource.into_iter().flat_map(|resource| resource.attributes);
                    self.resource.extend(attributes.filter_map(|pair| {
                        let value = pair.value?.value?;
                        let Value::StringValue(text) = &value else { panic!("{}: {value:?}", pair.key) };
                        Some((pair.key, text.clone()))
                    }));
                    self.taken.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
            Conduct::Waits(_) => {
                let now = Instant::now();
                self.put_off = Some((self.put_off.map_or(now, |(first, _)| first), now));
            }
            Conduct::Answers(_) => {
                let of_scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
                self.refused.extend(of_scopes.flat_map(|scope| scope.spans));
            }
            Conduct::Hangs => {}
        }
        self.conduct
    }
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let state = State::new();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                held.extend(serve(stream, &shared));
            }
        });
        Self { url, state }
    }

    /// The same over gRPC, with TLS if there is a certificate, as PEM, with its key.
    pub(crate) fn over_grpc(certificate: Option<(&str, &str)>) -> Self {
        let state = State::new();
        let service = TraceServiceServer::new(Service(Arc::clone(&state)));
        let mut server = Server::builder();
        if let Some((certificate, key)) = certificate {
            let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
            server = server.tls_config(tls).unwrap();
        }
        let (bound, listening) = std::sync::mpsc::channel::<SocketAddr>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                server.add_service(service).serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
            });
        });
        let port = listening.recv().unwrap().port();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Self { url: format!("{scheme}://localhost:{port}"), state }
    }

    /// The flag with which a gateway exports to it.
    pub(crate) fn flag(&self) -> String {
        format!("--otlp-endpoint={}", self.url)
    }

    pub(crate) fn conducts_itself(&self, conduct: Conduct) {
        self.state.lock().unwrap().conduct = conduct;
    }

    /// The heads of all requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How long it was between the first and the last request that were to come later, in seconds.
    pub(crate) fn put_off(&self) -> f64 {
        self.state.lock().unwrap().put_off.map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    }

    /// What is said of whoever has sent the spans.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        self.state.lock().unwrap().resource.clone()
    }

    /// The spans that were taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Whether a span of this name was refused.
    pub(crate) fn has_refused(&self, name: &str) -> bool {
        self.state.lock().unwrap().refused.iter().any(|span| span.name == name)
    }

    /// Those of one name.
    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }
}

/// Serves one request. Answers the connection if it is to stay open without an answer.
fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<TcpStream> {
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while reader.read_line(&mut head).ok()? > 2 {}
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let conduct = state.lock().unwrap().handle(head, request);
    let (status, more) = match conduct {
        Conduct::Hangs => return Some(stream),
        Conduct::Answers(status) => (status, String::new()),
        Conduct::Waits(seconds) => (503, format!("retry-after: {seconds}\r\n")),
        Conduct::Takes => (200, String::new()),
    };
    let answer = format!("HTTP/1.1 {status} As asked\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n");
    (&stream).write_all(answer.as_bytes()).unwrap_or_default();
    None
}

/// The collector as a gRPC service.
struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let head = format!("{:?}", metadata.into_headers());
        let conduct = self.0.lock().unwrap().handle(head, request);
        match conduct {
            Conduct::Takes => Ok(Response::new(ExportTraceServiceResponse::default())),
            Conduct::Hangs => std::future::pending().await,
            Conduct::Answers(503) => Err(Status::unavailable("as asked")),
            Conduct::Answers(status) => Err(Status::unauthenticated(format!("{status}, as asked"))),
            Conduct::Waits(seconds) => {
                let details = retry_info(seconds);
                Err(Status::with_details(Code::ResourceExhausted, "as asked", details.into()))
            }
        }
    }
}

/// A `google.rpc.Status` with a `google.rpc.RetryInfo`, by hand: what the gateway makes of it is under test.
fn retry_info(seconds: u64) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let delay = [1 << 3, u8::try_from(seconds).unwrap()];
    let info = field(1, &delay);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &info)].concat();
    field(3, &any)
}

/// Bytes as trace contexts have them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text attribute of a span.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    let Value::StringValue(text) = value else { panic!("{key}: {value:?}") };
    Some(text.clone())
}
