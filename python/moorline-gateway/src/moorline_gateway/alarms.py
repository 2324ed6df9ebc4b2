"""A session's alarms: those that are active, then every transition."""

from __future__ import annotations

from dataclasses import dataclass

from .call import STREAM_ALARMS, Caller
from .proto import gateway_pb2 as pb
from .streaming import Streaming


@dataclass(frozen=True, slots=True)
class ActiveAlarm:
    """An alarm that is active as the stream begins."""

    alarm: pb.Alarm


@dataclass(frozen=True, slots=True)
class SnapshotComplete:
    """Those are all that are active; changes follow."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An alarm was raised, acknowledged or cleared."""

    alarm: pb.Alarm


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The connection was lost, and transitions may not have been told. What is known of the alarms is to be discarded:
    those that are active are told once more."""


AlarmTold = ActiveAlarm | SnapshotComplete | Transition | Interrupted
"""What a stream of alarms is made of."""


class AlarmStream(Streaming[pb.StreamAlarmsRequest, pb.StreamAlarmsResponse, AlarmTold]):
    """A session's alarms: iterate over it. See `Session.alarms`."""

    def __init__(self, caller: Caller, session_id: str) -> None:
        super().__init__(caller, STREAM_ALARMS)
        self._session_id = session_id

    def _request(self) -> pb.StreamAlarmsRequest:
        return pb.StreamAlarmsRequest(session_id=self._session_id)

    def _take(self, response: pb.StreamAlarmsResponse) -> AlarmTold | None:
        match response.WhichOneof("item"):
            case "active_alarm":
                return ActiveAlarm(response.active_alarm)
            case "snapshot_complete":
                return SnapshotComplete()
            case "transition":
                return Transition(response.transition)
            case _:
                return None

    def _reopened(self) -> AlarmTold | None:
        return Interrupted()
