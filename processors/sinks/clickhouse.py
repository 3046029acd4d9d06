"""Stores blocks in ClickHouse and remembers what is stored. Everything here blocks: it runs in threads.

A block is inserted, and only then its offsets are written (those of all tables together, once a second: a small insert
costs the server some 10 ms whatever is in it); a crash between repeats the block, and equal ids collapse.
Connection and overload errors are retried for as long as it takes. Any other error is the fault of a row until shown
otherwise: the block is halved until the bad row stands alone, and that row goes to `rejected`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from processors.sink_metrics import SinkMetrics
from processors.sinks.rows import REJECTED, Columns, TableSpec, refused_row, row_count, split_weeks
from schemas.clients.clickhouse import Client, is_deployment, is_transient

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.1, 10.0
MAX_REFUSED_IN_A_ROW = 100
"""So many single rows refused and none stored between them: then it is not the rows. Nothing that a device sends is
known to be refused (ranges are checked before), so it is a mistake of ours, and stopping loses nothing."""
INSERT_SETTINGS = {"async_insert": 0}
"""The answer must mean "stored"; asynchronous inserts became a server's default in 26.2."""

T = TypeVar("T")
Connect = Callable[[], Client]


class SinkError(Exception):
    """ClickHouse does not do what it says, or refuses everything: an operator must look."""


class Stopped(Exception):
    """The process ends while ClickHouse cannot be reached; nothing was acknowledged."""


@dataclass(slots=True)
class Outcome:
    """What became of a block: rows stored, and rows that went to `rejected`."""

    stored: int = 0
    refused: int = 0


@dataclass(slots=True)
class Inserter:
    """One table's way into ClickHouse. `connect` makes a client, late: a server that is away at start is waited for."""

    spec: TableSpec
    connect: Connect
    metrics: SinkMetrics
    stop: threading.Event = field(default_factory=threading.Event)
    client: Client = None
    refused_in_a_row: int = 0

    def store(self, columns: Columns) -> Outcome:
        """Insert a block.

        Raises Stopped when `stop` is set while ClickHouse is away, SinkError and clickhouse_connect errors when only an
        operator can help.
        """
        outcome = Outcome()
        started_s = time.monotonic()
        if row_count(columns):
            for piece in split_weeks(columns, self.spec.partition_time):
                self._store_piece(piece, outcome)
        self.metrics.stored(self.spec.name, outcome.stored, outcome.refused, time.monotonic() - started_s)
        return outcome

    def next_offsets(self, topic: str) -> dict[int, int]:
        """For each partition of a topic, the first offset that is not stored; no entry: nothing ever was."""
        query = (
            "SELECT partition, max(next) FROM sink_offsets "
            "WHERE sink = {sink:String} AND topic = {topic:String} GROUP BY partition"
        )
        names = {"sink": self.spec.name, "topic": topic}
        rows = self._patiently(lambda client: client.query(query, parameters=names).result_rows)
        return {int(partition): int(following) for partition, following in rows}

    def _store_piece(self, columns: Columns, outcome: Outcome) -> None:
        count = row_count(columns)
        try:
            self._patiently(lambda client: _insert(client, self.spec, columns))
            outcome.stored += count
            self.refused_in_a_row = 0
            return
        except (Stopped, SinkError):
            raise
        except Exception as error:
            if is_deployment(error):
                raise
            self.metrics.failure(self.spec.name, "refused")
            if count == 1:
                self._reject(columns, error)
                outcome.refused += 1
                return
            logger.warning("%s: %d rows refused, trying halves: %s", self.spec.table, count, error)
        middle = count // 2
        for low, high in ((0, middle), (middle, count)):
            self._store_piece([column[low:high] for column in columns], outcome)

    def _reject(self, columns: Columns, error: Exception) -> None:
        self.refused_in_a_row += 1
        if self.refused_in_a_row > MAX_REFUSED_IN_A_ROW:
            raise SinkError(f"{self.spec.table} refuses every row; the last error: {error}") from error
        logger.error("%s: row refused, it goes to rejected: %s", self.spec.table, error)
        row = refused_row(self.spec, columns, f"{self.spec.table}: {error}", int(time.time() * 1000))
        self._patiently(lambda client: _insert(client, REJECTED, row))

    def remember(self, covered: Mapping[tuple[str, str, int], int]) -> None:
        """Write that everything below an offset is stored: (sink, topic, partition) -> next. Raises as `store` does."""
        if not covered:
            return
        places = sorted(covered)
        columns: list[Sequence[Any]] = [*map(list, zip(*places, strict=True)), [covered[place] for place in places]]
        self._patiently(
            lambda client: client.insert(
                "sink_offsets",
                columns,
                column_names=["sink", "topic", "partition", "next"],
                column_type_names=["LowCardinality(String)", "LowCardinality(String)", "UInt32", "UInt64"],
                column_oriented=True,
                settings=INSERT_SETTINGS,
            )
        )

    def _patiently(self, request: Callable[[Client], T]) -> T:
        """Do it, again and again while ClickHouse is away or overloaded."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            try:
                if self.client is None:
                    self.client = self.connect()
                return request(self.client)
            except Exception as error:
                if not is_transient(error):
                    raise
                self.metrics.failure(self.spec.name, "transient")
                logger.warning("ClickHouse is away or overloaded, next try in %.1f s: %s", backoff_s, error)
            if self.stop.wait(backoff_s):
                raise Stopped
            backoff_s = min(backoff_s * 2, BACKOFF_LAST_S)


def _insert(client: Client, spec: TableSpec, columns: Columns) -> None:
    """Insert one block; raises SinkError when the server says that it wrote another number of rows."""
    summary = client.insert(
        spec.table,
        columns,
        column_names=spec.column_names,
        column_type_names=spec.column_types,
        column_oriented=True,
        settings=INSERT_SETTINGS,
    )
    count, written = row_count(columns), int(summary.written_rows)
    if written != count and (spec.fed is None or written != count + spec.fed(columns)):
        raise SinkError(f"{spec.table}: {count} rows sent, {written} written")
