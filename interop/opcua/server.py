"""The server that nobody here wrote, with the same tags as ours: asyncua on a free port, until standard input ends.

The first line that it prints is `listening url=... certificates=...`. With `--secured` it has secured endpoints too, and
trusts every client. What is wanted of it is written to tags, as to our server.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import certificates
from asyncua import Node, Server, ua
from asyncua.crypto.permission_rules import User, UserRole

NAMESPACE = "urn:moorline:opcua-testkit"
FOLDER = "Plant"
ALARMS = ("Level", "Pressure")
COUNT_EVERY = timedelta(milliseconds=20)
SENSOR_VALUE = 20.0
USER, PASSWORD = "operator", "operator-password"

T = ua.VariantType
TAGS = {
    "Boolean": (True, T.Boolean),
    "SByte": (-8, T.SByte),
    "Byte": (8, T.Byte),
    "Int16": (-16, T.Int16),
    "UInt16": (16, T.UInt16),
    "Int32": (-32, T.Int32),
    "UInt32": (32, T.UInt32),
    "Int64": (-64, T.Int64),
    "UInt64": (64, T.UInt64),
    "Float": (0.5, T.Float),
    "Double": (0.25, T.Double),
    "String": ("text", T.String),
    "DateTime": (datetime(2026, 1, 2, tzinfo=timezone.utc), T.DateTime),
    "Guid": (UUID(bytes=bytes([7]) * 16), T.Guid),
    "ByteString": (bytes([1, 2, 3]), T.ByteString),
    "LocalizedText": (ua.LocalizedText("words"), T.LocalizedText),
    "Int32Array": ([1, 2, 3], T.Int32),
    "Counter": (0, T.Int64),
    "Counter.Run": (False, T.Boolean),
    "Refused": (0, T.Int32),
    "Secured": (0, T.Int32),
    "Sensor": (SENSOR_VALUE, T.Double),
    "Sensor.Failed": (False, T.Boolean),
    **{f"{alarm}.Alarm": (False, T.Boolean) for alarm in ALARMS},
}
# What only a user with rights may write.
PROTECTED = ("Refused", "Secured")


class Users:
    """Anonymous users may write what is not protected; one with a password and one with a certificate everything."""

    def __init__(self, certificate: bytes | None = None) -> None:
        self.certificate = certificate

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is not None:
            known = (username, password) == (USER, PASSWORD)
            return User(role=UserRole.Admin, name=username) if known else None
        if certificate and certificate == self.certificate:
            return User(role=UserRole.Admin, name=certificates.USER)
        # Of whoever says no name, asyncua hands on the certificate of the client's program, if there is one.
        if not certificate or certificates.is_of_program(certificate):
            return User(role=UserRole.User)
        return None


class Plant:
    """The tags, and what follows when they are written."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.nodes: dict[str, Node] = {}
        self.alarms: dict[str, object] = {}
        self.counting = asyncio.Event()

    async def build(self) -> None:
        index = await self.server.register_namespace(NAMESPACE)
        folder = await self.server.nodes.objects.add_folder(ua.NodeId(FOLDER, index), f"{index}:{FOLDER}")
        for name, (value, kind) in TAGS.items():
            node = await folder.add_variable(ua.NodeId(name, index), f"{index}:{name}", value, kind)
            if name not in PROTECTED:
                await node.set_writable()
            self.nodes[name] = node
        for name in ALARMS:
            condition = await folder.add_object(ua.NodeId(f"{name}.Condition", index), f"{index}:{name}")
            self.alarms[name] = await self.alarm(name, condition, folder)
        acknowledge = self.server.get_node(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
        self.server.link_method(acknowledge, self.acknowledge)
        watched = await self.server.create_subscription(10, self)
        controls = ["Counter.Run", "Sensor.Failed", *(f"{alarm}.Alarm" for alarm in ALARMS)]
        await watched.subscribe_data_change([self.nodes[name] for name in controls])

    async def alarm(self, name: str, condition: Node, folder: Node):
        alarm = await self.server.get_event_generator(ua.ObjectIds.OffNormalAlarmType, self.server.nodes.server)
        event = alarm.event
        event.SourceNode, event.SourceName = folder.nodeid, FOLDER
        event.NodeId, event.ConditionName = condition.nodeid, name
        event.Message, event.Severity = ua.LocalizedText(f"{name} is out of its limits"), 700
        for field, value in (
            ("BranchId", ua.NodeId()), ("Retain", False), ("Quality", ua.StatusCode()),
            ("Comment", ua.LocalizedText("")), ("ClientUserId", ""),
        ):
            setattr(event, field, value)
        for field, value, text in (("EnabledState", True, "Enabled"), ("ActiveState", False, "Inactive"),
                                   ("AckedState", True, "Acknowledged")):
            say(event, field, value, text)
        return alarm

    async def datachange_notification(self, node: Node, on: bool, _) -> None:
        name = node.nodeid.Identifier
        if name == "Counter.Run":
            self.counting.set() if on else self.counting.clear()
        elif name == "Sensor.Failed":
            status = ua.StatusCodes.BadSensorFailure if on else ua.StatusCodes.Good
            await self.put("Sensor", 0.0 if on else SENSOR_VALUE, datetime.now(timezone.utc), status)
        else:
            await self.raise_or_clear(name.removesuffix(".Alarm"), on)

    async def put(self, name: str, value, at: datetime, status: int = ua.StatusCodes.Good) -> None:
        variant = ua.Variant(value, TAGS[name][1])
        told = ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=at, ServerTimestamp=at)
        await self.server.write_attribute_value(self.nodes[name].nodeid, told)

    async def raise_or_clear(self, name: str, on: bool) -> None:
        alarm = self.alarms[name]
        event = alarm.event
        if getattr(event, "ActiveState/Id") == on:
            return
        say(event, "ActiveState", on, "Active" if on else "Inactive")
        if on:
            say(event, "AckedState", False, "Unacknowledged")
            event.Comment = ua.LocalizedText("")
        await self.tell(alarm)

    async def tell(self, alarm) -> None:
        event = alarm.event
        event.Retain = getattr(event, "ActiveState/Id") or not getattr(event, "AckedState/Id")
        await alarm.trigger()

    async def acknowledge(self, parent: ua.NodeId, event_id: ua.Variant, comment: ua.Variant):
        for alarm in self.alarms.values():
            event = alarm.event
            if event.NodeId != parent:
                continue
            known = getattr(event.EventId, "Value", event.EventId)
            if known != event_id.Value:
                return ua.StatusCode(ua.StatusCodes.BadEventIdUnknown)
            if getattr(event, "AckedState/Id"):
                return ua.StatusCode(ua.StatusCodes.BadConditionBranchAlreadyAcked)
            say(event, "AckedState", True, "Acknowledged")
            event.Comment = comment.Value
            await self.tell(alarm)
            return ua.StatusCode()
        return ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)

    async def count(self) -> None:
        """Counts while it is told to. The values' times are a period apart, however late they are."""
        loop, counted = asyncio.get_running_loop(), 0
        while True:
            await self.counting.wait()
            started, began, tick = datetime.now(timezone.utc), loop.time(), 0
            while self.counting.is_set():
                tick += 1
                await asyncio.sleep(began + tick * COUNT_EVERY.total_seconds() - loop.time())
                if self.counting.is_set():
                    counted += 1
                    await self.put("Counter", counted, started + tick * COUNT_EVERY)


