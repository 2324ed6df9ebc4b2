"""A client of Moorline's session gateway, `moorline.gateway.v1`, for asyncio.

    async with connect("http://127.0.0.1:7709", key) as gateway:
        session = await gateway.open("line 1")
        server = await session.register("line 1")
        ramp = await session.add_item(server, "Plant.Ramp")
        async with await session.events() as events:
            await session.advise(ramp)
            async for told in events:
                match told:
                    case Event(body=DataChange(sample)):
                        print(told.sequence, sample.value)
                    case Gap():
                        print(told, "look at the items anew")

Lost connections: a stream goes on behind the last event that was handed out, so nothing is missed and nothing comes
twice. A command whose connection was lost is asked for again under its name, which carries it out once.

Gaps: what the gateway does not retain is an item of the stream, of another type than an event. It has none of an event's
attributes, so a program that does not look for it fails at the first one instead of going on with what is out of date; a
type checker says so before. An exception would say it as loudly, but would end an `async for` that ought to go on.
"""

from . import commands
from .alarms import ActiveAlarm, AlarmStream, AlarmTold, Interrupted, SnapshotComplete, Transition
from .client import Gateway, connect
from .errors import Failed, Failure, GatewayError, OutcomeUnknown, Refused, Unreachable, Unreadable
from .events import (
    AlarmSaid,
    AlarmSnapshotComplete,
    BackendGap,
    BufferedDataChange,
    DataChange,
    Event,
    EventBody,
    EventStream,
    Gap,
    GapCause,
    ItemRevised,
    OperationComplete,
    Position,
    Told,
    UnknownBody,
    WriteComplete,
)
from .session import Closed, Done, Invoked, Reading, Session, Written
from .values import Item, ItemRates, Revision, Sample, Server, User, Value

__all__ = [
    "ActiveAlarm",
    "AlarmSaid",
    "AlarmSnapshotComplete",
    "AlarmStream",
    "AlarmTold",
    "BackendGap",
    "BufferedDataChange",
    "Closed",
    "DataChange",
    "Done",
    "Event",
    "EventBody",
    "EventStream",
    "Failed",
    "Failure",
    "Gap",
    "GapCause",
    "Gateway",
    "GatewayError",
    "Interrupted",
    "Invoked",
    "Item",
    "ItemRates",
    "ItemRevised",
    "OperationComplete",
    "OutcomeUnknown",
    "Position",
    "Reading",
    "Refused",
    "Revision",
    "Sample",
    "Server",
    "Session",
    "SnapshotComplete",
    "Told",
    "Transition",
    "UnknownBody",
    "Unreachable",
    "Unreadable",
    "User",
    "Value",
    "WriteComplete",
    "Written",
    "commands",
    "connect",
]
