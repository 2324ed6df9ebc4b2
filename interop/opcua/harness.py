"""Starts and ends what the scenarios need: the server of asyncua, the test kit's server, and the worker's back end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

# How long anything may take on a machine that does other things too.
PATIENCE_SEC = 60

# Longest line that the worker's back end prints: an answer with many readings.
MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Site:
    """A server with secured endpoints: how clients call it, and where its certificates are."""

    url: str
    certificates: Path

    def user(self) -> tuple[Path, Path]:
        """The certificate and the key of the user who has one."""
        return self.certificates / "user" / "cert.der", self.certificates / "user" / "key.pem"


@dataclass(frozen=True)
class Kit:
    """The program of the test kit."""

    program: Path

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        return await start(self.program, *args)

    @asynccontextmanager
    async def server(self) -> AsyncIterator[str]:
        """Its server, and how clients call it."""
        async with listening(await self.start("serve")) as site:
            yield site.url

    @asynccontextmanager
    async def secured_server(self) -> AsyncIterator[Site]:
        """Its server with secured endpoints."""
        async with listening(await self.start("serve", "--secured", "yes")) as site:
            yield site

    @asynccontextmanager
    async def worker(self, url: str) -> AsyncIterator[Worker]:
        """The worker's back end, open to a server."""
        async with self.opened("--server", address(url)) as opened:
            if not isinstance(opened, Worker):
                raise RuntimeError(f"the back end does not open: {opened}")
            yield opened

    @asynccontextmanager
    async def worker_with(self, home: Path, url: str, endpoint: str) -> AsyncIterator[Worker | str]:
        """The same, with an endpoint that is set up so; or why it does not open. What it keeps is in `home`."""
        file = home / "opcua.toml"
        file.write_text(f'[endpoints.test]\nurl = "{url}"\npublishing_interval_ms = 50\n{endpoint}\n')
        async with self.opened("--config", str(file)) as opened:
            yield opened

    @asynccontextmanager
    async def opened(self, *args: str) -> AsyncIterator[Worker | str]:
        process = await self.start("drive", *args)
        try:
            worker = Worker(process)
            line = await worker.line(lambda line: line == "open" or "refused" in line)
            yield worker if line == "open" else line["refused"]["reason"]
        finally:
            await end(process)

    async def cuts(self, url: str | None, *args: str) -> dict[str, Any]:
        """What came of cutting the worker off from a server, the kit's own if none is named."""
        server = [] if url is None else ["--server", address(url)]
        process = await self.start("cuts", *server, *args)
        out, _ = await process.communicate()
        if not out:
            raise RuntimeError(f"the cuts did not come to their end: {process.returncode}")
        return json.loads(out)


class Worker:
    """The worker's back end, at the other end of a pipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[Any] = []
        self.commands = 0

    async def line(self, wanted: Callable[[Any], bool]) -> Any:
        """The first line that is wanted, of those that nobody has taken."""
        async with asyncio.timeout(PATIENCE_SEC):
            while True:
                for at, line in enumerate(self.told):
                    if wanted(line):
                        return self.told.pop(at)
                text = await self.process.stdout.readline()
                if not text:
                    raise RuntimeError(f"the back end has ended; not taken: {self.told}")
                self.told.append(json.loads(text))

    async def run(self, op: str, **fields: Any) -> dict[str, Any]:
        """What comes of a command."""
        self.commands += 1
        name = f"scenario-{self.commands}"
        line = json.dumps({"id": name, "command": {"op": op, **fields}})
        self.process.stdin.write(line.encode() + b"\n")
        answer = await self.line(lambda line: "answer" in line and line["answer"]["id"] == name)
        return answer["answer"]["result"]

    async def do(self, op: str, **fields: Any) -> Any:
        """What a command has brought, which must go well."""
        result = await self.run(op, **fields)
        assert result["success"], (op, fields, result)
        return result["done"]

    async def item(self, server: int, tag: str) -> dict[str, int]:
        """An item for a tag."""
        item = (await self.do("add_item", server=server, item=name(tag)))["item"]
        return {"server": item["server"], "item": item["item"]}

    async def event(self, kind: str, wanted: Callable[[Any], bool] = lambda _: True, tag: str | None = None) -> Any:
        """What the next event of a kind says."""

        def fits(line: Any) -> bool:
            if "event" not in line or not isinstance(line["event"]["said"], dict):
                return "event" in line and line["event"]["said"] == kind
            event = line["event"]
            of_tag = tag is None or event.get("name") == name(tag)
            return of_tag and kind in event["said"] and wanted(event["said"][kind])

        said = (await self.line(fits))["event"]["said"]
        return said if isinstance(said, str) else said[kind]


def name(tag: str) -> str:
    """A tag's name as an item."""
    return f"ns=2;s={tag}"


def address(url: str) -> str:
    return url.removeprefix("opc.tcp://").removesuffix("/")


@asynccontextmanager
async def asyncua_server() -> AsyncIterator[str]:
    """The server of asyncua, and how clients call it."""
    async with listening(await start(sys.executable, str(HERE / "server.py"))) as site:
        yield site.url


@asynccontextmanager
async def secured_asyncua_server() -> AsyncIterator[Site]:
    """The server of asyncua with secured endpoints."""
    async with listening(await start(sys.executable, str(HERE / "server.py"), "--secured")) as site:
        yield site


async def start(program: str | Path, *args: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"}
    return await asyncio.create_subprocess_exec(
        program, *args, env=environment, stdin=pipe, stdout=pipe, limit=MAX_LINE_BYTES
    )


@asynccontextmanager
async def listening(process: asyncio.subprocess.Process) -> AsyncIterator[Site]:
    """A server that says first where it listens, and ends when its standard input does."""
    try:
        async with asyncio.timeout(PATIENCE_SEC):
            line = (await process.stdout.readline()).decode().strip()
        said = re.fullmatch(r"listening url=(\S+) certificates=(.+)", line)
        if said is None:
            raise RuntimeError(f"the server did not start: {line!r}")
        yield Site(said[1], Path(said[2]))
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ends a process of ours, and waits until it is gone."""
    if process.returncode is not None:
        return
    process.stdin.close()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
