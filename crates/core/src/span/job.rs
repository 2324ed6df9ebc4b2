//! The spans of one job, from its committed records.

use std::collections::BTreeMap;

use moorline_types::{EventKind, JobId, Record, RecordKind, StreamSeq, Timestamp, TraceContext, TraceId, Units};
use serde::Deserialize;

use super::{
    Attributes, Link, MAX_ATTRIBUTE_BYTES, Moment, Name, Span, SpanEvent, SpanKind, SpanStatus, Value, below_job, text,
};
use crate::record::{Accepted, Delegated, DelegationRefused, Event, EventText, Fact};
use crate::trace::{JobSpan, Operation, Participation, operation_span};

/// Calls of tools that a job may have open before further ones have no span. Agents have a few.
const MAX_OPEN_CALLS: usize = 256;

/// The longest name of a call that is remembered, in bytes; ids are shorter.
const MAX_NAME_BYTES: usize = 128;

/// Makes the spans of a job that is recorded.
///
/// It is shown every committed record once, in order. After a restart it is shown those of before again; what it answers
/// to these was told by the gateway before.
#[derive(Debug)]
pub struct JobSpans {
    job: JobId,
    trace: TraceId,
    span: JobSpan,
    start: Moment,
    attributes: Attributes,
    links: Vec<Link>,
    events: Vec<SpanEvent>,
    open: BTreeMap<Box<str>, OpenCall>,
}

/// A call without an answer.
#[derive(Debug)]
struct OpenCall {
    tool: Value,
    start: Moment,
}

/// The fields of an event's body that a span tells of.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    call_id: Option<String>,
    tool: Option<String>,
    error: Option<BodyError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BodyError {
    code: Option<String>,
}

impl JobSpans {
    /// Of a job that was accepted at this moment; `None` if it is not recorded.
    pub fn begin(job: JobId, at: Timestamp, accepted: &Accepted, participation: Participation) -> Option<Self> {
        let (trace, span) = (accepted.trace_id?, accepted.recorded_span().filter(|_| participation.exports)?.clone());
        let session = Link::to_session(accepted.session);
        let is_linked = span.parent.is_none() && participation.sampling.samples(session.trace);
        Some(Self {
            job,
            trace,
            span,
            start: at.into(),
            attributes: attributes(job, accepted),
            links: is_linked.then_some(session).into_iter().collect(),
            events: Vec::new(),
            open: BTreeMap::new(),
        })
    }

    /// The job's trace, and its span in it.
    pub const fn span(&self) -> (TraceId, &JobSpan) {
        (self.trace, &self.span)
    }

    /// A record of the job is committed. Answers the spans that are finished with it. `remaining` is what is left of the
    /// job's budget, by currency.
    pub fn handle_committed<'a>(
        &mut self,
        record: &Record,
        remaining: impl Iterator<Item = (&'a str, Units)>,
    ) -> Vec<Span> {
        if record.kind == RecordKind::JobEvent {
            return self.handle_event(record).into_iter().collect();
        }
        let at = Moment::from(record.at);
        let status = match Fact::decode(record) {
            Ok(Fact::Started(started)) => {
                self.note(at, "started", vec![("moorline.worker", text(&started.worker.to_string()))]);
                return Vec::new();
            }
            Ok(Fact::CancelRequested(_)) => {
                self.note(at, "cancel_requested", Vec::new());
                return Vec::new();
            }
            Ok(Fact::Delegated(delegated)) => return vec![self.delegation(at, &delegated)],
            Ok(Fact::DelegationRefused(refused)) => return vec![self.refused(record.seq, at, &refused)],
            Ok(Fact::Result(_)) => SpanStatus::Ok,
            Ok(Fact::Error(failure)) => SpanStatus::Ended(failure.cause),
            _ => return Vec::new(),
        };
        self.end(at, status, remaining)
    }

    fn note(&mut self, at: Moment, name: &'static str, attributes: Attributes) {
        self.events.push(SpanEvent { at, name, attributes });
    }

    fn handle_event(&mut self, record: &Record) -> Option<Span> {
        // Events of other kinds, which are nearly all, are told by their first bytes.
        let kind: EventKind = EventText::of(record)?.kind.parse().ok()?;
        let is_answer = kind == EventKind::ToolResult;
        if !is_answer && kind != EventKind::ToolCall {
            return None;
        }
        let Ok(Fact::Event(Event { ts, body, .. })) = Fact::decode(record) else { return None };
        let (at, body) = (Moment::from(ts), body.to::<Body>().ok()?);
        if is_answer {
            return self.close_call(at, &body);
        }
        self.open_call(at, body);
        None
    }

