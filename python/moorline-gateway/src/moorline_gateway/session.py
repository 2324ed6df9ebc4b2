"""A session of the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import grpc

from . import commands
from .alarms import AlarmStream
from .call import ACKNOWLEDGE_ALARM, CLOSE_SESSION, GET_SESSION, INVOKE, KILL_WORKER, Caller, Repeat
from .errors import Failed, Failure, OutcomeUnknown, Unreadable
from .events import EventStream, Position
from .proto import gateway_pb2 as pb
from .values import Item, Revision, Sample, Server, User, Value, duration_of, revision_of, sample_of

ANSWER_GRACE_SEC = 10.0
"""How much longer than a command may take is waited for its answer, which says that it took too long: the way there and
back, and an outage that is short."""

DEFAULT_COMMAND_TIMEOUT_SEC = 30.0
"""How long a command may take of a session that does not say."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One item as it is: what was read, or why it could not be."""

    item: str
    sample: Sample | Failure


@dataclass(frozen=True, slots=True)
class Done:
    """A part of a bulk that was carried out."""

    result: pb.CommandResult


@dataclass(frozen=True, slots=True)
class Invoked:
    """The answer to a command."""

    command_id: str
    result: pb.CommandResult
    worker_sequence: int
    """The number that the worker gave its answer: every event of the session with a smaller one came before it."""
    repeated: bool
    """Whether the answer was there already, because the command is a repetition."""
    completions: tuple[pb.Completion, ...] = ()
    """How each write and operation has ended that it began, in the order in which they did, if that was waited for."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that the back end has taken in. A `WriteComplete` with its name says that it is complete."""

    command_id: str
    worker_sequence: int
    repeated: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """How a session has ended."""

    state: str
    """Where it stands, as the API names it, without `SESSION_STATE_`."""
    already: bool
    """Whether somebody else had begun to close it, or an attempt of this client whose answer was lost."""


