import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_CREATING: _ClassVar[SessionState]
    SESSION_STATE_STARTING_WORKER: _ClassVar[SessionState]
    SESSION_STATE_HANDSHAKING: _ClassVar[SessionState]
    SESSION_STATE_READY: _ClassVar[SessionState]
    SESSION_STATE_REATTACHING: _ClassVar[SessionState]
    SESSION_STATE_CLOSING: _ClassVar[SessionState]
    SESSION_STATE_CLOSED: _ClassVar[SessionState]
    SESSION_STATE_FAULTED: _ClassVar[SessionState]

class StatusCategory(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_CATEGORY_UNKNOWN: _ClassVar[StatusCategory]
    STATUS_CATEGORY_OK: _ClassVar[StatusCategory]
    STATUS_CATEGORY_PENDING: _ClassVar[StatusCategory]
    STATUS_CATEGORY_WARNING: _ClassVar[StatusCategory]
    STATUS_CATEGORY_COMMUNICATION_ERROR: _ClassVar[StatusCategory]
    STATUS_CATEGORY_CONFIGURATION_ERROR: _ClassVar[StatusCategory]
    STATUS_CATEGORY_OPERATIONAL_ERROR: _ClassVar[StatusCategory]
    STATUS_CATEGORY_SECURITY_ERROR: _ClassVar[StatusCategory]
    STATUS_CATEGORY_SOFTWARE_ERROR: _ClassVar[StatusCategory]
    STATUS_CATEGORY_OTHER_ERROR: _ClassVar[StatusCategory]

class StatusSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_SOURCE_UNKNOWN: _ClassVar[StatusSource]
    STATUS_SOURCE_REQUESTING_LMX: _ClassVar[StatusSource]
    STATUS_SOURCE_RESPONDING_LMX: _ClassVar[StatusSource]
    STATUS_SOURCE_REQUESTING_NMX: _ClassVar[StatusSource]
    STATUS_SOURCE_RESPONDING_NMX: _ClassVar[StatusSource]
    STATUS_SOURCE_REQUESTING_AUTOMATION_OBJECT: _ClassVar[StatusSource]
    STATUS_SOURCE_RESPONDING_AUTOMATION_OBJECT: _ClassVar[StatusSource]

class ReplayGapCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLAY_GAP_CAUSE_UNSPECIFIED: _ClassVar[ReplayGapCause]
    REPLAY_GAP_CAUSE_RETENTION: _ClassVar[ReplayGapCause]
    REPLAY_GAP_CAUSE_EPOCH: _ClassVar[ReplayGapCause]

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_CODE_UNSPECIFIED: _ClassVar[ErrorCode]
    ERROR_CODE_SESSION_NOT_FOUND: _ClassVar[ErrorCode]
    ERROR_CODE_SESSION_NOT_READY: _ClassVar[ErrorCode]
    ERROR_CODE_EVENT_SUBSCRIBER_ALREADY_ACTIVE: _ClassVar[ErrorCode]
    ERROR_CODE_EVENT_SUBSCRIBER_LIMIT_REACHED: _ClassVar[ErrorCode]
    ERROR_CODE_EVENT_QUEUE_OVERFLOW: _ClassVar[ErrorCode]
    ERROR_CODE_SESSION_LIMIT_EXCEEDED: _ClassVar[ErrorCode]
    ERROR_CODE_OPEN_FAILED: _ClassVar[ErrorCode]
    ERROR_CODE_CLOSE_FAILED: _ClassVar[ErrorCode]
    ERROR_CODE_WORKER_FAULTED: _ClassVar[ErrorCode]
    ERROR_CODE_PENDING_COMMAND_LIMIT_REACHED: _ClassVar[ErrorCode]
    ERROR_CODE_COMMAND_TIMEOUT: _ClassVar[ErrorCode]
    ERROR_CODE_PERMISSION_DENIED: _ClassVar[ErrorCode]
    ERROR_CODE_INVALID_REQUEST: _ClassVar[ErrorCode]
    ERROR_CODE_UNAUTHENTICATED: _ClassVar[ErrorCode]
    ERROR_CODE_UNAVAILABLE: _ClassVar[ErrorCode]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_CREATING: SessionState
SESSION_STATE_STARTING_WORKER: SessionState
SESSION_STATE_HANDSHAKING: SessionState
SESSION_STATE_READY: SessionState
SESSION_STATE_REATTACHING: SessionState
SESSION_STATE_CLOSING: SessionState
SESSION_STATE_CLOSED: SessionState
SESSION_STATE_FAULTED: SessionState
STATUS_CATEGORY_UNKNOWN: StatusCategory
STATUS_CATEGORY_OK: StatusCategory
STATUS_CATEGORY_PENDING: StatusCategory
STATUS_CATEGORY_WARNING: StatusCategory
STATUS_CATEGORY_COMMUNICATION_ERROR: StatusCategory
STATUS_CATEGORY_CONFIGURATION_ERROR: StatusCategory
STATUS_CATEGORY_OPERATIONAL_ERROR: StatusCategory
STATUS_CATEGORY_SECURITY_ERROR: StatusCategory
STATUS_CATEGORY_SOFTWARE_ERROR: StatusCategory
STATUS_CATEGORY_OTHER_ERROR: StatusCategory
STATUS_SOURCE_UNKNOWN: StatusSource
STATUS_SOURCE_REQUESTING_LMX: StatusSource
STATUS_SOURCE_RESPONDING_LMX: StatusSource
STATUS_SOURCE_REQUESTING_NMX: StatusSource
STATUS_SOURCE_RESPONDING_NMX: StatusSource
STATUS_SOURCE_REQUESTING_AUTOMATION_OBJECT: StatusSource
STATUS_SOURCE_RESPONDING_AUTOMATION_OBJECT: StatusSource
REPLAY_GAP_CAUSE_UNSPECIFIED: ReplayGapCause
REPLAY_GAP_CAUSE_RETENTION: ReplayGapCause
REPLAY_GAP_CAUSE_EPOCH: ReplayGapCause
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_SESSION_NOT_FOUND: ErrorCode
ERROR_CODE_SESSION_NOT_READY: ErrorCode
ERROR_CODE_EVENT_SUBSCRIBER_ALREADY_ACTIVE: ErrorCode
ERROR_CODE_EVENT_SUBSCRIBER_LIMIT_REACHED: ErrorCode
ERROR_CODE_EVENT_QUEUE_OVERFLOW: ErrorCode
ERROR_CODE_SESSION_LIMIT_EXCEEDED: ErrorCode
ERROR_CODE_OPEN_FAILED: ErrorCode
ERROR_CODE_CLOSE_FAILED: ErrorCode
ERROR_CODE_WORKER_FAULTED: ErrorCode
ERROR_CODE_PENDING_COMMAND_LIMIT_REACHED: ErrorCode
ERROR_CODE_COMMAND_TIMEOUT: ErrorCode
ERROR_CODE_PERMISSION_DENIED: ErrorCode
ERROR_CODE_INVALID_REQUEST: ErrorCode
ERROR_CODE_UNAUTHENTICATED: ErrorCode
ERROR_CODE_UNAVAILABLE: ErrorCode

class OpenSessionRequest(_message.Message):
    __slots__ = ("backend", "client_session_name", "tag", "command_timeout", "backend_options_json")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SESSION_NAME_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    COMMAND_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    BACKEND_OPTIONS_JSON_FIELD_NUMBER: _ClassVar[int]
    backend: str
    client_session_name: str
    tag: str
    command_timeout: _duration_pb2.Duration
    backend_options_json: str
    def __init__(self, backend: _Optional[str] = ..., client_session_name: _Optional[str] = ..., tag: _Optional[str] = ..., command_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., backend_options_json: _Optional[str] = ...) -> None: ...

class OpenSessionResponse(_message.Message):
    __slots__ = ("session", "capabilities")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    session: Session
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session_id", "state", "backend", "owner", "tag", "client_session_name", "correlation_id", "opened_at", "last_activity_at", "lease_expires_at", "detached_at", "subscribers", "pending_commands", "last_worker_sequence", "oldest_worker_sequence", "epoch", "fault", "close_reason", "command_timeout", "worker_id", "adopted")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    CLIENT_SESSION_NAME_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ACTIVITY_AT_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    DETACHED_AT_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    PENDING_COMMANDS_FIELD_NUMBER: _ClassVar[int]
    LAST_WORKER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WORKER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_REASON_FIELD_NUMBER: _ClassVar[int]
    COMMAND_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    state: SessionState
    backend: str
    owner: str
    tag: str
    client_session_name: str
    correlation_id: str
    opened_at: _timestamp_pb2.Timestamp
    last_activity_at: _timestamp_pb2.Timestamp
    lease_expires_at: _timestamp_pb2.Timestamp
    detached_at: _timestamp_pb2.Timestamp
    subscribers: int
    pending_commands: int
    last_worker_sequence: int
    oldest_worker_sequence: int
    epoch: str
    fault: str
    close_reason: str
    command_timeout: _duration_pb2.Duration
    worker_id: str
    adopted: bool
    def __init__(self, session_id: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., backend: _Optional[str] = ..., owner: _Optional[str] = ..., tag: _Optional[str] = ..., client_session_name: _Optional[str] = ..., correlation_id: _Optional[str] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_activity_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detached_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., subscribers: _Optional[int] = ..., pending_commands: _Optional[int] = ..., last_worker_sequence: _Optional[int] = ..., oldest_worker_sequence: _Optional[int] = ..., epoch: _Optional[str] = ..., fault: _Optional[str] = ..., close_reason: _Optional[str] = ..., command_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., worker_id: _Optional[str] = ..., adopted: _Optional[bool] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("states", "page_size", "page_token")
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[SessionState]
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[SessionState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ("session_id", "final_state", "already_closing")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FINAL_STATE_FIELD_NUMBER: _ClassVar[int]
    ALREADY_CLOSING_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    final_state: SessionState
    already_closing: bool
    def __init__(self, session_id: _Optional[str] = ..., final_state: _Optional[_Union[SessionState, str]] = ..., already_closing: _Optional[bool] = ...) -> None: ...

class KillWorkerRequest(_message.Message):
    __slots__ = ("session_id", "reason")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    reason: str
    def __init__(self, session_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class KillWorkerResponse(_message.Message):
    __slots__ = ("session_id", "final_state")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FINAL_STATE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    final_state: SessionState
    def __init__(self, session_id: _Optional[str] = ..., final_state: _Optional[_Union[SessionState, str]] = ...) -> None: ...

class InvokeRequest(_message.Message):
    __slots__ = ("session_id", "command_id", "timeout", "command", "until_complete")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    UNTIL_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    command_id: str
    timeout: _duration_pb2.Duration
    command: Command
    until_complete: bool
    def __init__(self, session_id: _Optional[str] = ..., command_id: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., command: _Optional[_Union[Command, _Mapping]] = ..., until_complete: _Optional[bool] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("register", "unregister", "add_item", "remove_item", "advise", "un_advise", "suspend", "activate", "write", "write_secured", "authenticate_user", "set_buffered_update_interval", "read", "subscribe_alarms", "refresh_alarms", "get_session_state", "get_worker_info", "bulk")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    UNREGISTER_FIELD_NUMBER: _ClassVar[int]
    ADD_ITEM_FIELD_NUMBER: _ClassVar[int]
    REMOVE_ITEM_FIELD_NUMBER: _ClassVar[int]
    ADVISE_FIELD_NUMBER: _ClassVar[int]
    UN_ADVISE_FIELD_NUMBER: _ClassVar[int]
    SUSPEND_FIELD_NUMBER: _ClassVar[int]
    ACTIVATE_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    WRITE_SECURED_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATE_USER_FIELD_NUMBER: _ClassVar[int]
    SET_BUFFERED_UPDATE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBE_ALARMS_FIELD_NUMBER: _ClassVar[int]
    REFRESH_ALARMS_FIELD_NUMBER: _ClassVar[int]
    GET_SESSION_STATE_FIELD_NUMBER: _ClassVar[int]
    GET_WORKER_INFO_FIELD_NUMBER: _ClassVar[int]
    BULK_FIELD_NUMBER: _ClassVar[int]
    register: Register
    unregister: Unregister
    add_item: AddItem
    remove_item: RemoveItem
    advise: Advise
    un_advise: UnAdvise
    suspend: Suspend
    activate: Activate
    write: Write
    write_secured: WriteSecured
    authenticate_user: AuthenticateUser
    set_buffered_update_interval: SetBufferedUpdateInterval
    read: Read
    subscribe_alarms: SubscribeAlarms
    refresh_alarms: RefreshAlarms
    get_session_state: GetSessionState
    get_worker_info: GetWorkerInfo
    bulk: Bulk
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., unregister: _Optional[_Union[Unregister, _Mapping]] = ..., add_item: _Optional[_Union[AddItem, _Mapping]] = ..., remove_item: _Optional[_Union[RemoveItem, _Mapping]] = ..., advise: _Optional[_Union[Advise, _Mapping]] = ..., un_advise: _Optional[_Union[UnAdvise, _Mapping]] = ..., suspend: _Optional[_Union[Suspend, _Mapping]] = ..., activate: _Optional[_Union[Activate, _Mapping]] = ..., write: _Optional[_Union[Write, _Mapping]] = ..., write_secured: _Optional[_Union[WriteSecured, _Mapping]] = ..., authenticate_user: _Optional[_Union[AuthenticateUser, _Mapping]] = ..., set_buffered_update_interval: _Optional[_Union[SetBufferedUpdateInterval, _Mapping]] = ..., read: _Optional[_Union[Read, _Mapping]] = ..., subscribe_alarms: _Optional[_Union[SubscribeAlarms, _Mapping]] = ..., refresh_alarms: _Optional[_Union[RefreshAlarms, _Mapping]] = ..., get_session_state: _Optional[_Union[GetSessionState, _Mapping]] = ..., get_worker_info: _Optional[_Union[GetWorkerInfo, _Mapping]] = ..., bulk: _Optional[_Union[Bulk, _Mapping]] = ...) -> None: ...

class Bulk(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[Command]
    def __init__(self, commands: _Optional[_Iterable[_Union[Command, _Mapping]]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("client_name",)
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    client_name: str
    def __init__(self, client_name: _Optional[str] = ...) -> None: ...

class Unregister(_message.Message):
    __slots__ = ("server_handle",)
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    def __init__(self, server_handle: _Optional[int] = ...) -> None: ...

class AddItem(_message.Message):
    __slots__ = ("server_handle", "item", "context", "buffered")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item: str
    context: str
    buffered: bool
    def __init__(self, server_handle: _Optional[int] = ..., item: _Optional[str] = ..., context: _Optional[str] = ..., buffered: _Optional[bool] = ...) -> None: ...

class RemoveItem(_message.Message):
    __slots__ = ("server_handle", "item_handle")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ...) -> None: ...

class Advise(_message.Message):
    __slots__ = ("server_handle", "item_handle", "supervisory")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    SUPERVISORY_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    supervisory: bool
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ..., supervisory: _Optional[bool] = ...) -> None: ...

class UnAdvise(_message.Message):
    __slots__ = ("server_handle", "item_handle")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ...) -> None: ...

class Suspend(_message.Message):
    __slots__ = ("server_handle", "item_handle")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ...) -> None: ...

class Activate(_message.Message):
    __slots__ = ("server_handle", "item_handle")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ...) -> None: ...

class Write(_message.Message):
    __slots__ = ("server_handle", "item_handle", "value", "user_handle", "source_time")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    USER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    value: Value
    user_handle: int
    source_time: _timestamp_pb2.Timestamp
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ..., value: _Optional[_Union[Value, _Mapping]] = ..., user_handle: _Optional[int] = ..., source_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WriteSecured(_message.Message):
    __slots__ = ("server_handle", "item_handle", "value", "user_handle", "verifier_handle", "source_time")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    USER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    VERIFIER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    item_handle: int
    value: Value
    user_handle: int
    verifier_handle: int
    source_time: _timestamp_pb2.Timestamp
    def __init__(self, server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ..., value: _Optional[_Union[Value, _Mapping]] = ..., user_handle: _Optional[int] = ..., verifier_handle: _Optional[int] = ..., source_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AuthenticateUser(_message.Message):
    __slots__ = ("server_handle", "user", "password")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    user: str
    password: str
    def __init__(self, server_handle: _Optional[int] = ..., user: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class SetBufferedUpdateInterval(_message.Message):
    __slots__ = ("server_handle", "interval_ms")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    interval_ms: int
    def __init__(self, server_handle: _Optional[int] = ..., interval_ms: _Optional[int] = ...) -> None: ...

class Read(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, items: _Optional[_Iterable[str]] = ...) -> None: ...

class SubscribeAlarms(_message.Message):
    __slots__ = ("area",)
    AREA_FIELD_NUMBER: _ClassVar[int]
    area: str
    def __init__(self, area: _Optional[str] = ...) -> None: ...

class RefreshAlarms(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSessionState(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetWorkerInfo(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InvokeResponse(_message.Message):
    __slots__ = ("command_id", "result", "worker_sequence", "repeated", "completions")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    WORKER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    result: CommandResult
    worker_sequence: int
    repeated: bool
    completions: _containers.RepeatedCompositeFieldContainer[Completion]
    def __init__(self, command_id: _Optional[str] = ..., result: _Optional[_Union[CommandResult, _Mapping]] = ..., worker_sequence: _Optional[int] = ..., repeated: _Optional[bool] = ..., completions: _Optional[_Iterable[_Union[Completion, _Mapping]]] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("worker_sequence", "server_handle", "item_handle", "statuses")
    WORKER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    worker_sequence: int
    server_handle: int
    item_handle: int
    statuses: _containers.RepeatedCompositeFieldContainer[Status]
    def __init__(self, worker_sequence: _Optional[int] = ..., server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[Status, _Mapping]]] = ...) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("success", "message", "statuses", "hresult", "backend", "server_handle", "item_handle", "user_handle", "interval_ms", "readings", "session_state", "worker_info", "results", "revision")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    HRESULT_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    USER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    READINGS_FIELD_NUMBER: _ClassVar[int]
    SESSION_STATE_FIELD_NUMBER: _ClassVar[int]
    WORKER_INFO_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    statuses: _containers.RepeatedCompositeFieldContainer[Status]
    hresult: int
    backend: str
    server_handle: int
    item_handle: int
    user_handle: int
    interval_ms: int
    readings: Readings
    session_state: WorkerSessionState
    worker_info: WorkerInfo
    results: Results
    revision: Revision
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[Status, _Mapping]]] = ..., hresult: _Optional[int] = ..., backend: _Optional[str] = ..., server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ..., user_handle: _Optional[int] = ..., interval_ms: _Optional[int] = ..., readings: _Optional[_Union[Readings, _Mapping]] = ..., session_state: _Optional[_Union[WorkerSessionState, _Mapping]] = ..., worker_info: _Optional[_Union[WorkerInfo, _Mapping]] = ..., results: _Optional[_Union[Results, _Mapping]] = ..., revision: _Optional[_Union[Revision, _Mapping]] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CommandResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CommandResult, _Mapping]]] = ...) -> None: ...

