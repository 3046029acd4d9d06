"""Blocks of a table: which records wait, when they are due, what a block covers. Pure: the caller tells the time.

Inserts cost the server about 10 ms each whatever is in them, so rows wait for company; but a fleet's first report after
a quiet spell should be seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from processors.sinks.rows import Columns, Rows, row_count

QUIET_FACTOR = 5
"""Records without rows (receipts of nothing) wait this many intervals: only their offsets are to be written."""
BLOCKS_WAITING = 3
"""Rows that may wait, in full blocks: beyond that reading stops."""
MAX_CHUNKS = 2000
"""Records that may wait whatever they hold: many empty ones must not pile up either."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one record. `token` is the caller's (the event to ack)."""

    topic: str
    partition: int
    offset: int
    rows: Rows
    token: Any = None

    @property
    def count(self) -> int:
        """Number of rows."""
        return row_count(self.rows.columns)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of several records that are stored together, in order of arrival.

    covered: (topic, partition) to the offset after the last record in the block.
    """

    columns: Columns
    chunks: Sequence[Chunk]
    covered: dict[tuple[str, int], int]

    @property
    def count(self) -> int:
        """Number of rows."""
        return row_count(self.columns)


@dataclass(slots=True)
class Collector:
    """Records of one table that wait to be stored. Times are seconds of any one monotonic clock.

    interval_s: between blocks while rows keep coming. block_rows: a block is due at once when so many wait.
    """

    interval_s: float
    block_rows: int
    chunks: list[Chunk] = field(default_factory=list)
    rows: int = 0
    taken_s: float = float("-inf")
    first_s: float = 0.0

    def add(self, chunk: Chunk, now_s: float) -> None:
        """Let a record wait; records of one partition come in order of offset."""
        if not self.chunks:
            self.first_s = now_s
        self.chunks.append(chunk)
        self.rows += chunk.count

    @property
    def has_room(self) -> bool:
        """Whether another record may be added: else the caller waits, and reading stops."""
        return self.rows < BLOCKS_WAITING * self.block_rows and len(self.chunks) < MAX_CHUNKS

    def due_s(self) -> float | None:
        """When the next block is due (any time in the past: now); None while nothing waits."""
        if not self.chunks:
            return None
        if self.rows >= self.block_rows or not self.has_room:
            return float("-inf")
        if not self.rows:
            return self.first_s + QUIET_FACTOR * self.interval_s
        return self.taken_s + self.interval_s

    def take(self, now_s: float) -> Block:
        """The next block: records in order until block_rows are reached; raises IndexError when none waits."""
        rows, end = 0, 0
        while end < len(self.chunks) and rows < self.block_rows:
            rows += self.chunks[end].count
            end += 1
        taken, self.chunks = self.chunks[:end], self.chunks[end:]
        self.rows -= rows
        self.first_s = now_s
        if rows:
            self.taken_s = now_s
        covered = {(chunk.topic, chunk.partition): chunk.offset + 1 for chunk in taken}
        return Block(_join(taken), taken, covered)

    def drop(self, topic: str, partition: int) -> list[Chunk]:
        """Forget the records of a partition that was lost or is read anew; returns them."""
        dropped = [c for c in self.chunks if (c.topic, c.partition) == (topic, partition)]
        if dropped:
            self.chunks = [c for c in self.chunks if (c.topic, c.partition) != (topic, partition)]
            self.rows -= sum(c.count for c in dropped)
        return dropped


def _join(chunks: Sequence[Chunk]) -> Columns:
    """The columns of all chunks, one after the other."""
    full = [chunk.rows.columns for chunk in chunks if chunk.count]
    if len(full) <= 1:
        return full[0] if full else chunks[0].rows.columns
    joined: Columns = []
    for parts in zip(*full, strict=True):
        column: list[Any] = []
        for part in parts:
            column += part
        joined.append(column)
    return joined
