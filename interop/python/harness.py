"""Starts and ends what the scenarios need: a gateway of ours, a runtime of the SDK, our command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcp import ClientInfo, RuntimeInfo, WebSocketTransport, serve_websocket
from arcp.client import ARCPClient
from arcp.runtime import ARCPRuntime, StaticBearerVerifier

HERE = Path(__file__).parent

# How long anything may take on a machine that does other things too.
PATIENCE_SEC = 40

CONFIG = """
[[agents]]
name = "scribe"
version = "1.0.0"
command = [{python}, {agent}]
"""


@dataclass(frozen=True)
class Command:
    """Our command line program."""

    program: Path

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(
            self.program, *args, env=_environment(), stdin=nothing, stdout=pipe, stderr=pipe
        )

    async def __call__(self, *args: str) -> Ran:
        """Runs it to its end."""
        process = await self.start(*args)
        try:
            async with asyncio.timeout(PATIENCE_SEC):
                out, err = await process.communicate()
        finally:
            await end(process)
        return Ran(process.returncode, out.decode(), err.decode())


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        """Its output as JSON, line by line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Gateway:
    """A gateway of ours."""

    def __init__(self, moorline: Command, home: Path) -> None:
        self.moorline = moorline
        self.home = home
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None

    @property
    def token(self) -> str:
        return (self.home / "data" / "admin.token").read_text().strip()

    async def start(self, listen: str) -> None:
        # Nothing may outlive the scenarios: workers end with the gateway, or by themselves soon after its death.
        args = ["--stop-workers", "--shutdown-grace", "1s", "--workers-max-orphan-lifetime", "1m", "--listen", listen]
        with (self.home / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.moorline.program, "serve", "--config", self.home / "moorline.toml",
                "--data-dir", self.home / "data", *args,
                env=_environment(), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            )
        async with asyncio.timeout(PATIENCE_SEC):
            line = (await self.process.stdout.readline()).decode().strip()
        if not line.startswith("listening url="):
            raise RuntimeError(f"the gateway did not start: {line}\n{(self.home / 'log').read_text()}")
        self.url = line.removeprefix("listening url=")

    async def kill_and_start_again(self) -> None:
        """Kills it without a warning, and starts it on what it left, at the same address."""
        self.process.kill()
        await self.process.wait()
        await self.start(self.url.removeprefix("ws://").removesuffix("/arcp"))

    async def transport(self, hurried: bool = False) -> Recorder:
        return Recorder(await WebSocketTransport.connect(self.url), hurried)

    @asynccontextmanager
    async def client(self, hurried: bool = False, **options: Any) -> AsyncIterator[ARCPClient]:
        """A client of the SDK with a session."""
        client = new_client(self.token, **options)
        await client.connect(await self.transport(hurried))
        try:
            yield client
        finally:
            await client.close()


class Recorder:
    """A transport of the SDK that remembers what it received, and can be cut.

    The SDK makes the handle of a subscription one turn of the event loop after it has read `job.subscribed`, and drops
    what it reads of the job before. The recorder takes that turn, or, if it is told to, hands out the next frame at once.
    """

    def __init__(self, inner: WebSocketTransport, hurried: bool = False) -> None:
        self.inner = inner
        self.hurried = hurried
        self.received: list[dict[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []

    async def send(self, envelope: dict[str, Any]) -> None:
        await self.inner.send(envelope)

    async def recv(self) -> dict[str, Any]:
        if self.waiting:
            return self.waiting.pop(0)
        if self.received and self.received[-1]["type"] == "job.subscribed":
            await asyncio.sleep(0)
        frame = await self._read()
        if self.hurried and frame["type"] == "job.subscribed":
            self.waiting.append(await self._read())
        return frame

    async def _read(self) -> dict[str, Any]:
        self.received.append(await self.inner.recv())
        return self.received[-1]

    async def close(self) -> None:
        await self.inner.close()

    def cut(self) -> None:
        """Ends the connection as a failing network does, without a word."""
        self.inner._conn.transport.abort()

    @property
    def is_closed(self) -> bool:
        return self.inner.is_closed

    def numbered(self) -> list[dict[str, Any]]:
        return [frame for frame in self.received if "event_seq" in frame]


@dataclass(frozen=True)
class Runtime:
    """A runtime of the SDK, and how our command reaches it."""

    sdk: ARCPRuntime
    moorline: Command
    connection: tuple[str, ...]

    async def run(self, *args: str) -> Ran:
        return await self.moorline(*args, *self.connection)

    @asynccontextmanager
    async def proxied(self) -> AsyncIterator[tuple[Runtime, Callable[[], int]]]:
        """The same runtime over connections that can be cut, as a failing network does. Cutting says how many."""
        host, port = self.connection[1].removeprefix("ws://").removesuffix("/arcp").split(":")
        open_now: set[asyncio.StreamWriter] = set()

        async def serve(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            far, forth = await asyncio.open_connection(host, int(port))
            open_now.add(back)
            await asyncio.gather(_pass(near, forth), _pass(far, back))
            open_now.discard(back)

        def cut() -> int:
            for writer in open_now:
                writer.transport.abort()
            return len(open_now)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/arcp"
        try:
            yield Runtime(self.sdk, self.moorline, ("--url", url, *self.connection[2:])), cut
        finally:
            server.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


def new_client(token: str, **options: Any) -> ARCPClient:
    options.setdefault("handshake_timeout_sec", PATIENCE_SEC)
    return ARCPClient(client=ClientInfo(name="interop", version="1.0.0"), token=token, **options)


@asynccontextmanager
async def gateway(moorline: Command) -> AsyncIterator[Gateway]:
    """A gateway on a free port, with its data in a directory that goes away with it."""
    with tempfile.TemporaryDirectory() as home:
        config = Path(home, "moorline.toml")
        agent = json.dumps(str(HERE / "agent.py"))
        config.write_text(CONFIG.format(python=json.dumps(sys.executable), agent=agent))
        gateway = Gateway(moorline, Path(home))
        await gateway.start("127.0.0.1:0")
        try:
            yield gateway
        finally:
            await end(gateway.process)


@asynccontextmanager
async def runtime(moorline: Command) -> AsyncIterator[Runtime]:
    """A runtime of the SDK on a free port."""
    sdk = ARCPRuntime(
        runtime=RuntimeInfo(name="interop", version="1.0.0"),
        bearer=StaticBearerVerifier({"token-of-ada": "ada"}),
    )
    server = await serve_websocket(sdk.accept, host="127.0.0.1", port=0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Runtime(sdk, moorline, ("--url", f"ws://127.0.0.1:{port}/arcp", "--token", "token-of-ada"))
    finally:
        server.close()
        await server.wait_closed()


async def end(process: asyncio.subprocess.Process) -> None:
    """Ends a process of ours, and waits until it is gone."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(PATIENCE_SEC):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Nothing that could lead a command elsewhere."""
    return {"PATH": os.environ.get("PATH", "")}
