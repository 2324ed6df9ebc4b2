"""The SDK as a runtime, and our command as its client.

What a fault of the SDK makes impossible is a scenario too: it says what happens instead, and fails when that changes.
"""

from __future__ import annotations

import asyncio
import json

from arcp import InvalidRequestError
from arcp.runtime import ARCPRuntime, JobContext

from harness import Runtime

# How the command says how a job ended.
SUCCESS, FAILED, CANCELLED, TIMED_OUT, REFUSED = 0, 1, 3, 4, 5

NOBODYS = "job_01HF7YAT00000000000000000Z"


async def echo(given, _: JobContext):
    return given


async def kinds(_, ctx: JobContext):
    await ctx.log("warn", "careful")
    await ctx.thought("perhaps")
    await ctx.tool_call({"tool": "grep", "args": {"pattern": "x"}, "call_id": "c1"})
    await ctx.tool_result({"call_id": "c1", "result": ["x"]})
    await ctx.status("working", "half way")
    await ctx.metric({"name": "rows", "value": 2.5, "unit": "rows"})
    await ctx.job.emit_event("artifact_ref", {"uri": "file:///report", "content_type": "text/plain"})
    await ctx.job.emit_event("delegate", {"child_job_id": NOBODYS, "agent": "echo"})
    await ctx.progress(1, total=2, units="steps")
    return {"kinds": 9}


async def text(parts: list[str], ctx: JobContext):
    async with ctx.stream_result() as stream:
        for part in parts:
            await stream.write(part)


async def binary(length: int, ctx: JobContext):
    async with ctx.stream_result() as stream:
        for at in range(0, length, 3000):
            await stream.write(bytes(n % 256 for n in range(at, min(at + 3000, length))))


async def count(to: int, ctx: JobContext):
    for n in range(1, to + 1):
        await ctx.log("info", str(n))
        await asyncio.sleep(0.02)
    return to


async def wait(_, ctx: JobContext):
    await ctx.status("waiting")
    await asyncio.sleep(3600)


async def fail(_, __: JobContext):
    raise InvalidRequestError("not that table")


def register(sdk: ARCPRuntime) -> None:
    for agent in [echo, kinds, text, binary, count, wait, fail]:
        sdk.register_agent_version(agent.__name__, "1.0.0", agent)


async def the_agents_are_listed(runtime: Runtime) -> None:
    ran = await runtime.run("agents", "--json")
    assert ran.status == SUCCESS and '"kinds"' in ran.out and '"1.0.0"' in ran.out, ran


async def a_job_gives_its_result(runtime: Runtime) -> None:
    given = {"n": [1, 2.5, None, "é"]}
    ran = await runtime.run("submit", "echo", "--input", json.dumps(given), "--follow", "--json")
    assert ran.status == SUCCESS, ran
    assert ran.lines()[-1]["payload"]["result"] == given, ran


async def every_kind_of_event_arrives(runtime: Runtime) -> None:
    ran = await runtime.run("submit", "kinds", "--follow", "--json")
    assert ran.status == SUCCESS, ran
    told = [line["payload"]["kind"] for line in ran.lines() if line["type"] == "job.event"]
    assert told == [
        "log", "thought", "tool_call", "tool_result", "status", "metric", "artifact_ref", "delegate", "progress",
    ], told


async def a_streamed_result_is_put_together(runtime: Runtime) -> None:
    ran = await runtime.run("submit", "text", "--input", json.dumps(["übrigens, ", "das war es"]), "--follow")
    assert ran.status == SUCCESS and "übrigens, das war es" in ran.out, ran
    ran = await runtime.run("submit", "binary", "--input", "10000", "--follow", "--json")
    assert ran.status == SUCCESS and ran.lines()[-1]["payload"]["result_size"] == 10_000, ran


async def a_failure_has_its_code(runtime: Runtime) -> None:
    ran = await runtime.run("submit", "fail", "--follow", "--json")
    assert ran.status == FAILED, ran
    assert ran.lines()[-1]["payload"]["code"] == "INVALID_REQUEST", ran


async def what_does_not_exist_is_refused(runtime: Runtime) -> None:
    for args in [("submit", "nobody"), ("submit", "echo@9"), ("watch", NOBODYS), ("cancel", NOBODYS)]:
        ran = await runtime.run(*args)
        assert ran.status == REFUSED, (args, ran)


async def a_wrong_token_is_refused(runtime: Runtime) -> None:
    url = runtime.connection[:2]
    ran = await runtime.moorline("agents", *url, "--token", "wrong")
    assert ran.status == REFUSED, ran


async def a_job_that_runs_too_long_ends_as_timed_out(runtime: Runtime) -> None:
    """The SDK sends `job.result` with `timed_out`, where the specification has `job.error`."""
    ran = await runtime.run("submit", "wait", "--max-runtime", "1s", "--follow", "--json")
    assert ran.status == TIMED_OUT, ran
    assert ran.lines()[-1]["type"] == "job.result", "the SDK sends job.error: change this scenario"


async def following(runtime: Runtime, agent: str, given: str = "null") -> tuple[asyncio.Task, str]:
    """A command that follows a job, and the job's id."""
    before = set(runtime.sdk._jobs)
    ran = asyncio.create_task(runtime.run("submit", agent, "--input", given, "--follow", "--json"))
    while True:
        new = set(runtime.sdk._jobs) - before
        if new and runtime.sdk._jobs[next(iter(new))].state == "running":
            return ran, new.pop()
        assert not ran.done(), ran
        await asyncio.sleep(0.01)