class Session:
    """A session of the gateway. Every method raises a `GatewayError` if it has not done what it says."""

    def __init__(self, caller: Caller, session: pb.Session) -> None:
        self._caller = caller
        self.id = session.session_id
        has_timeout = session.HasField("command_timeout")
        timeout = session.command_timeout.ToTimedelta().total_seconds() if has_timeout else DEFAULT_COMMAND_TIMEOUT_SEC
        self._command_timeout = timeout

    async def about(self) -> pb.Session:
        """What there is to know of it."""
        return await about(self._caller, self.id)

    async def invoke(
        self,
        command: pb.Command,
        *,
        command_id: str | None = None,
        timeout: float | None = None,
        until_complete: bool = False,
    ) -> Invoked:
        """Has the worker carry out a command, under a name of its own unless it has one. It is asked for again, under the
        same name, while connections are lost and time is left, and is carried out once. That the back end has not done it
        is in the answer. With `until_complete` the answer comes when what the command begins is complete: a write, a
        pause, the end of one."""
        name = command_id or self._caller.command_id()
        request = pb.InvokeRequest(
            session_id=self.id, command_id=name, command=command, until_complete=until_complete
        )
        if timeout is not None:
            request.timeout.CopyFrom(duration_of(timeout))
        seconds = (self._command_timeout if timeout is None else timeout) + ANSWER_GRACE_SEC
        answer = await self._caller.call(INVOKE, request, Repeat.NAMED, seconds=seconds, command_id=name)
        if not answer.HasField("result"):
            raise Unreadable("result")
        completions = tuple(answer.completions)
        return Invoked(name, answer.result, answer.worker_sequence, answer.repeated, completions)

    async def _done(self, command: pb.Command, brings: str | None = None) -> pb.CommandResult:
        """What a command that has to succeed has brought; readings and parts are brought whether or not all succeed."""
        return brought((await self.invoke(command)).result, brings)

    async def register(self, client: str) -> Server:
        """Opens a client session of the back end."""
        return Server((await self._done(commands.register(client), "server_handle")).server_handle)

    async def unregister(self, server: Server) -> None:
        """Closes one, with its items."""
        await self._done(commands.unregister(server))

    async def add_item(self, server: Server, item: str, *, context: str = "", buffered: bool = False) -> Item:
        """Names an item. One that the back end does not know is no error: its status comes as a data change."""
        add = commands.add_item(server, item, context=context, buffered=buffered)
        return Item(server, (await self._done(add, "item_handle")).item_handle)

    async def remove_item(self, item: Item) -> None:
        """Forgets an item."""
        await self._done(commands.remove_item(item))

    async def advise(self, item: Item, *, supervisory: bool = False) -> Revision | None:
        """Begins the item's data changes, and answers how the item is told, if the back end has said so; else an
        `ItemRevised` follows. Must come before a write; none of them needs a user if it is supervisory."""
        result = await self._done(commands.advise(item, supervisory=supervisory))
        return revision_of(result.revision) if result.WhichOneof("value") == "revision" else None

    async def un_advise(self, item: Item) -> None:
        """Ends the item's data changes."""
        await self._done(commands.un_advise(item))

    async def suspend(self, item: Item) -> None:
        """Pauses an item."""
        await self._done(commands.suspend(item))

    async def activate(self, item: Item) -> None:
        """Ends a pause."""
        await self._done(commands.activate(item))

    async def write(
        self,
        item: Item,
        value: Value,
        *,
        user: User | None = None,
        source_time: datetime | None = None,
        command_id: str | None = None,
    ) -> Written:
        """Writes a value. The answer says that the back end has taken it in; that it is complete is an event."""
        command = commands.write(item, value, user=user, source_time=source_time)
        return written(await self.invoke(command, command_id=command_id))

    async def write_until_complete(
        self, item: Item, value: Value, *, user: User | None = None, command_id: str | None = None
    ) -> Written:
        """Writes a value, and waits until that is complete. Raises `Failed` also if the back end has taken it in and says
        then that it was not written."""
        command = commands.write(item, value, user=user)
        invoked = await self.invoke(command, command_id=command_id, until_complete=True)
        taken_in = written(invoked)
        if not invoked.completions:
            raise Unreadable("completion")
        for ended in invoked.completions:
            if not all(status.success for status in ended.statuses):
                raise Failed(failure_of_statuses(ended.statuses))
        return taken_in

    async def write_secured(self, item: Item, value: Value, user: User, verifier: User) -> Written:
        """Writes a value as one user, with another who verifies it."""
        return written(await self.invoke(commands.write_secured(item, value, user, verifier)))

    async def authenticate_user(self, server: Server, user: str, password: str) -> User:
        """Finds out who somebody is."""
        who = commands.authenticate_user(server, user, password)
        return User((await self._done(who, "user_handle")).user_handle)

    async def set_buffered_update_interval(self, server: Server, interval_ms: int) -> int:
        """Says how often collected changes are told, and answers how often they are."""
        command = commands.set_buffered_update_interval(server, interval_ms)
        return (await self._done(command, "interval_ms")).interval_ms

    async def read(self, items: Iterable[str]) -> list[Reading]:
        """Reads items by name, without handles; each is answered by itself, in their order."""
        result = await self._done(commands.read(items), "readings")
        return [reading_of(reading) for reading in result.readings.readings]

    async def bulk(self, parts: Iterable[pb.Command]) -> list[Done | Failure]:
        """Has several commands carried out one after the other in one round trip; each is answered by itself, in their
        order."""
        result = await self._done(commands.bulk(parts), "results")
        return [Done(part) if part.success else failure_of(part) for part in result.results.results]

    async def worker_state(self) -> pb.WorkerSessionState:
        """What the worker holds: its client sessions and items, and the commands that it knows by name."""
        return (await self._done(commands.worker_state(), "session_state")).session_state

    async def worker_info(self) -> pb.WorkerInfo:
        """What runs the session."""
        return (await self._done(commands.worker_info(), "worker_info")).worker_info

    async def events(self, after: Position | None = None) -> EventStream:
        """The session's events: those that follow a position, or what happens from now on. The stream goes on by itself
        when its connection is lost, and when the gateway has disconnected it because it did not keep up."""
        if after is None:
            # By its number: a stream that has not seen anything yet could not be gone on with.
            session = await self.about()
            after = Position(session.last_worker_sequence, session.epoch)
        stream = EventStream(self._caller, self.id, after)
        await stream._begin()
        return stream

    async def alarms(self) -> AlarmStream:
        """The session's alarms. The stream goes on by itself when its connection is lost; it does not keep the session
        alive."""
        stream = AlarmStream(self._caller, self.id)
        await stream._begin()
        return stream

    async def acknowledge(self, alarm_id: str, comment: str) -> None:
        """Acknowledges an alarm."""
        name = self._caller.command_id()
        request = pb.AcknowledgeAlarmRequest(
            session_id=self.id, command_id=name, alarm_id=alarm_id, comment=comment
        )
        seconds = self._command_timeout + ANSWER_GRACE_SEC
        answer = await self._caller.call(
            ACKNOWLEDGE_ALARM, request, Repeat.NAMED, seconds=seconds, command_id=name
        )
        brought(answer.result, None)

    async def close(self) -> Closed:
        """Ends the session in order."""
        request = pb.CloseSessionRequest(session_id=self.id)
        try:
            closed = await self._caller.call(CLOSE_SESSION, request, Repeat.NAMED)
        except OutcomeUnknown as error:
            return ended(error)
        return Closed(state_of(closed.final_state), closed.already_closing)

    async def kill(self, reason: str) -> Closed:
        """Ends the session's worker at once, and the session with it. The reason must not be blank."""
        request = pb.KillWorkerRequest(session_id=self.id, reason=reason)
        try:
            killed = await self._caller.call(KILL_WORKER, request, Repeat.NAMED)
        except OutcomeUnknown as error:
            return ended(error)
        return Closed(state_of(killed.final_state), False)


