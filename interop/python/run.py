"""Runs every scenario: python run.py PROGRAM [PART OF A NAME]"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from pathlib import Path

import as_client
import as_runtime
import harness

# A scenario that has not ended by then does not end.
DEADLINE_SEC = 60


async def main(program: str, part: str = "") -> int:
    moorline = harness.Command(Path(program).resolve())
    failed = 0
    async with harness.gateway(moorline) as gateway:
        failed += await run("as client", as_client.SCENARIOS, part, gateway)
    async with harness.runtime(moorline) as runtime:
        as_runtime.register(runtime.sdk)
        failed += await run("as runtime", as_runtime.SCENARIOS, part, runtime)
    print(f"{failed} scenarios failed" if failed else "every scenario passed")
    return 1 if failed else 0


async def run(role: str, scenarios: list, part: str, peer: object) -> int:
    failed = 0
    for scenario in scenarios:
        if part not in scenario.__name__:
            continue
        started = time.monotonic()
        try:
            async with asyncio.timeout(DEADLINE_SEC):
                await scenario(peer)
            verdict = "ok"
        except Exception:
            failed += 1
            verdict = f"FAILED\n{traceback.format_exc()}"
        print(f"{role}: {scenario.__name__.replace('_', ' ')} ({time.monotonic() - started:.1f} s): {verdict}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
