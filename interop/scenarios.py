"""Runs scenarios one after the other, and says how each went."""

from __future__ import annotations

import asyncio
import time
import traceback


async def run(who: str, scenarios: list, part: str, *given: object, deadline_sec: float) -> int:
    """Gives each scenario with this part in its name what there is; how many have failed, or have not ended in time."""
    failed = 0
    for scenario in scenarios:
        if part not in scenario.__name__:
            continue
        started = time.monotonic()
        try:
            async with asyncio.timeout(deadline_sec):
                await scenario(*given)
            verdict = "ok"
        except Exception:
            failed += 1
            verdict = f"FAILED\n{traceback.format_exc()}"
        print(f"{who}: {scenario.__name__.replace('_', ' ')} ({time.monotonic() - started:.1f} s): {verdict}", flush=True)
    return failed


def told(failed: int) -> int:
    """Says how all of them went; the status to end with."""
    print(f"{failed} scenarios failed" if failed else "every scenario passed")
    return 1 if failed else 0
