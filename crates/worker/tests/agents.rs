//! What becomes of a job, whatever its agent does.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline_types::limits::MAX_REPORT_WINDOW;
use moorline_types::{EventKind, Json, Millis, WorkerSeq};
use moorline_worker::in_process::in_process;
use moorline_worker::link::LinkEnd;
use moorline_worker::message::{Command, FromWorker, Report, StartRefusal, ToWorker};
use moorline_worker::sdk::{Encoding, Failure, Level, Outcome, Progress, ResultStream};
use support::{attach, cancel, fn_agent, job, lines, start, worker};

fn nothing() -> std::future::Ready<Result<Outcome, Failure>> {
    std::future::ready(Outcome::of(&()).map_err(Failure::from))
}

#[tokio::test]
async fn agents_that_cannot_be_hosted_together_are_refused() {
    for (agents, remedy) in [
        (vec![fn_agent("a@1", 1, |_| nothing()), fn_agent("a@1", 1, |_| nothing())], "its own name"),
        (vec![fn_agent("a@1", 0, |_| nothing())], "at least one job"),
    ] {
        let error = in_process(worker(1), agents).unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn a_job_for_an_agent_that_is_not_there_is_refused() {
    let mut gateway = attach([fn_agent("a@1", 1, |_| nothing())]).await;
    gateway.send(start(job(1), "a@2", "1")).await;
    assert_eq!(gateway.next().await, FromWorker::Refused { job: job(1), reason: StartRefusal::UnknownAgent });
}

#[tokio::test]
async fn a_job_beyond_the_capacity_is_refused_until_one_has_ended() {
    let waiting = |job: moorline_worker::sdk::JobContext| async move {
        job.cancelled().await;
        nothing().await
    };
    let mut gateway = attach([fn_agent("a@1", 1, waiting)]).await;
    gateway.send(start(job(1), "a@1", "1")).await;
    assert_eq!(gateway.next().await, FromWorker::Started { job: job(1) });
    gateway.send(start(job(2), "a@1", "1")).await;
    assert_eq!(gateway.next().await, FromWorker::Refused { job: job(2), reason: StartRefusal::AtCapacity });
    gateway.send(cancel(job(1), 1000)).await;
    gateway.finish(job(1)).await;
    gateway.send(start(job(2), "a@1", "1")).await;
    assert_eq!(gateway.next().await, FromWorker::Started { job: job(2) });
}

#[tokio::test]
async fn a_job_that_is_started_twice_runs_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let waiting = move |job: moorline_worker::sdk::JobContext| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            job.cancelled().await;
            nothing().await
        }
    };
    let mut gateway = attach([fn_agent("a@1", 5, waiting)]).await;
    for _ in 0..3 {
        gateway.send(start(job(1), "a@1", "1")).await;
        assert_eq!(gateway.next().await, FromWorker::Started { job: job(1) });
    }
    gateway.send(cancel(job(1), 1000)).await;
    gateway.finish(job(1)).await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_panic_is_a_failure_that_tells_nothing_and_the_worker_goes_on() {
    let moody = |job: moorline_worker::sdk::JobContext| async move {
        if job.input_json().get() == "0" {
            panic!("secret detail");
        }
        nothing().await
    };
    let mut gateway = attach([fn_agent("a@1", 1, moody)]).await;
    let ended = gateway.run("a@1", "0").await;
    assert_eq!(lines(&ended), ["INTERNAL_ERROR: the agent panicked; the worker's log has the details"]);
    assert_eq!(lines(&gateway.run("a@1", "1").await), ["result null"]);
}

#[tokio::test]
async fn how_an_agent_ends_after_a_cancellation_decides() {
    for (input, ending) in
        [("0", "result \"ready anyway\""), ("1", "CANCELLED: the job was cancelled"), ("2", "CANCELLED: no")]
    {
        let stubborn = |job: moorline_worker::sdk::JobContext| async move {
            job.cancelled().await;
            assert_eq!(job.cancel_reason(), Some("enough"));
            match job.input_json().get() {
                "0" => Ok(Outcome::of("ready anyway")?),
                "1" => Err(Failure::cancelled()),
                _ => Err(Failure::invalid_request("no")),
            }
        };
        let mut gateway = attach([fn_agent("a@1", 1, stubborn)]).await;
        gateway.send(start(job(1), "a@1", input)).await;
        gateway.send(cancel(job(1), 1000)).await;
        assert_eq!(lines(&gateway.finish(job(1)).await), [ending]);
    }
}

