"""Runs every scenario, or cuts for longer: python run.py KIT [PART OF A NAME | cuts [ARGUMENTS OF THE KIT'S cuts]]"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
from pathlib import Path

import as_client
import as_worker
import harness
import secured

sys.path.append(str(Path(__file__).parents[1]))
import scenarios  # noqa: E402

# A scenario that has not ended by then does not end.
DEADLINE_SEC = 300

run = functools.partial(scenarios.run, deadline_sec=DEADLINE_SEC)


async def main(program: str, part: str = "", *args: str) -> int:
    # What asyncua says of servers without security is so on purpose.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    kit = harness.Kit(Path(program).resolve())
    if part == "cuts":
        return await cuts(kit, *args)
    failed = 0
    async with harness.asyncua_server() as url:
        failed += await run("the worker and asyncua", as_worker.SCENARIOS, part, kit, url)
    async with kit.server() as url:
        failed += await run("the worker and the test kit", as_worker.SCENARIOS, part, kit, url)
    async with kit.server() as url:
        failed += await run("asyncua and the test kit", as_client.SCENARIOS, part, kit, url)
    async with harness.secured_asyncua_server() as site:
        failed += await run("the worker and secured asyncua", secured.OF_WORKER, part, kit, site)
    async with kit.secured_server() as site:
        failed += await run("the worker and the secured test kit", secured.OF_WORKER, part, kit, site)
        failed += await run("asyncua and the secured test kit", secured.OF_CLIENT, part, kit, site)
    return scenarios.told(failed)


async def cuts(kit: harness.Kit, *args: str) -> int:
    """The table of docs/opcua.md: with each server, who is told of the values. All of them at once: they mostly wait."""
    gateway = ("--gateway", str(kit.program.parent))

    async def ours(*how: str) -> dict:
        return await kit.cuts(None, *how, *args)

    async def asyncuas(*how: str) -> dict:
        async with harness.asyncua_server() as url:
            return await kit.cuts(url, *how, *args)

    outcomes = await asyncio.gather(ours(), ours(*gateway), asyncuas(), asyncuas(*gateway))
    print("| server | told to | seed | cuts | cut for | values | lost | doubled | out of order | gaps told | slowest return |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    told = ("the worker", "a client of a gateway")
    who = [(server, whom) for server in ("async-opcua", "asyncua") for whom in told]
    exact = [row(server, whom, outcome) for (server, whom), outcome in zip(who, outcomes, strict=True)]
    return 0 if all(exact) else 1


def row(server: str, whom: str, outcome: dict) -> bool:
    """Prints a row; whether nothing was lost and nothing came twice."""
    counts = outcome["counts"]
    cells = [
        server, whom, outcome["seed"], outcome["cuts"], f"{outcome['cut_seconds']:.0f} s", counts["values"],
        counts["lost"], counts["doubled"], counts["out_of_order"], counts["gaps_told"],
        f"{outcome['slowest_return_seconds']:.2f} s",
    ]
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    exact = counts["lost"] == counts["doubled"] == counts["out_of_order"] == 0
    if not exact:
        print(json.dumps(outcome), file=sys.stderr)
    return exact


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
