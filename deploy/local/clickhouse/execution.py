"""Run one call against the engine. All of this blocks, so it runs in worker threads only."""

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from .engine import Engine, Lease
from .errors import QUERY_IS_TOO_LARGE, EngineError, from_engine, refusal
from .request import Call
from .statement import Insert, Statement, insert_from_file, parse

# In these formats the encodings of single blocks, put together, are the encoding of the whole. The others have a
# header, a footer or brackets around everything and are built in one piece.
_STREAMED_FORMATS = frozenset({"native", "tabseparated", "tsv", "csv", "rowbinary", "jsoneachrow"})
# A stream leaves out totals and extremes, and the array setting puts brackets around each block.
_NOT_STREAMED = re.compile(rb"totals|extremes|json_array_of_rows", re.IGNORECASE)

# Up to here a result is held back, so that an error in it still gets an error status and small results a length.
_HOLD_BYTES = 1 << 16
_READ_BYTES = 1 << 18
_READ_SECONDS = 0.05

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer; `format` is None when the statement returns no rows."""

    body: bytes
    format: str | None
    summary: str


def _engine_errors(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Turn what chDB raises into EngineError, whatever step of the call raised it."""

    @wraps(function)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except (RuntimeError, UnicodeDecodeError) as error:
            raise from_engine(error) from error

    return call


class Stream:
    """A result that is read block by block. `head` are the first bytes; with `ended` they are all."""

    def __init__(self, lease: Lease, handle: Any, format_name: str) -> None:
        self.format = format_name
        self.ended = False
        self._lease = lease
        self._handle = handle
        self._rows = 0
        self._started = time.monotonic()
        self.head = self._fetch(_HOLD_BYTES, float("inf"))

    @property
    def summary(self) -> str:
        elapsed_ns = int((time.monotonic() - self._started) * 1e9)
        return _to_json(written_rows=0, written_bytes=0, elapsed_ns=elapsed_ns, result_rows=self._rows)

    @_engine_errors
    def read(self) -> bytes:
        """The next bytes, b"" at the end. Few calls for many small blocks, but never late when blocks come slowly."""
        return self._fetch(_READ_BYTES, time.monotonic() + _READ_SECONDS)

    def cancel(self) -> None:
        """Give up on the rest. The connection is closed: it may still hold rows of this result."""
        if not self.ended:
            self.ended = True
            self._lease.reusable = False
            with contextlib.suppress(RuntimeError):
                self._lease.connection.streaming_cancel_query(self._handle)
            self._lease.give_back()

    def _fetch(self, enough_bytes: int, until: float) -> bytes:
        blocks: list[bytes] = []
        size = 0
        try:
            while not self.ended and size < enough_bytes:
                block = self._lease.connection.streaming_fetch_result(self._handle)
                if block is None or block.rows_read() == 0:
                    self.ended = True
                    self._lease.give_back()
                    break
                blocks.append(block.bytes())
                size += len(blocks[-1])
                self._rows += block.rows_read()
                if time.monotonic() >= until:
                    break
        except BaseException:
            # The engine ended the stream itself, so there is nothing to cancel.
            self.ended = True
            self._lease.reusable = False
            self._lease.give_back()
            raise
        return b"".join(blocks)


@_engine_errors
def run_insert(engine: Engine, call: Call, insert: Insert, data: Iterable[bytes]) -> Reply:
    """Insert the rows in `data`. Any error, in the data or from the table, is raised.

    Not by send_insert: chDB 26.9 reports success, with the number of rows, when the table refuses what was parsed (a
    constraint, too many partitions, no space left), and the rows are gone. FROM INFILE reports it and costs no more.
    """
    with _file_of(data) as path, engine.lend(call.session) as lease:
        lease.set(call.settings)
        result = lease.connection.query(insert_from_file(insert, path), "Null", params=call.parameters)
        return Reply(b"", None, _summary(result))


@contextlib.contextmanager
def _file_of(data: Iterable[bytes]) -> Iterator[str]:
    """The path of a file with these bytes, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("insert"), "wb") as file:
            file.writelines(data)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.writelines(data)
            file.flush()
            yield file.name


@_engine_errors
def run_statement(engine: Engine, call: Call, pieces: Iterable[bytes], max_bytes: int) -> Reply | Stream:
    """Run anything but an insert with data, streaming the result where its format allows."""
    statement = parse(_join(pieces, max_bytes))
    format_name = statement.format or call.default_format
    lease = engine.lend(call.session)
    with contextlib.ExitStack() as lent:
        lent.push(lease)
        if statement.sticky:
            lease.reusable = False
        lease.set(call.settings)
        if _streams(statement, format_name, call):
            handle = lease.connection.send_query(statement.sql, format_name, params=call.parameters)
            stream = Stream(lease, handle, format_name)
            lent.pop_all()  # from here on the stream gives the connection back
            return stream
        result = lease.connection.query(statement.sql, format_name, params=call.parameters)
        body = result.bytes()
        return Reply(body, format_name if body or statement.returns_rows else None, _summary(result))


def _streams(statement: Statement, format_name: str, call: Call) -> bool:
    settings = " ".join(call.settings).encode()
    return (
        statement.can_stream
        and format_name.lower() in _STREAMED_FORMATS
        and not _NOT_STREAMED.search(statement.sql)
        and not _NOT_STREAMED.search(settings)
    )


def _join(pieces: Iterable[bytes], max_bytes: int) -> bytes:
    """The whole statement; bounded, because a small compressed body can unpack to anything."""
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(piece)
    return b"".join(parts)


def too_large(max_bytes: int) -> EngineError:
    return refusal(QUERY_IS_TOO_LARGE, f"The request body is larger than {max_bytes} bytes")


def _summary(result: Any) -> str:
    return _to_json(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        result_bytes=result.size(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )


def _to_json(**numbers: int) -> str:
    """X-ClickHouse-Summary. Numbers are strings, as the server writes them."""
    return json.dumps({name: str(number) for name, number in numbers.items()}, separators=(",", ":"))