#[tokio::test]
async fn a_cancellation_that_nobody_asked_for_is_the_agents_fault() {
    let quitter = |_| async { Err(Failure::cancelled()) };
    let mut gateway = attach([fn_agent("a@1", 1, quitter)]).await;
    let ended = lines(&gateway.run("a@1", "0").await);
    assert!(ended[0].starts_with("INTERNAL_ERROR: the agent ended as if it was cancelled"), "{ended:?}");
}

#[tokio::test]
async fn a_killed_job_says_nothing_more_and_its_agent_is_dropped() {
    struct Dropped(tokio::sync::mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.try_send(()).unwrap();
        }
    }
    let (dropped, mut was_dropped) = tokio::sync::mpsc::channel(1);
    let hanging = move |job: moorline_worker::sdk::JobContext| {
        let guard = Dropped(dropped.clone());
        async move {
            job.log(Level::Info, "here").await?;
            std::future::pending::<()>().await;
            drop(guard);
            nothing().await
        }
    };
    let mut gateway = attach([fn_agent("a@1", 1, hanging)]).await;
    gateway.send(start(job(1), "a@1", "0")).await;
    assert_eq!(gateway.next().await, FromWorker::Started { job: job(1) });
    assert!(matches!(gateway.next().await, FromWorker::Report { .. }));
    gateway.send(ToWorker::Kill { job: job(1) }).await;
    was_dropped.recv().await.unwrap();
    // The place is free at once, and what comes next is about the next job.
    gateway.send(start(job(2), "a@1", "0")).await;
    assert_eq!(gateway.next().await, FromWorker::Started { job: job(2) });
}

