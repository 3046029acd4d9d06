"""The track agent: frames in, positions, events and rejected out. It moves records; what they mean is `Partition`."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from processors.agents.rules import RulesReader
from processors.agents.store import Slices, load
from processors.frame_range import Counts, Outputs
from processors.metrics import TrackMetrics
from processors.partition import Accept, Partition
from processors.settings import WorkerSettings
from schemas import codec
from schemas.clients.producer import DurableProducer
from schemas.records import FrameBatch
from schemas.topics import EVENTS, FRAMES, POSITIONS, REJECTED

log = logging.getLogger(__name__)

EXIT_BUG = 70
"""A bug of ours: the supervisor restarts, nothing is lost, it shows (sysexits: internal software error)."""
EXIT_GAP = 71
"""Somebody committed past records that were never processed: not restarted; see `lodestream topics repair`."""
EXIT_STUCK = 75
STOP_S = 5.0


def die(code: int, message: str, *arguments: Any) -> None:
    """End the process at once. Faust would swallow an exception, or wait for ever for the event that raised it."""
    log.critical(message, *arguments, exc_info=code == EXIT_BUG)
    logging.shutdown()
    os._exit(code)


class TrackWorker:
    """All partitions of one track worker."""

    def __init__(self, settings: WorkerSettings, metrics: TrackMetrics, code: str) -> None:
        self._settings = settings
        self._metrics = metrics
        self._code = code
        self._producer = DurableProducer(settings.kafka_bootstrap, f"track-{settings.id}", metrics.send_failures.inc)
        self._rules = RulesReader(settings)
        self._slices = Slices(self._producer, metrics, settings.snapshot_s)
        self._generations: dict[int, int] = {}
        self._partitions: dict[int, Partition] = {}
        self._loading = asyncio.Semaphore(2)
        """Two partitions are loaded at a time: each has its snapshot in memory meanwhile."""
        self._tasks: list[asyncio.Task[None]] = []
        self.processed = 0

    async def start(self, app: Any) -> None:
        """Connect and read the rules; raises KafkaUnavailable."""
        await self._producer.start()
        await self._rules.load()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(_guarded(self._slices.run(self._partitions))),
            loop.create_task(_guarded(self._rules.follow())),
            loop.create_task(_guarded(self._watch(app))),
        ]

    async def stop(self) -> None:
        """Write all slices, so that the next start has no tail to read; bounded."""
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait_for(self._slices.write_all(self._partitions), STOP_S)
        except TimeoutError:
            log.warning("not all slices were written in %s s; the next start reads a longer tail", STOP_S)
        await self._rules.stop()
        await self._producer.stop()

    async def _watch(self, app: Any) -> None:
        """Exit when records wait and none is processed: a stuck worker holds its partitions for ever."""
        processed, since = -1, time.monotonic()
        while True:
            await asyncio.sleep(1.0)
            waiting = 0
            for tp in app.consumer.assignment() if app.consumer else ():
                partition = self._partitions.get(tp.partition)
                lag = max(0, (app.consumer.highwater(tp) or 0) - (partition.next if partition else 0))
                self._metrics.lag.labels(str(tp.partition)).set(lag)
                waiting += lag
            if self.processed != processed or not waiting:
                processed, since = self.processed, time.monotonic()
            elif time.monotonic() - since > self._settings.watchdog_s:
                die(EXIT_STUCK, "%s records wait and none was processed in %s s", waiting, self._settings.watchdog_s)

    async def partition(self, number: int, generation: int) -> Partition:
        """The state of a partition in this generation; a new generation loads it anew, another worker may have moved it."""
        if self._generations.get(number) != generation:
            self._partitions.pop(number, None)
            await self._rules.catch_up()
            settings = self._settings
            partition = Partition(number, self._code, self._rules.current, settings.unpacked_devices)
            async with self._loading:
                await load(settings.kafka_bootstrap, partition, self._metrics)
            self._partitions[number] = partition
            self._generations[number] = generation
        return self._partitions[number]

    async def handle(self, events: list[Any]) -> None:
        """Process events of one partition and generation as ranges of bounded size, and acknowledge them in order."""
        message = events[0].message
        generation = message.generation_id
        partition = await self.partition(message.partition, generation)
        waiting: list[Any] = []
        taken: list[tuple[int, FrameBatch]] = []
        frames = size = 0
        for event in events:
            offset = event.message.offset
            decision = partition.accept(offset, len(taken))
            if decision is Accept.STOP:
                self._gap(partition, offset, partition.next + len(taken))
            if decision is Accept.SKIP:
                self._metrics.skipped.inc()
            else:
                batch = codec.decode(event.value, FrameBatch)
                more, bytes_more = len(batch.frames.kind), sum(map(len, batch.frames.payload))
                settings = self._settings
                if taken and (frames + more > settings.coalesce_frames or size + bytes_more > settings.coalesce_bytes):
                    await self._process(partition, taken, generation)
                    self._acknowledge(waiting)
                    waiting, taken, frames, size = [], [], 0, 0
                taken.append((offset, batch))
                frames, size = frames + more, size + bytes_more
            waiting.append(event)
        if taken:
            await self._process(partition, taken, generation)
        self._acknowledge(waiting)

    def _acknowledge(self, events: list[Any]) -> None:
        for event in events:
            event.ack()
        self.processed += len(events)

    def _gap(self, partition: Partition, offset: int, expected: int) -> None:
        die(
            EXIT_GAP,
            "frames-%s: got offset %s, expected %s: the group's committed offset was moved past records that were never "
            "processed. Stop the workers, run `lodestream topics repair`, start them again; nothing is lost.",
            partition.number,
            offset,
            expected,
        )

    async def _process(self, partition: Partition, taken: list[tuple[int, FrameBatch]], generation: int) -> None:
        metrics = self._metrics
        began = time.perf_counter()
        outputs = partition.process(taken, self._rules.current, generation)
        spent = time.perf_counter() - began
        metrics.process_seconds.observe(spent)
        metrics.frame_seconds.inc(spent)
        offset = await self._send(partition.number, outputs)
        metrics.send_seconds.observe(time.perf_counter() - began - spent)
        partition.apply(outputs.receipt, offset)
        self._count(partition, taken, outputs.counts)

    async def _send(self, number: int, outputs: Outputs) -> int:
        """Everything of the range but its receipt first, then the receipt: a crash between repeats the same ids."""
        sends = [
            self._producer.send(topic, codec.encode(record), number, timeout_s=self._settings.send_timeout_s)
            for topic, records in ((EVENTS, outputs.events), (REJECTED, outputs.rejected), (POSITIONS, outputs.parts))
            for record in records
        ]
        if len(sends) == 1:
            await sends[0]
        elif sends:
            await asyncio.gather(*sends)
        value = codec.encode(outputs.receipt)
        return await self._producer.send(POSITIONS, value, number, timeout_s=self._settings.send_timeout_s)

    def _count(self, partition: Partition, taken: list[tuple[int, FrameBatch]], counts: Counts) -> None:
        metrics = self._metrics
        frames = sum(len(batch.frames.kind) for _, batch in taken)
        metrics.range_frames.observe(frames)
        metrics.range_records.observe(len(taken))
        metrics.positions.inc(counts.positions)
        metrics.duplicates.inc(counts.duplicates)
        for protocol, count in counts.frames.items():
            metrics.frames.labels(protocol).inc(count)
        for kind, count in counts.events.items():
            metrics.events.labels(kind).inc(count)
        for reason, count in counts.rejected.items():
            metrics.rejected.labels(reason).inc(count)
        oldest = min((batch.frames.received_ms[0] for _, batch in taken if batch.frames.received_ms), default=0)
        if oldest:
            metrics.receipt_seconds.observe(max(0.0, time.time() - oldest / 1000))
        metrics.devices.labels(str(partition.number)).set(len(partition.states))


class Coalescer:
    """Collects waiting events of one stream, so that a busy partition writes few outputs for many records.

    An output costs about a millisecond here and half of that in the broker, whatever is in it. So a partition that has
    just been processed waits for the next tick of a grid that all partitions share: then their outputs also travel in
    one request.
    """

    def __init__(self, most: int, pace_ms: int) -> None:
        self._most = most
        self._pace_s = pace_ms / 1000
        self._last_s = 0.0
        self._events: list[Any] = []

    async def pause(self) -> None:
        """Before the first event of a range: wait for the grid, unless the partition was quiet."""
        if self._pace_s and not self._events:
            now = time.monotonic()
            if now - self._last_s < self._pace_s:
                await asyncio.sleep(self._pace_s - now % self._pace_s)
            self._last_s = time.monotonic()

    def add(self, event: Any, more_waiting: bool) -> list[Any]:
        """Take an event; returns those to process now, none while more should come first."""
        if self._events and self._events[0].message.generation_id != event.message.generation_id:
            self._events = []  # those of the old generation come again, to whoever has the partition now
        self._events.append(event)
        if more_waiting and len(self._events) < self._most:
            return []
        events, self._events = self._events, []
        return events


async def _guarded(task: Any) -> None:
    """A background task that must not end in silence."""
    try:
        await task
    except asyncio.CancelledError:
        raise
    except Exception:
        die(EXIT_BUG, "background task failed")


def register_track(app: Any, settings: WorkerSettings, worker: TrackWorker) -> None:
    """Declare the agent on a Faust app."""
    topic = app.topic(FRAMES, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic, isolated_partitions=True, name="track")  # type: ignore[untyped-decorator]
    async def track(stream: Any) -> None:
        coalescer = Coalescer(settings.coalesce_records, settings.pace_ms)
        async for event in stream.noack().events():
            try:
                await coalescer.pause()
                events = coalescer.add(event, not stream.channel.queue.empty())
                if events:
                    await worker.handle(events)
            except asyncio.CancelledError:
                raise
            except Exception:
                die(EXIT_BUG, "track agent failed")
