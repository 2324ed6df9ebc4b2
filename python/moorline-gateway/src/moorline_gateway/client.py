"""A gateway, and the sessions in it."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import grpc

from .call import LIST_SESSIONS, OPEN_SESSION, Caller, Repeat
from .proto import gateway_pb2 as pb
from .session import Session, about
from .values import duration_of

DEFAULT_CALL_TIMEOUT_SEC = 60.0
"""How long a call that is no command may take, outages included: opening a session waits for its worker, which has half
of this."""

DEFAULT_RECONNECT_SEC = 600.0
"""For how long a stream seeks a connection: a session outlives its gateway by five minutes, and a gateway takes some time
to come back."""

DEFAULT_MAX_MESSAGE_BYTES = 16 << 20
"""The largest message that is read: as much as the gateway sends."""

KEEP_ALIVE_MS = 10_000
"""After how much silence the gateway is asked for a sign of life while a call is under way, and how long it has for
that. A gateway that has vanished with its machine is noticed by this alone."""


class Gateway:
    """A connection to a session gateway. Made by `connect`; used with `async with`, or closed with `aclose`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection. Sessions go on."""
        await self._caller.channel.close()

    async def open(
        self,
        name: str = "",
        *,
        backend: str = "",
        tag: str = "",
        command_timeout: float | None = None,
        backend_options_json: str = "",
    ) -> Session:
        """Opens a session, and waits until its back end can be used.

        Raises a `GatewayError`. If there is no answer the session may be there: `OutcomeUnknown`, and `sessions` tells.
        """
        request = pb.OpenSessionRequest(
            backend=backend, client_session_name=name, tag=tag, backend_options_json=backend_options_json
        )
        if command_timeout is not None:
            request.command_timeout.CopyFrom(duration_of(command_timeout))
        opened = await self._caller.call(OPEN_SESSION, request, Repeat.NEVER)
        return Session(self._caller, opened.session)

    async def attach(self, session_id: str) -> Session:
        """A session that there is already."""
        return Session(self._caller, await about(self._caller, session_id))

    async def sessions(self, states: Iterable[pb.SessionState] = ()) -> list[pb.Session]:
        """The sessions that the caller may see, the oldest first: all, or those that are in one of these states."""
        request = pb.ListSessionsRequest(states=states)
        found: list[pb.Session] = []
        while True:
            page = await self._caller.call(LIST_SESSIONS, request, Repeat.LOOK)
            found.extend(page.sessions)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def connect(
    url: str,
    key: str,
    *,
    root_certificates: bytes | None = None,
    client_certificate: tuple[bytes, bytes] | None = None,
    call_timeout: float = DEFAULT_CALL_TIMEOUT_SEC,
    reconnect: float | None = DEFAULT_RECONNECT_SEC,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> Gateway:
    """A connection to the session gateway at `url` (`http://host:port`, or `https://host:port` for TLS), made at the first
    call.

    `key` is an API key or a token that the gateway accepts; it may be empty if there is a client certificate.
    `root_certificates` are trusted instead of the public ones, and `client_certificate` is a certificate and its private
    key, all in PEM. `call_timeout` is how long a call that is no command may take, in seconds, outages included.
    `reconnect` is for how long a stream seeks a connection that was lost: zero for not at all, none for without an end.

    Raises `ValueError` if the address or the key makes no sense.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an address such as http://127.0.0.1:7709 or https://gateway.example.com:7709")
    if not key.strip() and client_certificate is None or not key.isprintable():
        raise ValueError("the key is empty or has characters that no key has")
    options: list[tuple[str, int | str]] = [
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.keepalive_time_ms", KEEP_ALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEP_ALIVE_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        # Calls are repeated here, where it is known which may be.
        ("grpc.enable_retries", 0),
    ]
    if parts.scheme == "http":
        channel = grpc.aio.insecure_channel(parts.netloc, options=options)
    else:
        certificate, private_key = client_certificate or (None, None)
        credentials = grpc.ssl_channel_credentials(root_certificates, private_key, certificate)
        channel = grpc.aio.secure_channel(parts.netloc, credentials, options=options)
    return Gateway(Caller(channel, key.strip(), call_timeout, reconnect))
