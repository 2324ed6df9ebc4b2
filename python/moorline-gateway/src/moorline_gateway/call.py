"""One call, made again where that cannot do a thing twice; and the nine calls that there are."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from .errors import GatewayError, Kind, OutcomeUnknown, Refused, Unreachable, judge
from .proto import gateway_pb2 as pb

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

SERVICE = "moorline.gateway.v1.SessionGateway"

FIRST_WAIT_SEC = 0.2
"""The first wait before an attempt is repeated. A gateway that is restarted needs about as long."""

LONGEST_WAIT_SEC = 5.0
"""The longest wait: nobody should wait for longer than this after the gateway is back."""

OWN_PLACE_SEC = 45.0
"""For how long a place that is taken may still be our own, after our connection was lost: the gateway notices a client
that has vanished after twenty seconds of silence and ten of waiting."""


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Response]):
    """A call of the API."""

    name: str
    request: type[Request]
    response: type[Response]


OPEN_SESSION = Method("OpenSession", pb.OpenSessionRequest, pb.OpenSessionResponse)
GET_SESSION = Method("GetSession", pb.GetSessionRequest, pb.GetSessionResponse)
LIST_SESSIONS = Method("ListSessions", pb.ListSessionsRequest, pb.ListSessionsResponse)
INVOKE = Method("Invoke", pb.InvokeRequest, pb.InvokeResponse)
CLOSE_SESSION = Method("CloseSession", pb.CloseSessionRequest, pb.CloseSessionResponse)
KILL_WORKER = Method("KillWorker", pb.KillWorkerRequest, pb.KillWorkerResponse)
ACKNOWLEDGE_ALARM = Method("AcknowledgeAlarm", pb.AcknowledgeAlarmRequest, pb.AcknowledgeAlarmResponse)
STREAM_EVENTS = Method("StreamEvents", pb.StreamEventsRequest, pb.StreamEventsResponse)
STREAM_ALARMS = Method("StreamAlarms", pb.StreamAlarmsRequest, pb.StreamAlarmsResponse)


class Repeat(Enum):
    """What may be done about a call without an answer."""

    LOOK = "it only looks: it is made again"
    NAMED = "the gateway carries it out once: it is made again"
    NEVER = "it is not made again once it may have been carried out"


class Waits:
    """How long to wait before each attempt: twice as long each time, from the upper half of it, so that clients of a
    gateway that went away do not come back all at once."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT_SEC

    def next(self, hint: float | None) -> float:
        base, self._next = self._next, min(self._next * 2, LONGEST_WAIT_SEC)
        return max(base * random.uniform(0.5, 1.0), hint or 0.0)


class Patience:
    """How long something may take, counted from its beginning; `None` is for as long as it takes."""

    def __init__(self, total: float | None) -> None:
        self._began = time.monotonic()
        self.total = total

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def left(self) -> float | None:
        return None if self.total is None else max(0.0, self.total - self.elapsed())

    def allows(self, wait: float) -> bool:
        left = self.left()
        return left is None or wait <= left


class Caller:
    """Makes calls over one channel, which connects again by itself."""

    def __init__(self, channel: grpc.aio.Channel, key: str, call_timeout: float, reconnect: float | None) -> None:
        self.channel = channel
        self.call_timeout = call_timeout
        self.reconnect = reconnect
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._names = secrets.token_hex(16)
        self._numbers: Iterator[int] = iter(range(1, 1 << 63))

    def command_id(self) -> str:
        """A name that no other command has."""
        return f"cmd_{self._names}_{next(self._numbers)}"

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        repeat: Repeat,
        *,
        seconds: float | None = None,
        command_id: str | None = None,
    ) -> Response:
        """Makes a call, and makes it again for as long as that is of use.

        Raises a `GatewayError`: why there is no answer, or which other one.
        """
        attempt = self.channel.unary_unary(
            f"/{SERVICE}/{method.name}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        patience = Patience(self.call_timeout if seconds is None else seconds)
        waits = Waits()
        maybe_done = False
        while True:
            try:
                await self.connected(patience)
            except Unreachable as unreachable:
                raise unanswered(unreachable, repeat, maybe_done, command_id) from None
            try:
                return await attempt(request, metadata=self._metadata, timeout=patience.left())
            except grpc.aio.AioRpcError as status:
                kind, error = judge(status)
            if kind is Kind.FINAL:
                raise unanswered(error, repeat, maybe_done, command_id)
            if kind is Kind.UNKNOWN:
                raise unanswered(error, repeat, True, command_id)
            if kind is Kind.LOST:
                maybe_done = True
                if repeat is Repeat.NEVER:
                    raise unanswered(error, repeat, True, command_id)
            wait = waits.next(error.retry_after if isinstance(error, Refused) else None)
            if self.reconnect == 0 or not patience.allows(wait):
                raise unanswered(error, repeat, maybe_done, command_id)
            await asyncio.sleep(wait)

    def stream(
        self, method: Method[Request, Response], request: Request
    ) -> grpc.aio.UnaryStreamCall[Request, Response]:
        """Asks for a stream once."""
        attempt: grpc.aio.UnaryStreamMultiCallable[Request, Response] = self.channel.unary_stream(
            f"/{SERVICE}/{method.name}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return attempt(request, metadata=self._metadata)

    async def connected(self, patience: Patience) -> None:
        """Waits for a connection, so that what is sent after it is told from what cannot have been sent.

        Raises `Unreachable` when the patience is over, or at once if no connection is to be sought.
        """
        while (state := self.channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            has_failed = state is grpc.ChannelConnectivity.TRANSIENT_FAILURE
            if (has_failed and self.reconnect == 0) or patience.left() == 0:
                raise Unreachable("there is no connection to the gateway")
            try:
                await asyncio.wait_for(self.channel.wait_for_state_change(state), patience.left())
            except TimeoutError:
                raise Unreachable("there is no connection to the gateway") from None


def unanswered(error: GatewayError, repeat: Repeat, maybe_done: bool, command_id: str | None) -> GatewayError:
    """The error of a call that was given up for this one."""
    if maybe_done and repeat is not Repeat.LOOK:
        return OutcomeUnknown(command_id, error)
    return error
