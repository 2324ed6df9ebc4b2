"""Does with the client what is asked for in lines of JSON on standard input, and answers on standard output.

It is one of two: the other one is in Rust, and one suite asks both for the same (`crates/cli/tests/contract`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from moorline_gateway import (
    ActiveAlarm,
    AlarmStream,
    DataChange,
    Done,
    Event,
    EventStream,
    Failed,
    Failure,
    Gap,
    Gateway,
    GatewayError,
    Interrupted,
    Item,
    ItemRates,
    ItemRevised,
    OutcomeUnknown,
    Position,
    Reading,
    Refused,
    Revision,
    Sample,
    Server,
    Session,
    SnapshotComplete,
    Transition,
    Unreachable,
    WriteComplete,
    commands,
    connect,
)
from moorline_gateway.proto import gateway_pb2 as pb
from moorline_gateway.session import state_of
from moorline_gateway.values import revision_of

Json = dict[str, Any]


class Driver:
    """What was made so far, by the names that the suite gives."""

    def __init__(self) -> None:
        self.gateways: dict[str, Gateway] = {}
        self.sessions: dict[str, Session] = {}
        self.streams: dict[str, EventStream] = {}
        self.alarms: dict[str, AlarmStream] = {}

    async def answer(self, asked: Json) -> Json:
        try:
            return {"ok": await getattr(self, f"do_{asked['do']}")(asked)}
        except GatewayError as error:
            return {"error": told(error)}
        except ValueError as error:
            return {"error": {"kind": "connect", "code": "", "reason": "", "message": str(error)}}

    async def do_connect(self, asked: Json) -> Json:
        gateway = connect(
            asked["url"],
            asked["key"],
            root_certificates=(asked.get("roots") or "").encode() or None,
            call_timeout=asked.get("call_timeout", 60.0),
            reconnect=asked.get("reconnect", 60.0),
        )
        self.gateways[asked["gateway"]] = gateway
        return {}

    async def do_open(self, asked: Json) -> Json:
        session = await self.gateways[asked["gateway"]].open(
            "contract", backend_options_json=asked["options"], backend=asked.get("backend", "")
        )
        self.sessions[asked["session"]] = session
        return {"session_id": session.id}

    async def do_attach(self, asked: Json) -> Json:
        self.sessions[asked["session"]] = await self.gateways[asked["gateway"]].attach(asked["session_id"])
        return {}

    async def do_sessions(self, asked: Json) -> Json:
        return {"sessions": [session.session_id for session in await self.gateways[asked["gateway"]].sessions()]}

    async def do_about(self, asked: Json) -> Json:
        about = await self.sessions[asked["session"]].about()
        return {"state": state_of(about.state), "last": about.last_worker_sequence}

    async def do_register(self, asked: Json) -> Json:
        return {"server": (await self.sessions[asked["session"]].register(asked["name"])).handle}

    async def do_invoke_register(self, asked: Json) -> Json:
        session = self.sessions[asked["session"]]
        invoked = await session.invoke(
            commands.register(asked["name"]), command_id=asked["command"], timeout=asked.get("timeout")
        )
        return {
            "command": invoked.command_id,
            "server": invoked.result.server_handle,
            "repeated": invoked.repeated,
        }

    async def do_add_item(self, asked: Json) -> Json:
        buffered = asked.get("buffered", False)
        session = self.sessions[asked["session"]]
        item = await session.add_item(Server(asked["server"]), asked["item"], buffered=buffered)
        return {"handle": item.handle}

    async def do_advise(self, asked: Json) -> Json:
        revision = await self.sessions[asked["session"]].advise(item_of(asked))
        return {"revision": revision_told(revision) if revision else None}

    async def do_pace(self, asked: Json) -> Json:
        session = self.sessions[asked["session"]]
        return {"interval": await session.set_buffered_update_interval(Server(asked["server"]), asked["interval"])}

    async def do_write(self, asked: Json) -> Json:
        at = datetime.fromtimestamp(asked["at"] / 1000, UTC) if "at" in asked else None
        written = await self.sessions[asked["session"]].write(item_of(asked), asked["value"], source_time=at)
        return {"command": written.command_id, "repeated": written.repeated}

    async def do_write_until_complete(self, asked: Json) -> Json:
        written = await self.sessions[asked["session"]].write_until_complete(item_of(asked), asked["value"])
        return {"command": written.command_id, "repeated": written.repeated}

    async def do_read(self, asked: Json) -> Json:
        readings = await self.sessions[asked["session"]].read(asked["items"])
        return {"readings": [reading_told(reading) for reading in readings]}

    async def do_bulk(self, asked: Json) -> Json:
        parts = [commands.add_item(Server(asked["server"]), item) for item in asked["items"]]
        done = await self.sessions[asked["session"]].bulk(parts)
        return {"parts": [part.result.item_handle if isinstance(part, Done) else part.message for part in done]}

    async def do_worker(self, asked: Json) -> Json:
        session = self.sessions[asked["session"]]
        servers = (await session.worker_state()).servers
        items = [item for server in servers for item in server.items]
        revised = [revision_told(revision_of(item.revision)) for item in items if item.HasField("revision")]
        names = [server.client_name for server in servers]
        return {"pid": (await session.worker_info()).pid, "servers": names, "revisions": revised}

    async def do_stream(self, asked: Json) -> Json:
        after = Position(asked["after"]["sequence"], asked["after"]["epoch"]) if "after" in asked else None
        self.streams[asked["stream"]] = await self.sessions[asked["session"]].events(after)
        return self.position(asked["stream"])

    async def do_next(self, asked: Json) -> Json:
        """The next item; with a time to wait, perhaps none."""
        stream = self.streams[asked["stream"]]
        try:
            async with asyncio.timeout(asked.get("wait")):
                return item_told(await anext(stream))
        except TimeoutError:
            return {"nothing": True}
        except StopAsyncIteration:
            return {"end": True}

    async def do_take(self, asked: Json) -> Json:
        """So many items."""
        return {"items": [await self.do_next(asked) for _ in range(asked["count"])]}

    async def do_position(self, asked: Json) -> Json:
        return self.position(asked["stream"])

    def position(self, name: str) -> Json:
        position = self.streams[name].position
        return {"sequence": position.sequence, "epoch": position.epoch}

    async def do_leave(self, asked: Json) -> Json:
        await self.streams.pop(asked["stream"]).aclose()
        return {}

    async def do_alarms(self, asked: Json) -> Json:
        self.alarms[asked["stream"]] = await self.sessions[asked["session"]].alarms()
        return {}

    async def do_next_alarm(self, asked: Json) -> Json:
        match await anext(self.alarms[asked["stream"]]):
            case ActiveAlarm(alarm):
                return {"active": alarm_told(alarm)}
            case Transition(alarm):
                return {"transition": alarm_told(alarm)}
            case SnapshotComplete():
                return {"complete": True}
            case Interrupted():
                return {"interrupted": True}

    async def do_acknowledge(self, asked: Json) -> Json:
        await self.sessions[asked["session"]].acknowledge(asked["alarm"], asked["comment"])
        return {}

    async def do_close(self, asked: Json) -> Json:
        closed = await self.sessions[asked["session"]].close()
        return {"state": closed.state, "already": closed.already}

    async def do_kill(self, asked: Json) -> Json:
        closed = await self.sessions[asked["session"]].kill(asked["reason"])
        return {"state": closed.state, "already": closed.already}


def item_of(asked: Json) -> Item:
    return Item(Server(asked["server"]), asked["handle"])


def alarm_told(alarm: pb.Alarm) -> Json:
    return {"id": alarm.alarm_id, "active": alarm.active, "acknowledged": alarm.acknowledged}


def reading_told(reading: Reading) -> Json:
    match reading.sample:
        case Failure(message=message):
            return {"item": reading.item, "failure": message}
        case sample:
            return {"item": reading.item} | sample_told(sample)


def revision_told(revision: Revision) -> Json:
    return {"requested": rates_told(revision.requested), "revised": rates_told(revision.revised)}


def rates_told(rates: ItemRates) -> Json:
    lengths = {
        "sampling": rates.sampling_interval,
        "publishing": rates.publishing_interval,
        "keep_alive": rates.keep_alive_interval,
        "lifetime": rates.lifetime,
    }
    told = {name: length / timedelta(milliseconds=1) if length is not None else None for name, length in lengths.items()}
    return told | {"queue": rates.queue_size}


def sample_told(sample: Sample) -> Json:
    return {
        "value": sample.value,
        "good": sample.is_good,
        "source": millis(sample.source_time),
        "server": millis(sample.server_time),
        "received": millis(sample.received_time),
        "time": millis(sample.time),
    }


def millis(at: datetime | None) -> int | None:
    return round(at.timestamp() * 1000) if at else None


def item_told(told: Event | Gap) -> Json:
    match told:
        case Gap(after, oldest, cause):
            return {"gap": {"after": after, "oldest": oldest, "cause": cause.name.lower()}}
        case Event(sequence=sequence, item=item, body=DataChange(sample)):
            handle = item.handle if item else 0
            return {"change": {"sequence": sequence, "handle": handle} | sample_told(sample)}
        case Event(sequence=sequence, statuses=statuses, body=WriteComplete(command)):
            success = all(status.success for status in statuses)
            return {"written": {"sequence": sequence, "command": command, "success": success}}
        case Event(sequence=sequence, item=item, body=ItemRevised(revision)):
            handle = item.handle if item else 0
            return {"revised": {"sequence": sequence, "handle": handle, "revision": revision_told(revision)}}
        case Event(sequence=sequence):
            return {"other": {"sequence": sequence}}


def told(error: GatewayError) -> Json:
    kinds = {Refused: "refused", Failed: "failed", OutcomeUnknown: "unknown", Unreachable: "unreachable"}
    kind = kinds.get(type(error), "unreadable")
    command = error.command_id if isinstance(error, OutcomeUnknown) else None
    return {
        "kind": kind,
        "code": error.code.name,
        "reason": error.reason,
        "message": str(error),
        "command": command,
    }


async def main() -> None:
    driver = Driver()
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await driver.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
