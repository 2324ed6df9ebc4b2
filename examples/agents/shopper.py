#!/usr/bin/env python3
"""Calls the tools of its input as far as its job may, and says what each call has cost."""
import json, sys

def say(**line):
    print(json.dumps(line), flush=True)

def may(capability, target):
    say(authorize={"capability": capability, "target": target})
    return json.loads(sys.stdin.readline())["authorize"]

job = json.loads(sys.stdin.readline())
done, left_out = [], []
for number, call in enumerate(job["input"]["calls"], 1):
    tool, call_id = call["tool"], f"call_{number}"
    say(kind="tool_call", body={"tool": tool, "args": {}, "call_id": call_id})
    verdict = may("tool.call", tool)
    if not verdict["allowed"]:
        say(kind="tool_result", body={"call_id": call_id, "error": verdict["error"]})
        left_out.append({"tool": tool, "because": verdict["error"]["code"]})
        continue
    # Here the tool would be called.
    say(kind="metric", body={"name": "cost.tool", "value": call["price"], "unit": "USD"})
    say(kind="tool_result", body={"call_id": call_id, "result": "done"})
    done.append(tool)
say(result={"done": done, "left_out": left_out})
