"""Sink agents: output topics to ClickHouse tables, each row once as far as a reader can see.

The truth about what is stored is in ClickHouse itself (table sink_offsets), not in the consumer group: it is read when
a partition arrives under a new generation; below it a record is skipped, above it the process stops. A record is acked
after its rows and the new offset were acknowledged. An agent only moves records; the rest is in processors.sinks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from processors.settings import WorkerSettings
from processors.sink_metrics import SinkMetrics
from processors.sinks.blocks import Block, Chunk, Collector
from processors.sinks.clickhouse import Inserter, Stopped
from processors.sinks.rows import EVENTS, TABLES, TableSpec
from schemas.clients.clickhouse import connect
from schemas.clients.kafka import BRIEF_MS, TopicPartition, assigned_consumer
from schemas.codec import decode
from schemas.topics import TOPICS

logger = logging.getLogger(__name__)

EXIT_FAILED = 70
"""Something is wrong; a restart repeats what was not acked."""
EXIT_OFFSETS = 71
"""The committed offset does not fit what is stored: a restart would not help, `lodestream topics repair` does."""
DRAIN_S = 5.0
OFFSETS_S = 1.0
OFFSETS_TIMEOUT_S = 30.0


class OffsetError(Exception):
    """A record does not follow what is stored."""


@dataclass(slots=True)
class Cursor:
    """Where one partition stands under one generation: next is the first offset that was not yet taken in."""

    generation: int
    next: int


class Ledger:
    """Writes what is stored, of all tables together, and acks the records only then."""

    def __init__(self, app: Any, inserter: Inserter) -> None:
        self._app = app
        self._inserter = inserter
        self._covered: dict[tuple[str, str, int], int] = {}
        self._tokens: list[Any] = []
        self._writing: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def note(self, sink: str, block: Block) -> None:
        """The rows of a block are acknowledged: its offsets are written within OFFSETS_S."""
        for (topic, partition), following in block.covered.items():
            place = (sink, topic, partition)
            self._covered[place] = max(following, self._covered.get(place, 0))
        self._tokens += [chunk.token for chunk in block.chunks]
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_for_ever())

    async def drain(self) -> None:
        """Write what is noted, before the end."""
        self._ending.set()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=DRAIN_S)

    async def _write_for_ever(self) -> None:
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), OFFSETS_S)
                last = self._ending.is_set()
                covered, self._covered = self._covered, {}
                tokens, self._tokens = self._tokens, []
                await asyncio.to_thread(self._inserter.remember, covered)
                for token in tokens:
                    if token.message.generation_id == self._app.consumer_generation_id:
                        token.ack()
                if last:
                    return
        except Stopped:
            return
        except Exception:
            logger.exception("sink_offsets: the sink failed")
            die(EXIT_FAILED)


class TableSink:
    """Everything that goes into one table, from however many topics and partitions this process has."""

    def __init__(
        self,
        app: Any,
        settings: WorkerSettings,
        spec: TableSpec,
        collector: Collector,
        inserter: Inserter,
        ledger: Ledger,
        metrics: SinkMetrics,
    ) -> None:
        self.spec = spec
        self._ledger = ledger
        self._settings = settings
        self._asking = asyncio.Lock()
        self._standings: dict[str, tuple[int, dict[int, tuple[int, int, int]]]] = {}
        self.inserter = inserter
        self._app = app
        self._collector = collector
        self._metrics = metrics
        self._cursors: dict[TP, Cursor] = {}
        self._changed = asyncio.Condition()
        self._flushing: asyncio.Task[None] | None = None
        self._ending = False

    async def take_in(self, event: Any) -> None:
        """Let the rows of one record wait for the next block, or skip a record that is stored already.

        Raises OffsetError when records are missing before it, CodecError when it is not one of ours.
        """
        if self._ending:  # neither stored nor acked: it is read again
            return
        message = event.message
        cursor = await self._cursor(message)
        if message.offset < cursor.next:
            event.ack()
            return
        if message.offset > cursor.next:
            cursor.next = await self._after_gap(message, cursor)
        rows = self.spec.rows(decode(message.value, self.spec.record))
        if rows.clamped:
            self._metrics.clamped.labels(self.spec.name).inc(rows.clamped)
        async with self._changed:
            await self._changed.wait_for(lambda: self._collector.has_room)
            if self._cursors.get(TP(message.topic, message.partition)) is not cursor:
                return  # a rebalance came while it waited: it is read again
            self._collector.add(Chunk(message.topic, message.partition, message.offset, rows, event), time.monotonic())
            cursor.next = message.offset + 1
            self._waiting()
            self._changed.notify_all()
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_for_ever())

    async def drain(self) -> None:
        """Store what waits, for at most DRAIN_S; what is not stored then is read again after the restart."""
        async with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._flushing is None:
            return
        done, _ = await asyncio.wait([self._flushing], timeout=DRAIN_S)
        if not done:
            logger.warning("%s: %d rows are not stored; they are read again", self.spec.table, self._collector.rows)
            self.inserter.stop.set()
            if not (await asyncio.wait([self._flushing], timeout=1.0))[0]:
                die(EXIT_FAILED)  # a request that ClickHouse does not answer would hold up the end of the process

    async def _cursor(self, message: Any) -> Cursor:
        """Where the partition stands; under a new generation read from ClickHouse, and what waited is forgotten."""
        place = TP(message.topic, message.partition)
        cursor = self._cursors.get(place)
        if cursor is not None and cursor.generation == message.generation_id:
            return cursor
        start, end, following = await self._standing(message)
        if following > end:
            raise OffsetError(
                f"{self.spec.table} holds {place.topic}[{place.partition}] up to offset {following}, but the topic "
                f"ends at {end}: was it made anew? `lodestream topics repair` starts over"
            )
        if following < start:
            self._missing(place, following, start)
        self._collector.drop(place.topic, place.partition)
        logger.info(
            "%s: %s[%d] goes on at offset %d", self.spec.table, place.topic, place.partition, max(following, start)
        )
        cursor = self._cursors[place] = Cursor(message.generation_id, max(following, start))
        return cursor

    async def _standing(self, message: Any) -> tuple[int, int, int]:
        """(first offset in the log, the one after the last, the first that is not stored) of a message's partition.

        Asked once per topic and generation, for all partitions together: one by one each answer waits behind a fetch.
        """
        async with self._asking:
            known = self._standings.get(message.topic)
            if known is None or known[0] != message.generation_id or message.partition not in known[1]:
                stored = await asyncio.to_thread(self.inserter.next_offsets, message.topic)
                ends = await self._log_ends(message.topic)
                places = {n: (start, end, stored.get(n, start)) for n, (start, end) in ends.items()}
                known = self._standings[message.topic] = (message.generation_id, places)
        return known[1][message.partition]

    async def _after_gap(self, message: Any, cursor: Cursor) -> int:
        """Where to go on when a record is not the next one: only retention may have removed those between."""
        place = TP(message.topic, message.partition)
        start, _ = (await self._log_ends(message.topic))[message.partition]
        if start < message.offset:
            raise OffsetError(
                f"{place.topic}[{place.partition}]: read offset {message.offset}, but {self.spec.table} holds only "
                f"what is below {cursor.next}: the group was moved ahead. `lodestream topics repair` sets it back"
            )
        self._missing(place, cursor.next, message.offset)
        return int(message.offset)

    async def _log_ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return await log_ends(self._settings.kafka_bootstrap, topic, self._settings.kafka_partitions)

    def _missing(self, place: TP, following: int, start: int) -> None:
        logger.error("%s[%d]: offsets %d to %d were removed before they were stored", *place, following, start - 1)
        self._metrics.missing.labels(place.topic).inc(start - following)

    async def _flush_for_ever(self) -> None:
        try:
            while await self._until_due():
                await self._flush()
        except Stopped:
            return
        except Exception:
            logger.exception("%s: the sink failed", self.spec.table)
            die(EXIT_FAILED)

    async def _until_due(self) -> bool:
        """Wait until a block is due; False when the process ends and nothing waits any more."""
        async with self._changed:
            while True:
                due_s, now_s = self._collector.due_s(), time.monotonic()
                if self._ending or (due_s is not None and due_s <= now_s):
                    return due_s is not None
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if due_s is None else due_s - now_s):
                        await self._changed.wait()

    async def _flush(self) -> None:
        """Store the next block and ack its records in order."""
        async with self._changed:
            if not self._collector.chunks:  # a rebalance took them
                return
            block = self._collector.take(time.monotonic())
            self._waiting()
            self._changed.notify_all()
        await asyncio.to_thread(self.inserter.store, block.columns)
        self._ledger.note(self.spec.name, block)
        self._measure(block)

    def _measure(self, block: Block) -> None:
        now_ms = int(time.time() * 1000)
        received_ms = [time_ms for chunk in block.chunks for time_ms in chunk.rows.received_ms]
        self._metrics.ages.observe(self.spec.name, received_ms, now_ms)
        for (topic, partition), following in block.covered.items():
            with suppress(AssertionError, ConsumerNotStarted):  # not ours any more
                end = self._app.consumer.highwater(TP(topic, partition))
                if end is not None:
                    self._metrics.lag.labels(topic, str(partition)).set(max(0, end - following))

    def _waiting(self) -> None:
        self._metrics.waiting.labels(self.spec.name).set(self._collector.rows)


async def log_ends(bootstrap: str, topic: str, partitions: int) -> dict[int, tuple[int, int]]:
    """(first offset in the log, the one after the last) of every partition of a topic."""
    consumer = assigned_consumer(bootstrap, BRIEF_MS)
    places = [TopicPartition(topic, number) for number in range(partitions)]
    async with asyncio.timeout(OFFSETS_TIMEOUT_S):
        await consumer.start()
        try:
            starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        finally:
            await consumer.stop()
    return {place.partition: (int(starts[place]), int(ends[place])) for place in places}


def die(code: int) -> None:
    """End the process at once: whoever goes on after a failure may ack what is not stored."""
    logging.shutdown()
    os._exit(code)


def register_sinks(app: Any, settings: WorkerSettings, metrics: SinkMetrics) -> list[TableSink]:
    """Declare the sink agents on a Faust app: one an output topic, its replay twin included where there is one."""
    sinks = []
    ledger = Ledger(app, Inserter(EVENTS, _connector(settings), metrics))
    for spec in TABLES:
        interval_s = settings.sink_events_flush_s if spec is EVENTS else settings.sink_flush_s
        inserter = Inserter(spec, _connector(settings), metrics)
        collector = Collector(interval_s, settings.sink_block_rows)
        sink = TableSink(app, settings, spec, collector, inserter, ledger, metrics)
        for topic in (spec.topic, f"replay.{spec.topic}"):
            if topic in TOPICS:
                _register_agent(app, sink, topic)
        sinks.append(sink)

    async def drain(*_: Any, **__: Any) -> None:
        await asyncio.gather(*(sink.drain() for sink in sinks))
        await ledger.drain()

    app.on_before_shutdown.connect(drain)
    return sinks


def _connector(settings: WorkerSettings) -> Callable[[], Any]:
    return lambda: connect(
        settings.clickhouse_url, settings.clickhouse_user, settings.clickhouse_password, settings.clickhouse_database
    )


def _register_agent(app: Any, sink: TableSink, topic: str) -> None:
    channel = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def store(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await sink.take_in(event)
            except Stopped:
                return
            except OffsetError:
                logger.exception("%s: offsets do not fit", sink.spec.table)
                die(EXIT_OFFSETS)
            except Exception:
                logger.exception("%s: the sink failed", sink.spec.table)
                die(EXIT_FAILED)

    app.agent(channel, name=f"sink.{topic}", isolated_partitions=True)(store)
