"""Opens a session, watches an item of the simulated plant, and closes the session again: python watch.py URL KEY [SECONDS]"""

from __future__ import annotations

import asyncio
import sys

from moorline_gateway import DataChange, Event, Gap, connect


async def main(url: str, key: str, seconds: str = "10") -> None:
    async with connect(url, key) as gateway:
        session = await gateway.open("watch")
        server = await session.register("watch")
        ramp = await session.add_item(server, "Plant.Ramp")
        async with await session.events() as events:
            await session.advise(ramp)
            try:
                async with asyncio.timeout(float(seconds)):
                    async for told in events:
                        match told:
                            case Event(body=DataChange(sample)):
                                print(told.sequence, sample.value)
                            case Gap():
                                print(told, "- look at the items anew")
            except TimeoutError:
                pass
        await session.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