async def a_cancelled_job_ends_as_cancelled_for_everybody(runtime: Runtime) -> None:
    """The SDK confirms no cancel, and sends `job.result` with `cancelled`, where the specification has `job.error`.

    The command that cancels knows that, and waits for no more than a refusal.
    """
    follower, job = await following(runtime, "wait")
    watcher = asyncio.create_task(runtime.run("watch", job, "--json"))
    while not runtime.sdk._jobs[job].session.subscribers.get(job):
        await asyncio.sleep(0.01)
    cancel = await runtime.run("cancel", job, "--reason", "enough")
    assert cancel.status == SUCCESS, cancel
    for ran in [await follower, await watcher]:
        assert ran.status == CANCELLED, ran
        assert ran.lines()[-1]["type"] == "job.result", "the SDK sends job.error: change this scenario"


async def a_watch_brings_the_history_and_the_rest(runtime: Runtime) -> None:
    """The SDK sends the history before it confirms the subscription, and numbers it on its own."""
    follower, job = await following(runtime, "count", "40")
    during = await runtime.run("watch", job, "--json")
    for ran in [during, await follower, await runtime.run("watch", job, "--json")]:
        assert ran.status == SUCCESS, ran
        numbers = [line["payload"]["body"]["message"] for line in ran.lines() if line["type"] == "job.event"]
        assert numbers == [str(n) for n in range(1, 41)], numbers
        assert ran.lines()[-1]["payload"]["result"] == 40, ran


async def a_result_is_fetched_later(runtime: Runtime) -> None:
    """The SDK keeps a result if the connection of the job's submitter lasted until then."""
    given = json.dumps({"text": "später"})
    followed = await runtime.run("submit", "echo", "--input", given, "--follow", "--json")
    fetched = await runtime.run("result", followed.lines()[0]["job_id"])
    assert fetched.status == SUCCESS, fetched
    assert json.loads(fetched.out) == followed.lines()[-1]["payload"]["result"], fetched


async def a_watch_goes_on_after_its_connection_was_cut(runtime: Runtime) -> None:
    """The SDK does not bring a running job back to a session that is resumed, so the command takes a new one.

    The submitter's connection lasts, so the history has everything; the SDK does not say so, and the command warns.
    """
    # Far longer than a busy machine needs to watch it, lose it and watch it again.
    follower, job = await following(runtime, "count", "500")
    async with runtime.proxied() as (proxied, cut):
        watcher = asyncio.create_task(proxied.run("watch", job, "--json"))
        while not runtime.sdk._jobs[job].session.subscribers.get(job):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert cut() == 1
        watched = await watcher
    assert watched.status == SUCCESS, watched
    numbers = [line["payload"]["body"]["message"] for line in watched.lines() if line["type"] == "job.event"]
    assert numbers == [str(n) for n in range(1, 501)], watched
    assert "with a new session" in watched.err and "may be missing" in watched.err, watched
    assert (await follower).status == SUCCESS


async def a_repeated_submission_is_the_same_job(runtime: Runtime) -> None:
    args = ["submit", "echo", "--input", "1", "--idempotency-key", "a repeated submission", "--follow", "--json"]
    first, again = await runtime.run(*args), await runtime.run(*args)
    assert first.status == again.status == SUCCESS, (first, again)
    assert first.lines()[-1]["job_id"] == again.lines()[-1]["job_id"], (first, again)
    assert again.lines()[-1]["payload"]["result"] == 1, again
    args[3] = "2"
    assert (await runtime.run(*args)).status == REFUSED


async def the_jobs_are_listed(runtime: Runtime) -> None:
    """The SDK names the time of a job's beginning otherwise, and leaves its lease out."""
    follower, job = await following(runtime, "wait")
    ran = await runtime.run("jobs", "--status", "running", "--agent", "wait@1.0.0", "--json")
    assert ran.status == SUCCESS, ran
    assert [line["job_id"] for line in ran.lines()] == [job], ran
    assert (await runtime.run("cancel", job)).status == SUCCESS
    assert (await follower).status == CANCELLED
    ran = await runtime.run("jobs", "--all", "--json")
    assert {line["job_id"]: line["status"] for line in ran.lines()}[job] == "cancelled", ran


async def what_a_job_does_without_its_client_is_lost(runtime: Runtime) -> None:
    """The SDK keeps events and results of a job only while the connection of its submitter lasts."""
    submitted = await runtime.run("submit", "count", "--input", "20")
    assert submitted.status == SUCCESS, submitted
    job = runtime.sdk._jobs[submitted.out.strip()]
    while job.state in ("pending", "running"):
        await asyncio.sleep(0.01)
    assert job.state == "success", job.state
    kept = [frame async for frame in runtime.sdk.event_log.read_since_seq(job.session.session_id, 0)]
    assert all(frame["type"] != "job.result" for frame in kept), "the SDK keeps results: change this scenario"


SCENARIOS = [
    the_agents_are_listed,
    a_job_gives_its_result,
    every_kind_of_event_arrives,
    a_streamed_result_is_put_together,
    a_failure_has_its_code,
    what_does_not_exist_is_refused,
    a_wrong_token_is_refused,
    a_job_that_runs_too_long_ends_as_timed_out,
    a_cancelled_job_ends_as_cancelled_for_everybody,
    a_watch_brings_the_history_and_the_rest,
    a_result_is_fetched_later,
    a_watch_goes_on_after_its_connection_was_cut,
    a_repeated_submission_is_the_same_job,
    the_jobs_are_listed,
    what_a_job_does_without_its_client_is_lost,
]