def say(event, field: str, value: bool, text: str) -> None:
    """A state of two values, in words and as a field of its own."""
    setattr(event, field, ua.LocalizedText(text))
    event.data_types[field] = T.LocalizedText
    setattr(event, f"{field}/Id", value)
    event.data_types[f"{field}/Id"] = T.Boolean


async def secure(server: Server, directory: Path) -> None:
    """Gives a server a certificate, and secured endpoints."""
    certificate, key = certificates.of_server(directory)
    await server.load_certificate(certificate)
    await server.load_private_key(key)
    await server.set_application_uri(certificates.SERVER_URI)
    policies = ua.SecurityPolicyType
    server.set_security_policy([
        policies.NoSecurity, policies.Basic256Sha256_SignAndEncrypt, policies.Basic256Sha256_Sign,
        policies.Aes128Sha256RsaOaep_SignAndEncrypt, policies.Aes256Sha256RsaPss_SignAndEncrypt,
    ])


async def main(directory: Path, *, secured: bool) -> None:
    certificate, _ = certificates.of_user(directory) if secured else (None, None)
    server = Server(user_manager=Users(certificate and certificate.read_bytes()))
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    if secured:
        await secure(server, directory)
    plant = Plant(server)
    await plant.build()
    async with server:
        port = server.bserver._server.sockets[0].getsockname()[1]
        counting = asyncio.create_task(plant.count())
        print(f"listening url=opc.tcp://127.0.0.1:{port}/ certificates={directory}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        counting.cancel()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(Path(made), secured="--secured" in sys.argv))
