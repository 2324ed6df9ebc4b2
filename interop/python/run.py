"""Runs every scenario: python run.py PROGRAM [PART OF A NAME]"""

from __future__ import annotations

import asyncio
import functools
import sys
from pathlib import Path

import as_client
import as_runtime
import harness

sys.path.append(str(Path(__file__).parents[1]))
import scenarios  # noqa: E402

# A scenario that has not ended by then does not end.
DEADLINE_SEC = 60

run = functools.partial(scenarios.run, deadline_sec=DEADLINE_SEC)


async def main(program: str, part: str = "") -> int:
    moorline = harness.Command(Path(program).resolve())
    failed = 0
    async with harness.gateway(moorline) as gateway:
        failed += await run("as client", as_client.SCENARIOS, part, gateway)
    async with harness.runtime(moorline) as runtime:
        as_runtime.register(runtime.sdk)
        failed += await run("as runtime", as_runtime.SCENARIOS, part, runtime)
    return scenarios.told(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