    fn open_call(&mut self, start: Moment, Body { call_id, tool, .. }: Body) {
        let Some(name) = call_id.filter(|name| name.len() <= MAX_NAME_BYTES) else { return };
        if self.open.len() < MAX_OPEN_CALLS {
            self.open.insert(name.into(), OpenCall { tool: text(&tool.unwrap_or_default()), start });
        }
    }

    fn close_call(&mut self, end: Moment, body: &Body) -> Option<Span> {
        let (name, call) = self.open.remove_entry(body.call_id.as_deref()?)?;
        let status = match &body.error {
            None => SpanStatus::Ok,
            Some(error) => SpanStatus::Failed(clipped(error.code.as_deref().unwrap_or("tool_error"))),
        };
        Some(self.call(&name, call, end, status))
    }

    fn call(&self, name: &str, OpenCall { tool, start }: OpenCall, end: Moment, status: SpanStatus) -> Span {
        let id = operation_span(self.job, Operation::ToolCall, name);
        Span {
            kind: SpanKind::Client,
            attributes: vec![
                ("arcp.job_id", text(&self.job.to_string())),
                ("gen_ai.tool.name", tool),
                ("gen_ai.tool.call.id", text(name)),
            ],
            status,
            ..Span::below(&self.above(), id, Name::ToolCall, start, end)
        }
    }

    /// Over when the child exists: what the child does has a span of its own below this one.
    fn delegation(&self, at: Moment, delegated: &Delegated) -> Span {
        let Delegated { delegate_id, child, agent, .. } = delegated;
        Span {
            kind: SpanKind::Producer,
            attributes: vec![
                ("arcp.job_id", text(&self.job.to_string())),
                ("arcp.delegate_id", text(delegate_id)),
                ("arcp.child_job_id", text(&child.to_string())),
                ("arcp.agent", text(agent)),
            ],
            ..Span::below(
                &self.above(),
                operation_span(self.job, Operation::Delegation, delegate_id),
                Name::Delegation,
                at,
                at,
            )
        }
    }

    /// Nothing is below it. Its id follows from its record: what a delegation was called may be refused for being taken.
    fn refused(&self, seq: StreamSeq, at: Moment, refused: &DelegationRefused) -> Span {
        let DelegationRefused { delegate_id, failure } = refused;
        let id = operation_span(self.job, Operation::RefusedDelegation, &seq.to_string());
        Span {
            kind: SpanKind::Producer,
            attributes: vec![("arcp.job_id", text(&self.job.to_string())), ("arcp.delegate_id", text(delegate_id))],
            status: SpanStatus::Ended(failure.cause),
            ..Span::below(&self.above(), id, Name::Delegation, at, at)
        }
    }

    fn end<'a>(
        &mut self,
        end: Moment,
        status: SpanStatus,
        remaining: impl Iterator<Item = (&'a str, Units)>,
    ) -> Vec<Span> {
        let unanswered = || SpanStatus::Failed("unanswered".into());
        let open = std::mem::take(&mut self.open);
        let mut spans: Vec<_> =
            open.into_iter().map(|(name, call)| self.call(&name, call, end, unanswered())).collect();
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.extend(budget(remaining).map(|left| ("arcp.budget.remaining", left)));
        spans.push(Span {
            parent: self.span.parent,
            is_remote: self.span.parent.is_some(),
            kind: SpanKind::Consumer,
            attributes,
            events: std::mem::take(&mut self.events),
            links: std::mem::take(&mut self.links),
            status,
            ..Span::below(&self.above(), self.span.id, Name::Job, self.start, end)
        });
        spans
    }

    fn above(&self) -> TraceContext {
        below_job(self.trace, &self.span)
    }
}

/// What is known of a job when it is accepted.
fn attributes(job: JobId, accepted: &Accepted) -> Attributes {
    let agent = format!("{}@{}", accepted.agent, accepted.version);
    let mut attributes = vec![
        ("arcp.job_id", text(&job.to_string())),
        ("arcp.session_id", text(&accepted.session.to_string())),
        ("arcp.agent", text(&agent)),
        ("enduser.id", text(accepted.principal.as_str())),
    ];
    let lease: BTreeMap<String, serde::de::IgnoredAny> = accepted.lease.to().unwrap_or_default();
    if !lease.is_empty() {
        let names: Vec<_> = lease.into_keys().collect();
        attributes.push(("arcp.lease.capabilities", text(&names.join(","))));
    }
    attributes.extend(accepted.expires_at.map(|at| ("arcp.lease.expires_at", text(&at.to_string()))));
    attributes
}

/// What is left of a budget, as the spec and the official SDKs say it: an object of numbers.
fn budget<'a>(remaining: impl Iterator<Item = (&'a str, Units)>) -> Option<Value> {
    let entries: Vec<_> = remaining.map(|(currency, left)| format!("{currency:?}:{left}")).collect();
    (!entries.is_empty()).then(|| text(&format!("{{{}}}", entries.join(","))))
}

