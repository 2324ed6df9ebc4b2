"""A session's events, from a number on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from .call import STREAM_EVENTS, Caller
from .proto import gateway_pb2 as pb
from .streaming import Streaming
from .values import Item, Revision, Sample, Server, revision_of, sample_of, time_of


@dataclass(frozen=True, slots=True)
class Position:
    """How far a stream has come. A program that is to go on after its own restart keeps this beside what it has made of
    the events."""

    sequence: int
    epoch: str
    """In which the number was given: numbers of another one say nothing."""


@dataclass(frozen=True, slots=True)
class DataChange:
    """An item has another value, quality or time."""

    sample: Sample


@dataclass(frozen=True, slots=True)
class BufferedDataChange:
    """What an item has been since the last time, collected."""

    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class ItemRevised:
    """How an item is told is other than was said last, or was not said yet."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class WriteComplete:
    """A write is complete, as the statuses say."""

    command_id: str


@dataclass(frozen=True, slots=True)
class OperationComplete:
    """Another command is complete."""

    command_id: str


@dataclass(frozen=True, slots=True)
class BackendGap:
    """The back end has lost values of its own accord: nothing that the gateway could replay."""

    reason: str


@dataclass(frozen=True, slots=True)
class AlarmSaid:
    """An alarm, in a session that has subscribed to them."""

    alarm: pb.Alarm


@dataclass(frozen=True, slots=True)
class AlarmSnapshotComplete:
    """The active alarms have all been told."""


@dataclass(frozen=True, slots=True)
class UnknownBody:
    """Something that this client does not know, of a later version of the API."""


EventBody = (
    DataChange
    | BufferedDataChange
    | ItemRevised
    | WriteComplete
    | OperationComplete
    | BackendGap
    | AlarmSaid
    | AlarmSnapshotComplete
    | UnknownBody
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in a session."""

    sequence: int
    """The worker's number of it. Numbers rise, and need not be dense."""
    at: datetime | None
    item: Item | None
    statuses: tuple[pb.Status, ...]
    body: EventBody


class GapCause(Enum):
    """Why there is a gap."""

    RETENTION = "what followed is not all retained"
    OTHER_JOURNAL = "the gateway has another journal than the one whose numbers these were"
    NO_NUMBER = "the connection was lost before the first event"
    UNKNOWN = "the gateway does not say why in words that this client knows"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something may have happened that is not told. What is known of the session's items is to be discarded, and they are
    to be looked at anew. It has none of an event's attributes."""

    after: int
    """The last number that the stream had told, or was asked to go on behind."""
    oldest_available: int
    cause: GapCause

    def __str__(self) -> str:
        return f"behind event {self.after}: {self.cause.value}; it goes on with {self.oldest_available}"


Told = Event | Gap
"""What a stream of events is made of."""


class EventStream(Streaming[pb.StreamEventsRequest, pb.StreamEventsResponse, Told]):
    """A session's events: iterate over it. See `Session.events`."""

    def __init__(self, caller: Caller, session_id: str, position: Position) -> None:
        super().__init__(caller, STREAM_EVENTS)
        self._session_id = session_id
        self.position = position
        """How far it has come."""

    def _request(self) -> pb.StreamEventsRequest:
        return pb.StreamEventsRequest(
            session_id=self._session_id,
            after_worker_sequence=self.position.sequence,
            epoch=self.position.epoch,
        )

    def _take(self, response: pb.StreamEventsResponse) -> Told | None:
        if response.HasField("replay_gap"):
            gap = response.replay_gap
            self.position = Position(max(gap.oldest_available_sequence - 1, 0), gap.epoch)
            cause = CAUSES.get(gap.cause, GapCause.UNKNOWN)
            return Gap(gap.requested_after_sequence, gap.oldest_available_sequence, cause)
        # What was handed out is not handed out again, whatever the gateway does.
        if not response.HasField("event") or response.event.worker_sequence <= self.position.sequence:
            return None
        self.position = Position(response.event.worker_sequence, self.position.epoch)
        return event_of(response.event)

    def _reopened(self) -> Told | None:
        return Gap(0, 1, GapCause.NO_NUMBER) if self.position.sequence == 0 else None


CAUSES: dict[int, GapCause] = {
    pb.REPLAY_GAP_CAUSE_RETENTION: GapCause.RETENTION,
    pb.REPLAY_GAP_CAUSE_EPOCH: GapCause.OTHER_JOURNAL,
}


def event_of(event: pb.Event) -> Event:
    at = time_of(event.worker_time) if event.HasField("worker_time") else None
    item = Item(Server(event.server_handle), event.item_handle) if event.item_handle else None
    return Event(event.worker_sequence, at, item, tuple(event.statuses), body_of(event))


def body_of(event: pb.Event) -> EventBody:
    match event.WhichOneof("body"):
        case "data_change":
            return DataChange(sample_of(event.data_change.sample))
        case "buffered_data_change":
            return BufferedDataChange(tuple(sample_of(sample) for sample in event.buffered_data_change.samples))
        case "item_revised":
            return ItemRevised(revision_of(event.item_revised.revision))
        case "write_complete":
            return WriteComplete(event.write_complete.command_id)
        case "operation_complete":
            return OperationComplete(event.operation_complete.command_id)
        case "backend_gap":
            return BackendGap(event.backend_gap.reason)
        case "alarm":
            return AlarmSaid(event.alarm)
        case "alarm_snapshot_complete":
            return AlarmSnapshotComplete()
        case _:
            return UnknownBody()
