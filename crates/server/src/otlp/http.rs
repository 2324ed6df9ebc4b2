//! OTLP over HTTP: a request for each batch, on a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use hyper::{HeaderMap, Request};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;

use super::NotTaken;
use crate::outbound::Outbound;

/// Sends requests to the address for traces.
#[derive(Debug)]
pub(super) struct OverHttp {
    pub(super) outbound: Outbound,
    pub(super) headers: HeaderMap,
}

impl OverHttp {
    pub(super) async fn send(&self, batch: &ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, NotTaken> {
        let mut request = Request::post(self.outbound.url.path()).header(CONTENT_TYPE, "application/x-protobuf");
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        let answer = self.outbound.ask_with_head(request, Bytes::from(batch.encode_to_vec())).await?;
        if !answer.status().is_success() {
            return Err(NotTaken::Status { status: answer.status(), after: retry_after(answer.headers()) });
        }
        // What a collector says beside that it has taken the spans is of no consequence.
        Ok(ExportTraceServiceResponse::decode(answer.into_body()).unwrap_or_default())
    }
}

/// How long the peer asks to be left alone: a number of seconds, or a moment, which is held against the peer's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let after = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = httpdate::parse_http_date(after).ok()?;
    let now = httpdate::parse_http_date(text(DATE)?.trim()).ok()?;
    moment.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_asks_for_a_time_in_seconds_or_until_a_moment_of_its_own_clock() {
        let told = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            retry_after(&HeaderMap::from_iter(pairs)).map(|after| after.as_secs())
        };
        let (moment, now) = ("Fri, 20 Nov 2026 10:01:30 GMT", ("date", "Fri, 20 Nov 2026 10:00:00 GMT"));
        for (headers, expected) in [
            (&[("retry-after", "7")][..], Some(7)),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", moment), now], Some(90)),
            (&[("retry-after", moment)], None),
            (&[("retry-after", now.1), ("date", moment)], None),
            (&[("retry-after", "-7")], None),
            (&[("retry-after", "soon"), now], None),
            (&[now], None),
        ] {
            assert_eq!(told(headers), expected, "{headers:?}");
        }
    }
}
