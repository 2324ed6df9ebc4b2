"""Values, and the handles that a back end gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from .proto import gateway_pb2 as pb

Value = None | bool | int | float | str
"""A value of an item."""


@dataclass(frozen=True, slots=True)
class Server:
    """A client session of the back end: what `Session.register` has answered."""

    handle: int


@dataclass(frozen=True, slots=True)
class Item:
    """An item in a client session of the back end."""

    server: Server
    handle: int


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user of a client session; zero is nobody."""

    handle: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """A value with its quality and its times. On a bad status it is not new data."""

    value: Value
    quality: int
    """OPC style: 192 is good, 64 uncertain, 0 bad; sub-status in bits 2 to 5, limits in bits 0 and 1."""
    source_time: datetime | None
    """When it became so, as its source says, if it does."""
    raw_status: int
    server_time: datetime | None = None
    """When the back end has seen it so, if it says."""
    received_time: datetime | None = None
    """When the session's worker was told; absent from a worker that is older than this."""

    @property
    def is_good(self) -> bool:
        """Whether the quality is good."""
        return self.quality & 0xC0 == 0xC0

    @property
    def time(self) -> datetime | None:
        """The time that says most: the source's, else the back end's, else the worker's."""
        return self.source_time or self.server_time or self.received_time


@dataclass(frozen=True, slots=True)
class ItemRates:
    """How an item is told. What is absent the back end does not have, or does not say."""

    sampling_interval: timedelta | None = None
    """How often its value is looked at; zero is as soon as it changes."""
    queue_size: int | None = None
    """Changes of it that the back end keeps between two times of telling."""
    publishing_interval: timedelta | None = None
    """How often changes are told."""
    keep_alive_interval: timedelta | None = None
    """After how long without a change the back end says that it is there."""
    lifetime: timedelta | None = None
    """How long the back end keeps what is advised without hearing of the worker."""


@dataclass(frozen=True, slots=True)
class Revision:
    """What was asked of the back end for an item, and what it has made of that."""

    requested: ItemRates
    revised: ItemRates


def to_proto(value: Value) -> pb.Value:
    # A bool is an int to Python, so it is asked for first.
    if value is None:
        return pb.Value()
    if isinstance(value, bool):
        return pb.Value(bool_value=value)
    if isinstance(value, int):
        return pb.Value(integer_value=value)
    if isinstance(value, float):
        return pb.Value(double_value=value)
    return pb.Value(string_value=value)


def of_proto(value: pb.Value) -> Value:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "integer_value":
            return value.integer_value
        case "double_value":
            return value.double_value
        case "string_value":
            return value.string_value
        case _:
            return None


def sample_of(sample: pb.Sample) -> Sample:
    return Sample(
        of_proto(sample.value),
        sample.quality,
        time_of(sample.source_time) if sample.HasField("source_time") else None,
        sample.raw_status,
        time_of(sample.server_time) if sample.HasField("server_time") else None,
        time_of(sample.received_time) if sample.HasField("received_time") else None,
    )


def revision_of(revision: pb.Revision) -> Revision:
    return Revision(rates_of(revision.requested), rates_of(revision.revised))


def rates_of(rates: pb.ItemRates) -> ItemRates:
    return ItemRates(
        rates.sampling_interval.ToTimedelta() if rates.HasField("sampling_interval") else None,
        rates.queue_size if rates.HasField("queue_size") else None,
        rates.publishing_interval.ToTimedelta() if rates.HasField("publishing_interval") else None,
        rates.keep_alive_interval.ToTimedelta() if rates.HasField("keep_alive_interval") else None,
        rates.lifetime.ToTimedelta() if rates.HasField("lifetime") else None,
    )


def time_of(at: Timestamp) -> datetime:
    return at.ToDatetime(UTC)


def duration_of(seconds: float) -> Duration:
    length = Duration()
    length.FromTimedelta(timedelta(seconds=seconds))
    return length
