"""What a session's worker can be told, for `Session.invoke` and `Session.bulk`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from .proto import gateway_pb2 as pb
from .values import Item, Server, User, Value, to_proto


def register(client: str) -> pb.Command:
    """Opens a client session of the back end."""
    return pb.Command(register=pb.Register(client_name=client))


def unregister(server: Server) -> pb.Command:
    """Closes one, with its items."""
    return pb.Command(unregister=pb.Unregister(server_handle=server.handle))


def add_item(server: Server, item: str, *, context: str = "", buffered: bool = False) -> pb.Command:
    """Names an item. One that the back end does not know is no error: its status comes as a data change."""
    add = pb.AddItem(server_handle=server.handle, item=item, context=context, buffered=buffered)
    return pb.Command(add_item=add)


def remove_item(item: Item) -> pb.Command:
    """Forgets an item."""
    return pb.Command(remove_item=pb.RemoveItem(server_handle=item.server.handle, item_handle=item.handle))


def advise(item: Item, *, supervisory: bool = False) -> pb.Command:
    """Begins the item's data changes. Must come before a write."""
    advise = pb.Advise(server_handle=item.server.handle, item_handle=item.handle, supervisory=supervisory)
    return pb.Command(advise=advise)


def un_advise(item: Item) -> pb.Command:
    """Ends the item's data changes."""
    return pb.Command(un_advise=pb.UnAdvise(server_handle=item.server.handle, item_handle=item.handle))


def suspend(item: Item) -> pb.Command:
    """Pauses an item."""
    return pb.Command(suspend=pb.Suspend(server_handle=item.server.handle, item_handle=item.handle))


def activate(item: Item) -> pb.Command:
    """Ends a pause."""
    return pb.Command(activate=pb.Activate(server_handle=item.server.handle, item_handle=item.handle))


def write(
    item: Item, value: Value, *, user: User | None = None, source_time: datetime | None = None
) -> pb.Command:
    """Writes a value, as this user or as nobody, with the value's own time if the back end can take one."""
    write = pb.Write(
        server_handle=item.server.handle,
        item_handle=item.handle,
        value=to_proto(value),
        user_handle=user.handle if user else 0,
    )
    if source_time is not None:
        write.source_time.FromDatetime(source_time)
    return pb.Command(write=write)


def write_secured(item: Item, value: Value, user: User, verifier: User) -> pb.Command:
    """Writes a value as one user, with another who verifies it; the same one twice for a single signature."""
    write = pb.WriteSecured(
        server_handle=item.server.handle,
        item_handle=item.handle,
        value=to_proto(value),
        user_handle=user.handle,
        verifier_handle=verifier.handle,
    )
    return pb.Command(write_secured=write)


def authenticate_user(server: Server, user: str, password: str) -> pb.Command:
    """Finds out who somebody is."""
    who = pb.AuthenticateUser(server_handle=server.handle, user=user, password=password)
    return pb.Command(authenticate_user=who)


def set_buffered_update_interval(server: Server, interval_ms: int) -> pb.Command:
    """Says how often collected changes are told."""
    interval = pb.SetBufferedUpdateInterval(server_handle=server.handle, interval_ms=interval_ms)
    return pb.Command(set_buffered_update_interval=interval)


def read(items: Iterable[str]) -> pb.Command:
    """Reads items by name."""
    return pb.Command(read=pb.Read(items=items))


def subscribe_alarms(area: str = "") -> pb.Command:
    """Begins alarm events, of this area; of all if it is empty."""
    return pb.Command(subscribe_alarms=pb.SubscribeAlarms(area=area))


def refresh_alarms() -> pb.Command:
    """Says the active alarms again."""
    return pb.Command(refresh_alarms=pb.RefreshAlarms())


def worker_state() -> pb.Command:
    """What the session's worker holds."""
    return pb.Command(get_session_state=pb.GetSessionState())


def worker_info() -> pb.Command:
    """What runs the session."""
    return pb.Command(get_worker_info=pb.GetWorkerInfo())


def bulk(commands: Iterable[pb.Command]) -> pb.Command:
    """Several commands, carried out one after the other in one round trip."""
    return pb.Command(bulk=pb.Bulk(commands=commands))
