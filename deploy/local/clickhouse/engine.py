"""chDB connections: one per running request, pooled, and closed instead of reused once their state may have changed.

Connections are independent sessions of one engine: two of them run on two cores, one of them is serial. A connection
that got SET, USE or an error is never reused: settings would leak, and after a failed stream the next result on the
same connection begins with the rows of the failed one (seen with chDB 26.9).
"""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import chdb

from .errors import from_engine

logger = logging.getLogger(__name__)

_MAX_IDLE = 8


class Connection(Protocol):
    """The part of chDB's connection that is used here (chDB ships no types for it)."""

    def query(self, query: bytes, format: str = ..., *, params: Mapping[str, str] = ...) -> Any: ...
    def send_query(self, query: bytes, format: str, *, params: Mapping[str, str]) -> Any: ...
    def streaming_fetch_result(self, stream: Any) -> Any: ...
    def streaming_cancel_query(self, stream: Any) -> None: ...
    def close(self) -> None: ...


# What chdb.connect() wraps. The wrapper imports pyarrow: 40 MB and 0.1-0.4 s more at start.
_connect: Callable[[str], Connection] = chdb._chdb.connect


class Unavailable(Exception):
    """The endpoint cannot start; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a pooled connection was set up with."""

    database: str
    readonly: bool


class Lease:
    """A connection lent to one request, given back exactly once. An exception inside `with` means it is closed."""

    def __init__(self, engine: "Engine", session: Session, connection: Connection) -> None:
        self.connection = connection
        self.session = session
        self.reusable = True
        self._engine = engine
        self._returned = False

    def set(self, settings: Mapping[str, str]) -> None:
        if settings:
            self.reusable = False
            self.connection.query(_set_statement(settings))

    def give_back(self) -> None:
        if not self._returned:
            self._returned = True
            self._engine.take_back(self)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.reusable = False
        self.give_back()


class Engine:
    """The engine over one data directory. Safe to use from any thread."""

    def __init__(self, directory: Path) -> None:
        _check_directory(directory)
        try:
            # Held until close(): with its last connection the engine would shut down, and starting it takes 0.4 s.
            self._anchor = _connect(str(directory))
            self.timezone: str = self._anchor.query(b"SELECT timezone()", "TabSeparated").bytes().decode().strip()
        except Exception as error:
            reason = from_engine(error).message.splitlines()[0]
            raise Unavailable(f"cannot open the data directory {directory}: {reason}") from error
        self._directory = str(directory)
        self._idle: list[tuple[Session, Connection]] = []
        self._lock = threading.Lock()
        self._lent = 0

    @property
    def lent(self) -> int:
        """How many connections requests hold at this moment."""
        return self._lent

    def lend(self, session: Session) -> Lease:
        with self._lock:
            self._lent += 1
            # The youngest that fits, so that the others age and go.
            place = next((i for i in reversed(range(len(self._idle))) if self._idle[i][0] == session), None)
            idle = None if place is None else self._idle.pop(place)[1]
        try:
            connection = idle or self._open(session)
        except BaseException:
            with self._lock:
                self._lent -= 1
            raise
        return Lease(self, session, connection)

    def take_back(self, lease: Lease) -> None:
        surplus = [] if lease.reusable else [lease.connection]
        with self._lock:
            self._lent -= 1
            if lease.reusable:
                self._idle.append((lease.session, lease.connection))
            while len(self._idle) > _MAX_IDLE:
                surplus.append(self._idle.pop(0)[1])
        for connection in surplus:
            _close(connection)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            _close(connection)
        _close(self._anchor)

    def _open(self, session: Session) -> Connection:
        connection = _connect(self._directory)
        try:
            if session.database:
                connection.query(b"USE " + _quote(session.database, "`"))
            if session.readonly:
                connection.query(b"SET readonly = 2")
        except BaseException:
            _close(connection)
            raise
        return connection


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except Exception:
        # The request has its answer already; nothing can be done about a connection that will not close.
        logger.warning("a chDB connection did not close", exc_info=True)


def _check_directory(directory: Path) -> None:
    """Name the usual reasons plainly: of a locked directory the engine itself says no more than 'bad arguments'."""
    if "?" in str(directory):
        raise Unavailable(f"the data directory {directory} has a '?' in its name, which chDB takes for options")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise Unavailable(f"cannot use the data directory {directory}: {error.strerror}") from error
    _check_lock(directory)


def _check_lock(directory: Path) -> None:
    # The engine holds a lock on this file for as long as it lives, with its process id written in it.
    try:
        with (directory / "status").open() as status:
            try:
                fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = status.readline().strip()
                text = (
                    f"the data directory {directory} is in use by another process ({owner}): cannot lock it (code 76)"
                )
                raise Unavailable(text) from None
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(f"cannot use the data directory {directory}: {error.strerror}") from error


def _set_statement(settings: Mapping[str, str]) -> bytes:
    """One SET for all. Always quoted: the engine turns text into numbers, but not numbers into text."""
    return b"SET " + b", ".join(name.encode() + b" = " + _quote(value, "'") for name, value in settings.items())


def _quote(text: str, quote: str) -> bytes:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return f"{quote}{escaped}{quote}".encode()
