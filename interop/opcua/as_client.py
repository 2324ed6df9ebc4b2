"""The client of asyncua, with the server of the test kit: what the worker is tested against is OPC UA."""

from __future__ import annotations

import asyncio

from asyncua import Client, ua
from asyncua.common.events import get_filter_from_event_type
from asyncua.ua.uaerrors import BadTypeMismatch, BadUserAccessDenied
from harness import PATIENCE_SEC, Kit, name
from server import PASSWORD, TAGS, USER


class Told:
    """What a subscription has told."""

    def __init__(self) -> None:
        self.values: asyncio.Queue = asyncio.Queue()
        self.events: asyncio.Queue = asyncio.Queue()

    def datachange_notification(self, node, value, _) -> None:
        self.values.put_nowait(value)

    def event_notification(self, event) -> None:
        self.events.put_nowait(event)


async def soon(coming):
    async with asyncio.timeout(PATIENCE_SEC):
        return await coming


async def every_tag_is_there_and_takes_its_own_type_only(_: Kit, url: str) -> None:
    async with Client(url) as client:
        for tag, (value, kind) in TAGS.items():
            node = client.get_node(name(tag))
            assert await node.read_value() == value, tag
            if tag in ("Refused", "Secured"):
                continue
            await node.write_value(ua.Variant(value, kind))
            other = ua.Variant(1, ua.VariantType.Int32) if kind == ua.VariantType.String else ua.Variant("1")
            try:
                await node.write_value(other)
            except BadTypeMismatch:
                continue
            raise AssertionError(f"{tag} takes {other}")


async def who_may_not_write_is_refused(_: Kit, url: str) -> None:
    number = ua.Variant(1, ua.VariantType.Int32)
    async with Client(url) as client:
        for tag in ("Refused", "Secured"):
            try:
                await client.get_node(name(tag)).write_value(number)
            except BadUserAccessDenied:
                continue
            raise AssertionError(f"{tag} was written by nobody")
    operator = Client(url)
    operator.set_user(USER)
    operator.set_password(PASSWORD)
    async with operator:
        await operator.get_node(name("Secured")).write_value(number)


async def every_count_is_told_once(_: Kit, url: str) -> None:
    told = Told()
    async with Client(url) as client:
        subscription = await client.create_subscription(50, told)
        await subscription.subscribe_data_change(client.get_node(name("Counter")), queuesize=1000, sampling_interval=0)
        run = client.get_node(name("Counter.Run"))
        first = await soon(told.values.get())
        await run.write_value(True)
        for expected in range(first + 1, first + 51):
            value = await soon(told.values.get())
            assert value == expected, (value, expected)
        await run.write_value(False)


async def alarms_are_events_that_are_refreshed_and_acknowledged(_: Kit, url: str) -> None:
    told = Told()
    async with Client(url) as client:
        control = client.get_node(name("Level.Alarm"))
        subscription = await client.create_subscription(50, told)
        wanted = await get_filter_from_event_type([client.get_node(ua.ObjectIds.OffNormalAlarmType)])
        # By itself asyncua asks for events of a list of types. The library of the server compares no types in lists.
        wanted.WhereClause = ua.ContentFilter()
        await subscription.subscribe_alarms_and_conditions(evfilter=wanted, queuesize=100)
        await control.write_value(True)
        raised = await alarm(told)
        assert raised.ConditionName == "Level" and getattr(raised, "ActiveState/Id"), raised
        refresh = client.get_node(ua.ObjectIds.ConditionType_ConditionRefresh)
        kind = client.get_node(ua.ObjectIds.ConditionType)
        number = ua.Variant(subscription.subscription_id, ua.VariantType.UInt32)
        await kind.call_method(refresh.nodeid, number)
        again = await alarm(told)
        assert again.EventId == raised.EventId, again
        condition = client.get_node(name("Level.Condition"))
        acknowledge = client.get_node(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
        event_id = ua.Variant(raised.EventId, ua.VariantType.ByteString)
        await condition.call_method(acknowledge.nodeid, event_id, ua.LocalizedText("seen"))
        acknowledged = await alarm(told)
        assert getattr(acknowledged, "AckedState/Id") and acknowledged.Comment.Text == "seen", acknowledged
        await control.write_value(False)
        assert not getattr(await alarm(told), "ActiveState/Id")


async def alarm(told: Told):
    """The next event that is an alarm's."""
    while True:
        event = await soon(told.events.get())
        if getattr(event, "ConditionName", None):
            return event


SCENARIOS = [
    every_tag_is_there_and_takes_its_own_type_only,
    who_may_not_write_is_refused,
    every_count_is_told_once,
    alarms_are_events_that_are_refreshed_and_acknowledged,
]
