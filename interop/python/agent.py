"""An agent of the gateway: does what its input says, in the exec protocol of Moorline."""

import json
import sys
import time


def say(**line):
    print(json.dumps(line), flush=True)


def event(kind, **body):
    say(kind=kind, body=body)


def kinds(_):
    """One event of every kind that the specification has, but for chunks."""
    event("log", level="warn", message="careful")
    event("thought", text="perhaps")
    event("tool_call", tool="grep", args={"pattern": "x"}, call_id="c1")
    event("tool_result", call_id="c1", result=["x"])
    event("status", phase="working", message="half way")
    event("metric", name="rows", value=2.5, unit="rows", dimensions={"table": "t"})
    event("artifact_ref", uri="file:///report", content_type="text/plain", byte_size=3)
    event("delegate", delegate_id="d1", agent="echo", input={})
    event("progress", current=1, total=2, units="steps")
    say(result={"kinds": 9})


def text(job):
    for part in job["parts"]:
        event("result_chunk", data=part, encoding="utf8")


def binary(job):
    for part in job["parts"]:
        event("result_chunk", data=part, encoding="base64")


def count(job):
    """Counts, and waits before each number."""
    for n in range(1, job["to"] + 1):
        time.sleep(job.get("pause", 0))
        event("log", level="info", message=str(n))
    say(result=job["to"])


def wait(_):
    event("status", phase="waiting")
    time.sleep(3600)


def fail(_):
    say(error={"code": "PERMISSION_DENIED", "message": "not that table", "retryable": False})


work = json.loads(sys.stdin.readline())["input"]
{"kinds": kinds, "text": text, "binary": binary, "count": count, "wait": wait, "fail": fail}[work["do"]](work)
