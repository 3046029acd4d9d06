"""The one way to ClickHouse: clients over its HTTP interface, which errors pass by themselves, and migrations."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import Error, OperationalError

Client = Any
"""A clickhouse_connect client (the package's types are not checked). It may be shared by threads."""

DATABASE = "lodestream"
MIGRATIONS_DIRECTORY = Path(__file__).parent.parent / "clickhouse" / "migrations"
CONNECT_TIMEOUT_S = 5
REQUEST_TIMEOUT_S = 120
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

TRANSIENT_CODES = {
    159,  # TIMEOUT_EXCEEDED
    198,  # DNS_ERROR
    202,  # TOO_MANY_SIMULTANEOUS_QUERIES
    203,  # NO_FREE_CONNECTION
    209,  # SOCKET_TIMEOUT
    210,  # NETWORK_ERROR
    225,  # NO_ZOOKEEPER
    236,  # ABORTED: the server shuts down
    241,  # MEMORY_LIMIT_EXCEEDED
    242,  # TABLE_IS_READ_ONLY: a replica without its coordinator
    243,  # NOT_ENOUGH_SPACE
    252,  # TOO_MANY_PARTS
    279,  # ALL_CONNECTION_TRIES_FAILED
    285,  # TOO_FEW_LIVE_REPLICAS
    319,  # UNKNOWN_STATUS_OF_INSERT
    394,  # QUERY_WAS_CANCELLED
    425,  # SYSTEM_ERROR
    439,  # CANNOT_SCHEDULE_TASK
    473,  # DEADLOCK_AVOIDED
    745,  # SERVER_OVERLOADED
    999,  # KEEPER_EXCEPTION
}
"""Server errors that say "not now": connection, overload, disk full, coordination."""

DEPLOYMENT_CODES = {
    16,  # NO_SUCH_COLUMN_IN_TABLE
    47,  # UNKNOWN_IDENTIFIER
    48,  # NOT_IMPLEMENTED
    60,  # UNKNOWN_TABLE
    81,  # UNKNOWN_DATABASE
    115,  # UNKNOWN_SETTING
    192,  # UNKNOWN_USER
    193,  # WRONG_PASSWORD
    497,  # ACCESS_DENIED
    516,  # AUTHENTICATION_FAILED
}
"""Server errors that an operator must mend (migrate, grant): neither a row's fault nor passing."""


class MigrationError(Exception):
    """A migration failed, or an applied one was changed; the message names the file."""


def connect(url: str, user: str = "", password: str = "", database: str = DATABASE) -> Client:
    """A client of the server at `url`, such as http://127.0.0.1:8123 or https://host:8443; threads may share it.

    The database need not exist yet. Raises ValueError for another kind of URL, and clickhouse_connect errors when the
    server cannot be reached or refuses (see is_transient).
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no ClickHouse address: http://host:8123 or https://host:8443 is expected")
    secure = parts.scheme == "https"
    client = clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname,
        port=parts.port or (8443 if secure else 8123),
        username=user or None,
        password=password,
        compress=False if parts.hostname in LOOPBACK else "lz4",
        autogenerate_session_id=False,
        connect_timeout=CONNECT_TIMEOUT_S,
        send_receive_timeout=REQUEST_TIMEOUT_S,
        client_name=DATABASE,
    )
    client.database = database  # not above: the client's first questions would fail when it does not exist yet
    return client


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: connection and overload errors, nothing else."""
    if isinstance(error, Error):
        if error.code is not None:
            return error.code in TRANSIENT_CODES
        return isinstance(error, OperationalError) or "HTTP status 50" in str(error)
    return isinstance(error, ConnectionError | TimeoutError)


def is_deployment(error: BaseException) -> bool:
    """Whether an operator must mend it: no such table, access denied and the like."""
    return isinstance(error, Error) and error.code in DEPLOYMENT_CODES


class Unavailable(RuntimeError):
    """ClickHouse does not answer, or cannot (no tables, no access): the message says which, for people."""


@contextlib.contextmanager
def opened(url: str, user: str = "", password: str = "") -> Iterator[Client]:
    """A client for a while, closed at the end.

    Raises Unavailable for what a user must mend or wait for, also when it happens inside; ValueError for another kind of
    URL. Anything else passes: it is a bug.
    """
    try:
        client = connect(url, user, password)
        try:
            yield client
        finally:
            client.close()
    except BrokenPipeError:
        raise  # of standard output, not of a connection: the client wraps those
    except Exception as error:
        if is_transient(error):
            raise Unavailable(f"ClickHouse at {url} does not answer: {error}") from error
        if is_deployment(error):
            raise Unavailable(f"ClickHouse at {url} cannot answer (lodestream migrate?): {error}") from error
        raise


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of DDL."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return sha256(self.text.encode()).hexdigest()

    def statements(self, database: str) -> list[str]:
        """Its statements, without comment lines, for a database of any name."""
        text = re.sub(r"^--.*$", "", self.text, flags=re.MULTILINE)
        if database != DATABASE:
            text = re.sub(rf"\b{DATABASE}\b", f"`{database}`", text)
        return [statement for part in re.split(r";[ \t]*$", text, flags=re.MULTILINE) if (statement := part.strip())]


def load_migrations(directory: Path = MIGRATIONS_DIRECTORY) -> list[Migration]:
    """All migrations in order; raises MigrationError when numbers are missing or repeated."""
    found = [Migration(path.name, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.sql"))]
    numbers = [migration.name.split("_")[0] for migration in found]
    if numbers != [f"{i:04}" for i in range(1, len(found) + 1)] or not found:
        raise MigrationError(
            f"migrations are not numbered 0001, 0002, ... without a gap: {', '.join(numbers) or 'none'}"
        )
    return found


def pending(client: Client, directory: Path = MIGRATIONS_DIRECTORY) -> list[str]:
    """Names of the migrations that are not applied; raises MigrationError when an applied one was changed since."""
    return [migration.name for migration in _pending(client, load_migrations(directory))]


def migrate(
    client: Client, progress: Callable[[str], None] | None = None, directory: Path = MIGRATIONS_DIRECTORY
) -> list[str]:
    """Apply what is not applied, in order, and record it; returns the names. Running it again applies nothing.

    Raises MigrationError when an applied file was changed, or when a statement fails (what came before it stays, and
    running again goes on there); transient errors are raised as they are.
    """
    applied = []
    for migration in _pending(client, load_migrations(directory)):
        if progress is not None:
            progress(migration.name)
        _apply(client, migration)
        client.insert(
            "migrations",
            [[migration.name], [migration.checksum]],
            column_names=["name", "checksum"],
            column_type_names=["String", "String"],
            column_oriented=True,
            settings={"async_insert": 0},
        )
        applied.append(migration.name)
    return applied


def _apply(client: Client, migration: Migration) -> None:
    for number, statement in enumerate(migration.statements(client.database), 1):
        try:
            client.command(statement, use_database=False)
        except Error as error:
            if is_transient(error):
                raise
            raise MigrationError(f"{migration.name}, statement {number}: {error}") from error


def _pending(client: Client, migrations: list[Migration]) -> list[Migration]:
    applied = _applied(client)
    changed = [m.name for m in migrations if applied.get(m.name, m.checksum) != m.checksum]
    unknown = sorted(set(applied) - {m.name for m in migrations})
    if changed:
        raise MigrationError(
            f"changed since it was applied to database {client.database}: {', '.join(changed)}. "
            "Restore the file; a change of the schema is a new migration."
        )
    if unknown:
        raise MigrationError(f"database {client.database} has migrations of a newer version: {', '.join(unknown)}")
    return [m for m in migrations if m.name not in applied]


def _applied(client: Client) -> dict[str, str]:
    """Checksum by name; empty when the database or its record table does not exist yet."""
    count = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'migrations'"
    if not client.command(count, parameters={"database": client.database}, use_database=False):
        return {}
    rows = client.query("SELECT name, checksum FROM migrations ORDER BY applied_ms").result_rows
    return dict(rows)