#[tokio::test]
async fn an_agent_waits_while_its_window_is_full_and_goes_on_with_an_acknowledgement() {
    let emitted = Arc::new(AtomicUsize::new(0));
    let counted = emitted.clone();
    let chatty = move |job: moorline_worker::sdk::JobContext| {
        let counted = counted.clone();
        async move {
            for number in 0..2 * MAX_REPORT_WINDOW {
                job.progress(Progress { current: number, ..Progress::default() }).await?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            nothing().await
        }
    };
    let mut gateway = attach([fn_agent("a@1", 1, chatty)]).await;
    gateway.send(start(job(1), "a@1", "0")).await;
    assert_eq!(gateway.next().await, FromWorker::Started { job: job(1) });
    for _ in 0..MAX_REPORT_WINDOW {
        assert!(matches!(gateway.next().await, FromWorker::Report { .. }));
    }
    // Everything that can run has run when the worker has answered to something else.
    gateway.send(start(job(2), "b@1", "0")).await;
    assert!(matches!(gateway.next().await, FromWorker::Refused { .. }));
    assert_eq!(emitted.load(Ordering::Relaxed) as u64, MAX_REPORT_WINDOW);
    gateway.send(ToWorker::Ack { job: job(1), seq: WorkerSeq::FIRST }).await;
    let next = gateway.next().await;
    let FromWorker::Report { seq, .. } = next else { panic!("{next:?}") };
    assert_eq!(seq.get(), MAX_REPORT_WINDOW + 1);
}

#[tokio::test]
async fn a_killed_job_wakes_an_agent_that_waits_for_room() {
    let (ended, mut has_ended) = tokio::sync::mpsc::channel(1);
    let chatty = move |job: moorline_worker::sdk::JobContext| {
        let ended = ended.clone();
        async move {
            // Emitting from a task of the agent's own, which the worker does not stop.
            let emitting = async move {
                while job.thought("t").await.is_ok() {}
                ended.send(()).await.unwrap();
            };
            std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(emitting);
            });
            std::future::pending().await
        }
    };
    let mut gateway = attach([fn_agent("a@1", 1, chatty)]).await;
    gateway.send(start(job(1), "a@1", "0")).await;
    for _ in 0..=MAX_REPORT_WINDOW {
        gateway.next().await;
    }
    gateway.send(ToWorker::Kill { job: job(1) }).await;
    tokio::time::timeout(support::DEADLINE, has_ended.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_event_that_its_kind_does_not_allow_is_not_emitted_and_the_job_goes_on() {
    let careless = |job: moorline_worker::sdk::JobContext| async move {
        let past = Progress { current: 3, total: Some(2), ..Progress::default() };
        assert!(job.progress(past).await.is_err());
        assert!(job.thought("").await.is_err());
        assert!(job.event(EventKind::Log, Json::null()).await.is_err());
        assert!(job.tool_call("t", Json::null()).await.is_err());
        nothing().await
    };
    let mut gateway = attach([fn_agent("a@1", 1, careless)]).await;
    assert_eq!(lines(&gateway.run("a@1", "0").await), ["result null"]);
}

#[tokio::test]
async fn a_streamed_result_is_numbered_and_ends_once() {
    let text = "é".repeat(400_000);
    let expected = text.clone();
    let streaming = move |job: moorline_worker::sdk::JobContext| {
        let text = text.clone();
        async move {
            let mut stream: ResultStream = job.result_stream(Encoding::Utf8)?;
            assert!(job.result_stream(Encoding::Utf8).is_err(), "one stream per job");
            assert!(stream.write_bytes(b"x").await.is_err(), "a text stream takes no bytes");
            for piece in text.as_bytes().chunks(1_000) {
                stream.write_text(std::str::from_utf8(piece).unwrap()).await?;
            }
            Ok(stream.finish("done").await?)
        }
    };
    let mut gateway = attach([fn_agent("a@1", 1, streaming)]).await;
    let reports = gateway.run("a@1", "0").await;
    let (last, chunks) = reports.split_last().unwrap();
    assert_eq!(support::line(last), format!("streamed {} bytes", expected.len()));
    let mut assembled = String::new();
    for (at, chunk) in chunks.iter().enumerate() {
        let Report::Event { kind: EventKind::ResultChunk, body } = chunk else { panic!("{chunk:?}") };
        let body: serde_json::Value = body.to().unwrap();
        assert_eq!(body["chunk_seq"], at);
        assert_eq!(body["more"], at + 1 < chunks.len());
        assert_eq!(body["encoding"], "utf8");
        assembled.push_str(body["data"].as_str().unwrap());
    }
    assert_eq!(assembled, expected);
}

#[tokio::test]
async fn an_inline_result_after_a_part_of_a_streamed_one_is_a_failure() {
    let confused = |job: moorline_worker::sdk::JobContext| async move {
        job.result_stream(Encoding::Utf8)?.write_text("a").await?;
        nothing().await
    };
    let mut gateway = attach([fn_agent("a@1", 1, confused)]).await;
    let ended = lines(&gateway.run("a@1", "0").await);
    assert!(ended[0].contains("inline result after"), "{ended:?}");
}

#[tokio::test]
async fn a_shutdown_ends_jobs_lets_their_reports_through_and_says_goodbye() {
    let waiting = |job: moorline_worker::sdk::JobContext| async move {
        job.cancelled().await;
        Err(Failure::cancelled())
    };
    let mut gateway = attach([fn_agent("a@1", 1, waiting)]).await;
    gateway.send(start(job(1), "a@1", "0")).await;
    gateway.send(ToWorker::Shutdown { grace: Millis::from_secs(60) }).await;
    let ended = lines(&gateway.finish(job(1)).await);
    assert!(ended[0].starts_with("INTERNAL_ERROR: the worker was shut down"), "{ended:?}");
    let end = tokio::time::timeout(support::DEADLINE, gateway.link.receiver.recv()).await.unwrap();
    assert!(matches!(end, Err(LinkEnd::Goodbye(_))), "{end:?}");
    gateway.worker.ended().await;
}

#[tokio::test]
async fn an_in_process_worker_ends_with_its_link() {
    let mut gateway = attach([fn_agent("a@1", 1, |_| nothing())]).await;
    drop(gateway.link);
    tokio::time::timeout(support::DEADLINE, gateway.worker.ended()).await.unwrap();
    assert!(gateway.worker.is_ended());
}

#[tokio::test]
async fn a_job_is_told_what_to_do_while_it_runs() {
    let obedient = |job: moorline_worker::sdk::JobContext| async move {
        for _ in 0..2 {
            let command = job.next_command().await;
            job.event("x-vendor.acme.done".parse().unwrap(), command.json().clone()).await?;
        }
        nothing().await
    };
    let command = |of, number: u8| ToWorker::Command {
        job: job(of),
        command: Command::new(Json::parse(&format!("{{\"number\":{number}}}")).unwrap()),
    };
    let mut gateway = attach([fn_agent("a@1", 1, obedient)]).await;
    gateway.send(command(1, 9)).await;
    gateway.send(start(job(1), "a@1", "0")).await;
    for number in [1, 2] {
        gateway.send(command(1, number)).await;
    }
    let said = lines(&gateway.finish(job(1)).await);
    let done = |number: u8| format!("x-vendor.acme.done {{\"number\":{number}}}");
    assert_eq!(said, [done(1), done(2), "result null".to_owned()], "one for a job that is not held is dropped");
}
