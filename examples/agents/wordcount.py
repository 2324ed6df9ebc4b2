#!/usr/bin/env python3
import json, sys

def say(**line):
    print(json.dumps(line), flush=True)

job = json.loads(sys.stdin.readline())
say(kind="status", body={"phase": "counting"})
words = str(job["input"]["text"]).split()
print("this line has no JSON form and becomes a log event")
say(kind="progress", body={"current": len(words), "total": len(words), "units": "words"})
say(result={"words": len(words), "distinct": len(set(words))}, summary=f"{len(words)} words")
