"""A runtime of the official SDK with one agent, which emits as many events as its input says."""

import asyncio

from arcp import RuntimeInfo, serve_websocket
from arcp.runtime import ARCPRuntime, StaticBearerVerifier


async def load(given, ctx):
    filling = "x" * 200
    for _ in range(given["events"]):
        await ctx.log("info", filling)
    return given


async def main():
    sdk = ARCPRuntime(
        runtime=RuntimeInfo(name="bench", version="1.0.0"),
        bearer=StaticBearerVerifier({"token": "bench"}),
    )
    sdk.register_agent_version("load", "1.0.0", load)
    server = await serve_websocket(sdk.accept, host="127.0.0.1", port=0)
    print("{}:{}".format(*server.sockets[0].getsockname()[:2]), flush=True)
    await server.wait_closed()


asyncio.run(main())
