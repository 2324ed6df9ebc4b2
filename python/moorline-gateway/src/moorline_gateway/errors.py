"""Why a call has not done what it was to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import grpc

from .proto import gateway_pb2 as pb

ERROR_INFO_KEY = "moorline-error-bin"
"""The metadata beside a status that has an `ErrorInfo`."""


class GatewayError(Exception):
    """Why a call has not done what it was to do."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    reason: str = "UNSPECIFIED"
    """Why, as the API names it, without `ERROR_CODE_`."""


class Refused(GatewayError):
    """The gateway has refused: nothing was done."""

    def __init__(self, code: grpc.StatusCode, message: str, info: pb.ErrorInfo) -> None:
        super().__init__(message or code.name)
        self.code = code
        self.reason = pb.ErrorCode.Name(info.code).removeprefix("ERROR_CODE_") if is_known(info) else "UNSPECIFIED"
        self.session_id = info.session_id
        """Which session it is about; empty if it is about none."""
        self.last_delivered_sequence = info.last_delivered_sequence or None
        """Of a stream that did not keep up: the last number that was handed over for sending."""
        self.retry_after = info.retry_after.ToTimedelta().total_seconds() if info.HasField("retry_after") else None
        """When it makes sense to ask again, in seconds, if the gateway said."""


def is_known(info: pb.ErrorInfo) -> bool:
    return info.code in pb.ErrorCode.values()


@dataclass(frozen=True, slots=True)
class Failure:
    """What the back end said when it did not do something."""

    message: str
    statuses: tuple[pb.Status, ...] = field(default=())
    hresult: int = 0


class Failed(GatewayError):
    """The back end was asked and has not done it."""

    code = grpc.StatusCode.FAILED_PRECONDITION

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message or "the back end has not done it")
        self.failure = failure


class Unreachable(GatewayError):
    """There was no answer for as long as one was sought. Nothing was asked for, or only to look."""

    code = grpc.StatusCode.UNAVAILABLE


class OutcomeUnknown(GatewayError):
    """It may have been done, and may yet be. Asking again under the command's name does not repeat it."""

    def __init__(self, command_id: str | None, cause: GatewayError) -> None:
        remedy = f"; ask again as command {command_id}, which does not repeat it" if command_id else ""
        super().__init__(f"{cause}; whether it was carried out is not known{remedy}")
        self.code = cause.code
        self.reason = cause.reason
        self.command_id = command_id
        """The command's name; none for what has no name."""
        self.cause = cause


class Unreadable(GatewayError):
    """The gateway has answered, but not with what the call is answered with: it is of another version."""

    code = grpc.StatusCode.INTERNAL

    def __init__(self, missing: str) -> None:
        super().__init__(f"the gateway's answer has no {missing}; it is of another version than this client")


class Kind(Enum):
    """What a status says of the call that it ended."""

    FINAL = "the gateway has answered, and will not answer otherwise"
    LATER = "nothing was done, and it may be in a while"
    UNKNOWN = "the gateway has answered that it may have been done"
    LOST = "the call got there, perhaps, and there is no answer"


def judge(error: grpc.aio.AioRpcError) -> tuple[Kind, GatewayError]:
    """What the error of a call means, and how it is told."""
    info = info_of(error)
    code = error.code()
    if info is None and code in CONNECTION_LOST:
        return Kind.LOST, Unreachable(f"the connection to the gateway was lost ({error.details()})")
    if info is None and code is grpc.StatusCode.DEADLINE_EXCEEDED:
        # Of the call, and not of the command: that one is the gateway's to tell.
        lost = Unreachable("no answer in time")
        lost.code = code
        return Kind.LOST, lost
    refused = Refused(code, error.details() or "", info or pb.ErrorInfo())
    if info is not None and info.outcome_unknown:
        return Kind.UNKNOWN, refused
    if code is grpc.StatusCode.UNAVAILABLE and refused.reason in ("UNAVAILABLE", "SESSION_NOT_READY"):
        return Kind.LATER, refused
    return Kind.FINAL, refused


# What a connection's end looks like when the gateway has said nothing of its own.
CONNECTION_LOST = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
)


def info_of(error: grpc.aio.AioRpcError) -> pb.ErrorInfo | None:
    """What the gateway has said beside the status; none if it was not the gateway that said it."""
    for metadata in (error.trailing_metadata(), error.initial_metadata()):
        for key, value in metadata or ():
            if key == ERROR_INFO_KEY and isinstance(value, bytes):
                return pb.ErrorInfo.FromString(value)
    return None
