"""One HTTP request as a Call: what the ClickHouse HTTP interface puts in the URL, the headers and the body."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from urllib.parse import parse_qsl

from .engine import Session
from .errors import BAD_ARGUMENTS, NOT_IMPLEMENTED, UNKNOWN_SETTING, refusal
from .statement import Insert, split_insert

# Parameters of the HTTP interface that are no settings and mean nothing here: there are no sessions, users, quotas or
# roles, results are not compressed, and a reply never has to wait for its end.
_IGNORED = frozenset(
    {
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
        "user",
        "password",
        "quota_key",
        "role",
        "stacktrace",
    }
)
_NATIVE_COMPRESSION = ("compress", "decompress")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
# No insert statement is longer (max_query_size is 256 KiB, and its column list takes a small part of that).
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Call:
    """Everything about a request but its body."""

    query: bytes
    query_id: str
    session: Session
    default_format: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]


def parse_call(target: str, headers: Mapping[str, str], form: Mapping[str, str], readonly: bool) -> Call:
    """`target` is the request target as received, `form` the fields of a multipart body (both may carry parameters)."""
    url = parse_qsl(target.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    fields = {**dict(url), **form}
    # A statement may hold any bytes, the names and values around it may not.
    query = fields.pop("query", "").encode(errors="surrogateescape")
    _check_text(fields)
    database = fields.pop("database", "") or headers.get("X-ClickHouse-Database", "")
    default_format = fields.pop("default_format", "") or headers.get("X-ClickHouse-Format", "") or "TabSeparated"
    query_id = fields.pop("query_id", "") or str(uuid.uuid4())
    parameters, settings = {}, {}
    for name, value in fields.items():
        if name.startswith("param_"):
            parameters[_checked(name, "parameter").removeprefix("param_")] = value
        elif name in _NATIVE_COMPRESSION:
            if value not in ("", "0"):
                raise refusal(NOT_IMPLEMENTED, f"{name}=1 is not supported here; use Content-Encoding")
        elif name not in _IGNORED:
            settings[_checked(name, "setting")] = value
    return Call(query, query_id, Session(database, readonly), default_format, settings, parameters)


def split_body(call: Call, pieces: Iterable[bytes]) -> tuple[Insert | None, Iterator[bytes]]:
    """The insert with data that the request is, if any, and an iterator over the data or over the whole statement.

    The statement is the query parameter, then the body; reads no more of the body than the head.
    """
    pieces = iter(pieces)
    insert = split_insert(call.query)
    if insert is not None:
        # A line end after the statement separates it from the body; it is not data.
        return insert, chain([insert.rest] if insert.rest.strip() else [], pieces)
    head = call.query + b"\n" if call.query else b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD_BYTES:
            break
    insert = split_insert(head)
    return insert, chain([insert.rest if insert else head], pieces)


def _checked(name: str, kind: str) -> str:
    """Names go into a SET statement unquoted."""
    if not _NAME.match(name):
        raise refusal(UNKNOWN_SETTING, f"Unknown {kind} {name!r}")
    return name


def _check_text(fields: Mapping[str, str]) -> None:
    try:
        "".join(chain.from_iterable(fields.items())).encode()
    except UnicodeEncodeError:
        raise refusal(BAD_ARGUMENTS, "A URL parameter is not UTF-8") from None
