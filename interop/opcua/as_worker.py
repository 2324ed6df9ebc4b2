"""The worker's back end, with a server that nobody here wrote."""

from __future__ import annotations

import asyncio

from harness import Kit, Worker, name

GOOD, SENSOR_FAILURE = 192, 16

# Tags whose values the contract has words for, with what they hold and what is written to them.
VALUES = {
    "Boolean": (True, False),
    "SByte": (-8, -9),
    "Byte": (8, 9),
    "Int16": (-16, -17),
    "UInt16": (16, 17),
    "Int32": (-32, -33),
    "UInt32": (32, 33),
    "Int64": (-64, -65),
    "UInt64": (64, 65),
    "Float": (0.5, 1.5),
    "Double": (0.25, 1.25),
    "String": ("text", "other"),
}


async def every_type_is_read_written_and_told(kit: Kit, url: str) -> None:
    async with kit.worker(url) as worker:
        server = (await worker.do("register", client="interop"))["server"]
        readings = (await worker.do("read", items=[name(tag) for tag in VALUES]))["readings"]
        for (tag, (value, other)), reading in zip(VALUES.items(), readings, strict=True):
            assert reading["success"] and reading["sample"]["value"] == value, (tag, reading)
            assert reading["sample"]["quality"] == GOOD, (tag, reading)
            item = await worker.item(server, tag)
            await worker.do("advise", **item)
            await worker.event("data_change", lambda sample, value=value: sample["value"] == value, tag)
            await worker.do("write", **item, value=other)
            await worker.event("write_complete")
            await worker.event("data_change", lambda sample, other=other: sample["value"] == other, tag)


async def a_value_of_another_type_is_not_written(kit: Kit, url: str) -> None:
    async with kit.worker(url) as worker:
        server = (await worker.do("register", client="interop"))["server"]
        item = await worker.item(server, "Int16")
        await worker.do("advise", **item)
        before = (await worker.event("data_change", tag="Int16"))["value"]
        for value in ("text", 40_000, 1.5):
            assert await refused(worker, item, value), value
        reading = (await worker.do("read", items=[name("Int16")]))["readings"][0]
        assert reading["sample"]["value"] == before, reading


async def what_may_not_be_written_says_so(kit: Kit, url: str) -> None:
    async with kit.worker(url) as worker:
        server = (await worker.do("register", client="interop"))["server"]
        item = await worker.item(server, "Refused")
        await worker.do("advise", **item)
        await worker.event("data_change", tag="Refused")
        assert await refused(worker, item, 1)


async def an_unknown_name_is_an_item_that_says_so(kit: Kit, url: str) -> None:
    async with kit.worker(url) as worker:
        server = (await worker.do("register", client="interop"))["server"]
        item = await worker.item(server, "Weather")
        await worker.do("advise", **item)
        sample = await worker.event("data_change", tag="Weather")
        assert sample["quality"] & 0xC0 == 0, sample


async def a_sensor_that_fails_is_told_and_one_that_works_again(kit: Kit, url: str) -> None:
    async with kit.worker(url) as worker:
        server = (await worker.do("register", client="interop"))["server"]
        sensor, control = await worker.item(server, "Sensor"), await worker.item(server, "Sensor.Failed")
        for item in (sensor, control):
            await worker.do("advise", **item)
        await worker.event("data_change", lambda sample: sample["quality"] == GOOD, "Sensor")
        await worker.do("write", **control, value=True)
        await worker.event("data_change", lambda sample: sample["quality"] == SENSOR_FAILURE, "Sensor")
        await worker.do("write", **control, value=False)
        await worker.event("data_change", lambda sample: sample["quality"] == GOOD, "Sensor")


async def alarms_are_told_said_again_and_acknowledged(kit: Kit, url: str) -> None:
    async with kit.worker(url) as worker:
        server = (await worker.do("register", client="interop"))["server"]
        control = await worker.item(server, "Level.Alarm")
        await worker.do("advise", **control)
        await worker.event("data_change", tag="Level.Alarm")
        await worker.do("subscribe_alarms")
        await worker.event("alarm_snapshot_complete")
        await worker.do("write", **control, value=True)
        raised = await worker.event("alarm", lambda alarm: alarm["active"] and not alarm["acknowledged"])
        await worker.do("refresh_alarms")
        again = await worker.event("alarm", lambda alarm: alarm["snapshot"])
        assert again["alarm"] == raised["alarm"], (again, raised)
        await worker.event("alarm_snapshot_complete")
        await worker.do("acknowledge_alarm", alarm=raised["alarm"], comment="seen")
        await worker.event("alarm", lambda alarm: alarm["acknowledged"] and alarm["comment"] == "seen")
        await worker.do("write", **control, value=False)
        await worker.event("alarm", lambda alarm: not alarm["active"])


async def cuts_lose_nothing_and_double_nothing(kit: Kit, url: str) -> None:
    async with asyncio.timeout(240):
        outcome = await kit.cuts(url, "--cuts", "6", "--longest", "1500")
    counts = outcome["counts"]
    assert counts["lost"] == counts["doubled"] == counts["out_of_order"] == 0, outcome
    assert counts["gaps_told"] == 0, outcome
    assert outcome["connections"] > outcome["cuts"], ("the cuts have cut nothing", outcome)


async def refused(worker: Worker, item: dict[str, int], value: object) -> bool:
    """Whether a write is refused: by its answer, or by its completion."""
    result = await worker.run("write", **item, value=value)
    if not result["success"]:
        return True
    line = await worker.line(lambda line: "event" in line and "write_complete" in line["event"]["said"])
    return not all(status["success"] for status in line["event"]["statuses"])


SCENARIOS = [
    every_type_is_read_written_and_told,
    a_value_of_another_type_is_not_written,
    what_may_not_be_written_says_so,
    an_unknown_name_is_an_item_that_says_so,
    a_sensor_that_fails_is_told_and_one_that_works_again,
    alarms_are_told_said_again_and_acknowledged,
    cuts_lose_nothing_and_double_nothing,
]
