//! A collector of OpenTelemetry: it takes OTLP over HTTP in protobuf, and can be slow, full or gone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It takes the spans.
    Takes,
    /// It refuses them with this status.
    Answers(u16),
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
    taken: Vec<Span>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { conduct: Conduct::Takes, asked: Vec::new(), taken: Vec::new() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                held.extend(serve(stream, &shared));
            }
        });
        Self { url, state }
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

    /// The spans that were taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.lock().unwrap().taken.clone()
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
    let mut state = state.lock().unwrap();
    state.asked.push(head);
    let status = match state.conduct {
        Conduct::Hangs => return Some(stream),
        Conduct::Answers(status) => status,
        Conduct::Takes => {
            let scopes = request.resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
            state.taken.extend(scopes.flat_map(|scope| scope.spans));
            200
        }
    };
    let answer = format!("HTTP/1.1 {status} As asked\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    (&stream).write_all(answer.as_bytes()).unwrap_or_default();
    None
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