async def about(caller: Caller, session_id: str) -> pb.Session:
    """What there is to know of a session."""
    found = await caller.call(GET_SESSION, pb.GetSessionRequest(session_id=session_id), Repeat.LOOK)
    return found.session


def state_of(state: int) -> str:
    """A state as the API names it."""
    is_known = state in pb.SessionState.values()
    return pb.SessionState.Name(pb.SessionState.ValueType(state)).removeprefix("SESSION_STATE_") if is_known else "UNSPECIFIED"


def ended(error: OutcomeUnknown) -> Closed:
    """A session that is gone when it is asked for again was ended by the attempt whose answer was lost."""
    if error.code is grpc.StatusCode.NOT_FOUND:
        return Closed("CLOSED", True)
    raise error


def failure_of(result: pb.CommandResult) -> Failure:
    return Failure(result.message, tuple(result.statuses), result.hresult)


def failure_of_statuses(statuses: Sequence[pb.Status]) -> Failure:
    """Of something that the back end has taken in and has not done then."""
    failed = [f"{category_of(status.category)} {status.detail}" for status in statuses if not status.success]
    return Failure(f"the back end says {', '.join(failed)}", tuple(statuses))


def category_of(category: int) -> str:
    """A category of a status as the API names it."""
    is_known = category in pb.StatusCategory.values()
    name = pb.StatusCategory.Name(pb.StatusCategory.ValueType(category)) if is_known else "UNKNOWN"
    return name.removeprefix("STATUS_CATEGORY_").lower()


def brought(result: pb.CommandResult, brings: str | None) -> pb.CommandResult:
    has_parts = result.WhichOneof("value") in ("readings", "results")
    if not result.success and not has_parts:
        raise Failed(failure_of(result))
    if brings is not None and result.WhichOneof("value") != brings:
        raise Unreadable(brings.replace("_", " "))
    return result


def written(invoked: Invoked) -> Written:
    brought(invoked.result, None)
    return Written(invoked.command_id, invoked.worker_sequence, invoked.repeated)


def reading_of(reading: pb.Reading) -> Reading:
    is_read = reading.success and reading.HasField("sample")
    failure = Failure(reading.message, tuple(reading.statuses))
    return Reading(reading.item, sample_of(reading.sample) if is_read else failure)
