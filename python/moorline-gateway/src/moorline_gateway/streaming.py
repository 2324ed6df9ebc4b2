"""A stream that is asked for again when its connection is lost. What it goes on behind is its source's to know."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message

from .call import OWN_PLACE_SEC, Caller, Method, Patience, Waits
from .errors import GatewayError, Kind, Refused, Unreachable, judge

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Told = TypeVar("Told")

LOG = logging.getLogger("moorline_gateway")

REFUSAL_SEC = 1.0
"""How long is waited for the status of a stream that has no metadata. It comes with the same packet if it does."""

PLACE_TAKEN = ("EVENT_SUBSCRIBER_ALREADY_ACTIVE", "EVENT_SUBSCRIBER_LIMIT_REACHED")


class Streaming(ABC, Generic[Request, Response, Told]):
    """Iterate over it. Waiting for the next item may be given up at any time, and nothing is lost by it."""

    def __init__(self, caller: Caller, method: Method[Request, Response]) -> None:
        self._caller = caller
        self._method = method
        self._call: grpc.aio.UnaryStreamCall[Request, Response] | None = None
        self._waits = Waits()
        self._is_over = False
        self._next: asyncio.Task[Callable[[], Told | None] | None] | None = None
        """Reads what comes next. A wait that is given up leaves it be, and the next wait is for the same."""
        self.connections = 0
        """How often the stream was opened."""

    @abstractmethod
    def _request(self) -> Request:
        """What follows is asked for so."""

    @abstractmethod
    def _take(self, response: Response) -> Told | None:
        """What the program is handed for this, if anything."""

    @abstractmethod
    def _reopened(self) -> Told | None:
        """What the program is handed because the stream was asked for again, if anything."""

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leaves the stream."""
        self._is_over = True
        if (reading := self._next) is not None:
            self._next = None
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        self._drop()

    async def __anext__(self) -> Told:
        """What comes next.

        Raises a `GatewayError`: why the stream is over, if it is not over because the session is.
        """
        while True:
            if (reading := self._next) is None:
                reading = self._next = asyncio.create_task(self._read())
            # Unlike the task's own result, this can be given up without an end of the task.
            await asyncio.wait({reading})
            if self._next is not reading:
                # Somebody else has waited too, and has it.
                continue
            self._next = None
            if (hand_over := reading.result()) is None:
                raise StopAsyncIteration
            if (told := hand_over()) is not None:
                return told

    async def _read(self) -> Callable[[], Told | None] | None:
        """What hands the next thing over to the program: the stream's position is behind what was handed over, and not
        behind what was read. Nothing when the stream is over.
        """
        while not self._is_over:
            if self._call is None:
                await self._seek()
                return self._reopened
            try:
                response = await self._call.read()
            except grpc.aio.AioRpcError as status:
                kind, error = judge(status)
                self._drop()
                if not self._is_lost(kind, error):
                    self._is_over = True
                    raise error from None
                LOG.info("a stream is asked for again: %s", error)
                await asyncio.sleep(self._waits.next(error.retry_after if isinstance(error, Refused) else None))
                continue
            if not isinstance(response, self._method.response):
                # The session is over: the one other thing that is read is the end.
                break
            self._waits = Waits()
            return partial(self._take, response)
        self._is_over = True
        return None

    def _is_lost(self, kind: Kind, error: GatewayError) -> bool:
        if self._caller.reconnect == 0:
            return False
        # What did not keep up goes on: the rest is in the journal, or its absence is told.
        is_overflow = error.reason == "EVENT_QUEUE_OVERFLOW"
        return kind in (Kind.LOST, Kind.LATER) or is_overflow

    def _drop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    async def _begin(self) -> None:
        """Opens the stream a first time."""
        await self._open(Patience(self._caller.call_timeout), is_return=False)

    async def _seek(self) -> None:
        await self._open(Patience(self._caller.reconnect), is_return=True)

    async def _open(self, patience: Patience, *, is_return: bool) -> None:
        while True:
            try:
                await self._caller.connected(patience)
                self._call = self._caller.stream(self._method, self._request())
                async with asyncio.timeout(self._caller.call_timeout):
                    await self._answered(self._call)
                self.connections += 1
                return
            except grpc.aio.AioRpcError as status:
                kind, error = judge(status)
            except TimeoutError:
                kind, error = Kind.LOST, Unreachable("no answer in time")
            except Unreachable as unreachable:
                self._is_over = is_return
                raise unreachable from None
            except asyncio.CancelledError:
                self._drop()
                raise
            self._drop()
            is_own_place = is_return and error.reason in PLACE_TAKEN and patience.elapsed() < OWN_PLACE_SEC
            wait = self._waits.next(error.retry_after if isinstance(error, Refused) else None)
            is_hopeless = kind in (Kind.FINAL, Kind.UNKNOWN) and not is_own_place
            if is_hopeless or self._caller.reconnect == 0 or not patience.allows(wait):
                self._is_over = is_return
                raise error
            await asyncio.sleep(wait)

    async def _answered(self, call: grpc.aio.UnaryStreamCall[Request, Response]) -> None:
        """Waits until the gateway has taken the stream; raises the status if it has refused it."""
        if await call.initial_metadata():
            return
        # A refusal is a status alone, with nothing before it; so might be what something in between makes of a stream.
        try:
            async with asyncio.timeout(REFUSAL_SEC):
                code = await call.code()
        except TimeoutError:
            return
        if code is not grpc.StatusCode.OK:
            initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
            raise grpc.aio.AioRpcError(code, initial, trailing, details=await call.details())