class Readings(_message.Message):
    __slots__ = ("readings",)
    READINGS_FIELD_NUMBER: _ClassVar[int]
    readings: _containers.RepeatedCompositeFieldContainer[Reading]
    def __init__(self, readings: _Optional[_Iterable[_Union[Reading, _Mapping]]] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("item", "success", "message", "sample", "statuses")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    item: str
    success: bool
    message: str
    sample: Sample
    statuses: _containers.RepeatedCompositeFieldContainer[Status]
    def __init__(self, item: _Optional[str] = ..., success: _Optional[bool] = ..., message: _Optional[str] = ..., sample: _Optional[_Union[Sample, _Mapping]] = ..., statuses: _Optional[_Iterable[_Union[Status, _Mapping]]] = ...) -> None: ...

class WorkerSessionState(_message.Message):
    __slots__ = ("servers", "commands", "alarms_subscribed", "link")
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    ALARMS_SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    servers: _containers.RepeatedCompositeFieldContainer[ServerState]
    commands: _containers.RepeatedCompositeFieldContainer[CommandState]
    alarms_subscribed: bool
    link: LinkState
    def __init__(self, servers: _Optional[_Iterable[_Union[ServerState, _Mapping]]] = ..., commands: _Optional[_Iterable[_Union[CommandState, _Mapping]]] = ..., alarms_subscribed: _Optional[bool] = ..., link: _Optional[_Union[LinkState, _Mapping]] = ...) -> None: ...

class ServerState(_message.Message):
    __slots__ = ("server_handle", "client_name", "buffered_interval_ms", "items", "link")
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_NAME_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    server_handle: int
    client_name: str
    buffered_interval_ms: int
    items: _containers.RepeatedCompositeFieldContainer[ItemState]
    link: LinkState
    def __init__(self, server_handle: _Optional[int] = ..., client_name: _Optional[str] = ..., buffered_interval_ms: _Optional[int] = ..., items: _Optional[_Iterable[_Union[ItemState, _Mapping]]] = ..., link: _Optional[_Union[LinkState, _Mapping]] = ...) -> None: ...

class LinkState(_message.Message):
    __slots__ = ("name", "subscriptions", "gaps", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    subscriptions: _containers.RepeatedCompositeFieldContainer[SubscriptionState]
    gaps: int
    problem: str
    def __init__(self, name: _Optional[str] = ..., subscriptions: _Optional[_Iterable[_Union[SubscriptionState, _Mapping]]] = ..., gaps: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class SubscriptionState(_message.Message):
    __slots__ = ("name", "items", "last_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    items: int
    last_sequence: int
    def __init__(self, name: _Optional[str] = ..., items: _Optional[int] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class ItemState(_message.Message):
    __slots__ = ("item_handle", "item", "advised", "supervisory", "buffered", "suspended", "revision")
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ADVISED_FIELD_NUMBER: _ClassVar[int]
    SUPERVISORY_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    item_handle: int
    item: str
    advised: bool
    supervisory: bool
    buffered: bool
    suspended: bool
    revision: Revision
    def __init__(self, item_handle: _Optional[int] = ..., item: _Optional[str] = ..., advised: _Optional[bool] = ..., supervisory: _Optional[bool] = ..., buffered: _Optional[bool] = ..., suspended: _Optional[bool] = ..., revision: _Optional[_Union[Revision, _Mapping]] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("requested", "revised")
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    REVISED_FIELD_NUMBER: _ClassVar[int]
    requested: ItemRates
    revised: ItemRates
    def __init__(self, requested: _Optional[_Union[ItemRates, _Mapping]] = ..., revised: _Optional[_Union[ItemRates, _Mapping]] = ...) -> None: ...

class ItemRates(_message.Message):
    __slots__ = ("sampling_interval", "queue_size", "publishing_interval", "keep_alive_interval", "lifetime")
    SAMPLING_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHING_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    sampling_interval: _duration_pb2.Duration
    queue_size: int
    publishing_interval: _duration_pb2.Duration
    keep_alive_interval: _duration_pb2.Duration
    lifetime: _duration_pb2.Duration
    def __init__(self, sampling_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue_size: _Optional[int] = ..., publishing_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., keep_alive_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lifetime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CommandState(_message.Message):
    __slots__ = ("command_id", "finished")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    finished: bool
    def __init__(self, command_id: _Optional[str] = ..., finished: _Optional[bool] = ...) -> None: ...

class WorkerInfo(_message.Message):
    __slots__ = ("backend", "version", "pid", "started_at")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    backend: str
    version: str
    pid: int
    started_at: _timestamp_pb2.Timestamp
    def __init__(self, backend: _Optional[str] = ..., version: _Optional[str] = ..., pid: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("bool_value", "integer_value", "double_value", "string_value")
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INTEGER_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    bool_value: bool
    integer_value: int
    double_value: float
    string_value: str
    def __init__(self, bool_value: _Optional[bool] = ..., integer_value: _Optional[int] = ..., double_value: _Optional[float] = ..., string_value: _Optional[str] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("value", "quality", "source_time", "raw_status", "server_time", "received_time")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_TIME_FIELD_NUMBER: _ClassVar[int]
    RAW_STATUS_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TIME_FIELD_NUMBER: _ClassVar[int]
    value: Value
    quality: int
    source_time: _timestamp_pb2.Timestamp
    raw_status: int
    server_time: _timestamp_pb2.Timestamp
    received_time: _timestamp_pb2.Timestamp
    def __init__(self, value: _Optional[_Union[Value, _Mapping]] = ..., quality: _Optional[int] = ..., source_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., raw_status: _Optional[int] = ..., server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("success", "category", "detected_by", "detail")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DETECTED_BY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    success: bool
    category: StatusCategory
    detected_by: StatusSource
    detail: int
    def __init__(self, success: _Optional[bool] = ..., category: _Optional[_Union[StatusCategory, str]] = ..., detected_by: _Optional[_Union[StatusSource, str]] = ..., detail: _Optional[int] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("session_id", "after_worker_sequence", "epoch")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_WORKER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    after_worker_sequence: int
    epoch: str
    def __init__(self, session_id: _Optional[str] = ..., after_worker_sequence: _Optional[int] = ..., epoch: _Optional[str] = ...) -> None: ...

class StreamEventsResponse(_message.Message):
    __slots__ = ("replay_gap", "event")
    REPLAY_GAP_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    replay_gap: ReplayGap
    event: Event
    def __init__(self, replay_gap: _Optional[_Union[ReplayGap, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class ReplayGap(_message.Message):
    __slots__ = ("requested_after_sequence", "oldest_available_sequence", "epoch", "cause")
    REQUESTED_AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AVAILABLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    requested_after_sequence: int
    oldest_available_sequence: int
    epoch: str
    cause: ReplayGapCause
    def __init__(self, requested_after_sequence: _Optional[int] = ..., oldest_available_sequence: _Optional[int] = ..., epoch: _Optional[str] = ..., cause: _Optional[_Union[ReplayGapCause, str]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("worker_sequence", "worker_time", "server_handle", "item_handle", "statuses", "data_change", "buffered_data_change", "write_complete", "operation_complete", "backend_gap", "alarm", "alarm_snapshot_complete", "item_revised")
    WORKER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WORKER_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVER_HANDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_HANDLE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    DATA_CHANGE_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_DATA_CHANGE_FIELD_NUMBER: _ClassVar[int]
    WRITE_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_GAP_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    ALARM_SNAPSHOT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    ITEM_REVISED_FIELD_NUMBER: _ClassVar[int]
    worker_sequence: int
    worker_time: _timestamp_pb2.Timestamp
    server_handle: int
    item_handle: int
    statuses: _containers.RepeatedCompositeFieldContainer[Status]
    data_change: DataChange
    buffered_data_change: BufferedDataChange
    write_complete: WriteComplete
    operation_complete: OperationComplete
    backend_gap: BackendGap
    alarm: Alarm
    alarm_snapshot_complete: AlarmSnapshotComplete
    item_revised: ItemRevised
    def __init__(self, worker_sequence: _Optional[int] = ..., worker_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., server_handle: _Optional[int] = ..., item_handle: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[Status, _Mapping]]] = ..., data_change: _Optional[_Union[DataChange, _Mapping]] = ..., buffered_data_change: _Optional[_Union[BufferedDataChange, _Mapping]] = ..., write_complete: _Optional[_Union[WriteComplete, _Mapping]] = ..., operation_complete: _Optional[_Union[OperationComplete, _Mapping]] = ..., backend_gap: _Optional[_Union[BackendGap, _Mapping]] = ..., alarm: _Optional[_Union[Alarm, _Mapping]] = ..., alarm_snapshot_complete: _Optional[_Union[AlarmSnapshotComplete, _Mapping]] = ..., item_revised: _Optional[_Union[ItemRevised, _Mapping]] = ...) -> None: ...

class DataChange(_message.Message):
    __slots__ = ("sample",)
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    sample: Sample
    def __init__(self, sample: _Optional[_Union[Sample, _Mapping]] = ...) -> None: ...

class BufferedDataChange(_message.Message):
    __slots__ = ("samples",)
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    samples: _containers.RepeatedCompositeFieldContainer[Sample]
    def __init__(self, samples: _Optional[_Iterable[_Union[Sample, _Mapping]]] = ...) -> None: ...

class ItemRevised(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: Revision
    def __init__(self, revision: _Optional[_Union[Revision, _Mapping]] = ...) -> None: ...

class WriteComplete(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class OperationComplete(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class BackendGap(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("alarm_id", "item", "area", "message", "severity", "active", "acknowledged", "raised_at", "acknowledged_by", "comment", "snapshot")
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    RAISED_AT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    alarm_id: str
    item: str
    area: str
    message: str
    severity: int
    active: bool
    acknowledged: bool
    raised_at: _timestamp_pb2.Timestamp
    acknowledged_by: str
    comment: str
    snapshot: bool
    def __init__(self, alarm_id: _Optional[str] = ..., item: _Optional[str] = ..., area: _Optional[str] = ..., message: _Optional[str] = ..., severity: _Optional[int] = ..., active: _Optional[bool] = ..., acknowledged: _Optional[bool] = ..., raised_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged_by: _Optional[str] = ..., comment: _Optional[str] = ..., snapshot: _Optional[bool] = ...) -> None: ...

class AlarmSnapshotComplete(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamAlarmsRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class StreamAlarmsResponse(_message.Message):
    __slots__ = ("active_alarm", "snapshot_complete", "transition")
    ACTIVE_ALARM_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    TRANSITION_FIELD_NUMBER: _ClassVar[int]
    active_alarm: Alarm
    snapshot_complete: AlarmSnapshotComplete
    transition: Alarm
    def __init__(self, active_alarm: _Optional[_Union[Alarm, _Mapping]] = ..., snapshot_complete: _Optional[_Union[AlarmSnapshotComplete, _Mapping]] = ..., transition: _Optional[_Union[Alarm, _Mapping]] = ...) -> None: ...

class AcknowledgeAlarmRequest(_message.Message):
    __slots__ = ("session_id", "command_id", "alarm_id", "comment")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    ALARM_ID_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    command_id: str
    alarm_id: str
    comment: str
    def __init__(self, session_id: _Optional[str] = ..., command_id: _Optional[str] = ..., alarm_id: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class AcknowledgeAlarmResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: CommandResult
    def __init__(self, result: _Optional[_Union[CommandResult, _Mapping]] = ...) -> None: ...

class ErrorInfo(_message.Message):
    __slots__ = ("code", "session_id", "last_delivered_sequence", "retry_after", "outcome_unknown")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_DELIVERED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    code: ErrorCode
    session_id: str
    last_delivered_sequence: int
    retry_after: _duration_pb2.Duration
    outcome_unknown: bool
    def __init__(self, code: _Optional[_Union[ErrorCode, str]] = ..., session_id: _Optional[str] = ..., last_delivered_sequence: _Optional[int] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outcome_unknown: _Optional[bool] = ...) -> None: ...