fn clipped(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(MAX_ATTRIBUTE_BYTES)].into()
}

#[cfg(test)]
mod tests {
    use moorline_types::{Fence, Json, StreamId, WorkerId};

    use super::*;
    use crate::record::{Cause, Failure, Output, Started, Success};
    use crate::trace::Sampling;

    const EXPORTING: Participation = Participation { sampling: Sampling::ALL, exports: true };

    fn job() -> JobId {
        JobId::mint(Timestamp::from_unix_millis(1_000), [9; 10])
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn spans(accepted: &Accepted) -> JobSpans {
        JobSpans::begin(job(), at(1_000), accepted, EXPORTING).unwrap()
    }

    fn record(millis: u64, fact: &Fact) -> Record {
        let (stream, seq) = (StreamId::Job(job()), StreamSeq::FIRST);
        Record { stream, seq, at: at(millis), kind: fact.kind(), body: fact.encode() }
    }

    fn event(millis: u64, kind: &str, body: &str) -> Record {
        let body = Json::parse(body).unwrap();
        record(millis, &Fact::Event(Event { worker_seq: None, kind: kind.parse().unwrap(), ts: at(millis), body }))
    }

    fn result(millis: u64) -> Record {
        let output = Output::Inline(Json::null());
        record(millis, &Fact::Result(Success { worker_seq: None, output, summary: None }))
    }

    fn failed(millis: u64, cause: Cause) -> Record {
        let message = "a secret may be in it".to_owned();
        record(millis, &Fact::Error(Failure { worker_seq: None, cause, message, retryable: false, details: None }))
    }

    fn show(spans: &mut JobSpans, records: &[Record]) -> Vec<Span> {
        records.iter().flat_map(|record| spans.handle_committed(record, [].into_iter())).collect()
    }

    fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
        span.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| match value {
            Value::Text(text) => &**text,
            Value::Number(_) => panic!("{name} is a number"),
        })
    }

    #[test]
    fn a_job_is_one_span_below_its_submitters_from_acceptance_to_end() {
        let accepted = crate::record::tests::accepted();
        let mut spans = spans(&accepted);
        let started = Fact::Started(Started { worker: WorkerId::mint(at(0), [1; 10]), fence: Fence::FIRST });
        let told = show(&mut spans, &[record(1_010, &started), event(1_020, "log", "{}"), result(1_500)]);
        let [span] = &told[..] else { panic!("{told:?}") };
        let own = accepted.span.unwrap();
        assert_eq!((span.trace, span.id, span.parent), (accepted.trace_id.unwrap(), own.id, own.parent));
        assert_eq!((span.start, span.end), (at(1_000).into(), at(1_500).into()));
        assert_eq!((&span.status, span.kind, span.is_remote), (&SpanStatus::Ok, SpanKind::Consumer, true));
        assert_eq!(span.state, own.state);
        assert_eq!(attribute(span, "arcp.agent"), Some("echo@1.0.0"));
        assert_eq!(attribute(span, "arcp.lease.expires_at"), Some("1970-01-01T00:00:01.000Z"));
        assert_eq!(span.events.iter().map(|event| event.name).collect::<Vec<_>>(), ["started"]);
        assert!(span.links.is_empty(), "it has a parent");
    }

    #[test]
    fn a_job_that_begins_its_trace_is_linked_to_its_session() {
        let mut accepted = crate::record::tests::accepted();
        accepted.span.as_mut().unwrap().parent = None;
        let told = show(&mut spans(&accepted), &[result(1_500)]);
        assert_eq!((told[0].parent, &told[0].links[..]), (None, &[Link::to_session(accepted.session)][..]));
    }

    #[test]
    fn how_a_job_failed_is_told_but_not_in_its_agents_words() {
        let told = show(&mut spans(&crate::record::tests::accepted()), &[failed(1_500, Cause::LeaseExpired)]);
        assert_eq!(told[0].status, SpanStatus::Ended(Cause::LeaseExpired));
        assert!(!format!("{told:?}").contains("secret"));
    }

    #[test]
    fn what_is_left_of_a_budget_is_an_object_of_numbers() {
        let left = [("EUR", "0".parse().unwrap()), ("USD", "-1.25".parse().unwrap())];
        let told = spans(&crate::record::tests::accepted()).handle_committed(&result(1_500), left.into_iter());
        assert_eq!(attribute(&told[0], "arcp.budget.remaining"), Some(r#"{"EUR":0,"USD":-1.25}"#));
    }

    #[test]
    fn a_call_of_a_tool_is_a_span_below_the_job_when_it_is_answered() {
        let mut spans = spans(&crate::record::tests::accepted());
        let told = show(
            &mut spans,
            &[
                event(1_100, "tool_call", r#"{"call_id":"a","tool":"grep","args":{}}"#),
                event(1_150, "tool_call", r#"{"call_id":"b","tool":"sed","args":{}}"#),
                event(1_160, "tool_call", r#"{"call_id":"c","tool":"awk","args":{}}"#),
                event(1_200, "tool_result", r#"{"call_id":"b","result":1}"#),
                event(1_300, "tool_result", r#"{"call_id":"a","error":{"code":"PERMISSION_DENIED","message":"no"}}"#),
                event(1_300, "tool_result", r#"{"call_id":"of nothing","result":1}"#),
                result(1_500),
            ],
        );
        let job_span = spans.span().1.id;
        let said: Vec<_> = told
            .iter()
            .map(|span| (attribute(span, "gen_ai.tool.name"), span.end.since(span.start).as_millis(), &span.status))
            .collect();
        let failed = |code: &str| SpanStatus::Failed(code.into());
        assert_eq!(
            said,
            [
                (Some("sed"), 50, &SpanStatus::Ok),
                (Some("grep"), 200, &failed("PERMISSION_DENIED")),
                (Some("awk"), 340, &failed("unanswered")),
                (None, 500, &SpanStatus::Ok),
            ]
        );
        assert!(told[..3].iter().all(|span| span.parent == Some(job_span) && span.name == Name::ToolCall));
    }

    #[test]
    fn a_child_is_below_the_span_of_its_delegation() {
        let accepted = crate::record::tests::accepted();
        let delegated = Delegated {
            worker_seq: None,
            delegate_id: "dlg_1".into(),
            child: JobId::mint(at(1_100), [8; 10]),
            agent: "echo@1.0.0".into(),
            input: Json::null(),
            lease: Json::parse("{}").unwrap(),
            expires_at: None,
            detached: false,
        };
        let told = show(&mut spans(&accepted), &[record(1_100, &Fact::Delegated(delegated))]);
        let child = accepted.trace_of_child(job(), "dlg_1").unwrap().into_parent().unwrap();
        assert_eq!((told[0].id, told[0].trace, told[0].name), (child.span, child.trace, Name::Delegation));
        assert_eq!(attribute(&told[0], "arcp.agent"), Some("echo@1.0.0"));
    }

    #[test]
    fn a_refused_delegation_is_a_span_that_says_why_whatever_it_was_called() {
        let refused = |cause| {
            let message = "a secret may be in it".to_owned();
            let failure = Failure { worker_seq: None, cause, message, retryable: false, details: None };
            Fact::DelegationRefused(DelegationRefused { delegate_id: "dlg_1".into(), failure })
        };
        let again = Record { seq: StreamSeq::FIRST.next(), ..record(1_200, &refused(Cause::InvalidRequest)) };
        let mut spans = spans(&crate::record::tests::accepted());
        let told = show(&mut spans, &[record(1_100, &refused(Cause::LeaseSubset)), again]);
        let [first, second] = &told[..] else { panic!("{told:?}") };
        assert_eq!((first.name, first.parent), (Name::Delegation, Some(spans.span().1.id)));
        assert_eq!(first.status, SpanStatus::Ended(Cause::LeaseSubset));
        assert_eq!((attribute(first, "arcp.delegate_id"), attribute(first, "arcp.agent")), (Some("dlg_1"), None));
        assert_ne!(first.id, second.id);
        assert!(!format!("{told:?}").contains("secret"));
    }

    #[test]
    fn what_is_told_of_a_job_after_a_restart_is_as_if_there_had_been_none() {
        let accepted = crate::record::tests::accepted();
        let records = [
            event(1_100, "tool_call", r#"{"call_id":"a","tool":"grep","args":{}}"#),
            event(1_300, "tool_result", r#"{"call_id":"a","result":1}"#),
            event(1_310, "tool_call", r#"{"call_id":"b","tool":"sed","args":{}}"#),
            result(1_500),
        ];
        let all = show(&mut spans(&accepted), &records);
        for crash in 0..records.len() {
            let before = show(&mut spans(&accepted), &records[..crash]);
            let mut again = spans(&accepted);
            show(&mut again, &records[..crash]);
            let after = show(&mut again, &records[crash..]);
            assert_eq!([before, after].concat(), all, "killed after {crash} records");
        }
    }

    #[test]
    fn a_job_that_is_not_recorded_has_no_spans() {
        let mut accepted = crate::record::tests::accepted();
        let handing_on = Participation::default();
        assert!(JobSpans::begin(job(), at(1), &accepted, handing_on).is_none(), "nothing is exported");
        accepted.span.as_mut().unwrap().recorded = false;
        assert!(JobSpans::begin(job(), at(1), &accepted, EXPORTING).is_none());
    }
}
