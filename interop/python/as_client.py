"""The SDK as a client of our gateway.

What a fault of the SDK makes impossible is a scenario too: it says what happens instead, and fails when that changes.
"""

from __future__ import annotations

import asyncio
import base64

from arcp import (
    AgentNotAvailableError,
    AgentVersionNotAvailableError,
    CancelledError,
    DuplicateKeyError,
    InvalidRequestError,
    JobNotFoundError,
    ListJobsFilter,
    PermissionDeniedError,
    ResumeWindowExpiredError,
    SessionResume,
    TransportClosed,
    UnauthenticatedError,
)
from arcp import TimeoutError as RanTooLong
from arcp.client import ARCPClient, JobHandle

from harness import Gateway, Recorder, new_client


async def events(handle: JobHandle) -> list[dict]:
    return [event async for event in handle.events()]


async def raises(kind: type[BaseException], awaitable) -> BaseException:
    """What is raised, which must be of this kind."""
    try:
        outcome = await awaitable
    except kind as raised:
        return raised
    raise AssertionError(f"{kind.__name__} was expected, and this came: {outcome!r}")


async def a_session_begins_with_what_both_can(gateway: Gateway) -> None:
    async with gateway.client() as client:
        assert client.has_feature("heartbeat") and client.has_feature("subscribe"), client.negotiated_features
        agents = {agent.name: agent for agent in client.welcome.capabilities.agents}
        assert agents["scribe"].versions == ("1.0.0",) and agents["scribe"].default == "1.0.0", agents


async def a_wrong_token_is_unauthenticated(gateway: Gateway) -> None:
    await raises(UnauthenticatedError, new_client("mlk_wrong").connect(await gateway.transport()))


async def a_job_gives_its_result(gateway: Gateway) -> None:
    async with gateway.client() as client:
        handle = await client.submit(agent="echo", input={"n": [1, 2.5, None, "é"]})
        assert handle.agent_ref.startswith("echo@"), handle.agent_ref
        done = await handle.done
        assert done.final_status == "success" and done.result == {"n": [1, 2.5, None, "é"]}, done


async def a_lease_comes_back_as_it_was_asked_for(gateway: Gateway) -> None:
    async with gateway.client() as client:
        lease = {"fs.read": ["/srv/**"], "tool.call": ["grep"]}
        handle = await client.submit(agent="scribe@1.0.0", input={"do": "kinds"}, lease_request=lease)
        assert {name: list(patterns) for name, patterns in handle.lease.items()} == lease, handle.lease
        await handle.done


async def every_kind_of_event_arrives(gateway: Gateway) -> None:
    async with gateway.client() as client:
        handle = await client.submit(agent="scribe", input={"do": "kinds"})
        seen = await events(handle)
        kinds = [event["kind"] for event in seen]
        # The job's lease allows no delegation: in its place is the refusal, as the result of that call.
        assert kinds == [
            "log", "thought", "tool_call", "tool_result", "status", "metric", "artifact_ref", "tool_result", "progress",
        ], kinds
        assert seen[7]["body"]["call_id"] == "d1", seen[7]
        assert seen[7]["body"]["error"]["code"] == "PERMISSION_DENIED", seen[7]
        assert seen[0]["body"] == {"level": "warn", "message": "careful"}, seen[0]
        assert seen[8]["body"] == {"current": 1, "total": 2, "units": "steps"}, seen[8]
        assert all(event["ts"].endswith("Z") for event in seen)
        assert (await handle.done).result == {"kinds": 9}


async def a_streamed_result_is_put_together(gateway: Gateway) -> None:
    raw = bytes(range(256)) * 40
    parts = [base64.b64encode(raw[at : at + 3000]).decode() for at in range(0, len(raw), 3000)]
    text = ["übrigens, ", "das war es"]
    async with gateway.client() as client:
        for job, expected in [
            ({"do": "text", "parts": text}, "".join(text).encode()),
            ({"do": "binary", "parts": parts}, raw),
        ]:
            handle = await client.submit(agent="scribe", input=job)
            assert await handle.collect_chunks() == expected
            done = await handle.done
            assert done.result is None and done.result_id and done.result_size == len(expected), done


async def a_streamed_result_comes_inline_to_a_client_without_the_feature(gateway: Gateway) -> None:
    async with gateway.client(features=("heartbeat",)) as client:
        text = ["\u00fcbrigens, ", "das war es"]
        handle = await client.submit(agent="scribe", input={"do": "text", "parts": text})
        seen = await events(handle)
        assert {event["kind"] for event in seen} == {"status"}, seen
        done = await handle.done
        assert done.result == "".join(text) and done.result_id is None, done


async def a_failure_has_its_type(gateway: Gateway) -> None:
    async with gateway.client() as client:
        handle = await client.submit(agent="scribe", input={"do": "fail"})
        failed = await raises(PermissionDeniedError, handle.done)
        assert "not that table" in str(failed), failed


async def what_does_not_exist_is_refused_by_type(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await raises(AgentNotAvailableError, client.submit(agent="nobody"))
        await raises(AgentVersionNotAvailableError, client.submit(agent="scribe@9"))
        await raises(JobNotFoundError, client.subscribe("job_01HF7YAT00000000000000000Z"))
        handle = await client.submit(agent="echo", input="and the session goes on")
        assert (await handle.done).result == "and the session goes on"


async def a_cancelled_job_ends_as_cancelled(gateway: Gateway) -> None:
    async with gateway.client() as client:
        handle = await client.submit(agent="scribe", input={"do": "wait"})
        await anext(handle.events())
        await client.cancel_job(handle.job_id, reason="enough")
        cancelled = await raises(CancelledError, handle.done)
        assert "enough" in str(cancelled), cancelled
        assert (await (await client.submit(agent="echo", input=1)).done).result == 1


async def a_cancellation_that_is_refused_ends_nothing_else(gateway: Gateway) -> None:
    """The SDK takes any error for the end of all its jobs, so the gateway says nothing."""
    async with gateway.client() as client:
        over = await client.submit(agent="echo", input=1)
        await over.done
        handle = await client.submit(agent="scribe", input={"do": "count", "to": 3, "pause": 0.2})
        await client.cancel_job("job_01KRHDRWGW0W3GE1R70W3GE1R7", reason="not a job")
        await client.cancel_job(over.job_id, reason="too late")
        assert (await handle.done).result == 3


async def a_job_that_runs_too_long_ends_as_timed_out(gateway: Gateway) -> None:
    async with gateway.client() as client:
        handle = await client.submit(agent="scribe", input={"do": "wait"}, max_runtime_sec=1)
        await raises(RanTooLong, handle.done)
        assert (await (await client.submit(agent="echo", input=1)).done).result == 1


async def a_subscription_brings_the_history_and_the_rest(gateway: Gateway) -> None:
    async with gateway.client() as owner, gateway.client() as observer, gateway.client() as late:
        job = await owner.submit(agent="scribe", input={"do": "count", "to": 40, "pause": 0.02})
        await anext(job.events())
        subscription = await observer.subscribe(job.job_id, history=True)
        numbers = [event["body"]["message"] for event in await events(subscription.handle)]
        assert numbers == [str(n) for n in range(1, 41)], numbers
        assert (await subscription.handle.done).result == 40
        # After the end, the whole again.
        subscription = await late.subscribe(job.job_id, history=True)
        numbers = [event["body"]["message"] for event in await events(subscription.handle)]
        assert numbers == [str(n) for n in range(1, 41)], numbers


async def what_comes_right_after_a_subscription_is_dropped_by_the_sdk(gateway: Gateway) -> None:
    """All of it arrives; the SDK has no handle yet and drops it."""
    async with gateway.client() as owner, gateway.client(hurried=True) as observer:
        job = await owner.submit(agent="scribe", input={"do": "count", "to": 20, "pause": 0.1})
        await anext(job.events())
        subscription = await observer.subscribe(job.job_id, history=True)
        numbers = [event["body"]["message"] for event in await events(subscription.handle)]
        assert "1" not in numbers, "the SDK keeps what comes early: change this scenario"
        arrived = [frame["payload"]["body"]["message"] for frame in observer._transport.numbered()[:-1]]
        assert arrived == [str(n) for n in range(1, 21)], arrived


async def after_an_unsubscribe_nothing_more_comes(gateway: Gateway) -> None:
    async with gateway.client() as owner, gateway.client() as observer:
        job = await owner.submit(agent="scribe", input={"do": "wait"})
        await anext(job.events())
        subscription = await observer.subscribe(job.job_id, history=True)
        await observer.unsubscribe(job.job_id)
        # There is no answer to an unsubscribe; there is one to what comes after it.
        assert (await (await observer.submit(agent="echo", input=0)).done).result == 0
        await owner.cancel_job(job.job_id)
        await raises(CancelledError, job.done)
        assert (await (await observer.submit(agent="echo", input=1)).done).result == 1
        told = [frame for frame in observer._transport.numbered() if frame["type"] == "job.error"]
        assert told == [], told
    await raises(TransportClosed, subscription.handle.done)


async def many_jobs_at_once_each_get_their_own(gateway: Gateway) -> None:
    async with gateway.client() as client:
        handles = await asyncio.gather(*(client.submit(agent="echo", input=n) for n in range(50)))
        results = [(await handle.done).result for handle in handles]
        assert results == list(range(50)), results
        numbers = [frame["event_seq"] for frame in client._transport.numbered()]
        assert numbers == list(range(1, len(numbers) + 1)), numbers


async def interrupted(gateway: Gateway) -> tuple[ARCPClient, Recorder, JobHandle, SessionResume]:
    """A client whose connection was cut in the middle of a job, and what it needs to come back."""
    client = new_client(gateway.token)
    first = await gateway.transport()
    await client.connect(first)
    handle = await client.submit(agent="scribe", input={"do": "count", "to": 60, "pause": 0.02})
    async for event in handle.events():
        if event["body"]["message"] == "5":
            break
    first.cut()
    await raises(TransportClosed, handle.done)
    resume = SessionResume(
        session_id=client.session_id,
        resume_token=client.welcome.resume_token,
        last_event_seq=client.latest_event_seq,
    )
    return client, first, handle, resume


async def a_session_whose_connection_was_cut_is_resumed_without_a_gap(gateway: Gateway) -> None:
    client, first, handle, resume = await interrupted(gateway)
    second = await gateway.transport()
    welcome = await client.resume(second, resume=resume)
    assert welcome.session_id == resume.session_id and welcome.resume_token != resume.resume_token
    while not any(frame["type"] == "job.result" for frame in second.received):
        await asyncio.sleep(0.01)
    frames = first.numbered() + second.numbered()
    assert [frame["event_seq"] for frame in frames] == list(range(1, 62)), frames
    assert [frame["payload"]["body"]["message"] for frame in frames[:-1]] == [str(n) for n in range(1, 61)]
    assert frames[-1]["job_id"] == handle.job_id and frames[-1]["payload"]["result"] == 60
    await client.close()


async def the_handle_of_before_a_cut_stays_broken_and_a_subscription_helps(gateway: Gateway) -> None:
    """The SDK fails its handles when a connection ends and does not know the job after a resume.

    What arrives for the job is dropped by the SDK; subscribing in another session brings all of it.
    """
    client, _, handle, resume = await interrupted(gateway)
    await client.resume(await gateway.transport(), resume=resume)
    await raises(TransportClosed, handle.done)
    assert client._handles == {}, "the SDK takes up its jobs again: change this scenario"
    async with gateway.client() as other:
        subscription = await other.subscribe(handle.job_id, history=True)
        numbers = [event["body"]["message"] for event in await events(subscription.handle)]
        assert numbers == [str(n) for n in range(1, 61)], numbers
    await client.close()


async def a_resume_that_cannot_be_is_refused_by_type(gateway: Gateway) -> None:
    client, _, _, resume = await interrupted(gateway)
    for wrong in [
        resume.model_copy(update={"resume_token": resume.resume_token + "x"}),
        resume.model_copy(update={"last_event_seq": 10_000}),
    ]:
        await raises(ResumeWindowExpiredError, new_client(gateway.token).resume(await gateway.transport(), resume=wrong))
    # The attempts changed nothing.
    await client.resume(await gateway.transport(), resume=resume)
    await client.close()


async def a_repeated_submission_is_the_same_job(gateway: Gateway) -> None:
    work = {"agent": "echo", "input": {"a": 1, "b": [2]}, "idempotency_key": "a repeated submission"}
    async with gateway.client() as client:
        first = await client.submit(**work)
        done = await first.done
        again = await client.submit(**{**work, "input": {"b": [2], "a": 1}})
        assert again.job_id == first.job_id, (first.job_id, again.job_id)
        assert (await again.done).result == done.result, "the end comes again"
    async with gateway.client() as other:
        handle = await other.submit(**work)
        assert handle.job_id == first.job_id
        assert (await handle.done).result == done.result
    async with gateway.client() as third:
        refused = await raises(DuplicateKeyError, third.submit(**{**work, "input": "something else"}))
        assert refused.details["existing_job_id"] == first.job_id, refused.details


async def many_submissions_with_one_key_at_once_are_one_job(gateway: Gateway) -> None:
    work = {"agent": "echo", "input": "once", "idempotency_key": "many at once"}
    async with gateway.client() as one, gateway.client() as two:
        handles = await asyncio.gather(*(client.submit(**work) for client in [one, two] * 10))
        assert len({handle.job_id for handle in handles}) == 1, handles
        # The SDK keeps one handle of a job for each session: the last one has its end.
        assert (await handles[-2].done).result == (await handles[-1].done).result == "once"


async def jobs_are_listed_page_by_page(gateway: Gateway) -> None:
    async with gateway.client() as client:
        submitted = []
        for n in range(5):
            handle = await client.submit(agent="echo", input=n)
            await handle.done
            submitted.append(handle.job_id)
        listed, cursor = [], None
        while True:
            page = await client.list_jobs(filter=ListJobsFilter(status=("success",)), limit=2, cursor=cursor)
            assert len(page.jobs) <= 2 and all(job.status == "success" for job in page.jobs), page
            listed += [job.job_id for job in page.jobs]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert listed[-5:] == sorted(submitted), (listed, submitted)
        assert len(set(listed)) == len(listed), "each once"


async def a_cursor_of_another_list_is_refused_by_type(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await raises(InvalidRequestError, client.list_jobs(cursor="garbled"))


async def what_one_client_acknowledges_stays_there_for_others(gateway: Gateway) -> None:
    async with gateway.client() as owner, gateway.client() as observer:
        job = await owner.submit(agent="scribe", input={"do": "count", "to": 30})
        await events(job)
        await owner.ack(owner.latest_event_seq)
        # Answered after it, so it was taken.
        assert (await (await owner.submit(agent="echo", input=1)).done).result == 1
        subscription = await observer.subscribe(job.job_id, history=True)
        numbers = [event["body"]["message"] for event in await events(subscription.handle)]
        assert numbers == [str(n) for n in range(1, 31)], numbers


async def a_session_and_its_job_outlive_a_killed_gateway(gateway: Gateway) -> None:
    client = new_client(gateway.token)
    first = await gateway.transport()
    await client.connect(first)
    handle = await client.submit(agent="scribe", input={"do": "count", "to": 100, "pause": 0.02})
    async for event in handle.events():
        if event["body"]["message"] == "10":
            break
    await gateway.kill_and_start_again()
    await raises(TransportClosed, handle.done)
    resume = SessionResume(
        session_id=client.session_id,
        resume_token=client.welcome.resume_token,
        last_event_seq=client.latest_event_seq,
    )
    second = await gateway.transport()
    await client.resume(second, resume=resume)
    while not any(frame["type"] in ("job.result", "job.error") for frame in second.received):
        await asyncio.sleep(0.01)
    frames = first.numbered() + second.numbered()
    assert [frame["event_seq"] for frame in frames] == list(range(1, 102)), frames
    assert [frame["payload"]["body"]["message"] for frame in frames[:-1]] == [str(n) for n in range(1, 101)]
    assert frames[-1]["payload"]["result"] == 100, frames[-1]
    await client.close()


SCENARIOS = [
    a_session_begins_with_what_both_can,
    a_wrong_token_is_unauthenticated,
    a_job_gives_its_result,
    a_lease_comes_back_as_it_was_asked_for,
    every_kind_of_event_arrives,
    a_streamed_result_is_put_together,
    a_streamed_result_comes_inline_to_a_client_without_the_feature,
    a_failure_has_its_type,
    what_does_not_exist_is_refused_by_type,
    a_cancelled_job_ends_as_cancelled,
    a_cancellation_that_is_refused_ends_nothing_else,
    a_job_that_runs_too_long_ends_as_timed_out,
    a_subscription_brings_the_history_and_the_rest,
    what_comes_right_after_a_subscription_is_dropped_by_the_sdk,
    after_an_unsubscribe_nothing_more_comes,
    many_jobs_at_once_each_get_their_own,
    a_repeated_submission_is_the_same_job,
    many_submissions_with_one_key_at_once_are_one_job,
    jobs_are_listed_page_by_page,
    a_cursor_of_another_list_is_refused_by_type,
    a_session_whose_connection_was_cut_is_resumed_without_a_gap,
    the_handle_of_before_a_cut_stays_broken_and_a_subscription_helps,
    a_resume_that_cannot_be_is_refused_by_type,
    what_one_client_acknowledges_stays_there_for_others,
    a_session_and_its_job_outlive_a_killed_gateway,
]
